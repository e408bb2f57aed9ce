//! The Data API's view of a database: its facts, whether it is ready, and its credentials.
//!
//! Tested in `tests/heroku.rs`.

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::provision::ask;
use super::refusal::{Answer, Refusal, found};
use super::{AddonState, Plan, TargetDatabase};
use crate::moment;
use crate::world::Shared;

/// What is known of a database once it exists.
struct Known {
    addon: String,
    name: String,
    plan: &'static Plan,
    created: jiff::Timestamp,
    ready: bool,
    database: TargetDatabase,
}

/// The database of the add-on of that id or name; a page saying 404 while there is none.
fn known(world: &Shared, wanted: &str) -> Result<Known, Refusal> {
    let account = world.heroku();
    let addon = account.addon(wanted).map_err(|_| Refusal::unknown_database())?;
    let database = addon.database.clone().ok_or_else(Refusal::unknown_database)?;
    let ready = addon.state == AddonState::Provisioned;
    Ok(Known {
        addon: addon.id.clone(),
        name: addon.name.clone(),
        plan: addon.plan,
        created: addon.created_at,
        ready,
        database,
    })
}

fn megabytes(bytes: u64) -> String {
    // One decimal is all that is shown, so the rounding of whole bytes does not matter.
    format!("{}.{} MB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

pub(super) async fn show(State(world): State<Shared>, Path(wanted): Path<String>) -> Answer {
    let known = known(&world, &wanted)?;
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let bytes =
        number(ask(&world, &known.database, "select pg_database_size(current_database())").await);
    let connections = number(
        ask(&world, &known.database, "select count(*) from pg_stat_activity where datname = current_database() and application_name <> 'sandbox'").await,
    );
    let tables = number(
        ask(&world, &known.database, "select count(*) from pg_class where relkind in ('r', 'p') and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')").await,
    );
    let version = &world.target.installation.version;
    let storage = known.plan.storage_bytes;
    let line = |name: &str, value: String| json!({ "name": name, "values": [value] });
    let hundredths = bytes * 10_000 / storage;
    let share = format!("{}.{:02}%", hundredths / 100, hundredths % 100);
    let size = format!("{} / {} GB ({share}) (In compliance)", megabytes(bytes), storage >> 30);
    let mut info = vec![
        line("Plan", known.plan.slug.to_owned()),
        line("Status", if known.ready { "Available" } else { "Preparing" }.to_owned()),
        line("Connections", format!("{connections}/{}", known.plan.connections)),
        line("PG Version", version.clone()),
        line("Created", known.created.strftime("%Y-%m-%d %H:%M UTC").to_string()),
        line("Data Size", size),
        line("Tables", format!("{tables}/4000 (In compliance)")),
    ];
    let fork = if known.plan.is_essential() { "Unsupported" } else { "Available" };
    info.push(line("Fork/Follow", fork.to_owned()));
    info.push(line(
        "Rollback",
        if known.plan.is_essential() { "Unsupported" } else { "Unavailable" }.to_owned(),
    ));
    info.push(line(
        "Continuous Protection",
        if known.plan.is_essential() { "Off" } else { "On" }.to_owned(),
    ));
    let mut answer = json!({
        "addon_id": known.addon, "name": known.name, "plan": known.plan.slug, "created_at": moment::data(known.created),
        "database_user": known.database.login.user, "database_name": known.database.name,
        "resource_url": known.database.url(world.target.port), "waiting?": !known.ready, "num_bytes": bytes, "info": info,
    });
    if !known.plan.is_essential() {
        answer["plan"] = json!({
            "id": known.plan.id, "name": known.plan.slug, "tier": known.plan.tier(),
            "attrs_unparsed": { "capacity_bytes": storage, "soft_connlimit": known.plan.connections, "hard_connlimit": 200 },
        });
        for (name, value) in [
            ("postgres_version", json!(version)),
            ("num_connections", json!(connections)),
            ("num_connections_waiting", json!(0)),
            ("num_tables", json!(tables)),
            ("port", json!(world.target.port)),
            ("database_password", json!(known.database.login.password)),
            ("heroku_resource_id", json!(known.name)),
            ("hot_standby?", json!(false)),
            ("standalone?", json!(true)),
            ("following", Value::Null),
            ("forked_from", Value::Null),
            ("leader", Value::Null),
            ("available_for_ingress", json!(true)),
            ("credentials", json!(1)),
        ] {
            answer[name] = value;
        }
    }
    found(answer)
}

pub(super) async fn wait_status(State(world): State<Shared>, Path(wanted): Path<String>) -> Answer {
    let ready = known(&world, &wanted)?.ready;
    found(
        json!({ "message": if ready { "available" } else { "preparing" }, "waiting?": !ready, "error?": false }),
    )
}

fn default_credential(world: &Shared, known: &Known) -> Value {
    let login = &known.database.login;
    json!({
        "uuid": known.addon, "name": "default", "state": "active", "database": known.database.name, "host": "127.0.0.1",
        "port": world.target.port,
        "credentials": [{ "user": login.user, "password": login.password, "state": "active", "connections": 0 }],
    })
}

pub(super) async fn credentials(State(world): State<Shared>, Path(wanted): Path<String>) -> Answer {
    let known = known(&world, &wanted)?;
    found(json!([default_credential(&world, &known)]))
}

pub(super) async fn credential(
    State(world): State<Shared>,
    Path((wanted, name)): Path<(String, String)>,
) -> Answer {
    let known = known(&world, &wanted)?;
    if name != "default" {
        return Err(Refusal::not_found("credential"));
    }
    found(default_credential(&world, &known))
}
