//! One attempt, from an empty target to a full one.
//!
//! It owns the order of the steps. It notes nothing and decides nothing about what was in the target before. Dropping it
//! stops its work; what the server is still at then is ended by whoever comes next. Tested in `tests/restore.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;

use super::blocks::Waiting;
use super::contents::{Contents, Kind, Table};
use super::objects;
use super::scout::scout;
use super::stream::Fetch;
use super::together::Together;
use super::worker::{self, Shared};
use crate::connect::Session;
use crate::fill::after;
use crate::fill::builds::{Builds, Table as Waited};
use crate::fill::carry::{Warnings, carry_out};
use crate::fill::hands::{cores, too_heavy_for_one, work};
use crate::fill::keys::{self, Step};
use crate::fill::meter::Meter;
use crate::fill::sessions::{Opening, as_many};
use crate::fill::written::Written;

/// Blocks of less weight are filled by one session, which can empty the table in the same transaction.
const LIGHT: u64 = 8 << 20;

/// What is to be done.
pub(super) struct Run<'a> {
    pub(super) cx: &'a Cx,
    pub(super) name: &'a str,
    pub(super) written: &'a Arc<Written>,
    pub(super) into: &'a Endpoint,
    pub(super) jobs: usize,
}

/// What was done.
pub(super) struct Restored {
    pub(super) tables: u64,
    pub(super) rows: u64,
    pub(super) warnings: Vec<String>,
}

impl Run<'_> {
    /// Restores `contents`.
    ///
    /// # Errors
    /// The archive cannot be read, or the target refuses an object. The target is half full then.
    pub(super) async fn restore(&self, mut contents: Contents) -> Result<Restored, Fault> {
        let cx = self.cx;
        let opening = Opening { name: self.name, jobs: self.jobs };
        let main = opening.maker(self.into).await?;
        let warnings = Warnings::default();
        cx.effect("make schema")?;
        self.at("making the tables");
        if !contents.passed_over.is_empty() {
            cx.warn(format!(
                "left out, because it is about the database itself and not what is in it: {}",
                contents.passed_over.join(", ")
            ));
        }
        carry_out(&main, &contents.before, &warnings).await?;
        objects::make(&main, &contents.objects).await?;

        let makers = as_many(self.jobs, || opening.builder(self.into)).await?;
        let writers = as_many(self.jobs, || opening.filler(self.into)).await?;
        let fewest = writers.len().min(makers.len());
        if fewest < self.jobs {
            cx.warn(format!("there are sessions for {fewest} of {} jobs", self.jobs));
        }
        let own = |table: &Table| (table.kind != Kind::Through).then_some(table.oid);
        let numbers: Vec<Option<u32>> = contents.tables.iter().map(own).collect();
        let after = std::mem::take(&mut contents.after);
        let (builds, mut steps) = keys::sort(after, &contents.details, &numbers);
        steps.push(Step::InOrder(std::mem::take(&mut contents.last)));
        let analysable = after::analysable(&main).await?;
        let weights: BTreeMap<i32, u64> =
            contents.blocks.iter().map(|block| (block.id, block.weight())).collect();
        let waiting = builds.into_iter().zip(&contents.tables).map(|(work, table)| {
            let name = analysable.get(&table.shown).cloned();
            let analysed = name.filter(|name| !keys::is_late(&steps, name));
            let weight = weights.get(&table.id).copied().unwrap_or_default();
            Waited { work, weight, analysed }
        });
        let builds = waiting.collect();
        let shared =
            Arc::new(self.share(&contents, conditions(&main).await?, builds, writers.len()));
        cx.effect("copy rows")?;
        let carriers =
            writers.into_iter().map(|target| worker::carry(Arc::clone(&shared), target)).collect();
        let scouting = async {
            if !shared.waiting.is_complete() {
                scout(&contents, &shared.fetch, Arc::clone(&shared.waiting)).await?;
            }
            Ok::<_, Fault>(())
        };
        let working = async {
            let (worked, ()) =
                futures_util::try_join!(work(&shared.builds, carriers, makers), scouting)?;
            Ok::<_, Fault>(worked)
        };
        let worked = tokio::select! {
            worked = working => worked?,
            () = shared.meter.report(cx) => return Err(Fault::bug("a report that ends")),
        };
        let (filled, idle) = (worked.carried, worked.idle);
        let found: usize = filled.iter().sum();
        if found != contents.block_count {
            return Err(Fault::failed(format!(
                "the archive `{}` lists {} blocks of data, and holds {found}",
                contents.object.name(),
                contents.block_count
            )));
        }
        cx.effect("make keys")?;
        self.at("making keys, triggers and views");
        carry_out(&main, &contents.with_data, &warnings).await?;
        after::make(&main, &idle, steps, &warnings).await?;
        self.at("analysing");
        let analysed = worked.analysers.end().await?;
        if let Some(warning) = after::complete(&main, &idle, analysed).await? {
            cx.warn(warning);
        }

        let warnings = warnings.take();
        if !warnings.is_empty() {
            cx.warn(format!("the target did without: {}", warnings.join("\n  ")));
        }
        let tables = contents.tables.len();
        let rows = (0..tables).map(|table| shared.meter.of(table).0).sum();
        Ok(Restored { tables: tables as u64, rows, warnings })
    }

    fn share(
        &self,
        contents: &Contents,
        conditions: BTreeMap<String, String>,
        builds: Vec<Waited>,
        workers: usize,
    ) -> Shared {
        let known = contents.blocks.len() == contents.block_count;
        let total = contents.object.size.saturating_sub(contents.data);
        let ids = contents.tables.iter().map(|table| table.id);
        let sizes: BTreeMap<i32, u64> =
            contents.blocks.iter().filter_map(|block| Some((block.id, block.size()?))).collect();
        let size = |id: i32| sizes.get(&id).copied().unwrap_or_default();
        let sized = contents.tables.iter().map(|table| (table.shown.clone(), size(table.id)));
        let weight: u64 =
            contents.blocks.iter().map(|block| block.weight()).fold(0, u64::saturating_add);
        let heavy = too_heavy_for_one(weight, workers, cores()).max(LIGHT);
        Shared {
            together: Together::default(),
            heavy,
            fetch: Fetch::new(contents.object.clone(), workers),
            compression: contents.compression,
            encoding: contents.encoding.clone(),
            tables: contents.tables.clone(),
            numbered: ids.enumerate().map(|(at, id)| (id, at)).collect(),
            conditions,
            waiting: Arc::new(Waiting::new(contents.blocks.clone(), known)),
            builds: Arc::new(Builds::new(builds)),
            meter: Arc::new(Meter::new(total, sized)),
            written: Arc::clone(self.written),
        }
    }

    fn at(&self, what: &str) {
        self.cx.progress(Progress { what: what.to_owned(), ..Progress::default() });
    }
}

/// Of each table that came with an extension and holds users' rows, the condition that tells them.
async fn conditions(target: &Session) -> Result<BTreeMap<String, String>, Fault> {
    let statement = "
        select format('%I.%I', n.nspname, c.relname), f.condition
        from (select unnest(extconfig) as oid, unnest(extcondition) as condition from pg_extension) f
        join pg_class c on c.oid = f.oid join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r'";
    let rows = target
        .query(statement, &[])
        .await
        .map_err(|cause| target.fault("looking at extensions", cause))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
