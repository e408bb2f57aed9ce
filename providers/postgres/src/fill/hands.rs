//! The hands of a run: some carry rows, others make indexes behind them, all at once.
//!
//! Dropped, all stop. Tested in `tests/copy.rs` and `tests/restore.rs`.

use std::sync::Arc;

use pgferry_engine::fault::Fault;
use tokio::task::JoinSet;

use super::builds::{Builds, build};
use crate::connect::Session;

/// Lets `carriers` work, and a builder in each of `makers`. Gives back what carriers gave, and the makers.
///
/// # Errors
/// The first one of any hand.
pub(crate) async fn work<T: Send + 'static>(
    builds: &Arc<Builds>,
    carriers: Vec<impl Future<Output = Result<T, Fault>> + Send + 'static>,
    makers: Vec<Session>,
) -> Result<(Vec<T>, Vec<Session>), Fault> {
    enum Hand<T> {
        Carried(T),
        Built(Box<Session>),
    }
    let mut hands = JoinSet::new();
    for carrier in carriers {
        hands.spawn(async move { carrier.await.map(Hand::Carried) });
    }
    for target in makers {
        let builds = Arc::clone(builds);
        hands.spawn(async move {
            build(&builds, target).await.map(|session| Hand::Built(Box::new(session)))
        });
    }
    let (mut carried, mut idle) = (Vec::new(), Vec::new());
    while let Some(ended) = hands.join_next().await {
        match ended.map_err(|cause| Fault::bug("a worker that does not end").because(cause))?? {
            Hand::Carried(it) => carried.push(it),
            Hand::Built(session) => idle.push(*session),
        }
    }
    Ok((carried, idle))
}
