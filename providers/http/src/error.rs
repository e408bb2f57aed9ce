//! Why a request brought no success, and what may be concluded from it.
//!
//! Understands the error bodies of the services we know by their form alone: `{"id", "message"}` and
//! `{"errors": [{"reason", "field"}]}`; anything else (a proxy's HTML) counts by its status. Tested beside.

use std::fmt;
use std::time::Duration;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::secret::redact;
use reqwest::header::HeaderMap;
use serde_json::Value as Json;

/// Longer messages of a service are cut.
const LONGEST_MESSAGE: usize = 600;

/// An answer that is no success.
#[derive(Clone, Debug)]
pub struct Refused {
    /// 300 to 599.
    pub status: u16,
    /// The service's own word for it: `confirmation_required`.
    pub id: Option<String>,
    /// What the service says, in its words; known secrets blanked out.
    pub message: Option<String>,
    /// The fields it complains of.
    pub fields: Vec<String>,
    /// What its support wants to hear.
    pub request_id: Option<String>,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
    /// Announced work on the service: trying again soon is useless.
    pub maintenance: bool,
    /// The body was no JSON: somebody in between answered.
    pub foreign: bool,
}

/// A request without a success.
#[derive(Debug)]
pub enum Error {
    /// The service answered, and not with a success.
    Refused {
        refused: Box<Refused>,
        /// Whether the request may be sent again without doing more.
        repeatable: bool,
    },
    /// No connection came about: nothing happened.
    Unreachable { service: &'static str, cause: reqwest::Error },
    /// The connection broke, or time ran out, after the request had been sent.
    Lost { service: &'static str, cause: reqwest::Error, repeatable: bool },
    /// A success whose body is not as expected.
    Unreadable { status: u16, line: usize, column: usize },
    /// More than anyone needs to read.
    TooLong { service: &'static str },
    /// The user asked to stop before the service answered; an `effect` may have happened.
    Abandoned { service: &'static str, effect: bool },
    /// The user asked to stop, or a test did.
    Stopped(Fault),
}

impl Refused {
    pub(crate) fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let json: Option<Json> = serde_json::from_slice(body).ok().filter(Json::is_object);
        let entries = json.as_ref().and_then(|json| json.get("errors")).and_then(Json::as_array);
        let said = |json: &Json, key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
        let reasons: Vec<String> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let reason = said(entry, "reason")?;
                Some(match said(entry, "field") {
                    Some(field) => format!("{reason} (`{field}`)"),
                    None => reason,
                })
            })
            .collect();
        let message = json
            .as_ref()
            .and_then(|json| said(json, "message"))
            .or_else(|| (!reasons.is_empty()).then(|| reasons.join("; ")));
        Self {
            status,
            id: json.as_ref().and_then(|json| said(json, "id")),
            message: message
                .map(|text| redact(&text).chars().take(LONGEST_MESSAGE).collect::<String>()),
            fields: entries
                .into_iter()
                .flatten()
                .filter_map(|entry| said(entry, "field"))
                .collect(),
            request_id: text("request-id").or_else(|| text("x-request-id")).map(str::to_owned),
            retry_after: text("retry-after")
                .and_then(|value| value.trim().parse().ok())
                .map(Duration::from_secs),
            maintenance: headers.contains_key("x-maintenance-mode"),
            foreign: json.is_none(),
        }
    }

    /// Whether the service speaks of `words`, whatever the case.
    pub fn says(&self, words: &str) -> bool {
        let message = self.message.as_deref().unwrap_or_default().to_lowercase();
        message.contains(&words.to_lowercase())
    }

    fn class(&self, repeatable: bool) -> Class {
        match self.status {
            401..=403 => Class::Denied,
            404 | 410 => Class::Gone,
            409 => Class::Conflict,
            429 | 503 => Class::Retry { after: self.retry_after },
            408 | 500..=599 if repeatable => Class::Retry { after: self.retry_after },
            408 | 500..=599 => Class::Unknown,
            _ => Class::Rejected,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => f.write_str(message.trim_end().trim_end_matches('.'))?,
            None => f.write_str("the service gave no reason")?,
        }
        write!(f, " (HTTP {}", self.status)?;
        if let Some(id) = &self.id {
            write!(f, ", {id}")?;
        }
        if let Some(request) = &self.request_id {
            write!(f, ", request {request}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Refused {}

impl Error {
    /// The answer that was no success, if there was one.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused { refused, .. } => Some(refused),
            _ => None,
        }
    }

    /// The status of such an answer.
    pub fn status(&self) -> Option<u16> {
        self.refused().map(|refused| refused.status)
    }

    /// Whether the service says that there is no such thing.
    pub fn is_absent(&self) -> bool {
        matches!(self.status(), Some(404 | 410))
    }

    /// Whether the error id is `id`.
    pub fn is(&self, id: &str) -> bool {
        self.refused().and_then(|refused| refused.id.as_deref()) == Some(id)
    }

    /// Whether the service may answer better soon: throttled, down, or out of reach.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused { refused, .. } => {
                matches!(refused.status, 408 | 429 | 500 | 502 | 503 | 504)
            }
            Self::Unreachable { .. } | Self::Lost { .. } => true,
            Self::Unreadable { .. }
            | Self::TooLong { .. }
            | Self::Abandoned { .. }
            | Self::Stopped(_) => false,
        }
    }

    /// What the engine may conclude.
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { refused, repeatable } => refused.class(*repeatable),
            Self::Unreachable { .. } => Class::Retry { after: None },
            Self::Lost { repeatable: true, .. } => Class::Retry { after: None },
            Self::Lost { .. } => Class::Unknown,
            Self::Unreadable { .. } | Self::TooLong { .. } => Class::Failed,
            Self::Abandoned { effect: true, .. } => Class::Unknown,
            Self::Abandoned { .. } => Class::Interrupted,
            Self::Stopped(fault) => fault.class,
        }
    }

    /// The fault of having `attempted` something: "creating app `acme`".
    pub fn during(self, attempted: impl Into<String>) -> Fault {
        if let Self::Stopped(fault) = self {
            return fault;
        }
        let fault = Fault::new(self.class(), attempted);
        match self {
            Self::Refused { refused, .. } => fault.because(*refused),
            other => fault.because(other),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { refused, .. } => refused.fmt(f),
            Self::Unreachable { service, .. } => write!(f, "{service} cannot be reached"),
            Self::Lost { service, cause, .. } if cause.is_timeout() => {
                write!(f, "{service} did not answer in time")
            }
            Self::Lost { service, .. } => write!(f, "the connection to {service} broke"),
            Self::Unreadable { status, line, column } => write!(
                f,
                "the answer (HTTP {status}) is not as expected at line {line}, column {column}"
            ),
            Self::TooLong { service } => write!(f, "the answer of {service} has no end"),
            Self::Abandoned { service, .. } => {
                write!(f, "{service} had not answered when pgferry was asked to stop")
            }
            Self::Stopped(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable { cause, .. } | Self::Lost { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Refused {
        Refused::read(status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn each_form_of_body_is_understood() {
        let heroku = read(422, r#"{"id":"invalid_params","message":"Name is taken."}"#);
        assert_eq!(heroku.to_string(), "Name is taken (HTTP 422, invalid_params)");
        let linode = read(
            400,
            r#"{"errors":[{"reason":"region is not valid","field":"region"},{"reason":"No"}]}"#,
        );
        assert_eq!(linode.to_string(), "region is not valid (`region`); No (HTTP 400)");
        assert_eq!(linode.fields, ["region"]);
        let html = read(404, "<h1>Not Found</h1>");
        assert_eq!(html.to_string(), "the service gave no reason (HTTP 404)");
        assert!(html.foreign);
    }

    #[test]
    fn an_outcome_is_unknown_only_where_something_may_have_happened() {
        let check = |status, repeatable| read(status, "").class(repeatable);
        assert_eq!(check(500, true), Class::Retry { after: None });
        assert_eq!(check(500, false), Class::Unknown);
        assert_eq!(check(503, false), Class::Retry { after: None });
        assert_eq!(check(429, false), Class::Retry { after: None });
        assert_eq!(check(403, false), Class::Denied);
        assert_eq!(check(422, false), Class::Rejected);
        assert_eq!(check(404, false), Class::Gone);
    }
}
