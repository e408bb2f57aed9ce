//! What the record and the log of a restore mean: how far it is, and whether all that it complains of is harmless.
//!
//! Pure. Nothing of a log is stored or shown but single lines, stripped of whatever looks like an address with
//! credentials. Tested beside with lines of real logs.

use jiff::Timestamp;
use pgferry_engine::secret::redact;

use crate::wire::{LogLine, Transfer};

/// The service's spelling of a time: `2026-01-01 01:00:00 +0000`.
const TIME: &str = "%Y-%m-%d %H:%M:%S %z";
const LONGEST_LINE: usize = 300;

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl Transfer {
    pub(crate) fn stage(&self) -> Stage {
        if self.finished_at.is_some() {
            return if self.succeeded == Some(true) { Stage::Succeeded } else { Stage::Failed };
        }
        match (&self.canceled_at, &self.started_at) {
            (Some(_), _) => Stage::Cancelled,
            (None, Some(_)) => Stage::Running,
            (None, None) => Stage::Pending,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        !matches!(self.stage(), Stage::Pending | Stage::Running)
    }

    /// As people know it: `r003`.
    pub(crate) fn display(&self) -> String {
        self.num.map_or_else(|| self.uuid.clone(), |num| format!("r{num:03}"))
    }

    /// When it was asked for.
    pub(crate) fn created(&self) -> Option<Timestamp> {
        time(self.created_at.as_deref()?)
    }

    /// When it ended, RFC 3339.
    pub(crate) fn finished(&self) -> Option<String> {
        let text = self.finished_at.as_deref()?;
        Some(time(text).map_or_else(|| text.to_owned(), |time| time.to_string()))
    }
}

fn time(text: &str) -> Option<Timestamp> {
    Timestamp::strptime(TIME, text).ok().or_else(|| text.parse().ok())
}

/// What the log of a transfer that is over says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// Complaints that are known to cost nothing, as one would tell them.
    pub(crate) harmless: Vec<String>,
    /// All others.
    pub(crate) unclassed: Vec<String>,
    /// `pg_restore` got to the end of the archive and counted that many errors on the way.
    pub(crate) ignored: Option<usize>,
    /// The archive could not be fetched to its end.
    pub(crate) download_failed: bool,
    errors: usize,
    summaries: usize,
}

impl Log {
    /// Classes every complaint of a log.
    pub(crate) fn read(lines: &[LogLine]) -> Self {
        let mut log = Self::default();
        let mut pending: Option<Complaint> = None;
        for line in lines.iter().flat_map(|line| line.message.lines()) {
            let line = line.trim_end();
            if let (Some(complaint), Some(command)) =
                (&mut pending, line.strip_prefix("Command was: "))
            {
                complaint.command.get_or_insert_with(|| command.to_owned());
                continue;
            }
            let said = line.strip_prefix("pg_restore: ");
            // So spoke `pg_restore` before Postgres 12, of errors and warnings alike.
            let old = said.is_some_and(|said| said.starts_with('['));
            if said.is_some() || line.starts_with("waiting for ") {
                log.class(pending.take());
            }
            log.download_failed |= line == "download finished with errors"
                || line.contains("aborting: could not write");
            let error = said.and_then(|said| said.strip_prefix("error: "));
            let warning = said.and_then(|said| said.strip_prefix("warning: "));
            if let Some(text) = error.or_else(|| line.strip_prefix("ERROR: ")) {
                log.errors += 1;
                pending = Some(Complaint { text: text.trim().to_owned(), command: None });
            } else if let Some(count) =
                warning.and_then(|text| text.strip_prefix("errors ignored on restore: "))
            {
                log.summaries += 1;
                log.ignored = count.trim().parse().ok();
            } else if let Some(text) = warning
                .or_else(|| line.strip_prefix("WARNING: "))
                .or_else(|| said.filter(|_| old))
                .or_else(|| line.strip_prefix("FATAL: ").or_else(|| line.strip_prefix("PANIC: ")))
            {
                pending = Some(Complaint { text: text.trim().to_owned(), command: None });
            }
        }
        log.class(pending);
        log
    }

    fn class(&mut self, complaint: Option<Complaint>) {
        let Some(complaint) = complaint else { return };
        let told = complaint.told();
        match complaint.harmless() {
            Some(why) => self.harmless.push(format!("{told} ({why})")),
            None => self.unclassed.push(told),
        }
    }

    /// Whether a transfer that is called a success has a log that agrees: nothing unclassed, fetched to the end, and no
    /// more errors counted than told. A failed restore has been called a success before (heroku/legacy-cli#1901).
    pub(crate) fn agrees(&self) -> bool {
        self.unclassed.is_empty()
            && !self.download_failed
            && self.ignored.is_none_or(|counted| counted <= self.errors)
    }

    /// Whether a transfer that is called failed restored everything nevertheless: the archive was read to its end, and
    /// each error on the way is harmless. Whether the service calls that a failure differs between its ages.
    pub(crate) fn is_complete(&self) -> bool {
        self.unclassed.is_empty()
            && !self.download_failed
            && self.errors > 0
            && self.ignored == Some(self.errors)
    }

    /// Whether the log explains as many complaints as the service `counted`.
    pub(crate) fn explains(&self, counted: u64) -> bool {
        let explained = self.harmless.len() + self.unclassed.len() + self.summaries;
        counted <= u64::try_from(explained).unwrap_or(u64::MAX)
    }
}

#[derive(Debug)]
struct Complaint {
    text: String,
    command: Option<String>,
}

impl Complaint {
    fn told(&self) -> String {
        match &self.command {
            Some(command) => shown(&format!("{}: {command}", self.text)),
            None => shown(&self.text),
        }
    }

    /// Why it costs nothing, if that is known.
    fn harmless(&self) -> Option<&'static str> {
        let command = self.command.as_deref().unwrap_or_default();
        let text = self.text.as_str();
        if command.starts_with("COMMENT ON EXTENSION ")
            && text.contains("must be owner of extension")
        {
            return Some("the comment of an extension that the provider owns");
        }
        if command.starts_with("COMMENT ON SCHEMA public ")
            && text.contains("must be owner of schema public")
        {
            return Some("the comment of the schema `public`, which the provider owns");
        }
        if command.starts_with("CREATE SCHEMA ") && text.contains("already exists") {
            return Some("the schema came with an extension, and is used as it is");
        }
        // The plan names them (PGF1110).
        let event_trigger = command.starts_with("CREATE EVENT TRIGGER ")
            && text.contains("permission denied to create event trigger");
        let of_event_trigger = ["ALTER EVENT TRIGGER ", "COMMENT ON EVENT TRIGGER "]
            .iter()
            .any(|start| command.starts_with(start))
            && text.contains("event trigger \"")
            && text.contains("does not exist");
        if event_trigger || of_event_trigger {
            return Some("an event trigger, which only a superuser may make");
        }
        const TIMEOUTS: [&str; 3] =
            ["transaction_timeout", "idle_in_transaction_session_timeout", "lock_timeout"];
        let timeout = TIMEOUTS.iter().any(|name| {
            command.starts_with(&format!("SET {name} = 0"))
                && text.contains(&format!("unrecognized configuration parameter \"{name}\""))
        });
        timeout.then_some("a limit that this version of Postgres does not have")
    }
}

/// One line as people may see it: addresses without credentials, known secrets blanked out, not too long.
pub(crate) fn shown(line: &str) -> String {
    let words: Vec<String> = line
        .split(' ')
        .map(|word| match word.split_once("://") {
            None => word.to_owned(),
            Some((scheme, rest)) => {
                let place = rest.split(['?', '#']).next().unwrap_or_default();
                let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
                format!("{scheme}://{place}")
            }
        })
        .collect();
    redact(&words.join(" ")).chars().take(LONGEST_LINE).collect()
}

/// What to do about a failure that is known.
pub(crate) fn remedy(lines: &[String]) -> Option<&'static str> {
    const REMEDIES: [(&str, &str); 7] = [
        (
            "unsupported version",
            "the dump is newer than Heroku's `pg_restore` reads: dump with the `pg_dump` of the target's major version",
        ),
        (
            "did not find magic string",
            "the object is no archive in custom format: run the dump again with `--replace`",
        ),
        (
            "Expected HTTP Status",
            "Heroku could not fetch the object: is the key still valid, and the clock of this machine right?",
        ),
        ("could not read from input file", "the download broke off: apply again"),
        (
            "permission denied to create extension",
            "the target cannot have that extension: list it in `exclude` of `postgres.extensions`, and drop it from the source or the dump",
        ),
        (
            "is not available",
            "the target does not have that extension: list it in `exclude` of `postgres.extensions`",
        ),
        ("could not extend file", "the plan's storage is full: choose a larger plan"),
    ];
    REMEDIES
        .iter()
        .find(|(symptom, _)| lines.iter().any(|line| line.contains(symptom)))
        .map(|(_, remedy)| *remedy)
}

/// The lines that tell why a transfer failed: its errors, or else its last words.
pub(crate) fn causes(lines: &[LogLine]) -> Vec<String> {
    const MOST: usize = 3;
    let all = || lines.iter().flat_map(|line| line.message.lines()).map(str::trim);
    let errors: Vec<String> = all()
        .filter(|line| line.contains("error:") || line.contains("aborting:"))
        .take(MOST)
        .map(shown)
        .collect();
    if errors.is_empty() { last(lines, MOST) } else { errors }
}

/// The last `count` lines of a log.
pub(crate) fn last(lines: &[LogLine], count: usize) -> Vec<String> {
    let all: Vec<&str> = lines.iter().flat_map(|line| line.message.lines()).collect();
    all[all.len().saturating_sub(count)..].iter().map(|line| shown(line.trim())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log(text: &str) -> Vec<LogLine> {
        text.lines().map(|line| LogLine { message: line.trim().to_owned() }).collect()
    }

    #[test]
    fn comments_on_extensions_are_harmless() {
        let lines = log("pg_restore: connecting to database for restore
            pg_restore: creating COMMENT \"EXTENSION tablefunc\"
            pg_restore: while PROCESSING TOC:
            pg_restore: from TOC entry 4711; 0 0 COMMENT EXTENSION tablefunc
            pg_restore: error: could not execute query: ERROR:  must be owner of extension tablefunc
            Command was: COMMENT ON EXTENSION tablefunc IS 'functions';
            pg_restore: warning: errors ignored on restore: 1
            waiting for restore to complete
            pg_restore finished with errors
            waiting for download to complete
            download done");
        let log = Log::read(&lines);
        assert_eq!((log.harmless.len(), log.unclassed.len()), (1, 0));
        assert!(log.is_complete());
        assert!(log.explains(2) && !log.explains(3));
    }

    #[test]
    fn what_is_not_known_fails() {
        let lines = log("pg_restore: error: could not execute query: ERROR:  boom
            DETAIL: because
            Command was: CREATE INDEX i ON t (a);
            pg_restore: error: could not execute query: ERROR:  must be owner of extension x
            Command was: DROP EXTENSION x;
            pg_restore: warning: something odd
            pg_restore: warning: errors ignored on restore: 2");
        let log = Log::read(&lines);
        assert_eq!(log.harmless.len(), 0);
        assert_eq!(
            log.unclassed,
            [
                "could not execute query: ERROR:  boom: CREATE INDEX i ON t (a);",
                "could not execute query: ERROR:  must be owner of extension x: DROP EXTENSION x;",
                "something odd",
            ]
        );
        assert!(!log.is_complete());
    }

    #[test]
    fn a_failed_download_is_never_complete() {
        let lines = log("aborting: could not write to output stream: Expected HTTP Status 200, received: \"400 Bad Request\"
            pg_restore: error: could not read from input file: end of file
            waiting for restore to complete
            pg_restore finished with errors
            waiting for download to complete
            download finished with errors
            please check the source URL and ensure it is publicly accessible");
        let log = Log::read(&lines);
        assert!(log.download_failed && !log.is_complete());
        let causes = causes(&lines);
        assert_eq!(causes.len(), 2);
        assert!(remedy(&causes).is_some());
    }

    #[test]
    fn a_success_that_its_log_denies_is_none() {
        let agrees = |text: &str| Log::read(&log(text)).agrees();
        assert!(agrees("pg_restore: creating TABLE \"a.t\"\nrestore done\ndownload done"));
        assert!(!agrees("waiting for download to complete\ndownload finished with errors"));
        assert!(!agrees("pg_restore: warning: errors ignored on restore: 2"));
        assert!(!agrees("pg_restore: [archiver (db)] could not execute query: ERROR:  boom"));
        assert!(!agrees("FATAL:  terminating connection due to administrator command"));
    }

    #[test]
    fn event_triggers_go_missing_as_the_plan_says() {
        let read = |text: &str| Log::read(&log(text));
        let lines = read("pg_restore: error: could not execute query: ERROR:  permission denied to create event trigger \"et\"
            HINT:  Must be superuser to create an event trigger.
            Command was: CREATE EVENT TRIGGER et ON ddl_command_start
            EXECUTE FUNCTION app.et();
            pg_restore: error: could not execute query: ERROR:  event trigger \"et\" does not exist
            Command was: COMMENT ON EVENT TRIGGER et IS 'x';
            pg_restore: warning: errors ignored on restore: 2");
        assert!(lines.is_complete() && lines.agrees());
        let function = read(
            "pg_restore: error: could not execute query: ERROR:  function app.et() does not exist
            Command was: CREATE EVENT TRIGGER et ON ddl_command_start EXECUTE FUNCTION app.et();
            pg_restore: warning: errors ignored on restore: 1",
        );
        assert!(!function.is_complete());
    }

    #[test]
    fn a_missing_limit_is_harmless() {
        let lines = log("pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"
            Command was: SET transaction_timeout = 0;
            pg_restore: warning: errors ignored on restore: 1");
        assert!(Log::read(&lines).is_complete());
    }

    #[test]
    fn lines_lose_their_credentials() {
        assert_eq!(
            shown("fetching https://k:s@s3.test/b/o?X-Amz-Signature=abc now"),
            "fetching https://s3.test/b/o now"
        );
    }

    #[test]
    fn stages_follow_the_times() {
        let stage = |json: serde_json::Value| {
            serde_json::from_value::<Transfer>(json).expect("reads").stage()
        };
        let at = "2020-12-13 16:22:59 +0000";
        assert_eq!(stage(json!({ "uuid": "u" })), Stage::Pending);
        assert_eq!(stage(json!({ "uuid": "u", "started_at": at })), Stage::Running);
        assert_eq!(stage(json!({ "uuid": "u", "canceled_at": at })), Stage::Cancelled);
        assert_eq!(stage(json!({ "uuid": "u", "finished_at": at })), Stage::Failed);
        let done = json!({ "uuid": "u", "num": 3, "finished_at": at, "succeeded": true });
        let done = serde_json::from_value::<Transfer>(done).expect("reads");
        assert_eq!((done.stage(), done.display().as_str()), (Stage::Succeeded, "r003"));
        assert_eq!(done.finished().as_deref(), Some("2020-12-13T16:22:59Z"));
    }
}
