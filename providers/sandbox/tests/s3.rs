//! The S3 service over real HTTP: by an independent client, and by requests signed one by one.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use pgferry_sandbox::s3::{BucketError, BucketExists, Grants, Key, S3};
use reqwest::{Method, Response};
use tokio::task::JoinHandle;

const MIB: usize = 1 << 20;

struct Service {
    s3: S3,
    host: String,
    files: tempfile::TempDir,
    serving: JoinHandle<()>,
    http: reqwest::Client,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn key(name: &str, grants: Grants) -> Key {
    Key {
        access_key: name.to_owned(),
        secret_key: format!("secret of {name}"),
        grants,
        active_after: None,
    }
}

/// Status and error code; empty for an answer without one.
async fn verdict(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.text().await.expect("a body");
    (status, element(&body, "Code").unwrap_or_default())
}

fn element(document: &str, name: &str) -> Option<String> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.to_owned())
}

fn elements(document: &str, name: &str) -> Vec<String> {
    document
        .split(&format!("<{name}>"))
        .skip(1)
        .filter_map(|rest| rest.split_once(&format!("</{name}>")))
        .map(|(text, _)| text.to_owned())
        .collect()
}

impl Service {
    /// With the bucket `dumps`, the key `all`, and `read` and `write` for that bucket.
    async fn new() -> Self {
        let files = tempfile::tempdir().expect("a temporary folder");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let host = listener.local_addr().expect("an address").to_string();
        let s3 = S3::open(files.path(), host.clone()).expect("a service");
        s3.create_bucket("dumps").expect("a bucket");
        s3.add_key(key("all", Grants::Unlimited));
        s3.add_key(key("read", Grants::Limited(vec![("dumps".to_owned(), false)])));
        s3.add_key(key("write", Grants::Limited(vec![("dumps".to_owned(), true)])));
        let router = s3.router();
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving");
        });
        Self { s3, host, files, serving, http: reqwest::Client::new() }
    }

    fn client(&self) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", self.host))
            .with_allow_http(true)
            .with_region("anywhere")
            .with_bucket_name("dumps")
            .with_access_key_id("all")
            .with_secret_access_key("secret of all")
            .build()
            .expect("a client")
    }

    /// A request with some headers, signed with a key's own secret.
    async fn send_with(
        &self,
        access_key: &str,
        method: &str,
        path: &str,
        body: &[u8],
        headers: &[(&'static str, &str)],
    ) -> Response {
        let url = format!("http://{}{path}", self.host);
        let mut request = HttpRequest::new(HttpRequestBody::from(body.to_vec()));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).expect("a method");
        *request.uri_mut() = url.parse().expect("a URI");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        let credential = AwsCredential {
            key_id: access_key.to_owned(),
            secret_key: format!("secret of {access_key}"),
            token: None,
        };
        AwsAuthorizer::new(&credential, "s3", "anywhere")
            .try_authorize(&mut request, None)
            .expect("signed");
        self.http
            .request(request.method().clone(), url)
            .headers(request.headers().clone())
            .header("content-length", body.len()) // which is left out of an empty PUT otherwise
            .body(body.to_vec())
            .send()
            .await
            .expect("an answer")
    }

    async fn send(&self, access_key: &str, method: &str, path: &str, body: &[u8]) -> Response {
        self.send_with(access_key, method, path, body, &[]).await
    }

    async fn anonymous(&self, method: Method, path: &str) -> Response {
        let url = format!("http://{}{path}", self.host);
        self.http.request(method, url).send().await.expect("an answer")
    }

    async fn document(&self, path: &str) -> String {
        let response = self.send("all", "GET", path, b"").await;
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.expect("a body")
    }

    fn blobs(&self) -> usize {
        let folder = self.files.path().join("blobs");
        std::fs::read_dir(folder).expect("a folder").count()
    }
}

fn denied(code: &str) -> (u16, String) {
    (403, code.to_owned())
}

fn ok(status: u16) -> (u16, String) {
    (status, String::new())
}

#[tokio::test]
async fn the_control_plane_sees_what_clients_do() {
    let service = Service::new().await;
    let s3 = &service.s3;
    assert_eq!(s3.create_bucket("dumps"), Err(BucketExists("dumps".to_owned())));
    service.client().put(&Path::from("a"), PutPayload::from_static(b"12345")).await.expect("put");
    let bucket = &s3.buckets()[0];
    assert_eq!((bucket.name.as_str(), bucket.bytes, bucket.objects), ("dumps", 5, 1));
    let object = &s3.objects("dumps")[0];
    let seen = (object.name.as_str(), object.size, object.etag.as_str());
    assert_eq!(seen, ("a", 5, "827ccb0eea8a706c4c34a16891f84e7b"));
    assert_eq!(s3.delete_bucket("dumps"), Err(BucketError::NotEmpty("dumps".to_owned())));
    service.client().delete(&Path::from("a")).await.expect("deleted");
    let id = service.client().create_multipart(&Path::from("a")).await.expect("begun");
    assert_eq!(s3.uploads("dumps"), 1);
    assert_eq!(s3.delete_bucket("dumps"), Err(BucketError::NotEmpty("dumps".to_owned())));
    service.client().abort_multipart(&Path::from("a"), &id).await.expect("aborted");
    assert_eq!(s3.delete_bucket("dumps"), Ok(()));
    assert_eq!(s3.delete_bucket("dumps"), Err(BucketError::Missing("dumps".to_owned())));
    assert_eq!(service.blobs(), 0);
}

#[tokio::test]
async fn errors_look_like_cephs() {
    let service = Service::new().await;
    let response = service.send("all", "GET", "/dumps/none", b"").await;
    let id = response.headers()["x-amz-request-id"].to_str().expect("text").to_owned();
    assert_eq!(response.headers()["content-type"], "application/xml");
    assert_eq!(
        response.text().await.expect("a body"),
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchKey</Code><Message></Message>\
             <BucketName>dumps</BucketName><RequestId>{id}</RequestId><HostId>local-default-default</HostId></Error>"
        )
    );
    let response = service.send("all", "HEAD", "/dumps/none", b"").await;
    assert_eq!((response.status().as_u16(), response.text().await.expect("none")), ok(404));
}

#[tokio::test]
async fn signatures_are_checked() {
    let service = Service::new().await;
    let put = service.send("all", "PUT", "/dumps/a%20b", b"x").await;
    assert_eq!(verdict(put).await, ok(200));
    let got = service.send("all", "GET", "/dumps/a%20b", b"").await;
    assert_eq!(got.text().await.expect("a body"), "x");

    let nobody = service.anonymous(Method::GET, "/dumps/a%20b").await;
    assert_eq!(verdict(nobody).await, denied("AccessDenied"));
    let unknown = service.send("unknown", "GET", "/dumps", b"").await;
    assert_eq!(verdict(unknown).await, denied("InvalidAccessKeyId"));
    service.s3.add_key(Key { secret_key: "other".to_owned(), ..key("all", Grants::Unlimited) });
    let wrong = service.send("all", "GET", "/dumps", b"").await;
    assert_eq!(verdict(wrong).await, denied("SignatureDoesNotMatch"));
    let later = Instant::now() + Duration::from_secs(3600);
    service.s3.add_key(Key { active_after: Some(later), ..key("all", Grants::Unlimited) });
    let early = service.send("all", "GET", "/dumps", b"").await;
    assert_eq!(verdict(early).await, denied("AccessDenied"));
}

#[tokio::test]
async fn a_body_that_was_not_signed_is_refused_and_leaves_nothing() {
    let service = Service::new().await;
    let url = format!("http://{}/dumps/a", service.host);
    let signed = |header: &'static str| {
        let mut request = HttpRequest::new(HttpRequestBody::from(b"good".to_vec()));
        *request.method_mut() = Method::PUT;
        *request.uri_mut() = url.parse().expect("a URI");
        let credential = AwsCredential {
            key_id: "all".to_owned(),
            secret_key: "secret of all".to_owned(),
            token: None,
        };
        AwsAuthorizer::new(&credential, "s3", "r")
            .with_sign_payload(header != "unsigned")
            .try_authorize(&mut request, None)
            .expect("signed");
        request.headers().clone()
    };
    let put =
        |headers, body: &'static str| service.http.put(&url).headers(headers).body(body).send();
    let bent = put(signed("hashed"), "evil").await.expect("an answer");
    assert_eq!(verdict(bent).await, (400, "XAmzContentSHA256Mismatch".to_owned()));
    assert_eq!((service.s3.objects("dumps").len(), service.blobs()), (0, 0));
    let unsigned = put(signed("unsigned"), "whatever").await.expect("an answer");
    assert_eq!(verdict(unsigned).await, ok(200));
    let mut streamed = signed("hashed");
    streamed.insert(
        "x-amz-content-sha256",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER".parse().expect("a value"),
    );
    let streamed = put(streamed, "whatever").await.expect("an answer");
    assert_eq!(verdict(streamed).await, (501, "NotImplemented".to_owned()));
}

#[tokio::test]
async fn an_early_refusal_is_heard_by_a_client_that_is_still_sending() {
    let service = Service::new().await;
    let put = service.send("read", "PUT", "/dumps/large", &vec![7; 16 * MIB]).await;
    assert_eq!(verdict(put).await, denied("AccessDenied"));
}

#[tokio::test]
async fn a_body_cut_short_leaves_nothing() {
    let service = Service::new().await;
    let path = Path::from("a");
    let url = service.client().signed_url(Method::PUT, &path, Duration::from_secs(60)).await;
    let chunks = stream::iter([Ok("first"), Err(std::io::Error::other("the client died"))]);
    let sent = service
        .http
        .put(url.expect("signed"))
        .header("content-length", "100")
        .body(reqwest::Body::wrap_stream(chunks))
        .send()
        .await;
    assert!(sent.is_err());
    // The connection is gone, not the handler: it ends soon after.
    let ended = async {
        while service.blobs() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("no blob stays");
    assert_eq!(service.s3.objects("dumps"), []);
}

#[tokio::test]
async fn limited_keys_are_held_to_their_grants() {
    let service = Service::new().await;
    service.s3.create_bucket("other").expect("a bucket");
    for (access_key, method, path, expected) in [
        ("write", "PUT", "/dumps/a", ok(200)),
        ("read", "GET", "/dumps/a", ok(200)),
        ("read", "GET", "/dumps?list-type=2", ok(200)),
        ("read", "GET", "/dumps?acl", ok(200)),
        ("read", "PUT", "/dumps/a", denied("AccessDenied")),
        ("read", "DELETE", "/dumps/a", denied("AccessDenied")),
        ("read", "POST", "/dumps/a?uploads", denied("AccessDenied")),
        ("read", "GET", "/other?list-type=2", denied("AccessDenied")),
        ("write", "PUT", "/other/a", denied("AccessDenied")),
        ("write", "PUT", "/new-bucket", denied("AccessDenied")),
        ("write", "DELETE", "/dumps", denied("AccessDenied")),
        ("write", "GET", "/none?list-type=2", (404, "NoSuchBucket".to_owned())),
    ] {
        let response = service.send(access_key, method, path, b"").await;
        assert_eq!(verdict(response).await, expected, "{access_key} {method} {path}");
    }
    let seen = service.send("read", "GET", "/", b"").await.text().await.expect("a body");
    assert_eq!(elements(&seen, "Name"), ["dumps"]);
    service.s3.revoke_key("read");
    let revoked = service.send("read", "GET", "/dumps/a", b"").await;
    assert_eq!(verdict(revoked).await, denied("InvalidAccessKeyId"));
}

#[tokio::test]
async fn signed_urls_are_bound_to_method_time_and_text() {
    let service = Service::new().await;
    let client = service.client();
    let path = Path::from("a/b c.dump");
    client.put(&path, PutPayload::from_static(b"PGDMP")).await.expect("put");
    let sign = async |seconds| {
        client.signed_url(Method::GET, &path, Duration::from_secs(seconds)).await.expect("signed")
    };
    let url = sign(604_800).await;
    let get = async |url: &str| service.http.get(url).send().await.expect("an answer");
    assert_eq!(get(url.as_str()).await.text().await.expect("a body"), "PGDMP");
    let head = service.http.head(url.clone()).send().await.expect("an answer");
    assert_eq!(head.status(), 403);
    let too_long = sign(604_801).await;
    assert_eq!(verdict(get(too_long.as_str()).await).await, denied("AccessDenied"));
    for (from, to) in
        [("dump?", "dum?"), ("604800", "604799"), ("X-Amz-Signature=", "X-Amz-Signature=0")]
    {
        let bent = url.as_str().replace(from, to);
        assert_ne!(bent, url.as_str());
        let answer = verdict(get(&bent).await).await;
        assert_eq!(answer, denied("SignatureDoesNotMatch"), "{from}");
    }
    let more = format!("{url}&response-content-type=text%2Fhtml");
    assert_eq!(verdict(get(&more).await).await, denied("SignatureDoesNotMatch"));
    let put = service.http.put(url.clone()).body("x").send().await.expect("an answer");
    assert_eq!(verdict(put).await, denied("SignatureDoesNotMatch"));
}

#[tokio::test]
async fn ranges_are_served() {
    let service = Service::new().await;
    service
        .client()
        .put(&Path::from("a"), PutPayload::from_static(b"0123456789"))
        .await
        .expect("put");
    for (range, status, body, content_range) in [
        ("bytes=0-4", 206, "01234", Some("bytes 0-4/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("lines=1-2", 200, "0123456789", None),
    ] {
        let response = service.send_with("all", "GET", "/dumps/a", b"", &[("range", range)]).await;
        assert_eq!(response.status(), status, "{range}");
        let found =
            response.headers().get("content-range").map(|it| it.to_str().expect("text").to_owned());
        assert_eq!(found.as_deref(), content_range, "{range}");
        assert_eq!(response.headers()["content-length"], body.len().to_string().as_str());
        assert_eq!(response.text().await.expect("a body"), body, "{range}");
    }
    let beyond = service.send_with("all", "GET", "/dumps/a", b"", &[("range", "bytes=10-")]).await;
    assert_eq!(verdict(beyond).await, (416, "InvalidRange".to_owned()));
    let head = service.send("all", "HEAD", "/dumps/a", b"").await;
    assert_eq!(head.headers()["content-length"], "10");
    assert_eq!(head.headers()["etag"], "\"781e5e245d69b566979b86e28d23f2c7\"");
}

#[tokio::test]
async fn listings_filter_group_and_page() {
    let service = Service::new().await;
    for name in ["a", "b/1", "b/2", "c%26"] {
        let put = service.send("all", "PUT", &format!("/dumps/{name}"), b"x").await;
        assert_eq!(put.status(), 200);
    }
    let document = service.document("/dumps?list-type=2&max-keys=2").await;
    assert_eq!(elements(&document, "Key"), ["a", "b/1"]);
    assert_eq!(element(&document, "IsTruncated").as_deref(), Some("true"));
    let token = element(&document, "NextContinuationToken").expect("a token");
    let document =
        service.document(&format!("/dumps?list-type=2&continuation-token={token}")).await;
    assert_eq!(elements(&document, "Key"), ["b/2", "c&amp;"]);
    assert_eq!(element(&document, "IsTruncated").as_deref(), Some("false"));
    let document = service.document("/dumps?list-type=2&delimiter=%2F&encoding-type=url").await;
    assert_eq!(elements(&document, "Key"), ["a", "c%26"]);
    assert_eq!(elements(&document, "CommonPrefixes"), ["<Prefix>b/</Prefix>"]);
    let document = service.document("/dumps?list-type=2&start-after=b%2F1").await;
    assert_eq!(elements(&document, "Key"), ["b/2", "c&amp;"]);
    let document = service.document("/dumps?prefix=b&max-keys=1").await;
    assert_eq!(elements(&document, "NextMarker"), ["b/1"]);
    let document = service.document("/dumps?prefix=b&marker=b%2F1").await;
    assert_eq!(elements(&document, "Key"), ["b/2"]);
}

#[tokio::test]
async fn puts_keep_their_conditions() {
    let service = Service::new().await;
    let put = async |name: &'static str, value: &str| {
        let answer = service.send_with("all", "PUT", "/dumps/a", b"x", &[(name, value)]).await;
        answer.status().as_u16()
    };
    const ETAG: &str = "9dd4e461268c8034f5c8564e155c67a6"; // of "x"
    assert_eq!(put("if-match", "*").await, 412);
    assert_eq!(put("if-none-match", "*").await, 200);
    assert_eq!(put("if-none-match", "*").await, 412);
    assert_eq!(put("if-match", &format!("\"{ETAG}\"")).await, 412, "Ceph takes no quotes");
    assert_eq!(put("if-match", ETAG).await, 200);
    assert_eq!(put("if-match", "0000").await, 412);
    assert_eq!(put("if-match", "*").await, 200);
    service.s3.set_versioned("dumps", true);
    assert_eq!(put("if-none-match", "*").await, 200, "as Ceph does where versions are kept");
    assert_eq!(put("if-match", "0000").await, 412);
}

#[tokio::test]
async fn multipart_uploads_are_joined() {
    let service = Service::new().await;
    let document = async |response: Response| response.text().await.expect("a body");
    let begun = document(service.send("all", "POST", "/dumps/a?uploads", b"").await).await;
    let id = element(&begun, "UploadId").expect("an id");
    let mut etags = Vec::new();
    for (number, size) in [(1, 5 * MIB), (2, 5 * MIB - 1), (3, 5 * MIB), (7, 3)] {
        let path = format!("/dumps/a?partNumber={number}&uploadId={id}");
        let part = service.send("all", "PUT", &path, &vec![number; size]).await;
        assert_eq!(part.status(), 200);
        etags.push((number, part.headers()["etag"].to_str().expect("text").to_owned()));
    }
    let listed = service.document(&format!("/dumps/a?uploadId={id}&max-parts=2")).await;
    assert_eq!(elements(&listed, "PartNumber"), ["1", "2"]);
    assert_eq!(element(&listed, "NextPartNumberMarker").as_deref(), Some("2"));
    let listed = service.document(&format!("/dumps/a?uploadId={id}&part-number-marker=2")).await;
    assert_eq!(elements(&listed, "Size"), [(5 * MIB).to_string(), "3".to_owned()]);

    let complete = async |parts: &[usize]| {
        let parts: String = parts
            .iter()
            .map(|at| &etags[*at])
            .map(|(number, etag)| {
                format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
            })
            .collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        service.send("all", "POST", &format!("/dumps/a?uploadId={id}"), body.as_bytes()).await
    };
    let bad = |code: &str| (400, code.to_owned());
    assert_eq!(verdict(complete(&[0, 1, 2]).await).await, bad("EntityTooSmall"));
    assert_eq!(verdict(complete(&[2, 0]).await).await, bad("InvalidPartOrder"));
    assert_eq!(verdict(complete(&[]).await).await, bad("MalformedXML"));
    let body = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>no</ETag></Part></CompleteMultipartUpload>";
    let path = format!("/dumps/a?uploadId={id}");
    let wrong = service.send("all", "POST", &path, body.as_bytes()).await;
    assert_eq!(verdict(wrong).await, bad("InvalidPart"));
    assert_eq!(service.s3.uploads("dumps"), 1);

    let first = document(complete(&[0, 2, 3]).await).await;
    assert_eq!(element(&first, "ETag").as_deref(), Some(""));
    let object = &service.s3.objects("dumps")[0];
    assert_eq!(object.size, (10 * MIB + 3) as u64);
    assert!(object.etag.ends_with("-3"));
    let again = document(complete(&[0, 2, 3]).await).await;
    let quoted = format!("&quot;{}&quot;", object.etag);
    assert_eq!(element(&again, "ETag"), Some(quoted));
    assert_eq!(service.blobs(), 3, "the part left out is gone");

    let range = format!("bytes={}-", 5 * MIB - 1);
    let tail = service.send_with("all", "GET", "/dumps/a", b"", &[("range", &range)]).await;
    let tail = tail.bytes().await.expect("a body");
    assert_eq!(tail.len(), 5 * MIB + 4);
    assert_eq!((tail[0], tail[1], &tail[5 * MIB..]), (1, 3, &[3, 7, 7, 7][..]));
    service.client().delete(&Path::from("a")).await.expect("deleted");
    assert_eq!(verdict(complete(&[0, 2, 3]).await).await, (404, "NoSuchUpload".to_owned()));
    assert_eq!(service.blobs(), 0);
}

#[tokio::test]
async fn uploads_are_listed_and_aborted() {
    let service = Service::new().await;
    let client = service.client();
    let mut ids = Vec::new();
    for name in ["a", "b", "b"] {
        ids.push(client.create_multipart(&Path::from(name)).await.expect("begun"));
    }
    let listed = service.document("/dumps?uploads&max-uploads=2").await;
    assert_eq!(elements(&listed, "Key"), ["a", "b"]);
    let key = element(&listed, "NextKeyMarker").expect("a marker");
    let id = element(&listed, "NextUploadIdMarker").expect("a marker");
    let next = format!("/dumps?uploads&key-marker={key}&upload-id-marker={id}");
    let next = service.document(&next).await;
    assert_eq!(elements(&next, "Key"), ["b"]);
    assert!(ids.contains(&element(&next, "UploadId").expect("an id")));
    assert_eq!(elements(&service.document("/dumps?uploads&prefix=a").await, "Key"), ["a"]);

    let path = Path::from("a");
    client.put_part(&path, &ids[0], 0, PutPayload::from_static(b"x")).await.expect("sent");
    client.abort_multipart(&path, &ids[0]).await.expect("aborted");
    assert_eq!(service.blobs(), 0);
    let late = client.put_part(&path, &ids[0], 1, PutPayload::from_static(b"x")).await;
    assert!(matches!(late, Err(object_store::Error::NotFound { .. })), "{late:?}");
    assert_eq!(service.blobs(), 0);
}

#[tokio::test]
async fn many_objects_are_deleted_at_once() {
    let service = Service::new().await;
    let client = service.client();
    let paths: Vec<Path> = (0..5).map(|number| Path::from(format!("n & {number}"))).collect();
    for path in &paths[..4] {
        client.put(path, PutPayload::from_static(b"x")).await.expect("put");
    }
    let wanted: Vec<_> = paths[1..].iter().cloned().map(Ok).collect();
    let wanted = stream::iter(wanted).boxed();
    let deleted: Vec<Path> = client.delete_stream(wanted).try_collect().await.expect("deleted");
    assert_eq!(deleted, paths[1..]);
    assert_eq!(service.s3.objects("dumps").len(), 1);
}

#[tokio::test]
async fn access_lists_open_and_close() {
    let service = Service::new().await;
    let put = service.send("all", "PUT", "/dumps/a", b"x").await;
    assert_eq!(put.status(), 200);
    let bucket_and_object = async || {
        let bucket = service.anonymous(Method::GET, "/dumps?list-type=2").await;
        let object = service.anonymous(Method::GET, "/dumps/a").await;
        (bucket.status().as_u16(), object.status().as_u16())
    };
    assert_eq!(bucket_and_object().await, (403, 403));
    service.s3.set_acl("dumps", "public-read");
    assert_eq!(bucket_and_object().await, (200, 403));
    let list = service.document("/dumps?acl").await;
    assert_eq!(elements(&list, "Permission"), ["READ", "FULL_CONTROL"]);
    let status = service.document("/dumps?policyStatus").await;
    assert_eq!(element(&status, "IsPublic").as_deref(), Some("True"));
    for path in ["/dumps?acl", "/dumps/a?acl"] {
        let acl = if path == "/dumps?acl" { "private" } else { "public-read" };
        let put = service.send_with("all", "PUT", path, b"", &[("x-amz-acl", acl)]).await;
        assert_eq!(verdict(put).await, ok(200), "{path}");
    }
    assert_eq!(service.s3.acl("dumps").as_deref(), Some("private"));
    assert_eq!(bucket_and_object().await, (403, 200));
}

#[tokio::test]
async fn buckets_and_their_settings() {
    let service = Service::new().await;
    for (method, path, expected) in [
        ("PUT", "/fresh", ok(200)),
        ("PUT", "/fresh", ok(200)),
        ("HEAD", "/fresh", ok(200)),
        ("HEAD", "/absent", ok(404)),
        ("PUT", "/No", (400, "InvalidBucketName".to_owned())),
        ("GET", "/fresh?location", ok(200)),
        ("GET", "/fresh?versioning", ok(200)),
        ("PUT", "/fresh?versioning", (400, "MalformedXML".to_owned())),
        ("GET", "/fresh?encryption", ok(200)),
        ("GET", "/fresh?policyStatus", ok(200)),
        ("GET", "/fresh?lifecycle", (501, "NotImplemented".to_owned())),
        ("GET", "/fresh?list-type=2&allow-unordered=true", (501, "NotImplemented".to_owned())),
        ("PUT", "/fresh?encryption", (501, "NotImplemented".to_owned())),
        ("GET", "/fresh/a?tagging", (501, "NotImplemented".to_owned())),
        ("PATCH", "/fresh", (405, "MethodNotAllowed".to_owned())),
        ("DELETE", "/dumps", ok(204)),
        ("DELETE", "/dumps", (404, "NoSuchBucket".to_owned())),
    ] {
        let response = service.send("all", method, path, b"").await;
        assert_eq!(verdict(response).await, expected, "{method} {path}");
    }
    let body = "<CreateBucketConfiguration><LocationConstraint>mars</LocationConstraint></CreateBucketConfiguration>";
    let response = service.send("all", "PUT", "/elsewhere", body.as_bytes()).await;
    assert_eq!(verdict(response).await, (400, "InvalidLocationConstraint".to_owned()));
    let names: Vec<String> = service.s3.buckets().into_iter().map(|bucket| bucket.name).collect();
    assert_eq!(names, ["fresh"]);
}

#[tokio::test]
async fn a_reader_finishes_after_the_object_is_gone() {
    let service = Service::new().await;
    let client = service.client();
    let path = Path::from("a");
    let content = vec![9_u8; 8 * MIB];
    client.put(&path, PutPayload::from(content.clone())).await.expect("put");
    let mut body = client.get(&path).await.expect("an answer").into_stream();
    let mut read = body.next().await.expect("a chunk").expect("read").len();
    client.delete(&path).await.expect("deleted");
    while let Some(chunk) = body.next().await {
        read += chunk.expect("read").len();
    }
    assert_eq!(read, content.len());
}

#[tokio::test]
async fn a_new_service_clears_what_an_old_one_left() {
    let files = tempfile::tempdir().expect("a temporary folder");
    let left = files.path().join("blobs").join("00000001");
    std::fs::create_dir(files.path().join("blobs")).expect("a folder");
    std::fs::write(&left, "x").expect("a file");
    let beside = files.path().join("kept");
    std::fs::write(&beside, "x").expect("a file");
    S3::open(files.path(), "127.0.0.1:1".to_owned()).expect("a service");
    assert!(!left.exists() && beside.exists());
}
