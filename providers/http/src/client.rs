//! Sends requests to one service, with patience.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pgferry_engine::cx::Cx;
use pgferry_engine::event::Event;
use pgferry_engine::fault::Fault;
use pgferry_engine::secret::Secret;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::{Error, Refused};
use crate::origin::is_loopback;
use crate::retry;

const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long all tries of one request may take together: a service that accepts and never answers must not keep a
/// maintenance window open.
const BUDGET: Duration = Duration::from_secs(150);
/// How long an answer is still waited for once the user asked to stop.
const GRACE: Duration = Duration::from_secs(3);
/// Answers are lists of names and states; none comes near.
const LONGEST_ANSWER: usize = 32 * 1024 * 1024;

/// What a client must know of the service that it speaks to.
pub struct Service {
    /// For messages: `Heroku`.
    pub name: &'static str,
    /// From [`crate::origin`].
    pub base: Url,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
    /// Sent with every request.
    pub headers: Vec<(&'static str, String)>,
    /// Refusals, besides the usual ones, after which trying again helps.
    pub busy: fn(&Refused) -> bool,
}

/// A client of one service. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    service: Service,
}

impl Client {
    /// A client of `service`. Makes no request. Redirections are not followed: a token goes to one origin only.
    ///
    /// # Errors
    /// The machine's trust store cannot be read.
    pub fn new(service: Service) -> Result<Self, Fault> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("pgferry/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_PATIENCE)
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&service.base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|cause| {
            Fault::failed(format!("preparing connections to {}", service.name))
                .because(cause.without_url())
        })?;
        Ok(Self { inner: Arc::new(Inner { http, service }) })
    }

    /// Sends `call`, again where that is safe and may help, and waits for the whole answer. Announces an effect
    /// before each sending of a request that changes something. All tries together take two and a half minutes at
    /// most; once the user asked to stop, an answer is waited for a few seconds only.
    ///
    /// # Errors
    /// See [`Error`]; it says whether the request may have had its effect.
    pub async fn send(&self, cx: &Cx, call: Call) -> Result<Answer, Error> {
        let began = cx.now();
        let left = || BUDGET.saturating_sub(cx.now().duration_since(began).unsigned_abs());
        let mut tries = 0;
        loop {
            tries += 1;
            let error = tokio::select! {
                answered = self.once(cx, &call, left()) => match answered {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                },
                () = stopped(cx) => {
                    let (service, effect) = (self.inner.service.name, call.is_effect());
                    return Err(Error::Abandoned { service, effect });
                }
            };
            let reading = !call.is_effect();
            let busy = self.inner.service.busy;
            let Some(after) = retry::wait(&error, call.repeatable, reading, tries, busy) else {
                return Err(error);
            };
            if after >= left() {
                return Err(error);
            }
            cx.world.sink.event(Event::Retrying {
                address: cx.address.clone(),
                message: format!("{}: {error}", call.effect()),
                after,
            });
            cx.sleep(after).await.map_err(Error::Stopped)?;
        }
    }

    /// Like [`Client::send`]; that there is no such thing is `None`.
    ///
    /// # Errors
    /// As of [`Client::send`], without 404 and 410.
    pub async fn find(&self, cx: &Cx, call: Call) -> Result<Option<Answer>, Error> {
        match self.send(cx, call).await {
            Err(error) if error.is_absent() => Ok(None),
            other => other.map(Some),
        }
    }

    async fn once(&self, cx: &Cx, call: &Call, left: Duration) -> Result<Answer, Error> {
        let service = &self.inner.service;
        if call.is_effect() {
            cx.effect(&call.effect()).map_err(Error::Stopped)?;
        }
        let mut request = self
            .inner
            .http
            .request(call.method.clone(), call.url(&service.base))
            .timeout(call.patience.min(left))
            .headers(headers(service, call));
        if let Some(token) = &service.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let lost = |cause: reqwest::Error| {
            let cause = cause.without_url();
            if cause.is_connect() || cause.is_builder() {
                Error::Unreachable { service: service.name, cause }
            } else {
                Error::Lost { service: service.name, cause, repeatable: call.repeatable }
            }
        };
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = BytesMut::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                // What was refused stays refused, with or without its reason.
                Err(_) if !status.is_success() => break,
                Err(cause) => return Err(lost(cause)),
            }
            if body.len() > LONGEST_ANSWER {
                return Err(Error::TooLong { service: service.name });
            }
        }
        if status.is_success() {
            return Ok(Answer::new(status.as_u16(), headers, body.freeze()));
        }
        let refused = Box::new(Refused::read(status.as_u16(), &headers, &body));
        Err(Error::Refused { refused, repeatable: call.repeatable })
    }
}

/// Returns some seconds after the user asked to stop.
async fn stopped(cx: &Cx) {
    cx.world.cancel.cancelled().await;
    cx.world.clock.sleep(GRACE).await;
}

fn headers(service: &Service, call: &Call) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    for (name, value) in service.headers.iter().chain(&call.headers) {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            headers.insert(name, value);
        }
    }
    headers
}
