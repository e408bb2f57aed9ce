//! The value of a setting: as people write it, as the server stores it, and as `ALTER DATABASE … SET` wants it.
//!
//! Some settings are lists of names (`GUC_LIST_QUOTE` in guc_tables.c): each element is quoted on its own. Pure; tested
//! beside it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quoting::literal;

/// A value in a spec.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    Text(String),
    Flag(bool),
    Number(serde_json::Number),
}

impl Value {
    /// As the server would write it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Flag(true) => "on".to_owned(),
            Self::Flag(false) => "off".to_owned(),
            Self::Number(number) => number.to_string(),
        }
    }
}

const LISTS: [&str; 7] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
    "restrict_nonsystem_relation_kind",
];

/// The right-hand side of `SET name TO`.
pub(super) fn assigned(name: &str, value: &str) -> String {
    match elements(name, value) {
        Some(elements) if elements.is_empty() => "''".to_owned(),
        Some(elements) => {
            elements.iter().map(|element| literal(element)).collect::<Vec<_>>().join(", ")
        }
        None => literal(value),
    }
}

/// Whether two texts mean the same value of a setting.
pub(super) fn same(name: &str, one: &str, other: &str) -> bool {
    if let (Some(one), Some(other)) = (elements(name, one), elements(name, other)) {
        return one == other;
    }
    let plain = |text: &str| match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" => "on".to_owned(),
        "off" | "false" | "no" => "off".to_owned(),
        _ => text.to_owned(),
    };
    plain(one) == plain(other)
}

fn elements(name: &str, value: &str) -> Option<Vec<String>> {
    LISTS.contains(&name.to_ascii_lowercase().as_str()).then(|| split(value))
}

/// `"$user", public` → `$user`, `public`.
fn split(list: &str) -> Vec<String> {
    let (mut elements, mut element, mut quoted, mut was_quoted) =
        (Vec::new(), String::new(), false, false);
    let mut letters = list.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                element.push('"');
            }
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            ',' if !quoted => {
                push(&mut elements, &mut element, &mut was_quoted);
            }
            letter if letter.is_whitespace() && !quoted => {}
            letter => element.push(letter),
        }
    }
    push(&mut elements, &mut element, &mut was_quoted);
    elements
}

fn push(elements: &mut Vec<String>, element: &mut String, was_quoted: &mut bool) {
    let element = std::mem::take(element);
    if std::mem::take(was_quoted) || !element.is_empty() {
        elements.push(element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_quoted_by_element() {
        for (name, value, expect) in [
            ("search_path", "\"$user\", public", "'$user', 'public'"),
            ("search_path", "\"We,ird\"\"\", app", "'We,ird\"', 'app'"),
            ("search_path", "\"\"", "''"),
            ("search_path", "", "''"),
            ("work_mem", "8MB", "'8MB'"),
            ("myapp.note", "it's, a 'note'", "'it''s, a ''note'''"),
        ] {
            assert_eq!(assigned(name, value), expect, "{name} = {value}");
        }
    }

    #[test]
    fn spellings_of_one_value() {
        assert!(same("search_path", "\"$user\",public", "\"$user\", public"));
        assert!(same("jit", "on", "true"));
        assert!(!same("work_mem", "8MB", "8192kB"));
    }
}
