//! From a request to its answer: who sent it, what it wants, who carries it out.
//!
//! The table of operations is here; what each does is in the `*_requests` files. Whatever is in no table is refused
//! as not implemented, never guessed at. Tested in `tests/s3.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use jiff::Timestamp;

use super::S3;
use super::access::{Caller, Wish};
use super::body::Incoming;
use super::failure::Failure;
use super::head::Head;
use super::signature::Claim;
use super::xml::Element;

pub(crate) type Answer = Result<Response<Body>, Failure>;

const LIST_OPERANDS: &[&str] = &[
    "list-type",
    "prefix",
    "delimiter",
    "marker",
    "max-keys",
    "continuation-token",
    "start-after",
    "encoding-type",
    "fetch-owner",
];
const UPLOADS_OPERANDS: &[&str] =
    &["uploads", "prefix", "max-uploads", "key-marker", "upload-id-marker", "encoding-type"];
const PARTS_OPERANDS: &[&str] = &["uploadId", "max-parts", "part-number-marker", "encoding-type"];
// `partNumber` of a GET is ignored by the real service, which sends the whole object.
const READ_OPERANDS: &[&str] = &[
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];

impl S3 {
    pub(crate) async fn serve(&self, request: Request) -> Response<Body> {
        static SERVED: AtomicU64 = AtomicU64::new(1);
        let request_id = format!("tx{:021x}-local", SERVED.fetch_add(1, Ordering::Relaxed));
        let (parts, body) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        let mut incoming = Incoming::new(body);
        let (bucket, answer) = match Head::read(parts) {
            Ok(head) => {
                let answer = self.answer(&head, &mut incoming).await;
                (head.bucket, answer)
            }
            Err(failure) => (String::new(), Err(failure)),
        };
        let mut response = match answer {
            Ok(response) => response,
            Err(failure) => {
                incoming.drain().await;
                failure.into_response(&bucket, &request_id, is_head)
            }
        };
        if let Ok(value) = HeaderValue::try_from(request_id) {
            response.headers_mut().insert(HeaderName::from_static("x-amz-request-id"), value);
        }
        response
    }

    async fn answer(&self, head: &Head, incoming: &mut Incoming) -> Answer {
        let caller = self.identify(head, incoming)?;
        match (head.bucket.is_empty(), head.key.is_empty()) {
            (true, _) => self.answer_service(head, &caller),
            (false, true) => self.answer_bucket(head, incoming, &caller).await,
            (false, false) => self.answer_object(head, incoming, &caller).await,
        }
    }

    fn identify(&self, head: &Head, incoming: &mut Incoming) -> Result<Caller, Failure> {
        let Some(claim) = Claim::find(head)? else {
            return Ok(Caller::Anonymous);
        };
        let key = self.world().keys.usable(&claim.access_key, Instant::now())?;
        claim.verify(head, &key.secret_key, Timestamp::now())?;
        incoming.expect(claim.payload);
        Ok(Caller::Keyed(key.grants))
    }

    fn answer_service(&self, head: &Head, caller: &Caller) -> Answer {
        match head.method {
            Method::GET if takes(head, &[], &[]) => self.list_buckets(caller),
            Method::GET => Err(Failure::not_implemented()),
            _ => Err(Failure::method_not_allowed()),
        }
    }

    async fn answer_bucket(&self, head: &Head, incoming: &mut Incoming, caller: &Caller) -> Answer {
        match head.method {
            Method::PUT if takes(head, &[], &[]) => self.make_bucket(head, incoming, caller).await,
            Method::PUT if takes(head, &["acl"], &["acl"]) => {
                self.put_bucket_acl(head, incoming, caller).await
            }
            Method::PUT if takes(head, &["versioning"], &["versioning"]) => {
                self.put_versioning(head, incoming, caller).await
            }
            Method::HEAD if takes(head, &[], &[]) => self.head_bucket(head, caller),
            Method::DELETE if takes(head, &[], &[]) => self.remove_bucket(head, caller),
            Method::GET if takes(head, &[], LIST_OPERANDS) => self.list_objects(head, caller),
            Method::GET if takes(head, &["uploads"], UPLOADS_OPERANDS) => {
                self.list_uploads(head, caller)
            }
            Method::GET if head.operands().count() == 1 => self.bucket_setting(head, caller),
            Method::POST if takes(head, &["delete"], &["delete"]) => {
                self.delete_objects(head, incoming, caller).await
            }
            Method::GET | Method::HEAD | Method::PUT | Method::POST | Method::DELETE => {
                Err(Failure::not_implemented())
            }
            _ => Err(Failure::method_not_allowed()),
        }
    }

    async fn answer_object(&self, head: &Head, incoming: &mut Incoming, caller: &Caller) -> Answer {
        const PART: &[&str] = &["partNumber", "uploadId"];
        match head.method {
            Method::GET if takes(head, &[], READ_OPERANDS) => self.get_object(head, caller).await,
            Method::HEAD if takes(head, &[], READ_OPERANDS) => self.head_object(head, caller),
            Method::GET if takes(head, &["acl"], &["acl"]) => self.object_acl(head, caller),
            Method::GET if takes(head, &["uploadId"], PARTS_OPERANDS) => {
                self.list_parts(head, caller)
            }
            Method::PUT if takes(head, &[], &[]) => self.put_object(head, incoming, caller).await,
            Method::PUT if takes(head, PART, PART) => {
                self.upload_part(head, incoming, caller).await
            }
            Method::PUT if takes(head, &["acl"], &["acl"]) => {
                self.put_object_acl(head, incoming, caller).await
            }
            Method::DELETE if takes(head, &[], &[]) => self.delete_object(head, caller),
            Method::DELETE if takes(head, &["uploadId"], &["uploadId"]) => {
                self.abort_upload(head, caller)
            }
            Method::POST if takes(head, &["uploads"], &["uploads"]) => {
                self.start_upload(head, caller)
            }
            Method::POST if takes(head, &["uploadId"], &["uploadId"]) => {
                self.complete_upload(head, incoming, caller).await
            }
            Method::GET | Method::HEAD | Method::PUT | Method::POST | Method::DELETE => {
                Err(Failure::not_implemented())
            }
            _ => Err(Failure::method_not_allowed()),
        }
    }

    /// Refuses what the caller may not do to the bucket or object of the request.
    ///
    /// A missing bucket is told to anyone; a missing object to those only who may list.
    pub(crate) fn permit(&self, caller: &Caller, wish: Wish, head: &Head) -> Result<(), Failure> {
        let world = self.world();
        let bucket = world.buckets.get(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        match bucket.objects.get(&head.key) {
            Some(object) => caller.check(wish, &head.bucket, &bucket.acl, &object.labels.acl),
            None if wish == Wish::Read => {
                caller.check(Wish::List, &head.bucket, &bucket.acl, "private")
            }
            None => caller.check(wish, &head.bucket, &bucket.acl, "private"),
        }
    }
}

/// Whether the request has all of `needed` and nothing besides `allowed`.
fn takes(head: &Head, needed: &[&str], allowed: &[&str]) -> bool {
    needed.iter().all(|name| head.parameter(name).is_some())
        && head.operands().all(|name| allowed.contains(&name))
}

pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

pub(crate) fn document(element: &Element) -> Response<Body> {
    let mut response = Response::new(Body::from(element.s3_document()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// An instant as bodies show it.
pub(crate) fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// An instant as headers show it.
pub(crate) fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

pub(crate) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// A parameter that counts something, `standard` where it is absent and at most `standard`.
pub(crate) fn limit(head: &Head, name: &str, standard: usize) -> Result<usize, Failure> {
    match head.parameter(name) {
        None | Some("") => Ok(standard),
        Some(text) => text
            .parse::<usize>()
            .map(|count| count.min(standard))
            .map_err(|_| Failure::invalid_argument()),
    }
}
