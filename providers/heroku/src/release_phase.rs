//! The release phase of an app: what runs, where the app says so, after each change of its config.
//!
//! Tested through attachments and config vars.

use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::{Class, Fault};

use crate::api::Api;
use crate::patience::Pace;

/// As long as the official tool waits for the release phase of an app.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Waits for its end, where the app has one.
///
/// # Errors
/// It failed, does not end, or cannot be watched; waiting again is safe.
pub(crate) async fn wait(api: &Api, cx: &Cx, app: &str) -> Result<(), Fault> {
    let during = || format!("watching the release of app `{app}`");
    let formation = api.formation(cx, app).await;
    let formation = formation.map_err(|error| error.during(during()))?;
    if !formation.iter().any(|process| process.kind == "release") {
        return Ok(());
    }
    let mut pace = Pace::new(Duration::from_millis(500), Duration::from_secs(5));
    let mut waited = Duration::ZERO;
    loop {
        match api.latest_release(cx, app).await {
            Ok(Some(release)) if release.status == "failed" => {
                return Err(Fault::failed(format!(
                    "release v{} of app `{app}` failed",
                    release.version
                ))
                .help(format!("look at `heroku releases:output --app {app}`")));
            }
            Ok(Some(release)) if release.status == "pending" => {}
            Ok(_) => return Ok(()),
            Err(error) if error.is_passing() => {}
            Err(error) => return Err(error.during(during())),
        }
        if waited >= PATIENCE {
            let what = format!("the release phase of app `{app}` does not end");
            return Err(Fault::new(Class::Unknown, what));
        }
        cx.progress(Progress {
            what: "waiting for the release phase".to_owned(),
            ..Progress::default()
        });
        let nap = pace.wait();
        cx.sleep(nap).await?;
        waited += nap;
    }
}
