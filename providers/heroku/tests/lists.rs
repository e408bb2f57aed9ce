//! A list whose end never comes is a failure, not a shorter list: what it leaves out would count as absent.

#![allow(clippy::unwrap_used, missing_docs)]

mod stage;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::{AnyResource, Provider};
use pgferry_engine::tree::Tree;
use serde_json::json;
use stage::{Stage, want};

/// An HTTP service that has one more page after each. Ends with the test.
fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request);
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (status, body) = if path.ends_with("/config-vars") {
                ("200 OK", "{}")
            } else if path.starts_with("/v4/") {
                ("200 OK", r#"{"data":[],"page":1,"pages":100000}"#)
            } else {
                ("206 Partial Content", "[]")
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nnext-range: id ]a..; max=200\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len(),
            );
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

fn resource(provider: &Provider, name: &str, host: &str) -> Arc<dyn AnyResource> {
    let variables = [
        ("HEROKU_HOST", host),
        ("HEROKU_DATA_HOST", host),
        ("HEROKU_API_KEY", "key-of-the-test"),
        ("LINODE_URL", host),
        ("LINODE_TOKEN", "token-of-the-test"),
    ];
    let env = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let types = (provider.connect)(&Tree::Map(Default::default()), &env).unwrap();
    types.into_iter().find(|it| it.type_name() == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_list_is_no_list() {
    let (stage, host) = (Stage::set(Vec::new()).await, endless());
    let cx = stage.cx("asked");
    let config = resource(&pgferry_heroku::provider(), "heroku.config", &host);
    let asked = want(json!({ "app": "acme-web", "values": { "A": "b" } }));
    let found = config.inspect(&cx, &asked, None).await.map(|facts| facts.is_some());
    refused(found);
    let database = resource(&pgferry_linode::provider(), "linode.database", &host);
    let found = database.read(&cx, &want(json!({ "label": "acme-prod" })), None).await;
    refused(found.map(|live| live.is_some()));
    stage.sandbox.stop().await.unwrap();
}

#[track_caller]
fn refused(found: Result<bool, Fault>) {
    let fault = found.unwrap_err();
    assert_eq!(fault.class, Class::Failed, "{}", fault.chain());
    assert!(fault.chain().contains("has no end"), "{}", fault.chain());
}
