//! The files that a connection string may lean on: `~/.pgpass` and `pg_service.conf`, as libpq reads them.
//!
//! Tested beside `resolved`, through real servers, and by the odd lines below.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::words::Words;

/// The password that the file at `path` has for a server and login; `None` where the file or a line for it is missing.
///
/// # Errors
/// Others may read the file (libpq then passes over it), or it cannot be read.
pub(super) fn password(path: &Path, of: [&str; 4]) -> Result<Option<String>, String> {
    let shown = path.display();
    let Ok(metadata) = path.metadata() else { return Ok(None) };
    if !metadata.is_file() {
        return Err(format!("the password file {shown} is no plain file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!("others may read the password file {shown}: run `chmod 600 {shown}`"));
    }
    let text = std::fs::read_to_string(path);
    let text =
        text.map_err(|cause| format!("the password file {shown} cannot be read: {cause}"))?;
    Ok(password_in(&text, of))
}

/// Of the first line whose host, port, database and user fit; `*` fits all.
fn password_in(text: &str, of: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line.trim_end_matches('\r');
        for wanted in of {
            let (field, after) = field(rest);
            rest = after?;
            if field != "*" && unescaped(field) != wanted {
                return None;
            }
        }
        Some(unescaped(rest))
    })
}

/// What stands before the next `:` that is not escaped, and what after it.
fn field(text: &str) -> (&str, Option<&str>) {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b':' if !escaped => return (&text[..at], Some(&text[at + 1..])),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    (text, None)
}

fn unescaped(text: &str) -> String {
    let mut signs = text.chars();
    let mut out = String::new();
    while let Some(sign) = signs.next() {
        out.extend(if sign == '\\' { signs.next() } else { Some(sign) });
    }
    out
}

/// The parameters of service `name` in the file at `path`; `None` where either is missing.
///
/// # Errors
/// The file cannot be read, or says what pgferry does not follow.
pub(super) fn service(path: &Path, name: &str) -> Result<Option<Words>, String> {
    let shown = path.display();
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|cause| format!("the service file {shown} cannot be read: {cause}"))?;
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (mut inside, mut found) = (false, None);
    for line in lines {
        if let Some(header) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            inside = header.strip_suffix(']') == Some(name);
            found = inside.then(Words::default);
        } else if let (true, Some(words)) = (inside, found.as_mut()) {
            let pair = line.split_once('=').filter(|(key, _)| !key.trim().is_empty());
            match pair.map(|(key, value)| (key.trim(), value.trim())) {
                Some(("service", _)) | None => {
                    return Err(format!(
                        "service `{name}` of {shown} has a line that is not of the form `key=value`, or names another service"
                    ));
                }
                Some((key, value)) => words.set(key, value),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text = "# h:1:d:u:comment\nother:1:d:u:no\nh:*:d:u:p\\:a\\\\b:c\n*:*:*:*:all\n::1:1:d:u:broken\n\\:\\:1:5:d:u:six\n";
        assert_eq!(password_in(text, ["h", "1", "d", "u"]).as_deref(), Some("p:a\\b:c"));
        assert_eq!(password_in(text, ["x", "1", "d", "u"]).as_deref(), Some("all"));
        assert_eq!(password_in("h:1:d:u", ["h", "1", "d", "u"]), None);
        let six = "\\:\\:1:5:d:u:six";
        assert_eq!(password_in(six, ["::1", "5", "d", "u"]).as_deref(), Some("six"));
    }
}
