//! A copy: everything arrives from one server at another, nothing is taken from what is not ours, and a failure starts
//! over.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::cx::{Cx, Hook};
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::{AnyResource, Change, Done, Intent, Remembered, Verb};
use pgferry_engine::tree::Tree;
use pgferry_postgres::copy::Copy;
use pgferry_postgres::verification::Verification;
use serde_json::{Value as Json, json};
use stage::{Stage, change, spec};

/// What the seed of the source lacks: all that `pg_dump` treats in a way of its own.
const ODD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/copy/odd.sql");

/// Statement by statement, as people make a schema.
fn make_odd(stage: &Stage) {
    let out =
        stage.program("psql", "acme_org_db", &["-qX", "-v", "ON_ERROR_STOP=1", "-d", "acme_org_db", "-f", ODD]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn wanted(from: &Stage, into: &Stage) -> Tree {
    spec(vec![
        ("from", from.source_handle()),
        ("into", into.target_handle()),
        ("confirm", Tree::text("target")),
        ("jobs", Tree::from_json(&json!(3))),
    ])
}

async fn copy(cx: &Cx, change: Change<Tree>) -> Result<Done<Tree>, Fault> {
    AnyResource::act(&Copy, cx, change).await
}

/// The whole database as text, without what differs by the run.
fn dumped(stage: &Stage, database: &str) -> String {
    // Settings of the source's database do not come along with a copy.
    let connection = format!("dbname={database} options='-c timezone=UTC'");
    // Which partition an enum's hash leads to differs from server to server.
    let but = "--exclude-table-data=odd.by_mood_*";
    let arguments = ["--no-owner", "--no-acl", "--no-publications", but, "-d", &connection];
    let out = stage.program("pg_dump", database, &arguments);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn same_dump(from: &Stage, into: &Stage) {
    let (expected, actual) = (dumped(from, "acme_org_db"), dumped(into, "target"));
    if expected != actual {
        let diff = similar::TextDiff::from_lines(&expected, &actual);
        let diff = diff.unified_diff().context_radius(3).to_string();
        panic!("{}", diff.chars().take(6000).collect::<String>());
    }
}

fn remembered(done: &Done<Tree>) -> Remembered {
    Remembered {
        id: done.id.clone(),
        inputs: json!({ "from": { "$address": "source" }, "into": { "$address": "target" } }),
        attrs: done.attrs.storable(),
        memory: done.memory.clone(),
    }
}

fn prior(cx: &Cx, notes: Json) -> Intent {
    Intent { verb: Verb::Run, inputs: json!({}), at: cx.now(), notes, before: None }
}

/// All notes of an act, merged as the engine does.
fn noted(stage: &Stage) -> Json {
    let mut all = json!({});
    for note in stage.heard.notes.lock().unwrap().iter() {
        for (key, value) in note.as_object().unwrap() {
            all[key] = value.clone();
        }
    }
    all
}

async fn verify(from: &Stage, into: &Stage, copy: &Remembered) -> Result<Done<Tree>, Fault> {
    let cx = from.cx_with("verified", &[], vec![("postgres.copy", copy.clone())]);
    // A verification compares partitions one by one, and an enum's hash leads elsewhere on each server.
    let but = Tree::from_json(&json!(["odd.by_mood_*"]));
    let fields = vec![
        ("expected", from.source_handle()),
        ("actual", into.target_handle()),
        ("exclude_tables", but),
    ];
    AnyResource::act(&Verification, &cx, change(spec(fields))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_as_it_was_and_once_more() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    make_odd(&from);
    let want = wanted(&from, &into);

    let cx = from.cx("copy");
    let facts = AnyResource::inspect(&Copy, &cx, &want, None).await.unwrap().unwrap();
    let found = AnyResource::judge(&Copy, &want, &facts, &[]);
    let codes: Vec<&str> = found.iter().map(|finding| finding.code.as_str()).collect();
    assert!(codes.contains(&"PGF1100") && !codes.contains(&"PGF1201"), "{found:?}");

    let done = copy(&cx, change(want)).await.map_err(|fault| fault.chain()).unwrap();
    same_dump(&from, &into);
    let attrs = done.attrs.storable();
    let rows = |name: &str| {
        let tables = attrs["tables"].as_array().unwrap().iter();
        tables.filter(|table| table["name"] == name).map(|t| t["rows"].clone()).next().unwrap()
    };
    assert_eq!((rows("odd.keyed"), rows("odd.nothing"), rows("odd.typed")), (500.into(), 2.into(), 52.into()));
    let moods = "select string_agg(m || ' ' || n, ',' order by n) from odd.by_mood";
    let (there, here) = (from.source().await, into.target().await);
    let [there, here] = [there.query_one(moods, &[]).await, here.query_one(moods, &[]).await];
    assert_eq!(there.unwrap().get::<_, &str>(0), here.unwrap().get::<_, &str>(0));
    assert!(attrs["snapshot_lsn"].as_str().unwrap().contains('/'));
    assert_eq!(attrs["warnings"], json!([]));
    let text = format!("{attrs}{}{}", done.memory, noted(&from));
    assert!(!text.contains("AVNS") && !text.contains("postgres://"), "{text}");
    let target = into.target().await;
    let unanalyzed = "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace
        where relkind in ('r', 'p', 'm') and nspname in ('odd', 'public', 'billing') and reltuples < 0 and relispopulated";
    assert_eq!(target.query_one(unanalyzed, &[]).await.unwrap().get::<_, i64>(0), 0);

    // The proof, and that the source was quiet.
    let before = remembered(&done);
    verify(&from, &into, &before).await.map_err(|fault| fault.message).unwrap();
    let table = from.heard.output.lock().unwrap().pop().unwrap();
    assert!(table.contains("not written to since"), "{table}");

    // Again: what is there is ours. Then it is not.
    let again = |confirmed: &[(&str, &str)]| Change {
        before: Some(before.clone()),
        confirmed: confirmed.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        ..change(wanted(&from, &into))
    };
    from.source().await.batch_execute("insert into odd.quick values (3)").await.unwrap();
    let fault = verify(&from, &into, &before).await.unwrap_err();
    assert!(fault.message.contains("was written to after"), "{}", fault.message);
    let done = copy(&from.cx("copy"), again(&[])).await.map_err(|fault| fault.chain()).unwrap();
    same_dump(&from, &into);
    drop(target);
    into.target().await.batch_execute("insert into odd.quick values (4)").await.unwrap();
    let mut next = again(&[]);
    next.before = Some(remembered(&done));
    let fault = copy(&from.cx("copy"), next).await.unwrap_err();
    assert_eq!(fault.class, Class::Conflict, "{}", fault.chain());
    assert!(fault.message.contains("was written to since"), "{}", fault.message);
    copy(&from.cx("copy"), again(&[("target", "target")])).await.unwrap();
    same_dump(&from, &into);
    from.end().await;
    into.end().await;
}
