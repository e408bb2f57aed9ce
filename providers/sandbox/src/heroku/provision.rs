//! Makes and drops the real databases behind add-ons.
//!
//! It owns the SQL: a role that is no superuser, a database of its own, the list of extensions it may have. Tested in
//! `tests/heroku.rs`.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::SimpleQueryMessage;

use super::{AddonState, TargetDatabase};
use crate::cluster::Login;
use crate::error::Error;
use crate::random;
use crate::world::Shared;

/// What the service allows and a database's owner can really install: the contributed extensions marked trusted.
const ALLOWED_EXTENSIONS: &str = "btree_gin,btree_gist,citext,cube,dict_int,earthdistance,fuzzystrmatch,hstore,intarray,isn,lo,ltree,\
    pg_trgm,pgcrypto,plpgsql,seg,tablefunc,tcn,tsm_system_rows,tsm_system_time,unaccent,uuid-ossp,vector";

/// Takes an add-on from `provisioning` to `provisioned`, in as long as the switch says.
///
/// The database appears a little before the add-on is called ready, as in life; until then the Data API knows nothing.
pub(super) async fn provision(world: Shared, id: String) {
    let started = Instant::now();
    wait(&world, started, 0.6).await;
    let made = create(&world, &id).await;
    wait(&world, started, 1.0).await;
    let orphan = {
        let mut account = world.heroku();
        let attached: Vec<(String, String)> = account
            .attachments
            .iter()
            .filter(|attachment| attachment.addon == id)
            .map(|attachment| (attachment.app.clone(), attachment.name.clone()))
            .collect();
        match account.addon_mut(&id) {
            Ok(addon) => {
                addon.state =
                    if made.is_ok() { AddonState::Provisioned } else { AddonState::Deprovisioned };
                addon.updated_at = Timestamp::now();
                let name = addon.name.clone();
                for (app, attachment) in attached {
                    if let Ok(app) = account.app_mut(&app) {
                        app.release(format!("Attach {attachment} (@{name})"));
                    }
                }
                None
            }
            // It was given back meanwhile.
            Err(_) => made.ok(),
        }
    };
    if let Some(database) = orphan {
        drop_database(&world, &database).await;
    }
}

/// Waits until `share` of the provisioning time is over; a switch moved meanwhile counts.
async fn wait(world: &Shared, started: Instant, share: f64) {
    loop {
        let whole = world.faults.now().provision_seconds * share;
        let left = Duration::from_secs_f64(whole.max(0.0)).saturating_sub(started.elapsed());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(Duration::from_millis(50))).await;
    }
}

async fn create(world: &Shared, id: &str) -> Result<TargetDatabase, Error> {
    let connections = world.heroku().addon(id).map_or(20, |addon| addon.plan.connections);
    let database = TargetDatabase {
        name: format!("d{}", random::name(13)),
        login: Login {
            user: format!("u{}", random::name(13)),
            password: format!("p{}", random::secret(64)),
        },
    };
    let TargetDatabase { name, login: Login { user, password } } = &database;
    let doing = "making the database of an add-on";
    let client = world.target.superuser("postgres").await?;
    for statement in [
        format!(
            "create role {user} login nosuperuser nocreatedb nocreaterole connection limit {connections} password '{password}'"
        ),
        format!("create database {name} owner {user} template template0"),
        format!("revoke connect on database {name} from public"),
        format!("alter database {name} set \"rds.allowed_extensions\" to '{ALLOWED_EXTENSIONS}'"),
    ] {
        client.batch_execute(&statement).await.map_err(Error::postgres(doing))?;
    }
    // Postgres 14 and older give every role the right to create in `public`, later ones only the database's owner.
    if let Ok(addon) = world.heroku().addon_mut(id) {
        addon.database = Some(database.clone());
    }
    Ok(database)
}

/// Sets how many connections a role may hold; a server that is gone is no reason to fail a plan change.
pub(super) async fn limit_connections(world: &Shared, role: &str, connections: u32) {
    if let Ok(client) = world.target.superuser("postgres").await {
        let _kept_as_it_was = client
            .batch_execute(&format!("alter role {role} connection limit {connections}"))
            .await;
    }
}

/// Takes an add-on off the account with its attachments, and drops its database in the background.
pub(super) fn remove(world: &Shared, id: &str) {
    let database = {
        let mut account = world.heroku();
        let position = account.addons.iter().position(|addon| addon.id == id);
        let removed = position.map(|position| account.addons.remove(position));
        let (gone, kept) = std::mem::take(&mut account.attachments)
            .into_iter()
            .partition(|attachment| attachment.addon == id);
        account.attachments = kept;
        for attachment in Vec::<super::Attachment>::from_iter(gone) {
            let name = removed.as_ref().map(|addon| addon.name.clone()).unwrap_or_default();
            if let Ok(app) = account.app_mut(&attachment.app) {
                app.release(format!("Detach {} (@{name})", attachment.name));
            }
        }
        for transfer in account.transfers.iter().filter(|transfer| transfer.addon == id) {
            transfer.cancelled.cancel();
        }
        removed.and_then(|addon| addon.database)
    };
    if let Some(database) = database {
        let world = world.clone();
        tokio::spawn(async move { drop_database(&world, &database).await });
    }
}

async fn drop_database(world: &Shared, database: &TargetDatabase) {
    // A server that is gone took the database with it.
    let Ok(client) = world.target.superuser("postgres").await else { return };
    let _gone = client
        .batch_execute(&format!("drop database if exists {} with (force)", database.name))
        .await;
    let _gone = client.batch_execute(&format!("drop role if exists {}", database.login.user)).await;
}

/// One value asked of a database of an add-on, as the superuser; None when the server or the database is gone.
pub(super) async fn ask(world: &Shared, database: &TargetDatabase, query: &str) -> Option<String> {
    let client = world.target.superuser(&database.name).await.ok()?;
    let rows = client.simple_query(query).await.ok()?;
    rows.iter().find_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}
