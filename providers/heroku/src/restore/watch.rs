//! Finds a restore among the transfers of an app, and watches it to its end, with patience.
//!
//! Blips, throttling and young transfers that answer 404 do not matter; only silence for long ends the watch, and then
//! the outcome is unknown. Tested against the emulator.

use std::time::Duration;

use jiff::SignedDuration;
use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::{Class, Fault};

use super::notes::Notes;
use crate::api::Api;
use crate::data::Logs;
use crate::patience::Pace;
use crate::transfer::Stage;
use crate::wire::Transfer;

/// The service limits how often one may ask.
const POLL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));
const LONGEST_SILENCE: SignedDuration = SignedDuration::from_mins(15);
/// How far this machine's clock may be off, where transfers have no numbers.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(2);

/// The transfer that `notes` speak of, if it was ever made.
pub(super) async fn find(
    api: &Api,
    cx: &Cx,
    app: &str,
    notes: &Notes,
) -> Result<Option<Transfer>, Fault> {
    let during = || format!("looking for a restore of app `{app}`");
    if let Some(uuid) = &notes.transfer {
        let found = api.transfer(cx, app, uuid, Logs::None).await;
        return found.map_err(|error| error.during(during()));
    }
    let (true, Some(path)) = (notes.requested, &notes.object_path) else { return Ok(None) };
    let all = api.transfers(cx, app).await.map_err(|error| error.during(during()))?;
    Ok(all.into_iter().filter(|transfer| is_ours(transfer, path, notes)).max_by_key(|t| t.num))
}

fn is_ours(transfer: &Transfer, path: &str, notes: &Notes) -> bool {
    let restore = transfer.to_type.as_deref().is_none_or(|kind| kind == "pg_restore");
    let since = match (transfer.num, notes.after, transfer.created(), notes.at) {
        (Some(num), Some(after), ..) => num > after,
        (_, _, Some(created), Some(at)) => created >= at - CLOCK_TOLERANCE,
        _ => false,
    };
    restore && since && transfer.from_path.as_deref() == Some(path)
}

/// The highest number of a transfer of `app`.
pub(super) async fn highest(api: &Api, cx: &Cx, app: &str) -> Result<Option<u64>, Fault> {
    let all = api.transfers(cx, app).await;
    let all = all.map_err(|error| error.during(format!("listing the transfers of app `{app}`")))?;
    Ok(Some(all.iter().filter_map(|transfer| transfer.num).max().unwrap_or(0)))
}

/// Waits until transfer `uuid` is over. `total` is the size of the object, in bytes.
pub(super) async fn until_over(
    api: &Api,
    cx: &Cx,
    app: &str,
    uuid: &str,
    total: Option<u64>,
) -> Result<(), Fault> {
    let mut pace = Pace::new(POLL.0, POLL.1);
    let mut heard = cx.now();
    let mut name = "the restore".to_owned();
    loop {
        let silence = match api.transfer(cx, app, uuid, Logs::None).await {
            Ok(Some(transfer)) => {
                if transfer.is_over() {
                    return Ok(());
                }
                heard = cx.now();
                name = format!("restore {}", transfer.display());
                cx.progress(progress(&transfer, total));
                None
            }
            Ok(None) => Some(None),
            Err(error) if error.is_passing() => Some(Some(error)),
            Err(error) => return Err(lost(error.during(watching(app)))),
        };
        if let Some(error) = silence
            && cx.now().duration_since(heard) > LONGEST_SILENCE
        {
            return Err(lost(match error {
                Some(error) => error.during(watching(app)),
                None => Fault::new(Class::Unknown, watching(app)),
            }));
        }
        cx.sleep(pace.wait()).await.map_err(|stopped| Fault {
            class: Class::StillRunning,
            message: format!("{name} still running"),
            ..stopped.help("it goes on at Heroku; the next apply takes it up")
        })?;
    }
}

/// Cancels a transfer that must not go on, and waits for its end.
pub(super) async fn cancel(
    api: &Api,
    cx: &Cx,
    app: &str,
    transfer: &Transfer,
) -> Result<(), Fault> {
    let cancelled = api.cancel_transfer(cx, app, &transfer.uuid).await;
    match cancelled {
        Err(error) if error.status() != Some(422) && !error.is_absent() => {
            return Err(error.during(format!("cancelling restore {}", transfer.display())));
        }
        _ => {}
    }
    until_over(api, cx, app, &transfer.uuid, None).await
}

fn watching(app: &str) -> String {
    format!("watching the restore of app `{app}`")
}

fn lost(fault: Fault) -> Fault {
    Fault { class: Class::Unknown, ..fault }
        .help("the restore may go on at Heroku; the next apply looks for it first")
}

fn progress(transfer: &Transfer, total: Option<u64>) -> Progress {
    let what = if transfer.stage() == Stage::Pending { "waiting for Heroku" } else { "restoring" };
    let (what, done) = (what.to_owned(), transfer.processed_bytes);
    Progress { what, done, total, unit: Some("bytes"), ..Progress::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_younger_transfer_of_the_same_object_is_ours() {
        let at = "2026-01-01T12:00:00Z".parse().expect("a time");
        let check = |num: Option<u64>, created: &str, url: &str, after: Option<u64>| {
            let transfer = serde_json::from_value(json!({
                "uuid": "u", "num": num, "created_at": created, "from_url": url, "to_type": "pg_restore",
            }));
            let notes = Notes { after, at: Some(at), ..Notes::default() };
            is_ours(&transfer.expect("reads"), "/b/o.dump", &notes)
        };
        let url = "https://s3.test/b/o.dump?X-Amz-Signature=1";
        assert!(check(Some(4), "2020-01-01 00:00:00 +0000", url, Some(3)));
        assert!(!check(Some(3), "2026-01-01 12:00:05 +0000", url, Some(3)));
        assert!(!check(Some(4), "2026-01-01 12:00:05 +0000", "https://s3.test/b/p?x", Some(3)));
        assert!(check(None, "2026-01-01 12:00:05 +0000", url, Some(0)));
        assert!(!check(None, "2026-01-01 11:00:00 +0000", url, Some(0)));
    }
}
