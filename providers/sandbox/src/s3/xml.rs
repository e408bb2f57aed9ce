//! The XML of S3: elements out, and the two small documents that clients send in.
//!
//! Knows neither requests nor storage. Tested here.

use std::fmt::Write;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::failure::Failure;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// An element under construction.
pub(crate) struct Element {
    name: &'static str,
    attributes: &'static str,
    inner: String,
}

impl Element {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, attributes: "", inner: String::new() }
    }

    /// With attributes written out, for the few places that need them.
    pub(crate) fn with_attributes(name: &'static str, attributes: &'static str) -> Self {
        Self { name, attributes, inner: String::new() }
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        // Writing into a string cannot fail.
        let _ = write!(self.inner, "<{name}>{}</{name}>", escape(value));
        self
    }

    pub(crate) fn child(&mut self, child: Self) -> &mut Self {
        self.inner.push_str(&child.render(false));
        self
    }

    /// The whole document, in no namespace, as error bodies are.
    pub(crate) fn document(&self) -> String {
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}", self.render(false))
    }

    /// The whole document in the namespace of S3.
    pub(crate) fn s3_document(&self) -> String {
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}", self.render(true))
    }

    fn render(&self, namespaced: bool) -> String {
        let namespace = if namespaced { format!(" xmlns=\"{NAMESPACE}\"") } else { String::new() };
        let attributes = if self.attributes.is_empty() {
            String::new()
        } else {
            format!(" {}", self.attributes)
        };
        format!("<{0}{namespace}{attributes}>{1}</{0}>", self.name, self.inner)
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            control if (control as u32) < 0x20 => {
                let _ = write!(escaped, "&#x{:X};", control as u32);
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// The parts that a client wants joined: number and ETag without quotes, in its order.
pub(crate) fn parts_to_complete(body: &[u8]) -> Result<Vec<(u32, String)>, Failure> {
    let mut parts = Vec::new();
    for fields in records(body, "CompleteMultipartUpload", "Part")? {
        let number = field(&fields, "PartNumber").ok_or_else(Failure::malformed_xml)?;
        let etag = field(&fields, "ETag").ok_or_else(Failure::malformed_xml)?;
        let number = number.trim().parse().map_err(|_| Failure::malformed_xml())?;
        parts.push((number, etag.trim().trim_matches('"').to_owned()));
    }
    Ok(parts)
}

/// The keys that a client wants deleted.
pub(crate) fn keys_to_delete(body: &[u8]) -> Result<Vec<String>, Failure> {
    records(body, "Delete", "Object")?
        .into_iter()
        .map(|fields| field(&fields, "Key").map(str::to_owned).ok_or_else(Failure::malformed_xml))
        .collect()
}

/// The text of `<name>` anywhere in the document.
pub(crate) fn text_of(body: &[u8], root: &str, name: &str) -> Result<Option<String>, Failure> {
    let fields = records(body, root, root)?;
    Ok(fields.first().and_then(|fields| field(fields, name)).map(str::to_owned))
}

type Fields = Vec<(String, String)>;

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The leaf elements below each `record` of a document whose outermost element is `root`.
fn records(body: &[u8], root: &str, record: &str) -> Result<Vec<Fields>, Failure> {
    let malformed = |_| Failure::malformed_xml();
    let text = std::str::from_utf8(body).map_err(|_| Failure::malformed_xml())?;
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut records: Vec<Fields> = Vec::new();
    let mut leaf = String::new();
    loop {
        match reader.read_event().map_err(malformed)? {
            Event::Start(start) => {
                let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                if path.is_empty() && name != root {
                    return Err(Failure::malformed_xml());
                }
                if name == record {
                    records.push(Fields::new());
                }
                path.push(name);
                leaf.clear();
            }
            Event::Text(piece) => {
                leaf.push_str(&piece.decode().map_err(|_| Failure::malformed_xml())?);
            }
            Event::CData(piece) => {
                leaf.push_str(&piece.decode().map_err(|_| Failure::malformed_xml())?);
            }
            Event::GeneralRef(reference) => {
                if let Some(character) =
                    reference.resolve_char_ref().map_err(|_| Failure::malformed_xml())?
                {
                    leaf.push(character);
                } else {
                    let name = reference.decode().map_err(|_| Failure::malformed_xml())?;
                    let resolved = quick_xml::escape::resolve_xml_entity(&name)
                        .ok_or_else(Failure::malformed_xml)?;
                    leaf.push_str(resolved);
                }
            }
            Event::End(_) => {
                let Some(name) = path.pop() else { return Err(Failure::malformed_xml()) };
                if name != record
                    && let Some(current) = records.last_mut()
                {
                    current.push((name, std::mem::take(&mut leaf)));
                }
                if path.is_empty() {
                    return Ok(records);
                }
            }
            Event::Eof => return Err(Failure::malformed_xml()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_it_writes() {
        let mut element = Element::new("A");
        element.text("Key", "a<b>&\"c\u{1}");
        assert_eq!(
            element.s3_document(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><A xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Key>a&lt;b&gt;&amp;&quot;c&#x1;</Key></A>"
        );
    }

    #[test]
    fn reads_parts_with_every_spelling_of_a_quote() {
        let body = "<?xml version=\"1.0\"?>\n<CompleteMultipartUpload xmlns=\"x\">\
            <Part><PartNumber>1</PartNumber><ETag>&quot;aa&quot;</ETag></Part>\
            <Part><ETag>\"bb\"</ETag><PartNumber> 2 </PartNumber></Part>\
            <Part><PartNumber>3</PartNumber><ETag>&#34;cc&#x22;</ETag></Part></CompleteMultipartUpload>";
        assert_eq!(
            parts_to_complete(body.as_bytes()),
            Ok(vec![(1, "aa".to_owned()), (2, "bb".to_owned()), (3, "cc".to_owned())])
        );
    }

    #[test]
    fn reads_keys_to_delete() {
        let body = "<Delete><Quiet>true</Quiet><Object><Key>a &amp; b</Key></Object><Object><Key>c</Key></Object></Delete>";
        assert_eq!(keys_to_delete(body.as_bytes()), Ok(vec!["a & b".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn refuses_what_is_no_such_document() {
        for body in
            ["", "<Delete>", "<Other/>", "<Other></Other>", "{}", "<Delete><Object></Delete>"]
        {
            assert_eq!(keys_to_delete(body.as_bytes()), Err(Failure::malformed_xml()), "{body}");
        }
    }
}
