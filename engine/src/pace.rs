//! How fast a run was when it last succeeded, so that a plan can tell how long it will take.
//!
//! The engine measures the time; a run that moves data says how much ([`crate::cx::Cx::moved`]). Knows no clock.
//! Tested in `tests/planning` of the engine, with a clock of its own.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The last success of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pace {
    /// When it was done.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// From the beginning of the attempt that succeeded to its end.
    pub milliseconds: u64,
    /// What was moved or compared, in the measure of [`crate::resource::Resource::size`]. `None`: it is no run of that
    /// kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Pace {
    /// How long as many bytes take at this pace; without bytes, as long as last time. Never less than a second.
    pub fn seconds_for(&self, bytes: Option<u64>) -> u64 {
        let milliseconds = match (bytes, self.bytes.filter(|then| *then > 0)) {
            (Some(now), Some(then)) => scaled(self.milliseconds, now, then),
            _ => self.milliseconds,
        };
        milliseconds.div_ceil(1000).max(1)
    }

    /// Bytes a second.
    pub fn rate(&self) -> Option<u64> {
        self.bytes.map(|bytes| scaled(bytes, 1000, self.milliseconds.max(1)))
    }
}

/// `number * by / of`, without overflow on the way.
pub(crate) fn scaled(number: u64, by: u64, of: u64) -> u64 {
    let scaled = u128::from(number) * u128::from(by) / u128::from(of.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// What is measured of an act under way; shared by all clones of its context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) began: Timestamp,
    pub(crate) bytes: Option<u64>,
}
