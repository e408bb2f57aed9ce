//! A state as bytes: readable JSON that says its format. Old formats load for ever, newer ones are refused.

use std::io;

use super::{FORMAT, State, StateError};

/// What `bytes`, found at `place`, say.
///
/// # Errors
/// [`StateError::Damaged`], [`StateError::Newer`] and [`StateError::MovedAway`]: never guessed at, never read as
/// nothing.
pub fn decode(bytes: &[u8], place: &str) -> Result<State, StateError> {
    let damaged = |why: String| StateError::Damaged { path: place.to_owned(), why };
    if bytes.trim_ascii().is_empty() {
        return Err(damaged("it holds nothing".to_owned()));
    }
    let why = match serde_json::from_slice::<State>(bytes) {
        Ok(state) if state.format <= FORMAT => return Ok(state),
        Ok(_) => String::new(),
        Err(cause) => cause.to_string(),
    };
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(default)]
        format: u64,
        #[serde(default)]
        moved_to: Option<String>,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|cause| damaged(cause.to_string()))?;
    if head.format > u64::from(FORMAT) {
        return Err(StateError::Newer { path: place.to_owned(), found: head.format });
    }
    match head.moved_to {
        Some(to) => Err(StateError::MovedAway { path: place.to_owned(), to }),
        None => Err(damaged(why)),
    }
}

/// What stands where a state was that has moved to `to`: no state, so that nobody goes on with it by mistake or takes
/// it for none.
pub fn moved(to: &str) -> Vec<u8> {
    let marker = serde_json::json!({ "format": FORMAT, "moved_to": to });
    format!("{marker:#}\n").into_bytes()
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
