//! A proof names what only the target has been given since: rights, what stands on its tables, what no dump writes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod own;
mod stage;

use own::{OWNER, Own, SUPERUSER};
use pgferry_engine::resource::{AnyResource, Remembered};
use pgferry_engine::tree::Tree;
use pgferry_postgres::copy::Copy;
use pgferry_postgres::verification::Verification;
use serde_json::json;
use stage::{change, spec};

/// What a proof finds of the target of `copied`, which `role` has filled.
async fn differences(server: &Own, role: &str, copied: &Remembered) -> Vec<String> {
    let cx = server.cx_with("verified", vec![("postgres.copy", copied.clone())]);
    let want = spec(vec![
        ("expected", server.handle("source", SUPERUSER)),
        ("actual", server.handle("target", role)),
    ]);
    let proof = AnyResource::act(&Verification, &cx, change(want)).await;
    let found = proof.err().map(|fault| fault.message).unwrap_or_default();
    assert!(found.is_empty() || found.contains("difference"), "{found}");
    found.lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

/// What `role` copies of `source` to an empty target.
async fn copied(server: &Own, role: &str) -> Remembered {
    let want = spec(vec![
        ("from", server.handle("source", SUPERUSER)),
        ("into", server.handle("target", role)),
        ("confirm", Tree::text("target")),
    ]);
    let done = AnyResource::act(&Copy, &server.cx("copy"), change(want)).await;
    let inputs = json!({ "from": { "$address": "source" }, "into": { "$address": "target" } });
    stage::filled::remembered(&done.map_err(|fault| fault.chain()).unwrap(), inputs)
}

/// Each statement on the target, and what is found until it is taken back.
async fn named_one_by_one(
    server: &Own,
    role: &str,
    copied: &Remembered,
    changes: &[(&str, &str, &[&str])],
) {
    assert_eq!(differences(server, role, copied).await, Vec::<String>::new());
    for (change, back, expect) in changes {
        server.run("target", SUPERUSER, change).await;
        assert_eq!(differences(server, role, copied).await, *expect, "{change}");
        server.run("target", SUPERUSER, back).await;
    }
}

/// Names that need quotes, and what only looks like an extension's.
const NAMED: &str = r#"
create table "Q t" (a int); create table "ORDER" (a int); create table "a.b" ("c.d" int); create sequence "S q";
create function "Fn"(a int) returns int language sql security definer as 'select 1'; create type "Ty" as (a int);
create view "V w" as select 1 as a; create foreign data wrapper "W w"; create server "My S" foreign data wrapper "W w";
create schema "A"; create schema app; create table app.t (a int); grant select on app.t to reader;
create extension citext; create extension pg_stat_statements"#;

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_only_the_target_gives_are_named() {
    let server = Own::start(&[]);
    server.run("postgres", SUPERUSER, "create role reader").await;
    server.run("postgres", SUPERUSER, "create database source").await;
    server.run("postgres", SUPERUSER, "create database target").await;
    server.run("source", SUPERUSER, NAMED).await;
    let copied = copied(&server, SUPERUSER).await;
    for (what, shown) in [
        (r#"table "Q t""#, r#"table public."Q t""#),
        (r#"table "ORDER""#, r#"table public."ORDER""#),
        (r#"table "V w""#, r#"table public."V w""#),
        (r#"sequence "S q""#, r#"sequence public."S q""#),
        (r#"type "Ty""#, r#"type public."Ty""#),
        (r#"foreign server "My S""#, r#"foreign server "My S""#),
        (r#"foreign data wrapper "W w""#, r#"foreign data wrapper "W w""#),
        (r#"function "Fn"(int)"#, r#"function public."Fn"(a integer)"#),
        ("schema app", "schema app"),
        (r#"schema "A""#, r#"schema "A""#),
        ("schema public", "schema public"),
        ("function pg_read_file(text)", "function pg_catalog.pg_read_file(text)"),
        ("table pg_authid", "table pg_catalog.pg_authid"),
    ] {
        // On schemas, single roles are given some before the first run.
        let (all, reader) = match what.starts_with("schema ") {
            true => ("create", "public"),
            false => ("all", "reader"),
        };
        let (grant, revoke) = (
            format!("grant {all} on {what} to {reader}"),
            format!("revoke {all} on {what} from {reader}"),
        );
        let expect = format!("rights `{shown}` is not expected");
        named_one_by_one(&server, SUPERUSER, &copied, &[(&grant, &revoke, &[&expect])]).await;
    }
    named_one_by_one(
        &server,
        SUPERUSER,
        &copied,
        &[
            (
                r#"grant select ("c.d") on "a.b" to public"#,
                r#"revoke select ("c.d") on "a.b" from public"#,
                &[r#"rights `column public."a.b"."c.d"` is not expected"#],
            ),
            (
                "grant select (a) on app.t to public",
                "revoke select (a) on app.t from public",
                &["rights `column app.t.a` is not expected"],
            ),
            (
                "revoke usage on language plpgsql from public",
                "grant usage on language plpgsql to public",
                &["rights `language plpgsql` is not expected"],
            ),
            // What the target alone has, or its extensions brought, its provider may give.
            (
                "create schema more; grant all on schema more to public; grant all on function citext_hash(citext) to reader;
                 grant all on type citext to reader; revoke all on function citext_eq(citext, citext) from public;
                 grant execute on function pg_stat_statements_reset to reader",
                "drop schema more",
                &[],
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_dump_writes_is_named() {
    let server = Own::start(&[]);
    server.run("postgres", SUPERUSER, "create role reader").await;
    server.run("postgres", SUPERUSER, "create database source").await;
    server.run("postgres", SUPERUSER, "create database target").await;
    let source = "create table p (id int primary key); create table c (p int references p, n int);
        create table off (p int references p); insert into c (n) values (1), (1); create schema heroku_ext2;
        create schema _heroku; create table twice (n int); insert into twice values (1), (1)";
    server.run("source", SUPERUSER, source).await;
    // A copy brings along neither, which is no difference.
    server.run("source", SUPERUSER, "alter table off disable trigger all").await;
    let failing = server.session("source", SUPERUSER).await;
    let build = "create unique index concurrently twice_n on twice (n)";
    failing.batch_execute(build).await.unwrap_err();
    let copied = copied(&server, SUPERUSER).await;
    let failing = server.session("target", SUPERUSER).await;
    failing.batch_execute("create unique index concurrently c_n on c (n)").await.unwrap_err();
    assert_eq!(
        differences(&server, SUPERUSER, &copied).await,
        ["table `public.c`: index `c_n` is not valid, on the target only"]
    );
    server.run("target", SUPERUSER, "drop index c_n").await;
    named_one_by_one(
        &server,
        SUPERUSER,
        &copied,
        &[
            (
                "alter table c disable trigger all",
                "alter table c enable trigger all",
                &["table `public.c`: the server's own triggers of constraint `c_p_fkey` of `public.c` are disabled, on \
                   the target only"],
            ),
            (
                "alter table p disable trigger all",
                "alter table p enable trigger all",
                &[
                    "table `public.p`: the server's own triggers of constraint `c_p_fkey` of `public.c` are disabled, on \
                     the target only",
                    "table `public.p`: the server's own triggers of constraint `off_p_fkey` of `public.off` are disabled, \
                     on the target only",
                ],
            ),
            // Begins as a provider's schema does, and is none.
            (
                "comment on schema heroku_ext2 is 'x'; grant usage on schema heroku_ext2 to public",
                "comment on schema heroku_ext2 is null; revoke usage on schema heroku_ext2 from public",
                &[
                    "rights `schema heroku_ext2` is not expected",
                    "comment `schema heroku_ext2` is not expected",
                ],
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_a_table_is_named_whoever_owns_it() {
    let server = Own::start(&[]);
    server
        .run("postgres", SUPERUSER, &format!("create role {OWNER} login; create role other"))
        .await;
    server.run("postgres", SUPERUSER, "create database source").await;
    server.run("postgres", SUPERUSER, &format!("create database target owner {OWNER}")).await;
    let source = "create table o (a int); alter table o owner to other; create schema app; create table app.t (a int);
        create collation app.c (locale = 'C')";
    server.run("source", SUPERUSER, source).await;
    let copied = copied(&server, OWNER).await;
    let give = format!(
        "alter table o owner to other; alter schema app owner to other;
        alter collation app.c owner to other; grant select on o to {OWNER}; grant usage on schema app to {OWNER}"
    );
    server.run("target", SUPERUSER, &give).await;
    let granted = differences(&server, OWNER, &copied).await;
    assert_eq!(granted, ["rights `table public.o` is not expected"]);
    for (change, back, expect) in [
        ("create policy evil on o using (true)", "drop policy evil on o", "policy `public.o.evil`"),
        (
            "create rule r as on insert to o do instead nothing",
            "drop rule r on o",
            "rule `public.o.r`",
        ),
        ("create index i on o (a)", "drop index i", "index `public.i`"),
        (
            "create trigger tr before update on o for each row execute function suppress_redundant_updates_trigger()",
            "drop trigger tr on o",
            "trigger `public.o.tr`",
        ),
        (
            "create statistics st on a, (a + 1) from o",
            "drop statistics st",
            "statistics `public.st`",
        ),
        (
            "comment on collation app.c is 'x'",
            "comment on collation app.c is null",
            "comment `collation app.c`",
        ),
    ] {
        server.run("target", SUPERUSER, change).await;
        let mut found = differences(&server, OWNER, &copied).await;
        found.retain(|line| !granted.contains(line));
        assert_eq!(found, [format!("{expect} is not expected")], "{change}");
        server.run("target", SUPERUSER, back).await;
    }
    // What it does not have, the target's provider may have brought.
    let theirs = "create collation theirs (locale = 'C'); alter collation theirs owner to other;
        grant execute on function pg_sleep(float8) to other; grant execute on function pg_read_file(text) to other";
    server.run("target", SUPERUSER, theirs).await;
    assert_eq!(differences(&server, OWNER, &copied).await, granted);
}
