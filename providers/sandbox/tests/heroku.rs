//! The Heroku Platform API and Data API over the wire: apps, add-ons, attachments, config vars, and their manners.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stage::{Stage, psql};

const NONE: Value = Value::Null;

fn refusal((status, body): (StatusCode, Value)) -> (u16, String) {
    (status.as_u16(), body["id"].as_str().unwrap_or_default().to_owned())
}

// One sandbox for all: starting one takes seconds.
#[tokio::test(flavor = "multi_thread")]
async fn the_apis_of_heroku_keep_their_manners() {
    let stage = Stage::quick().await;
    every_answer_has_the_manners_of_the_service(&stage).await;
    the_story_starts_with_an_app_that_reads_the_source(&stage).await;
    names_are_checked_and_taken_once(&stage).await;
    an_addon_is_provisioned_with_a_database_of_its_own(&stage).await;
    an_attachment_takes_over_a_config_var_only_when_confirmed(&stage).await;
    addons_of_one_app_are_made_one_after_the_other(&stage).await;
    stage.sandbox.stop().await.unwrap();
}

async fn every_answer_has_the_manners_of_the_service(stage: &Stage) {
    let url = format!("{}/apps/acme-web", stage.value("HEROKU_HOST"));
    let ask = |token: &str, accept: &'static str| {
        let request = stage
            .request(Method::GET, &url)
            .bearer_auth(token)
            .header("accept", accept)
            .header("request-id", "mine");
        async { request.send().await.unwrap() }
    };
    let token = stage.value("HEROKU_API_KEY");
    let answer = ask(token, "application/vnd.heroku+json; version=3").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert!(answer.headers()["request-id"].to_str().unwrap().starts_with("mine,"));
    assert_eq!(answer.headers()["ratelimit-remaining"], "4499");
    assert_eq!(ask(token, "application/json").await.status(), 406);
    assert_eq!(ask("wrong", "application/vnd.heroku+json; version=3").await.status(), 401);
    let basic = stage
        .request(Method::GET, &url)
        .basic_auth("", Some(token))
        .header("accept", "application/vnd.heroku+json; version=3.sdk");
    assert_eq!(basic.send().await.unwrap().status(), 200);
    assert_eq!(
        refusal(stage.heroku(Method::GET, "/apps/nobody", NONE).await),
        (404, "not_found".into())
    );
    assert_eq!(
        refusal(stage.heroku(Method::GET, "/nowhere", NONE).await),
        (404, "not_found".into())
    );
    let (status, page) = stage.heroku(Method::GET, "/client/v11/databases/unknown", NONE).await;
    assert_eq!((status.as_u16(), page), (404, json!("<h1>Not Found</h1>")));
    assert_eq!(stage.look("/account").await["verified"], true);
    assert_eq!(stage.look("/plans/heroku-postgresql:essential-1").await["price"]["cents"], 900);
}

async fn the_story_starts_with_an_app_that_reads_the_source(stage: &Stage) {
    let vars = stage.look("/apps/acme-web/config-vars").await;
    assert_eq!(vars["DATABASE_URL"], stage.value("SOURCE_DATABASE_URL"));
    let quantities = async || {
        let formation = stage.look("/apps/acme-web/formation").await;
        formation
            .as_array()
            .unwrap()
            .iter()
            .map(|process| (process["type"].clone(), process["quantity"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(quantities().await, [(json!("web"), json!(1)), (json!("worker"), json!(2))]);
    let (_, app) =
        stage.heroku(Method::PATCH, "/apps/acme-web", json!({ "maintenance": true })).await;
    assert_eq!(app["maintenance"], true);
    stage
        .heroku(
            Method::PATCH,
            "/apps/acme-web/formation",
            json!({ "updates": [{ "type": "worker", "quantity": 0 }] }),
        )
        .await;
    assert_eq!(quantities().await, [(json!("web"), json!(1)), (json!("worker"), json!(0))]);
    stage.heroku(Method::PATCH, "/apps/acme-web/formation/worker", json!({ "quantity": 2 })).await;
    assert_eq!(quantities().await[1].1, 2);
    let before = stage.look("/apps/acme-web/releases").await.as_array().unwrap().len();
    let (_, vars) = stage
        .heroku(Method::PATCH, "/apps/acme-web/config-vars", json!({ "A": "1", "RACK_ENV": null }))
        .await;
    assert_eq!((&vars["A"], &vars["RACK_ENV"]), (&json!("1"), &NONE));
    assert_eq!(stage.look("/apps/acme-web/releases").await.as_array().unwrap().len(), before + 2);
}

async fn names_are_checked_and_taken_once(stage: &Stage) {
    let create = |name: &'static str| stage.heroku(Method::POST, "/apps", json!({ "name": name }));
    assert_eq!(create("fresh-app").await.0, 201);
    for bad in ["fresh-app", "Capital", "1st", "ab", "ends-"] {
        assert_eq!(refusal(create(bad).await), (422, "invalid_params".into()), "{bad}");
    }
    assert_eq!(stage.heroku(Method::DELETE, "/apps/fresh-app", NONE).await.0, 200);
    assert_eq!(create("fresh-app").await.0, 201);
}

async fn an_addon_is_provisioned_with_a_database_of_its_own(stage: &Stage) {
    stage.set(json!({ "provision_seconds": 3600 })).await;
    stage.heroku(Method::POST, "/apps", json!({ "name": "target-app" })).await;
    let order = json!({ "plan": { "name": "heroku-postgresql:essential-1" }, "name": "pgferry-0a1b2c3d", "confirm": "target-app" });
    let (status, addon) =
        stage.heroku(Method::POST, "/apps/target-app/addons", order.clone()).await;
    assert_eq!(
        (status.as_u16(), &addon["state"], &addon["config_vars"]),
        (201, &json!("provisioning"), &json!([]))
    );
    let data = format!("/client/v11/databases/{}", addon["id"].as_str().unwrap());
    assert_eq!(stage.heroku(Method::GET, &data, NONE).await.0, 404, "a young database is unknown");
    assert_eq!(
        refusal(stage.heroku(Method::POST, "/apps/target-app/addons", order).await),
        (422, "invalid_params".into())
    );

    stage.set(json!({ "provision_seconds": 0 })).await;
    let addon =
        stage.until("/addons/pgferry-0a1b2c3d", |addon| addon["state"] == "provisioned").await;
    assert_eq!(addon["config_vars"], json!(["DATABASE_URL"]));
    assert_eq!(stage.look(&format!("{data}/wait_status")).await["waiting?"], false);
    let database = stage.look(&data).await;
    assert_eq!(database["plan"], "essential-1");
    assert!(database["num_bytes"].as_u64().unwrap() > 1_000_000);

    let url = stage.look("/apps/target-app/config-vars").await["DATABASE_URL"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        psql(&url, "select usesuper, usecreatedb from pg_user where usename = current_user")
            .unwrap(),
        "f|f"
    );
    assert_eq!(
        psql(&url, "select rolconnlimit from pg_roles where rolname = current_user").unwrap(),
        "20"
    );
    assert!(psql(&url, "show rds.allowed_extensions").unwrap().contains("tablefunc"));
    psql(&url, "create extension \"uuid-ossp\"; create table t (id int)").unwrap();
    let (_, addon) = stage
        .heroku(
            Method::PATCH,
            "/apps/target-app/addons/pgferry-0a1b2c3d",
            json!({ "plan": "heroku-postgresql:essential-2" }),
        )
        .await;
    assert_eq!(addon["plan"]["name"], "heroku-postgresql:essential-2");
    assert_eq!(
        psql(&url, "select rolconnlimit from pg_roles where rolname = current_user").unwrap(),
        "40"
    );
    let across = json!({ "plan": "heroku-postgresql:standard-0" });
    assert_eq!(
        refusal(
            stage.heroku(Method::PATCH, "/apps/target-app/addons/pgferry-0a1b2c3d", across).await
        )
        .0,
        422
    );

    let (_, gone) = stage
        .heroku(
            Method::DELETE,
            "/apps/target-app/addons/pgferry-0a1b2c3d",
            json!({ "force": false }),
        )
        .await;
    assert_eq!(gone["state"], "deprovisioned");
    assert_eq!(stage.heroku(Method::GET, "/addons/pgferry-0a1b2c3d", NONE).await.0, 404);
    assert_eq!(stage.look("/apps/target-app/config-vars").await, json!({}));
}

async fn addons_of_one_app_are_made_one_after_the_other(stage: &Stage) {
    let order = || {
        stage.heroku(Method::POST, "/apps/acme-web/addons", json!({ "plan": "heroku-postgresql" }))
    };
    let (first, second) = tokio::join!(order(), order());
    let mut statuses = [first.0.as_u16(), second.0.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

async fn an_attachment_takes_over_a_config_var_only_when_confirmed(stage: &Stage) {
    let (addon, url) = stage.target("target-app", "essential-0").await;
    let name = addon["name"].as_str().unwrap();
    let wanted = json!({ "addon": name, "app": { "name": "acme-web" }, "name": "DATABASE" });
    assert_eq!(
        refusal(stage.heroku(Method::POST, "/addon-attachments", wanted.clone()).await),
        (422, "confirmation_required".into())
    );
    let mut confirmed = wanted;
    confirmed["confirm"] = json!("acme-web");
    let (status, attachment) = stage.heroku(Method::POST, "/addon-attachments", confirmed).await;
    assert_eq!(
        (status.as_u16(), &attachment["name"], &attachment["app"]["name"]),
        (201, &json!("DATABASE"), &json!("acme-web"))
    );
    assert_eq!(stage.look("/apps/acme-web/config-vars").await["DATABASE_URL"], json!(url));
    let by_hand = json!({ "DATABASE_URL": "postgres://elsewhere" });
    assert_eq!(
        refusal(stage.heroku(Method::PATCH, "/apps/acme-web/config-vars", by_hand).await),
        (422, "invalid_params".into())
    );

    let resolved =
        |wanted: Value| stage.heroku(Method::POST, "/actions/addon-attachments/resolve", wanted);
    let (_, found) =
        resolved(json!({ "addon_attachment": "DATABASE_URL", "app": "acme-web" })).await;
    assert_eq!(found[0]["id"], attachment["id"]);
    assert_eq!(resolved(json!({ "addon_attachment": "NOTHING", "app": "acme-web" })).await.0, 404);

    let second = json!({ "addon": name, "app": "acme-web" });
    let (_, second) = stage.heroku(Method::POST, "/addon-attachments", second).await;
    assert_eq!(second["name"], "HEROKU_POSTGRESQL_AMBER");
    assert_eq!(stage.look("/apps/acme-web/addon-attachments").await.as_array().unwrap().len(), 2);
    let id =
        |attachment: &Value| format!("/addon-attachments/{}", attachment["id"].as_str().unwrap());
    assert_eq!(stage.heroku(Method::DELETE, &id(&attachment), NONE).await.0, 200);
    let billing = stage.look("/apps/target-app/addon-attachments").await;
    assert_eq!(
        refusal(stage.heroku(Method::DELETE, &id(&billing[0]), NONE).await),
        (422, "invalid_params".into())
    );
    let releases = stage.look("/apps/acme-web/releases").await;
    assert_eq!(
        releases.as_array().unwrap().last().unwrap()["description"],
        json!(format!("Detach DATABASE (@{name})"))
    );
}
