//! What a provider says when it could not do what was asked, and what the engine may conclude from it.

use std::fmt;
use std::time::Duration;

/// Why an act did not end as planned; decides whether it is retried, skipped past, or settled by the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing happened and the same call may succeed later.
    Retry { after: Option<Duration> },
    /// The credentials do not allow it.
    Denied,
    /// Something of that name is there and is not ours, or is busy.
    Conflict,
    /// What was to be changed is no longer there.
    Gone,
    /// The service refuses the values; the spec must change.
    Rejected,
    /// It was tried and definitely failed.
    Failed,
    /// We cannot tell whether it happened: read before trying again.
    Unknown,
    /// Stopped by the user; the operation goes on elsewhere and is taken up by the next run.
    StillRunning,
    /// Stopped by the user before it was done; nothing goes on elsewhere.
    Interrupted,
}

/// The longest that a service's own "try again later" is obeyed; more would be a night with a window open.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// A failed operation: what was attempted, on what, why, and what to do next.
#[derive(Debug)]
pub struct Fault {
    /// What the engine must know.
    pub class: Class,
    /// What was being attempted, without the cause: "creating app `acme`".
    pub message: String,
    /// Its stable code, where it has a page of its own.
    pub code: Option<&'static str>,
    /// What to do next, as something that can be typed or looked up.
    pub help: Option<String>,
    /// The cause; its chain is printed once, at the edge.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// A fault of `class` while attempting `message`.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), code: None, help: None, source: None }
    }

    /// It was tried and failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Class::Failed, message)
    }

    /// A promise of pgferry's own code was broken.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Class::Failed, message).help("this is a bug in pgferry; please report it")
    }

    /// Gives it a code.
    #[must_use]
    pub fn coded(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// How long to wait before try number `tried` + 1, or `None`: trying again soon does not help.
    pub(crate) fn wait(&self, tried: u32) -> Option<Duration> {
        match self.class {
            Class::Retry { after } => {
                let wait = after.unwrap_or(Duration::from_secs(1) * tried);
                (wait <= LONGEST_WAIT).then_some(wait)
            }
            _ => None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(crate::secret::redact(&help.into()).into_owned());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The code, if it has one, the message and its chain of causes on one line, with known secrets blanked out.
    pub fn chain(&self) -> String {
        match self.code {
            Some(code) => format!("[{code}] {}", self.uncoded()),
            None => self.uncoded(),
        }
    }

    /// The same without the code.
    pub(crate) fn uncoded(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source.as_ref().map(|s| &**s as &(dyn std::error::Error + 'static));
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        crate::foreign::shown(&text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::secret::redact(&self.message))
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| &**s as _)
    }
}
