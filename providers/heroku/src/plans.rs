//! What the plans of Heroku Postgres hold, as data. Prices are read live and are not here.
//!
//! As published and as answered by the service, looked up on 2026-11-22. Plans that are not listed are not refused:
//! their limits are not known. Tested beside.

/// The service's own name, the first half of each plan name.
pub(crate) const SERVICE: &str = "heroku-postgresql";

const GB: u64 = 1024 * 1024 * 1024;
const TB: u64 = 1024 * GB;

/// What a plan allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes on disk.
    pub storage_bytes: u64,
    /// Connections at a time; `None` where sources disagree.
    pub connections: Option<u32>,
    /// Tables, where they are limited.
    pub tables: Option<u32>,
}

/// A class of plans between which a plan change is an update in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Essential,
    Standard,
    Premium,
    Private,
    /// PGBackups, and so restores by URL, do not work there.
    Shield,
    /// A product with another API.
    Advanced,
    /// No longer sold: mini, basic, dev, hobby.
    Retired,
    Other,
}

/// The tier of `plan`, with or without the service's name before it.
pub(crate) fn tier(plan: &str) -> Tier {
    match bare(plan).split('-').next().unwrap_or_default() {
        "essential" => Tier::Essential,
        "standard" => Tier::Standard,
        "premium" => Tier::Premium,
        "private" => Tier::Private,
        "shield" => Tier::Shield,
        "advanced" | "performance" => Tier::Advanced,
        "mini" | "basic" | "dev" | "hobby" => Tier::Retired,
        _ => Tier::Other,
    }
}

/// `plan` without the service's name.
pub(crate) fn bare(plan: &str) -> &str {
    plan.rsplit_once(':').map_or(plan, |(_, name)| name)
}

/// `plan` with the service's name.
pub(crate) fn full(plan: &str) -> String {
    if plan.contains(':') { plan.to_owned() } else { format!("{SERVICE}:{plan}") }
}

/// What `plan` allows, as far as it is known. Takes `heroku-postgresql:essential-1` and `essential-1`.
pub fn plan_limits(plan: &str) -> Option<Limits> {
    let limits = |storage_bytes, connections, tables| {
        Some(Limits { storage_bytes, connections: Some(connections), tables })
    };
    match bare(plan) {
        "essential-0" => return limits(GB, 20, Some(4000)),
        "essential-1" => return limits(10 * GB, 20, Some(4000)),
        "essential-2" => return limits(32 * GB, 40, Some(4000)),
        _ => {}
    }
    let (_, size) = bare(plan).split_once('-')?;
    if !matches!(tier(plan), Tier::Standard | Tier::Premium | Tier::Private | Tier::Shield) {
        return None;
    }
    match size {
        "0" => limits(64 * GB, 120, None),
        "2" => limits(256 * GB, 400, None),
        "3" => limits(512 * GB, 500, None),
        "4" => limits(768 * GB, 500, None),
        "5" => limits(TB, 500, None),
        "6" => limits(TB + 512 * GB, 500, None),
        "7" => limits(2 * TB, 500, None),
        "8" => limits(3 * TB, 500, None),
        "9" => limits(4 * TB, 500, None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_by_either_spelling() {
        let storage = |plan| plan_limits(plan).map(|limits| limits.storage_bytes);
        assert_eq!(storage("heroku-postgresql:essential-1"), Some(10_737_418_240));
        assert_eq!(storage("standard-0"), Some(68_719_476_736));
        assert_eq!(storage("premium-9"), storage("private-9"));
        assert_eq!(storage("standard-1"), None);
        assert_eq!(storage("advanced"), None);
        assert_eq!(tier("heroku-postgresql:shield-0"), Tier::Shield);
        assert_eq!(full("essential-1"), "heroku-postgresql:essential-1");
        assert_eq!(full("other-service:x"), "other-service:x");
    }
}
