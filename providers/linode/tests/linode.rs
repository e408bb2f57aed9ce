//! The Linode resources against the emulator.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../heroku/tests/stage/mod.rs"]
mod stage;

use pgferry_engine::fault::Class;
use pgferry_engine::resource::{Settled, Verb};
use pgferry_engine::tree::Tree;
use serde_json::json;
use stage::{More, Stage, remembered, want, whole, with};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_a_bucket_and_a_key() {
    let stage = Stage::set(vec![pgferry_linode::provider()]).await;
    database(&stage).await;
    let (bucket_want, bucket) = bucket(&stage).await;
    key(&stage, &bucket).await;
    emptied(&stage, &bucket_want, &bucket).await;
    stage.kept_secrets();
    stage.sandbox.stop().await.unwrap();
}

async fn database(stage: &Stage) {
    let lookup = stage.resource("linode.database");
    let cx = stage.cx("source");
    let asked = want(json!({ "label": "acme-prod", "database": "acme_org_db" }));
    let live = lookup.read(&cx, &asked, None).await.unwrap().unwrap();
    let text = |name: &str| live.attrs.get(name).and_then(Tree::to_text).unwrap();
    assert_eq!(text("database"), "acme_org_db");
    assert!(text("ca_certificate").starts_with("-----BEGIN CERTIFICATE-----"));
    let expected = stage.sandbox.environment().get("SOURCE_DATABASE_URL");
    assert_eq!(Some(text("url").as_str()), expected.split('?').next());
    assert_eq!(text("tls"), "verify-full");
    let by_id = lookup.read(&cx, &want(json!({ "id": text("id") })), None).await.unwrap().unwrap();
    assert_eq!(by_id.attrs.get("database").and_then(Tree::as_text), Some("defaultdb"));
    assert!(lookup.read(&cx, &want(json!({ "label": "none" })), None).await.unwrap().is_none());
    assert!(lookup.read(&cx, &want(json!({ "id": 1 })), None).await.unwrap().is_none());
    let codes = stage.findings("linode.database", "source", &asked, None).await.unwrap();
    assert_eq!(codes, ["PGF1402"]);
}

async fn bucket(stage: &Stage) -> (Tree, pgferry_engine::resource::Done<Tree>) {
    let resource = stage.resource("linode.bucket");
    let cx = stage.cx("bucket");
    let asked = want(json!({
        "label": "for-migration", "region": "us-ord", "endpoint_type": "E3", "acl": "private",
        "encryption": "required",
    }));
    assert!(resource.find(&cx, &asked).await.unwrap().is_none());
    let codes = stage.findings("linode.bucket", "bucket", &asked, None).await.unwrap();
    assert_eq!(codes, ["PGF1411"]);
    let nowhere = want(json!({ "label": "for-migration", "region": "us-lax" }));
    let codes = stage.findings("linode.bucket", "bucket", &nowhere, None).await.unwrap();
    assert_eq!(codes, ["PGF1413"]);

    let intent = stage.intent("bucket", Verb::Create, &asked);
    assert!(matches!(resource.settle(&cx, &intent).await.unwrap(), Settled::Not(_)));
    let done =
        stage.act("linode.bucket", "bucket", Verb::Create, asked.clone(), More::default()).await;
    let done = done.unwrap();
    assert!(matches!(resource.settle(&cx, &intent).await.unwrap(), Settled::Done(_)));
    let s3 = stage.sandbox.environment().get("AWS_ENDPOINT_URL_S3");
    let endpoint = done.attrs.get("endpoint").and_then(Tree::as_text).unwrap();
    assert_eq!(s3, format!("http://{endpoint}"));
    // Made again it is the same one.
    let again =
        stage.act("linode.bucket", "bucket", Verb::Create, asked.clone(), More::default()).await;
    assert_eq!(again.unwrap().id, done.id);

    let open = want(json!({ "label": "for-migration", "region": "us-ord", "acl": "public-read" }));
    stage.act("linode.bucket", "bucket", Verb::Update, open, More::default()).await.unwrap();
    let known = remembered(&done, &asked);
    let live = resource.read(&cx, &asked, Some(&known)).await.unwrap().unwrap();
    assert_eq!(live.fields["acl"], "public-read");
    stage
        .act("linode.bucket", "bucket", Verb::Update, asked.clone(), More::default())
        .await
        .unwrap();
    let live = resource.read(&cx, &asked, Some(&known)).await.unwrap().unwrap();
    assert_eq!(
        (&live.fields["acl"], &live.fields["endpoint_type"]),
        (&json!("private"), &json!("E3"))
    );

    stage.faults(json!({ "taken_buckets": ["somebody-elses"] })).await;
    let taken = want(json!({ "label": "somebody-elses", "region": "us-ord" }));
    let fault = stage
        .act("linode.bucket", "other", Verb::Create, taken, More::default())
        .await
        .unwrap_err();
    assert_eq!(fault.class, Class::Conflict);
    assert!(fault.help.unwrap().contains("may be taken"));
    (asked, done)
}

async fn key(stage: &Stage, bucket: &pgferry_engine::resource::Done<Tree>) {
    let resource = stage.resource("linode.access_key");
    let cx = stage.cx("key");
    let access = Tree::List(vec![with(
        want(json!({ "permissions": "read_write" })),
        "bucket",
        whole("bucket", &bucket.id, &bucket.attrs),
    )]);
    let asked = with(want(json!({})), "access", access);
    let first = resource.open(&cx, &asked, None).await.unwrap();
    assert!(matches!(first.attrs.get("secret_key"), Some(Tree::Secret(_))));
    let label = cx.natural_key();
    assert_eq!(stage.remains().await["keys"], json!([label]));
    // Found open after a crash: another one is made, and the former stays until the closing.
    let prior = stage.intent("key", Verb::Create, &asked);
    let second = resource.open(&cx, &asked, Some(&prior)).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(stage.remains().await["keys"], json!([label, label]));
    let intent = stage.intent("key", Verb::Create, &asked);
    resource.close(&cx, &intent).await.unwrap();
    resource.close(&cx, &intent).await.unwrap();
    assert_eq!(stage.remains().await["keys"], json!([]));
    // One that was made and not noted is found by its label.
    resource.open(&cx, &asked, None).await.unwrap();
    let mut unnoted = stage.intent("key", Verb::Create, &asked);
    unnoted.notes["ids"] = json!([]);
    resource.close(&cx, &unnoted).await.unwrap();
    assert_eq!(stage.remains().await["keys"], json!([]));
    // The answer to its making is lost: nothing is left behind by the next try.
    stage.faults(json!({ "lose_answer_next": 1 })).await;
    let lost = resource.open(&cx, &asked, None).await;
    assert!(matches!(lost.unwrap_err().class, Class::Retry { .. }));
    resource.open(&cx, &asked, None).await.unwrap();
    assert_eq!(stage.remains().await["keys"], json!([label]));
    resource.close(&cx, &stage.intent("key", Verb::Create, &asked)).await.unwrap();
}

async fn emptied(stage: &Stage, asked: &Tree, done: &pgferry_engine::resource::Done<Tree>) {
    use pgferry_objects::{Bucket, Credentials, Endpoint};
    let env = stage.sandbox.environment();
    let endpoint = Endpoint::from_url(env.get("AWS_ENDPOINT_URL_S3"), "us-ord").unwrap();
    let key = Credentials::new(env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY"));
    let bucket = Bucket::open(&endpoint, "for-migration", key).unwrap();
    bucket.put_if_absent("theirs.txt", "hello".into()).await.unwrap();
    bucket.start_upload("cut.dump").await.unwrap();
    let resource = stage.resource("linode.bucket");
    let (cx, known) = (stage.cx("bucket"), remembered(done, asked));
    let fault = resource.delete(&cx, &known).await.unwrap_err();
    assert_eq!(fault.class, Class::Conflict);
    assert!(fault.message.contains("`theirs.txt`"), "{}", fault.message);
    bucket.delete("theirs.txt").await.unwrap();
    resource.delete(&cx, &known).await.unwrap();
    resource.delete(&cx, &known).await.unwrap();
    assert!(resource.read(&cx, asked, Some(&known)).await.unwrap().is_none());
    assert_eq!(stage.remains().await["keys"], json!([]));
}
