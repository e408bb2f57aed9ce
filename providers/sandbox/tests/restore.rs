//! Restores over the wire: a real archive of the source, fetched by a signed URL, restored by a role without power.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use std::process::Command;
use std::time::Duration;

use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::signer::Signer;
use reqwest::Method;
use serde_json::{Value, json};
use stage::{Stage, psql};

const NONE: Value = Value::Null;

/// Dumps the source, uploads the archive and signs a URL for it.
async fn signed_dump(stage: &Stage) -> (String, u64) {
    let url = url::Url::parse(stage.value("SOURCE_DATABASE_URL")).unwrap();
    let dump = Command::new("pg_dump")
        .args([
            "-Fc",
            "-b",
            "--no-acl",
            "-h",
            "127.0.0.1",
            "-U",
            url.username(),
            "-p",
            &url.port().unwrap().to_string(),
            "acme_org_db",
        ])
        .env("PGPASSWORD", url.password().unwrap())
        .env("PGSSLMODE", "require")
        .output()
        .unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    stage
        .linode(
            Method::POST,
            "/object-storage/buckets",
            json!({ "label": "staging", "region": "us-ord" }),
        )
        .await;
    let store = AmazonS3Builder::new()
        .with_endpoint(stage.value("AWS_ENDPOINT_URL_S3"))
        .with_allow_http(true)
        .with_region("us-ord")
        .with_bucket_name("staging")
        .with_access_key_id(stage.value("AWS_ACCESS_KEY_ID"))
        .with_secret_access_key(stage.value("AWS_SECRET_ACCESS_KEY"))
        .build()
        .unwrap();
    let key = Key::from("data-for-migration.dump");
    let size = dump.stdout.len() as u64;
    store.put(&key, dump.stdout.into()).await.unwrap();
    let signed =
        store.signed_url(reqwest::Method::GET, &key, Duration::from_secs(3600)).await.unwrap();
    (signed.to_string(), size)
}

struct Target {
    addon: String,
    url: String,
}

impl Target {
    async fn new(stage: &Stage) -> Self {
        let (addon, url) = stage.target("target-app", "essential-0").await;
        Self { addon: addon["id"].as_str().unwrap().to_owned(), url }
    }

    async fn restore(&self, stage: &Stage, body: Value) -> (u16, Value) {
        let (status, transfer) = stage
            .heroku(Method::POST, &format!("/client/v11/databases/{}/restores", self.addon), body)
            .await;
        (status.as_u16(), transfer)
    }
}

fn path(transfer: &Value) -> String {
    format!("/client/v11/apps/target-app/transfers/{}", transfer["uuid"].as_str().unwrap())
}

async fn finished(stage: &Stage, transfer: &Value) -> Value {
    let done = |transfer: &Value| !transfer["finished_at"].is_null();
    stage.until(&format!("{}?verbose=true", path(transfer)), done).await
}

fn log(transfer: &Value) -> String {
    let lines =
        transfer["logs"].as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_replaces_what_is_there_and_can_be_repeated() {
    let stage = Stage::quick().await;
    let (url, size) = signed_dump(&stage).await;
    let target = Target::new(&stage).await;
    psql(&target.url, "create table left_over (id int); select lo_from_bytea(0, 'x')").unwrap();
    for round in 1..=2 {
        let body = json!({ "backup_url": url, "extensions": ["tablefunc", "public.uuid-ossp"] });
        let (status, transfer) = target.restore(&stage, body).await;
        assert_eq!(
            (status, &transfer["num"], &transfer["from_type"], &transfer["started_at"]),
            (201, &json!(round), &json!("htcat"), &NONE)
        );
        let keys: Vec<&String> = transfer.as_object().unwrap().keys().collect();
        assert_eq!(
            &keys[..8],
            ["uuid", "num", "from_name", "from_type", "from_url", "to_name", "to_type", "to_url"]
        );
        let transfer = finished(&stage, &transfer).await;
        assert_eq!(
            (&transfer["succeeded"], &transfer["warnings"]),
            (&json!(true), &json!(0)),
            "{}",
            log(&transfer)
        );
        assert_eq!(transfer["processed_bytes"], json!(size));
        let log = log(&transfer);
        assert!(
            log.contains("pg_restore: creating SCHEMA \"Weird Schema\"")
                && log.contains("restore done"),
            "{log}"
        );
        for query in [
            "select sum(balance), count(*) from accounts",
            "select count(*), sum(line_total) from order_lines",
            "select count(*) from pg_largeobject_metadata",
            "select string_agg(extname, ' ' order by extname) from pg_extension",
            "select last_value, is_called from ticket",
            "select md5(string_agg(t::text, ',' order by id)) from \"Weird Schema\".types_of_all_sorts t",
        ] {
            assert_eq!(
                psql(&target.url, query),
                psql(stage.value("SOURCE_DATABASE_URL"), query),
                "{query}"
            );
        }
        assert_eq!(psql(&target.url, "select to_regclass('left_over') is null").unwrap(), "t");
    }
    let listed = stage.look("/client/v11/apps/target-app/transfers").await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(
        stage.look("/client/v11/apps/target-app/transfers/2").await["uuid"],
        listed[1]["uuid"]
    );
    stage.sandbox.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_restore_at_a_time_can_be_held_watched_and_cancelled() {
    let stage = Stage::quick().await;
    let (url, size) = signed_dump(&stage).await;
    let target = Target::new(&stage).await;
    stage.set(json!({ "hold_restore": true })).await;
    let (_, transfer) = target.restore(&stage, json!({ "backup_url": url })).await;
    let half = stage
        .until(&path(&transfer), |transfer| transfer["processed_bytes"].as_u64() >= Some(size / 2))
        .await;
    assert!(
        half["processed_bytes"].as_u64() < Some(size)
            && !half["started_at"].is_null()
            && half["finished_at"].is_null()
    );
    assert_eq!(half["logs"], NONE);
    let (status, refused) = target.restore(&stage, json!({ "backup_url": url })).await;
    assert_eq!((status, &refused["message"]), (409, &json!("a transfer is currently in progress")));

    let (status, _) =
        stage.heroku(Method::POST, &format!("{}/actions/cancel", path(&transfer)), NONE).await;
    assert_eq!(status, 201);
    let cancelled = stage.look(&path(&transfer)).await;
    assert!(!cancelled["canceled_at"].is_null() && cancelled["finished_at"].is_null());

    stage.set(json!({ "hold_restore": false })).await;
    let (status, transfer) = target.restore(&stage, json!({ "backup_url": url })).await;
    assert_eq!(status, 201);
    assert_eq!(finished(&stage, &transfer).await["succeeded"], true);
    stage.sandbox.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_real_and_tell_their_cause() {
    let stage = Stage::quick().await;
    let (url, _) = signed_dump(&stage).await;
    let target = Target::new(&stage).await;
    let attempt = async |body: Value| {
        let (_, transfer) = target.restore(&stage, body).await;
        let transfer = finished(&stage, &transfer).await;
        (transfer["succeeded"].as_bool().unwrap(), log(&transfer))
    };
    stage.set(json!({ "fail_next_restore": "the disk of the customer's patience is full" })).await;
    let (succeeded, said) = attempt(json!({ "backup_url": url })).await;
    assert!(
        !succeeded && said.contains("ERROR:  the disk of the customer's patience is full"),
        "{said}"
    );

    stage.set(json!({ "truncate_next_restore": true })).await;
    let (succeeded, said) = attempt(json!({ "backup_url": url })).await;
    assert!(
        !succeeded
            && said.contains("pg_restore: error: could not read from input file: end of file"),
        "{said}"
    );

    let tampered = url.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601");
    let (succeeded, said) = attempt(json!({ "backup_url": tampered })).await;
    assert!(
        !succeeded && said.contains("Expected HTTP Status 200, received: \"403 Forbidden\""),
        "{said}"
    );
    assert!(!said.contains("X-Amz-Signature"), "{said}");

    let (succeeded, said) = attempt(json!({ "backup_url": url })).await;
    assert!(succeeded, "the switches work once: {said}");
    assert_eq!(target.restore(&stage, json!({ "backup_url": "ftp://x" })).await.0, 400);
    stage.sandbox.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_about_comments_can_be_warnings_or_failures() {
    let stage = Stage::quick().await;
    let (url, _) = signed_dump(&stage).await;
    let target = Target::new(&stage).await;
    for (judged, succeeded) in [("warn", true), ("fail", false)] {
        stage.set(json!({ "extension_owner": "service", "comment_errors": judged })).await;
        let body = json!({ "backup_url": url, "extensions": ["tablefunc", "uuid-ossp"] });
        let (_, transfer) = target.restore(&stage, body).await;
        let transfer = finished(&stage, &transfer).await;
        assert_eq!(
            (&transfer["succeeded"], &transfer["warnings"]),
            (&json!(succeeded), &json!(2)),
            "{}",
            log(&transfer)
        );
        assert!(log(&transfer).contains("must be owner of extension tablefunc"));
    }
    stage.sandbox.stop().await.unwrap();
}
