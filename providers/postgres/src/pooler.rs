//! Whether a session has a server process of its own, or a pooler hands its statements to several.
//!
//! A server tells each client the id of its process (`BackendKeyData`); a pooler tells a number of its own. Behind one,
//! the process answers another client's transaction while the session is idle, or the session is answered by another
//! process: then the pool lends by transaction or statement. In session mode neither happens. Only simple queries are
//! sent until this is known, none of which outlives its transaction: a prepared statement would stay in the pool too.
//! Tried by hand with pgbouncer 1.18; tested with the real one in `tests/pooler.rs`.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pgferry_engine::fault::{Class, Fault};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::location::Location;

/// Other clients that are asked beside the session. An idle pool hands its last process to the first of them; more are
/// for busy pools, and for poolers of several processes, each of which has pools of its own.
const OTHERS: usize = 4;
/// A pool that has a process to spare answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// A server process, and what it says of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Backend {
    pub(crate) pid: i32,
    /// When it was started, in microseconds since 1970.
    pub(crate) since: i64,
    /// When its server was started, likewise.
    pub(crate) server_since: i64,
    /// As `server_version_num` has it.
    pub(crate) version_number: i32,
}

const WHO: &str = "select pg_backend_pid(),
    (select (extract(epoch from backend_start) * 1000000)::int8 from pg_stat_activity where pid = pg_backend_pid()),
    (extract(epoch from pg_postmaster_start_time()) * 1000000)::int8, current_setting('server_version_num')";

/// Which process answers `client` now.
pub(crate) async fn backend(client: &Client) -> Result<Backend, Error> {
    asked(client, WHO).await
}

async fn asked(client: &Client, statement: &str) -> Result<Backend, Error> {
    let mut backend = Backend { pid: 0, since: 0, server_since: 0, version_number: 0 };
    for message in client.simple_query(statement).await? {
        if let SimpleQueryMessage::Row(row) = message {
            let number = |at| row.get(at).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
            let small = |at| i32::try_from(number(at)).unwrap_or(0);
            backend = Backend {
                pid: small(0),
                since: number(1),
                server_since: number(2),
                version_number: small(3),
            };
        }
    }
    Ok(backend)
}

/// Whether the process that answers is the one that the client was told of when it connected.
pub(crate) async fn is_direct(client: &Client, backend: Backend) -> bool {
    told(client).await == Some(backend.pid)
}

/// The id of the process in `BackendKeyData`. The library keeps it to itself, but for the requests to cancel.
async fn told(client: &Client) -> Option<i32> {
    let sent = Arc::default();
    let wire = Wire(Arc::clone(&sent));
    client.cancel_token().cancel_query_raw(wire, PassedOn).await.ok()?;
    let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
    // Last in a request are the id and a secret, of four bytes each (PostgreSQL docs, "CancelRequest").
    let id = sent.len().checked_sub(8)?;
    sent.get(id..id + 4)?.try_into().ok().map(i32::from_be_bytes)
}

/// Where a request to cancel is written that nobody is sent; agrees to speak TLS, which [`PassedOn`] leaves out.
struct Wire(Arc<Mutex<Vec<u8>>>);

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        into.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

struct PassedOn;

impl TlsConnect<Wire> for PassedOn {
    type Stream = Wire;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Wire>>;

    fn connect(self, wire: Wire) -> Self::Future {
        std::future::ready(Ok(wire))
    }
}

/// What is known of a pooler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    /// Each client keeps its process until it leaves: as good as the server itself.
    Session,
    /// Processes are lent by transaction or statement.
    Transaction,
    /// Nothing answers, or there is room for nobody to compare with.
    Exhausted,
}

/// What kind of pool `client` was given `backend` from. `open` makes other clients of it.
///
/// # Errors
/// The client's session is lost.
pub(crate) async fn kind<F>(
    location: &Location,
    client: &Client,
    backend: Backend,
    open: impl Fn() -> F,
) -> Result<Pool, Error>
where
    F: Future<Output = Option<Client>>,
{
    if direct(location).is_some_and(|known| known.always) {
        return Ok(Pool::Transaction);
    }
    let mut others = Vec::new();
    while others.len() < OTHERS {
        // It takes no more clients; the session itself may still be asked.
        let Ok(Some(other)) = tokio::time::timeout(PATIENCE, open()).await else { break };
        let begin = format!("begin transaction read only; {WHO}");
        let answer = {
            let asking = asked(&other, &begin);
            tokio::pin!(asking);
            match tokio::time::timeout(PATIENCE, &mut asking).await {
                Ok(answer) => answer,
                // The pool is used up. Had `client` no process of its own, it would be served after `other`.
                Err(_) => tokio::select! {
                    biased;
                    answer = &mut asking => answer,
                    again = within(self::backend(client)) => return Ok(match again? {
                        None => Pool::Exhausted,
                        Some(again) if again == backend => Pool::Session,
                        Some(_) => Pool::Transaction,
                    }),
                },
            }
        };
        match answer {
            Ok(answer) if answer == backend => {
                let _freed = other.simple_query("rollback").await;
                return Ok(Pool::Transaction);
            }
            Ok(_) => others.push(other),
            // Statement pooling allows no transactions.
            Err(cause) if cause.code().is_some_and(|code| code.code() == "08P01") => {
                return Ok(Pool::Transaction);
            }
            Err(_) => break,
        }
        match within(self::backend(client)).await? {
            None => return Ok(Pool::Exhausted),
            Some(again) if again == backend => {}
            Some(_) => return Ok(Pool::Transaction),
        }
    }
    if others.is_empty() {
        return Ok(Pool::Exhausted);
    }
    for other in others {
        let _freed = other.simple_query("rollback").await;
    }
    Ok(match within(self::backend(client)).await? {
        None => Pool::Exhausted,
        Some(again) if again == backend => Pool::Session,
        Some(_) => Pool::Transaction,
    })
}

async fn within(
    asking: impl Future<Output = Result<Backend, Error>>,
) -> Result<Option<Backend>, Error> {
    tokio::time::timeout(PATIENCE * 5, asking).await.ok().transpose()
}

/// Pools known to hand out sessions: asking each time would take a session more each time.
static SESSION_POOLS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn key(location: &Location) -> String {
    format!("{}/{}/{}", location.server(), location.database, location.user)
}

pub(crate) fn remember_session_pool(location: &Location) {
    SESSION_POOLS.lock().unwrap_or_else(PoisonError::into_inner).insert(key(location));
}

/// Whether a pooler in session mode is known to stand there. It may refuse startup parameters.
pub(crate) fn is_session_pool(location: &Location) -> bool {
    SESSION_POOLS.lock().unwrap_or_else(PoisonError::into_inner).contains(&key(location))
}

/// How a provider's server is reached without its pooler.
struct Direct {
    /// What leads there is never a session's own server.
    always: bool,
    how: String,
}

/// Refuses a pooler that lends processes by transaction or statement.
pub(crate) fn refusal(location: &Location) -> Fault {
    let message = format!(
        "a connection pooler in transaction or statement mode answers at {}, database `{}`: \
         sessions, snapshots and settings would get lost, and settings would reach other clients",
        location.server(),
        location.database
    );
    let how = direct(location).map_or_else(
        || "give the URL of the server itself, often another port (5432) or host name, or of a pool in session mode".to_owned(),
        |known| known.how,
    );
    Fault::new(Class::Rejected, message).coded("PGF1107").help(how)
}

/// As providers document it, November 2026.
fn direct(location: &Location) -> Option<Direct> {
    let (host, port) = (location.host.to_ascii_lowercase(), location.port);
    let (always, how) = if host.ends_with(".pooler.supabase.com") {
        let project = location.user.split_once('.').map_or("PROJECT", |(_, project)| project);
        let how = format!(
            "use Supabase's direct connection, db.{project}.supabase.co:5432 with the user `postgres`, or port 5432 of this host, which is its session mode"
        );
        (port == 6543, how)
    } else if host.ends_with(".supabase.co") && port == 6543 {
        (true, format!("use port 5432 of {host}"))
    } else if host.ends_with(".neon.tech") && host.contains("-pooler.") {
        (true, format!("use Neon's direct host: {}", host.replacen("-pooler.", ".", 1)))
    } else if host.ends_with(".rds.amazonaws.com") && host.contains(".proxy-") {
        (
            true,
            "use the endpoint of the database instance or cluster, not that of its RDS Proxy"
                .to_owned(),
        )
    } else if host.ends_with(".ondigitalocean.com") {
        (false, "use DigitalOcean's own connection details (port 25060, the database's name), not those of a connection pool (port 25061)".to_owned())
    } else if host.ends_with(".aivencloud.com") || host.ends_with(".akamaidb.net") {
        (false, "use the host, port and database of the service itself, not those of one of its connection pools, or a pool in session mode".to_owned())
    } else if host.ends_with(".postgres.database.azure.com") {
        (false, format!("use port 5432 of {host}; 6432 is Azure's pooler"))
    } else if host.ends_with(".amazonaws.com") && port == 5433 {
        (
            false,
            "use DATABASE_URL; Heroku's DATABASE_CONNECTION_POOL_URL leads to its pooler"
                .to_owned(),
        )
    } else {
        return None;
    };
    Some(Direct { always, how })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_is_the_providers() {
        for (url, always, expect) in [
            (
                "postgres://postgres.abcd@aws-0-eu-central-1.pooler.supabase.com:6543/postgres",
                true,
                "db.abcd.supabase.co:5432",
            ),
            (
                "postgres://postgres.abcd@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
                false,
                "",
            ),
            (
                "postgres://u@ep-cool-rain-123456-pooler.eu-central-1.aws.neon.tech/d",
                true,
                "ep-cool-rain-123456.eu-central-1.aws.neon.tech",
            ),
            ("postgres://u@acme.proxy-abc.eu-central-1.rds.amazonaws.com/d", true, "RDS Proxy"),
            (
                "postgres://u@lin-1-2-pgsql-primary.g2a.akamaidb.net:25061/pool",
                false,
                "session mode",
            ),
            ("postgres://u@db-1.b.db.ondigitalocean.com:25061/pool", false, "25060"),
            ("postgres://u@db.example.org:6432/d", false, "5432"),
        ] {
            let location = Location::parse(url).unwrap();
            assert_eq!(direct(&location).is_some_and(|known| known.always), always, "{url}");
            let help = refusal(&location).help.unwrap();
            assert!(help.contains(expect), "{url}: {help}");
        }
    }
}
