//! YAML text to a tree of nodes with byte ranges: one document, no anchors, aliases, merge keys or tags, bounded.
//!
//! The only module that knows `serde-saphyr`; it reads that crate's own parser, because only its events tell every
//! duplicate, anchor and tag with its place. Nothing here recurses, so no input can exhaust the stack. Tested with
//! garbage, bombs and deep nesting below, and against `serde_yaml` by the root package.

use serde_saphyr::granit_parser::{
    ErrorKind, Event, Parser, ScalarStyle, ScanError, Span as YamlSpan, options,
};

use super::{Entry, Node, Source, Value, scalar};
use crate::diag::{Diagnostic, Label, Span};

/// Bytes of one spec.
const MOST_BYTES: usize = 256 << 20;
/// Keys, scalars, lists and maps of one spec; 100,000 small resources are about a million.
const MOST_NODES: usize = 10_000_000;
/// Lists and maps inside one another.
const MOST_DEPTH: usize = 32;
/// After so many mistakes of form the rest is not worth telling.
const MOST_MISTAKES: usize = 20;

/// Anchors and the like that are marked after the first.
const MOST_MARKS: usize = 4;

/// Reads the one document in `source`: its tree, and everything refused, in the order of the text.
///
/// There is no tree when it could not be read to its end, or when what was refused stands for values that are not
/// known (aliases). With duplicate keys or tags there is one, so that the rest can be checked all the same.
pub fn parse(source: &Source) -> (Option<Node>, Vec<Diagnostic>) {
    if source.text.len() > MOST_BYTES {
        return (None, vec![too_large(&format!("{} MiB", MOST_BYTES >> 20))]);
    }
    let options = options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
    };
    let mut reader = Reader {
        source,
        open: Vec::new(),
        items: Vec::new(),
        entries: Vec::new(),
        root: None,
        nodes: 0,
        mistakes: Vec::new(),
    };
    for event in Parser::new_from_str_with_options(&source.text, options) {
        let go_on = match event {
            Ok((event, span)) => reader.event(event, reader.span(&span), &span),
            Err(fault) => {
                reader.syntax(&fault);
                false
            }
        };
        if !go_on || reader.mistakes.len() >= MOST_MISTAKES {
            return (None, reader.mistakes);
        }
    }
    if reader.root.is_none() && reader.mistakes.is_empty() {
        reader.mistakes.push(
            Diagnostic::error("PGF0010", "the spec is empty")
                .at(
                    Span::default(),
                    match source.text.trim().is_empty() {
                        true => "nothing is here",
                        false => "nothing but comments",
                    },
                )
                .help("begin with `pgferry: 1` and a `name:`"),
        );
    }
    let known = reader.mistakes.iter().all(|m| matches!(m.code, "PGF0003" | "PGF0007"));
    (reader.root.filter(|_| known), reader.mistakes)
}

fn too_large(limit: &str) -> Diagnostic {
    Diagnostic::error("PGF0006", format!("the spec is larger than {limit}"))
        .help("split the migration into several specs")
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error("PGF0005", "lists and maps are nested too deeply")
        .at(span, format!("more than {MOST_DEPTH} inside one another"))
        .help("no field takes so many; take brackets or indentation away")
}

/// A list or map whose end has not come yet; `first` is where its own begin in the reader's.
enum Open {
    Seq { start: usize, first: usize },
    Map { start: usize, first: usize, key: Option<(String, Span)> },
}

/// Keys that are compared each with each.
const FEW: usize = 8;

fn has_twins(entries: &[Entry]) -> bool {
    let twin = |(at, entry): (usize, &Entry)| entries[..at].iter().any(|one| one.key == entry.key);
    entries.iter().enumerate().any(twin)
}

struct Reader<'a> {
    source: &'a Source,
    open: Vec<Open>,
    /// Elements of all open lists, inner ones after outer ones, so that a finished list is as large as it has to be.
    items: Vec<Node>,
    /// The same of maps.
    entries: Vec<Entry>,
    root: Option<Node>,
    nodes: usize,
    mistakes: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Whether to go on reading.
    fn event(&mut self, event: Event<'_>, span: Span, raw: &YamlSpan) -> bool {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                self.mistakes.push(
                    Diagnostic::error("PGF0004", "a spec is one YAML document")
                        .at(span, "a second document begins here")
                        .help("put it into a file of its own"),
                );
                return false;
            }
            Event::Scalar(text, style, _, tag) => {
                self.tag(tag.is_some(), raw);
                if let Some(Open::Map { key: key @ None, .. }) = self.open.last_mut() {
                    let merge = text == "<<";
                    *key = Some((text.into_owned(), span));
                    if merge {
                        self.refuse_anchor("a merge key", span);
                    }
                    return self.count();
                }
                let value = match style {
                    ScalarStyle::Plain => scalar::plain(text),
                    _ => Value::Str(text.into_owned()),
                };
                return self.node(value, span);
            }
            Event::SequenceStart(_, _, tag) => {
                self.tag(tag.is_some(), raw);
                let first = self.items.len();
                return self.begin(Open::Seq { start: span.start, first }, span);
            }
            Event::MappingStart(_, _, tag) => {
                self.tag(tag.is_some(), raw);
                let first = self.entries.len();
                return self.begin(Open::Map { start: span.start, first, key: None }, span);
            }
            Event::SequenceEnd | Event::MappingEnd => return self.end(span),
            Event::Anchor(..) => self.refuse_anchor("an anchor", span),
            Event::Alias(_) => return self.node(Value::Null, span),
            Event::UnresolvedAlias(_) => {
                self.refuse_anchor("an alias", span);
                return self.node(Value::Null, span);
            }
            _ => {}
        }
        true
    }

    fn begin(&mut self, open: Open, span: Span) -> bool {
        if self.open.len() >= MOST_DEPTH {
            self.mistakes.push(too_deep(span));
            return false;
        }
        self.open.push(open);
        self.count()
    }

    fn end(&mut self, span: Span) -> bool {
        match self.open.pop() {
            Some(Open::Seq { start, first }) => {
                let items: Vec<Node> = self.items.drain(first..).collect();
                let end = items.last().map_or(span.end, |last| last.span.end.max(span.end));
                self.node(Value::Seq(items), Span { start, end: self.tight(start, end) })
            }
            Some(Open::Map { start, first, .. }) => {
                let entries: Vec<Entry> = self.entries.drain(first..).collect();
                self.duplicates(&entries);
                let end = entries.last().map_or(span.end, |e| e.value.span.end.max(span.end));
                self.node(Value::Map(entries), Span { start, end: self.tight(start, end) })
            }
            None => true,
        }
    }

    /// Puts a finished value where it belongs.
    fn node(&mut self, value: Value, span: Span) -> bool {
        match self.open.last_mut() {
            None => self.root = Some(Node { value, span }),
            Some(Open::Seq { .. }) => self.items.push(Node { value, span }),
            Some(Open::Map { key, .. }) => match key.take() {
                Some((key, key_span)) => {
                    self.entries.push(Entry { key, key_span, value: Node { value, span } });
                }
                None => {
                    *key = Some((String::new(), span));
                    self.mistakes.push(
                        Diagnostic::error("PGF0008", "a key must be text")
                            .at(span, "a list, a map or an alias"),
                    );
                }
            },
        }
        self.count()
    }

    fn count(&mut self) -> bool {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            self.mistakes.push(too_large("10,000,000 values"));
            return false;
        }
        true
    }

    fn duplicates(&mut self, entries: &[Entry]) {
        if entries.len() <= FEW && !has_twins(entries) {
            return;
        }
        let mut order: Vec<&Entry> = entries.iter().collect();
        order.sort_by(|a, b| a.key.cmp(&b.key).then(a.key_span.start.cmp(&b.key_span.start)));
        let mut first: Option<&Entry> = None;
        for entry in order {
            match first {
                Some(earlier) if earlier.key == entry.key && !entry.key.is_empty() => {
                    self.mistakes.push(
                        Diagnostic::error("PGF0007", format!("`{}` is there twice", entry.key))
                            .at(entry.key_span, "again here")
                            .context(earlier.key_span, "first here")
                            .help(match entry.value.value {
                                Value::Map(_) => "keep one of the two, or give one another name",
                                _ => "keep one of the two",
                            }),
                    );
                }
                _ => first = Some(entry),
            }
        }
    }

    fn tag(&mut self, tagged: bool, raw: &YamlSpan) {
        if tagged {
            let span = raw.tag_span().map_or_else(|| self.span(raw), |tag| self.span(&tag));
            self.mistakes.push(
                Diagnostic::error("PGF0003", "tags are not allowed in a spec")
                    .at(span, "a YAML tag")
                    .help("leave it out; quote a value that must be text"),
            );
        }
    }

    /// One mistake for all of them, since one decision led to all; the first few are marked.
    fn refuse_anchor(&mut self, what: &str, span: Span) {
        if let Some(known) = self.mistakes.iter_mut().find(|mistake| mistake.code == "PGF0002") {
            let mark = Label { span, text: what.to_owned() };
            if known.context.len() < MOST_MARKS && !known.context.contains(&mark) {
                known.context.push(mark);
            }
            return;
        }
        self.mistakes.push(
            Diagnostic::error(
                "PGF0002",
                "anchors, aliases and merge keys are not allowed in a spec",
            )
            .at(span, what)
            .help(
                "write the value out, or keep it in `variables:` and refer to it by `${var.name}`",
            ),
        );
    }

    fn syntax(&mut self, fault: &ScanError) {
        let at = fault.marker().byte_offset().unwrap_or(self.source.text.len());
        if *fault.kind() == ErrorKind::RecursionLimitExceeded {
            self.mistakes.push(too_deep(Span { start: at, end: at }));
            return;
        }
        let said = fault.kind().to_string();
        let help = if said.contains("tab") {
            "indent by spaces"
        } else {
            "the cause may be a line before: a quote or bracket that is not closed, or text with `: ` in it that needs quotes"
        };
        self.mistakes.push(
            Diagnostic::error("PGF0001", "the spec is not valid YAML")
                .at(Span { start: at, end: at }, said)
                .help(help),
        );
    }

    fn span(&self, span: &YamlSpan) -> Span {
        let end_of_text = self.source.text.len();
        let range = span.byte_range().unwrap_or(end_of_text..end_of_text);
        Span { start: range.start, end: self.tight(range.start, range.end) }
    }

    /// The end without the blanks and line breaks that some YAML constructs swallow.
    fn tight(&self, start: usize, end: usize) -> usize {
        self.source.text.get(start..end).map_or(start, |text| start + text.trim_end().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, String> {
        let source = Source::new("spec.yaml", text);
        let (root, mistakes) = parse(&source);
        match root.filter(|_| mistakes.is_empty()) {
            Some(root) => Ok(root),
            None => Err(mistakes.iter().map(|mistake| mistake.render(&source)).collect()),
        }
    }

    #[test]
    fn every_node_has_its_place() {
        let text = "a: é # note\nbb: [1, \"us-éast\"]\nc:\n  d: |\n    two\n    lines\n  e:\n";
        let root = read(text).expect("reads");
        let at = |span: Span| &text[span.start..span.end];
        let map = root.as_map().expect("a map");
        assert_eq!(at(map[0].key_span), "a");
        assert_eq!(at(map[0].value.span), "é");
        assert_eq!(at(map[1].key_span), "bb");
        assert_eq!(at(map[1].value.span), "[1, \"us-éast\"]");
        let Value::Seq(items) = &map[1].value.value else { panic!("a list") };
        assert_eq!(items[0].value, Value::Int(1));
        assert_eq!(at(items[1].span), "\"us-éast\"");
        let inner = map[2].value.as_map().expect("a map");
        assert_eq!(inner[0].value.value, Value::Str("two\nlines\n".into()));
        assert_eq!(at(inner[0].value.span), "two\n    lines");
        assert_eq!(inner[1].value.value, Value::Null);
    }

    #[test]
    fn duplicates_name_both_places() {
        assert_eq!(
            read("a: 1\nplan: x\nb: 2\nplan: y\n").expect_err("refused"),
            "error[PGF0007]: `plan` is there twice\n --> spec.yaml:4:1\n2 | plan: x\n  | ---- first here\n\
             ...\n4 | plan: y\n  | ^^^^ again here\nhelp: keep one of the two\n"
        );
    }

    #[test]
    fn what_a_spec_may_not_hold() {
        let codes = |text: &str| -> Vec<&'static str> {
            parse(&Source::new("s", text)).1.iter().map(|m| m.code).collect()
        };
        assert_eq!(codes("a: &x 1\nb: *x\n"), ["PGF0002"]);
        assert_eq!(codes("b: *x\n"), ["PGF0002"]);
        assert_eq!(codes("a:\n  <<: {b: 1}\n"), ["PGF0002"]);
        assert_eq!(codes("a: !!str 1\nb: !x {}\n"), ["PGF0003", "PGF0003"]);
        assert_eq!(codes("a: 1\n---\nb: 2\n"), ["PGF0004"]);
        assert_eq!(codes(""), ["PGF0010"]);
        assert_eq!(codes("# nothing\n"), ["PGF0010"]);
        assert_eq!(codes("[a, b]: 1\n"), ["PGF0008"]);
        assert_eq!(codes("a: [1\nb: 2\n"), ["PGF0001"]);
        assert_eq!(codes("a: \"x\n"), ["PGF0001"]);
        assert_eq!(codes("a:\tb: c\n\t- d"), ["PGF0001"]);
    }

    #[test]
    fn bombs_and_pits_are_refused_at_once() {
        let mut bomb = "a0: &a0 [x, x]\n".to_owned();
        for level in 1..40 {
            bomb.push_str(&format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1));
        }
        let codes = |text: &str| parse(&Source::new("s", text)).1[0].code;
        assert_eq!(codes(&bomb), "PGF0002");
        assert_eq!(codes(&"[".repeat(100_000)), "PGF0005");
        assert_eq!(codes(&"a: {".repeat(100_000)), "PGF0005");
        assert_eq!(codes(&"- ".repeat(100_000)), "PGF0005");
        assert_eq!(codes(&"? ".repeat(100_000)), "PGF0005");
        assert_eq!(codes(&format!("a: [{}]", "1,".repeat(10_000_001))), "PGF0006");
    }

    #[test]
    fn garbage_never_panics() {
        let alphabet: Vec<char> =
            "ab:-?[]{}|>&*!%@`'\"#,.~$\\ \n\t\r\u{0}\u{1b}é\u{feff}\u{2028}0x".chars().collect();
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..3_000 {
            let text: String = (0..40)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    alphabet[(seed % alphabet.len() as u64) as usize]
                })
                .collect();
            let source = Source::new("s", text);
            for mistake in parse(&source).1 {
                mistake.render(&source);
            }
        }
    }

    #[test]
    fn a_hundred_thousand_resources_are_readable() {
        let mut text = "resources:\n".to_owned();
        for number in 0..100_000 {
            text.push_str(&format!("  r{number}:\n    type: core.value\n    input: {number}\n"));
        }
        assert_eq!(parse(&Source::new("s", text)).1, []);
    }
}
