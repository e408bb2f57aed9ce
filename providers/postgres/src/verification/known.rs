//! What a dump has found out about the tables of its source, so that they need not be read again.
//!
//! The checksums are those that the servers would give, of the very snapshot that was dumped; that nothing was written
//! since is proved beside it, see `quiet`. Tested in `tests/verification.rs`.

use std::collections::BTreeMap;

use super::contents::{Digest, Measure, Measured, Table, same};
use super::side::Side;
use crate::dump::Counted;

type Listed = BTreeMap<String, Table>;

/// Those of `dumped` that say what measuring the expected side would say.
///
/// Left out are tables whose columns are not those of the dump any more, and all where the two servers would hash
/// otherwise than the dump did.
pub(super) fn of(
    dumped: &BTreeMap<String, Counted>,
    measure: impl Fn(&Table) -> Measure,
    (expected, actual): (&Side, &Side),
    (ours, theirs): (&Listed, &Listed),
) -> BTreeMap<String, Measured> {
    let alike = expected.encoding == "UTF8"
        && actual.encoding == "UTF8"
        && expected.version_number.min(actual.version_number) >= 120_000;
    let known = |(name, counted): (&String, &Counted)| {
        let (one, other) = (ours.get(name)?, theirs.get(name)?);
        let contents = counted.contents.as_ref()?;
        let wanted = measure(one) == Measure::Contents { digest: Digest::Hash };
        let is_same = contents.columns == one.columns && same(&one.columns, &other.columns);
        (alike && wanted && is_same).then(|| {
            let checksum = Some(contents.checksum.clone());
            (name.clone(), Measured { rows: i64::try_from(counted.rows).ok(), checksum })
        })
    };
    dumped.iter().filter_map(known).collect()
}
