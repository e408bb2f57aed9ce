//! A database with the extensions and settings of another.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use pgferry_engine::resource::{AnyResource, Change, Remembered, Verb};
use pgferry_engine::tree::Tree;
use pgferry_postgres::extensions::Extensions;
use pgferry_postgres::settings::Settings;
use serde_json::json;
use stage::{Stage, spec};

fn create(want: Tree) -> Change<Tree> {
    Change {
        verb: Verb::Create,
        want,
        before: None,
        fields: vec![],
        prior: None,
        confirmed: vec![],
    }
}

/// As the engine does: what is expanded counts as written.
async fn expanded(resource: &dyn AnyResource, stage: &Stage, want: &Tree) -> Tree {
    let Tree::Map(mut fields) = want.clone() else { panic!("a map") };
    let more = resource.expand(&stage.cx("it"), want).await.unwrap().unwrap();
    fields.extend(more.into_iter().map(|(name, value)| (name, Tree::from_json(&value))));
    Tree::Map(fields)
}

fn like(stage: &Stage) -> Tree {
    spec(vec![("database", stage.target_handle()), ("like", stage.source_handle())])
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_like_the_source() {
    let stage = Stage::new().await;
    let cx = stage.cx("extensions");
    let want = expanded(&Extensions, &stage, &like(&stage)).await;
    assert_eq!(want.get("names").unwrap().storable(), json!(["tablefunc", "uuid-ossp"]));
    assert!(AnyResource::find(&Extensions, &cx, &want).await.unwrap().is_none());

    let facts = AnyResource::inspect(&Extensions, &cx, &want, None).await.unwrap().unwrap();
    let codes: Vec<String> = AnyResource::judge(&Extensions, &want, &facts, &[])
        .into_iter()
        .map(|finding| finding.code)
        .collect();
    assert_eq!(codes, ["PGF1303"]);

    let done = AnyResource::act(&Extensions, &cx, create(want.clone())).await.unwrap();
    assert_eq!(done.attrs.storable(), json!({ "installed": ["tablefunc", "uuid-ossp"] }));
    assert_eq!(done.id, "id-of-target");
    AnyResource::act(&Extensions, &cx, create(want.clone())).await.unwrap();

    // One more on the target is no drift; one less is.
    let target = stage.target().await;
    target.batch_execute("create extension hstore").await.unwrap();
    let live = AnyResource::read(&Extensions, &cx, &want, None).await.unwrap().unwrap();
    assert_eq!(live.fields["names"], json!(["tablefunc", "uuid-ossp"]));
    target.batch_execute("drop extension tablefunc").await.unwrap();
    let live = AnyResource::read(&Extensions, &cx, &want, None).await.unwrap().unwrap();
    assert_eq!(live.fields["names"], json!(["uuid-ossp"]));

    let impossible = spec(vec![
        ("database", stage.target_handle()),
        ("names", Tree::from_json(&json!(["no_such_thing"]))),
    ]);
    let facts = AnyResource::inspect(&Extensions, &cx, &impossible, None).await.unwrap().unwrap();
    let found = AnyResource::judge(&Extensions, &impossible, &facts, &[]);
    assert_eq!(found[0].code, "PGF1301");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_like_the_source() {
    let stage = Stage::new().await;
    let source = stage.source().await;
    source
        .batch_execute(
            "alter database acme_org_db set search_path to \"$user\", public, \"Weird Schema\";
             alter database acme_org_db set default_transaction_read_only to off",
        )
        .await
        .unwrap();
    let cx = stage.cx("settings");
    let Tree::Map(mut fields) = like(&stage) else { panic!("a map") };
    fields.insert("csv_dir".into(), Tree::text("csv"));
    fields.insert("exclude".into(), Tree::from_json(&json!(["statement_timeout"])));
    let want = expanded(&Settings, &stage, &Tree::Map(fields)).await;
    let values = want.get("values").unwrap().storable();
    assert_eq!(
        values,
        json!({
            "default_text_search_config": "pg_catalog.german",
            "idle_in_transaction_session_timeout": "30min",
            "search_path": "\"$user\", public, \"Weird Schema\"",
            "timezone": "Europe/Berlin",
            "work_mem": "8MB",
        })
    );

    let done = AnyResource::act(&Settings, &cx, create(want.clone())).await.unwrap();
    assert_eq!(done.attrs.storable(), json!({ "applied": values, "unportable": [] }));
    let stored = "select array_agg(c order by c) from pg_db_role_setting s join pg_database d on d.oid = setdatabase,
                  unnest(setconfig) c where datname = $1 and c !~ '^(statement_timeout|default_transaction)'";
    let of = async |database: &str| -> Vec<String> {
        source.query_one(stored, &[&database]).await.unwrap().get(0)
    };
    assert_eq!(of("target").await, of("acme_org_db").await);

    // Nothing to change now; a value changed by hand is drift.
    let remembered = Remembered {
        id: done.id.clone(),
        inputs: want.stored(),
        attrs: done.attrs.stored(),
        memory: Tree::Null,
    };
    let read = async || {
        AnyResource::read(&Settings, &cx, &want, Some(&remembered)).await.unwrap().unwrap().fields
            ["values"]
            .clone()
    };
    assert_eq!(read().await, values);
    source.batch_execute("alter database target set work_mem to '9MB'").await.unwrap();
    assert_eq!(read().await["work_mem"], "9MB");

    for name in ["source", "target"] {
        let text =
            std::fs::read_to_string(stage.home.path().join(format!("csv/settings-{name}.csv")))
                .unwrap();
        assert!(text.starts_with("name,setting,unit,context,source\n"), "{text}");
        assert!(text.lines().count() > 200);
    }
    drop(source);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_cannot_have_is_told() {
    let stage = Stage::new().await;
    let cx = stage.cx("settings");
    let asked = spec(vec![
        ("database", stage.target_handle()),
        ("values", Tree::from_json(&json!({ "no_such_setting": 1 }))),
    ]);
    let fault = AnyResource::act(&Settings, &cx, create(asked)).await.unwrap_err();
    assert!(fault.chain().contains("no_such_setting"), "{}", fault.chain());

    let Tree::Map(mut fields) = like(&stage) else { panic!("a map") };
    fields
        .insert("values".into(), Tree::from_json(&json!({ "max_connections": "7", "jit": false })));
    let done = AnyResource::act(&Settings, &cx, create(Tree::Map(fields))).await.unwrap();
    let attrs = done.attrs.storable();
    assert_eq!(attrs["applied"], json!({ "jit": "off" }));
    assert_eq!(attrs["unportable"][0]["name"], "max_connections");
    stage.end().await;
}
