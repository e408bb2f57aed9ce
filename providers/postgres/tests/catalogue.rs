//! Every kind of difference between two catalogues is found, each by a line of its own; and none after a faithful
//! restore.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use pgferry_engine::fault::Fault;
use pgferry_engine::resource::{AnyResource, Done, Remembered};
use pgferry_engine::tree::Tree;
use pgferry_postgres::dump::Dump;
use pgferry_postgres::verification::Verification;
use serde_json::json;
use stage::{Stage, change, spec};

/// One of each kind that a restore without superuser's rights brings back, more of those that several rows change.
const KINDS: &str = include_str!("catalogue/kinds.sql");

/// What is changed on the target, and the one line that it is told by; without a change, a second line of the former.
const ROWS: &[(&str, &str)] = &[
    // Schemas and extensions.
    ("drop schema gone", "schema `gone` is missing"),
    ("drop extension tablefunc cascade", "extension `tablefunc` is missing"),
    ("", "view `public.sales_by_colour` is missing"),
    // Tables as a whole.
    ("alter table k.fleeting set logged", "table `k.fleeting` differs: `r u"),
    ("alter table k.forced force row level security", "table `k.forced` differs"),
    ("alter table k.replicated replica identity full", "table `k.replicated` differs"),
    ("alter table k.packed set (fillfactor = 80)", "table `k.packed` differs"),
    ("alter table k.toasted set (toast.autovacuum_enabled = false)", "table `k.toasted` differs"),
    ("alter table k.of_type not of", "table `k.of_type` differs"),
    ("alter table k.child no inherit k.parent", "table `k.child` differs"),
    ("create table k.more (a int)", "table `k.more`: not expected"),
    // Columns.
    ("alter table k.t alter a drop not null", "column `k.t.a` differs"),
    ("alter table k.t alter b set storage external", "column `k.t.b` differs"),
    ("alter table k.t alter c set compression pglz", "column `k.t.c` differs"),
    ("alter table k.t alter d type numeric(9,3)", "column `k.t.d` differs"),
    ("alter table k.t alter e set statistics 100", "column `k.t.e` differs"),
    ("alter table k.t alter f type text collate \"POSIX\"", "column `k.t.f` differs"),
    ("alter table k.t alter h set (n_distinct = 6)", "column `k.t.h` differs"),
    ("alter table k.t alter id set generated always", "column `k.t.id` differs"),
    // Defaults and generated columns.
    ("alter table k.t alter a set default 2", "default `k.t.a` differs"),
    ("alter table k.t alter j set default 0", "default `k.t.j` is not expected"),
    ("alter table k.t alter g drop expression", "default `k.t.g` is missing"),
    ("alter view k.defaulted alter column a drop default", "default `k.defaulted.a` is missing"),
    // Constraints.
    (
        "alter table k.u drop constraint u_n, add constraint u_n check (n > 1);
         comment on constraint u_n on k.u is 'positive'",
        "constraint `k.u.u_n` differs",
    ),
    ("alter table k.u validate constraint u_m", "constraint `k.u.u_m` differs"),
    (
        "alter table k.u drop constraint u_t, add constraint u_t foreign key (t) references k.t (id)",
        "constraint `k.u.u_t` differs",
    ),
    (
        "alter table k.u drop constraint u_v, add constraint u_v unique (v)",
        "constraint `k.u.u_v` differs",
    ),
    (
        "alter domain k.short drop constraint short_check",
        "constraint `k.short.short_check` is missing",
    ),
    // Indexes.
    ("drop index k.t_a", "index `k.t_a` is missing"),
    ("drop index k.t_b; create index t_b on k.t (b) where a > 2", "index `k.t_b` differs"),
    ("alter table k.t set without cluster", "index `k.t_c` differs"),
    ("alter index k.t_lower alter column 1 set statistics 50", "index `k.t_lower` differs"),
    ("create index more_of_u on k.u (n)", "index `k.more_of_u` is not expected"),
    // Views.
    ("create or replace view k.seen as select id, h as a from k.t", "view `k.seen` differs"),
    ("drop view k.kept", "view `k.kept` is missing"),
    ("alter view k.bare reset (security_barrier)", "view `k.bare` differs"),
    (
        "refresh materialized view k.filled with no data",
        "table `k.filled`: 1 row expected, the table is missing",
    ),
    // Routines.
    (
        "create or replace function k.one() returns int language sql as 'select 11'",
        "function `k.one()` differs",
    ),
    ("", "function text `k.one()` differs"),
    ("alter function k.two() volatile", "function `k.two()` differs"),
    ("", "function text `k.two()` differs"),
    ("alter function k.three(int) cost 7", "function text `k.three(a integer)` differs"),
    (
        "alter function k.four(int, int) security definer",
        "function `k.four(a integer, b integer)` differs",
    ),
    ("", "function text `k.four(a integer, b integer)` differs"),
    ("drop procedure k.work()", "function `k.work()` is missing"),
    ("", "function text `k.work()` is missing"),
    (
        "create or replace aggregate k.total (int) (sfunc = int4pl, stype = int, initcond = '1')",
        "function text `k.total(integer)` differs",
    ),
    (
        "alter operator k.=== (text, text) set (restrict = eqsel)",
        "operator `k.===(text,text)` differs",
    ),
    ("drop operator k.==== (text, text)", "operator `k.====(text,text)` is missing"),
    ("drop cast (k.mood as k.pair)", "cast `k.mood to k.pair` is missing"),
    // Triggers, rules, policies, statistics.
    ("alter table k.plain disable trigger first", "trigger `k.plain.first` differs"),
    ("drop trigger second on k.plain", "trigger `k.plain.second` is missing"),
    (
        "create or replace trigger third after update of b on k.plain for each row execute function k.fire()",
        "trigger `k.plain.third` differs",
    ),
    ("drop rule quiet on k.plain", "rule `k.plain.quiet` is missing"),
    (
        "create or replace rule loud as on update to k.packed where new.a > 6 do instead nothing",
        "rule `k.packed.loud` differs",
    ),
    ("alter policy mine on k.secured using (a > 2)", "policy `k.secured.mine` differs"),
    ("drop policy yours on k.secured", "policy `k.secured.yours` is missing"),
    ("alter statistics k.both_of set statistics 9", "statistics `k.both_of` differs"),
    ("drop statistics k.apart", "statistics `k.apart` is missing"),
    // Types.
    ("alter type k.mood add value 'great'", "type `k.mood` differs"),
    ("alter type k.other_pair add attribute b int", "type `k.other_pair` differs"),
    ("alter domain k.long set default 'y'", "type `k.long` differs"),
    ("drop type k.span; create type k.span as range (subtype = float8)", "type `k.span` differs"),
    ("drop type k.reach", "type `k.reach` is missing"),
    // Sequences: what they are, and where they stand.
    ("alter sequence k.counted increment 2", "sequence `k.counted` differs"),
    ("alter sequence k.owned owned by none", "sequence `k.owned` differs"),
    ("select setval('public.ticket', 9999)", "sequence `public.ticket`: "),
    // What has a name and little else.
    ("drop collation k.german", "collation `k.german` is missing"),
    (
        "alter text search configuration k.simple_too alter mapping for word with english_stem",
        "text search configuration `k.simple_too` differs",
    ),
    (
        "alter text search dictionary k.stems (language = german)",
        "text search dictionary `k.stems` differs",
    ),
    ("drop conversion k.latin", "conversion `k.latin` is missing"),
    // Comments.
    ("comment on table k.t is 'another'", "comment `table k.t` differs"),
    ("comment on column k.t.a is null", "comment `table column k.t.a` is missing"),
    ("comment on type k.mood is 'tempers'", "comment `type k.mood` differs"),
    (
        "comment on constraint u_t on k.u is 'new'",
        "comment `table constraint u_t on k.u` is not expected",
    ),
    // Large objects, and settings that were carried over.
    ("select lo_unlink(500003)", "large objects: 40 expected, 39 found: numbers 500003"),
    (
        "alter database target set statement_timeout = '7min'",
        "setting `statement_timeout`: `5min` expected, `7min` found",
    ),
];

async fn verify(stage: &Stage, settings: &Remembered) -> Result<Done<Tree>, Fault> {
    let remembered = vec![("postgres.settings", settings.clone())];
    let cx = stage.cx_with("verified", &[], remembered);
    let fields = vec![("expected", stage.source_handle()), ("actual", stage.target_handle())];
    AnyResource::act(&Verification, &cx, change(spec(fields))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_difference_is_found_and_told_once() {
    let stage = Stage::new().await;
    stage.source().await.batch_execute(KINDS).await.unwrap();
    let want = spec(vec![
        ("source", stage.source_handle()),
        ("to", spec(vec![("bucket", stage.bucket_handle()), ("object", Tree::text("k.dump"))])),
    ]);
    AnyResource::act(&Dump, &stage.cx("dump"), change(want)).await.unwrap();
    stage.restore("k.dump").await;
    let target = stage.target().await;
    target.batch_execute("alter database target set statement_timeout = '5min'").await.unwrap();
    let attrs = json!({ "applied": { "statement_timeout": "5min" } });
    let settings = Remembered { attrs: attrs.into(), ..Remembered::default() };
    verify(&stage, &settings).await.map_err(|fault| fault.message).unwrap();

    for (change, told) in ROWS {
        let changed = target.batch_execute(change).await;
        changed.unwrap_or_else(|cause| panic!("{told}: {cause:?}"));
    }
    verify(&stage, &settings).await.unwrap_err();
    let said = stage.heard.output.lock().unwrap().pop().unwrap();
    let lines: Vec<&str> =
        said.lines().filter_map(|line| line.strip_prefix("DIFFERENT: ")).collect();
    for (_, told) in ROWS {
        let found = lines.iter().filter(|line| line.starts_with(told)).count();
        assert_eq!(found, 1, "`{told}` in:\n{}", lines.join("\n"));
    }
    let beside = lines.iter().filter(|line| !ROWS.iter().any(|(_, told)| line.starts_with(told)));
    assert_eq!(beside.collect::<Vec<_>>(), Vec::<&&str>::new(), "told beside what was changed");
    stage.end().await;
}
