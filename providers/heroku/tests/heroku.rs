//! The Heroku resources against the emulator, from an empty account to the cutover.

#![allow(clippy::unwrap_used, missing_docs)]

mod stage;

use pgferry_engine::fault::Class;
use pgferry_engine::resource::{Done, Settled, Verb};
use pgferry_engine::tree::Tree;
use serde_json::{Value as Json, json};
use stage::{More, Stage, remembered, want, whole, with};

const APP: &str = "psql-migration";

async fn stage() -> Stage {
    Stage::set(vec![
        pgferry_linode::provider(),
        pgferry_postgres::provider(),
        pgferry_heroku::provider(),
    ])
    .await
}

async fn create(stage: &Stage, type_name: &str, address: &str, want: &Tree) -> Done<Tree> {
    stage.act(type_name, address, Verb::Create, want.clone(), More::default()).await.unwrap()
}

fn addon() -> Tree {
    want(json!({ "app": APP, "plan": "heroku-postgresql:essential-1" }))
}

/// An app with a database that is ready.
async fn target(stage: &Stage) -> Done<Tree> {
    create(stage, "heroku.app", "app", &want(json!({ "name": APP }))).await;
    create(stage, "heroku.addon", "target", &addon()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_and_its_database() {
    let stage = stage().await;
    app(&stage).await;
    database(&stage).await;
    stage.kept_secrets();
    stage.sandbox.stop().await.unwrap();
}

async fn app(stage: &Stage) {
    let resource = stage.resource("heroku.app");
    let cx = stage.cx("app");
    let asked = want(json!({ "name": APP, "region": "us" }));
    assert!(resource.find(&cx, &asked).await.unwrap().is_none());
    let intent = stage.intent("app", Verb::Create, &asked);
    assert!(matches!(resource.settle(&cx, &intent).await.unwrap(), Settled::Not(_)));
    // The answer is lost: what became of it is read, not guessed.
    stage.faults(json!({ "lose_answer_next": 1 })).await;
    let lost = stage.act("heroku.app", "app", Verb::Create, asked.clone(), More::default()).await;
    assert_eq!(lost.unwrap_err().class, Class::Unknown);
    let Settled::Done(done) = resource.settle(&cx, &intent).await.unwrap() else {
        panic!("it was made")
    };
    let live = resource.read(&cx, &asked, Some(&remembered(&done, &asked))).await.unwrap().unwrap();
    assert_eq!((&live.fields["name"], &live.fields["region"]), (&json!(APP), &json!("us")));
    let again = More { prior: Some(intent), ..More::default() };
    let again = stage.act("heroku.app", "app", Verb::Create, asked.clone(), again).await.unwrap();
    assert_eq!(again.id, done.id);
    let taken = stage.act("heroku.app", "app", Verb::Create, asked, More::default()).await;
    assert_eq!(taken.unwrap_err().class, Class::Conflict);
}

async fn database(stage: &Stage) {
    let resource = stage.resource("heroku.addon");
    let cx = stage.cx("target");
    assert!(resource.find(&cx, &addon()).await.unwrap().is_none());
    let codes = stage.findings("heroku.addon", "target", &addon(), None).await.unwrap();
    assert_eq!(codes, ["PGF1505", "PGF1506"]);
    let none = want(json!({ "app": APP, "plan": "heroku-postgresql:essential-7" }));
    let codes = stage.findings("heroku.addon", "target", &none, None).await.unwrap();
    assert_eq!(codes, ["PGF1502", "PGF1506"]);

    // Two of one app at a time are made one after the other.
    let second = with(addon(), "as", Tree::text("SECOND"));
    let plain = addon();
    let (first, second) = tokio::join!(
        create(stage, "heroku.addon", "target", &plain),
        create(stage, "heroku.addon", "second", &second),
    );
    let text =
        |done: &Done<Tree>, name: &str| done.attrs.get(name).and_then(Tree::to_text).unwrap();
    assert_eq!(text(&first, "name"), cx.natural_key());
    assert_ne!(text(&first, "url"), text(&second, "url"));
    assert_eq!(text(&first, "state"), "provisioned");
    assert_eq!(text(&first, "price"), "$9/month");
    assert_eq!(text(&first, "storage_bytes"), "10737418240");
    assert_eq!(text(&first, "tls"), "require");
    assert!(text(&first, "version").starts_with(|first: char| first.is_ascii_digit()));
    assert!(matches!(first.attrs.get("url"), Some(Tree::Secret(_))));

    let known = remembered(&first, &addon());
    let live = resource.read(&cx, &addon(), Some(&known)).await.unwrap().unwrap();
    assert_eq!(live.fields["plan"], "heroku-postgresql:essential-1");
    let short = want(json!({ "app": APP, "plan": "essential-1" }));
    let live = resource.read(&cx, &short, Some(&known)).await.unwrap().unwrap();
    assert_eq!(live.fields["plan"], "essential-1");

    let larger = want(json!({ "app": APP, "plan": "heroku-postgresql:essential-2" }));
    let codes = stage.findings("heroku.addon", "target", &larger, Some(&known)).await.unwrap();
    assert_eq!(codes, ["PGF1505"]);
    let other = want(json!({ "app": APP, "plan": "heroku-postgresql:standard-0" }));
    let codes = stage.findings("heroku.addon", "target", &other, Some(&known)).await.unwrap();
    assert_eq!(codes, ["PGF1503", "PGF1505"]);
    let more = More { before: Some(known.clone()), ..More::default() };
    let grown = stage.act("heroku.addon", "target", Verb::Update, larger, more).await.unwrap();
    assert_eq!(text(&grown, "plan"), "heroku-postgresql:essential-2");
    assert_eq!(text(&grown, "url"), text(&first, "url"));

    // An app under a new name still has its add-on, and deleting the add-on means that one.
    stage.patch(&format!("/apps/{APP}"), &json!({ "name": "renamed-by-a-colleague" })).await;
    let live = resource.read(&cx, &addon(), Some(&known)).await.unwrap().unwrap();
    assert_eq!(live.fields["app"], "renamed-by-a-colleague");
    resource.delete(&cx, &known).await.unwrap();
    resource.delete(&cx, &known).await.unwrap();
    assert!(resource.read(&cx, &addon(), Some(&known)).await.unwrap().is_none());
    let left = stage.heroku("/apps/renamed-by-a-colleague/addons").await;
    assert!(left.as_array().unwrap().iter().all(|addon| addon["id"] != *known.id), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_puts_back_what_was_before() {
    let stage = stage().await;
    let resource = stage.resource("heroku.maintenance");
    let cx = stage.cx("window");
    let asked = want(json!({ "app": "acme-web", "stop": ["worker"] }));
    assert!(stage.findings("heroku.maintenance", "window", &asked, None).await.unwrap().is_empty());
    let odd = want(json!({ "app": "acme-web", "stop": ["clock"] }));
    let codes = stage.findings("heroku.maintenance", "window", &odd, None).await.unwrap();
    assert_eq!(codes, ["PGF1532"]);

    let before = quiet(&stage).await;
    assert_eq!(before.0, json!(false));
    let first = resource.open(&cx, &asked, None).await.unwrap();
    assert_eq!(quiet(&stage).await, (json!(true), json!(0)));
    // Adopted after a crash: what was before is not what is now.
    let prior = stage.intent("window", Verb::Create, &asked);
    let second = resource.open(&cx, &asked, Some(&prior)).await.unwrap();
    assert_eq!(first.attrs, second.attrs);
    let intent = stage.intent("window", Verb::Create, &asked);
    resource.close(&cx, &intent).await.unwrap();
    resource.close(&cx, &intent).await.unwrap();
    assert_eq!(quiet(&stage).await, before);

    // Closed by somebody, it is not quietly opened again: what was done under it may be out of date.
    let gone = resource.open(&cx, &asked, Some(&prior)).await.unwrap_err();
    let want = "app `acme-web` was taken out of maintenance by somebody, in the middle of the move";
    assert_eq!((gone.class, gone.chain().as_str()), (Class::Gone, want));
    resource.open(&cx, &asked, None).await.unwrap();
    let one = json!({ "updates": [{ "type": "worker", "quantity": 1 }] });
    stage.patch("/apps/acme-web/formation", &one).await;
    let gone = resource.open(&cx, &asked, Some(&prior)).await.unwrap_err();
    let want = "somebody has started `worker` of app `acme-web` again, in the middle of the move";
    assert_eq!((gone.class, gone.chain().as_str()), (Class::Gone, want));

    // A release meanwhile took away a process type that ran before: all else is put back.
    let mut intent = stage.intent("window", Verb::Create, &asked);
    intent.notes["former"]["quantities"]["clock"] = json!(1);
    resource.close(&cx, &intent).await.unwrap();
    assert_eq!(quiet(&stage).await, before);
    stage.sandbox.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_opens_only_once_processes_are_known_to_have_stopped() {
    let stage = stage().await;
    let resource = stage.resource("heroku.maintenance");
    let cx = stage.cx("window");
    let asked = want(json!({ "app": "acme-web", "stop": ["worker"] }));

    // A 404 for the list of processes says nothing of them.
    stage.faults(json!({ "dynos_status": 404 })).await;
    let refused = resource.open(&cx, &asked, None).await.unwrap_err();
    assert!(refused.chain().contains("waiting for the processes of app `acme-web` to stop"));

    // Neither does a service that is busy: it is asked again, while the workers run on.
    stage.faults(json!({ "dynos_status": 0, "hold_dynos": true })).await;
    let opening = resource.open(&cx, &asked, None);
    tokio::pin!(opening);
    let watched = async {
        loop {
            let heard = stage.heard.0.lock().unwrap().join("\n");
            if heard.contains("waiting for 2 processes to stop") {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = &mut opening => panic!("it did not wait: {ended:?}"),
        () = watched => {}
    }
    stage.faults(json!({ "hold_dynos": false })).await;
    opening.await.unwrap();
    stage.sandbox.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_closes_at_an_app_that_was_renamed_meanwhile() {
    let stage = stage().await;
    let resource = stage.resource("heroku.maintenance");
    let cx = stage.cx("window");
    let asked = want(json!({ "app": "acme-web", "stop": ["worker"] }));
    let before = quiet(&stage).await;
    resource.open(&cx, &asked, None).await.unwrap();
    stage.patch("/apps/acme-web", &json!({ "name": "acme-www" })).await;
    let intent = stage.intent("window", Verb::Create, &asked);
    resource.close(&cx, &intent).await.unwrap();
    stage.patch("/apps/acme-www", &json!({ "name": "acme-web" })).await;
    assert_eq!(quiet(&stage).await, before);
    stage.sandbox.stop().await.unwrap();
}

/// Whether `acme-web` is in maintenance, and how many workers it has.
async fn quiet(stage: &Stage) -> (Json, Json) {
    let app = stage.heroku("/apps/acme-web").await;
    let formation = stage.heroku("/apps/acme-web/formation").await;
    let workers = formation.as_array().unwrap().iter().find(|it| it["type"] == "worker").unwrap();
    (app["maintenance"].clone(), workers["quantity"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cutover_overwrites_only_what_is_confirmed() {
    let stage = stage().await;
    let database = target(&stage).await;
    let name = database.attrs.get("name").and_then(Tree::as_text).unwrap().to_owned();
    let resource = stage.resource("heroku.attachment");
    let cx = stage.cx("cutover");
    let asked = |confirm: Json| {
        want(json!({ "addon": name, "app": "acme-web", "as": "DATABASE", "confirm": confirm }))
    };
    assert!(resource.find(&cx, &asked(Json::Null)).await.unwrap().is_none());
    let unguarded = asked(Json::Null);
    let codes = stage.findings("heroku.attachment", "cutover", &unguarded, None).await.unwrap();
    assert_eq!(codes, ["PGF1521"]);
    let refused =
        stage.act("heroku.attachment", "cutover", Verb::Create, unguarded, More::default()).await;
    assert_eq!(refused.unwrap_err().class, Class::Conflict);

    let guarded = asked(json!("acme-web"));
    let codes = stage.findings("heroku.attachment", "cutover", &guarded, None).await.unwrap();
    assert_eq!(codes, ["PGF1522"]);
    let done = create(&stage, "heroku.attachment", "cutover", &guarded).await;
    assert_eq!(done.attrs.get("config_var").and_then(Tree::as_text), Some("DATABASE_URL"));
    assert_eq!(done.memory["before"]["by_hand"], true);
    let vars = stage.heroku("/apps/acme-web/config-vars").await;
    let Some(Tree::Secret(url)) = database.attrs.get("url") else { panic!("a secret") };
    assert_eq!(vars["DATABASE_URL"].as_str(), Some(url.expose()));
    let intent = stage.intent("cutover", Verb::Create, &guarded);
    assert!(matches!(resource.settle(&cx, &intent).await.unwrap(), Settled::Done(_)));
    assert!(
        stage.findings("heroku.attachment", "cutover", &guarded, None).await.unwrap().is_empty()
    );

    // Another add-on takes the name over, and the former one keeps another.
    let next = with(addon(), "name", Tree::text("the-next-one"));
    create(&stage, "heroku.addon", "next", &next).await;
    let moved = with(guarded.clone(), "addon", Tree::text("the-next-one"));
    let live =
        resource.read(&cx, &moved, Some(&remembered(&done, &guarded))).await.unwrap().unwrap();
    assert_eq!(live.fields["addon"], json!(name));
    let more = More { before: Some(remembered(&done, &guarded)), ..More::default() };
    stage.act("heroku.attachment", "cutover", Verb::Update, moved, more).await.unwrap();
    let attachments = stage.heroku("/apps/acme-web/addon-attachments").await;
    let names: Vec<(&str, &str)> = attachments
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["addon"]["name"].as_str().unwrap(), it["name"].as_str().unwrap()))
        .collect();
    assert!(names.contains(&("the-next-one", "DATABASE")), "{names:?}");
    assert!(names.iter().any(|(addon, _)| *addon == name), "{names:?}");
    stage.kept_secrets();
    stage.sandbox.stop().await.unwrap();
}

/// A bucket with a dump of the source, and what a restore of it asks for.
async fn dumped(stage: &Stage, target: &Done<Tree>) -> Tree {
    let source = want(json!({ "label": "acme-prod", "database": "acme_org_db" }));
    let lookup = stage.resource("linode.database");
    let source = lookup.read(&stage.cx("source"), &source, None).await.unwrap().unwrap();
    let asked = want(json!({ "label": "for-migration", "region": "us-ord" }));
    let bucket = create(stage, "linode.bucket", "bucket", &asked).await;
    let access = with(
        want(json!({ "permissions": "read_write" })),
        "bucket",
        whole("bucket", &bucket.id, &bucket.attrs),
    );
    let asked = with(want(json!({})), "access", Tree::List(vec![access]));
    let key = stage.resource("linode.access_key").open(&stage.cx("key"), &asked, None).await;
    let key = key.unwrap();
    let key = whole("key", &key.id, &key.attrs);
    let to = with(
        with(
            want(json!({ "object": "data.dump" })),
            "bucket",
            whole("bucket", &bucket.id, &bucket.attrs),
        ),
        "credentials",
        key.clone(),
    );
    let asked =
        with(with(want(json!({})), "source", whole("source", &source.id, &source.attrs)), "to", to);
    let dump = stage.act("postgres.dump", "dump", Verb::Run, asked, More::default()).await.unwrap();
    let asked = want(json!({ "confirm": APP, "extensions": ["tablefunc", "uuid-ossp"] }));
    let asked = with(asked, "into", whole("target", &target.id, &target.attrs));
    let asked = with(asked, "from", whole("dump", &dump.id, &dump.attrs));
    with(asked, "credentials", key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_watched_taken_up_and_judged() {
    let stage = stage().await;
    let target = target(&stage).await;
    let asked = dumped(&stage, &target).await;
    let resource = stage.resource("heroku.restore");
    let cx = stage.cx("restore");
    let unknown = with(asked.clone(), "into", Tree::Unknown);
    assert!(stage.findings("heroku.restore", "restore", &unknown, None).await.is_none());
    assert!(stage.findings("heroku.restore", "restore", &asked, None).await.unwrap().is_empty());

    // What users prepared would be dropped with all the rest.
    run(&target, "create schema prepared; grant usage on schema prepared to public").await;
    let codes = stage.findings("heroku.restore", "restore", &asked, None).await.unwrap();
    assert_eq!(codes, ["PGF1201"]);
    let refused =
        stage.act("heroku.restore", "restore", Verb::Run, asked.clone(), More::default()).await;
    let refused = refused.unwrap_err();
    assert!(refused.message.contains("it holds `schema prepared`"), "{}", refused.message);
    run(&target, "drop schema prepared").await;

    // It fails with the cause from its log, and what it left is known as ours.
    stage.faults(json!({ "fail_next_restore": "boom in the middle" })).await;
    let failed =
        stage.act("heroku.restore", "restore", Verb::Run, asked.clone(), More::default()).await;
    let failed = failed.unwrap_err();
    assert_eq!(failed.class, Class::Failed);
    assert!(failed.message.contains("boom in the middle"), "{}", failed.message);
    let codes = stage.findings("heroku.restore", "restore", &asked, None).await.unwrap();
    assert_eq!(codes, ["PGF1201"]);
    let intent = stage.intent("restore", Verb::Run, &asked);
    assert!(matches!(resource.settle(&cx, &intent).await.unwrap(), Settled::Not(_)));
    stage.intents.lock().unwrap().insert("restore".to_owned(), intent.clone());
    assert!(stage.findings("heroku.restore", "restore", &asked, None).await.unwrap().is_empty());

    // Stopped on request while it runs: it goes on, and the next attempt takes it up.
    stage.faults(json!({ "hold_restore": true })).await;
    let more = More { prior: Some(intent), ..More::default() };
    let running = stage.act("heroku.restore", "restore", Verb::Run, asked.clone(), more);
    let stopping = async {
        while stage.remains().await["transfers"] != json!(2)
            || stage.journal.of("restore")["transfer"].is_null()
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        stage.cancel.lock().unwrap().cancel();
    };
    let (stopped, ()) = tokio::join!(running, stopping);
    assert_eq!(stopped.unwrap_err().class, Class::StillRunning);
    *stage.cancel.lock().unwrap() = Default::default();
    let cx = stage.cx("restore");
    let mut intent = stage.intent("restore", Verb::Run, &asked);
    stage.intents.lock().unwrap().insert("restore".to_owned(), intent.clone());
    assert!(matches!(resource.settle(&cx, &intent).await.unwrap(), Settled::Running(_)));
    assert!(stage.findings("heroku.restore", "restore", &asked, None).await.unwrap().is_empty());
    // As if it had died between the request and the note.
    intent.notes["transfer"] = Json::Null;
    assert!(matches!(resource.settle(&cx, &intent).await.unwrap(), Settled::Running(_)));
    stage.faults(json!({ "hold_restore": false, "http_503_next": 2 })).await;
    let more = More { prior: Some(intent.clone()), ..More::default() };
    let done =
        stage.act("heroku.restore", "restore", Verb::Run, asked.clone(), more).await.unwrap();
    assert_eq!(done.attrs.get("transfer").and_then(Tree::as_text), Some("r002"));
    assert_eq!(stage.remains().await["transfers"], json!(2));
    let Settled::Done(settled) = resource.settle(&cx, &intent).await.unwrap() else {
        panic!("it is done")
    };
    // Other databases of the server go on.
    let same = |done: &Json| {
        let mut memory = done.clone();
        memory["fingerprint"]["snapshot"] = Json::Null;
        memory
    };
    assert_eq!((&settled.id, same(&settled.memory)), (&done.id, same(&done.memory)));

    // Filled by our own restore and unwritten since, it is accepted; written to, it is not.
    stage.intents.lock().unwrap().clear();
    let known = remembered(&done, &asked);
    let codes = stage.findings("heroku.restore", "restore", &asked, Some(&known)).await.unwrap();
    assert!(codes.is_empty(), "{codes:?}");
    write(&target).await;
    let codes = stage.findings("heroku.restore", "restore", &asked, Some(&known)).await.unwrap();
    assert_eq!(codes, ["PGF1201"]);
    let more = More { before: Some(known), ..More::default() };
    let refused = stage.act("heroku.restore", "restore", Verb::Run, asked.clone(), more).await;
    assert_eq!(refused.unwrap_err().class, Class::Conflict);
    assert_eq!(stage.remains().await["transfers"], json!(2));

    // Comments that only the provider may write are harmless, whatever the service makes of them.
    for mode in ["warn", "fail"] {
        stage.faults(json!({ "extension_owner": "service", "comment_errors": mode })).await;
        let confirmed = vec![("target".to_owned(), APP.to_owned())];
        let more = More { confirmed, ..More::default() };
        let done = stage.act("heroku.restore", "restore", Verb::Run, asked.clone(), more).await;
        let Some(Tree::List(warnings)) = done.unwrap().attrs.get("warnings").cloned() else {
            panic!("a list")
        };
        assert!(!warnings.is_empty(), "{mode}");
    }
    stage.kept_secrets();
    stage.sandbox.stop().await.unwrap();
}

/// One row by hand.
async fn write(target: &Done<Tree>) {
    run(target, "create table public.by_hand as select 1 as x").await;
}

async fn run(target: &Done<Tree>, sql: &str) {
    let Some(Tree::Secret(url)) = target.attrs.get("url") else { panic!("a secret") };
    let url = url::Url::parse(url.expose()).unwrap();
    let psql = tokio::process::Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c"])
        .arg(sql)
        .env("PGSSLMODE", "require")
        .env("PGHOST", url.host_str().unwrap())
        .env("PGPORT", url.port().unwrap().to_string())
        .env("PGUSER", url.username())
        .env("PGPASSWORD", url.password().unwrap())
        .env("PGDATABASE", url.path().trim_start_matches('/'))
        .status()
        .await
        .unwrap();
    assert!(psql.success());
}
