//! What tests of filled databases share: a source with everything in it, and whether it has arrived.

use pgferry_engine::address::Address;
use pgferry_engine::cx::{Cx, Hook};
use pgferry_engine::fault::Fault;
use pgferry_engine::resource::{Intent, Verb};
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

/// Fails at the effect of that number.
pub(crate) struct At {
    pub(crate) number: usize,
    pub(crate) seen: std::sync::Mutex<Vec<String>>,
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
