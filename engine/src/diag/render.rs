//! The layout of a diagnostic on a terminal: head, place, quoted lines with marks under them, help.
//!
//! Written out here rather than taken from a crate because the lines to quote must be masked before marks are placed,
//! and because the layout is part of what tests and editors read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Diagnostic, Label, Paint, Severity, Source, line};

/// Characters of a quoted line that are shown; longer lines are cut around the marks.
const WIDEST: usize = 160;

struct Mark<'a> {
    label: &'a Label,
    sign: char,
}

pub(super) fn render(diagnostic: &Diagnostic, source: &Source, paint: Paint) -> String {
    let mut out = String::new();
    let word = diagnostic.severity.word();
    let head = match diagnostic.severity {
        Severity::Error => "1;31",
        Severity::Warning => "1;33",
    };
    let title = colour(&format!("{word}[{}]", diagnostic.code), head, paint);
    let message = colour(&format!(": {}", line::message(&diagnostic.message)), "1", paint);
    let _ = writeln!(out, "{title}{message}");
    if let Some(primary) = &diagnostic.primary {
        snippet(&mut out, diagnostic, primary, source, paint, head);
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "{}: {}", colour("help", "1;36", paint), line::message(help));
    }
    out
}

fn snippet(
    out: &mut String,
    diagnostic: &Diagnostic,
    primary: &Label,
    source: &Source,
    paint: Paint,
    head: &str,
) {
    let mut lines: BTreeMap<usize, Vec<Mark<'_>>> = BTreeMap::new();
    let marks = std::iter::once(Mark { label: primary, sign: '^' })
        .chain(diagnostic.context.iter().map(|label| Mark { label, sign: '-' }));
    for mark in marks {
        lines.entry(source.line_at(mark.label.span.start).start).or_default().push(mark);
    }
    let place = source.position(primary.span.start);
    let numbers: Vec<(usize, usize)> =
        lines.keys().map(|start| (*start, source.position(*start).line)).collect();
    let gutter = numbers.last().map_or(1, |(_, last)| last.to_string().len());
    let arrow = colour("-->", "1;34", paint);
    let _ = writeln!(
        out,
        "{:gutter$}{arrow} {}:{}:{}",
        "",
        line::message(&source.name),
        place.line,
        place.column
    );
    let mut before: Option<usize> = None;
    for (start, number) in numbers {
        if before.is_some_and(|before| number > before + 1) {
            out.push_str("...\n");
        }
        before = Some(number);
        let marks = lines.remove(&start).unwrap_or_default();
        quote(out, diagnostic, source, (start, number, gutter), &marks, (paint, head));
    }
}

fn quote(
    out: &mut String,
    diagnostic: &Diagnostic,
    source: &Source,
    (start, number, gutter): (usize, usize, usize),
    marks: &[Mark<'_>],
    (paint, head): (Paint, &str),
) {
    let span = source.line_at(start);
    let shown = line::show(source.slice(span), span.start, &diagnostic.masked);
    let columns = |label: &Label| {
        let from = shown.column(label.span.start);
        let to = shown.column(label.span.end.min(span.end));
        (from, to.max(from + 1))
    };
    let leftmost = marks.iter().map(|mark| columns(mark.label).0).min().unwrap_or(0);
    let cut = if leftmost > WIDEST / 2 { leftmost - WIDEST / 4 } else { 0 };
    let text: String = shown.text.chars().skip(cut).take(WIDEST).collect();
    let bar = colour("|", "1;34", paint);
    let number = colour(&format!("{number:>gutter$}"), "1;34", paint);
    let _ = writeln!(out, "{}", format!("{number} {bar} {text}").trim_end());
    for mark in marks {
        let (from, to) = columns(mark.label);
        let (from, to) = (from - cut, (to - cut).min(WIDEST + 1));
        let signs = mark.sign.to_string().repeat(to.saturating_sub(from).max(1));
        let said = format!("{signs} {}", line::message(&mark.label.text));
        let said = colour(said.trim_end(), if mark.sign == '^' { head } else { "1;34" }, paint);
        let _ = writeln!(out, "{:gutter$} {bar} {:from$}{said}", "", "");
    }
}

fn colour(text: &str, code: &str, paint: Paint) -> String {
    match paint {
        Paint::Plain => text.to_owned(),
        Paint::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    fn unknown_field() -> (Source, Diagnostic) {
        let source = Source::new(
            "spec.yaml",
            "pgferry: 1\nresources:\n  database:\n    plann: essential-1\n",
        );
        let diagnostic =
            Diagnostic::error("PGF0104", "unknown field `plann` in `database` (heroku.addon)")
                .at(Span { start: 38, end: 43 }, "no such field")
                .context(Span { start: 24, end: 32 }, "resource declared here")
                .help("did you mean `plan`?");
        (source, diagnostic)
    }

    #[test]
    fn the_layout() {
        let (source, diagnostic) = unknown_field();
        assert_eq!(
            diagnostic.render(&source),
            "error[PGF0104]: unknown field `plann` in `database` (heroku.addon)\n\
             \x20--> spec.yaml:4:5\n\
             3 |   database:\n\
             \x20 |   -------- resource declared here\n\
             4 |     plann: essential-1\n\
             \x20 |     ^^^^^ no such field\n\
             help: did you mean `plan`?\n"
        );
    }

    #[test]
    fn colour_only_adds() {
        let (source, diagnostic) = unknown_field();
        let coloured = diagnostic.render_in(&source, Paint::Colour);
        let mut plain = String::new();
        let mut inside = false;
        for c in coloured.chars() {
            match c {
                '\u{1b}' => inside = true,
                'm' if inside => inside = false,
                c if !inside => plain.push(c),
                _ => {}
            }
        }
        assert_eq!(plain, diagnostic.render(&source));
        assert_ne!(coloured, plain);
    }

    #[test]
    fn long_lines_and_two_marks_on_one() {
        let text = format!("{}a: ${{b.c}} ${{d.e}}", " ".repeat(200));
        let source = Source::new("s.yaml", text.as_str());
        let at = |what: &str| {
            let start = text.find(what).expect("is there");
            Span { start, end: start + what.len() }
        };
        let diagnostic = Diagnostic::error("PGF0126", "a loop")
            .at(at("${d.e}"), "there")
            .context(at("${b.c}"), "and back");
        let (indent, before) = (" ".repeat(40), " ".repeat(37));
        assert_eq!(
            diagnostic.render(&source),
            format!(
                "error[PGF0126]: a loop\n --> s.yaml:1:211\n1 | {before}a: ${{b.c}} ${{d.e}}\n  | {indent}       ^^^^^^ there\n  | {indent}------ and back\n"
            )
        );
    }
}
