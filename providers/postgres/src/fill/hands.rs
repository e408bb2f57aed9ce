//! The hands of a run: some carry rows, others make indexes behind them, all at once; who is done gathers statistics.
//!
//! It says what is too much for one hand. Dropped, all stop. Tested beside it, in `tests/copy.rs` and `tests/restore.rs`.

use std::sync::Arc;

use pgferry_engine::fault::Fault;
use tokio::task::JoinSet;

use super::builds::{Analysed, Builds, analyses, build};
use crate::connect::Session;

/// How heavy a table has to be, of all that weigh `total`, for several of `jobs` hands to fill it at once: a quarter more
/// than what each of them has to carry.
///
/// One hand alone empties and fills a table in one transaction. Its rows are born frozen, which saves the server a pass over
/// them: 8 % of a whole copy where one table is half of it (measured, two cores). More hands than cores carry nothing more.
pub(crate) fn too_heavy_for_one(total: u64, jobs: usize, cores: usize) -> u64 {
    match jobs {
        0 | 1 => u64::MAX,
        _ => (total / jobs.min(cores).max(2) as u64).saturating_mul(5) / 4,
    }
}

/// Cores of this machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What the hands give back.
pub(crate) struct Worked<T> {
    /// What carriers gave.
    pub(crate) carried: Vec<T>,
    /// The makers.
    pub(crate) idle: Vec<Session>,
    /// Gather statistics on, in the sessions that took rows in; see [`Analysers::end`].
    pub(crate) analysers: Analysers,
}

/// Those who gather statistics of the tables that are complete. Dropped, they stop.
pub(crate) struct Analysers(JoinSet<Result<Analysed, Fault>>);

impl Analysers {
    /// Waits until all that are complete are analysed.
    ///
    /// # Errors
    /// A session is lost.
    pub(crate) async fn end(mut self) -> Result<Analysed, Fault> {
        let mut all = Analysed::default();
        while let Some(ended) = self.0.join_next().await {
            let some = ended.map_err(unended)??;
            all.done.extend(some.done);
            all.refused.extend(some.refused);
        }
        Ok(all)
    }
}

fn unended(cause: tokio::task::JoinError) -> Fault {
    Fault::bug("a worker that does not end").because(cause)
}

/// Lets `carriers` work, and a builder in each of `makers`. A carrier gives the session that it put rows into: from then on
/// it gathers statistics, beside the builders, and beside what comes after them.
///
/// # Errors
/// The first one of any hand.
pub(crate) async fn work<T: Send + 'static>(
    builds: &Arc<Builds>,
    carriers: Vec<impl Future<Output = Result<(T, Session), Fault>> + Send + 'static>,
    makers: Vec<Session>,
) -> Result<Worked<T>, Fault> {
    enum Hand<T> {
        Carried(T, Box<Session>),
        Built(Box<Session>),
    }
    let mut hands = JoinSet::new();
    for carrier in carriers {
        hands.spawn(async move {
            carrier.await.map(|(it, session)| Hand::Carried(it, Box::new(session)))
        });
    }
    for target in makers {
        let builds = Arc::clone(builds);
        hands.spawn(async move {
            build(&builds, target).await.map(|session| Hand::Built(Box::new(session)))
        });
    }
    let (mut carried, mut idle, mut analysers) = (Vec::new(), Vec::new(), JoinSet::new());
    while let Some(ended) = hands.join_next().await {
        match ended.map_err(unended)?? {
            Hand::Carried(it, session) => {
                carried.push(it);
                let builds = Arc::clone(builds);
                analysers.spawn(async move { analyses(&builds, &session).await });
            }
            Hand::Built(session) => idle.push(*session),
        }
    }
    Ok(Worked { carried, idle, analysers: Analysers(analysers) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_more_than_an_equal_share_is_too_heavy() {
        for (jobs, cores, expect) in
            [(1, 8, u64::MAX), (4, 1, 625), (4, 2, 625), (4, 4, 312), (4, 16, 312), (8, 8, 156)]
        {
            assert_eq!(too_heavy_for_one(1000, jobs, cores), expect, "{jobs} {cores}");
        }
    }
}
