//! A running `pg_dump`: what it is told, how its output is read, and how it is stopped.
//!
//! Nothing secret is in its arguments; connection and password reach it by its environment. Knows no bucket. Tested in
//! `tests/` with the real program and with stand-ins that fail.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use bytes::{Bytes, BytesMut};
use pgferry_archive::{ArchiveError, Toc};
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::{Endpoint, Tls};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::hold::LOCK_TIMEOUT;
use crate::location::{ChannelBinding, Location};
use crate::programs::{Program, environment};
use crate::quoting::Tables;

/// Else texts would be in the form that the database has chosen, and no other session expects.
const FORM: &str = "-c standard_conforming_strings=on";
const CHUNK: usize = 1 << 20;
const LINES_KEPT: usize = 20;
const LINE_LENGTH: usize = 1000;

/// What to dump.
pub(crate) struct Order<'a> {
    pub(crate) program: &'a Program,
    pub(crate) source: &'a Endpoint,
    pub(crate) snapshot: &'a str,
    pub(crate) exclude_tables: &'a Tables,
    pub(crate) exclude_data: &'a Tables,
    pub(crate) rights: Rights,
    pub(crate) compression: Option<u8>,
    /// Of the archive's names, texts and rows: see [`encoding`].
    pub(crate) encoding: &'a str,
}

/// The encoding of an archive of a database in `server`'s: UTF-8, which every server reads and our own sessions speak;
/// only of SQL_ASCII nobody knows what its bytes mean.
pub(crate) fn encoding(server: &str) -> &'static str {
    if server == "SQL_ASCII" { "SQL_ASCII" } else { "UTF8" }
}

/// Whether grants are in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    Kept,
    LeftOut,
}

/// `pg_dump` at work. Killed, with all that it may have started, when dropped.
pub(crate) struct Process {
    child: Child,
    group: Option<Pid>,
    stdout: Option<ChildStdout>,
    /// Its output, once only its beginning was read: while it is open and not read, the process stands still.
    unread: Option<std::fs::File>,
    said: JoinHandle<VecDeque<String>>,
    /// No secret; removed with the process.
    _authority: Option<tempfile::NamedTempFile>,
}

/// For the programs, as `connect` has it: long silences must not let a firewall forget a connection, and a server that is gone
/// is noticed within a minute.
pub(crate) const KEEPALIVES: &str = "keepalives=1 keepalives_idle=20 keepalives_interval=10 keepalives_count=3 \
    tcp_user_timeout=50000";

impl Order<'_> {
    /// Its arguments: an archive with large objects, without what another server could not take over.
    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "-Fc",
            "-b",
            "--no-publications",
            "--no-subscriptions",
            "--no-password",
            &format!("--dbname={KEEPALIVES}"),
        ]
        .map(str::to_owned)
        .to_vec();
        if self.rights == Rights::LeftOut {
            arguments.insert(2, "--no-acl".to_owned());
        }
        arguments.push(format!("--lock-wait-timeout={LOCK_TIMEOUT}"));
        arguments.push(format!("--encoding={}", self.encoding));
        arguments.push(format!("--snapshot={}", self.snapshot));
        arguments.extend(self.compression.map(|level| format!("--compress={level}")));
        arguments
            .extend(self.exclude_tables.patterns().map(|name| format!("--exclude-table={name}")));
        arguments.extend(
            self.exclude_data.patterns().map(|name| format!("--exclude-table-data={name}")),
        );
        arguments
    }

    /// Starts it.
    ///
    /// # Errors
    /// As [`launch`].
    pub(crate) fn start(&self, cx: &Cx) -> Result<Process, Fault> {
        launch(cx, self.program, self.source, self.arguments())
    }
}

/// Starts `program` on `source`, whose connection reaches it by its environment.
///
/// # Errors
/// The program cannot be run, or its trusted certificates cannot be put where it reads them.
pub(crate) fn launch(
    cx: &Cx,
    program: &Program,
    source: &Endpoint,
    arguments: Vec<String>,
) -> Result<Process, Fault> {
    let location = Location::of(source)?;
    let (authority, root) = trusted(cx, program, source, &location)?;
    let mut command = Command::new(&program.path);
    command
        .args(arguments)
        .env_clear()
        .envs(environment(cx))
        .env("PGHOST", &location.host)
        .env("PGPORT", location.port.to_string())
        .env("PGUSER", &location.user)
        .env("PGDATABASE", &location.database)
        .env("PGAPPNAME", crate::own::program_name().unwrap_or("pgferry"))
        .env(
            "PGCHANNELBINDING",
            match location.channel_binding {
                ChannelBinding::Disable => "disable",
                ChannelBinding::Prefer => "prefer",
                ChannelBinding::Require => "require",
            },
        )
        .env("PGGSSENCMODE", "disable")
        .env(
            "PGCONNECT_TIMEOUT",
            location.connect_timeout.map_or(30, |wait| wait.as_secs()).to_string(),
        )
        .env(
            "PGSSLMODE",
            match location.tls {
                Tls::VerifyFull => "verify-full",
                Tls::Require => "require",
                Tls::None => "disable",
            },
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C is for us to handle: the upload must be ended in order.
        .process_group(0)
        .kill_on_drop(true);
    // Poolers refuse the form, and it is the default; options of the URL are the user's own.
    let form = (!crate::pooler::is_session_pool(&location)).then_some(FORM);
    let options: Vec<&str> = location.options.as_deref().into_iter().chain(form).collect();
    if !options.is_empty() {
        command.env("PGOPTIONS", options.join(" "));
    }
    if let Some(password) = &location.password {
        command.env("PGPASSWORD", password.expose());
    }
    if let Some(address) = location.address {
        command.env("PGHOSTADDR", address.to_string());
    }
    if let Some(own) = &location.certificate {
        command.env("PGSSLCERT", &own.certificate).env("PGSSLKEY", &own.key);
    }
    if let Some(root) = root {
        command.env("PGSSLROOTCERT", root);
    }
    let mut child = command.spawn().map_err(|cause| {
        Fault::failed(format!("starting `{}`", program.path.display())).because(cause)
    })?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Fault::bug("a process without the pipes that it was given"));
    };
    let said = tokio::spawn(last_lines(stderr));
    let (stdout, unread) = (Some(stdout), None);
    Ok(Process { child, group, stdout, unread, said, _authority: authority })
}

/// The certificates it shall trust, as a file: the endpoint's own, or the machine's.
fn trusted(
    cx: &Cx,
    program: &Program,
    source: &Endpoint,
    location: &Location,
) -> Result<(Option<tempfile::NamedTempFile>, Option<PathBuf>), Fault> {
    if location.tls != Tls::VerifyFull {
        return Ok((None, None));
    }
    if let Some(pem) = &source.ca_certificate {
        let write = || {
            use std::io::Write;
            let mut file = tempfile::Builder::new().prefix("pgferry-ca-").tempfile()?;
            file.write_all(pem.as_bytes())?;
            file.flush()?;
            Ok(file)
        };
        let file = write().map_err(|cause: std::io::Error| {
            Fault::failed("writing the source's certificate to a temporary file").because(cause)
        })?;
        let path = file.path().to_owned();
        return Ok((Some(file), Some(path)));
    }
    // libpq knows the machine's own store by name since 16.
    if program.major >= 16 {
        return Ok((None, Some("system".into())));
    }
    const BUNDLES: [&str; 5] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
        "/opt/homebrew/etc/ca-certificates/cert.pem",
    ];
    cx.env("SSL_CERT_FILE")
        .into_iter()
        .chain(BUNDLES)
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .map(|path| (None, Some(path)))
        .ok_or_else(|| {
            Fault::failed("finding this machine's trusted certificates for `pg_dump`")
                .help("set SSL_CERT_FILE, or give the source's authority as `ca_certificate`")
        })
}

impl Process {
    /// The next bytes of the archive, at most 1 MiB; `None` at its end.
    ///
    /// # Errors
    /// The pipe broke.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        let Some(stdout) = &mut self.stdout else { return Ok(None) };
        let count = stdout
            .read_buf(&mut buffer)
            .await
            .map_err(|cause| Fault::failed("reading the output of `pg_dump`").because(cause))?;
        Ok((count > 0).then(|| buffer.freeze()))
    }

    /// Reads the table of contents that its output begins with, and leaves the rest unread: it then stands still, with
    /// its locks, or has ended if there was little more.
    ///
    /// # Errors
    /// It fails, or writes something else.
    pub(crate) async fn contents(&mut self) -> Result<Toc, Fault> {
        let reading =
            |cause: std::io::Error| Fault::failed("reading the output of `pg_dump`").because(cause);
        let Some(stdout) = self.stdout.take() else {
            return Err(Fault::bug("a `pg_dump` whose output was read before"));
        };
        let mut output = std::fs::File::from(stdout.into_owned_fd().map_err(reading)?);
        // It ends with the process, which is killed when this is dropped.
        let read = tokio::task::spawn_blocking(move || {
            let toc = Toc::read(&mut std::io::BufReader::with_capacity(CHUNK, &mut output));
            (toc, output)
        });
        let (toc, output) =
            read.await.map_err(|cause| Fault::bug("reading a table of contents").because(cause))?;
        match toc {
            Ok(toc) => {
                self.unread = Some(output);
                Ok(toc)
            }
            Err(cause) => {
                drop(output);
                let ends = matches!(cause, ArchiveError::Short { .. } | ArchiveError::NotAnArchive);
                if ends && let Err(failure) = self.end().await {
                    return Err(failure);
                }
                Err(Fault::failed("reading what `pg_dump` wrote").because(cause))
            }
        }
    }

    /// Ends it, whatever it is doing; gives what it said.
    pub(crate) async fn stop(&mut self) -> Vec<String> {
        self.kill();
        // A process that was killed ends, and nobody else is there to wait for it.
        let _status = self.child.wait().await;
        self.unread = None;
        (&mut self.said).await.unwrap_or_default().into()
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // Gone already is as good.
            let _gone = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }

    /// Waits for its end, once all output was read, and judges it; gives what it said nevertheless.
    ///
    /// # Errors
    /// It ended with anything but 0; holds the last lines it said.
    pub(crate) async fn end(&mut self) -> Result<Vec<String>, Fault> {
        let status = self
            .child
            .wait()
            .await
            .map_err(|cause| Fault::failed("waiting for `pg_dump`").because(cause))?;
        self.group = None;
        let said = (&mut self.said).await.unwrap_or_default();
        if status.success() { Ok(said.into()) } else { Err(failure(status, &said)) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn failure(status: ExitStatus, said: &VecDeque<String>) -> Fault {
    let lines: Vec<&str> = said.iter().map(String::as_str).collect();
    let cause = if lines.is_empty() { "it said nothing".to_owned() } else { lines.join("\n") };
    Fault::failed(format!("`pg_dump` failed ({status})")).because(cause)
}

async fn last_lines(stderr: tokio::process::ChildStderr) -> VecDeque<String> {
    let mut kept = VecDeque::new();
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    // Bounded by the program: its messages are lines.
    while reader.read_until(b'\n', &mut line).await.is_ok_and(|count| count > 0) {
        let text: String =
            String::from_utf8_lossy(&line).trim_end().chars().take(LINE_LENGTH).collect();
        if kept.len() == LINES_KEPT {
            kept.pop_front();
        }
        kept.push_back(text);
        line.clear();
    }
    kept
}
