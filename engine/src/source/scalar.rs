//! What a plain scalar means, by YAML 1.2's core schema and strict booleans.
//!
//! Numbers that a 64-bit integer cannot hold, infinities, NaN and whole numbers with zeros before them stay text:
//! silently rounding or shortening an id is worse than asking for quotes, and readers disagree about `010`.

use std::borrow::Cow;

use super::Value;

/// The meaning of an unquoted scalar.
pub(super) fn plain(text: Cow<'_, str>) -> Value {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::Str(text.into_owned());
    }
    integer(&text)
        .map(Value::Int)
        .or_else(|| float(&text).map(Value::Float))
        .unwrap_or_else(|| Value::Str(text.into_owned()))
}

fn integer(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.len() > 1 && unsigned.starts_with('0') {
        return None;
    }
    text.parse().ok()
}

fn radix(digits: &str, radix: u32) -> Option<i64> {
    if digits.starts_with(['+', '-']) { None } else { i64::from_str_radix(digits, radix).ok() }
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, with a point or an exponent in it.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let shaped =
        unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
            && unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && unsigned.contains(['.', 'e', 'E']);
    text.parse::<f64>().ok().filter(|number| shaped && number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema() {
        for (text, value) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("true", Value::Bool(true)),
            ("yes", Value::Str("yes".into())),
            ("off", Value::Str("off".into())),
            ("12", Value::Int(12)),
            ("-3", Value::Int(-3)),
            ("0x1F", Value::Int(31)),
            ("0o17", Value::Int(15)),
            ("16.4", Value::Float(16.4)),
            ("1e3", Value::Float(1000.0)),
            (".5", Value::Float(0.5)),
            (".inf", Value::Str(".inf".into())),
            ("16.4.1", Value::Str("16.4.1".into())),
            ("007", Value::Str("007".into())),
            ("-010", Value::Str("-010".into())),
            ("0.5", Value::Float(0.5)),
            ("0", Value::Int(0)),
            ("99999999999999999999", Value::Str("99999999999999999999".into())),
            ("-", Value::Str("-".into())),
            ("1_000", Value::Str("1_000".into())),
            ("2026-01-02", Value::Str("2026-01-02".into())),
        ] {
            assert_eq!(plain(text.into()), value, "{text}");
        }
    }
}
