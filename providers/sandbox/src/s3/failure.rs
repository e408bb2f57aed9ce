//! Refusals as the protocol words them: a status, a code, and an XML body.
//!
//! Knows the codes, not who raises them. Tested over HTTP in `tests/s3.rs`.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Response, StatusCode};

use super::xml::Element;

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    message: &'static str,
}

macro_rules! failures {
    ($($name:ident = $status:ident, $code:literal, $message:literal;)*) => {
        impl Failure {
            $(pub(crate) const fn $name() -> Self {
                Self { status: StatusCode::$status, code: $code, message: $message }
            })*
        }
    };
}

// Messages are empty where Ceph leaves them empty.
failures! {
    access_denied = FORBIDDEN, "AccessDenied", "";
    bad_digest = BAD_REQUEST, "BadDigest", "";
    bucket_not_empty = CONFLICT, "BucketNotEmpty", "";
    entity_too_large = BAD_REQUEST, "EntityTooLarge", "";
    entity_too_small = BAD_REQUEST, "EntityTooSmall", "";
    expired = FORBIDDEN, "AccessDenied", "Request has expired";
    incomplete_body = BAD_REQUEST, "IncompleteBody", "";
    internal = INTERNAL_SERVER_ERROR, "InternalError", "";
    invalid_access_key = FORBIDDEN, "InvalidAccessKeyId", "";
    invalid_argument = BAD_REQUEST, "InvalidArgument", "";
    invalid_bucket_name = BAD_REQUEST, "InvalidBucketName", "";
    invalid_digest = BAD_REQUEST, "InvalidDigest", "";
    invalid_location = BAD_REQUEST, "InvalidLocationConstraint", "";
    invalid_part = BAD_REQUEST, "InvalidPart", "";
    invalid_part_order = BAD_REQUEST, "InvalidPartOrder", "";
    invalid_range = RANGE_NOT_SATISFIABLE, "InvalidRange", "";
    invalid_request = BAD_REQUEST, "InvalidRequest", "";
    invalid_uri = BAD_REQUEST, "InvalidURI", "";
    key_too_long = BAD_REQUEST, "KeyTooLongError", "";
    malformed_xml = BAD_REQUEST, "MalformedXML", "";
    method_not_allowed = METHOD_NOT_ALLOWED, "MethodNotAllowed", "";
    missing_length = LENGTH_REQUIRED, "MissingContentLength", "";
    no_such_bucket = NOT_FOUND, "NoSuchBucket", "";
    no_such_key = NOT_FOUND, "NoSuchKey", "";
    no_such_upload = NOT_FOUND, "NoSuchUpload", "";
    not_implemented = NOT_IMPLEMENTED, "NotImplemented", "";
    not_modified = NOT_MODIFIED, "NotModified", "";
    payload_mismatch = BAD_REQUEST, "XAmzContentSHA256Mismatch", "";
    precondition_failed = PRECONDITION_FAILED, "PreconditionFailed", "";
    signature_mismatch = FORBIDDEN, "SignatureDoesNotMatch", "";
    time_skewed = FORBIDDEN, "RequestTimeTooSkewed", "";
    unsigned_header = FORBIDDEN, "AccessDenied", "There were headers present in the request which were not signed";
}

impl Failure {
    /// The answer; a HEAD gets the status alone.
    pub(crate) fn into_response(
        self,
        bucket: &str,
        request_id: &str,
        is_head: bool,
    ) -> Response<Body> {
        let has_body = !is_head && self.status != StatusCode::NOT_MODIFIED;
        let body = if has_body {
            let mut error = Element::new("Error");
            error.text("Code", self.code).text("Message", self.message);
            if !bucket.is_empty() {
                error.text("BucketName", bucket);
            }
            error.text("RequestId", request_id).text("HostId", "local-default-default");
            Body::from(error.document())
        } else {
            Body::empty()
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        if has_body {
            let xml = axum::http::HeaderValue::from_static("application/xml");
            response.headers_mut().insert(CONTENT_TYPE, xml);
        }
        response
    }
}
