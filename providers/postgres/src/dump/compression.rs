//! How small an archive shall be, as people write it.
//!
//! Pure; tested beside it.

use std::ops::RangeInclusive;

use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::Deserialize;

/// What makes an archive smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Read by every `pg_restore`.
    #[default]
    Zlib,
    /// Four times as fast at the same size; read by `postgres.restore`, and by a `pg_restore` from 16 on that was built
    /// with it. One built without restores no rows, and calls that a warning.
    Zstd,
}

impl Method {
    /// Levels to choose from where nobody says. Level 2 of zlib leaves an archive within a few percent of level 6 and
    /// takes half its time; level 1 leaves it half as large again. Level 1 of zstd is as small as zlib gets; above 6
    /// hardly anything is gained (measured on prose, JSON and numbers).
    fn levels(self) -> RangeInclusive<u8> {
        match self {
            Self::Zlib => 2..=6,
            Self::Zstd => 1..=6,
        }
    }
}

/// `zlib`.
impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        })
    }
}

/// One level, a method, or bounds within which a level is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Compression {
    /// Of zlib: 0 (none) to 9 (smallest).
    Level(#[schemars(range(max = 9))] u8),
    Method(Method),
    Between(Between),
}

/// Bounds of a level that is chosen by what is slower, this machine or the way to the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// Default: `zlib`.
    #[serde(default)]
    method: Method,
    /// 1 (fastest) to 9. Default: 2 of zlib, 1 of zstd.
    #[serde(default)]
    #[schemars(range(min = 1, max = 9))]
    min: Option<u8>,
    /// 1 to 9 (smallest). Default: 6.
    #[serde(default)]
    #[schemars(range(min = 1, max = 9))]
    max: Option<u8>,
}

/// Whether `told` is zstd: what a spec says, or in its words what a dump has made of it.
pub fn is_zstd(told: Option<&Tree>) -> bool {
    let method = told.map(|told| told.get("method").unwrap_or(told));
    method.and_then(Tree::as_text).is_some_and(|text| text.starts_with("zstd"))
}

/// What is to be done: never at level 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) method: Method,
    pub(super) levels: RangeInclusive<u32>,
}

impl Compression {
    /// How, and the levels to choose from; `None` to leave the data as they are.
    pub(super) fn choice(wanted: Option<Self>) -> Option<Choice> {
        let (method, min, max) = match wanted {
            Some(Self::Level(0)) => return None,
            Some(Self::Level(level)) => (Method::Zlib, Some(level), Some(level)),
            Some(Self::Between(Between { method, min, max })) => (method, min, max),
            Some(Self::Method(method)) => (method, None, None),
            None => (Method::default(), None, None),
        };
        let usual = method.levels();
        let min = min.unwrap_or(*usual.start()).max(1);
        let max = max.unwrap_or_else(|| min.max(*usual.end()));
        // Bounds the wrong way round mean the same.
        Some(Choice { method, levels: u32::from(min.min(max))..=u32::from(max.max(min)) })
    }

    /// The one level that `pg_dump` is told; `None` for its own default.
    pub(super) fn level(wanted: Option<Self>) -> Option<u8> {
        match wanted? {
            Self::Level(level) => Some(level),
            Self::Method(_) => None,
            bounds @ Self::Between(_) => Self::choice(Some(bounds))
                .and_then(|choice| u8::try_from(*choice.levels.end()).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn levels_and_bounds() {
        use Method::{Zlib, Zstd};
        for (written, choice, level) in [
            (json!(null), Some((Zlib, 2..=6)), None),
            (json!(0), None, Some(0)),
            (json!(9), Some((Zlib, 9..=9)), Some(9)),
            (json!("zlib"), Some((Zlib, 2..=6)), None),
            (json!("zstd"), Some((Zstd, 1..=6)), None),
            (json!({}), Some((Zlib, 2..=6)), Some(6)),
            (json!({ "min": 1 }), Some((Zlib, 1..=6)), Some(6)),
            (json!({ "min": 8 }), Some((Zlib, 8..=8)), Some(8)),
            (json!({ "max": 1 }), Some((Zlib, 1..=2)), Some(2)),
            (json!({ "min": 3, "max": 4 }), Some((Zlib, 3..=4)), Some(4)),
            (json!({ "method": "zstd", "min": 3 }), Some((Zstd, 3..=6)), Some(6)),
        ] {
            let wanted: Option<Compression> =
                serde_json::from_value(written.clone()).expect("valid");
            let choice = choice.map(|(method, levels)| Choice { method, levels });
            assert_eq!(Compression::choice(wanted), choice, "{written}");
            assert_eq!(Compression::level(wanted), level, "{written}");
        }
        for wrong in [json!({ "least": 1 }), json!("lz4")] {
            serde_json::from_value::<Compression>(wrong.clone()).expect_err(&wrong.to_string());
        }
    }
}
