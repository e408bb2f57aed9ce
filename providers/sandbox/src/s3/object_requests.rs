//! Requests for objects: reading, writing, deleting, access lists.
//!
//! Tested in `tests/s3.rs`.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};

use super::S3;
use super::access::{Caller, Wish};
use super::answer::{Answer, document, empty, http_date, quoted};
use super::body::{Incoming, read_through};
use super::bucket::{Conditions, Labels, MAX_PART_BYTES, Object};
use super::bucket_requests::{access_list, canned_acl, canned_acl_alone, with_header};
use super::failure::Failure;
use super::head::Head;
use super::signature::hex;
use super::xml::{self, Element};

const MAX_KEY_BYTES: usize = 1024;
const KEPT_HEADERS: &[&str] = &[
    "content-type",
    "content-disposition",
    "content-encoding",
    "content-language",
    "cache-control",
];

impl S3 {
    pub(crate) async fn put_object(
        &self,
        head: &Head,
        incoming: &mut Incoming,
        caller: &Caller,
    ) -> Answer {
        self.permit(caller, Wish::Write, head)?;
        let labels = labels(head)?;
        let conditions = Conditions {
            if_match: head.header("if-match").map(str::to_owned),
            if_none_match: head.header("if-none-match").map(str::to_owned),
        };
        let stored = incoming.store(head, &self.shared.blobs, MAX_PART_BYTES).await?;
        let etag = hex(&stored.md5);
        let object = Object {
            size: stored.blob.size,
            blobs: vec![stored.blob],
            etag: etag.clone(),
            last_modified: self.now(),
            labels,
        };
        let mut world = self.world();
        let bucket = world.buckets.get_mut(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        bucket.put(&head.key, object, &conditions)?;
        let mut response = empty(StatusCode::OK);
        with_header(&mut response, "etag", &quoted(&etag))?;
        Ok(response)
    }

    pub(crate) fn head_object(&self, head: &Head, caller: &Caller) -> Answer {
        let object = self.readable(head, caller)?;
        let range = wanted_range(head, object.size)?;
        described(head, caller, &object, range, Body::empty())
    }

    pub(crate) async fn get_object(&self, head: &Head, caller: &Caller) -> Answer {
        let object = self.readable(head, caller)?;
        let range = wanted_range(head, object.size)?;
        let (start, length) = match range {
            Some((first, last)) => (first, last - first + 1),
            None => (0, object.size),
        };
        let body = Body::from_stream(read_through(object.blobs.clone(), start, length));
        described(head, caller, &object, range, body)
    }

    fn readable(&self, head: &Head, caller: &Caller) -> Result<Object, Failure> {
        self.permit(caller, Wish::Read, head)?;
        let world = self.world();
        let bucket = world.buckets.get(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        let object = bucket.object(&head.key)?;
        let names = |list: &str| {
            list.split(',')
                .map(|etag| etag.trim().trim_start_matches("W/").trim_matches('"'))
                .any(|etag| etag == "*" || etag == object.etag)
        };
        if head.header("if-match").is_some_and(|list| !names(list)) {
            return Err(Failure::precondition_failed());
        }
        if head.header("if-none-match").is_some_and(names) {
            return Err(Failure::not_modified());
        }
        Ok(object.clone())
    }

    pub(crate) fn delete_object(&self, head: &Head, caller: &Caller) -> Answer {
        self.permit(caller, Wish::Write, head)?;
        let mut world = self.world();
        let bucket = world.buckets.get_mut(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        bucket.objects.remove(&head.key);
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(crate) async fn delete_objects(
        &self,
        head: &Head,
        incoming: &mut Incoming,
        caller: &Caller,
    ) -> Answer {
        self.permit(caller, Wish::Write, head)?;
        let body = incoming.document(head).await?;
        let keys = xml::keys_to_delete(&body)?;
        if keys.is_empty() || keys.len() > 1000 {
            return Err(Failure::malformed_xml());
        }
        let is_quiet = xml::text_of(&body, "Delete", "Quiet")?.as_deref() == Some("true");
        let mut world = self.world();
        let bucket = world.buckets.get_mut(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        let mut result = Element::new("DeleteResult");
        for key in keys {
            bucket.objects.remove(&key);
            if !is_quiet {
                let mut deleted = Element::new("Deleted");
                deleted.text("Key", &key);
                result.child(deleted);
            }
        }
        Ok(document(&result))
    }

    pub(crate) fn object_acl(&self, head: &Head, caller: &Caller) -> Answer {
        self.permit(caller, Wish::Inspect, head)?;
        let world = self.world();
        let bucket = world.buckets.get(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        Ok(document(&access_list(&bucket.object(&head.key)?.labels.acl)))
    }

    pub(crate) async fn put_object_acl(
        &self,
        head: &Head,
        incoming: &mut Incoming,
        caller: &Caller,
    ) -> Answer {
        self.permit(caller, Wish::Write, head)?;
        let acl = canned_acl_alone(head, incoming).await?;
        let mut world = self.world();
        let bucket = world.buckets.get_mut(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        let object = bucket.objects.get_mut(&head.key).ok_or_else(Failure::no_such_key)?;
        object.labels.acl = acl;
        Ok(empty(StatusCode::OK))
    }
}

/// What a PUT or the start of an upload says besides the content. Copies and customer keys are refused; other
/// encryption headers are ignored, as Ceph does.
pub(crate) fn labels(head: &Head) -> Result<Labels, Failure> {
    if head.key.len() > MAX_KEY_BYTES {
        return Err(Failure::key_too_long());
    }
    if head.header("x-amz-copy-source").is_some() {
        return Err(Failure::not_implemented());
    }
    if head.header("x-amz-server-side-encryption-customer-algorithm").is_some() {
        return Err(Failure::invalid_request()); // needs TLS
    }
    let headers = head
        .headers
        .iter()
        .filter(|(name, _)| {
            KEPT_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("x-amz-meta-")
        })
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect();
    Ok(Labels { acl: canned_acl(head)?, headers })
}

fn described(
    head: &Head,
    caller: &Caller,
    object: &Object,
    range: Option<(u64, u64)>,
    body: Body,
) -> Answer {
    let mut response = Response::new(body);
    let length = match range {
        Some((first, last)) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {first}-{last}/{}", object.size);
            with_header(&mut response, "content-range", &text)?;
            last - first + 1
        }
        None => object.size,
    };
    with_header(&mut response, "content-length", &length.to_string())?;
    with_header(&mut response, "accept-ranges", "bytes")?;
    with_header(&mut response, "etag", &quoted(&object.etag))?;
    with_header(&mut response, "last-modified", &http_date(object.last_modified))?;
    with_header(&mut response, "content-type", "binary/octet-stream")?;
    for (name, value) in &object.labels.headers {
        insert(&mut response, name, value)?;
    }
    // Only who signs may have the answer dressed up.
    if *caller != Caller::Anonymous {
        for (name, value) in &head.query {
            if let Some(name) = name.strip_prefix("response-") {
                insert(&mut response, name, value)?;
            }
        }
    }
    Ok(response)
}

fn insert(response: &mut Response<Body>, name: &str, value: &str) -> Result<(), Failure> {
    let name = HeaderName::try_from(name).map_err(|_| Failure::invalid_argument())?;
    let value = HeaderValue::try_from(value).map_err(|_| Failure::invalid_argument())?;
    response.headers_mut().insert(name, value);
    Ok(())
}

fn wanted_range(head: &Head, size: u64) -> Result<Option<(u64, u64)>, Failure> {
    head.header("range").map_or(Ok(None), |range| parse_range(range, size))
}

/// First and last byte of a `Range` header. What is no single range of bytes is ignored, as the HTTP standard says.
fn parse_range(range: &str, size: u64) -> Result<Option<(u64, u64)>, Failure> {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|spec| spec.split_once('-'))
    else {
        return Ok(None);
    };
    let bounds = match (first.trim(), last.trim()) {
        ("", suffix) => {
            let Ok(suffix) = suffix.parse::<u64>() else { return Ok(None) };
            if suffix == 0 || size == 0 {
                return Err(Failure::invalid_range());
            }
            (size.saturating_sub(suffix), size - 1)
        }
        (first, last) => {
            let Ok(first) = first.parse::<u64>() else { return Ok(None) };
            let last = match last {
                "" => u64::MAX,
                last => match last.parse::<u64>() {
                    Ok(last) if last >= first => last,
                    _ => return Ok(None),
                },
            };
            if first >= size {
                return Err(Failure::invalid_range());
            }
            (first, last.min(size - 1))
        }
    };
    Ok(Some(bounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ranges() {
        for (range, expected) in [
            ("bytes=0-4", Ok(Some((0, 4)))),
            ("bytes=5-", Ok(Some((5, 9)))),
            ("bytes=5-99", Ok(Some((5, 9)))),
            ("bytes=-3", Ok(Some((7, 9)))),
            ("bytes=-30", Ok(Some((0, 9)))),
            ("bytes=10-", Err(Failure::invalid_range())),
            ("bytes=-0", Err(Failure::invalid_range())),
            ("bytes=4-2", Ok(None)),
            ("bytes=0-1,3-4", Ok(None)),
            ("lines=0-1", Ok(None)),
        ] {
            assert_eq!(parse_range(range, 10), expected, "{range}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Err(Failure::invalid_range()));
    }
}
