//! The client over real sockets: what is repeated, what is waited for, and what is concluded.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use pgferry_engine::address::Address;
use pgferry_engine::cx::{Clock, Cx, Hook, NoNotes, World, no_rereading};
use pgferry_engine::event::Silent;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::secret::Secret;
use pgferry_http::{Call, Client, Error, Service, origin};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Never waits; remembers how long it would have.
#[derive(Default)]
struct Impatient(Mutex<Vec<Duration>>);

impl Clock for Impatient {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.0.lock().unwrap().push(time);
        Box::pin(std::future::ready(()))
    }
}

#[derive(Default)]
struct Watching(Mutex<Vec<String>>);

impl Hook for Watching {
    fn before(&self, _: &Address, effect: &str) -> Result<(), Fault> {
        self.0.lock().unwrap().push(effect.to_owned());
        Ok(())
    }
}

struct Stage {
    cx: Cx,
    clock: Arc<Impatient>,
    hook: Arc<Watching>,
    client: Client,
    requests: Arc<Mutex<Vec<String>>>,
}

/// A server that gives the scripted answers one after the other; an empty one closes the connection instead.
async fn stage(answers: Vec<&'static str>) -> Stage {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&requests);
    tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0_u8; 4096];
            loop {
                let read = socket.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
                if read == 0 || is_whole(&request) {
                    break;
                }
            }
            record.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let (clock, hook) = (Arc::new(Impatient::default()), Arc::new(Watching::default()));
    let world = World {
        clock: clock.clone(),
        sink: Arc::new(Silent),
        notes: Arc::new(NoNotes),
        hook: Some(hook.clone()),
        cancel: tokio_util::sync::CancellationToken::new(),
        env: Arc::default(),
        base: "/".into(),
        lineage: "l".into(),
        migration: "m".into(),
        run: "r".into(),
        remembered: Arc::new(|_, _| Vec::new()),
        intent: Arc::new(|_| None),
        reread: no_rereading(),
    };
    let client = Client::new(Service {
        name: "Test",
        base: origin("Test", &format!("http://{address}")).unwrap(),
        token: Some(Secret::new("very-secret-token")),
        headers: vec![("accept", "application/x".to_owned())],
        busy: |refused| refused.says("busy"),
    })
    .unwrap();
    Stage { cx: Cx::new(world, Address::new("it"), "creating"), clock, hook, client, requests }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length:")
            .map(|v| v.trim().parse::<usize>().unwrap())
    });
    body.len() >= length.unwrap_or(0)
}

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n{\"a\": 1}";
const LIMITED: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const BUSY: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 40\r\nconnection: close\r\n\r\n{\"errors\":[{\"reason\":\"Linode busy.\"}]}  ";
const HTML: &str = "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 18\r\nconnection: close\r\n\r\n<h1>Not Found</h1>";
const BROKEN: &str =
    "HTTP/1.1 500 Oops\r\nrequest-id: abc\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const CLOSED: &str = "";

#[tokio::test]
async fn a_read_is_repeated_until_it_succeeds() {
    let stage = stage(vec![LIMITED, BUSY, CLOSED, FINE]).await;
    let answer = stage.client.send(&stage.cx, Call::get(&["apps"])).await.unwrap();
    assert_eq!(answer.json::<Json>().unwrap(), json!({ "a": 1 }));
    let waits: Vec<u128> = stage.clock.0.lock().unwrap().iter().map(Duration::as_millis).collect();
    assert_eq!(waits, [7000, 500, 1000]);
    let requests = stage.requests.lock().unwrap();
    assert!(requests[0].contains("authorization: Bearer very-secret-token"));
    assert!(requests[0].contains("accept: application/x"));
    assert!(stage.hook.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_post_is_sent_once_and_its_outcome_may_be_unknown() {
    for (answer, class) in [
        (CLOSED, Class::Unknown),
        (BROKEN, Class::Unknown),
        (LIMITED, Class::Retry { after: Some(Duration::from_secs(7)) }),
    ] {
        let stage = stage(vec![answer, FINE]).await;
        let call = Call::post(&["apps"]).query("secret", "in-the-query").json(json!({ "a": 1 }));
        let error = stage.client.send(&stage.cx, call).await.unwrap_err();
        let fault = error.during("creating app `a`");
        assert_eq!(fault.class, class);
        let text = fault.chain();
        assert!(!text.contains("in-the-query") && !text.contains("very-secret"), "{text}");
        assert_eq!(stage.requests.lock().unwrap().len(), 1);
        assert_eq!(*stage.hook.0.lock().unwrap(), ["POST /apps"]);
    }
}

#[tokio::test]
async fn one_that_may_be_repeated_is_repeated_and_announced_each_time() {
    let stage = stage(vec![LIMITED, FINE]).await;
    let call = Call::patch(&["apps", "a"]).json(json!({})).repeatable();
    stage.client.send(&stage.cx, call).await.unwrap();
    assert_eq!(*stage.hook.0.lock().unwrap(), ["PATCH /apps/a", "PATCH /apps/a"]);
}

#[tokio::test]
async fn absence_is_no_error_whatever_the_body() {
    let stage = stage(vec![HTML]).await;
    assert!(stage.client.find(&stage.cx, Call::get(&["apps", "a"])).await.unwrap().is_none());
}

#[tokio::test]
async fn nobody_there_means_nothing_happened() {
    let stage = stage(vec![]).await;
    let nowhere = Client::new(Service {
        name: "Test",
        base: origin("Test", "http://127.0.0.1:1").unwrap(),
        token: None,
        headers: Vec::new(),
        busy: |_| false,
    })
    .unwrap();
    let error = nowhere.send(&stage.cx, Call::post(&["apps"])).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }));
    let fault = error.during("creating");
    assert_eq!(fault.class, Class::Retry { after: None });
    assert!(!fault.chain().contains("127.0.0.1:1/"), "{}", fault.chain());
    assert_eq!(fault.source.unwrap().to_string(), "Test cannot be reached");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_shown() {
    let stage = stage(vec![FINE]).await;
    let answer = stage.client.send(&stage.cx, Call::get(&["x"])).await.unwrap();
    let error = answer.json::<Vec<u8>>().unwrap_err();
    assert_eq!(error.to_string(), "the answer (HTTP 200) is not as expected at line 1, column 0");
}

#[tokio::test]
async fn a_service_that_never_answers_does_not_hold_up_a_stop() {
    for (call, class) in [
        (Call::get(&["apps", "a"]), Class::Interrupted),
        (Call::post(&["apps"]).json(json!({})), Class::Unknown),
    ] {
        let stage = stage(Vec::new()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let silent = Client::new(Service {
            name: "Test",
            base: origin("Test", &format!("http://{address}")).unwrap(),
            token: None,
            headers: Vec::new(),
            busy: |_| false,
        })
        .unwrap();
        let (asked, accepted) = tokio::join!(silent.send(&stage.cx, call), async {
            let accepted = listener.accept().await.unwrap();
            stage.cx.world.cancel.cancel();
            accepted
        });
        let fault = asked.unwrap_err().during("asking");
        assert_eq!(fault.class, class);
        assert_eq!(fault.chain(), "asking: Test had not answered when pgferry was asked to stop");
        drop(accepted);
    }
}
