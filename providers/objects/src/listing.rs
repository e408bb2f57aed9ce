//! What a bucket holds: objects, and uploads that were begun and not ended.
//!
//! Keys travel percent-encoded, so that any key can be listed. Tested here and in `tests/bucket.rs`.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bucket::{Bucket, ObjectMeta, unquoted};
use crate::error::{Class, ObjectError};

/// A multipart upload under way. It costs storage until it is completed or aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The key of the object it is to become.
    pub key: String,
    /// What names it in requests.
    pub upload_id: String,
    /// When it was begun, if the store told.
    pub initiated: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Objects {
    #[serde(default)]
    contents: Vec<Contents>,
    #[serde(default)]
    encoding_type: Option<String>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    key: String,
    size: u64,
    #[serde(rename = "ETag", default)]
    etag: String,
    last_modified: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploads {
    #[serde(default)]
    upload: Vec<Begun>,
    #[serde(default)]
    encoding_type: Option<String>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    key: String,
    upload_id: String,
    #[serde(default)]
    initiated: Option<String>,
}

impl Bucket {
    /// All objects whose keys begin with `prefix`, by key.
    ///
    /// # Errors
    /// Any class but `Conflict`; may be repeated.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, ObjectError> {
        let attempt = format!("listing `{}`", self.name);
        let mut objects = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![("list-type", "2"), ("encoding-type", "url"), ("prefix", prefix)];
            if let Some(token) = &token {
                query.push(("continuation-token", token));
            }
            let page: Objects = read(&attempt, &self.signed_get_document(&attempt, &query).await?)?;
            for contents in page.contents {
                objects.push(ObjectMeta {
                    key: decoded(&contents.key, page.encoding_type.as_deref()),
                    size: contents.size,
                    etag: unquoted(&contents.etag),
                    last_modified: contents.last_modified.parse().map_err(
                        |error: jiff::Error| ObjectError::rejected(&attempt, error.to_string()),
                    )?,
                });
            }
            token = page.next_continuation_token.filter(|_| page.is_truncated);
            if token.is_none() {
                return Ok(objects);
            }
        }
    }

    /// All uploads under way whose keys begin with `prefix`.
    ///
    /// # Errors
    /// Any class but `Conflict`; may be repeated.
    pub async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>, ObjectError> {
        let attempt = format!("listing uploads in `{}`", self.name);
        let mut uploads = Vec::new();
        let (mut key_marker, mut id_marker) = (String::new(), String::new());
        loop {
            let mut query = vec![("uploads", ""), ("encoding-type", "url"), ("prefix", prefix)];
            if !key_marker.is_empty() {
                query.push(("key-marker", &key_marker));
                query.push(("upload-id-marker", &id_marker));
            }
            let page: Uploads = read(&attempt, &self.signed_get_document(&attempt, &query).await?)?;
            for begun in page.upload {
                uploads.push(Upload {
                    key: decoded(&begun.key, page.encoding_type.as_deref()),
                    upload_id: begun.upload_id,
                    initiated: begun.initiated.and_then(|time| time.parse().ok()),
                });
            }
            if !page.is_truncated || page.next_key_marker.is_empty() {
                return Ok(uploads);
            }
            key_marker = decoded(&page.next_key_marker, page.encoding_type.as_deref());
            id_marker = page.next_upload_id_marker;
        }
    }
}

/// A document that does not parse is one that was cut on the way.
pub(crate) fn read<T: DeserializeOwned>(attempt: &str, document: &str) -> Result<T, ObjectError> {
    quick_xml::de::from_str(document).map_err(|error| {
        ObjectError::new(Class::Transient, attempt, None, format!("unreadable answer: {error}"))
    })
}

fn decoded(key: &str, encoding: Option<&str>) -> String {
    if encoding != Some("url") {
        return key.to_owned();
    }
    // A query of one pair decodes its value as this encoding is meant: `%20` and `+` are both spaces.
    let query = format!("k={}", key.replace('&', "%26"));
    url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_uploads_in_any_dress() {
        let document = "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"x\"><Bucket>b</Bucket>\
            <KeyMarker/><UploadIdMarker></UploadIdMarker><IsTruncated>false</IsTruncated>\
            <Upload><Key>a%20%26%2B</Key><UploadId>2~x</UploadId><Initiated>2026-01-02T03:04:05.678Z</Initiated>\
            <Owner><ID>o</ID></Owner></Upload><EncodingType>url</EncodingType></ListMultipartUploadsResult>";
        let uploads: Uploads = read("listing", document).expect("readable");
        assert_eq!(uploads.upload.len(), 1);
        let key = decoded(&uploads.upload[0].key, uploads.encoding_type.as_deref());
        assert_eq!((key.as_str(), uploads.upload[0].upload_id.as_str()), ("a &+", "2~x"));
    }

    #[test]
    fn a_cut_answer_may_be_asked_for_again() {
        let error = read::<Uploads>("listing", "<ListMulti").err().expect("unreadable");
        assert_eq!(error.class(), Class::Transient);
    }
}
