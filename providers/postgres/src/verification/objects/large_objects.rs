//! What large objects have besides their contents: owners, rights, comments, labels.
//!
//! `pg_dump -s` leaves them out, and would write an entry for each. One statement a side reads all of them by number, and
//! both sides are walked side by side, so that memory does not depend on how many there are. Tested in `tests/rights.rs`.

use futures_util::{Stream, StreamExt};
use pgferry_engine::fault::Fault;
use tokio_postgres::types::ToSql;

use super::rights::{Rights, Uncompared, statements};
use super::{Outcome, Side};
use crate::large_objects::{JOINS, LargeObject, columns};

/// Differences that are told one by one.
const SHOWN: usize = 10;

/// Compares all of them, into `outcome`; those that one side alone has are told if `apart`.
///
/// # Errors
/// A statement failed.
pub(super) async fn compare(
    (expected, actual): (&Side, &Side),
    apart: bool,
    rights: &Rights,
    uncompared: &mut Uncompared,
    outcome: &mut Outcome,
) -> Result<(), Fault> {
    let (ours, theirs) = futures_util::try_join!(all(expected), all(actual))?;
    futures_util::pin_mut!(ours, theirs);
    let (mut one, mut other) = (next(&mut ours).await?, next(&mut theirs).await?);
    let (mut told, mut more) = (0, 0);
    while let Some(number) = one.iter().chain(&other).map(|object| object.number).min() {
        let left = one.take_if(|object| object.number == number);
        let right = other.take_if(|object| object.number == number);
        let found = match (&left, &right) {
            (Some(left), Some(right)) => differences(left, right, rights, uncompared),
            (Some(_), None) if apart => vec!["is missing".to_owned()],
            (None, Some(_)) if apart => vec!["is not expected".to_owned()],
            _ => Vec::new(),
        };
        for text in found {
            if told == SHOWN {
                more += 1;
                continue;
            }
            told += 1;
            outcome.differ(format!("large object `{number}` {text}"));
        }
        if left.is_some() {
            one = next(&mut ours).await?;
        }
        if right.is_some() {
            other = next(&mut theirs).await?;
        }
    }
    if more > 0 {
        outcome.differ(format!("{more} more differences of large objects"));
    }
    Ok(())
}

fn differences(
    ours: &LargeObject,
    theirs: &LargeObject,
    rights: &Rights,
    uncompared: &mut Uncompared,
) -> Vec<String> {
    let mut found = Vec::new();
    let shown = || format!("large objects of `{}`", ours.owner);
    let stays = ours.owner == theirs.owner || rights.has_large_object(&ours.owner);
    if ours.owner != theirs.owner {
        if stays {
            found.push(format!("has owner `{}`, not `{}`", theirs.owner, ours.owner));
        } else {
            rights.owner_left(&ours.owner, &shown(), uncompared);
        }
    }
    let (kept, whole) = rights.left_of(&ours.rights, &ours.owner, stays, Some(&theirs.owner));
    if !whole {
        uncompared.add("rights", &shown());
    }
    if rights.carried() && statements(&kept) != statements(&theirs.rights) {
        let rights = |text: &str| match text {
            "" => "no rights but the owner's".to_owned(),
            text => format!("`{}`", text.trim_end().replace('\n', " ")),
        };
        found.push(format!(
            "differs: {} expected, {} found",
            rights(&kept),
            rights(&theirs.rights)
        ));
    }
    if ours.comment != theirs.comment {
        let comment = |text: &Option<String>| {
            text.as_ref().map_or("no comment".to_owned(), |text| format!("comment `{text}`"))
        };
        found.push(format!(
            "differs: {} expected, {} found",
            comment(&ours.comment),
            comment(&theirs.comment)
        ));
    }
    let (kept, lost): (Vec<_>, Vec<_>) =
        ours.labels.iter().partition(|label| rights.labels_by(&label.0));
    if !lost.is_empty() {
        uncompared.add("security labels", &shown());
    }
    if !kept.iter().copied().eq(&theirs.labels) {
        found.push("has other security labels".to_owned());
    }
    found
}

async fn all(side: &Side) -> Result<impl Stream<Item = Result<LargeObject, Fault>> + '_, Fault> {
    let statement =
        format!("select {} from pg_largeobject_metadata o {JOINS} order by o.oid", columns());
    let session = side.session();
    let doing = |cause| session.fault("reading owners and rights of large objects", cause);
    let none: [&(dyn ToSql + Sync); 0] = [];
    let rows = session.query_raw(&statement, none).await.map_err(doing)?;
    Ok(rows.map(move |row| row.map(|row| LargeObject::of(&row)).map_err(doing)))
}

async fn next(
    objects: &mut (impl Stream<Item = Result<LargeObject, Fault>> + Unpin),
) -> Result<Option<LargeObject>, Fault> {
    objects.next().await.transpose()
}
