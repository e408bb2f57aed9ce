//! Sessions with a Postgres server: opened with TLS, told what they may do, and faults that name the server.
//!
//! It owns how we connect and what each session is set to; it does not know what the session is for. Tested against
//! real servers in `tests/`.

use std::ops::Deref;
use std::time::Duration;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::reference::{Endpoint, Tls};
use rustls::ClientConfig;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::dump::hold::LOCK_TIMEOUT;
use crate::location::{ChannelBinding, Location};
use crate::own::Own;
use crate::pooler::{self, Pool};

use self::unreached::{Unreached, exhausted, unreached};

mod unreached;

/// Long enough for a distant server, short enough for a person who mistyped a host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// After so long without an acknowledgement of what was sent, the other machine counts as gone, and a copy under way fails
/// instead of waiting for the quarter of an hour that Linux gives it. Keepalives notice as soon where nothing is sent.
const DEAD: Duration = Duration::from_secs(50);

/// A role's own time-outs hold until we have switched them off; of a busy machine that may be too late.
const HURRIED: [&str; 4] = ["57014", "55P03", "25P03", "57P05"];
const HURRIED_TRIES: u32 = 10;
const AT_ONCE: Class = Class::Retry { after: Some(Duration::ZERO) };

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every statement that writes is refused by the server. The rule for a source.
    ReadOnly,
    ReadWrite,
}

/// How a session prints values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As the server and the database say.
    Own,
    /// One canonical form on every server, so that the text of a value can be compared; `search_path` is empty.
    Canonical {
        /// `extra_float_digits`: 3, or 0 where one side is older than Postgres 12, which knew no shortest form.
        float_digits: i8,
    },
}

/// An open session. Closed when dropped.
pub struct Session {
    client: Client,
    tls: Option<MakeRustlsConnect>,
    /// Where it leads.
    pub location: Location,
    /// As `server_version_num` has it: 150012.
    pub version_number: i32,
    pub(crate) own: Own,
}

impl Deref for Session {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Connects to `endpoint` as `application_name=pgferry`, with all timeouts of the server switched off, but for that of a
/// session that only reads and waits for a lock: [`refused`](crate::dump::hold::refused) then says who has it.
///
/// TLS is never negotiated away: without it only where [`Location::of`] allows it. Nothing is set that outlives a
/// transaction before it is known that the session has a server process of its own: see [`crate::pooler`].
///
/// # Errors
/// [`Class::Retry`] while the server starts, is full or refuses connections; [`Class::Denied`] for a login that it
/// refuses; [`Class::Rejected`] for a pooler that lends its sessions by transaction; [`Class::Failed`] when it cannot be
/// reached, its certificate is not what we trust, or a pool has no session left after half a minute. No message holds
/// the password. Nothing was changed, so a retry is always safe.
pub async fn connect(
    endpoint: &Endpoint,
    access: Access,
    format: Format,
) -> Result<Session, Fault> {
    let mut tries = 1;
    loop {
        match once(endpoint, access, format).await {
            Err(fault) if fault.class == AT_ONCE && tries < HURRIED_TRIES => tries += 1,
            connected => return connected,
        }
    }
}

async fn once(endpoint: &Endpoint, access: Access, format: Format) -> Result<Session, Fault> {
    let location = Location::of(endpoint)?;
    let mut config = Config::new();
    config
        .host(&location.host)
        .port(location.port)
        .user(&location.user)
        .dbname(&location.database)
        .application_name("pgferry")
        .connect_timeout(patience(&location))
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(20))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3)
        .tcp_user_timeout(DEAD);
    if let Some(address) = location.address {
        config.hostaddr(address);
    }
    if let Some(password) = &location.password {
        config.password(password.expose());
    }
    if let Some(options) = &location.options {
        config.options(options);
    }
    config.channel_binding(match location.channel_binding {
        ChannelBinding::Disable => tokio_postgres::config::ChannelBinding::Disable,
        ChannelBinding::Prefer => tokio_postgres::config::ChannelBinding::Prefer,
        ChannelBinding::Require => tokio_postgres::config::ChannelBinding::Require,
    });
    let tls = if location.tls == Tls::None {
        config.ssl_mode(SslMode::Disable);
        None
    } else {
        config.ssl_mode(SslMode::Require);
        Some(MakeRustlsConnect::new(client_side(endpoint, &location)?))
    };
    let unreached = |cause| unreached(&location, cause);
    let client = within(&location, open(&config, tls.as_ref())).await.map_err(unreached)?;
    // A server has a process for each session; a pool may have none left, and says nothing of it.
    let asked = within(&location, pooler::backend(&client)).await;
    let backend = asked.map_err(|cause| match cause {
        Unreached::Silent => exhausted(&location),
        said => unreached(said),
    })?;
    if !pooler::is_direct(&client, backend).await && !pooler::is_session_pool(&location) {
        let more = async || open(&config, tls.as_ref()).await.ok();
        match pooler::kind(&location, &client, backend, more).await {
            Ok(Pool::Session) => pooler::remember_session_pool(&location),
            Ok(Pool::Transaction) => return Err(pooler::refusal(&location)),
            Ok(Pool::Exhausted) => return Err(exhausted(&location)),
            Err(cause) => return Err(unreached(Unreached::Said(cause))),
        }
    }
    let (own, version_number) = (Own::of(backend), backend.version_number);
    let session = Session { client, tls, location, version_number, own };
    session.prepare(access, format).await.map_err(|cause| match cause.code() {
        Some(code) if HURRIED.contains(&code.code()) => {
            unreached::unreached(&session.location, Unreached::Said(cause))
        }
        _ => session.fault("opening it", cause),
    })?;
    Ok(session)
}

async fn open(config: &Config, tls: Option<&MakeRustlsConnect>) -> Result<Client, Error> {
    // A connection ends with its client; its errors surface in the client's next call.
    if let Some(tls) = tls {
        let (client, connection) = config.connect(tls.clone()).await?;
        tokio::spawn(connection);
        return Ok(client);
    }
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn client_side(endpoint: &Endpoint, location: &Location) -> Result<ClientConfig, Fault> {
    let authority = endpoint.ca_certificate.as_deref();
    crate::tls::configuration(location.tls, authority, location.certificate.as_ref())
}

/// How long we wait for the server: as its connection string says, or as long as suits most.
fn patience(location: &Location) -> Duration {
    location.connect_timeout.unwrap_or(CONNECT_TIMEOUT)
}

/// `connect_timeout` of the library covers the TCP handshake only; TLS and login get the same again.
async fn within<T>(
    location: &Location,
    connecting: impl Future<Output = Result<T, Error>>,
) -> Result<T, Unreached> {
    match tokio::time::timeout(patience(location) * 2, connecting).await {
        Ok(result) => result.map_err(Unreached::Said),
        Err(_) => Err(Unreached::Silent),
    }
}

/// Makes sure that a pool has `wanted` sessions, the caller's included, before programs are started, which would wait for one without a word.
/// A server itself says so at once.
///
/// # Errors
/// The pool has fewer. A retry is safe.
pub(crate) async fn enough(endpoint: &Endpoint, wanted: usize) -> Result<(), Fault> {
    if !pooler::is_session_pool(&Location::of(endpoint)?) {
        return Ok(());
    }
    let mut sessions = Vec::new();
    while sessions.len() + 1 < wanted {
        let had = sessions.len() + 1;
        sessions.push(connect(endpoint, Access::ReadOnly, Format::Own).await.map_err(|fault| {
            let what = format!("{}: {wanted} sessions are needed, {had} were given", fault.message);
            Fault { message: what, ..fault }
        })?);
    }
    Ok(())
}

impl Session {
    async fn prepare(&self, access: Access, format: Format) -> Result<(), Error> {
        // Who only reads waits for a lock no longer than others may wait behind us.
        let lock_timeout = if access == Access::ReadOnly { LOCK_TIMEOUT } else { "0" };
        // To compile a query over the catalogue takes longer than to answer it, where there are thousands of tables. What
        // fills a target or computes a view there is left to the server.
        let asks = access == Access::ReadOnly || matches!(format, Format::Canonical { .. });
        let jit = if asks { ", 'jit'" } else { "" };
        // Only those that this version knows; a timeout set for a role or database would cut long work short.
        let mut statement = format!(
            "select set_config(name, case name when 'lock_timeout' then '{lock_timeout}' when 'jit' then 'off' else '0' end, false)
             from pg_settings where name in ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',
               'idle_session_timeout', 'transaction_timeout'{jit});"
        );
        if access == Access::ReadOnly {
            statement.push_str("set default_transaction_read_only = on;");
        }
        if let Format::Canonical { float_digits } = format {
            statement.push_str(&format!(
                "set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres'; set timezone = 'UTC';\
                 set extra_float_digits = {float_digits}; set bytea_output = 'hex'; set xmlbinary = 'base64';\
                 set lc_monetary = 'C'; set row_security = off; set search_path = '';\
                 set standard_conforming_strings = on; set quote_all_identifiers = off;\
                 set array_nulls = on; set xmloption = content;"
            ));
        }
        self.client.batch_execute(&statement).await
    }

    /// The major version: 15, or 9 for all of 9.x.
    pub fn major(&self) -> u32 {
        u32::try_from(self.version_number / 10_000).unwrap_or_default()
    }

    /// A fault while `doing` something at this server: "`host:port`, database `d`: doing …".
    pub fn fault(&self, doing: &str, cause: Error) -> Fault {
        fault(&self.location, doing, cause)
    }

    /// Asks the server to stop the statement under way; for Ctrl-C.
    pub async fn cancel(&self) {
        let token = self.client.cancel_token();
        // If the request is lost, the server notices at the latest when the session is closed.
        let _lost = match &self.tls {
            Some(tls) => token.cancel_query(tls.clone()).await,
            None => token.cancel_query(NoTls).await,
        };
    }
}

/// A fault of a statement, classed by what the server said.
pub(crate) fn fault(location: &Location, doing: &str, cause: Error) -> Fault {
    let class = match cause.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Class::Denied,
        _ => Class::Failed,
    };
    let message = format!("{doing} in database `{}` at {}", location.database, location.server());
    Fault::new(class, message).because(Said::of(cause))
}

/// What a server or the network said, whole: the library's own message leaves out the server's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(String);

impl Said {
    /// The message, detail and hint of the server, or the chain of causes.
    pub fn of(cause: Error) -> Self {
        let Some(said) = cause.as_db_error() else { return Self(Self::chain(&cause)) };
        let mut text = format!("{} ({})", said.message(), said.code().code());
        for more in [said.detail(), said.hint()].into_iter().flatten() {
            text.push_str("; ");
            text.push_str(more);
        }
        Self(text)
    }

    fn chain(cause: &Error) -> String {
        let mut text = cause.to_string();
        let mut next = std::error::Error::source(cause);
        while let Some(error) = next {
            let said = error.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            next = error.source();
        }
        text
    }
}
