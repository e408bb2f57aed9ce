//! What is left of a definition when only its wording is taken away.
//!
//! A server writes definitions back from its parse tree, and a restore parses that text again. The second tree means
//! the same and is often written differently: `x BETWEEN 1 AND 2 AND y` gains or loses parentheses, and casts of arrays
//! move to their elements (`'{a,b}'::text[]` is told one by one). Since 16, columns of a single table lose its name.
//! Pure; tested beside it, and with a real restore in `tests/`.

/// `definition` without spaces, parentheses and casts; with `qualified`, names keep what stands before their dot.
/// Quoted text stays as it is.
///
/// Equal essences mean equal definitions unless somebody changed nothing but a cast or the grouping of an expression.
pub(super) fn essence(definition: &str, qualified: bool) -> String {
    let mut rest = definition;
    let mut out = String::with_capacity(definition.len());
    let mut spaced = false;
    while let Some(letter) = rest.chars().next() {
        let length = match letter {
            '\'' | '"' => quoted(rest),
            _ if word(letter) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            _ => letter.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if let Some(cast) = rest.strip_prefix("::") {
            rest = without_type(cast);
            continue;
        }
        rest = after;
        match letter {
            '(' | ')' => spaced = true,
            _ if letter.is_whitespace() => spaced = true,
            _ => {
                let named = word(letter) || letter == '"';
                if named && !qualified && after.starts_with('.') {
                    rest = &after[1..];
                    continue;
                }
                // Words must not grow together.
                if spaced && named && out.ends_with(|c| word(c) || c == '"') {
                    out.push(' ');
                }
                out.push_str(token);
                spaced = false;
            }
        }
    }
    out
}

fn word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}

/// Length of the quoted text that `text` begins with.
fn quoted(text: &str) -> usize {
    let quote = &text[..1];
    let mut end = 1;
    while let Some(at) = text[end..].find(quote) {
        end += at + 1;
        if !text[end..].starts_with(quote) {
            return end;
        }
        end += 1;
    }
    text.len()
}

/// What follows the name of a type, as `format_type` spells it.
fn without_type(text: &str) -> &str {
    let mut rest = name(text);
    while let Some(after) = rest.strip_prefix('.') {
        rest = name(after);
    }
    rest = parenthesised(rest);
    for more in [" varying", " precision", " without time zone", " with time zone"] {
        rest = rest.strip_prefix(more).unwrap_or(rest);
    }
    rest = parenthesised(rest);
    while let Some(after) = rest.strip_prefix("[]") {
        rest = after;
    }
    rest
}

fn name(text: &str) -> &str {
    let length = if text.starts_with('"') {
        quoted(text)
    } else {
        text.find(|c| !word(c)).unwrap_or(text.len())
    };
    &text[length..]
}

/// Without `(10,2)`, if it begins so.
fn parenthesised(text: &str) -> &str {
    let numbers = text.strip_prefix('(').and_then(|inner| inner.split_once(')'));
    match numbers {
        Some((inner, after)) if inner.chars().all(|c| c.is_ascii_digit() || ",- ".contains(c)) => {
            after
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restore_words_anew_has_one_essence() {
        for (one, other) in [
            (
                "CHECK ((((n >= (0)::numeric) AND (n <= (5)::numeric)) AND (n <> (3)::numeric)))",
                "CHECK (((n >= (0)::numeric) AND (n <= (5)::numeric) AND (n <> (3)::numeric)))",
            ),
            (
                "((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying(3)])::text[]))",
                "((s)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying(3))::text]))",
            ),
            ("now()::timestamp(3) without time zone, 1::numeric(10,2)", "now() , 1"),
            ("'x'::mood", "'x'::\"We ird\".mood"),
        ] {
            assert_eq!(essence(one, true), essence(other, true));
        }
        assert_eq!(essence("SELECT t.id\n FROM b.t", false), essence("SELECT id FROM b.t", false));
    }

    #[test]
    fn what_means_something_else_has_another() {
        for (one, other) in [
            ("a > 1", "a > 2"),
            ("a = '(x)'", "a = 'x'"),
            ("a = 'x::text'", "a = 'x'"),
            ("a = 'it''s ('", "a = 'it''s '"),
            ("\"a (b)\" > 1", "\"a b\" > 1"),
            ("SELECT a b", "SELECT ab"),
            ("f(a) b", "fa b"),
            ("a AND b", "a OR b"),
            ("b.t", "c.t"),
        ] {
            assert_ne!(essence(one, true), essence(other, true), "{one}");
        }
    }
}
