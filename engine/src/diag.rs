//! Mistakes and remarks with a place in the spec, as values; one renderer.
//!
//! A diagnostic never holds a secret: quoted lines are masked by the renderer ([`mod@line`]), messages name fields and
//! kinds of values, and every text passes [`crate::secret::redact`] on its way out. Tested through the broken specs
//! beside the reader, and by the renderer's own cases.

use std::sync::Arc;

mod json;
pub(crate) mod line;
mod render;

pub use crate::source::Source;

/// A byte range in the spec's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// Whether it stops the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    /// As printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A remark at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// Colours of a rendering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Text alone.
    Plain,
    /// ANSI escapes around signs and words that say the same without them.
    Colour,
}

/// One mistake in the spec, or one remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable; explained in [`crate::codes`].
    pub code: &'static str,
    pub severity: Severity,
    /// One sentence without a full stop, values in backticks.
    pub message: String,
    pub primary: Option<Label>,
    pub context: Vec<Label>,
    /// What to do, as something that can be typed.
    pub help: Option<String>,
    /// Places in the spec that hold a secret in clear; never quoted.
    pub masked: Arc<[Span]>,
}

impl Diagnostic {
    /// A mistake without a place yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::of(Severity::Error, code, message)
    }

    /// A remark without a place yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::of(Severity::Warning, code, message)
    }

    fn of(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            message: message.into(),
            primary: None,
            context: Vec::new(),
            help: None,
            masked: Arc::default(),
        }
    }

    /// Says where it is, and what is wrong there.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label { span, text: text.into() });
        self
    }

    /// Adds a place that explains it.
    #[must_use]
    pub fn context(mut self, span: Span, text: impl Into<String>) -> Self {
        self.context.push(Label { span, text: text.into() });
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what to do, where there is something to say.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// As text for people, without colour; ends with a line break.
    pub fn render(&self, source: &Source) -> String {
        self.render_in(source, Paint::Plain)
    }

    /// As text for people; ends with a line break.
    pub fn render_in(&self, source: &Source, paint: Paint) -> String {
        render::render(self, source, paint)
    }

    /// As one element of `diagnostics` in the output of `terraform validate -json`, with a `code` added.
    pub fn to_json(&self, source: &Source) -> serde_json::Value {
        json::json(self, source)
    }
}

/// `name` as it may have been meant: the nearest of `known`, at most a third of its letters and one more away.
///
/// Nothing if two are equally near: the wrong guess would be taken for advice.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let farthest = name.chars().count() / 3 + 1;
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= farthest && *distance < candidate.chars().count().max(2)
        })
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.dedup();
    match near.as_slice() {
        [(first, _), (second, _), ..] if first == second => None,
        [(_, candidate), ..] => Some(candidate),
        [] => None,
    }
}

/// `did you mean …`, or the whole list where it is short, or nothing.
pub(crate) fn suggestion<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
    noun: &str,
) -> Option<String> {
    if let Some(meant) = did_you_mean(name, known.clone()) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let all: Vec<&str> = known.into_iter().collect();
    (!all.is_empty() && all.len() <= 12).then(|| format!("{noun}: {}", listed(&all)))
}

/// `` `a`, `b`, `c` ``.
pub(crate) fn listed<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| format!("`{}`", word.as_ref())).collect::<Vec<_>>().join(", ")
}
