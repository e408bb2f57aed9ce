//! Single requests, signed URLs, new keys and privacy, against the sandbox's S3 service.

mod stage;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pgferry_objects::{Class, ObjectError, Privacy, SignedUrl, probe};
use pgferry_sandbox::s3::{Grants, Key};
use stage::{BUCKET, Stage, key};

const DUMP: &str = "nightly/data for migration+ü.dump";

fn verdict<T>(outcome: Result<T, ObjectError>) -> (Option<Class>, Option<String>) {
    match outcome {
        Ok(_) => (None, None),
        Err(error) => (Some(error.class()), error.code().map(str::to_owned)),
    }
}

fn refused(code: &str) -> (Option<Class>, Option<String>) {
    (Some(Class::Denied), Some(code.to_owned()))
}

#[tokio::test]
async fn an_object_is_put_seen_read_listed_and_deleted() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    assert_eq!(bucket.head(DUMP).await, Ok(None));
    let etag = bucket.put_if_absent(DUMP, Bytes::from_static(b"PGDMP rest")).await.expect("put");
    let meta = bucket.head(DUMP).await.expect("answered").expect("there");
    assert_eq!((meta.size, meta.etag.as_str()), (10, etag.as_str()));
    assert!(!etag.contains('"'));
    let bytes = bucket.get_range(DUMP, 6..99).await.expect("read");
    assert_eq!(bytes, "rest");
    let listed = bucket.list("nightly/data f").await.expect("listed");
    let listed: Vec<_> = listed.iter().map(|meta| (meta.key.as_str(), meta.size)).collect();
    assert_eq!(listed, [(DUMP, 10)]);
    assert_eq!(bucket.list("other").await, Ok(vec![]));
    assert_eq!(bucket.delete(DUMP).await, Ok(()));
    assert_eq!(bucket.delete(DUMP).await, Ok(()));
    assert_eq!(bucket.head(DUMP).await, Ok(None));
    let missing = verdict(bucket.get_range(DUMP, 0..1).await);
    assert_eq!(missing, (Some(Class::Missing), Some("NoSuchKey".to_owned())));
}

#[tokio::test]
async fn long_listings_come_whole() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    for number in 0..1005 {
        let key = format!("n/{number:04}");
        bucket.put_if_absent(&key, Bytes::from_static(b"x")).await.expect("put");
    }
    let keys: Vec<String> =
        bucket.list("n/").await.expect("listed").into_iter().map(|meta| meta.key).collect();
    assert_eq!(keys, (0..1005).map(|number| format!("n/{number:04}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn keys_that_would_be_changed_are_refused() {
    let stage = Stage::new().await;
    for key in ["", "/a", "a/", "a//b", "a/../b"] {
        let outcome = stage.bucket().head(key).await;
        assert_eq!(verdict(outcome), (Some(Class::Rejected), None), "{key}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_told_from_an_unknown_key_and_a_missing_right() {
    let stage = Stage::new().await;
    let wrong = stage.bucket_with("another");
    assert_eq!(verdict(wrong.list("").await), refused("SignatureDoesNotMatch"));
    assert_eq!(verdict(wrong.delete("a").await), refused("SignatureDoesNotMatch"));
    assert_eq!(verdict(wrong.head("a").await), (Some(Class::Denied), None));

    stage.s3.add_key(key(Grants::Limited(vec![(BUCKET.to_owned(), false)])));
    let reader = stage.bucket();
    assert_eq!(reader.list("").await, Ok(vec![]));
    assert_eq!(verdict(reader.delete("a").await), refused("AccessDenied"));
    assert_eq!(verdict(reader.start_upload("a").await), refused("AccessDenied"));

    stage.s3.revoke_key(stage::ACCESS_KEY);
    assert_eq!(verdict(reader.list("").await), refused("InvalidAccessKeyId"));
}

#[tokio::test]
async fn errors_show_neither_secret_nor_address() {
    let stage = Stage::new().await;
    let error = stage.bucket_with("another-secret").list("").await.expect_err("refused");
    let text = format!("{error} {error:?} {:?}", stage.bucket());
    for hidden in ["another-secret", stage::SECRET_KEY, "Signature="] {
        assert!(!text.contains(hidden), "{text}");
    }
    let url = stage.bucket().signed_get("gone", Duration::from_secs(60)).await.expect("signed");
    let error = probe(&url, 0..5).await.expect_err("nothing there");
    assert_eq!(error.class(), Class::Missing);
    let text = format!("{error} {error:?} {url} {url:?}");
    assert!(!text.contains("X-Amz"), "{text}");
}

#[tokio::test]
async fn nobody_there_is_transient() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let endpoint = pgferry_objects::Endpoint::from_host(&address.to_string(), "r", None);
    let credentials = pgferry_objects::Credentials::new("A", "S");
    let endpoint = endpoint.expect("an endpoint");
    let bucket = pgferry_objects::Bucket::open(&endpoint, BUCKET, credentials).expect("a bucket");
    assert_eq!(verdict(bucket.list("").await), (Some(Class::Transient), None));
}

#[tokio::test]
async fn a_signed_url_serves_ranges_to_anyone_who_gets() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    bucket.put_if_absent(DUMP, Bytes::from_static(b"PGDMP and more")).await.expect("put");
    let url = bucket.signed_get(DUMP, Duration::from_secs(300)).await.expect("signed");
    let found = probe(&url, 0..5).await.expect("read");
    assert_eq!((&found.bytes[..], found.total_size), (&b"PGDMP"[..], 14));
    let found = probe(&url, 10..99).await.expect("read");
    assert_eq!((&found.bytes[..], found.total_size), (&b"more"[..], 14));
    let beyond = verdict(probe(&url, 14..15).await);
    assert_eq!(beyond, (Some(Class::Rejected), Some("InvalidRange".to_owned())));

    let head = reqwest::Client::new().head(url.expose()).send().await.expect("an answer");
    assert_eq!(head.status(), 403);

    let bent = url.expose().replace("X-Amz-Expires=300", "X-Amz-Expires=301");
    let bent = SignedUrl::new(&bent.parse().expect("a URL"));
    assert_eq!(verdict(probe(&bent, 0..5).await), refused("SignatureDoesNotMatch"));
    stage.s3.revoke_key(stage::ACCESS_KEY);
    assert_eq!(verdict(probe(&url, 0..5).await), refused("InvalidAccessKeyId"));
}

#[tokio::test]
async fn a_signed_url_lasts_a_second_to_seven_days() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    let week = 7 * 24 * 60 * 60;
    for (seconds, expected) in [(0, false), (1, true), (week, true), (week + 1, false)] {
        let outcome = bucket.signed_get("a", Duration::from_secs(seconds)).await;
        assert_eq!(outcome.is_ok(), expected, "{seconds}");
    }
}

#[tokio::test]
async fn a_new_key_is_waited_for() {
    let stage = Stage::new().await;
    let later = Instant::now() + Duration::from_secs(3600);
    stage.s3.add_key(Key { active_after: Some(later), ..key(Grants::Unlimited) });
    let naps = RefCell::new(Vec::new());
    let outcome = stage
        .bucket()
        .wait_until_usable(Duration::from_secs(60), async |nap: Duration| {
            naps.borrow_mut().push(nap.as_secs());
            if naps.borrow().len() == 3 {
                stage.s3.add_key(key(Grants::Unlimited));
            }
        })
        .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(naps.into_inner(), [1, 2, 3]);
}

#[tokio::test]
async fn waiting_for_a_key_ends() {
    let stage = Stage::new().await;
    stage.s3.revoke_key(stage::ACCESS_KEY);
    let waited = RefCell::new(Duration::ZERO);
    let outcome = stage
        .bucket()
        .wait_until_usable(Duration::from_secs(60), async |nap| *waited.borrow_mut() += nap)
        .await;
    assert_eq!(verdict(outcome), refused("InvalidAccessKeyId"));
    assert_eq!(waited.into_inner(), Duration::from_secs(60));
}

#[tokio::test]
async fn a_wrong_secret_is_not_waited_for() {
    let stage = Stage::new().await;
    let outcome = stage
        .bucket_with("another")
        .wait_until_usable(Duration::from_secs(60), async |_| panic!("no nap"))
        .await;
    assert_eq!(verdict(outcome), refused("SignatureDoesNotMatch"));
}

#[tokio::test]
async fn privacy_is_read_from_the_access_list() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    assert_eq!(bucket.privacy().await, Ok(Privacy::Private));
    for (acl, reason) in [
        ("public-read", "its access list lets everyone `READ`"),
        ("authenticated-read", "its access list lets every user of the store `READ`"),
    ] {
        stage.s3.set_acl(BUCKET, acl);
        let exposed = Privacy::Exposed { reason: reason.to_owned() };
        assert_eq!(bucket.privacy().await, Ok(exposed), "{acl}");
        assert_eq!(bucket.is_private().await, Ok(false));
    }
    stage.s3.set_acl(BUCKET, "private");
    assert_eq!(bucket.is_private().await, Ok(true));
}

#[tokio::test]
async fn privacy_is_also_tried() {
    let stage = Stage::new().await;
    stage.interpose(|request, next| {
        Box::pin(async move {
            if request.headers().contains_key("authorization") {
                next.run(request).await
            } else {
                axum::response::Response::default()
            }
        })
    });
    let reason = "it answers those who show no key".to_owned();
    assert_eq!(stage.bucket().privacy().await, Ok(Privacy::Exposed { reason }));
}

#[tokio::test]
async fn objects_are_tried_without_a_key() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    bucket.put_if_absent("a b/ü", Bytes::from_static(b"x")).await.expect("put");
    assert_eq!(bucket.is_open_to_strangers("a b/ü").await, Ok(false));
    assert_eq!(bucket.is_open_to_strangers("absent").await, Ok(false));
    stage.interpose(|request, next| {
        Box::pin(async move {
            if request.headers().contains_key("authorization") {
                next.run(request).await
            } else {
                axum::response::Response::default()
            }
        })
    });
    assert_eq!(bucket.is_open_to_strangers("a b/ü").await, Ok(true));
}

#[tokio::test]
async fn only_an_echo_counts_as_encryption() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    assert_eq!(verdict(bucket.encryption_of("a").await), (Some(Class::Missing), None));
    bucket.put_if_absent("a", Bytes::from_static(b"x")).await.expect("put");
    assert_eq!(bucket.encryption_of("a").await, Ok(None));
    stage.interpose(|request, next| {
        Box::pin(async move {
            let mut response = next.run(request).await;
            let algorithm = axum::http::HeaderValue::from_static("AES256");
            response.headers_mut().insert("x-amz-server-side-encryption", algorithm);
            response
        })
    });
    assert_eq!(bucket.encryption_of("a").await, Ok(Some("AES256".to_owned())));
}

#[tokio::test]
async fn conditions_are_kept_with_ceph_etags() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    let first = bucket.put_if_absent("state", Bytes::from_static(b"1")).await.expect("put");
    let again = bucket.put_if_absent("state", Bytes::from_static(b"2")).await;
    assert_eq!(verdict(again).0, Some(Class::Conflict));
    let second = bucket.put_if_match("state", Bytes::from_static(b"2"), &first).await;
    let second = second.expect("replaced");
    assert_ne!(first, second);
    let stale = bucket.put_if_match("state", Bytes::from_static(b"3"), &first).await;
    assert_eq!(verdict(stale).0, Some(Class::Conflict));
    assert_eq!(bucket.get_range("state", 0..9).await.expect("read"), "2");
}

#[tokio::test]
async fn one_of_many_wins_a_race() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..16_u8 {
        let bucket = bucket.clone();
        racers.spawn(async move {
            bucket.put_if_absent("lock", Bytes::from(vec![racer])).await.is_ok()
        });
    }
    let winners = racers.join_all().await.into_iter().filter(|has_won| *has_won).count();
    assert_eq!(winners, 1);
}
