//! A verification finds every kind of difference, and nothing where there is none.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::{AnyResource, Done, Remembered};
use pgferry_engine::tree::Tree;
use pgferry_postgres::dump::Dump;
use pgferry_postgres::verification::Verification;
use serde_json::json;
use stage::{Stage, change, spec};

async fn verify(
    stage: &Stage,
    dump: Option<&Remembered>,
    more: Vec<(&str, Tree)>,
) -> Result<Done<Tree>, Fault> {
    let remembered = dump.map(|dump| ("postgres.dump", dump.clone())).into_iter().collect();
    let cx = stage.cx_with("verified", &[], remembered);
    let mut fields = vec![("expected", stage.source_handle()), ("actual", stage.target_handle())];
    fields.extend(more);
    AnyResource::act(&Verification, &cx, change(spec(fields))).await
}

/// Changes the target, expects `differences`, and changes it back.
async fn with_change(stage: &Stage, change: &str, back: &str, differences: &[&str]) {
    let target = stage.target().await;
    target.batch_execute(change).await.unwrap();
    let fault = verify(stage, None, vec![]).await.unwrap_err();
    let said: Vec<&str> = fault.message.lines().skip(1).map(str::trim).collect();
    assert_eq!(said.len(), differences.len(), "{change}\n{}", fault.message);
    for (line, expect) in said.iter().zip(differences) {
        assert!(line.starts_with(expect), "{change}\n{line}\n{expect}");
    }
    target.batch_execute(back).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_databases_are_equal_and_each_difference_is_named() {
    let stage = Stage::new().await;
    let want = spec(vec![
        ("source", stage.source_handle()),
        ("to", spec(vec![("bucket", stage.bucket_handle()), ("object", Tree::text("v.dump"))])),
    ]);
    let done = AnyResource::act(&Dump, &stage.cx("dump"), change(want)).await.unwrap();
    let dump = Remembered {
        id: done.id.clone(),
        inputs: json!({ "source": { "$address": "source" } }).into(),
        attrs: done.attrs.stored(),
        memory: done.memory.clone().into(),
    };
    stage.restore("v.dump").await;

    let queries = json!([
        "select sum(balance) from public.accounts;",
        "select status, count(*) from public.accounts group by 1 order by 1",
        "select id from public.products",
    ]);
    let done = verify(&stage, Some(&dump), vec![("queries", Tree::from_json(&queries))])
        .await
        .map_err(|fault| format!("{}\n{:?}", fault.chain(), stage.heard.warnings.lock().unwrap()))
        .unwrap();
    let table = stage.heard.output.lock().unwrap().pop().unwrap();
    // 23 tables and one filled materialized view; then objects, sequences and large objects.
    assert_eq!(done.attrs.storable()["tables"], 24, "{table}");
    assert_eq!(table.lines().filter(|line| line.ends_with(" equal")).count(), 24 + 3, "{table}");
    assert!(table.contains("not written to since"), "{table}");
    assert!(table.contains("\"Weird Schema\".\"数据\""), "{table}");
    taken_from_the_dump(&stage, &dump, &table).await;

    with_change(
        &stage,
        "update \"Weird Schema\".\"CamelCase.With.Dots\" set kept = 'lost' where id = 7",
        "update \"Weird Schema\".\"CamelCase.With.Dots\" set kept = 'kept 7' where id = 7",
        &["table `\"Weird Schema\".\"CamelCase.With.Dots\"`: contents differ among 100 rows: checksum "],
    )
    .await;
    with_change(
        &stage,
        "create table kept as select * from public.\"user\" where \"select\" = 4; delete from public.\"user\" where \"select\" = 4",
        "insert into public.\"user\" select * from kept; drop table kept",
        &["table `public.kept`: not expected, 1 row found", "table `public.user`: 4 rows expected, 3 found"],
    )
    .await;
    with_change(
        &stage,
        "select nextval('public.ticket')",
        "select setval('public.ticket', 4711)",
        &["sequence `public.ticket`: 4711 expected, 4712 found"],
    )
    .await;
    a_sequence_behind_its_column(&stage).await;
    with_change(
        &stage,
        "create temp table was as select lo_get(500003) as b; select lo_put(500003, 0, 'x')",
        "select lo_unlink(500003); select lo_from_bytea(500003, b) from was",
        &["large objects: contents differ among 40: numbers 500003"],
    )
    .await;
    with_change(
        &stage,
        "drop index public.products_slug; create view public.more as select 1 as one;
         alter table public.products alter column weight_kg set not null",
        "create unique index products_slug on public.products (slug); drop view public.more;
         alter table public.products alter column weight_kg drop not null",
        &[
            "index `public.products_slug` is missing",
            "view `public.more` is not expected",
            "table `public.products` differs: `weight_kg real` expected, `weight_kg real NOT NULL` found",
        ],
    )
    .await;
    with_change(
        &stage,
        "drop materialized view billing.next_year; alter table public.bookings rename column room to space",
        "create materialized view billing.next_year as select * from billing.monthly_revenue with no data;
         alter table public.bookings rename column space to room",
        &[
            "table `public.bookings`: its columns differ",
            "materialized view `billing.next_year` is missing",
            "constraint `public.bookings.one_at_a_time` differs",
            "table `public.bookings` differs: `room text NOT NULL` expected, `space text NOT NULL` found",
        ],
    )
    .await;

    // A query that answers otherwise, one that fails on one side, and one that nobody understands.
    let query = |text: &str| vec![("queries", Tree::from_json(&json!([text])))];
    let fault = verify(&stage, Some(&dump), query("select current_database()")).await.unwrap_err();
    assert!(fault.message.contains("(acme_org_db) expected"), "{}", fault.message);
    let fault = verify(&stage, Some(&dump), query("select nonsense")).await.unwrap_err();
    assert_eq!(fault.class, Class::Rejected, "{}", fault.chain());

    // A table left out is not compared; a change elsewhere in it does not count.
    let target = stage.target().await;
    target.batch_execute("delete from public.\"user\"").await.unwrap();
    let without = vec![("exclude_tables", Tree::from_json(&json!(["public.user"])))];
    verify(&stage, Some(&dump), without).await.map_err(|fault| fault.chain()).unwrap();

    // Written to and put back: the contents are equal, but the source was not quiet.
    let source = stage.source().await;
    source
        .batch_execute(
            "update public.empty_table set id = 1; create table public.x (); drop table public.x",
        )
        .await
        .unwrap();
    drop(source);
    let without = || vec![("exclude_tables", Tree::from_json(&json!(["public.user"])))];
    verify(&stage, Some(&dump), without()).await.map_err(|fault| fault.chain()).unwrap();
    let source = stage.source().await;
    source
        .batch_execute(
            "insert into public.empty_table values (1); delete from public.empty_table where id = 1",
        )
        .await
        .unwrap();
    drop(source);
    let fault = verify(&stage, Some(&dump), without()).await.unwrap_err();
    assert!(
        fault.message.contains("was written to after the dump's snapshot"),
        "{}",
        fault.message
    );
    assert!(fault.message.contains("`public.empty_table`"), "{}", fault.message);

    // Other values without a row written: a column dropped, and one of its name made with a default.
    let source = stage.source().await;
    let reshape = |default: &str| {
        let table = "\"Weird Schema\".\"CamelCase.With.Dots\"";
        format!(
            "alter table {table} drop column kept; alter table {table} add column kept text default {default};
             alter table {table} alter column kept drop default"
        )
    };
    source.batch_execute(&reshape("'new'")).await.unwrap();
    drop(source);
    let fault = verify(&stage, Some(&dump), without()).await.unwrap_err();
    assert!(
        fault.message.contains("CamelCase.With.Dots\"`: contents differ among 100 rows"),
        "{}",
        fault.message
    );

    // Written to by somebody who is still there, and whose counters may not be: its rows are younger than the dump.
    let writer = stage.source().await;
    writer
        .batch_execute("update public.accounts set balance = balance + 1 where id = 7")
        .await
        .unwrap();
    let fault = verify(&stage, Some(&dump), without()).await.unwrap_err();
    assert!(fault.message.contains("`public.accounts`: contents differ"), "{}", fault.message);
    drop(writer);
    stage.end().await;
}

/// It differs, and what it will lead to is told.
async fn a_sequence_behind_its_column(stage: &Stage) {
    let behind = || {
        let warnings = stage.heard.warnings.lock().unwrap();
        warnings.iter().filter(|said| said.contains("is behind")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(behind(), Vec::<String>::new());
    let target = stage.target().await;
    let ask =
        "select last_value, (select max(id) from public.accounts) from public.accounts_id_seq";
    let row = target.query_one(ask, &[]).await.unwrap();
    let (last, highest): (i64, i64) = (row.get(0), row.get(1));
    with_change(
        stage,
        "select setval('public.accounts_id_seq', 7)",
        &format!("select setval('public.accounts_id_seq', {last})"),
        &["sequence `public.accounts_id_seq`: "],
    )
    .await;
    let expect = format!(
        "sequence `public.accounts_id_seq` is behind `public.accounts.id`, which has reached {highest}: its next value is 8"
    );
    assert!(behind()[0].starts_with(&expect), "{:?}", behind());

    // A table that is left out is not asked.
    let told = behind().len();
    target.batch_execute("select setval('public.accounts_id_seq', 7)").await.unwrap();
    let without = vec![("exclude_tables", Tree::from_json(&json!(["public.accounts"])))];
    verify(stage, None, without).await.unwrap_err();
    assert_eq!(behind().len(), told);
    let back = format!("select setval('public.accounts_id_seq', {last})");
    target.batch_execute(&back).await.unwrap();
}

/// The expected side's rows are those that the dump has read, unless it cannot have read what is compared now.
async fn taken_from_the_dump(stage: &Stage, dump: &Remembered, table: &str) {
    let told = |count: usize| format!("{count} of 24 tables of `source` as the dump read them");
    let memory = dump.memory.storable();
    let counted = memory["counted"].as_object().unwrap();
    let known = counted.values().filter(|table| table.get("contents").is_some()).count();
    // Not those with generated columns, and the view.
    assert_eq!((known, counted.len()), (19, 23), "{counted:?}");
    assert!(table.contains(&told(known)), "{table}");

    let (mut other, mut memory) = (dump.clone(), memory.clone());
    memory["counted"]["public.accounts"]["contents"]["digest"] = json!("1");
    other.memory = memory.clone().into();
    let fault = verify(stage, Some(&other), vec![]).await.unwrap_err();
    assert!(fault.message.contains("`public.accounts`: contents differ"), "{}", fault.message);
    // What was summed up otherwise once, under another name, is not taken for it.
    memory["counted"]["public.accounts"]["contents"] = json!({ "columns": memory["counted"]["public.accounts"]["contents"]["columns"], "checksum": "1" });
    other.memory = memory.clone().into();
    verify(stage, Some(&other), vec![]).await.map_err(|fault| fault.chain()).unwrap();
    let table = stage.heard.output.lock().unwrap().pop().unwrap();
    assert!(!table.contains("as the dump read them"), "{table}");
    memory["counted"]["public.accounts"]["contents"]["digest"] = json!("1");
    memory["counted"]["public.accounts"]["contents"]["columns"] = json!(["id"]);
    other.memory = memory.into();
    verify(stage, Some(&other), vec![]).await.map_err(|fault| fault.chain()).unwrap();
    let table = stage.heard.output.lock().unwrap().pop().unwrap();
    assert!(table.contains(&told(known - 1)), "{table}");
}

/// Words that a server writes differently once they were restored, leftovers that no dump holds, and a materialized view
/// that a restore computes anew.
const REWORDED: &str = "
    create schema w; set search_path = w;
    create type mood as enum ('sad', 'ok');
    create domain humour as mood default 'ok'::mood;
    create domain letter as varchar(2) check (value in ('a', 'b'));
    create table t (id int primary key, s varchar(20) check (s in ('a', 'b')), h humour,
        n numeric(9,2) check (n between 0 and 5 and n <> 3), d int);
    alter table t add check (d > 0) not valid;
    insert into t select g, 'a', 'sad', g % 3, 1 from generate_series(1, 100) g;
    create index part on t (lower(s)) where s in ('a', 'b') and n between 1 and 3;
    create view v as select id, s from t where s in ('a', 'b') and n between 1 and 3 and id > 0;
    alter view v alter column s set default 'z';
    create policy p on t for select to public using (s in ('a', 'b') and n between 1 and 3);
    create policy q on t using (id > 1);
    create view grouped as select id from t where (id > 1 and d > 1) or n > 1;
    alter table t add constraint grouped check ((id > 0 or d > 1) and n > -1);
    create materialized view stale as select count(*) from t;
    insert into t values (101, 'b', 'ok', 1, 1);
    create function trg() returns trigger language plpgsql as 'begin return new; end';
    create table parted (id int, at date) partition by range (at);
    create table parted_1 partition of parted for values from ('2024-01-01') to ('2025-01-01');
    create trigger trg before insert on parted for each row execute function trg();
    alter table parted_1 disable trigger trg;
    create text search configuration simple_too (copy = simple);
    create table pair (a int, b text);
    create table twice (a int); insert into twice values (1), (1);";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_words_anew_is_no_difference() {
    let stage = Stage::new().await;
    let source = stage.source().await;
    source.batch_execute(REWORDED).await.unwrap();
    let half_done = "create unique index concurrently half_done on w.twice (a)";
    source.batch_execute(half_done).await.unwrap_err();
    drop(source);
    let want = spec(vec![
        ("source", stage.source_handle()),
        ("to", spec(vec![("bucket", stage.bucket_handle()), ("object", Tree::text("w.dump"))])),
    ]);
    let done = AnyResource::act(&Dump, &stage.cx("dump"), change(want)).await.unwrap();
    let dump = Remembered {
        inputs: json!({ "source": { "$address": "source" } }).into(),
        attrs: done.attrs.storable().into(),
        memory: done.memory.clone().into(),
        id: done.id,
    };
    stage.restore("w.dump").await;

    verify(&stage, None, vec![]).await.map_err(|fault| fault.message).unwrap();
    let said = stage.heard.output.lock().unwrap().join("\n");
    assert!(said.contains("5 equal in the words of the target's server"), "{said}");
    assert!(
        said.lines().any(|line| line.starts_with("w.stale ") && line.ends_with("computed anew"))
    );

    with_change(
        &stage,
        "drop index w.part; create index part on w.t (lower(s)) where s in ('a', 'c') and n between 1 and 3",
        "drop index w.part; create index part on w.t (lower(s)) where s in ('a', 'b') and n between 1 and 3",
        &["index `w.part` differs"],
    )
    .await;
    with_change(
        &stage,
        "alter table w.parted_1 enable trigger trg; alter policy p on w.t to current_user;
         drop text search configuration w.simple_too",
        "alter table w.parted_1 disable trigger trg; alter policy p on w.t to public;
         create text search configuration w.simple_too (copy = simple)",
        &[
            "text search configuration `w.simple_too` is missing",
            "trigger `w.parted_1.trg` is missing",
            "policy `w.t.p` differs",
        ],
    )
    .await;
    with_change(
        &stage,
        "drop table w.pair; create table w.pair (b text, a int)",
        "drop table w.pair; create table w.pair (a int, b text)",
        &[
            "table `w.pair`: its columns stand in another order",
            "table `w.pair` differs: `b text` not expected",
            "table `w.pair` differs: `b text` expected, missing",
        ],
    )
    .await;
    meaning_is_not_wording(&stage).await;
    rows_that_differ(&stage, &dump).await;
    stage.end().await;
}

/// Groups and casts of an expression mean something.
async fn meaning_is_not_wording(stage: &Stage) {
    for (change, back, told) in [
        (
            "create or replace view w.v as select id, s from w.t
               where s in ('a', 'b') and (n between 1 and 3 and id > 0 or false)",
            "create or replace view w.v as select id, s from w.t
               where s in ('a', 'b') and n between 1 and 3 and id > 0",
            "view `w.v` differs",
        ),
        (
            "create or replace view w.grouped as select id from w.t where id > 1 and (d > 1 or n > 1)",
            "create or replace view w.grouped as select id from w.t where (id > 1 and d > 1) or n > 1",
            "view `w.grouped` differs",
        ),
        (
            "alter policy q on w.t using (id::text > '1')",
            "alter policy q on w.t using (id > 1)",
            "policy `w.t.q` differs",
        ),
        (
            "alter policy q on w.t using (id > 1 and (d > 1 or n > 1))",
            "alter policy q on w.t using (id > 1)",
            "policy `w.t.q` differs",
        ),
        (
            "alter table w.t drop constraint grouped, add constraint grouped check (id > 0 or (d > 1 and n > 1))",
            "alter table w.t drop constraint grouped, add constraint grouped check ((id > 0 or d > 1) and n > -1)",
            "table `w.t` differs",
        ),
        (
            "alter table w.t alter h set default ('o' || 'k')::w.mood",
            "alter table w.t alter h drop default",
            "table `w.t` differs",
        ),
    ] {
        with_change(stage, change, back, &[told]).await;
    }
}

/// Rows are named by their key, or told by where they lie; a source that has moved on is said to have.
async fn rows_that_differ(stage: &Stage, dump: &Remembered) {
    let target = stage.target().await;
    target
        .batch_execute(
            "update w.t set d = 2 where id in (10, 9); delete from w.t where id = 7; insert into w.t values (500, 'a');
             delete from w.twice where ctid = '(0,2)'; insert into w.twice values (5);
             update public.accounts set balance = balance + 1",
        )
        .await
        .unwrap();
    let fault = verify(stage, Some(dump), vec![]).await.unwrap_err();
    let said = |fault: &Fault, table: &str| {
        let head = format!("table `{table}`: ");
        let line = fault.message.lines().find_map(|line| line.trim().strip_prefix(&head)).unwrap();
        line.split_once("; ").unwrap().1.to_owned()
    };
    assert_eq!(
        said(&fault, "w.t"),
        "by `id`: 1 row missing: 7; 1 row not expected: 500; 2 rows changed: 9, 10"
    );
    assert_eq!(
        said(&fault, "w.twice"),
        "no key tells its rows apart; 1 row of `source` missing, there at ctid: (0,1); 1 row of `target` not expected, \
         there at ctid: (0,3)"
    );
    let accounts = said(&fault, "public.accounts");
    let (first, rest) = accounts.split_once(" rows changed: ").unwrap();
    assert!(first.starts_with("by `id`: ") && rest.contains(", and "), "{accounts}");

    let source = stage.source().await;
    source.batch_execute("insert into w.t values (600, 'b')").await.unwrap();
    drop(source);
    let fault = verify(stage, Some(dump), vec![]).await.unwrap_err();
    assert_eq!(
        said(&fault, "w.t"),
        "`source` does not hold what the dump read there any more (101 rows then, 102 now), so rows are compared with \
         what it holds now: by `id`: 2 rows missing: 7, 600; 1 row not expected: 500; 2 rows changed: 9, 10"
    );
}
