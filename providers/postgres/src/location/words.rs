//! What a connection string says, as words: each parameter with its value, in either of the two forms of libpq.
//!
//! Knows what the forms look like, and no parameter's meaning. Nothing of the text is ever quoted, since any part of it
//! may be part of a password. Tested in `location`.

/// The parameters of a connection string. The last of a name counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(pub(super) Vec<(String, String)>);

impl Words {
    /// Reads `text`.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(rest) =
            ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme))
        {
            return of_url(rest);
        }
        let before = text.split_once("://").map(|(before, _)| before);
        if before.is_some_and(|scheme| !scheme.contains('=')) || !text.contains('=') {
            return Err(
                "it must begin with `postgres://`, or be of the form `host=… user=… dbname=…`"
                    .to_owned(),
            );
        }
        of_pairs(text)
    }

    /// The value of `name`, if there is one that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let last = self.0.iter().rev().find(|(key, _)| key == name);
        last.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.0.push((name.to_owned(), value.into()));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }

    /// All of them as a URL.
    pub(super) fn url(&self) -> String {
        let mut url = "postgres://".to_owned();
        if let Some(user) = self.get("user") {
            url.push_str(&encoded(user));
            if let Some(password) = self.get("password") {
                url.push(':');
                url.push_str(&encoded(password));
            }
            url.push('@');
        }
        let host = self.get("host").unwrap_or_default();
        url.push_str(&if host.contains(':') { format!("[{host}]") } else { encoded(host) });
        if let Some(port) = self.get("port") {
            url.push(':');
            url.push_str(&encoded(port));
        }
        url.push('/');
        url.push_str(&encoded(self.get("dbname").unwrap_or_default()));
        let named = ["user", "password", "host", "port", "dbname"];
        let mut sign = '?';
        for (key, value) in self.0.iter().filter(|(key, _)| !named.contains(&key.as_str())) {
            url.push_str(&format!("{sign}{}={}", encoded(key), encoded(value)));
            sign = '&';
        }
        url
    }
}

/// A URL without its scheme. Several hosts are one value with commas, as are their ports.
fn of_url(rest: &str) -> Result<Words, String> {
    well_encoded(rest)?;
    let mut words = Words::default();
    let (named, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = named.split_once('/').unwrap_or((named, ""));
    let (login, places) = match authority.split_once('@') {
        Some((login, places)) => (Some(login), places),
        None => (None, authority),
    };
    if let Some(login) = login {
        let (user, password) =
            login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
        words.set("user", decoded(user));
        if let Some(password) = password {
            words.set("password", decoded(password));
        }
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for place in places.split(',') {
        let (host, port) = match place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or(rest)),
            None => place.split_once(':').unwrap_or((place, "")),
        };
        if !port.is_empty() && port.parse::<u16>().is_err() {
            return Err("its `port` is no port number: in user, password and database write `%3A` for a `:`, `%2F` \
                        for a `/` and `%3F` for a `?`"
                .to_owned());
        }
        hosts.push(decoded(host));
        ports.push(port);
    }
    words.set("host", hosts.join(","));
    if ports.iter().any(|port| !port.is_empty()) {
        words.set("port", ports.join(","));
    }
    words.set("dbname", decoded(database));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err("what follows its `?` is not of the form `key=value`: in user, password and database write \
                        `%3F` for a `?`"
                .to_owned());
        };
        words.set(&decoded(key), decoded(value));
    }
    Ok(words)
}

/// `key=value` with spaces between them; `'` quotes a value and `\` the next sign.
fn of_pairs(text: &str) -> Result<Words, String> {
    let mut words = Words::default();
    let mut signs = text.chars().peekable();
    loop {
        while signs.next_if(|sign| sign.is_whitespace()).is_some() {}
        let mut key = String::new();
        while let Some(sign) = signs.next_if(|sign| *sign != '=' && !sign.is_whitespace()) {
            key.push(sign);
        }
        while signs.next_if(|sign| sign.is_whitespace()).is_some() {}
        if key.is_empty() && signs.peek().is_none() {
            return Ok(words);
        }
        if signs.next_if_eq(&'=').is_none() || key.is_empty() {
            return Err("a word in it is not of the form `key=value`: write `key='two words'` for a value with spaces".to_owned());
        }
        while signs.next_if(|sign| sign.is_whitespace()).is_some() {}
        let quoted = signs.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match signs.next_if(|sign| quoted || !sign.is_whitespace()) {
                Some('\'') if quoted => break,
                Some('\\') => value.extend(signs.next()),
                Some(sign) => value.push(sign),
                None if quoted => {
                    return Err(
                        "a quoted value in it does not end: write `\\'` for a `'` in it".to_owned()
                    );
                }
                None => break,
            }
        }
        words.set(&key, value);
    }
}

/// Refuses what a parser would take apart at the wrong place, so that no part of a password becomes a host name
/// (RFC 3986, 2.2 and 3.2). Nothing of the text is quoted.
fn well_encoded(text: &str) -> Result<(), String> {
    let encode = |sign: char, code: &str| {
        format!(
            "a `{sign}` in its user, password or database is not encoded: write `{code}` for it"
        )
    };
    if text.contains('#') {
        return Err(encode('#', "%23"));
    }
    let named = text.split_once('?').map_or(text, |(named, _)| named);
    let (authority, path) = named.split_once('/').unwrap_or((named, ""));
    let query = text.split_once('?').map_or("", |(_, query)| query);
    if !named.contains('@') && query.contains('@') {
        return Err(encode('?', "%3F"));
    }
    if authority.matches('@').count() > 1 || path.contains('@') {
        return Err(encode('@', "%40"));
    }
    let escapes = text.split('%').skip(1);
    let two_digits = |after: &str| after.bytes().take_while(u8::is_ascii_hexdigit).count() >= 2;
    if !escapes.into_iter().all(two_digits) {
        return Err(encode('%', "%25"));
    }
    Ok(())
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `%40` → `@`; what is no escape stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let escape = (bytes[index] == b'%')
            .then(|| text.get(index + 1..index + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = escape {
            out.push(byte);
            index += 3;
        } else {
            out.push(bytes[index]);
            index += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
