//! A dump by several sessions: everything in it, as `pg_dump` would have it, for every way to restore; and what stops
//! it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use std::io::{Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use pgferry_archive::block::{Block, Blocks};
use pgferry_archive::{Compression, Offset, Toc, Version};
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::{AnyResource, Done};
use pgferry_engine::tree::Tree;
use pgferry_postgres::connect::{Access, Format, connect};
use pgferry_postgres::dump::Dump;
use serde_json::{Value as Json, json};
use stage::{Stage, change, spec};

/// One of each kind, and two tables that are read in ranges: one of many pages, one whose values lie outside of it.
const WILD: &str = r#"
create schema "We""ird";
create table "We""ird"."T able (x)" ("a ""b)" int primary key, "ключ" text,
    g int generated always as ("a ""b)" * 2) stored, id bigint generated always as identity (start 7 increment 3));
insert into "We""ird"."T able (x)" ("a ""b)", "ключ") values (1, null), (2, ''), (3, E'\\.'), (4, E'a\tb\nc\\N\r'), (5, '数据');
create table public.nothing ();
insert into public.nothing default values;
insert into public.nothing default values;
create table public.empty (a int);
create unlogged table public.unlogged as select 1 as a;
create table public.gone (a int, b int, c text);
insert into public.gone values (1, 2, 'x');
alter table public.gone drop column b;
create type public.mood as enum ('sad', 'ok', 'happy');
create table public.moods (m public.mood, n int) partition by hash (m);
create table public.moods_0 partition of public.moods for values with (modulus 2, remainder 0);
create table public.moods_1 partition of public.moods for values with (modulus 2, remainder 1);
insert into public.moods select (array['sad', 'ok', 'happy'])[1 + i % 3]::public.mood, i from generate_series(1, 300) i;
create table public.parent (a int);
create table public.child (b text) inherits (public.parent);
insert into public.parent values (1);
insert into public.child values (2, 'two');
create table public.hidden (a int);
insert into public.hidden values (1), (2);
alter table public.hidden enable row level security;
create policy none on public.hidden using (false);
create table public.kinds as select 1.5::float8 as f, 'NaN'::numeric as n, '2024-02-29 12:00:00.123+03'::timestamptz as t,
    '-1 year 2 days'::interval as i, '\xdeadbeef'::bytea as b, array[null, 'a,"b'] as a, '{"k": [1, null]}'::jsonb as j,
    '$12.34'::money as m, '[1,5)'::int4range as r;
create table public.signs as select i, chr(i) as one, 'a' || chr(i) || 'b' as within, array[chr(i), null] as list, row(chr(i), '')::text as row
    from generate_series(1, 300) i;
create type public.pair as (a text, b numeric);
create table public.odd as select row('a "b", \c', 1.50)::public.pair as p, array[row(null, -0.0)::public.pair] as l,
    '-infinity'::float8 as f, 1e-7::float4 as g, '{"a b": "\\"}'::jsonb as j, 'a & b:*'::tsquery as q, '10.1.0.0/16'::inet as n,
    '{[1,2),[5,)}'::int4multirange as m, b'101' as b, 'x'::char(5) as c, '24:00'::time as t, '0044-03-15 BC'::date as d,
    'public.kinds'::regclass as r, E' \x0b\x0c'::text as s;
create table public.big (id int primary key, body text);
alter table public.big alter body set storage plain;
insert into public.big select i, (select string_agg(md5(i::text || j), '') from generate_series(1, 60) j) from generate_series(1, 18000) i;
delete from public.big where id % 1000 = 0;
create table public.outside (id int primary key, body bytea);
alter table public.outside alter body set storage external;
insert into public.outside select i, decode(repeat(md5(i::text), 20000), 'hex') from generate_series(1, 108) i;
create sequence public.numbers start 100;
select nextval('public.numbers') from generate_series(1, 5);
create materialized view public.seen as select count(*) from public.big;
create index on public.big (md5(body));
select lo_from_bytea(700000 + i, decode(repeat(md5(i::text), i), 'hex')) from generate_series(1, 40) i;
select lo_from_bytea(800000, ''), lo_from_bytea(800001, decode(repeat('ab', 256 * 1024), 'hex')),
       lo_from_bytea(800002, decode(repeat('0123456789', 500000), 'hex'));
select lo_put(800001, 3000000, 'behind a hole');
comment on large object 800002 is 'the largest';
"#;

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
        assert_eq!(attrs["archive_version"], "1.14");
        let toc = assert_in_order(&bytes);
        assert_eq!(toc.header.version, Version::V1_14);
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

/// Each checksum of the dump is the number that a comparison gets from the server; where it could not be, there is none.
async fn contents_are_the_servers(stage: &Stage, counted: &Json) {
    let session =
        connect(&stage.endpoint("wild"), Access::ReadOnly, Format::Canonical { float_digits: 3 })
            .await
            .unwrap();
    let mut without = Vec::new();
    for (name, told) in counted.as_object().unwrap() {
        let Some(contents) = told.get("contents") else {
            without.push(name.as_str());
            continue;
        };
        let columns = contents["columns"].as_array().unwrap();
        let columns: Vec<String> =
            columns.iter().map(|column| format!("t.\"{}\"", column.as_str().unwrap())).collect();
        let sum = format!(
            "select coalesce(sum(hashtextextended(row({})::text collate \"C\", 0)), 0)::text from only {name} t",
            columns.join(", ")
        );
        let sum: String = session.query_one(&sum, &[]).await.unwrap().get(0);
        assert_eq!(contents["checksum"], sum, "{name}");
    }
    // A generated column, money, no columns at all.
    assert_eq!(without, ["\"We\"\"ird\".\"T able (x)\"", "public.kinds", "public.nothing"]);
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
