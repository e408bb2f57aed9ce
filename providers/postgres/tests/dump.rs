//! A dump: streamed into a bucket, thrown away when it fails, never over what is not ours.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use std::os::unix::fs::PermissionsExt;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::{AnyResource, Done, Intent, Remembered, Verb};
use pgferry_engine::tree::Tree;
use pgferry_postgres::dump::Dump;
use serde_json::json;
use sha2::{Digest, Sha256};
use stage::{Stage, change, spec};

fn wanted(stage: &Stage, object: &str) -> Tree {
    spec(vec![
        ("source", stage.source_handle()),
        ("for", stage.target_handle()),
        ("to", spec(vec![("bucket", stage.bucket_handle()), ("object", Tree::text(object))])),
        ("exclude_data", Tree::from_json(&json!(["audit.events"]))),
    ])
}

async fn dump(stage: &Stage, env: &[(&str, &str)]) -> Result<Done<Tree>, Fault> {
    let cx = stage.cx_with("dump", env, Vec::new());
    AnyResource::act(&Dump, &cx, change(wanted(stage, "d.dump"))).await
}

fn remembered(done: &Done<Tree>) -> Remembered {
    Remembered {
        id: done.id.clone(),
        inputs: json!({}).into(),
        attrs: done.attrs.stored(),
        memory: done.memory.clone().into(),
    }
}

/// A folder with a `pg_dump` of ours that writes down its arguments.
fn wrapper(stage: &Stage, script: &str) -> String {
    let folder = stage.home.path().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("pg_dump");
    let real = stage.real_programs().join("pg_dump").display().to_string();
    let seen = folder.join("seen").display().to_string();
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then exec {real} --version; fi\n\
         echo \"$*\" >> {seen}\nREAL={real}\n{script}\n"
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder.display().to_string()
}

async fn nothing_left(stage: &Stage) {
    assert_eq!(stage.bucket().uploads("").await.unwrap(), []);
    assert_eq!(stage.bucket().head("d.dump").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_streams_an_archive_that_restores() {
    let stage = Stage::new().await;
    let bin = wrapper(&stage, "exec \"$REAL\" \"$@\"");
    let done = dump(&stage, &[("PGFERRY_PG_BIN", &bin)]).await.unwrap();
    let attrs = done.attrs.storable();

    let object = stage.bucket().head("d.dump").await.unwrap().unwrap();
    let bytes = stage.bucket().get_range("d.dump", 0..object.size).await.unwrap();
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(attrs["size"], object.size);
    assert_eq!(attrs["etag"], object.etag.as_str());
    assert_eq!(attrs["sha256"], sha256.as_str());
    assert_eq!(attrs["bucket"], stage::BUCKET);
    assert_eq!(attrs["archive_version"], format!("{}.{}", bytes[5], bytes[6]));
    assert!(attrs["snapshot_lsn"].as_str().unwrap().contains('/'));
    assert_eq!(attrs["tables"].as_array().unwrap().len(), 23, "{}", attrs["tables"]);
    assert_eq!(stage.bucket().uploads("").await.unwrap(), []);

    // The claim was on disk before the first byte left, and no secret was in an argument or in what is remembered.
    let note = stage.heard.notes.lock().unwrap()[0].clone();
    assert_eq!((note["bucket"].as_str(), note["object"].as_str()), (Some("dumps"), Some("d.dump")));
    assert!(note["upload_id"].is_string());
    let arguments = std::fs::read_to_string(format!("{bin}/seen")).unwrap();
    assert!(
        arguments.starts_with("-Fc -b --no-publications --no-subscriptions --no-password"),
        "{arguments}"
    );
    assert!(!arguments.contains("postgres:") && !arguments.contains("AVNS"), "{arguments}");
    assert!(!done.memory.to_string().contains("AVNS"));

    stage.restore("d.dump").await;
    let target = stage.target().await;
    let count = |table: &'static str| {
        let target = &target;
        async move {
            let query = format!("select count(*) from {table}");
            target.query_one(&query, &[]).await.unwrap().get::<_, i64>(0)
        }
    };
    assert!(count("public.accounts").await > 100);
    assert_eq!(count("audit.events").await, 0);
    drop(target);

    // Done again, it replaces its own object; a foreign one it leaves alone.
    let cx = stage.cx("dump");
    let mut again = change(wanted(&stage, "d.dump"));
    again.before = Some(remembered(&done));
    let again = AnyResource::act(&Dump, &cx, again).await.unwrap();
    let fault = dump(&stage, &[]).await.unwrap_err();
    assert_eq!(fault.class, Class::Conflict, "{}", fault.chain());
    let there = stage.bucket().head("d.dump").await.unwrap().unwrap();
    assert_eq!(again.attrs.storable()["etag"], there.etag.as_str());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_or_a_request_to_stop_leaves_nothing_behind() {
    let stage = Stage::new().await;
    let bin =
        wrapper(&stage, "echo 'pg_dump: error: the server went away' >&2; printf PGDMP; exit 1");
    let fault = dump(&stage, &[("PGFERRY_PG_BIN", &bin)]).await.unwrap_err();
    assert_eq!(
        fault.chain(),
        "`pg_dump` failed (exit status: 1): pg_dump: error: the server went away"
    );
    nothing_left(&stage).await;

    let bin = wrapper(&stage, "echo not an archive");
    let fault = dump(&stage, &[("PGFERRY_PG_BIN", &bin)]).await.unwrap_err();
    assert!(fault.chain().contains("PGDMP"), "{}", fault.chain());
    nothing_left(&stage).await;

    let bin = wrapper(&stage, "printf 'PGDMP\\001\\016\\000'; exec sleep 600");
    let cx = stage.cx_with("dump", &[("PGFERRY_PG_BIN", &bin)], Vec::new());
    let cancel = cx.world.cancel.clone();
    let seen = format!("{bin}/seen");
    let begun = std::fs::read_to_string(&seen).unwrap().lines().count();
    let (ended, ()) =
        tokio::join!(AnyResource::act(&Dump, &cx, change(wanted(&stage, "d.dump"))), async {
            while std::fs::read_to_string(&seen).unwrap().lines().count() == begun {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            cancel.cancel();
        });
    assert_eq!(ended.unwrap_err().class, Class::Interrupted);
    nothing_left(&stage).await;

    // A kill leaves the upload; the next attempt ends it and takes the place.
    let upload = stage.bucket().start_upload("d.dump").await.unwrap();
    let mut next = change(wanted(&stage, "d.dump"));
    next.prior = Some(Intent {
        verb: Verb::Run,
        inputs: json!({}).into(),
        at: stage.cx("dump").now(),
        notes: json!({ "bucket": "dumps", "object": "d.dump", "upload_id": upload.upload_id }),
        before: None,
    });
    AnyResource::act(&Dump, &stage.cx("dump"), next).await.unwrap();
    assert_eq!(stage.bucket().uploads("").await.unwrap(), []);
    assert!(stage.bucket().head("d.dump").await.unwrap().is_some());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preflight_tells_versions_and_losses() {
    let stage = Stage::new().await;
    let want = wanted(&stage, "d.dump");
    let cx = stage.cx("dump");
    let facts = AnyResource::inspect(&Dump, &cx, &want, None).await.unwrap().unwrap();
    let found: Vec<String> = AnyResource::judge(&Dump, &want, &facts, &[])
        .into_iter()
        .map(|finding| format!("{:?} {}", finding.severity, finding.code))
        .collect();
    assert_eq!(found[0], "Note PGF1100", "{found:?}");
    assert!(found.contains(&"Note PGF1111".to_owned()), "{found:?}");

    let nowhere = stage.cx_with("dump", &[("PGFERRY_PG_BIN", "/nowhere")], Vec::new());
    let facts = AnyResource::inspect(&Dump, &nowhere, &want, None).await.unwrap().unwrap();
    let found = AnyResource::judge(&Dump, &want, &facts, &[]);
    assert_eq!(found[0].code, "PGF1101");
    stage.end().await;
}
