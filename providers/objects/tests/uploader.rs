//! Streams into objects, against the sandbox's S3 service: whole, bounded, retried, aborted.

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use pgferry_objects::{Bucket, Class, Finished, ObjectError, Uploader};
use sha2::{Digest, Sha256};
use stage::{BUCKET, Stage};
use tokio::sync::Semaphore;

const MIB: usize = 1 << 20;
const PART: u64 = 5 << 20;

/// Bytes that differ from part to part.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn begin(bucket: &Bucket, key: &str, in_flight: usize) -> Uploader {
    let upload = bucket.start_upload(key).await.expect("begun");
    Uploader::new(bucket, key, &upload.upload_id, PART, in_flight).expect("an uploader")
}

async fn send(uploader: &mut Uploader, content: &[u8]) -> Result<Finished, ObjectError> {
    for chunk in content.chunks(300_007) {
        uploader.write(Bytes::copy_from_slice(chunk)).await?;
    }
    uploader.finish().await
}

async fn stored(stage: &Stage, key: &str) -> Vec<u8> {
    let url = stage.bucket().signed_get(key, Duration::from_secs(60)).await.expect("signed");
    let response = reqwest::get(url.expose()).await.expect("an answer");
    assert_eq!(response.status(), 200);
    response.bytes().await.expect("a body").to_vec()
}

fn is_part(request: &axum::extract::Request) -> bool {
    request.method() == Method::PUT
        && request.uri().query().is_some_and(|query| query.contains("partNumber="))
}

fn is_completion(request: &axum::extract::Request) -> bool {
    request.method() == Method::POST
        && request.uri().query().is_some_and(|query| query.starts_with("uploadId="))
}

#[tokio::test]
async fn forty_mebibytes_arrive_as_they_were_sent() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    let content = content(41 * MIB + 7);
    let mut uploader = begin(&bucket, "data.dump", 4).await;
    assert_eq!(bucket.uploads("data").await.expect("listed").len(), 1);
    let finished = send(&mut uploader, &content).await.expect("finished");
    let object = bucket.head("data.dump").await.expect("answered").expect("there");
    let expected = Finished {
        size: content.len() as u64,
        etag: object.etag.clone(), // the completion itself told none
        sha256: hex(&Sha256::digest(&content)),
        parts: 9,
    };
    assert_eq!(finished, expected);
    assert!(object.etag.ends_with("-9"), "{}", object.etag);
    assert_eq!(uploader.acknowledged(), content.len() as u64);
    assert!(stored(&stage, "data.dump").await == content);
    assert_eq!(bucket.uploads("").await, Ok(vec![]));
}

#[tokio::test]
async fn an_empty_stream_makes_an_empty_object() {
    let stage = Stage::new().await;
    let mut uploader = begin(&stage.bucket(), "empty", 4).await;
    let finished = send(&mut uploader, b"").await.expect("finished");
    assert_eq!((finished.size, finished.parts), (0, 1));
    assert_eq!(finished.sha256, hex(&Sha256::digest(b"")));
    assert_eq!(stage.s3.objects(BUCKET)[0].size, 0);
}

#[tokio::test]
async fn a_stream_that_ends_with_a_part_has_no_empty_one_after_it() {
    let stage = Stage::new().await;
    let mut uploader = begin(&stage.bucket(), "even", 4).await;
    let finished = send(&mut uploader, &content(10 * MIB)).await.expect("finished");
    assert_eq!((finished.size, finished.parts), (10 * MIB as u64, 2));
}

#[tokio::test]
async fn no_more_is_taken_in_than_fits() {
    let stage = Stage::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let (waiting, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&gate), Arc::clone(&waiting), Arc::clone(&most));
    stage.interpose(move |request, next| {
        let (gate, waiting, most) = counters.clone();
        Box::pin(async move {
            if is_part(&request) {
                most.fetch_max(waiting.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.expect("open").forget();
                waiting.fetch_sub(1, Ordering::SeqCst);
            }
            next.run(request).await
        })
    });
    let mut uploader = begin(&stage.bucket(), "data.dump", 2).await;
    let content = content(40 * MIB);
    let mut chunks = content.chunks(MIB).map(Bytes::copy_from_slice);
    // Two parts on their way, one full and waiting: the sixteenth mebibyte must wait.
    for chunk in chunks.by_ref().take(14) {
        uploader.write(chunk).await.expect("taken in");
    }
    let mut fifteenth = Box::pin(uploader.write(chunks.next().expect("more")));
    let stalled = tokio::time::timeout(Duration::from_millis(300), &mut fifteenth).await;
    assert!(stalled.is_err(), "the third part was taken while two were in flight");
    gate.add_permits(100);
    fifteenth.await.expect("taken in");
    for chunk in chunks {
        uploader.write(chunk).await.expect("taken in");
    }
    let finished = uploader.finish().await.expect("finished");
    assert_eq!(finished.sha256, hex(&Sha256::digest(&content)));
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_abort_leaves_nothing() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    let mut uploader = begin(&bucket, "data.dump", 4).await;
    uploader.write(Bytes::from(content(23 * MIB))).await.expect("taken in");
    uploader.abort().await.expect("aborted");
    assert_eq!(stage.s3.uploads(BUCKET), 0);
    assert_eq!(stage.s3.objects(BUCKET), []);
    assert_eq!(uploader.abort().await, Ok(()));
    let outcome = uploader.finish().await.expect_err("aborted");
    assert_eq!(outcome.class(), Class::Rejected);
}

#[tokio::test]
async fn an_upload_of_a_crashed_run_is_found_and_aborted() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    let begun = bucket.start_upload("data.dump").await.expect("begun");
    bucket.start_upload("other").await.expect("begun");
    let found = bucket.uploads("data.dump").await.expect("listed");
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].key, &found[0].upload_id), (&begun.key, &begun.upload_id));
    assert!(found[0].initiated.is_some());
    bucket.abort("data.dump", &begun.upload_id).await.expect("aborted");
    bucket.abort("data.dump", &begun.upload_id).await.expect("gone counts as aborted");
    assert_eq!(stage.s3.uploads(BUCKET), 1);
}

#[tokio::test]
async fn busy_answers_are_tried_again_part_by_part() {
    let stage = Stage::new().await;
    let refusals = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&refusals);
    stage.interpose(move |request, next| {
        let counter = Arc::clone(&counter);
        Box::pin(async move {
            if is_part(&request) && counter.fetch_add(1, Ordering::SeqCst) < 3 {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            next.run(request).await
        })
    });
    let content = content(12 * MIB);
    let mut uploader = begin(&stage.bucket(), "data.dump", 4).await;
    let finished = send(&mut uploader, &content).await.expect("finished");
    assert_eq!(finished.sha256, hex(&Sha256::digest(&content)));
    assert_eq!(refusals.load(Ordering::SeqCst), 3 + 3);
    assert!(stored(&stage, "data.dump").await == content);
}

/// Lets the completion happen and loses its answer.
fn lose_completions(stage: &Stage, instead: fn() -> Response) {
    stage.interpose(move |request, next| {
        Box::pin(async move {
            let is_completion = is_completion(&request);
            let response = next.run(request).await;
            if is_completion { instead() } else { response }
        })
    });
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_recognised() {
    let stage = Stage::new().await;
    lose_completions(&stage, || StatusCode::NOT_FOUND.into_response());
    let mut uploader = begin(&stage.bucket(), "data.dump", 4).await;
    let finished = send(&mut uploader, &content(6 * MIB)).await.expect("finished");
    assert_eq!((finished.size, finished.parts), (6 * MIB as u64, 2));
}

#[tokio::test]
async fn an_older_object_is_not_taken_for_ours() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    bucket.put_if_absent("data.dump", Bytes::from(content(6 * MIB))).await.expect("put");
    stage.interpose(|request, next| {
        Box::pin(async move {
            if is_completion(&request) {
                return StatusCode::NOT_FOUND.into_response();
            }
            next.run(request).await
        })
    });
    let mut uploader = begin(&bucket, "data.dump", 4).await;
    let error = send(&mut uploader, &content(6 * MIB)).await.expect_err("not completed");
    assert_eq!(error.class(), Class::Missing);
    uploader.abort().await.expect("aborted");
    assert_eq!(stage.s3.uploads(BUCKET), 0);
}

#[tokio::test]
async fn a_refused_part_fails_the_upload() {
    let stage = Stage::new().await;
    let mut uploader = begin(&stage.bucket(), "data.dump", 1).await;
    stage.s3.revoke_key(stage::ACCESS_KEY);
    let error = send(&mut uploader, &content(12 * MIB)).await.expect_err("refused");
    assert_eq!((error.class(), error.code()), (Class::Denied, Some("InvalidAccessKeyId")));
    let error = uploader.write(Bytes::from_static(b"more")).await.expect_err("broken");
    assert_eq!(error.class(), Class::Rejected);
}

#[tokio::test]
async fn odd_sizes_are_refused() {
    let stage = Stage::new().await;
    let bucket = stage.bucket();
    for (part_size, in_flight) in [(PART - 1, 4), ((5 << 30) + 1, 4), (PART, 0)] {
        let outcome = Uploader::new(&bucket, "a", "id", part_size, in_flight);
        let class = outcome.err().map(|error| error.class());
        assert_eq!(class, Some(Class::Rejected), "{part_size} {in_flight}");
    }
}

/// The digest of the parts' digests, as S3 composes it.
fn composed(content: &[u8]) -> String {
    let parts: Vec<_> = content.chunks(PART as usize).map(Sha256::digest).collect();
    match &parts[..] {
        [only] => hex(only),
        all => format!("{}-{}", hex(&Sha256::digest(all.concat())), all.len()),
    }
}

#[tokio::test]
async fn a_beginning_that_comes_last() {
    let stage = Stage::new().await;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    stage.interpose(move |request, next| {
        if is_part(&request) {
            seen.lock().expect("order").push(request.uri().query().unwrap_or_default().to_owned());
        }
        Box::pin(async move { next.run(request).await })
    });
    let part = PART as usize;
    // The beginning within a part, as long as one, and over several; with much, little and nothing behind it.
    for (reserved, behind) in [
        (1000, 17 * MIB + 3),
        (1000, 2000),
        (1000, 0),
        (part, 0),
        (part, 1),
        (2 * part + 5, 3 * part),
        (2 * part + 5, 10),
        (part - 1, 1),
    ] {
        order.lock().expect("order").clear();
        let content = content(reserved + behind);
        let (head, rest) = content.split_at(reserved);
        let mut uploader = begin(&stage.bucket(), "data.dump", 2).await;
        uploader.reserve(reserved).await.expect("reserved");
        assert_eq!(uploader.received(), reserved as u64);
        for chunk in rest.chunks(700_001) {
            uploader.write(Bytes::copy_from_slice(chunk)).await.expect("taken in");
        }
        let error = uploader.finish_with(Bytes::new()).await.expect_err("too little");
        assert_eq!(error.class(), Class::Rejected);
        let error = uploader.finish().await.expect_err("no beginning");
        assert_eq!(error.class(), Class::Rejected);
        let held = reserved.div_ceil(part);
        let numbers = |order: &[String]| -> Vec<usize> {
            let number = |query: &String| {
                let (_, rest) = query.split_once("partNumber=").expect("a part");
                rest.split('&').next().and_then(|digits| digits.parse().ok()).expect("a number")
            };
            order.iter().map(number).collect()
        };
        let before = numbers(&order.lock().expect("order"));
        assert!(before.iter().all(|number| *number > held), "{before:?}");

        let finished = uploader.finish_with(Bytes::copy_from_slice(head)).await.expect("finished");
        assert_eq!(finished.size, content.len() as u64);
        assert_eq!(finished.sha256, composed(&content));
        assert!(stored(&stage, "data.dump").await == content, "{reserved} {behind}");
        assert_eq!(numbers(&order.lock().expect("order")).len(), content.len().div_ceil(part));
    }
    assert_eq!(stage.s3.uploads(BUCKET), 0);
}

#[tokio::test]
async fn an_abort_with_a_beginning_held_leaves_nothing() {
    let stage = Stage::new().await;
    let mut uploader = begin(&stage.bucket(), "data.dump", 2).await;
    uploader.reserve(100).await.expect("reserved");
    let error = uploader.reserve(100).await.expect_err("twice");
    assert_eq!(error.class(), Class::Rejected);
    uploader.write(Bytes::from(content(12 * MIB))).await.expect("taken in");
    uploader.abort().await.expect("aborted");
    assert_eq!((stage.s3.uploads(BUCKET), stage.s3.objects(BUCKET)), (0, vec![]));
}
