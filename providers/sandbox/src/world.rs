//! What all emulated services share: the servers, the accounts, the switches and the bucket store.
//!
//! It owns no behaviour; a lock on an account is held for the length of one decision, never across waiting. Tested
//! through the services.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cluster::{Cluster, Login};
use crate::door::RequestLog;
use crate::faults::Faults;
use crate::heroku::HerokuAccount;
use crate::linode::LinodeAccount;
use crate::s3::S3;

/// The world as every request handler gets it.
pub(crate) type Shared = Arc<World>;

/// All that lives while the sandbox runs.
pub(crate) struct World {
    pub(crate) source: Source,
    pub(crate) target: Cluster,
    pub(crate) s3: S3,
    /// `127.0.0.1:PORT` of the bucket store.
    pub(crate) s3_host: String,
    pub(crate) tokens: Tokens,
    pub(crate) faults: Faults,
    pub(crate) log: RequestLog,
    linode: Mutex<LinodeAccount>,
    heroku: Mutex<HerokuAccount>,
}

/// The server that plays the managed database at Linode.
pub(crate) struct Source {
    pub(crate) cluster: Cluster,
    pub(crate) login: Login,
    /// PEM of the authority that vouches for the server.
    pub(crate) authority: String,
}

impl Source {
    /// The customer's database.
    pub(crate) const DATABASE: &str = "acme_org_db";

    /// The connection string of the database; it holds the password.
    pub(crate) fn url(&self) -> String {
        let Login { user, password } = &self.login;
        format!(
            "postgres://{user}:{password}@127.0.0.1:{}/{}?sslmode=require",
            self.cluster.port,
            Self::DATABASE
        )
    }
}

/// What the services accept as proof of who asks.
pub(crate) struct Tokens {
    pub(crate) linode: String,
    pub(crate) heroku: String,
}

impl World {
    pub(crate) fn new(parts: Parts) -> Shared {
        let Parts { source, target, s3, s3_host, tokens, faults, linode, heroku } = parts;
        Arc::new(Self {
            source,
            target,
            s3,
            s3_host,
            tokens,
            faults,
            log: RequestLog::default(),
            linode: Mutex::new(linode),
            heroku: Mutex::new(heroku),
        })
    }

    // A panic while a lock is held leaves plain lists that are still whole.
    pub(crate) fn linode(&self) -> MutexGuard<'_, LinodeAccount> {
        self.linode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heroku(&self) -> MutexGuard<'_, HerokuAccount> {
        self.heroku.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a world is made of.
pub(crate) struct Parts {
    pub(crate) source: Source,
    pub(crate) target: Cluster,
    pub(crate) s3: S3,
    pub(crate) s3_host: String,
    pub(crate) tokens: Tokens,
    pub(crate) faults: Faults,
    pub(crate) linode: LinodeAccount,
    pub(crate) heroku: HerokuAccount,
}
