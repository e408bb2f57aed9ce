//! Config vars against the emulator: set, compared live, taken away, and never told.

#![allow(clippy::unwrap_used, missing_docs)]

mod stage;

use pgferry_engine::resource::{Remembered, Verb};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use serde_json::{Value as Json, json};
use stage::{More, Stage, remembered, want, with};

const TYPE: &str = "heroku.config";
const SECRET: &str = "postgres://u:s3cr3t-of-config@h/d";

fn asked(values: Json) -> Tree {
    let plain = want(json!({ "app": "acme-web", "values": values }));
    let Some(Tree::Map(mut values)) = plain.get("values").cloned() else { unreachable!() };
    values.insert("REPORTS_URL".to_owned(), Tree::Secret(Secret::new(SECRET)));
    with(plain, "values", Tree::Map(values))
}

async fn vars(stage: &Stage) -> Json {
    stage.heroku("/apps/acme-web/config-vars").await
}

async fn releases(stage: &Stage) -> usize {
    stage.heroku("/apps/acme-web/releases").await.as_array().unwrap().len()
}

async fn there(stage: &Stage, want: &Tree, known: &Remembered) -> Json {
    let read = stage.resource(TYPE).read(&stage.cx("config"), want, Some(known)).await.unwrap();
    read.unwrap().fields["values"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_set_once_compared_live_and_taken_away() {
    let stage = Stage::set(vec![pgferry_heroku::provider()]).await;
    let resource = stage.resource(TYPE);
    let cx = stage.cx("config");
    let first = asked(json!({ "LOG_LEVEL": "debug", "PORT_RANGE": 5, "GONE": null }));
    assert!(resource.find(&cx, &first).await.unwrap().is_none());
    assert_eq!(stage.findings(TYPE, "config", &first, None).await.unwrap(), Vec::<String>::new());

    let before = releases(&stage).await;
    let done =
        stage.act(TYPE, "config", Verb::Create, first.clone(), More::default()).await.unwrap();
    assert_eq!(
        done.attrs.storable(),
        json!({ "names": ["LOG_LEVEL", "PORT_RANGE", "REPORTS_URL"] })
    );
    let set = vars(&stage).await;
    assert_eq!(
        (&set["LOG_LEVEL"], &set["PORT_RANGE"], &set["REPORTS_URL"], set.get("GONE")),
        (&json!("debug"), &json!("5"), &json!(SECRET), None)
    );
    let once = releases(&stage).await;
    assert_eq!(once, before + 1);
    let known = remembered(&done, &first);
    assert!(!serde_json::to_string(&known).unwrap().contains("s3cr3t"));
    assert!(resource.find(&cx, &first).await.unwrap().is_some(), "adopted where all is as wanted");
    // Acted again, as after a crash: no further release.
    stage.act(TYPE, "config", Verb::Create, first.clone(), More::default()).await.unwrap();
    assert_eq!(releases(&stage).await, once);

    // Nothing differs; then somebody changes all of it by hand.
    let all = json!({ "LOG_LEVEL": "debug", "PORT_RANGE": 5, "GONE": null, "REPORTS_URL": "(sensitive)" });
    assert_eq!(there(&stage, &first, &known).await, all);
    let by_hand = json!({ "LOG_LEVEL": "of-somebody-else", "REPORTS_URL": "postgres://theirs", "PORT_RANGE": null, "GONE": "x" });
    stage.patch("/apps/acme-web/config-vars", &by_hand).await;
    let other = "(another value)";
    assert_eq!(
        there(&stage, &first, &known).await,
        json!({ "LOG_LEVEL": other, "PORT_RANGE": null, "GONE": other, "REPORTS_URL": other })
    );
    let found = stage.findings(TYPE, "config", &first, Some(&known)).await.unwrap();
    assert_eq!(found, ["PGF1542"]);
    let more = More { before: Some(known.clone()), ..More::default() };
    stage.act(TYPE, "config", Verb::Update, first.clone(), more).await.unwrap();
    assert_eq!(there(&stage, &first, &known).await, all);

    // What we wrote in clear ourselves may be told when it changes.
    let second = asked(json!({ "LOG_LEVEL": "info" }));
    assert_eq!(
        there(&stage, &second, &known).await,
        json!({ "LOG_LEVEL": "debug", "REPORTS_URL": "(sensitive)" })
    );

    resource.delete(&cx, &known).await.unwrap();
    resource.delete(&cx, &known).await.unwrap();
    let left = vars(&stage).await;
    assert!(
        known
            .attrs
            .get("names")
            .and_then(Tree::as_list)
            .unwrap()
            .iter()
            .all(|n| left.get(n.as_text().unwrap()).is_none())
    );
    assert!(left.get("DATABASE_URL").is_some(), "others stay: {left}");
    let heard = stage.heard.0.lock().unwrap().join("\n");
    assert!(!heard.contains("s3cr3t") && !heard.contains("somebody-else"), "{heard}");
    stage.sandbox.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_addon_brings_cannot_be_set() {
    let stage = Stage::set(vec![pgferry_heroku::provider()]).await;
    let app = want(json!({ "name": "psql-migration" }));
    stage.act("heroku.app", "app", Verb::Create, app, More::default()).await.unwrap();
    let addon = want(json!({ "app": "psql-migration", "plan": "heroku-postgresql:essential-1" }));
    stage.act("heroku.addon", "target", Verb::Create, addon, More::default()).await.unwrap();
    let asked =
        want(json!({ "app": "psql-migration", "values": { "DATABASE_URL": "x", "A": "b" } }));
    assert_eq!(stage.findings(TYPE, "config", &asked, None).await.unwrap(), ["PGF1541"]);
    let refused =
        stage.act(TYPE, "config", Verb::Create, asked, More::default()).await.unwrap_err();
    assert!(refused.chain().contains("DATABASE_URL"), "{}", refused.chain());
    let nowhere = want(json!({ "app": "no-such-app", "values": { "A": "b" } }));
    assert!(stage.findings(TYPE, "config", &nowhere, None).await.is_none());
    let refused = stage.act(TYPE, "config", Verb::Create, nowhere, More::default()).await;
    assert_eq!(refused.unwrap_err().message, "there is no app `no-such-app`");
    stage.sandbox.stop().await.unwrap();
}
