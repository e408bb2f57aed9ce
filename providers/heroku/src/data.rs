//! Requests of Heroku's Data API, which has no published contract: as the official command-line tool sends them.
//!
//! A database that is young, or unknown, answers 404 with whatever body. Tested through the resources.

use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_http::{Call, Error};
use serde_json::{Value as Json, json};

use crate::api::Api;
use crate::wire::{Database, Transfer, WaitStatus};

/// Starting a restore may wait for the service's own preparations.
const PATIENCE: Duration = Duration::from_secs(120);

impl Api {
    /// `None`: the database is not there yet.
    pub(crate) async fn wait_status(
        &self,
        cx: &Cx,
        database: &str,
    ) -> Result<Option<WaitStatus>, Error> {
        let call = Call::get(&["client", "v11", "databases", database, "wait_status"]);
        self.data.find(cx, call).await?.map(|answer| answer.json()).transpose()
    }

    /// `None`: the database is not there yet.
    pub(crate) async fn database(
        &self,
        cx: &Cx,
        database: &str,
    ) -> Result<Option<Database>, Error> {
        let call = Call::get(&["client", "v11", "databases", database]);
        self.data.find(cx, call).await?.map(|answer| answer.json()).transpose()
    }

    /// Starts a restore of what `url` gives. The URL is a secret.
    pub(crate) async fn start_restore(
        &self,
        cx: &Cx,
        database: &str,
        url: &str,
        extensions: Option<&[String]>,
    ) -> Result<Transfer, Error> {
        let mut body = json!({ "backup_url": url });
        if let Some(extensions) = extensions {
            body["extensions"] = Json::from(extensions);
        }
        let call = Call::post(&["client", "v11", "databases", database, "restores"]);
        self.data.send(cx, call.json(body).patience(PATIENCE)).await?.json()
    }

    /// One transfer; with `Logs::All` what was said during it.
    pub(crate) async fn transfer(
        &self,
        cx: &Cx,
        app: &str,
        uuid: &str,
        logs: Logs,
    ) -> Result<Option<Transfer>, Error> {
        let mut call = Call::get(&["client", "v11", "apps", app, "transfers", uuid]);
        if logs == Logs::All {
            call = call.query("verbose", "true");
        }
        self.data.find(cx, call).await?.map(|answer| answer.json()).transpose()
    }

    pub(crate) async fn cancel_transfer(
        &self,
        cx: &Cx,
        app: &str,
        uuid: &str,
    ) -> Result<(), Error> {
        let call =
            Call::post(&["client", "v11", "apps", app, "transfers", uuid, "actions", "cancel"]);
        self.data.send(cx, call.repeatable()).await.map(drop)
    }

    /// The transfers of an app, finished ones included; none where it has no database yet.
    pub(crate) async fn transfers(&self, cx: &Cx, app: &str) -> Result<Vec<Transfer>, Error> {
        let call = Call::get(&["client", "v11", "apps", app, "transfers"]);
        let answer = self.data.find(cx, call).await?;
        answer.map_or_else(|| Ok(Vec::new()), |answer| answer.json())
    }
}

/// Whether to ask for the log of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logs {
    None,
    All,
}
