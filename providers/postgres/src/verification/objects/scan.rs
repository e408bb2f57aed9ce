//! Where the words of a statement are, as a server reads it: nothing is looked for within names, texts and comments.
//!
//! A database names its objects as it likes: `"x AS int; --"` is the name of a domain. Texts are read with
//! `standard_conforming_strings` on. Pure. Tested beside it.

use std::ops::Range;

/// What a part of a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keyword, name without quotes, or number.
    Word,
    /// `"Name"`.
    Name,
    /// `'text'`, `E'text'`, `$$text$$`.
    Text,
    /// White space and comments.
    Space,
    /// Any other character.
    Sign,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl Token<'_> {
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Sign) && self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// What this adds to the depth of parentheses.
    fn deeper(&self) -> i32 {
        match self.text {
            "(" | "[" if self.kind == Kind::Sign => 1,
            ")" | "]" if self.kind == Kind::Sign => -1,
            _ => 0,
        }
    }
}

/// All of `text`, white space and comments as well. What does not end goes up to the end.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = first(rest);
        let length = length.min(rest.len());
        tokens.push(Token { kind, text: &rest[..length], at });
        at += length;
    }
    tokens
}

fn first(rest: &str) -> (Kind, usize) {
    let mut letters = rest.chars();
    let letter = letters.next().unwrap_or_default();
    let is_space = |c: char| c.is_ascii_whitespace() || c == '\u{b}';
    match (letter, letters.next()) {
        ('"', _) => (Kind::Name, 1 + quoted(&rest[1..], '"', false)),
        ('\'', _) => (Kind::Text, 1 + quoted(&rest[1..], '\'', false)),
        ('e' | 'E', Some('\'')) => (Kind::Text, 2 + quoted(&rest[2..], '\'', true)),
        ('-', Some('-')) => (Kind::Space, rest.find(['\n', '\r']).unwrap_or(rest.len())),
        ('/', Some('*')) => (Kind::Space, comment(rest)),
        ('$', _) => match dollars(rest) {
            Some(length) => (Kind::Text, length),
            None => (Kind::Sign, 1),
        },
        (space, _) if is_space(space) => {
            (Kind::Space, rest.find(|c| !is_space(c)).unwrap_or(rest.len()))
        }
        (letter, _) if is_of_word(letter) => {
            let is_in = |c: char| is_of_word(c) || c == '$';
            (Kind::Word, rest.find(|c| !is_in(c)).unwrap_or(rest.len()))
        }
        (sign, _) => (Kind::Sign, sign.len_utf8()),
    }
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii()
}

/// The length up to the closing quote, which two stand for.
fn quoted(rest: &str, quote: char, escapes: bool) -> usize {
    let mut letters = rest.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' && escapes {
            letters.next();
        } else if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    rest.len()
}

/// Comments may hold comments.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while let Some(two) = rest.as_bytes().get(at..at + 2) {
        match two {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn dollars(rest: &str) -> Option<usize> {
    let tag_end = rest[1..].find('$')? + 2;
    let tag = &rest[..tag_end];
    let name = &tag[1..tag_end - 1];
    let is_tag = name.chars().all(is_of_word) && !name.starts_with(|c: char| c.is_ascii_digit());
    let end = || rest[tag_end..].find(tag).map_or(rest.len(), |at| tag_end + at + tag_end);
    is_tag.then(end)
}

/// The first `word` of `text` that stands in no parentheses.
pub(super) fn word<'a>(tokens: &[Token<'a>], word: &str) -> Option<usize> {
    let mut depth = 0;
    tokens.iter().position(|token| {
        let found = depth == 0 && token.is(word);
        depth += token.deeper();
        found
    })
}

/// Where the name is that follows the first `word` of `text`: `schema.name`, with `ONLY` before it.
pub(super) fn name_after(text: &str, after: &str) -> Option<Range<usize>> {
    let tokens = tokens(text);
    let rest = &tokens[word(&tokens, after)? + 1..];
    let mut seen = rest.iter().filter(|token| token.kind != Kind::Space).peekable();
    let only = seen.next_if(|token| token.is("ONLY"));
    let is_name = |token: &&Token<'_>| matches!(token.kind, Kind::Word | Kind::Name);
    let first = seen.next().filter(is_name)?;
    let mut end = first.end();
    while seen.next_if(|token| token.is(".")).is_some() {
        end = seen.next().filter(is_name)?.end();
    }
    Some(only.unwrap_or(first).at..end)
}

/// Where `part` is in `text` as whole words, and not within a name, text or comment of it.
pub(super) fn find(text: &str, part: &str) -> Option<Range<usize>> {
    let bare = part.trim();
    let lead = part.find(bare)?;
    let tokens = tokens(text);
    let is_at = |at: usize| tokens.binary_search_by_key(&at, |token| token.at).is_ok();
    let mut found = text.match_indices(part).map(|(at, _)| at).filter(|_| !bare.is_empty());
    let ends = |end: usize| end == text.len() || is_at(end);
    let at = found.find(|at| is_at(at + lead) && ends(at + lead + bare.len()))?;
    Some(at..at + part.len())
}

/// The last part of `schema.name`, as it is stored.
pub(super) fn bare(name: &str) -> String {
    let last = tokens(name).pop();
    match last {
        Some(Token { kind: Kind::Name, text, .. }) => {
            let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            inner.unwrap_or(text).replace("\"\"", "\"")
        }
        Some(token) => token.text.to_owned(),
        None => String::new(),
    }
}

/// The first of the statements in `text`, without its semicolon.
pub(super) fn first_statement(text: &str) -> &str {
    let tokens = tokens(text);
    let mut seen = tokens.iter().filter(|token| token.kind != Kind::Space).peekable();
    let (mut depth, mut blocks) = (0, 0);
    while let Some(token) = seen.next() {
        depth += token.deeper();
        let begins =
            blocks == 0 && token.is("BEGIN") && seen.peek().is_some_and(|next| next.is("ATOMIC"));
        if begins || (blocks > 0 && token.is("CASE")) {
            blocks += 1;
        } else if blocks > 0 && token.is("END") {
            blocks -= 1;
        } else if depth == 0 && blocks == 0 && token.is(";") {
            return &text[..token.at];
        }
    }
    text
}

/// What stands in the first parentheses of `text`, split at the commas in none other.
pub(super) fn entries(text: &str) -> Option<(Range<usize>, Vec<&str>)> {
    let tokens = tokens(text);
    let open = tokens.iter().position(|token| token.is("("))?;
    let start = tokens.get(open)?.end();
    let (mut depth, mut from, mut entries) = (1, start, Vec::new());
    for token in &tokens[open + 1..] {
        depth += token.deeper();
        if depth == 0 || (depth == 1 && token.is(",")) {
            entries.push(&text[from..token.at]);
            from = token.end();
        }
        if depth == 0 {
            return Some((start..token.at, entries));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_texts_and_comments_are_whole() {
        for part in [
            r#""a "" b AS ; (""#,
            "'it''s ; -- x'",
            r"'\'",
            r"E'a\'b;'",
            r"e'\\'",
            "$$ ' ; \" $$",
            "$x$ $$ $y$ ; $x$",
            "/* a /* b */ ; ' */",
            "-- it's ;",
            "naïve$1",
            "\n\t ",
        ] {
            let text = format!("({part}\n);");
            let tokens = tokens(&text);
            assert!(tokens.iter().any(|token| token.text.trim_end() == part.trim_end()), "{part}");
            let joined: String = tokens.iter().map(|token| token.text).collect();
            assert_eq!(joined, text);
            assert_eq!(tokens.last().map(|token| token.text), Some(";"), "{part}");
        }
        for endless in ["'a", "\"a", "/* a", "$$ a", r"E'a\'", "$", "/*/"] {
            let joined: String = tokens(endless).iter().map(|token| token.text).collect();
            assert_eq!(joined, endless);
        }
    }

    #[test]
    fn a_name_is_found_behind_its_word() {
        for (text, after, expect) in [
            (r#"CREATE INDEX " ON public.t USING" ON public.t USING btree (a)"#, "ON", "public.t"),
            ("CREATE INDEX i ON ONLY s.\"T.x\" USING btree (a)", "ON", "ONLY s.\"T.x\""),
            ("CREATE RULE \" TO s1.t\" AS\n    ON UPDATE TO s1.t DO NOTHING", "TO", "s1.t"),
            ("CREATE TRIGGER \"x ON public.t \" BEFORE INSERT ON t FOR", "ON", "t"),
            ("CREATE STATISTICS s.x ON (EXTRACT(year FROM d)), a FROM s.t", "FROM", "s.t"),
            ("CREATE DOMAIN \"D AS int;commit;/*\" AS integer", "AS", "integer"),
        ] {
            let found = name_after(text, after).and_then(|at| text.get(at));
            assert_eq!(found, Some(expect), "{text}");
        }
        assert_eq!(name_after("CREATE x", "ON"), None);
        assert_eq!(bare("s.\"a\"\"b\""), "a\"b");
        assert_eq!(bare("s.b"), "b");
        assert_eq!(bare("\"\"\"\""), "\"");
    }

    #[test]
    fn parts_are_found_as_whole_words() {
        for (text, part, expect) in [
            ("CONSTRAINT \"CHECK (a)\" CHECK (a)", "CHECK (a)", Some(23)),
            ("a int DEFAULT 10, b int DEFAULT 1,", " DEFAULT 1", Some(23)),
            ("CREATE VIEW v AS\n SELECT 1;", " SELECT 1", Some(17)),
            ("a text DEFAULT ' DEFAULT 1 '", " DEFAULT 1", None),
            ("f()", "", None),
        ] {
            assert_eq!(find(text, part).map(|at| at.start), expect, "{text}");
        }
    }

    #[test]
    fn statements_end_where_a_server_ends_them() {
        for (first, rest) in [
            ("CREATE DOMAIN d AS text DEFAULT ';'", ";\nALTER x;\n"),
            ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", ";"),
            (
                "CREATE FUNCTION f()\n BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\n SELECT 2;\nEND",
                ";\n\nALTER FUNCTION f() DEPENDS ON EXTENSION x;\n",
            ),
            ("CREATE DOMAIN \"a;b\" AS int", ""),
        ] {
            assert_eq!(first_statement(&format!("{first}{rest}")), first);
        }
    }

    #[test]
    fn entries_are_split_at_their_commas() {
        let text = "CREATE TABLE \"t (,\" (\n    a numeric(9,2),\n    b text DEFAULT ', ('\n)\nINHERITS (p);";
        let (at, found) = entries(text).expect("entries");
        assert_eq!(found, ["\n    a numeric(9,2)", "\n    b text DEFAULT ', ('\n"]);
        assert_eq!(&text[at.end..], ")\nINHERITS (p);");
        assert_eq!(entries("CREATE TABLE t (a"), None);
    }
}
