//! A restore: everything in an archive arrives, whoever wrote it; nothing is taken from what is not ours; a failure starts
//! over.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::{AnyResource, Change, Done, Remembered};
use pgferry_engine::tree::{Handle, Tree};
use pgferry_postgres::dump::Dump;
use pgferry_postgres::restore::Restore;
use pgferry_postgres::verification::Verification;
use serde_json::{Value as Json, json};
use stage::filled::{
    SLOW, index_is_made, killed_at_every_effect, make_odd, noted, prior, remembered,
    rows_are_remembered, same_dump,
};
use stage::{BUCKET, Stage, change, spec};

/// A finished dump, as a spec's `${dump}` hands it on.
struct Dumped {
    done: Done<Tree>,
}

impl Dumped {
    async fn new(from: &Stage, object: &str, fields: Json) -> Self {
        Self::of(from, "acme_org_db", object, fields).await
    }

    async fn of(from: &Stage, database: &str, object: &str, fields: Json) -> Self {
        let to = spec(vec![("bucket", from.bucket_handle()), ("object", Tree::text(object))]);
        let mut all = vec![("source", from.handle("source", database)), ("to", to)];
        let Tree::Map(fields) = Tree::from_json(&fields) else { panic!("a map") };
        all.extend(fields.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let done = AnyResource::act(&Dump, &from.cx("dump"), change(spec(all))).await;
        Self { done: done.map_err(|fault| fault.chain()).unwrap() }
    }

    fn handle(&self) -> Tree {
        let Tree::Map(attrs) = self.done.attrs.clone() else { panic!("attributes") };
        let id = Some(self.done.id.clone());
        Tree::Resource(Arc::new(Handle { address: Address::new("dump"), id, attrs }))
    }

    fn size(&self) -> u64 {
        self.done.attrs.storable()["size"].as_u64().unwrap()
    }

    fn remembered(&self) -> Remembered {
        remembered(&self.done, json!({ "source": { "$address": "source" } }))
    }
}

fn wanted(dump: &Dumped, into: &Stage) -> Tree {
    spec(vec![
        ("from", dump.handle()),
        ("into", into.target_handle()),
        ("confirm", Tree::text("target")),
        ("jobs", Tree::from_json(&json!(3))),
    ])
}

async fn restore(cx: &Cx, change: Change<Tree>) -> Result<Done<Tree>, Fault> {
    AnyResource::act(&Restore, cx, change).await
}

async fn is_proved(from: &Stage, into: &Stage, dump: &Dumped) {
    let cx = from.cx_with("verified", &[], vec![("postgres.dump", dump.remembered())]);
    let fields = vec![("expected", from.source_handle()), ("actual", into.target_handle())];
    let proof = AnyResource::act(&Verification, &cx, change(spec(fields))).await;
    proof.map_err(|fault| fault.chain()).unwrap();
    let table = from.heard.output.lock().unwrap().pop().unwrap();
    assert!(table.contains("not written to since"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_from_every_kind_of_archive() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    make_odd(&from);
    let mut before: Option<Remembered> = None;
    for (object, fields) in [
        ("ours.dump", json!({ "jobs": 2 })),
        ("raw.dump", json!({ "jobs": 2, "compression": 0 })),
        ("zstd.dump", json!({ "jobs": 2, "compression": "zstd" })),
        // It cannot say where its data are.
        ("theirs.dump", json!({ "method": "pg_dump", "compression": 1 })),
    ] {
        let dump = Dumped::new(&from, object, fields).await;
        let want = wanted(&dump, &into);
        let cx = from.cx("restore");
        let facts = AnyResource::inspect(&Restore, &cx, &want, before.as_ref()).await.unwrap();
        let found = AnyResource::judge(&Restore, &want, &facts.unwrap(), &[]);
        assert!(found.is_empty(), "{found:?}");
        let next = Change { before: before.take(), ..change(want) };
        let done = restore(&cx, next).await.map_err(|fault| fault.chain()).unwrap();
        same_dump(&from, &into);
        rows_are_remembered(&into, &done).await;
        is_proved(&from, &into, &dump).await;
        let attrs = done.attrs.storable();
        assert_eq!(attrs["warnings"], json!([]), "{object}");
        let count = "select count(*) from odd.by_mood";
        let there = into.target().await.query_one(count, &[]).await.unwrap();
        assert_eq!(there.get::<_, i64>(0), 60);
        let text = format!("{attrs}{}{}", done.memory, noted(&from));
        assert!(!text.contains("AVNS") && !text.contains("secret-of"), "{text}");
        before = Some(remembered(&done, json!({})));
    }
    let unanalyzed = "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace
        where relkind in ('r', 'p', 'm') and nspname in ('odd', 'public', 'billing') and reltuples < 0 and relispopulated";
    let target = into.target().await;
    assert_eq!(target.query_one(unanalyzed, &[]).await.unwrap().get::<_, i64>(0), 0);
    drop(target);

    // Somebody wrote there: that is told by the plan, and by whoever comes later.
    into.target().await.batch_execute("insert into odd.quick values (4)").await.unwrap();
    let dump = Dumped::new(&from, "more.dump", json!({})).await;
    let want = wanted(&dump, &into);
    let cx = from.cx("restore");
    let facts = AnyResource::inspect(&Restore, &cx, &want, before.as_ref());
    let found = AnyResource::judge(&Restore, &want, &facts.await.unwrap().unwrap(), &[]);
    assert_eq!(found.first().unwrap().code, "PGF1201", "{found:?}");
    let next = || Change { before: before.clone(), ..change(wanted(&dump, &into)) };
    let fault = restore(&from.cx("restore"), next()).await.unwrap_err();
    assert_eq!(fault.class, Class::Conflict, "{}", fault.chain());
    assert!(fault.message.contains("was written to since"), "{}", fault.message);
    let sure = vec![("target".to_owned(), "target".to_owned())];
    restore(&from.cx("restore"), Change { confirmed: sure, ..next() }).await.unwrap();
    same_dump(&from, &into);
    from.end().await;
    into.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_cut_short_starts_over() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    let dump = Dumped::new(&from, "it.dump", json!({})).await;
    let effects = killed_at_every_effect(&from, "restore", async |cx, prior| {
        restore(cx, Change { prior, ..change(wanted(&dump, &into)) }).await
    })
    .await;
    let order = ["end sessions", "empty target", "make schema", "copy rows", "make keys"];
    assert_eq!(effects, order);
    same_dump(&from, &into);

    // What is there is ours only if it was recorded.
    let cx = from.cx("restore");
    let fault = restore(&cx, change(wanted(&dump, &into))).await.unwrap_err();
    assert_eq!(fault.class, Class::Conflict, "{}", fault.chain());
    same_dump(&from, &into);
    from.end().await;
    into.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_stop_ends_all_sessions_and_the_next_attempt_those_of_a_dead_one() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    from.source().await.batch_execute(SLOW).await.unwrap();
    let dump = Dumped::new(&from, "it.dump", json!({})).await;
    from.heard.notes.lock().unwrap().clear();
    into.source().await.batch_execute("create database held").await.unwrap();
    let cx = from.cx("restore");
    let cancel = cx.world.cancel.clone();
    let (ended, ()) = tokio::join!(restore(&cx, change(wanted(&dump, &into))), async {
        index_is_made(&into).await;
        cancel.cancel();
    });
    assert_eq!(ended.unwrap_err().class, Class::Interrupted);
    let ours =
        "select count(*) from pg_stat_activity where application_name like 'pgferry-% restore'";
    let left = into.source().await.query_one(ours, &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
    let notes = noted(&from);
    assert!(notes["left"].is_object(), "{notes}");
    into.source().await.batch_execute("drop database held").await.unwrap();

    let dead = into.target().await;
    let name = format!("{} restore", cx.natural_key());
    let busy = format!("set application_name = '{name}'; begin; lock table public.accounts");
    dead.batch_execute(&busy).await.unwrap();
    let again =
        Change { prior: Some(prior(&from.cx("restore"), notes)), ..change(wanted(&dump, &into)) };
    restore(&from.cx("restore"), again).await.map_err(|fault| fault.chain()).unwrap();
    assert!(dead.batch_execute("commit").await.is_err());
    same_dump(&from, &into);
    from.end().await;
    into.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_is_refused_before_anything_is_taken_away() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    let dump = Dumped::new(&from, "it.dump", json!({})).await;
    let attempt = async |want: Tree| {
        let fault = restore(&from.cx("restore"), change(want)).await.unwrap_err();
        let empty = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
        let there = into.target().await.query_one(empty, &[]).await.unwrap();
        assert_eq!(there.get::<_, i64>(0), 0, "{}", fault.chain());
        fault
    };
    let mut other = wanted(&dump, &into);
    let Tree::Map(fields) = &mut other else { panic!("a map") };
    fields.insert("confirm".to_owned(), Tree::text("acme"));
    let fault = attempt(other).await;
    assert_eq!(fault.message, "`confirm: acme` does not name `target`, whose data are replaced");

    // A target whose server lacks an extension; an archive that is another one, cut short, or gone.
    let whole = from.bucket().get_range("it.dump", 0..dump.size()).await.unwrap();
    let end = whole.len();
    for (bytes, expect) in [
        (whole.slice(..end / 2), "is not what was dumped"),
        (bytes::Bytes::from(vec![b'x'; end]), "is not what was dumped"),
    ] {
        from.put("it.dump", bytes).await;
        let fault = attempt(wanted(&dump, &into)).await;
        assert!(fault.chain().contains(expect), "{}", fault.chain());
    }
    from.bucket().delete("it.dump").await.unwrap();
    let fault = attempt(wanted(&dump, &into)).await;
    let gone = format!("the dump `it.dump` is no longer in bucket `{BUCKET}`");
    assert_eq!((fault.class, fault.message.as_str()), (Class::Gone, gone.as_str()));

    // Damaged in the middle, as nobody has noticed: no row of it is taken for whole.
    let mut damaged = whole.to_vec();
    damaged[end * 2 / 3..end * 2 / 3 + 64].fill(0xff);
    from.put("it.dump", damaged.into()).await;
    let Tree::Map(mut attrs) = dump.done.attrs.clone() else { panic!("attributes") };
    let etag = from.bucket().head("it.dump").await.unwrap().unwrap().etag;
    attrs.insert("etag".to_owned(), Tree::text(etag));
    let done = Done { attrs: Tree::Map(attrs), id: String::new(), memory: json!({}) };
    let dump = Dumped { done };
    let fault = restore(&from.cx("restore"), change(wanted(&dump, &into))).await.unwrap_err();
    assert!(fault.chain().contains("reading the archive `it.dump`"), "{}", fault.chain());
    from.end().await;
    into.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_outweighs_all_others_is_filled_by_several_sessions() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    from.source().await.batch_execute("create database big").await.unwrap();
    let rows = "create table public.big (n int, t text);
        insert into public.big select g, case g % 5 when 0 then E'a\\nb' when 1 then null else 'x' end
          from generate_series(1, 600000) g;
        create table public.small (n int primary key); insert into public.small select generate_series(1, 5000);
        alter table public.big add primary key (n)";
    from.session("big").await.batch_execute(rows).await.unwrap();
    let dump = Dumped::of(&from, "big", "big.dump", json!({})).await;
    let done = restore(&from.cx("restore"), change(wanted(&dump, &into))).await;
    let attrs = done.map_err(|fault| fault.chain()).unwrap().attrs.storable();
    assert_eq!((&attrs["tables"], &attrs["rows"]), (&json!(2), &json!(605_000)));
    let all = "select count(*), sum(n), count(t), sum(hashtext(t)) from public.big";
    let (there, here) = (from.session("big").await, into.target().await);
    let (there, here) = (there.query_one(all, &[]).await, here.query_one(all, &[]).await);
    let told = |row: tokio_postgres::Row| -> [i64; 4] { [0, 1, 2, 3].map(|at| row.get(at)) };
    assert_eq!(told(there.unwrap()), told(here.unwrap()));
    // Rows of one session are born frozen.
    let frozen =
        "select relallvisible > 0 from pg_class where relname in ('big', 'small') order by relname";
    let frozen = into.target().await.query(frozen, &[]).await.unwrap();
    let frozen: Vec<bool> = frozen.iter().map(|row| row.get(0)).collect();
    assert_eq!(frozen, [false, true]);
    from.end().await;
    into.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_rows_in_an_old_encoding() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    let old = "create database old encoding 'LATIN1' locale 'C' template template0";
    from.source().await.batch_execute(old).await.unwrap();
    let rows = "create table public.\"Straße\" (\"größe\" text primary key default 'ü');
        insert into public.\"Straße\" values ('é'), ('x'); insert into public.\"Straße\" default values;
        create table public.other (a text references public.\"Straße\"); insert into public.other values ('ü');";
    from.session("old").await.batch_execute(rows).await.unwrap();
    let dump = Dumped::of(&from, "old", "old.dump", json!({ "method": "pg_dump" })).await;
    restore(&from.cx("restore"), change(wanted(&dump, &into)))
        .await
        .map_err(|fault| fault.chain())
        .unwrap();
    let all =
        "select string_agg(\"größe\", ',' order by \"größe\" collate \"C\") from public.\"Straße\"";
    let there = into.target().await.query_one(all, &[]).await.unwrap();
    assert_eq!(there.get::<_, &str>(0), "x,é,ü");
    from.end().await;
    into.end().await;
}
