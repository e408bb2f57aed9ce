//! What tests of filled databases share: a source with everything in it, whether it has arrived, and attempts that die.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgferry_engine::address::Address;
use pgferry_engine::cx::{Cx, Hook};
use pgferry_engine::fault::Fault;
use pgferry_engine::resource::{Done, Intent, Remembered, Verb};
use pgferry_engine::tree::Tree;
use pgferry_postgres::connect::{Access, Format, connect};
use serde_json::{Value as Json, json};

use super::Stage;

/// What the seed of the source lacks: all that `pg_dump` treats in a way of its own.
const ODD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/copy/odd.sql");

/// Statement by statement, as people make a schema.
pub(crate) fn make_odd(stage: &Stage) {
    let out = stage.program(
        "psql",
        "acme_org_db",
        &["-qX", "-v", "ON_ERROR_STOP=1", "-d", "acme_org_db", "-f", ODD],
    );
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// The whole database as text, without what differs by the run.
pub(crate) fn dumped(stage: &Stage, database: &str) -> String {
    // Settings of the source's database do not come along with a copy.
    let connection = format!("dbname={database} options='-c timezone=UTC'");
    // Which partition an enum's hash leads to differs from server to server.
    let but = "--exclude-table-data=odd.by_mood_*";
    let arguments = ["--no-owner", "--no-acl", "--no-publications", but, "-d", &connection];
    let out = stage.program("pg_dump", database, &arguments);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

pub(crate) fn same_dump(from: &Stage, into: &Stage) {
    let (expected, actual) = (dumped(from, "acme_org_db"), dumped(into, "target"));
    if expected != actual {
        let diff = similar::TextDiff::from_lines(&expected, &actual);
        let diff = diff.unified_diff().context_radius(3).to_string();
        panic!("{}", diff.chars().take(6000).collect::<String>());
    }
}

/// Each checksum in `counted` is the number that a comparison gets from the server; gives the tables without one.
pub(crate) async fn without_contents<'c>(
    stage: &Stage,
    database: &str,
    counted: &'c Json,
) -> Vec<&'c str> {
    let canonical = Format::Canonical { float_digits: 3 };
    let session = connect(&stage.endpoint(database), Access::ReadOnly, canonical).await.unwrap();
    let mut without = Vec::new();
    for (name, told) in counted.as_object().unwrap() {
        let Some(contents) = told.get("contents") else {
            without.push(name.as_str());
            continue;
        };
        let columns = contents["columns"].as_array().unwrap();
        let columns: Vec<String> = columns
            .iter()
            .map(|column| format!("t.\"{}\"", column.as_str().unwrap().replace('"', "\"\"")))
            .collect();
        let values = columns.join(", ");
        let nulls = columns.iter().map(|column| format!("num_nulls({column}) = 1"));
        let nulls = nulls.collect::<Vec<_>>().join(", ");
        let statement = format!(
            r#"select count(*), coalesce(sum(case when num_nulls({values}) = 0
                then hashtextextended(concat_ws(E'\t', {values}) collate "C", 0)
                else hashtextextended(concat_ws(E'\t', {values}, concat({nulls})) collate "C", 1) end), 0)::text
                from only {name} t"#
        );
        let row = session.query_one(&statement, &[]).await.unwrap();
        assert_eq!(told["rows"], row.get::<_, i64>(0), "{name}");
        assert_eq!(contents["digest"], row.get::<_, &str>(1), "{name}");
    }
    without
}

pub(crate) fn prior(cx: &Cx, notes: Json) -> Intent {
    Intent { verb: Verb::Run, inputs: json!({}).into(), at: cx.now(), notes, before: None }
}

/// All notes of an act, merged as the engine does.
pub(crate) fn noted(stage: &Stage) -> Json {
    let mut all = json!({});
    for note in stage.heard.notes.lock().unwrap().iter() {
        for (key, value) in note.as_object().unwrap() {
            all[key] = value.clone();
        }
    }
    all
}

/// What the state remembers of a run that is done.
pub(crate) fn remembered(done: &Done<Tree>, inputs: Json) -> Remembered {
    let (attrs, memory) = (done.attrs.stored(), done.memory.clone().into());
    Remembered { id: done.id.clone(), inputs: inputs.into(), attrs, memory }
}

/// Lets `attempt` die before each of its effects, one after the other, until one attempt comes to its end; gives that
/// one's effects. Nothing is noted of what is left, as after `kill -9`.
pub(crate) async fn killed_at_every_effect(
    stage: &Stage,
    address: &str,
    attempt: impl AsyncFn(&Cx, Option<Intent>) -> Result<Done<Tree>, Fault>,
) -> Vec<String> {
    stage.heard.notes.lock().unwrap().clear();
    let mut notes = json!({});
    for number in 1.. {
        let mut cx = stage.cx(address);
        let at = Arc::new(At { number, seen: Default::default() });
        cx.world.hook = Some(Arc::clone(&at) as Arc<dyn Hook>);
        let earlier = (notes != json!({})).then(|| prior(&cx, notes.clone()));
        let ended = attempt(&cx, earlier).await;
        notes = noted(stage);
        if notes != json!({}) {
            notes["left"] = Json::Null;
        }
        match ended {
            Ok(_) => return at.seen.lock().unwrap().clone(),
            Err(fault) => assert_eq!(fault.message, "a crash", "{number} {}", fault.chain()),
        }
    }
    unreachable!("an attempt has an end")
}

/// Waits until the index of [`SLOW`] is being made at `stage`, which has a database `held`.
pub(crate) async fn index_is_made(stage: &Stage) {
    let asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    let watcher = stage.source().await;
    let begun = Instant::now();
    while watcher.query_one(asleep, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(begun.elapsed().as_secs() < 120, "no index is being made");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Fails at the effect of that number.
struct At {
    number: usize,
    seen: std::sync::Mutex<Vec<String>>,
}

impl Hook for At {
    fn before(&self, _: &Address, effect: &str) -> Result<(), Fault> {
        let mut seen = self.seen.lock().unwrap();
        seen.push(effect.to_owned());
        if seen.len() == self.number { Err(Fault::failed("a crash")) } else { Ok(()) }
    }
}

/// An index that takes for ever to make on a server with a database `held`, which the source's server has not.
pub(crate) const SLOW: &str =
    "create function public.held(text) returns text language plpgsql immutable as
    'begin if exists (select from pg_catalog.pg_database where datname = ''held'') then
       perform pg_catalog.pg_sleep(3600); end if; return $1; end';
    create table public.slow (a text); insert into public.slow values ('a');
    create index on public.slow (public.held(a))";

/// What a run remembers of rows that it did not read is what is there: their number, and the sum of their `xmin`.
pub(crate) async fn rows_are_remembered(stage: &Stage, done: &Done<Tree>) {
    let target = stage.target().await;
    let tables = "select relname::text from pg_class where relnamespace = 'odd'::regnamespace and relkind = 'r'";
    let (mut rows, mut seen) = (done.memory["fingerprint"]["rows"].clone(), 0);
    for table in target.query(tables, &[]).await.unwrap() {
        let name: &str = table.get(0);
        let sum = format!(
            "select count(*), coalesce(sum(xmin::text::int8), 0)::int8 from only odd.\"{name}\""
        );
        let found = target.query_one(&sum, &[]).await.unwrap();
        let found = json!([found.get::<_, i64>(0), found.get::<_, i64>(1)]);
        if let Some(remembered) = rows.as_object_mut().unwrap().remove(&format!("odd.{name}")) {
            assert_eq!(remembered, found, "{name}");
            seen += 1;
        }
    }
    assert!(seen > 5, "{rows}");
}
