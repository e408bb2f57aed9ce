//! A sandbox inside this process: both servers, the seeded source, and the three HTTP origins.
//!
//! It owns the order of starting and stopping; `daemon` runs one in the background. Tested in `tests/servers.rs` and by
//! every test that needs a service.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::middleware;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cluster::{Cluster, Login};
use crate::door::{Door, watch_door};
use crate::environment::Environment;
use crate::error::Error;
use crate::faults::{Faults, Switches};
use crate::heroku::{self, App, HerokuAccount};
use crate::installation::{Account, Installation};
use crate::linode::{self, Instance, LinodeAccount};
use crate::remains::{self, Remains};
use crate::s3::{Grants, Key, S3};
use crate::world::{Parts, Shared, Source, Tokens, World};
use crate::{random, seed, tls};

/// How a sandbox is to be; what can change while it runs is set by `POST /sandbox/faults`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// The size of the source database; its rows are in proportion. 60 by default.
    pub megabytes: u64,
    /// How long an add-on takes to be provisioned, in seconds. 1 by default.
    pub provision_seconds: f64,
    /// How long a new access key is refused, in milliseconds. 1000 by default.
    pub key_delay_ms: u64,
    /// Whether its servers keep what they have committed, and have the memory of an ordinary one: for benchmarks. False by
    /// default.
    pub durable: bool,
}

impl Default for Options {
    fn default() -> Self {
        let switches = Switches::default();
        Self {
            megabytes: 60,
            provision_seconds: switches.provision_seconds,
            key_delay_ms: switches.key_delay_ms,
            durable: false,
        }
    }
}

/// A running sandbox. Dropping it stops it, too, but cannot report what went wrong.
pub struct Sandbox {
    dir: PathBuf,
    environment: Environment,
    /// Dropping the set ends the servers in it.
    servers: JoinSet<std::io::Result<()>>,
    stopped: bool,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sandbox").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts a sandbox that keeps its data in `dir`, made if need be, and returns when all of it answers.
    ///
    /// Takes a few seconds for the default size. `<dir>/env` and `<dir>/source-ca.pem` are written last.
    ///
    /// # Errors
    /// When there is no Postgres, a server does not start, or the seed fails; what was started is cleared before.
    pub async fn start(dir: &Path, options: &Options) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(Error::file("creating", dir))?;
        let dir = dir.canonicalize().map_err(Error::file("finding", dir))?;
        let result = Self::assemble(&dir, options).await;
        if result.is_err() {
            // The first error is the one to tell.
            let _cleared = tokio::task::spawn_blocking(move || remains::clear(&dir)).await;
        }
        result
    }

    async fn assemble(dir: &Path, options: &Options) -> Result<Self, Error> {
        let installation = Installation::newest(
            std::env::var_os("PGFERRY_PG_BIN").as_deref(),
            std::env::var_os("PATH").as_deref(),
        )?;
        let account = Account::of_this_process();
        let places = Remains::plan(dir, account)?;
        let (vouched, self_signed) = (tls::under_own_authority()?, tls::unverifiable()?);
        let (source, target) = tokio::try_join!(
            start_source(&places, &installation, account, &vouched, options),
            Cluster::start(
                places.target(),
                installation.clone(),
                account,
                (&self_signed, options.durable)
            ),
        )?;
        let (s3_listener, s3_origin) = listen().await?;
        let s3 = S3::open(&remains::objects_folder(dir), s3_origin.clone())
            .map_err(Error::file("opening the bucket store in", dir))?;
        let (linode_listener, linode_origin) = listen().await?;
        let (heroku_listener, heroku_origin) = listen().await?;
        let key = Key {
            access_key: random::access_key(),
            secret_key: random::secret(40),
            grants: Grants::Unlimited,
            active_after: None,
        };
        s3.add_key(key.clone());
        let tokens =
            Tokens { linode: random::secret(64), heroku: format!("HRKU-{}", random::uuid()) };
        let environment = Environment::new([
            format!("http://{linode_origin}"),
            tokens.linode.clone(),
            format!("http://{heroku_origin}"),
            "127.0.0.1".into(),
            tokens.heroku.clone(),
            source.url(),
            format!("http://{s3_origin}"),
            key.access_key,
            key.secret_key,
        ]);
        let authority = remains::authority_file(dir);
        std::fs::write(&authority, &source.authority).map_err(Error::file("writing", authority))?;
        let switches = Switches {
            provision_seconds: options.provision_seconds,
            key_delay_ms: options.key_delay_ms,
            ..Switches::default()
        };
        let heroku =
            HerokuAccount { apps: vec![App::story(source.url())], ..HerokuAccount::default() };
        let linode = LinodeAccount {
            instance: Some(Instance::story()),
            last_id: 1000,
            ..LinodeAccount::default()
        };
        let world = World::new(Parts {
            source,
            target,
            s3: s3.clone(),
            s3_host: s3_origin,
            tokens,
            faults: Faults::new(switches),
            linode,
            heroku,
        });
        let mut servers = JoinSet::new();
        serve_router(&mut servers, linode_listener, linode::router(&world));
        serve_router(&mut servers, heroku_listener, heroku::router(&world));
        serve_router(&mut servers, s3_listener, recorded(&world, s3.router()));
        environment.write(&remains::env_file(dir))?;
        Ok(Self { dir: dir.to_owned(), environment, servers, stopped: false })
    }

    /// The variables that point clients here.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The directory it was started in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stops everything and removes the data.
    ///
    /// # Errors
    /// When a server will not end or a file cannot be removed; `down` on the directory tries again.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stopped = true;
        self.servers.shutdown().await;
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || remains::clear(&dir))
            .await
            .expect("clearing does not panic")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.stopped {
            self.servers.abort_all();
            let _nobody_to_tell = remains::clear(&self.dir);
        }
    }
}

async fn start_source(
    places: &Remains,
    installation: &Installation,
    account: Account,
    identity: &tls::Identity,
    options: &Options,
) -> Result<Source, Error> {
    let kind = (identity, options.durable);
    let cluster = Cluster::start(places.source(), installation.clone(), account, kind).await?;
    let login = Login { user: "akmadmin".into(), password: format!("AVNS_{}", random::secret(19)) };
    let Login { user, password } = &login;
    let superuser = cluster.superuser("postgres").await?;
    for statement in [
        format!("create role {user} login nosuperuser createdb createrole password '{password}'"),
        format!("create database defaultdb owner {user}"),
        format!("create database {} owner {user}", Source::DATABASE),
    ] {
        superuser
            .batch_execute(&statement)
            .await
            .map_err(Error::postgres("making the databases of the source"))?;
    }
    seed::plant(&cluster.connect(&login, Source::DATABASE).await?, options.megabytes).await?;
    cluster.settle(Source::DATABASE, None).await?;
    // By the superuser, catalogs included, so that no automatic run is due later: the source is to stand still.
    let inside = cluster.superuser(Source::DATABASE).await?;
    let vacuumed = inside.batch_execute("vacuum (analyze)").await;
    vacuumed.map_err(Error::postgres("analysing the source"))?;
    drop(inside);
    cluster.settle(Source::DATABASE, None).await?;
    Ok(Source { cluster, login, authority: identity.authority.clone().unwrap_or_default() })
}

async fn listen() -> Result<(TcpListener, String), Error> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(Error::system("listening on loopback"))?;
    let address = listener.local_addr().map_err(Error::system("listening on loopback"))?;
    Ok((listener, address.to_string()))
}

fn serve_router(servers: &mut JoinSet<std::io::Result<()>>, listener: TcpListener, router: Router) {
    servers.spawn(async move { axum::serve(listener, router).await });
}

fn recorded(world: &Shared, router: Router) -> Router {
    router.layer(middleware::from_fn_with_state(
        Door { world: world.clone(), service: "s3" },
        watch_door,
    ))
}
