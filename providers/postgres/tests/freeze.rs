//! A freeze makes a database read only for everybody, and the release puts back exactly what was before.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use std::sync::Arc;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::{AnyResource, Intent, Remembered, Verb};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use pgferry_postgres::dump::Dump;
use pgferry_postgres::freeze::Freeze;
use pgferry_postgres::verification::Verification;
use serde_json::{Value as Json, json};
use stage::{Stage, change, spec};
use tokio_postgres::Client;

const TABLE: &str = "create table public.written (by text)";

fn want(stage: &Stage) -> Tree {
    spec(vec![("database", stage.source_handle())])
}

/// The opening as the journal has it.
fn intent(stage: &Stage) -> Intent {
    let mut notes = serde_json::Map::new();
    for note in stage.heard.notes.lock().unwrap().iter() {
        notes.extend(note.as_object().unwrap().clone());
    }
    Intent {
        verb: Verb::Open,
        inputs: want(stage).stored(),
        at: "2026-01-01T00:00:00Z".parse().unwrap(),
        notes: Json::Object(notes),
        before: None,
    }
}

/// The context of somebody else, who can read `database` anew.
fn later(stage: &Stage, database: &str) -> Cx {
    let mut cx = stage.cx("freeze");
    let Tree::Resource(handle) = stage.handle("source", database) else { unreachable!() };
    cx.world.reread = Arc::new(move |address| {
        assert_eq!(address.as_str(), "source");
        Box::pin(std::future::ready(Ok(Some(Arc::clone(&handle)))))
    });
    cx
}

async fn open(stage: &Stage, prior: Option<&Intent>) -> Result<Json, Fault> {
    let done = AnyResource::open(&Freeze, &stage.cx("freeze"), &want(stage), prior).await?;
    Ok(done.attrs.storable())
}

async fn close(stage: &Stage) -> Result<(), Fault> {
    AnyResource::close(&Freeze, &later(stage, "acme_org_db"), &intent(stage)).await
}

async fn codes(stage: &Stage) -> Vec<String> {
    let want = want(stage);
    let facts = AnyResource::inspect(&Freeze, &stage.cx("freeze"), &want, None).await.unwrap();
    AnyResource::judge(&Freeze, &want, &facts.unwrap(), &[])
        .into_iter()
        .map(|found| found.code)
        .collect()
}

/// A session of the application's own role, in no way ours.
async fn app(stage: &Stage) -> Client {
    stage.foreign("app", "secret-of-the-app", "puma").await
}

async fn writes(session: &Client) -> Result<(), String> {
    let written = session.batch_execute("insert into public.written values (current_user)").await;
    let code = |cause: &tokio_postgres::Error| cause.code().map(|code| code.code().to_owned());
    // The farewell of the server is read with the statement, or before it.
    written.map_err(|cause| {
        code(&cause).filter(|code| code != "57P01").unwrap_or_else(|| "ended".to_owned())
    })
}

/// What the database itself has set.
async fn set(stage: &Stage) -> Vec<String> {
    let source = stage.source().await;
    let rows = source.query(
        "select unnest(setconfig) from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase
         where setrole = 0 and datname = current_database()",
        &[],
    );
    let all: Vec<String> = rows.await.unwrap().iter().map(|row| row.get(0)).collect();
    all.into_iter().filter(|set| set.starts_with("default_transaction_read_only")).collect()
}

async fn with_an_app() -> Stage {
    let stage = Stage::new().await;
    stage
        .source()
        .await
        .batch_execute(&format!(
            "{TABLE}; create role app login password 'secret-of-the-app'; grant insert on public.written to app;
             grant app to current_user"
        ))
        .await
        .unwrap();
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_until_the_release_which_puts_back_nothing_where_nothing_was() {
    let stage = with_an_app().await;
    let before = app(&stage).await;
    writes(&before).await.unwrap();
    let ours = stage.source().await;
    assert_eq!(codes(&stage).await, Vec::<String>::new());

    let since = open(&stage, None).await.unwrap()["since"].clone();
    assert_eq!(writes(&before).await, Err("ended".to_owned()), "its session was ended");
    assert_eq!(writes(&app(&stage).await).await, Err("25006".to_owned()), "read only");
    assert_eq!(ours.query_one("select 1", &[]).await.unwrap().get::<_, i32>(0), 1, "ours goes on");

    // A second opening, after a crash, adopts: what was before stays what was noted first.
    let prior = intent(&stage);
    assert_eq!(open(&stage, Some(&prior)).await.unwrap()["since"], since);
    assert_eq!(intent(&stage).notes, prior.notes);
    assert_eq!(prior.notes["former"], json!({ "database": "acme_org_db", "value": null }));
    assert!(!prior.notes.to_string().contains("postgres://"));

    let during = app(&stage).await;
    close(&stage).await.unwrap();
    assert_eq!(set(&stage).await, Vec::<String>::new());
    assert_eq!(writes(&during).await, Err("ended".to_owned()), "read only for good otherwise");
    writes(&app(&stage).await).await.unwrap();
    // Closed already is success, and nothing else.
    close(&stage).await.unwrap();
    assert_eq!(set(&stage).await, Vec::<String>::new());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_before_comes_back() {
    let stage = with_an_app().await;
    for (value, findings) in [("off", &[][..]), ("on", &["PGF1336"])] {
        stage.heard.notes.lock().unwrap().clear();
        let setting = format!("default_transaction_read_only={value}");
        let statement =
            format!("alter database acme_org_db set default_transaction_read_only = {value}");
        stage
            .source()
            .await
            .batch_execute(&format!("begin read write; {statement}; commit"))
            .await
            .unwrap();
        assert_eq!(codes(&stage).await, findings);
        open(&stage, None).await.unwrap();
        assert_eq!(set(&stage).await, ["default_transaction_read_only=on"]);
        close(&stage).await.unwrap();
        assert_eq!(set(&stage).await, [setting]);
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_it_would_not_reach_is_said_before() {
    let stage = with_an_app().await;
    let source = stage.source().await;
    let run = async |statement: &str| source.batch_execute(statement).await.unwrap();
    run("revoke app from current_user").await;
    let connected = app(&stage).await;
    assert_eq!(codes(&stage).await, ["PGF1332"]);
    // Who may write nowhere needs no end.
    run("revoke insert on public.written from app").await;
    assert_eq!(codes(&stage).await, Vec::<String>::new());
    run("grant insert on public.written to app").await;
    let refused = open(&stage, None).await.unwrap_err();
    assert_eq!(
        (refused.class, refused.message.as_str()),
        (
            Class::Denied,
            "[PGF1332] `akmadmin` may not end the sessions of `app`, which could go on writing"
        )
    );
    assert_eq!(set(&stage).await, Vec::<String>::new(), "nothing was changed");
    run("grant pg_signal_backend to current_user").await;
    assert_eq!(codes(&stage).await, Vec::<String>::new());
    for (role, back) in [
        ("alter role app set default_transaction_read_only = off", "alter role app reset all"),
        (
            "alter role app set default_transaction_read_only = on; alter role app in database acme_org_db set default_transaction_read_only = off",
            "alter role app in database acme_org_db reset all",
        ),
    ] {
        run(role).await;
        assert_eq!(codes(&stage).await, ["PGF1334"], "{role}");
        run(back).await;
        assert_eq!(codes(&stage).await, Vec::<String>::new(), "{back}");
    }
    open(&stage, None).await.unwrap();
    assert_eq!(writes(&connected).await, Err("ended".to_owned()));
    close(&stage).await.unwrap();

    // Who does not own the database cannot freeze it.
    run("grant connect on database acme_org_db to app").await;
    let Tree::Resource(mut handle) = stage.source_handle() else { unreachable!() };
    let Some(Tree::Secret(url)) = handle.attrs.get("url") else { unreachable!() };
    let mut url = url::Url::parse(url.expose()).unwrap();
    url.set_username("app").unwrap();
    url.set_password(Some("secret-of-the-app")).unwrap();
    Arc::make_mut(&mut handle).attrs.insert("url".into(), Tree::Secret(Secret::new(url.as_str())));
    let want = spec(vec![("database", Tree::Resource(handle))]);
    let facts = AnyResource::inspect(&Freeze, &stage.cx("freeze"), &want, None).await.unwrap();
    let found = AnyResource::judge(&Freeze, &want, &facts.unwrap(), &[]);
    assert_eq!(found.first().map(|found| found.code.as_str()), Some("PGF1331"));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_session_does_not_make_it_ours() {
    let stage = with_an_app().await;
    let named = stage.foreign("app", "secret-of-the-app", "pgferry").await;
    let posing = stage.foreign("app", "secret-of-the-app", "pgferry-0123abcd copy").await;
    let (ours, renamed) = (stage.source().await, stage.source().await);
    renamed.batch_execute("set application_name = 'pgferry-0123abcd copy'").await.unwrap();
    open(&stage, None).await.unwrap();
    for session in [&named, &posing] {
        assert_eq!(writes(session).await, Err("ended".to_owned()));
    }
    for session in [&ours, &renamed] {
        session.batch_execute("select 1").await.unwrap();
    }
    // What was ours is not once it is closed: its process may be somebody else's by then.
    drop((ours, renamed));
    close(&stage).await.unwrap();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_never_taken_for_the_frozen_one() {
    let stage = with_an_app().await;
    open(&stage, None).await.unwrap();
    let refused =
        AnyResource::close(&Freeze, &later(&stage, "target"), &intent(&stage)).await.unwrap_err();
    assert_eq!(
        refused.message,
        "database `acme_org_db` is frozen, and `source` is another one, with the id `id-of-target`"
    );
    let gone = AnyResource::close(&Freeze, &stage.cx("freeze"), &intent(&stage)).await.unwrap_err();
    assert_eq!(
        gone.message,
        "database `acme_org_db` is frozen, and `source` is not in the spec, or not there"
    );
    assert!(gone.help.unwrap().contains("alter database \"acme_org_db\" reset"));
    assert_eq!(set(&stage).await, ["default_transaction_read_only=on"]);
    close(&stage).await.unwrap();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verification_notices_who_gets_around_a_freeze() {
    let stage = with_an_app().await;
    open(&stage, None).await.unwrap();
    let to = spec(vec![("bucket", stage.bucket_handle()), ("object", Tree::text("f.dump"))]);
    let dump = spec(vec![("source", stage.source_handle()), ("to", to)]);
    let done = AnyResource::act(&Dump, &stage.cx("dump"), change(dump)).await.unwrap();
    let dump = Remembered {
        id: done.id.clone(),
        inputs: json!({ "source": { "$address": "source" } }).into(),
        attrs: done.attrs.stored(),
        memory: done.memory.clone().into(),
    };
    stage.restore("f.dump").await;
    let verify = async || {
        let cx = stage.cx_with("verified", &[], vec![("postgres.dump", dump.clone())]);
        let sides = vec![("expected", stage.source_handle()), ("actual", stage.target_handle())];
        AnyResource::act(&Verification, &cx, change(spec(sides))).await
    };
    verify().await.map_err(|fault| fault.chain()).unwrap();
    let stubborn = app(&stage).await;
    stubborn.batch_execute("set default_transaction_read_only = off").await.unwrap();
    writes(&stubborn).await.unwrap();
    drop(stubborn);
    let fault = verify().await.unwrap_err();
    assert!(
        fault.message.contains("table `public.written`: 1 row expected, 0 found"),
        "{}",
        fault.message
    );
    assert!(fault.message.contains("written to"), "{}", fault.message);
    close(&stage).await.unwrap();
    stage.end().await;
}
