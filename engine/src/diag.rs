//! Mistakes and remarks with a place in the spec, as values; one renderer.

/// A byte range in the spec's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}
