//! A copy: everything arrives from one server at another, nothing is taken from what is not ours, and a failure starts
//! over.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::{AnyResource, Change, Done, Remembered};
use pgferry_engine::tree::Tree;
use pgferry_postgres::connect::Session;
use pgferry_postgres::copy::Copy;
use pgferry_postgres::verification::Verification;
use serde_json::{Value as Json, json};
use stage::filled::{
    self, SLOW, dumped, index_is_made, killed_at_every_effect, make_odd, noted, prior,
    rows_are_remembered, same_dump, without_contents,
};
use stage::{Stage, change, spec};

fn wanted(from: &Stage, into: &Stage) -> Tree {
    spec(vec![
        ("from", from.source_handle()),
        ("into", into.target_handle()),
        ("confirm", Tree::text("target")),
        ("jobs", Tree::from_json(&json!(3))),
    ])
}

async fn copy(cx: &Cx, change: Change<Tree>) -> Result<Done<Tree>, Fault> {
    AnyResource::act(&Copy, cx, change).await
}

fn remembered(done: &Done<Tree>) -> Remembered {
    filled::remembered(
        done,
        json!({ "from": { "$address": "source" }, "into": { "$address": "target" } }),
    )
}

async fn verify(from: &Stage, into: &Stage, copy: &Remembered) -> Result<Done<Tree>, Fault> {
    let cx = from.cx_with("verified", &[], vec![("postgres.copy", copy.clone())]);
    let fields = vec![("expected", from.source_handle()), ("actual", into.target_handle())];
    AnyResource::act(&Verification, &cx, change(spec(fields))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_as_it_was_and_once_more() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    make_odd(&from);
    let want = wanted(&from, &into);

    let cx = from.cx("copy");
    let facts = AnyResource::inspect(&Copy, &cx, &want, None).await.unwrap().unwrap();
    let found = AnyResource::judge(&Copy, &want, &facts, &[]);
    let codes: Vec<&str> = found.iter().map(|finding| finding.code.as_str()).collect();
    assert!(codes.contains(&"PGF1100") && !codes.contains(&"PGF1201"), "{found:?}");

    let done = copy(&cx, change(want)).await.map_err(|fault| fault.chain()).unwrap();
    same_dump(&from, &into);
    rows_are_remembered(&into, &done).await;
    let attrs = done.attrs.storable();
    let rows = |name: &str| {
        let tables = attrs["tables"].as_array().unwrap().iter();
        tables.filter(|table| table["name"] == name).map(|t| t["rows"].clone()).next().unwrap()
    };
    assert_eq!(
        (rows("odd.keyed"), rows("odd.nothing"), rows("odd.typed")),
        (500.into(), 2.into(), 52.into())
    );
    let moods = "select string_agg(m || ' ' || n, ',' order by n) from odd.by_mood";
    let (there, here) = (from.source().await, into.target().await);
    let [there, here] = [there.query_one(moods, &[]).await, here.query_one(moods, &[]).await];
    assert_eq!(there.unwrap().get::<_, &str>(0), here.unwrap().get::<_, &str>(0));
    assert!(attrs["snapshot_lsn"].as_str().unwrap().contains('/'));
    assert_eq!(attrs["warnings"], json!([]));
    let text = format!("{attrs}{}{}", done.memory, noted(&from));
    assert!(!text.contains("AVNS") && !text.contains("postgres://"), "{text}");
    let target = into.target().await;
    let unanalyzed = "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace
        where relkind in ('r', 'p', 'm') and nspname in ('odd', 'public', 'billing') and reltuples < 0 and relispopulated";
    assert_eq!(target.query_one(unanalyzed, &[]).await.unwrap().get::<_, i64>(0), 0);

    // The proof, and that the source was quiet.
    let before = remembered(&done);
    verify(&from, &into, &before).await.map_err(|fault| fault.message).unwrap();
    let table = from.heard.output.lock().unwrap().pop().unwrap();
    assert!(table.contains("not written to since"), "{table}");

    // Again: what is there is ours. Then it is not.
    let again = |confirmed: &[(&str, &str)]| Change {
        before: Some(before.clone()),
        confirmed: confirmed.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        ..change(wanted(&from, &into))
    };
    from.source().await.batch_execute("insert into odd.quick values (3)").await.unwrap();
    let fault = verify(&from, &into, &before).await.unwrap_err();
    assert!(fault.message.contains("was written to after"), "{}", fault.message);
    let done = copy(&from.cx("copy"), again(&[])).await.map_err(|fault| fault.chain()).unwrap();
    same_dump(&from, &into);
    drop(target);
    into.target().await.batch_execute("insert into odd.quick values (4)").await.unwrap();
    let mut next = again(&[]);
    next.before = Some(remembered(&done));
    let fault = copy(&from.cx("copy"), next).await.unwrap_err();
    assert_eq!(fault.class, Class::Conflict, "{}", fault.chain());
    assert!(fault.message.contains("was written to since"), "{}", fault.message);
    copy(&from.cx("copy"), again(&[("target", "target")])).await.unwrap();
    same_dump(&from, &into);
    from.end().await;
    into.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_are_taken_on_the_way_and_the_source_is_not_read_again() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    make_odd(&from);
    let source = from.source().await;
    source.batch_execute(include_str!("copy/values.sql")).await.unwrap();
    source
        .batch_execute(&settings(&[
            "quote_all_identifiers = on",
            "standard_conforming_strings = off",
        ]))
        .await
        .unwrap();
    let odd = settings(&["array_nulls = off", "xmloption = document", "datestyle = 'German, DMY'"]);
    into.target().await.batch_execute(&odd).await.unwrap();
    let share = "select (pg_table_size('told.ranged') * 100 / sum(pg_table_size(oid)))::int4 from pg_class where relkind = 'r'";
    let share: i32 = source.query_one(share, &[]).await.unwrap().get(0);
    assert!(share > 70, "`told.ranged` has {share} % of all: too little to travel in ranges");
    let done = copy(&from.cx("copy"), change(wanted(&from, &into))).await;
    let done = done.map_err(|fault| fault.chain()).unwrap();
    let counted = &done.memory["counted"];
    let without = without_contents(&from, "acme_org_db", counted).await;
    let told: Vec<&str> = without.iter().filter_map(|name| name.strip_prefix("told.")).collect();
    assert_eq!(told, ["made", "money", "nothing", "purses"], "{without:?}");
    let with = counted.as_object().unwrap().len() - without.len();

    let before = remembered(&done);
    verify(&from, &into, &before).await.map_err(|fault| fault.chain()).unwrap();
    let table = from.heard.output.lock().unwrap().pop().unwrap();
    let excluded = counted
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, told)| name.contains(".by_mood") && told.get("contents").is_some());
    let known = with - excluded.count();
    assert!(table.contains(&format!("{known} of ")), "{known}: {table}");
    assert!(table.contains("tables of `source` as the copy read them"), "{table}");

    // Indeed what is remembered is compared.
    let mut memory = done.memory.clone();
    memory["counted"]["told.every"]["contents"]["digest"] = json!("1");
    let other = Remembered { memory: memory.into(), ..before.clone() };
    let fault = verify(&from, &into, &other).await.unwrap_err();
    assert!(fault.message.contains("`told.every`: contents differ"), "{}", fault.message);

    // No value passes for NULL.
    for forged in ["t", r"\Nt", ""] {
        let target = into.target().await;
        let forge = "update told.single set a = $1 where a is null";
        assert_eq!(target.execute(forge, &[&forged]).await.unwrap(), 1);
        let fault = verify(&from, &into, &before).await.unwrap_err();
        let differ = "`told.single`: contents differ among 5 rows";
        assert!(fault.message.contains(differ), "{forged}: {}", fault.message);
        let back = "update told.single set a = null where ctid = (select min(ctid) from told.single where a = $1)";
        assert_eq!(target.execute(back, &[&forged]).await.unwrap(), 1);
    }

    let differ = "`told.days`: contents differ";
    let set = async |session: Session, (was, is): (&str, &str)| {
        let statement = format!("update told.days set day = '{is}' where day = '{was}'");
        assert_eq!(session.execute(&statement, &[]).await.unwrap(), 1);
    };
    let (first, second) = ("1600-01-01", "1600-01-02");
    set(into.target().await, (first, second)).await;
    let fault = verify(&from, &into, &before).await.unwrap_err();
    assert!(fault.message.contains(differ), "{}", fault.message);
    set(into.target().await, (second, first)).await;
    verify(&from, &into, &before).await.map_err(|fault| fault.chain()).unwrap();
    set(from.source().await, (first, second)).await;
    let fault = verify(&from, &into, &before).await.unwrap_err();
    assert!(fault.message.contains(differ), "{}", fault.message);

    // A restore puts the parent's columns first: what is stored as a row has other values then.
    source
        .batch_execute(
            "create schema heir; create table heir.mother (x text, y text); create table heir.son (y text, x text);
             alter table heir.son inherit heir.mother; insert into heir.son values ('b', 'a')",
        )
        .await
        .unwrap();
    let again = async || {
        let confirmed = vec![("target".to_owned(), "target".to_owned())];
        let next =
            Change { before: Some(before.clone()), confirmed, ..change(wanted(&from, &into)) };
        remembered(&copy(&from.cx("copy"), next).await.map_err(|fault| fault.chain()).unwrap())
    };
    verify(&from, &into, &again().await).await.map_err(|fault| fault.chain()).unwrap();
    source
        .batch_execute(
            "create domain heir.kin as heir.son; create table heir.holder (k heir.kin[])",
        )
        .await
        .unwrap();
    let fault = verify(&from, &into, &again().await).await.unwrap_err();
    let differ = "table `heir.son`: its columns stand in another order, and values of its row type";
    assert!(fault.message.contains(differ), "{}", fault.message);
    drop(source);
    from.end().await;
    into.end().await;
}

/// Of the role, and a time zone.
fn settings(more: &[&str]) -> String {
    let all = more.iter().chain(&["timezone = 'Asia/Kathmandu'"]);
    all.map(|setting| format!("alter role current_user set {setting};")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_cut_short_starts_over() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    let effects = killed_at_every_effect(&from, "copy", async |cx, prior| {
        copy(cx, Change { prior, ..change(wanted(&from, &into)) }).await
    })
    .await;
    let order = [
        "end sessions",
        "empty target",
        "pg_dump",
        "pg_dump",
        "make schema",
        "copy rows",
        "make keys",
    ];
    assert_eq!(effects, order);
    same_dump(&from, &into);

    // What is there is ours only if it was recorded, and only where it was recorded.
    let cx = from.cx("copy");
    let fault = copy(&cx, change(wanted(&from, &into))).await.unwrap_err();
    assert_eq!(fault.class, Class::Conflict, "{}", fault.chain());
    let elsewhere = json!({ "target": "elsewhere:5432/target", "found": { "sha256": "aa" } });
    let next = Change { prior: Some(prior(&cx, elsewhere)), ..change(wanted(&from, &into)) };
    let fault = copy(&cx, next).await.unwrap_err();
    assert_eq!(fault.class, Class::Conflict, "{}", fault.chain());
    same_dump(&from, &into);
    from.end().await;
    into.end().await;
}

async fn ours_at(stage: &Stage) -> i64 {
    let query =
        "select count(*) from pg_stat_activity where application_name like 'pgferry-% copy'";
    stage.source().await.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_stop_ends_all_sessions_and_what_is_left_is_known() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    from.source().await.batch_execute(SLOW).await.unwrap();
    into.source().await.batch_execute("create database held").await.unwrap();
    let cx = from.cx("copy");
    let cancel = cx.world.cancel.clone();
    let (ended, ()) = tokio::join!(copy(&cx, change(wanted(&from, &into))), async {
        index_is_made(&into).await;
        cancel.cancel();
    });
    assert_eq!(ended.unwrap_err().class, Class::Interrupted);
    assert_eq!((ours_at(&from).await, ours_at(&into).await), (0, 0));
    let notes = noted(&from);
    assert!(notes["left"].is_object(), "{notes}");
    into.source().await.batch_execute("drop database held").await.unwrap();

    // Written to meanwhile, it is not replaced; as it was left, it is.
    let again = || Change {
        prior: Some(prior(&from.cx("copy"), notes.clone())),
        ..change(wanted(&from, &into))
    };
    into.target().await.batch_execute("create table public.mine (id int)").await.unwrap();
    let fault = copy(&from.cx("copy"), again()).await.unwrap_err();
    assert_eq!(fault.class, Class::Conflict, "{}", fault.chain());
    into.target().await.batch_execute("drop table public.mine").await.unwrap();
    copy(&from.cx("copy"), again()).await.map_err(|fault| fault.chain()).unwrap();
    same_dump(&from, &into);
    from.end().await;
    into.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_an_attempt_that_died_are_ended_first() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    let cx = from.cx("copy");
    let name = format!("{} copy", cx.natural_key());
    let dead = into.target().await;
    dead.batch_execute(&format!(
        "set application_name = '{name}'; begin; create table public.accounts (id int)"
    ))
    .await
    .unwrap();
    copy(&cx, change(wanted(&from, &into))).await.map_err(|fault| fault.chain()).unwrap();
    assert!(dead.batch_execute("commit").await.is_err());
    same_dump(&from, &into);
    from.end().await;
    into.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_is_refused_and_what_costs_nothing_is_told() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    // The same database by another name, and a wrong name.
    let want = |into: Tree, confirm: &str| {
        spec(vec![("from", from.source_handle()), ("into", into), ("confirm", Tree::text(confirm))])
    };
    let same = want(from.handle("target", "acme_org_db"), "acme_org_db");
    let facts = AnyResource::inspect(&Copy, &from.cx("copy"), &same, None).await.unwrap().unwrap();
    let found = AnyResource::judge(&Copy, &same, &facts, &[]);
    assert_eq!(found.last().unwrap().code, "PGF1212", "{found:?}");
    let mut sure = change(same);
    sure.confirmed = vec![("target".to_owned(), "acme_org_db".to_owned())];
    let before = dumped(&from, "acme_org_db");
    let fault = copy(&from.cx("copy"), sure).await.unwrap_err();
    assert_eq!(fault.class, Class::Rejected, "{}", fault.chain());
    assert!(before == dumped(&from, "acme_org_db"), "the source was written to");
    let fault =
        copy(&from.cx("copy"), change(want(into.target_handle(), "acme"))).await.unwrap_err();
    assert_eq!(fault.message, "`confirm: acme` does not name `target`, whose data are replaced");
    assert!(into.target().await.query("select from public.accounts", &[]).await.is_err());

    // Rows that the target's keys refuse: a failure that names the key.
    let source = from.source().await;
    source
        .batch_execute(
            "create function public.same(text) returns text language sql immutable as 'select $1';
             create table public.twice (a text); insert into public.twice values ('a'), ('A');
             create unique index twice_once on public.twice (public.same(a));
             create or replace function public.same(text) returns text language sql immutable as 'select pg_catalog.lower($1)'",
        )
        .await
        .unwrap();
    let fault = copy(&from.cx("copy"), change(wanted(&from, &into))).await.unwrap_err();
    assert!(
        fault.message.contains("index `twice_once`: could not create unique index"),
        "{}",
        fault.chain()
    );
    let notes = noted(&from);

    // Row security would hide rows: nothing is copied in part.
    source
        .batch_execute(
            "drop table public.twice; create table public.shy (a int); insert into public.shy values (1);
             alter table public.shy enable row level security, force row level security",
        )
        .await
        .unwrap();
    let again = |notes: &Json| Change {
        prior: Some(prior(&from.cx("copy"), notes.clone())),
        ..change(wanted(&from, &into))
    };
    let fault = copy(&from.cx("copy"), again(&notes)).await.unwrap_err();
    assert!(fault.chain().contains("reading table `public.shy`"), "{}", fault.chain());
    assert!(fault.chain().contains("row-level security"), "{}", fault.chain());
    source.batch_execute("drop table public.shy").await.unwrap();

    // A schema that is there already costs nothing.
    let notes = noted(&from);
    copy(&from.cx("copy"), again(&notes)).await.map_err(|fault| fault.chain()).unwrap();
    same_dump(&from, &into);
    from.end().await;
    into.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_emptied_before_its_lock_fails_the_copy_by_name() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    let made = "create table public.aaa (n int); create table public.zzz (n int);
        insert into public.zzz select generate_series(1, 1000)";
    let writer = from.source().await;
    writer.batch_execute(made).await.unwrap();
    let first = from.source().await;
    first.batch_execute("begin; lock table public.aaa").await.unwrap();
    // The snapshot is taken, and the first lock is waited for.
    let waits =
        "select count(*) from pg_locks where relation = 'public.aaa'::regclass and not granted";
    let cx = from.cx("copy");
    let (ended, ()) = tokio::join!(copy(&cx, change(wanted(&from, &into))), async {
        while writer.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        writer.batch_execute("truncate public.zzz").await.unwrap();
        first.batch_execute("rollback").await.unwrap();
    });
    let fault = ended.unwrap_err();
    assert_eq!(fault.chain(), "`public.zzz` was emptied or rewritten while the copy began");

    // A lock that nobody gives back: who has it.
    first.batch_execute("begin; lock table public.aaa").await.unwrap();
    let next = Change {
        prior: Some(prior(&from.cx("copy"), noted(&from))),
        ..change(wanted(&from, &into))
    };
    let fault = copy(&cx, next).await.unwrap_err();
    let process: i32 = first.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let help = fault.help.clone().unwrap_or_default();
    assert!(fault.chain().contains("lock timeout"), "{}", fault.chain());
    assert!(help.contains(&format!("process {process} of user")), "{help}");
    assert!(
        help.contains("has locked `public.aaa`") || help.contains("has locked `aaa`"),
        "{help}"
    );
    from.end().await;
    into.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_tables_arrive_together_with_keys_and_statistics() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    let made = "do $$ begin for i in 1 .. 150 loop execute format(
          'create table public.small_%s (id int generated by default as identity primary key, a int, t text);
           insert into public.small_%1$s (a, t) select g, ''row '' || g from generate_series(1, %1$s %% 40) g;
           create index on public.small_%1$s (a)', i); end loop; end $$;
        create function public.broken(int) returns int immutable language plpgsql
          as 'begin return public.nowhere($1); end';
        create statistics public.fails on (public.broken(a)), t from public.small_30;
        create statistics public.several on a, t from public.small_31";
    from.source().await.batch_execute(made).await.unwrap();
    let done = copy(&from.cx("copy"), change(wanted(&from, &into))).await;
    let done = done.map_err(|fault| fault.chain()).unwrap();
    same_dump(&from, &into);
    verify(&from, &into, &remembered(&done)).await.map_err(|fault| fault.chain()).unwrap();

    let target = into.target().await;
    let analysed =
        "select count(distinct tablename) from pg_stats where tablename like 'small\\_%'";
    let analysed: i64 = target.query_one(analysed, &[]).await.unwrap().get(0);
    // Three of them are empty, and of one it cannot be done.
    assert_eq!(analysed, 150 - 3 - 1);
    let several = "select count(*) from pg_stats_ext where statistics_name = 'several'";
    let several: i64 = target.query_one(several, &[]).await.unwrap().get(0);
    assert_eq!(several, 1);
    let warnings = from.heard.warnings.lock().unwrap().clone();
    let told = warnings.iter().any(|it| it.contains("small_30") && it.contains("ANALYZE"));
    assert!(told, "{warnings:?}");
    from.end().await;
    into.end().await;
}
