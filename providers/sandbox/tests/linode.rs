//! The Linode API over the wire: databases, buckets and keys, with their envelopes and refusals.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use base64::Engine;
use reqwest::Method;
use serde_json::{Value, json};
use stage::Stage;

const NONE: Value = Value::Null;

// One sandbox for all: starting one takes seconds.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_of_linode_keeps_its_manners() {
    let stage = Stage::quick().await;
    a_wrong_token_is_refused(&stage).await;
    buckets_come_and_go(&stage).await;
    a_key_shows_its_secret_once(&stage).await;
    the_source_is_found_with_its_credentials_and_authority(&stage).await;
    stage.sandbox.stop().await.unwrap();
}

async fn the_source_is_found_with_its_credentials_and_authority(stage: &Stage) {
    let (_, page) = stage
        .linode(Method::GET, "/databases/postgresql/instances?page=1&page_size=100", NONE)
        .await;
    assert_eq!(
        (&page["page"], &page["pages"], &page["results"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let instance = &page["data"][0];
    assert_eq!(
        (&instance["label"], &instance["status"], &instance["engine"]),
        (&json!("acme-prod"), &json!("active"), &json!("postgresql"))
    );
    assert!(instance["oldest_restore_time"].as_str().unwrap().len() == 19);
    let id = instance["id"].as_u64().unwrap();

    let (_, login) = stage
        .linode(Method::GET, &format!("/databases/postgresql/instances/{id}/credentials"), NONE)
        .await;
    let url = format!(
        "postgres://{}:{}@{}:{}/acme_org_db?sslmode=require",
        login["username"].as_str().unwrap(),
        login["password"].as_str().unwrap(),
        instance["hosts"]["primary"].as_str().unwrap(),
        instance["port"]
    );
    assert_eq!(url, stage.value("SOURCE_DATABASE_URL"));
    let (_, ssl) =
        stage.linode(Method::GET, &format!("/databases/postgresql/instances/{id}/ssl"), NONE).await;
    let pem = base64::engine::general_purpose::STANDARD
        .decode(ssl["ca_certificate"].as_str().unwrap())
        .unwrap();
    assert!(pem.starts_with(b"-----BEGIN CERTIFICATE-----"));

    let filtered = |filter: &'static str| {
        let url = format!("{}/v4beta/databases/postgresql/instances", stage.value("LINODE_URL"));
        let request = stage
            .request(Method::GET, &url)
            .bearer_auth(stage.value("LINODE_TOKEN"))
            .header("x-filter", filter);
        async { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    assert_eq!(filtered(r#"{"label":"acme-prod"}"#).await["results"], 1);
    assert_eq!(filtered(r#"{"label":"other"}"#).await["results"], 0);
    assert_eq!(
        filtered(r#"{"foo":1}"#).await,
        json!({ "errors": [{ "reason": "Cannot filter on foo", "field": "X-Filter" }] })
    );

    let (status, _) =
        stage.linode(Method::DELETE, &format!("/databases/postgresql/instances/{id}"), NONE).await;
    assert_eq!(status, 200);
    let (status, body) =
        stage.linode(Method::GET, &format!("/databases/postgresql/instances/{id}"), NONE).await;
    assert_eq!((status.as_u16(), body), (404, json!({ "errors": [{ "reason": "Not found" }] })));
    assert!(stage::psql(&url, "select 1").is_err(), "its server is gone, too");
}

async fn a_wrong_token_is_refused(stage: &Stage) {
    let url = format!("{}/v4/account", stage.value("LINODE_URL"));
    let response = stage.request(Method::GET, &url).bearer_auth("nonsense").send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["x-oauth-scopes"], "unknown");
    assert_eq!(
        response.json::<Value>().await.unwrap(),
        json!({ "errors": [{ "reason": "Invalid Token" }] })
    );
}

async fn buckets_come_and_go(stage: &Stage) {
    let host = stage.value("AWS_ENDPOINT_URL_S3").trim_start_matches("http://").to_owned();
    let (_, endpoints) = stage.linode(Method::GET, "/object-storage/endpoints", NONE).await;
    let of = |region: &str| -> Vec<(Value, Value)> {
        let data = endpoints["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|endpoint| endpoint["region"] == region);
        data.map(|endpoint| (endpoint["endpoint_type"].clone(), endpoint["s3_endpoint"].clone()))
            .collect()
    };
    assert_eq!(of("us-ord"), [(json!("E1"), json!(host)), (json!("E3"), json!(host))]);
    assert_eq!(of("us-lax"), [(json!("E1"), Value::Null)]);

    let wanted = json!({ "label": "postgres-for-migration", "region": "us-ord", "endpoint_type": "E3", "acl": "private" });
    let (status, bucket) =
        stage.linode(Method::POST, "/object-storage/buckets", wanted.clone()).await;
    assert_eq!(
        (status.as_u16(), &bucket["endpoint_type"], &bucket["s3_endpoint"]),
        (200, &json!("E3"), &json!(host))
    );
    assert_eq!(
        stage.linode(Method::POST, "/object-storage/buckets", wanted).await,
        (status, bucket.clone())
    );
    let path = "/object-storage/buckets/us-ord/postgres-for-migration";
    assert_eq!(stage.linode(Method::GET, path, NONE).await.1, bucket);
    assert_eq!(
        stage.linode(Method::GET, "/object-storage/buckets/us-ord", NONE).await.1["results"],
        1
    );
    assert_eq!(
        stage.linode(Method::GET, &format!("{path}/access"), NONE).await.1["acl"],
        "private"
    );
    stage.linode(Method::PUT, &format!("{path}/access"), json!({ "acl": "public-read" })).await;
    assert_eq!(
        stage.linode(Method::GET, &format!("{path}/access"), NONE).await.1["acl"],
        "public-read"
    );
    assert_eq!(
        stage.linode(Method::GET, &format!("{path}/object-list"), NONE).await.1,
        json!({ "data": [], "next_marker": null, "is_truncated": false })
    );

    let other = |label: &str, region: &str| json!({ "label": label, "region": region });
    assert_eq!(
        stage.linode(Method::POST, "/object-storage/buckets", other("backups", "us-ord")).await.0,
        429
    );
    assert_eq!(
        stage.linode(Method::POST, "/object-storage/buckets", other("mine", "us-lax")).await.1,
        json!({ "errors": [{ "reason": "region is not valid", "field": "region" }] })
    );
    assert_eq!(stage.linode(Method::DELETE, path, NONE).await, (status, json!({})));
    assert_eq!(stage.linode(Method::GET, path, NONE).await.0, 404);
}

async fn a_key_shows_its_secret_once(stage: &Stage) {
    stage
        .linode(
            Method::POST,
            "/object-storage/buckets",
            json!({ "label": "mine", "region": "us-ord" }),
        )
        .await;
    let access =
        json!([{ "region": "us-ord", "bucket_name": "mine", "permissions": "read_write" }]);
    let (status, key) = stage
        .linode(
            Method::POST,
            "/object-storage/keys",
            json!({ "label": "k", "bucket_access": access }),
        )
        .await;
    assert_eq!(
        (status.as_u16(), &key["limited"], &key["bucket_access"]),
        (200, &json!(true), &access)
    );
    assert_eq!(key["secret_key"].as_str().unwrap().len(), 40);
    let path = format!("/object-storage/keys/{}", key["id"]);
    let (_, later) = stage.linode(Method::GET, &path, NONE).await;
    assert_eq!(
        (&later["access_key"], &later["secret_key"]),
        (&key["access_key"], &json!("[REDACTED]"))
    );
    assert_eq!(stage.linode(Method::GET, "/object-storage/keys", NONE).await.1["results"], 1);
    assert_eq!(
        stage.linode(Method::PUT, &path, json!({ "label": "other" })).await.1["label"],
        "other"
    );
    assert_eq!(stage.linode(Method::DELETE, &path, NONE).await.1, json!({}));
    let missing = json!({ "errors": [{ "reason": "The specified access key was not found." }] });
    assert_eq!(stage.linode(Method::GET, &path, NONE).await.1, missing);
}
