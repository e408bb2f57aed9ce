//! Text that comes from outside: a command's output, a server's message. It says something, and steers no terminal.
//!
//! Called once, where such text enters: [`crate::cx::Cx`] and [`crate::fault::Fault`].

use std::borrow::Cow;

use crate::secret::redact;

/// `text` as it may be shown: plain, and without known secrets, whether they have such characters in them or between.
pub(crate) fn shown(text: &str) -> String {
    redact(&plain(&redact(text))).into_owned()
}

/// `text` without the sequences that steer a terminal (colours, cursor, title, links), and with each other control
/// character, and each that turns the direction of writing, spelled out. Lines and tabs stay.
fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '\u{1b}' if signs.next_if_eq(&'[').is_some() => skip_control(&mut signs),
            '\u{9b}' => skip_control(&mut signs),
            // Title, link, clipboard and the like: up to BEL or ESC \.
            '\u{1b}' if signs.next_if(|next| "]P_^X".contains(*next)).is_some() => {
                while let Some(sign) = signs.next_if(|sign| *sign != '\n') {
                    if sign == '\u{7}' || (sign == '\u{1b}' && signs.next_if_eq(&'\\').is_some()) {
                        break;
                    }
                }
            }
            '\r' if matches!(signs.peek(), None | Some('\n')) => {}
            sign if steers(sign) => out.extend(sign.escape_unicode()),
            sign => out.push(sign),
        }
    }
    Cow::Owned(out)
}

/// The rest of a control sequence: parameters, then one letter that says what is to be done.
fn skip_control(signs: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while signs.next_if(|sign| matches!(sign, ' '..='?')).is_some() {}
    signs.next_if(|sign| matches!(sign, '@'..='~'));
}

fn steers(sign: char) -> bool {
    (sign.is_control() && !matches!(sign, '\n' | '\t'))
        || matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{plain, shown};
    use crate::secret::Secret;

    #[test]
    fn what_steers_a_terminal_is_taken_out_or_spelled() {
        for (text, expect) in [
            ("plain\twords\nünd mehr 👩‍👧", "plain\twords\nünd mehr 👩‍👧"),
            ("\u{1b}[1;31mred\u{1b}[0m \u{1b}[2J\u{1b}[Hgone \u{9b}31mred", "red gone red"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "alink"),
            ("\u{1b}]52;c;never ended\nnext line", "\nnext line"),
            ("10%\r20%\r\nend\r", "10%\\u{d}20%\nend"),
            ("a\u{8}b\u{7}c\u{1b}cd\u{202e}e\0", "a\\u{8}b\\u{7}c\\u{1b}cd\\u{202e}e\\u{0}"),
            ("\u{1b}[", ""),
        ] {
            assert_eq!(plain(text), expect, "{text:?}");
        }
        let _known = [Secret::new("half-and-other-half"), Secret::new("with\u{1b}[0mcolours")];
        assert_eq!(shown("half-and\u{1b}[0m-other-half"), "(sensitive)");
        assert_eq!(shown("with\u{1b}[0mcolours"), "(sensitive)");
    }
}
