//! `explain`: what a code means and what to do about it.

use crate::catalog::codes;
use crate::outcome::{Exit, Stop};
use crate::view;

pub(super) fn run(code: &str) -> Result<Exit, Stop> {
    let wanted = code.to_ascii_uppercase();
    let found = codes().find(|(known, ..)| *known == wanted).ok_or_else(|| {
        Stop::because(format!("no code is called `{code}`"))
            .help("codes stand in brackets behind `error`, `warning` or `note`, such as PGF0104")
    })?;
    let (code, title, explanation) = found;
    view::print(&format!("{code}: {title}\n\n{}", wrapped(explanation)));
    Ok(Exit::Done)
}

/// Paragraphs at 80 columns.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 80;
    let mut out = String::new();
    for paragraph in text.split("\n\n") {
        let mut column = 0;
        for word in paragraph.split_whitespace() {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > WIDTH {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
        }
        out.push_str("\n\n");
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_wrapped_between_words() {
        let text = "word ".repeat(40);
        assert!(wrapped(&text).lines().all(|line| line.len() <= 80));
        assert_eq!(wrapped(&text).split_whitespace().count(), 40);
    }
}
