//! What can go wrong with a bucket, and what that means for the caller.
//!
//! Messages say what was attempted; the cause says what the store answered, without addresses and without bodies.
//! Tested here, and against a server in `tests/`.

use std::error::Error as StdError;

use object_store::client::HttpError;

/// What an error means for the one who gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The key may not do this, or is not known. A key made less than a minute ago may be let in later.
    Denied,
    /// The bucket, object or upload is not there.
    Missing,
    /// A condition did not hold: something is there, or has changed.
    Conflict,
    /// Lost contact, or the store was busy. Whether it happened is not known; trying again may help.
    Transient,
    /// The request cannot succeed as it is.
    Rejected,
}

/// What the store or the network said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub(crate) String);

/// A failed operation on a bucket. Holds no secret and no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the same three fields each time: what was attempted, the S3 code, what was answered
pub enum ObjectError {
    /// See [`Class::Denied`].
    #[error("{attempt} was refused")]
    Denied {
        attempt: String,
        code: Option<String>,
        #[source]
        cause: Cause,
    },
    /// See [`Class::Missing`].
    #[error("{attempt} found nothing there")]
    Missing {
        attempt: String,
        code: Option<String>,
        #[source]
        cause: Cause,
    },
    /// See [`Class::Conflict`].
    #[error("{attempt} met something else there")]
    Conflict {
        attempt: String,
        code: Option<String>,
        #[source]
        cause: Cause,
    },
    /// See [`Class::Transient`].
    #[error("{attempt} did not get through")]
    Transient {
        attempt: String,
        code: Option<String>,
        #[source]
        cause: Cause,
    },
    /// See [`Class::Rejected`].
    #[error("{attempt} is not possible")]
    Rejected {
        attempt: String,
        code: Option<String>,
        #[source]
        cause: Cause,
    },
}

impl ObjectError {
    /// What it means for the caller.
    pub fn class(&self) -> Class {
        match self {
            Self::Denied { .. } => Class::Denied,
            Self::Missing { .. } => Class::Missing,
            Self::Conflict { .. } => Class::Conflict,
            Self::Transient { .. } => Class::Transient,
            Self::Rejected { .. } => Class::Rejected,
        }
    }

    /// The code of the store's answer (`AccessDenied`, `NoSuchKey`…), if it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Denied { code, .. }
            | Self::Missing { code, .. }
            | Self::Conflict { code, .. }
            | Self::Transient { code, .. }
            | Self::Rejected { code, .. } => code.as_deref(),
        }
    }

    pub(crate) fn new(class: Class, attempt: &str, code: Option<String>, cause: String) -> Self {
        let (attempt, cause) = (attempt.to_owned(), Cause(cause));
        match class {
            Class::Denied => Self::Denied { attempt, code, cause },
            Class::Missing => Self::Missing { attempt, code, cause },
            Class::Conflict => Self::Conflict { attempt, code, cause },
            Class::Transient => Self::Transient { attempt, code, cause },
            Class::Rejected => Self::Rejected { attempt, code, cause },
        }
    }

    pub(crate) fn rejected(attempt: &str, cause: impl Into<String>) -> Self {
        Self::new(Class::Rejected, attempt, None, cause.into())
    }

    /// From an answer that is no success.
    pub(crate) fn from_answer(attempt: &str, status: u16, body: &str) -> Self {
        let code = between(body, "<Code>", "</Code>").map(str::to_owned);
        let cause = match &code {
            Some(code) => format!("the store answered {status} {code}"),
            None => format!("the store answered {status}"),
        };
        Self::new(class_of(status), attempt, code, cause)
    }

    /// From a request that got no whole answer.
    pub(crate) fn from_transport(attempt: &str, error: &reqwest::Error) -> Self {
        Self::new(Class::Transient, attempt, None, deepest(error))
    }

    pub(crate) fn from_store(attempt: &str, error: &object_store::Error) -> Self {
        use object_store::Error;
        let (class, status) = match error {
            Error::NotFound { .. } => (Class::Missing, Some(404)),
            Error::PermissionDenied { .. } => (Class::Denied, Some(403)),
            Error::Unauthenticated { .. } => (Class::Denied, Some(401)),
            Error::AlreadyExists { .. } => (Class::Conflict, None),
            Error::Precondition { .. } => (Class::Conflict, Some(412)),
            Error::NotModified { .. } => (Class::Conflict, Some(304)),
            Error::Generic { .. } => {
                // The status is in the text alone: the library's type for it is private.
                let text = error.to_string();
                let status = between(&text, "status code: ", " ").and_then(|it| it.parse().ok());
                let is_unclear = is_transport(error)
                    || text.contains("Server returned error response")
                    || text.contains("invalid multipart response");
                match status {
                    Some(status) => (class_of(status), Some(status)),
                    None if is_unclear => (Class::Transient, None),
                    None => (Class::Rejected, None),
                }
            }
            _ => (Class::Rejected, None),
        };
        let code = between(&error.to_string(), "<Code>", "</Code>").map(str::to_owned);
        let cause = match (status, &code) {
            (Some(status), Some(code)) => format!("the store answered {status} {code}"),
            (Some(status), None) => format!("the store answered {status}"),
            (None, Some(code)) => format!("the store answered {code}"),
            (None, None) => deepest(error),
        };
        Self::new(class, attempt, code, cause)
    }
}

fn class_of(status: u16) -> Class {
    match status {
        401 | 403 => Class::Denied,
        404 => Class::Missing,
        304 | 409 | 412 => Class::Conflict,
        408 | 429 | 500..=599 => Class::Transient,
        _ => Class::Rejected,
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

// Only the innermost error is free of addresses.
fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    match current.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_timeout() => "it took too long".to_owned(),
        Some(_) => "the connection failed".to_owned(),
        None => current.to_string(),
    }
}

fn is_transport(error: &(dyn StdError + 'static)) -> bool {
    let mut current = Some(error);
    while let Some(error) = current {
        if error.is::<HttpError>() {
            return true;
        }
        current = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_answers() {
        for (status, body, class, code) in [
            (403, "<Error><Code>AccessDenied</Code></Error>", Class::Denied, Some("AccessDenied")),
            (404, "<html>", Class::Missing, None),
            (412, "", Class::Conflict, None),
            (503, "<Error><Code>SlowDown</Code></Error>", Class::Transient, Some("SlowDown")),
            (400, "<Error><Code>InvalidPart</Code></Error>", Class::Rejected, Some("InvalidPart")),
            (501, "", Class::Transient, None),
        ] {
            let error = ObjectError::from_answer("listing `b`", status, body);
            assert_eq!((error.class(), error.code()), (class, code), "{status}");
        }
    }

    #[test]
    fn words() {
        let error = ObjectError::from_answer("listing `b`", 403, "<Code>AccessDenied</Code>");
        assert_eq!(error.to_string(), "listing `b` was refused");
        let cause = error.source().expect("a cause").to_string();
        assert_eq!(cause, "the store answered 403 AccessDenied");
    }
}
