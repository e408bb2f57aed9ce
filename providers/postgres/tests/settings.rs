//! What a database has beside settings for everybody, carried to another one: settings of roles in it, its limit of
//! sessions, its comment.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use indexmap::IndexMap;
use pgferry_engine::resource::{AnyResource, Change, Done, Remembered, Verb};
use pgferry_engine::tree::Tree;
use pgferry_postgres::settings::Settings;
use serde_json::{Value as Json, json};
use stage::bare::{Server, Yard};
use stage::spec;

const ALSO: [&str; 3] = ["roles", "connection_limit", "comment"];

fn create(want: Tree) -> Change<Tree> {
    let (verb, fields, confirmed) = (Verb::Create, vec![], vec![]);
    Change { verb, want, before: None, fields, prior: None, confirmed }
}

/// As the engine does: what is expanded counts as written.
async fn expanded(yard: &Yard, want: Tree) -> Tree {
    let more = AnyResource::expand(&Settings, &yard.cx("it"), &want).await.unwrap().unwrap();
    let Tree::Map(mut fields) = want else { panic!("a map") };
    for (name, value) in more {
        fields.entry(name).or_insert_with(|| Tree::from_json(&value));
    }
    Tree::Map(fields)
}

fn remembered(want: &Tree, done: &Done<Tree>) -> Remembered {
    let (id, inputs, attrs) = (done.id.clone(), want.stored(), done.attrs.stored());
    Remembered { id, inputs, attrs, memory: Tree::Null }
}

async fn read(yard: &Yard, want: &Tree, before: Option<&Remembered>) -> IndexMap<String, Json> {
    let live = AnyResource::read(&Settings, &yard.cx("it"), want, before).await;
    live.map_err(|fault| fault.chain()).unwrap().unwrap().fields
}

/// All that there is of it, as `pg_dump` of a whole server would have it.
fn own(server: &Server, database: &str) -> String {
    let statement = format!(
        "select concat_ws(' | ', datconnlimit, shobj_description(d.oid, 'pg_database'),
           (select string_agg(coalesce(rolname, 'all') || ': ' || c, ', ' order by rolname, c)
              from pg_db_role_setting s left join pg_roles r on r.oid = setrole, unnest(setconfig) c
              where setdatabase = d.oid))
         from pg_database d where datname = '{database}'"
    );
    server.ask("postgres", &statement)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_has_of_its_own_is_carried_where_the_spec_wants_it() {
    let (yard, server, far) = (Yard::new().await, Server::start(), Server::start());
    for sql in [
        "create role \"App\" login",
        "create role elsewhere",
        "create database source",
        "alter role \"App\" in database source set search_path = 'My Schema', public",
        "alter role \"App\" in database source set default_transaction_read_only = on",
        "alter role elsewhere in database source set work_mem = '5MB'",
        "alter database source set work_mem = '8MB'",
        "alter database source connection limit 50",
        "comment on database source is 'ours, ''all'' of it'",
    ] {
        server.run("postgres", sql);
    }
    far.run("postgres", "create role \"App\" login");
    far.run("postgres", "create role tapp login createrole");
    far.run("postgres", "create database target owner tapp");
    let (source, target) =
        (server.handle("source", "postgres", "source"), far.handle("target", "tapp", "target"));
    let like = |also: Json| {
        let also = ("also", Tree::from_json(&also));
        spec(vec![("database", target.clone()), ("like", source.clone()), also])
    };

    // Nobody asked: it stays away.
    let want = expanded(&yard, like(Json::Null)).await;
    assert_eq!(want.get("values").unwrap().storable(), json!({ "work_mem": "8MB" }));
    AnyResource::act(&Settings, &yard.cx("it"), create(want)).await.unwrap();
    assert_eq!(own(&far, "target"), "-1 | all: work_mem=8MB");

    let want = expanded(&yard, like(json!(ALSO))).await;
    assert_eq!(
        want.get("roles").unwrap().storable(),
        json!({ "App": { "search_path": "\"My Schema\", public" }, "elsewhere": { "work_mem": "5MB" } })
    );
    let cx = yard.cx("it");
    assert!(AnyResource::find(&Settings, &cx, &want).await.unwrap().is_none());
    let told = yard.told(&Settings, &want).await;
    let told: Vec<&str> =
        told.iter().filter(|it| it.code == "PGF1175").map(|it| &*it.message).collect();
    assert_eq!(told, ["the target has no role `elsewhere`"]);
    let done = AnyResource::act(&Settings, &cx, create(want.clone())).await;
    let done = done.map_err(|fault| fault.chain()).unwrap();
    let carried =
        "50 | ours, 'all' of it | App: search_path=\"My Schema\", public, all: work_mem=8MB";
    assert_eq!(own(&far, "target"), carried);
    let attrs = done.attrs.storable();
    assert_eq!(attrs["applied"], json!({ "work_mem": "8MB" }));
    assert_eq!(attrs["unportable"][0]["name"], "work_mem of role elsewhere");
    assert!(yard.heard.warnings.lock().unwrap()[0].contains("`work_mem of role elsewhere`"));

    // Nothing to change now; what is changed by hand is drift.
    let before = remembered(&want, &done);
    for field in ALSO {
        assert_eq!(
            read(&yard, &want, Some(&before)).await[field],
            want.get(field).unwrap().storable()
        );
    }
    for (by_hand, field, expect) in [
        ("alter database target connection limit 7", "connection_limit", json!(7)),
        ("comment on database target is null", "comment", Json::Null),
        (
            "alter role \"App\" in database target reset all",
            "roles",
            json!({ "App": {}, "elsewhere": { "work_mem": "5MB" } }),
        ),
    ] {
        far.run("target", by_hand);
        assert_eq!(read(&yard, &want, Some(&before)).await[field], expect, "{by_hand}");
    }
    // The source's are resolved once a run; later the state has them.
    let bare = like(json!(ALSO));
    assert_eq!(read(&yard, &bare, Some(&before)).await["connection_limit"], 7);
    AnyResource::act(&Settings, &cx, create(want)).await.unwrap();
    assert_eq!(own(&far, "target"), carried);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_by_name_must_not_go_missing() {
    let (yard, server) = (Yard::new().await, Server::start());
    server.run("postgres", "create role tapp login");
    server.run("postgres", "create database target owner tapp");
    server.run("postgres", "create database theirs");
    let written = |database: &str, field: &'static str, value: Json| {
        let database = server.handle("target", "tapp", database);
        let values = ("values", Tree::from_json(&json!({})));
        spec(vec![("database", database), values, (field, Tree::from_json(&value))])
    };
    let cx = yard.cx("it");
    for (field, value) in [
        ("connection_limit", json!(9)),
        ("comment", json!("mine")),
        ("roles", json!({ "tapp": { "work_mem": "7MB" } })),
    ] {
        let want = written("target", field, value);
        assert!(AnyResource::find(&Settings, &cx, &want).await.unwrap().is_none(), "{field}");
        let done = AnyResource::act(&Settings, &cx, create(want.clone())).await;
        assert_eq!(
            done.map_err(|fault| fault.chain()).unwrap().attrs.storable()["unportable"],
            json!([])
        );
        assert!(AnyResource::find(&Settings, &cx, &want).await.unwrap().is_some(), "{field}");
    }
    assert_eq!(own(&server, "target"), "9 | mine | tapp: work_mem=7MB");
    for (database, field, value) in [
        ("target", "roles", json!({ "nobody": { "work_mem": "7MB" } })),
        ("theirs", "connection_limit", json!(9)),
        ("theirs", "comment", json!("mine")),
    ] {
        let want = written(database, field, value);
        let fault = AnyResource::act(&Settings, &cx, create(want)).await.unwrap_err();
        assert!(fault.message.contains("setting `"), "{field}: {}", fault.chain());
    }
    let also = written("target", "also", json!(["comment"]));
    let fault = AnyResource::expand(&Settings, &cx, &also).await.unwrap_err();
    assert!(fault.message.contains("there is no `like`"), "{}", fault.message);
}
