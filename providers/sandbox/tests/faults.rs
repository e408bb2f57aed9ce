//! The switches that make services misbehave, and the record of requests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use reqwest::Method;
use serde_json::{Value, json};
use stage::Stage;

const NONE: Value = Value::Null;

#[tokio::test(flavor = "multi_thread")]
async fn switches_work_as_often_as_they_say() {
    let stage = Stage::quick().await;
    stage.set(json!({ "http_503_next": 1, "http_429_next": 1 })).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(stage.linode(Method::GET, "/account", NONE).await.0.as_u16());
    }
    assert_eq!(statuses, [503, 429, 200]);

    stage.set(json!({ "lose_answer_next": 1 })).await;
    let url = format!("{}/apps", stage.value("HEROKU_HOST"));
    let create = stage.request(Method::POST, &url).bearer_auth(stage.value("HEROKU_API_KEY"));
    let create = create
        .header("accept", "application/vnd.heroku+json; version=3")
        .json(&json!({ "name": "made-anyway" }));
    let answer = create.send().await;
    assert!(answer.is_err() || answer.unwrap().bytes().await.is_err(), "the connection breaks");
    assert_eq!(stage.look("/apps/made-anyway").await["name"], "made-anyway");

    let (status, _) =
        stage.heroku(Method::POST, "/sandbox/faults", json!({ "no_such_switch": 1 })).await;
    assert_eq!(status, 400);
    stage.sandbox.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_recorded_in_order() {
    let stage = Stage::quick().await;
    stage.heroku(Method::PATCH, "/apps/acme-web", json!({ "maintenance": true })).await;
    stage.linode(Method::GET, "/object-storage/keys?page=1", NONE).await;
    stage
        .request(
            Method::GET,
            &format!("{}/nobody/nothing?X-Amz-Signature=x", stage.value("AWS_ENDPOINT_URL_S3")),
        )
        .send()
        .await
        .unwrap();
    let log = stage.look("/sandbox/log").await;
    let short: Vec<String> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            format!(
                "{} {} {} {}",
                entry["service"].as_str().unwrap(),
                entry["method"].as_str().unwrap(),
                entry["path"].as_str().unwrap(),
                entry["status"]
            )
        })
        .collect();
    assert_eq!(
        short[..2],
        ["heroku PATCH /apps/acme-web 200", "linode GET /v4/object-storage/keys 200"]
    );
    assert!(short[2].starts_with("s3 GET /nobody/nothing 4"), "{}", short[2]);
    let state = stage.look("/sandbox/state").await;
    assert_eq!(
        (&state["instances"], &state["apps"], &state["keys"]),
        (&json!(["acme-prod"]), &json!(["acme-web"]), &json!([]))
    );
    stage.sandbox.stop().await.unwrap();
}
