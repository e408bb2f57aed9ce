//! A state as bytes: readable JSON that says its format. Old formats load for ever, newer ones are refused.

use std::io;

use super::{FORMAT, State, StateError};

/// What `bytes`, found at `place`, say.
///
/// # Errors
/// [`StateError::Damaged`] and [`StateError::Newer`]: never guessed at, never read as nothing.
pub fn decode(bytes: &[u8], place: &str) -> Result<State, StateError> {
    let damaged = |why: String| StateError::Damaged { path: place.to_owned(), why };
    if bytes.trim_ascii().is_empty() {
        return Err(damaged("it holds nothing".to_owned()));
    }
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(default)]
        format: u64,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|cause| damaged(cause.to_string()))?;
    if head.format > u64::from(FORMAT) {
        return Err(StateError::Newer { path: place.to_owned(), found: head.format });
    }
    serde_json::from_slice(bytes).map_err(|cause| damaged(cause.to_string()))
}

/// The bytes of `state`, which is to be kept at `place`.
///
/// # Errors
/// None that is known of; a state always has a form as JSON.
pub fn encode(state: &State, place: &str) -> Result<Vec<u8>, StateError> {
    let mut text = serde_json::to_vec_pretty(state).map_err(|cause| StateError::Io {
        doing: "writing the state",
        path: place.to_owned(),
        source: io::Error::other(cause),
    })?;
    text.push(b'\n');
    Ok(text)
}
