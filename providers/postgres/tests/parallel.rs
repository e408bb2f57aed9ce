//! A dump by several sessions: everything in it, as `pg_dump` would have it, for every way to restore; and what stops
//! it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use std::io::{Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use pgferry_archive::block::{Block, Blocks};
use pgferry_archive::{Compression, Entry, Offset, Toc, Version};
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::{AnyResource, Done};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::{Handle, Tree};
use pgferry_postgres::dump::Dump;
use serde_json::{Value as Json, json};
use stage::filled::without_contents;
use stage::{Stage, change, spec};

/// One of each kind, and two tables that are read in ranges: one of many pages, one whose values lie outside of it.
const WILD: &str = include_str!("parallel/wild.sql");

fn wanted(stage: &Stage, database: &str, object: &str, fields: Json) -> Tree {
    let mut all = vec![
        ("source", stage.handle("source", database)),
        ("to", spec(vec![("bucket", stage.bucket_handle()), ("object", Tree::text(object))])),
    ];
    let Tree::Map(fields) = Tree::from_json(&fields) else { panic!("a map") };
    let fields: Vec<(String, Tree)> = fields.into_iter().collect();
    all.extend(fields.iter().map(|(name, value)| (name.as_str(), value.clone())));
    spec(all)
}

async fn wild(stage: &Stage) {
    for database in ["wild", "other"] {
        stage.source().await.batch_execute(&format!("create database {database}")).await.unwrap();
    }
    stage.session("wild").await.batch_execute(WILD).await.unwrap();
}

async fn dump(
    stage: &Stage,
    object: &str,
    fields: Json,
    env: &[(&str, &str)],
) -> Result<Done<Tree>, Fault> {
    let cx = stage.cx_with("dump", env, Vec::new());
    AnyResource::act(&Dump, &cx, change(wanted(stage, "wild", object, fields))).await
}

async fn archive(stage: &Stage, object: &str) -> Vec<u8> {
    let size = stage.bucket().head(object).await.unwrap().unwrap().size;
    stage.bucket().get_range(object, 0..size).await.unwrap().to_vec()
}

/// What `pg_dump` says of a database, line by line.
fn described(stage: &Stage, database: &str) -> Vec<String> {
    let out = stage.program("pg_dump", database, &["-b", database]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    // A key that differs each time; and rows that are in a partition by a hash of their database's own numbers.
    let odd = ["\\restrict ", "\\unrestrict ", "sad\t", "ok\t", "happy\t"];
    let lines = text.lines().filter(|line| !odd.iter().any(|odd| line.starts_with(odd)));
    lines.map(str::to_owned).collect()
}

#[track_caller]
fn assert_same(expected: &[String], found: &[String]) {
    let differs = expected.iter().zip(found).position(|(one, other)| one != other);
    let at = differs.unwrap_or(expected.len().min(found.len()));
    let near =
        |lines: &[String]| lines.get(at).map(|line| line.chars().take(200).collect::<String>());
    assert!(expected == found, "line {at}: {:?} expected, {:?} found", near(expected), near(found));
}

/// Every block is where its entry says, and they follow one another in the order of their entries.
fn assert_in_order(bytes: &[u8]) -> Toc {
    let mut rest = bytes;
    let toc = Toc::read(&mut rest).unwrap();
    let begin = (bytes.len() - rest.len()) as u64;
    let mut blocks = Blocks::new(Cursor::new(bytes.to_vec()));
    let mut before = None;
    for entry in toc.entries.iter().filter(|entry| entry.has_data()) {
        let Offset::At(offset) = entry.offset else { panic!("{} has no place", entry.shown()) };
        assert!(before.map_or(offset == begin, |before| before < offset), "{}", entry.shown());
        let is_table = entry.desc == *"TABLE DATA";
        let block = blocks.block_at(offset).unwrap();
        let expected =
            if is_table { Block::Table(entry.id) } else { Block::LargeObjects(entry.id) };
        assert_eq!(block, Some(expected), "{}", entry.shown());
        before = Some(offset);
    }
    assert!(before.is_some());
    toc
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_along_by_every_way() {
    let stage = Stage::new().await;
    wild(&stage).await;
    let source = described(&stage, "wild");
    for (object, fields, compression) in [
        ("many.dump", json!({ "jobs": 5 }), None),
        ("one.dump", json!({ "jobs": 1, "compression": 6 }), Some("zlib 6")),
        ("raw.dump", json!({ "jobs": 3, "compression": 0 }), Some("none")),
        (
            "zstd.dump",
            json!({ "jobs": 4, "compression": { "method": "zstd", "max": 1 } }),
            Some("zstd 1"),
        ),
        ("theirs.dump", json!({ "method": "pg_dump", "compression": 1 }), Some("zlib 1")),
    ] {
        let done = dump(&stage, object, fields, &[]).await.unwrap();
        let attrs = done.attrs.storable();
        let used = attrs["compression"].as_str().unwrap();
        assert!(compression.map_or(used.starts_with("zlib "), |expect| used == expect), "{used}");
        let bytes = archive(&stage, object).await;
        if object == "theirs.dump" {
            assert!(attrs["tables"][0]["rows"].is_null());
            continue;
        }
        let toc = assert_in_order(&bytes);
        let version = if object == "zstd.dump" { Version::V1_15 } else { Version::V1_14 };
        assert_eq!(toc.header.version, version);
        assert_eq!(attrs["archive_version"], version.to_string());
        let parts = bytes.len().div_ceil(attrs["part_size"].as_u64().unwrap() as usize);
        let sha256 = attrs["sha256"].as_str().unwrap();
        assert_eq!(
            sha256.split_once('-').map(|(_, n)| n.to_owned()),
            (parts > 1).then(|| parts.to_string())
        );
        rows_are_told(&stage, &attrs).await;
        contents_are_the_servers(&stage, &done.memory["counted"]).await;
        if object == "many.dump" {
            large_objects_are_whole(&toc, bytes);
        } else if object == "raw.dump" {
            assert_eq!(toc.header.compression, Compression::None);
        } else if object == "zstd.dump" {
            each_chunk_is_a_frame(&toc, &bytes);
            large_objects_are_whole(&toc, bytes);
            // Debian's `pg_restore` 15 reads no zstd; `matrix` has those that do, and `restore` our own.
            continue;
        }
        by_pipe(&stage, object).await;
        assert_same(&source, &described(&stage, "other"));
        let moods = "select count(*), sum(n), sum(n) filter (where m = 'ok') from public.moods";
        for database in ["wild", "other"] {
            let row = stage.session(database).await.query_one(moods, &[]).await.unwrap();
            let found: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
            assert_eq!(found, (300, 45_150, 14_950), "{database}");
        }
    }
    by_jobs(&stage, "many.dump").await;
    assert_same(&source, &described(&stage, "other"));
    stage.end().await;
}

/// What the restorer does not own, and roles that it does not know.
const OWNED: &str = "
create role reader; create role restorer login password 'of-the-test'; grant restorer to current_user;
create schema app;
create table app.t (id int primary key, a text);
insert into app.t select i, repeat('x', i % 7) from generate_series(1, 5000) i;
create materialized view app.v as select a, count(*) from app.t group by a;
create function app.f() returns int language sql as 'select 1';
revoke execute on function app.f() from public;
grant usage on schema app to reader; grant select on app.t to reader;
grant select (a) on app.t to restorer with grant option;
alter default privileges in schema app grant select on tables to reader;
create extension tablefunc; comment on extension tablefunc is 'ours';
create publication p for table app.t;
select lo_from_bytea(900000, 'x'); grant select on large object 900000 to reader;
";

/// As another role, with a plan of a provider's or none.
fn endpoint_of(stage: &Stage, database: &str, plan: Option<&str>) -> (String, Tree) {
    let mut url = url::Url::parse(stage.endpoint(database).url.expose()).unwrap();
    let owner = url.username().to_owned();
    url.set_username("restorer").unwrap();
    url.set_password(Some("of-the-test")).unwrap();
    let Tree::Resource(handle) = stage.handle("theirs", database) else { panic!("a resource") };
    let mut attrs = handle.attrs.clone();
    attrs.insert("url".to_owned(), Tree::Secret(Secret::new(url.as_str())));
    attrs.extend(plan.map(|plan| ("plan".to_owned(), Tree::text(plan))));
    let (address, id) = (handle.address.clone(), handle.id.clone());
    (owner, Tree::Resource(std::sync::Arc::new(Handle { address, id, attrs })))
}

/// Restored by a role that owns nothing of it, without a flag, and not one error.
#[tokio::test(flavor = "multi_thread")]
async fn the_contents_are_written_for_the_restorer() {
    let stage = Stage::new().await;
    stage.source().await.batch_execute("create database wild").await.unwrap();
    stage.session("wild").await.batch_execute(OWNED).await.unwrap();
    for (database, plan) in [("known", None), ("heroku", Some("heroku-postgresql:essential-0"))] {
        let admin = stage.source().await;
        admin.batch_execute(&format!("create database {database} owner restorer")).await.unwrap();
        // Its comment is not the restorer's to change.
        stage.session(database).await.batch_execute("create extension tablefunc").await.unwrap();
        let (owner, target) = endpoint_of(&stage, database, plan);
        let mut want = wanted(&stage, "wild", database, json!({ "jobs": 2 }));
        let Tree::Map(fields) = &mut want else { panic!("a map") };
        fields.insert("for".to_owned(), target);
        let cx = stage.cx("dump");
        let facts = AnyResource::inspect(&Dump, &cx, &want, None).await.unwrap().unwrap();
        let told = AnyResource::judge(&Dump, &want, &facts, &[]).into_iter();
        let told: Vec<String> = told
            .filter(|found| found.code == "PGF1110")
            .map(|found| found.message.replace(&owner, "OWNER"))
            .collect();
        let rights = "do not come along, grant them anew on the target";
        let of_all = [
            "functions that not everybody may run on the source may be run by everybody on the target: `app.f()`"
                .to_owned(),
            format!("rights of `reader` {rights}: `app.t`, `large object 900000`, `new tables of OWNER in app`, `schema app`"),
            format!("rights of `restorer` {rights}: `app.t.a`"),
        ];
        let of_some = [format!("rights of `reader` {rights}: `new tables of OWNER in app`")];
        let mut expect = if plan.is_some() { of_all.to_vec() } else { of_some.to_vec() };
        expect.push("publications do not come along: `p`".to_owned());
        assert_eq!(told, expect);

        let done = AnyResource::act(&Dump, &cx, change(want)).await.unwrap();
        let left_out = done.memory["left_out"].to_string();
        assert!(left_out.contains("COMMENT EXTENSION tablefunc"), "{left_out}");
        let said = stage.heard.output.lock().unwrap().pop().unwrap();
        assert!(
            said.starts_with("left out, because `theirs` cannot take it:\n  COMMENT"),
            "{said}"
        );

        let file = stage.home.path().join(database);
        std::fs::write(&file, archive(&stage, database).await).unwrap();
        let restore = ["--exit-on-error", "-d", database, &file.display().to_string()];
        let mut restore = stage.command("pg_restore", database, &restore);
        let out =
            restore.env("PGUSER", "restorer").env("PGPASSWORD", "of-the-test").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let looked = "select (select count(distinct tablename) from pg_stats where schemaname = 'app'),
            has_table_privilege('reader', 'app.t', 'select'), has_function_privilege('reader', 'app.f()', 'execute'),
            has_column_privilege('restorer', 'app.t', 'a', 'select'), pg_get_userbyid(relowner)::text
            from pg_class where oid = 'app.t'::regclass";
        let row = stage.session(database).await.query_one(looked, &[]).await.unwrap();
        let found: (i64, bool, bool, bool, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
        assert_eq!(found, (2, plan.is_none(), plan.is_some(), true, "restorer".to_owned()));
    }
    stage.end().await;
}

/// Tables of two kinds, of which the larger one will be the smaller one in the archive; and a role that may open few
/// sessions: two watch, one is `pg_dump`'s, one reads.
const FEW: &str = "
create role restorer login password 'of-the-test' connection limit 4; grant pg_read_all_data to restorer;
create table repeated as select i, repeat('x', 200) as a, repeat('y', 200) as b from generate_series(1, 4000) i;
create table dense as select i, md5(i::text) as a, md5((-i)::text) as b from generate_series(1, 8000) i;
analyze repeated; analyze dense;
";

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_large_comes_first_and_few_sessions_suffice() {
    let stage = Stage::new().await;
    stage.source().await.batch_execute("create database wild").await.unwrap();
    let source = stage.session("wild").await;
    source.batch_execute(FEW).await.unwrap();
    let sizes = "select pg_table_size('repeated') > pg_table_size('dense')";
    assert!(source.query_one(sizes, &[]).await.unwrap().get::<_, bool>(0));
    let mut want = wanted(&stage, "wild", "few.dump", json!({ "jobs": 9 }));
    let Tree::Map(fields) = &mut want else { panic!("a map") };
    fields.insert("source".to_owned(), endpoint_of(&stage, "wild", None).1);
    let done = AnyResource::act(&Dump, &stage.cx("dump"), change(want)).await;
    let done = done.map_err(|fault| fault.chain()).unwrap();
    // Rows that lie across two of the pieces that are deflated count once.
    let told = done.attrs.storable()["tables"].clone();
    let rows = |name: &str| {
        let table = told.as_array().unwrap().iter().find(|table| table["name"] == name);
        table.map(|table| table["rows"].clone())
    };
    assert_eq!(rows("public.repeated"), Some(json!(4000)));
    assert_eq!(rows("public.dense"), Some(json!(8000)));
    let toc = assert_in_order(&archive(&stage, "few.dump").await);
    let order: Vec<String> =
        toc.entries.iter().filter(|entry| entry.has_data()).map(Entry::shown).collect();
    assert!(order[0].contains("dense") && order[1].contains("repeated"), "{order:?}");
    stage.end().await;
}

async fn rows_are_told(stage: &Stage, attrs: &Json) {
    let source = stage.session("wild").await;
    let tables = attrs["tables"].as_array().unwrap();
    assert!(tables.len() > 12, "{tables:?}");
    for table in tables {
        let name = table["name"].as_str().unwrap();
        let count = format!("select count(*) from only {name}");
        let rows: i64 = source.query_one(&count, &[]).await.unwrap().get(0);
        assert_eq!(table["rows"], rows, "{name}");
    }
}

/// Each checksum of the dump is the one of the server; where it could not be, there is none.
async fn contents_are_the_servers(stage: &Stage, counted: &Json) {
    let without = without_contents(stage, "wild", counted).await;
    // A generated column, money, no columns at all, too many.
    let expected =
        ["\"We\"\"ird\".\"T able (x)\"", "public.kinds", "public.nothing", "public.wide_91"];
    assert_eq!(without, expected);
}

fn large_objects_are_whole(toc: &Toc, bytes: Vec<u8>) {
    let entry = toc.entries.iter().find(|entry| entry.desc == *"BLOBS").unwrap();
    let Offset::At(offset) = entry.offset else { panic!("no place") };
    let mut blocks = Blocks::new(Cursor::new(bytes));
    blocks.block_at(offset).unwrap();
    let mut lengths = Vec::new();
    while let Some(number) = blocks.next_object().unwrap() {
        let mut contents = Vec::new();
        blocks.data(toc.header.compression).unwrap().read_to_end(&mut contents).unwrap();
        lengths.push((number, contents.len()));
    }
    let small = (1..=40).map(|i| (700_000 + i, 16 * i as usize));
    let expected: Vec<(u32, usize)> =
        small.chain([(800_000, 0), (800_001, 3_000_013), (800_002, 2_500_000)]).collect();
    assert_eq!(lengths, expected);
}

/// What `pg_restore` needs to lose nothing: it drops what comes in a chunk behind a frame.
fn each_chunk_is_a_frame(toc: &Toc, bytes: &[u8]) {
    assert_eq!(toc.header.compression, Compression::Zstd);
    let mut blocks = Blocks::new(Cursor::new(bytes));
    let (mut chunk, mut frames) = (Vec::new(), 0);
    for entry in toc.entries.iter().filter(|entry| entry.has_data()) {
        let Offset::At(offset) = entry.offset else { panic!("no place") };
        blocks.block_at(offset).unwrap();
        loop {
            while blocks.next_chunk(&mut chunk).unwrap() {
                let mut frame = zstd::Decoder::with_buffer(&chunk[..]).unwrap().single_frame();
                frame.read_to_end(&mut Vec::new()).unwrap();
                frame.finish_frame().unwrap();
                assert_eq!(*frame.get_ref(), b"", "{}", entry.shown());
                frames += 1;
            }
            if blocks.next_object().unwrap().is_none() {
                break;
            }
        }
    }
    assert!(frames > 60, "{frames}");
}

async fn empty_other(stage: &Stage) {
    let source = stage.source().await;
    source.batch_execute("drop database if exists other").await.unwrap();
    source.batch_execute("create database other").await.unwrap();
}

/// As a provider restores: the archive comes through a pipe.
async fn by_pipe(stage: &Stage, object: &str) {
    empty_other(stage).await;
    let file = stage.home.path().join(object);
    std::fs::write(&file, archive(stage, object).await).unwrap();
    let mut cat = Command::new("cat").arg(&file).stdout(Stdio::piped()).spawn().unwrap();
    let mut restore = stage.command("pg_restore", "other", &["--exit-on-error", "-d", "other"]);
    let out = restore.stdin(cat.stdout.take().unwrap()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(cat.wait().unwrap().success());
}

async fn by_jobs(stage: &Stage, object: &str) {
    empty_other(stage).await;
    let file = stage.home.path().join(object);
    std::fs::write(&file, archive(stage, object).await).unwrap();
    let file = file.display().to_string();
    let out = stage.program("pg_restore", "other", &["-j", "3", "-d", "other", &file]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// A `pg_dump` of ours: `script` runs with the real one in `$REAL` and the source in the environment.
fn wrapper(stage: &Stage, script: &str) -> String {
    let folder = stage.home.path().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let real = stage.real_programs().display().to_string();
    let text = format!(
        "#!/bin/sh\nREAL={real}/pg_dump\nPSQL='{real}/psql -qX'\n\
         if [ \"$1\" = --version ]; then exec $REAL --version; fi\n{script}\n"
    );
    let path = folder.join("pg_dump");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder.display().to_string()
}

/// No upload, no object, no session, and with them no process of ours that had one.
async fn nothing_left(stage: &Stage) {
    assert_eq!(stage.bucket().uploads("").await.unwrap(), []);
    assert_eq!(stage.bucket().head("d.dump").await.unwrap(), None);
    let source = stage.source().await;
    let left = "select string_agg(query, '; ') from pg_stat_activity where datname = 'wild'";
    let mut last = None;
    // Servers notice a moment later that somebody has gone.
    for _ in 0..500 {
        last = source.query_one(left, &[]).await.unwrap().get::<_, Option<String>>(0);
        if last.is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("left: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stops_one_stops_all() {
    let stage = Stage::new().await;
    wild(&stage).await;

    // Rows that row security would hide are never left out in silence. `pg_dump` stands still at its first table.
    let source = stage.session("wild").await;
    source.batch_execute("alter table public.hidden force row level security").await.unwrap();
    drop(source);
    let fault = dump(&stage, "d.dump", json!({ "jobs": 4 }), &[]).await.unwrap_err();
    let said = fault.chain();
    assert!(said.starts_with("reading `public.hidden` in database `wild` at "), "{said}");
    assert!(said.contains("row-level security"), "{said}");
    nothing_left(&stage).await;
    let source = stage.session("wild").await;
    source.batch_execute("alter table public.hidden no force row level security").await.unwrap();
    drop(source);

    // A snapshot does not bring back what `truncate` has taken.
    let file = stage.home.path().join("whole").display().to_string();
    let emptied = format!(
        "$REAL \"$@\" > {file} && $PSQL -c 'create table kept as table public.big' -c 'truncate public.big' && cat {file}"
    );
    let bin = wrapper(&stage, &emptied);
    let fault = dump(&stage, "d.dump", json!({}), &[("PGFERRY_PG_BIN", &bin)]).await.unwrap_err();
    assert_eq!(fault.chain(), "`public.big` was emptied or rewritten while the dump began");
    nothing_left(&stage).await;

    // Ctrl-C while somebody else's lock is waited for; whatever `pg_dump` has started goes with it.
    let locked = format!(
        "$REAL \"$@\" > {file} && {{ $PSQL -c 'begin' -c 'lock table public.moods_0' -c 'select pg_sleep(5)' & \
         until $PSQL -Atc \"select 1 from pg_locks where relation = 'public.moods_0'::regclass \
         and mode = 'AccessExclusiveLock' and granted\" | grep -q 1; do sleep 0.05; done; cat {file}; wait; }}"
    );
    let bin = wrapper(&stage, &locked);
    let cx = stage.cx_with("dump", &[("PGFERRY_PG_BIN", &bin)], Vec::new());
    let cancel = cx.world.cancel.clone();
    let waits =
        "select count(*) from pg_stat_activity where datname = 'wild' and wait_event_type = 'Lock'";
    let watcher = stage.source().await;
    let want = change(wanted(&stage, "wild", "d.dump", json!({})));
    let (ended, ()) = tokio::join!(AnyResource::act(&Dump, &cx, want), async {
        while watcher.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cancel.cancel();
    });
    assert_eq!(ended.unwrap_err().class, Class::Interrupted);
    nothing_left(&stage).await;
    stage.end().await;
}
