//! A diagnostic as JSON, in the shape of `terraform validate -json`, which editors and CI systems already read.

use serde_json::{Value as Json, json};

use super::{Diagnostic, Source, line};

pub(super) fn json(diagnostic: &Diagnostic, source: &Source) -> Json {
    let mut value = json!({
        "severity": diagnostic.severity.word(),
        "code": diagnostic.code,
        "summary": line::message(&diagnostic.message),
        "detail": detail(diagnostic),
    });
    if let (Some(primary), Some(map)) = (&diagnostic.primary, value.as_object_mut()) {
        map.insert("range".to_owned(), range(source, primary.span));
        map.insert("snippet".to_owned(), snippet(diagnostic, source, primary.span));
    }
    if let (false, Some(map)) = (diagnostic.context.is_empty(), value.as_object_mut()) {
        let related = diagnostic
            .context
            .iter()
            .map(|l| json!({ "message": line::message(&l.text), "range": range(source, l.span) }));
        map.insert("related".to_owned(), related.collect());
    }
    value
}

/// What is wrong at the place, and the help, as sentences.
fn detail(diagnostic: &Diagnostic) -> String {
    let said = diagnostic.primary.iter().map(|label| label.text.as_str());
    let lines: Vec<String> = said
        .chain(diagnostic.help.as_deref())
        .filter(|text| !text.is_empty())
        .map(line::message)
        .collect();
    lines.join("\n")
}

fn range(source: &Source, span: super::Span) -> Json {
    let point = |byte: usize| {
        let place = source.position(byte);
        json!({ "line": place.line, "column": place.column, "byte": place.byte })
    };
    json!({ "filename": source.name, "start": point(span.start), "end": point(span.end.max(span.start)) })
}

fn snippet(diagnostic: &Diagnostic, source: &Source, span: super::Span) -> Json {
    let place = source.line_at(span.start);
    let shown = line::show(source.slice(place), place.start, &diagnostic.masked);
    let context = diagnostic.context.first().map(|label| line::message(&label.text));
    json!({
        "context": context,
        "code": shown.text,
        "start_line": source.position(span.start).line,
        "highlight_start_offset": shown.column(span.start),
        "highlight_end_offset": shown.column(span.end.min(place.end)),
        "values": [],
    })
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    #[test]
    fn terraforms_shape() {
        let source = Source::new("s.yaml", "a: 1\ntoken: abc, plann: x\n");
        let diagnostic = Diagnostic::error("PGF0104", "unknown field `plann`")
            .at(Span { start: 17, end: 22 }, "no such field")
            .help("did you mean `plan`?");
        assert_eq!(
            diagnostic.to_json(&source),
            json!({
                "severity": "error",
                "code": "PGF0104",
                "summary": "unknown field `plann`",
                "detail": "no such field\ndid you mean `plan`?",
                "range": {
                    "filename": "s.yaml",
                    "start": { "line": 2, "column": 13, "byte": 17 },
                    "end": { "line": 2, "column": 18, "byte": 22 },
                },
                "snippet": {
                    "context": null,
                    "code": "token: (sensitive), plann: x",
                    "start_line": 2,
                    "highlight_start_offset": 20,
                    "highlight_end_offset": 25,
                    "values": [],
                },
            })
        );
    }
}
