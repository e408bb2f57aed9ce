//! A restore as Heroku does it: the archive is fetched by ranges of a GET, the database emptied, `pg_restore` run as
//! the add-on's own role.
//!
//! It owns the work and the words of its log, none of which holds a URL or a password; `transfers` owns the record.
//! It goes on when the client that asked for it is gone. Tested in `tests/restore.rs`.

use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_RANGE, RANGE};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::sync::CancellationToken;

use super::{TargetDatabase, Transfer};
use crate::cluster::Login;
use crate::error::Error;
use crate::faults::{CommentErrors, ExtensionOwner};
use crate::world::Shared;

/// An extension to have in place before the archive's own statements run.
pub(super) struct Extension {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

/// A restore that was asked for.
pub(super) struct Order {
    pub(super) uuid: String,
    pub(super) database: TargetDatabase,
    pub(super) url: String,
    pub(super) extensions: Vec<Extension>,
    pub(super) cancelled: CancellationToken,
}

/// How a restore ended.
struct Outcome {
    succeeded: bool,
    warnings: u64,
}

/// How long a download may stand still.
const PATIENCE: Duration = Duration::from_secs(60);

const FAILED: Outcome = Outcome { succeeded: false, warnings: 0 };

/// Changes the record of a transfer.
fn record(world: &Shared, uuid: &str, change: impl FnOnce(&mut Transfer)) {
    if let Some(transfer) =
        world.heroku().transfers.iter_mut().find(|transfer| transfer.uuid == uuid)
    {
        change(transfer);
        transfer.updated_at = Timestamp::now();
    }
}

/// Runs a restore from pending to its end, and records it.
pub(super) async fn run(world: Shared, order: Order) {
    let work = async {
        world.faults.until(|switches| !switches.hold_pending).await;
        record(&world, &order.uuid, |transfer| transfer.started_at = Some(Timestamp::now()));
        let say = |line: &str| record(&world, &order.uuid, |transfer| transfer.log(line));
        execute(&world, &order, &say).await
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        // The record says so already; dropping the work kills `pg_restore`.
        () = order.cancelled.cancelled() => return,
    };
    record(&world, &order.uuid, |transfer| {
        transfer.succeeded = Some(outcome.succeeded);
        transfer.warnings = outcome.warnings;
        transfer.finished_at = Some(Timestamp::now());
    });
}

async fn execute(world: &Shared, order: &Order, say: &impl Fn(&str)) -> Outcome {
    let client = match reqwest::Client::builder().no_proxy().read_timeout(PATIENCE).build() {
        Ok(client) => client,
        Err(error) => return download_failed(&error.to_string(), say),
    };
    let size = match size_of(&client, &order.url).await {
        Ok(size) => size,
        Err(answer) => return download_failed(&answer, say),
    };
    let sabotage = world.faults.take_restore_error();
    if let Err(error) = prepare(world, order, sabotage.as_deref()).await {
        say(&format!("pg_restore: error: {}", spelled_out(&error)));
        say("pg_restore finished with errors");
        return FAILED;
    }
    let outcome = match start(world, order) {
        Ok(child) => pour(world, order, &client, size, child, say).await,
        Err(error) => {
            say(&format!("pg_restore: error: {}", spelled_out(&error)));
            FAILED
        }
    };
    if sabotage.is_some() {
        lift_sabotage(world, &order.database).await;
    }
    outcome
}

fn spelled_out(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

/// The words of a download that did not happen, as the service logs them.
fn download_failed(answer: &str, say: &impl Fn(&str)) -> Outcome {
    let now = Timestamp::now().strftime("%Y/%m/%d %H:%M:%S");
    say(&format!(
        "{now} aborting: could not write to output stream: Expected HTTP Status 200, received: \"{answer}\""
    ));
    for line in [
        "pg_restore: error: could not read from input file: end of file",
        "waiting for restore to complete",
        "pg_restore finished with errors",
        "waiting for download to complete",
        "download finished with errors",
        "please check the source URL and ensure it is publicly accessible",
    ] {
        say(line);
    }
    FAILED
}

/// Learns the size of the archive by a GET of its first byte: a HEAD would be refused by a URL signed for GET.
async fn size_of(client: &reqwest::Client, url: &str) -> Result<u64, String> {
    let response = client
        .get(url)
        .header(RANGE, "bytes=0-0")
        .send()
        .await
        .map_err(|error| error.without_url().to_string())?;
    if !response.status().is_success() {
        return Err(response.status().to_string());
    }
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let whole = range
        .and_then(|range| range.rsplit('/').next()?.parse().ok())
        .or(response.content_length());
    whole.ok_or_else(|| "200 OK without a length".into())
}

/// Empties the database as its own role and puts the extensions back.
async fn prepare(world: &Shared, order: &Order, sabotage: Option<&str>) -> Result<(), Error> {
    let Order { database, extensions, .. } = order;
    let own = world.target.connect(&database.login, &database.name).await?;
    let service = world.target.superuser(&database.name).await?;
    own.batch_execute("drop owned by current_user cascade")
        .await
        .map_err(Error::postgres("emptying the database"))?;
    let rows =
        service.simple_query("select extname from pg_extension where extname <> 'plpgsql'").await;
    for row in rows.map_err(Error::postgres("looking for extensions"))? {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = row {
            let name = row.get(0).unwrap_or_default();
            let drop = format!("drop extension if exists \"{name}\" cascade");
            service.batch_execute(&drop).await.map_err(Error::postgres("dropping an extension"))?;
        }
    }
    let installer = match world.faults.now().extension_owner {
        ExtensionOwner::Addon => &own,
        ExtensionOwner::Service => &service,
    };
    for Extension { schema, name } in extensions {
        let mut statement = String::new();
        let mut place = String::new();
        if let Some(schema) = schema {
            statement = format!(
                "create schema if not exists \"{schema}\" authorization \"{}\"; ",
                database.login.user
            );
            place = format!(" with schema \"{schema}\"");
        }
        statement.push_str(&format!("create extension if not exists \"{name}\"{place}"));
        installer
            .batch_execute(&statement)
            .await
            .map_err(Error::postgres("installing an extension"))?;
    }
    if let Some(message) = sabotage {
        let statement = format!(
            "drop event trigger if exists sandbox_sabotage; drop schema if exists sandbox_sabotage cascade;
             create schema sandbox_sabotage; grant usage on schema sandbox_sabotage to public;
             create function sandbox_sabotage.refuse() returns event_trigger language plpgsql
                 as $sabotage$ begin raise exception using message = {}; end $sabotage$;
             create event trigger sandbox_sabotage on ddl_command_start when tag in ('CREATE INDEX', 'CREATE TRIGGER')
                 execute function sandbox_sabotage.refuse()",
            literal(message)
        );
        service
            .batch_execute(&statement)
            .await
            .map_err(Error::postgres("arranging the failure"))?;
    }
    Ok(())
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''").replace("$sabotage$", ""))
}

async fn lift_sabotage(world: &Shared, database: &TargetDatabase) {
    if let Ok(service) = world.target.superuser(&database.name).await {
        let statement = "drop event trigger if exists sandbox_sabotage; drop schema if exists sandbox_sabotage cascade";
        let _database_is_gone = service.batch_execute(statement).await;
    }
}

/// Starts `pg_restore`, which reads the archive from its standard input; the password is in its environment only.
fn start(world: &Shared, order: &Order) -> Result<Child, Error> {
    let TargetDatabase { name, login: Login { user, password } } = &order.database;
    Command::new(world.target.installation.program("pg_restore"))
        .args(["--verbose", "--no-owner", "--no-acl", "--no-password", "--host=127.0.0.1"])
        .arg(format!("--port={}", world.target.port))
        .arg(format!("--username={user}"))
        .arg(format!("--dbname={name}"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("PGPASSWORD", password)
        .env("PGSSLMODE", "require")
        .env("PGPASSFILE", "/dev/null")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::system("starting `pg_restore`"))
}

/// Pours the archive into `pg_restore` while its words go to the log, and judges the end.
async fn pour(
    world: &Shared,
    order: &Order,
    client: &reqwest::Client,
    size: u64,
    mut child: Child,
    say: &impl Fn(&str),
) -> Outcome {
    let stdin = child.stdin.take().expect("it was piped");
    let stderr = child.stderr.take().expect("it was piped");
    let listen = async {
        let mut words = Words::default();
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            words.hear(&line);
            say(&line);
        }
        words
    };
    let (fed, words) = tokio::join!(feed(world, order, client, size, stdin), listen);
    let status = child.wait().await;
    // What its session counted shall have arrived before anybody looks; a server that is gone counts nothing.
    let _server_is_gone = world.target.settle(&order.database.name, Some("pg_restore")).await;
    say("waiting for restore to complete");
    let clean = status.is_ok_and(|status| status.success());
    let tolerated =
        words.errors == words.about_comments && words.errors > 0 && words.ended_by_itself;
    let forgiven = tolerated && world.faults.now().comment_errors == CommentErrors::Warn;
    let restored = clean || forgiven;
    say(if restored { "restore done" } else { "pg_restore finished with errors" });
    say("waiting for download to complete");
    match fed {
        Ok(()) => say("download done"),
        Err(answer) => {
            say(&format!("aborting: could not write to output stream: {answer}"));
            say("download finished with errors");
            return Outcome { succeeded: false, warnings: words.errors };
        }
    }
    Outcome { succeeded: restored, warnings: words.errors }
}

/// What `pg_restore` said, as far as it decides the outcome.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    errors: u64,
    /// Those of the errors that are about comments, such as one on an extension that another role owns.
    about_comments: u64,
    /// It got to the end of the archive and counted the errors it had ignored.
    ended_by_itself: bool,
    last_was_error: bool,
}

impl Words {
    fn hear(&mut self, line: &str) {
        if line.starts_with("pg_restore: error:") {
            self.errors += 1;
            self.last_was_error = true;
        } else if let Some(command) = line.strip_prefix("Command was: ") {
            if std::mem::take(&mut self.last_was_error) && command.starts_with("COMMENT ON ") {
                self.about_comments += 1;
            }
        } else if line.starts_with("pg_restore: warning: errors ignored on restore") {
            self.ended_by_itself = true;
        }
    }
}

/// Fetches the archive range by range and writes it to `pg_restore`; the error is what the server answered.
async fn feed(
    world: &Shared,
    order: &Order,
    client: &reqwest::Client,
    size: u64,
    mut stdin: ChildStdin,
) -> Result<(), String> {
    let truncate = world.faults.take_truncation();
    let step = (size / 16).clamp(64 * 1024, 8 * 1024 * 1024);
    let mut offset = 0;
    while offset < size {
        if offset * 2 >= size {
            if truncate {
                return Err("unexpected EOF".into());
            }
            world.faults.until(|switches| !switches.hold_restore).await;
        }
        let end = (offset + step).min(size);
        let request = client.get(&order.url).header(RANGE, format!("bytes={offset}-{}", end - 1));
        let response = request.send().await.map_err(|error| error.without_url().to_string())?;
        if !response.status().is_success() {
            return Err(format!("Expected HTTP Status 206, received: \"{}\"", response.status()));
        }
        let piece = response.bytes().await.map_err(|error| error.without_url().to_string())?;
        if stdin.write_all(&piece).await.is_err() {
            // It ended early and says why itself.
            return Ok(());
        }
        offset += u64::try_from(piece.len()).expect("a piece is no longer than a range");
        record(world, &order.uuid, |transfer| transfer.processed_bytes = offset);
        if piece.is_empty() {
            return Err("unexpected EOF".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_about_comments_are_told_from_others() {
        let mut words = Words::default();
        for line in [
            "pg_restore: creating COMMENT \"EXTENSION tablefunc\"",
            "pg_restore: while PROCESSING TOC:",
            "pg_restore: from TOC entry 4711; 0 0 COMMENT EXTENSION tablefunc ",
            "pg_restore: error: could not execute query: ERROR:  must be owner of extension tablefunc",
            "Command was: COMMENT ON EXTENSION tablefunc IS 'x';",
            "pg_restore: error: could not execute query: ERROR:  boom",
            "Command was: CREATE INDEX COMMENT ON public.t;",
            "pg_restore: warning: errors ignored on restore: 2",
        ] {
            words.hear(line);
        }
        assert_eq!(
            words,
            Words { errors: 2, about_comments: 1, ended_by_itself: true, last_was_error: false }
        );
    }
}
