//! Waits until a database can be used: provisioned, available to the Data API, and its URL in the app's config.
//!
//! Without a limit, since the service has none; the user may stop the wait at any time. Tested against the emulator.

use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::secret::Secret;
use pgferry_http::Error;

use crate::api::Api;
use crate::patience::Pace;
use crate::wire::{AddOn, ConfigValue, ConfigVars};

/// The first and the longest wait between two questions; the second is the official tool's.
pub(crate) const POLL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// Right after the request the new add-on may not be known everywhere.
const FIRST_ABSENCES: u32 = 12;

/// A database that can be used.
pub(crate) struct Ready {
    pub(crate) addon: AddOn,
    pub(crate) url: Secret,
    pub(crate) version: Option<String>,
}

/// The URL of an add-on that is provisioned, read from its app.
pub(crate) async fn read(api: &Api, cx: &Cx, addon: AddOn) -> Result<Ready, Fault> {
    let during = format!("reading the URL of add-on `{}`", addon.name);
    let vars = api.config_vars(cx, &addon.app.name).await;
    let vars = vars.map_err(|error| error.during(during.clone()))?;
    let Some(url) = url(&addon, &vars) else {
        return Err(Fault::new(Class::Retry { after: None }, during).help(format!(
            "look at `heroku config --app {}`: none of its config vars is the add-on's URL",
            addon.app.name
        )));
    };
    let version = version(api, cx, &addon).await;
    Ok(Ready { addon, url, version })
}

/// Waits until add-on `name` of `app` can be used and, if asked for, has `plan`.
pub(crate) async fn wait(
    api: &Api,
    cx: &Cx,
    app: &str,
    name: &str,
    plan: Option<&str>,
) -> Result<Ready, Fault> {
    let mut pace = Pace::new(POLL.0, POLL.1);
    let mut absences = 0;
    loop {
        let state = match step(api, cx, app, name, plan).await {
            Ok(Step::Ready(ready)) => return Ok(*ready),
            Ok(Step::Absent) => {
                absences += 1;
                if absences > FIRST_ABSENCES {
                    let what = format!("waiting for add-on `{name}` of app `{app}`: it is gone");
                    return Err(Fault::new(Class::Gone, what));
                }
                "not known yet".to_owned()
            }
            Ok(Step::Failed(why)) => {
                let what = format!("provisioning add-on `{name}` of app `{app}`: {why}");
                return Err(Fault::failed(what)
                    .help(format!("look at `heroku addons:info {name} --app {app}`")));
            }
            Ok(Step::Wait(state)) => state,
            Err(error) if error.is_passing() => error.to_string(),
            Err(error) => return Err(error.during(format!("waiting for add-on `{name}`"))),
        };
        cx.progress(Progress { what: format!("provisioning: {state}"), ..Progress::default() });
        cx.sleep(pace.wait()).await.map_err(|stopped| Fault {
            class: Class::StillRunning,
            ..stopped.help("Heroku goes on; the next apply waits for it again")
        })?;
    }
}

enum Step {
    Ready(Box<Ready>),
    Absent,
    Wait(String),
    Failed(String),
}

async fn step(
    api: &Api,
    cx: &Cx,
    app: &str,
    name: &str,
    plan: Option<&str>,
) -> Result<Step, Error> {
    let Some(addon) = api.addon(cx, app, name).await? else { return Ok(Step::Absent) };
    if addon.state.starts_with("deprovision") {
        let why = addon.provision_message.unwrap_or_else(|| "Heroku gave it up".to_owned());
        return Ok(Step::Failed(why));
    }
    if addon.state == "provisioning" {
        return Ok(Step::Wait(addon.state));
    }
    match api.wait_status(cx, &addon.id).await? {
        None => return Ok(Step::Wait("the database is not known yet".to_owned())),
        Some(status) => {
            let said = status.message.unwrap_or_else(|| "pending".to_owned());
            if status.error {
                return Ok(Step::Failed(said));
            }
            if status.waiting {
                return Ok(Step::Wait(match status.step {
                    Some(step) => format!("{said} ({step})"),
                    None => said,
                }));
            }
        }
    }
    if plan.is_some_and(|plan| plan != addon.plan.name) {
        return Ok(Step::Wait(format!("still on plan `{}`", addon.plan.name)));
    }
    let vars = api.config_vars(cx, &addon.app.name).await?;
    let Some(url) = url(&addon, &vars) else {
        return Ok(Step::Wait("its URL is not in the config yet".to_owned()));
    };
    let version = version(api, cx, &addon).await;
    Ok(Step::Ready(Box::new(Ready { addon, url, version })))
}

/// The add-on's own URL among the config vars of its app; pooled connections do not count.
fn url(addon: &AddOn, vars: &ConfigVars) -> Option<Secret> {
    let mut candidates: Vec<&String> = addon.config_vars.iter().collect();
    candidates.sort_by_key(|name| name.contains("CONNECTION_POOL"));
    candidates
        .into_iter()
        .filter_map(|name| vars.get(name))
        .find(|value| {
            ["postgres://", "postgresql://"].iter().any(|form| value.expose().starts_with(form))
        })
        .map(ConfigValue::secret)
}

/// The version of Postgres, where the Data API tells it; connections tell it too.
async fn version(api: &Api, cx: &Cx, addon: &AddOn) -> Option<String> {
    api.database(cx, &addon.id).await.ok().flatten()?.version()
}
