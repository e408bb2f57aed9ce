//! How small an archive shall be, as people write it.
//!
//! Pure; tested beside it.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::Deserialize;

/// Level 2 leaves an archive within a few percent of level 6 and takes half its time; level 1 leaves it half as large
/// again (measured on prose, JSON and numbers).
const DEFAULT: RangeInclusive<u8> = 2..=6;

/// One level, or bounds within which it is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Compression {
    /// 0 (none) to 9 (smallest).
    Level(#[schemars(range(max = 9))] u8),
    Between(Between),
}

/// Bounds of a level that is chosen by what is slower, this machine or the way to the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// 1 (fastest) to 9. Default: 2.
    #[serde(default)]
    #[schemars(range(min = 1, max = 9))]
    min: Option<u8>,
    /// 1 to 9 (smallest). Default: 6.
    #[serde(default)]
    #[schemars(range(min = 1, max = 9))]
    max: Option<u8>,
}

impl Compression {
    /// The levels to choose from; `None` to leave the data as they are.
    pub(super) fn levels(wanted: Option<Self>) -> Option<RangeInclusive<u32>> {
        let (min, max) = match wanted {
            Some(Self::Level(0)) => return None,
            Some(Self::Level(level)) => (level, level),
            Some(Self::Between(Between { min, max })) => {
                let min = min.unwrap_or(*DEFAULT.start()).max(1);
                (min, max.unwrap_or_else(|| min.max(*DEFAULT.end())))
            }
            None => DEFAULT.into_inner(),
        };
        // Bounds the wrong way round mean the same.
        Some(u32::from(min.min(max))..=u32::from(max.max(min)))
    }

    /// The one level that `pg_dump` is told; `None` for its own default.
    pub(super) fn level(wanted: Option<Self>) -> Option<u8> {
        match wanted? {
            Self::Level(level) => Some(level),
            bounds @ Self::Between(_) => {
                Self::levels(Some(bounds)).and_then(|levels| u8::try_from(*levels.end()).ok())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn levels_and_bounds() {
        for (written, levels, level) in [
            (json!(null), Some(2..=6), None),
            (json!(0), None, Some(0)),
            (json!(9), Some(9..=9), Some(9)),
            (json!({}), Some(2..=6), Some(6)),
            (json!({ "min": 1 }), Some(1..=6), Some(6)),
            (json!({ "min": 8 }), Some(8..=8), Some(8)),
            (json!({ "max": 1 }), Some(1..=2), Some(2)),
            (json!({ "min": 3, "max": 4 }), Some(3..=4), Some(4)),
        ] {
            let wanted: Option<Compression> =
                serde_json::from_value(written.clone()).expect("valid");
            assert_eq!(Compression::levels(wanted), levels, "{written}");
            assert_eq!(Compression::level(wanted), level, "{written}");
        }
        serde_json::from_value::<Compression>(json!({ "least": 1 })).expect_err("unknown field");
    }
}
