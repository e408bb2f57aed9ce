//! The switches that make the sandbox misbehave.
//!
//! It owns their values and the bell that rings when one moves; it does not know what a switch does to its victim: each
//! service asks for it, `door` for those that strike all requests alike. Tested in `tests/faults.rs`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

/// Every switch. A request to set them names only those it changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Switches {
    /// How long a new add-on stays in `provisioning`.
    pub(crate) provision_seconds: f64,
    /// How long a new access key is refused.
    pub(crate) key_delay_ms: u64,
    /// The next restore meets this error of the database server, and fails.
    pub(crate) fail_next_restore: Option<String>,
    /// The next restore's download ends half-way.
    pub(crate) truncate_next_restore: bool,
    /// Restores stop half-way until this is false again.
    pub(crate) hold_restore: bool,
    /// Restores stay pending until this is false again.
    pub(crate) hold_pending: bool,
    /// So many of the next GET requests are answered 503.
    pub(crate) http_503_next: u32,
    /// So many of the next GET requests are answered 429.
    pub(crate) http_429_next: u32,
    /// So many of the next requests find their connection closed before anything is done.
    pub(crate) drop_next: u32,
    /// So many of the next requests that change something do so, but their answer is lost.
    pub(crate) lose_answer_next: u32,
    /// So many of the next requests to the bucket store are answered 503.
    pub(crate) s3_503_next: u32,
    /// So many of the next requests to the bucket store find their connection closed before anything is done.
    pub(crate) s3_drop_next: u32,
    /// How far the bucket store's clock is ahead: what is there already has aged by as much.
    pub(crate) s3_clock_ahead_seconds: u32,
    /// Every answer of the APIs is late by so much.
    pub(crate) slow_ms: u64,
    /// Who owns the extensions that a restore puts back: `addon` (its comments pass) or `service` (they raise warnings).
    pub(crate) extension_owner: ExtensionOwner,
    /// What errors about comments make of a restore: `warn` or `fail`.
    pub(crate) comment_errors: CommentErrors,
    /// Processes that were scaled away run on until this is false again.
    pub(crate) hold_dynos: bool,
    /// Questions for the processes of an app are answered with this status: 404, 429, 503. 0: as they should be.
    pub(crate) dynos_status: u16,
    /// Bucket names that other customers have.
    pub(crate) taken_buckets: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExtensionOwner {
    Addon,
    Service,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CommentErrors {
    Warn,
    Fail,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            provision_seconds: 1.0,
            key_delay_ms: 1000,
            fail_next_restore: None,
            truncate_next_restore: false,
            hold_restore: false,
            hold_pending: false,
            http_503_next: 0,
            http_429_next: 0,
            drop_next: 0,
            lose_answer_next: 0,
            s3_503_next: 0,
            s3_drop_next: 0,
            s3_clock_ahead_seconds: 0,
            slow_ms: 0,
            extension_owner: ExtensionOwner::Addon,
            comment_errors: CommentErrors::Warn,
            hold_dynos: false,
            dynos_status: 0,
            taken_buckets: ["backups", "data", "test", "postgres"].map(str::to_owned).to_vec(),
        }
    }
}

/// The switches, with a bell that rings when one moves.
pub(crate) struct Faults(watch::Sender<Switches>);

impl Faults {
    pub(crate) fn new(switches: Switches) -> Self {
        Self(watch::Sender::new(switches))
    }

    /// The switches as they are now.
    pub(crate) fn now(&self) -> Switches {
        self.0.borrow().clone()
    }

    /// Returns as soon as `calm` holds of the switches.
    pub(crate) async fn until(&self, calm: impl Fn(&Switches) -> bool) {
        let mut bell = self.0.subscribe();
        // It fails only when the sender is gone, and that is `self`.
        let _sender_lives = bell.wait_for(|switches| calm(switches)).await;
    }

    /// Takes one from the counter that `counter` points at, if it is not at 0.
    pub(crate) fn take(&self, counter: impl Fn(&mut Switches) -> &mut u32) -> bool {
        let mut taken = false;
        self.0.send_if_modified(|switches| {
            let left = counter(switches);
            taken = *left > 0;
            *left = left.saturating_sub(1);
            taken
        });
        taken
    }

    /// The error that the next restore shall meet; asked once.
    pub(crate) fn take_restore_error(&self) -> Option<String> {
        let mut taken = None;
        self.0.send_if_modified(|switches| {
            taken = switches.fail_next_restore.take();
            taken.is_some()
        });
        taken
    }

    /// Whether the next restore's download shall end early; asked once.
    pub(crate) fn take_truncation(&self) -> bool {
        self.0.send_if_modified(|switches| std::mem::take(&mut switches.truncate_next_restore))
    }

    /// Sets the switches that `wanted` names.
    pub(crate) fn merge(&self, wanted: &Value) -> Result<Switches, serde_json::Error> {
        let mut whole = serde_json::to_value(self.now())?;
        if let (Some(whole), Some(wanted)) = (whole.as_object_mut(), wanted.as_object()) {
            whole.extend(wanted.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        let switches: Switches = serde_json::from_value(whole)?;
        self.0.send_replace(switches.clone());
        Ok(switches)
    }
}
