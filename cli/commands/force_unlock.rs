//! `force-unlock`: for a lock that outlived its holder.

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::place::Place;
use crate::view;

pub(super) fn run(common: &Common, id: Option<&str>) -> Result<Exit, Stop> {
    let place = Place::find(common)?;
    let said = place.store.force_unlock(id)?;
    view::print(&format!("`{}`: {said}.", place.store.name()));
    Ok(Exit::Done)
}
