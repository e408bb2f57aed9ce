//! The proof of what `pg_dump` writes nothing of without rows: what large objects have besides their contents, and what
//! users enter into tables and sequences of extensions.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod own;
mod stage;

use pgferry_engine::resource::{AnyResource, Remembered};
use pgferry_engine::tree::Tree;
use pgferry_postgres::copy::Copy;
use pgferry_postgres::verification::Verification;
use serde_json::json;

use own::{OWNER, Own, SUPERUSER};
use stage::{change, spec};

/// A source in which `sql` ran, and what a superuser has copied of it.
struct Copied {
    server: Own,
    copied: Remembered,
}

impl Copied {
    /// `prepared` runs on the target first.
    async fn of(sql: &str, prepared: &str) -> Self {
        let server = Own::start(&[]);
        for role in [OWNER, "reader", "\"Odd one\""] {
            server.run("postgres", SUPERUSER, &format!("create role {role} login")).await;
        }
        for (database, sql) in [("source", sql), ("target", prepared)] {
            server.run("postgres", SUPERUSER, &format!("create database {database}")).await;
            server.run(database, SUPERUSER, sql).await;
        }
        let want = spec(vec![
            ("from", server.handle("source", SUPERUSER)),
            ("into", server.handle("target", SUPERUSER)),
            ("confirm", Tree::text("target")),
        ]);
        let done = AnyResource::act(&Copy, &server.cx("copy"), change(want)).await;
        let done = done.map_err(|fault| fault.chain()).unwrap();
        let inputs = json!({ "from": { "$address": "source" }, "into": { "$address": "target" } });
        let copied = stage::filled::remembered(&done, inputs);
        Self { server, copied }
    }

    /// What the proof finds.
    async fn differences(&self, more: &[(&str, &str)]) -> Vec<String> {
        let cx = self.server.cx_with("verified", vec![("postgres.copy", self.copied.clone())]);
        let mut fields = vec![
            ("expected", self.server.handle("source", SUPERUSER)),
            ("actual", self.server.handle("target", SUPERUSER)),
        ];
        fields.extend(more.iter().map(|(field, text)| (*field, Tree::text(*text))));
        let Err(fault) = AnyResource::act(&Verification, &cx, change(spec(fields))).await else {
            return Vec::new();
        };
        fault.message.lines().skip(1).map(|line| line.trim().to_owned()).collect()
    }

    /// Changes the target, looks for the one difference that begins so, and changes it back.
    async fn finds(&self, change: &str, back: &str, more: &[(&str, &str)], difference: &str) {
        self.server.run("target", SUPERUSER, change).await;
        let found = self.differences(more).await;
        assert_eq!(found.len(), 1, "{change}: {found:#?}");
        assert!(found[0].starts_with(difference), "{change}: {found:#?}");
        self.server.run("target", SUPERUSER, back).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_large_objects_have_besides_their_contents() {
    let copied = Copied::of(
        "select lo_create(n) from generate_series(70001, 70005) n; alter large object 70001 owner to owner;
         alter large object 70002 owner to \"Odd one\"; comment on large object 70003 is 'ours';
         grant select on large object 70004 to public, reader; revoke update on large object 70001 from owner;
         grant select on large object 70002 to reader with grant option; set role reader;
         grant select on large object 70002 to owner",
        "",
    )
    .await;
    assert_eq!(copied.differences(&[]).await, Vec::<String>::new());
    for (change, back, difference) in [
        (
            "alter large object 70003 owner to reader",
            "alter large object 70003 owner to postgres",
            "large object `70003` has owner `reader`, not `postgres`",
        ),
        (
            "grant update on large object 70001 to owner",
            "revoke update on large object 70001 from owner",
            "large object `70001` differs: `REVOKE ALL ON LARGE OBJECT 70001 FROM \"owner\"; GRANT SELECT ON LARGE OBJECT \
             70001 TO \"owner\";` expected, no rights but the owner's found",
        ),
        (
            "revoke select on large object 70004 from public",
            "grant select on large object 70004 to public",
            "large object `70004` differs: ",
        ),
        (
            "revoke grant option for select on large object 70002 from reader cascade",
            "grant select on large object 70002 to reader with grant option; set role reader;
             grant select on large object 70002 to owner; reset role",
            "large object `70002` differs: ",
        ),
        (
            "comment on large object 70003 is 'theirs'",
            "comment on large object 70003 is 'ours'",
            "large object `70003` differs: comment `ours` expected, comment `theirs` found",
        ),
        (
            "comment on large object 70005 is 'new'",
            "comment on large object 70005 is null",
            "large object `70005` differs: no comment expected, comment `new` found",
        ),
        (
            "select lo_unlink(70005)",
            "select lo_create(70005)",
            "large objects: 5 expected, 4 found: numbers 70005",
        ),
    ] {
        copied.finds(change, back, &[], difference).await;
    }
    let aside = [("contents", "none")];
    copied
        .finds(
            "select lo_unlink(70005)",
            "select lo_create(70005)",
            &aside,
            "large object `70005` is missing",
        )
        .await;
    copied
        .finds(
            "select lo_create(70006)",
            "select lo_unlink(70006)",
            &aside,
            "large object `70006` is not expected",
        )
        .await;
    assert_eq!(copied.differences(&[]).await, Vec::<String>::new());
}

/// Tables and a sequence that belong to an extension, of whose rows some are the users'. Extensions say so in their own
/// script; none that comes with the server does.
const CONFIGURED: &str = "
create extension hstore; create table \"Conf\" (id int primary key, v text, system bool default false);
create table plain (v text); create sequence counted;
alter extension hstore add table \"Conf\"; alter extension hstore add table plain; alter extension hstore add sequence counted;
update pg_extension set extcondition = array['WHERE NOT system', '', ''],
  extconfig = array['\"Conf\"'::regclass, 'plain'::regclass, 'counted'::regclass]::oid[] where extname = 'hstore';
insert into \"Conf\" values (1, 'of the extension', true)";

#[tokio::test(flavor = "multi_thread")]
async fn what_users_enter_into_tables_of_extensions() {
    let entered =
        "insert into \"Conf\" values (2, 'a'), (3, 'b'); insert into plain values ('x'), (null);
                   select setval('counted', 7)";
    let copied = Copied::of(&format!("{CONFIGURED}; {entered}"), CONFIGURED).await;
    assert_eq!(copied.differences(&[]).await, Vec::<String>::new());
    // Each version of an extension brings its own rows.
    copied.server.run("target", SUPERUSER, "update \"Conf\" set v = 'newer' where system").await;
    assert_eq!(copied.differences(&[]).await, Vec::<String>::new());
    let rows = [("contents", "none")];
    for (change, back, more, difference) in [
        (
            "update \"Conf\" set v = 'c' where id = 3",
            "update \"Conf\" set v = 'b' where id = 3",
            &[][..],
            "table `public.\"Conf\"`: contents differ among 2 rows",
        ),
        (
            "delete from \"Conf\" where id = 3",
            "insert into \"Conf\" values (3, 'b')",
            &rows,
            "table `public.\"Conf\"`: 2 rows expected, 1 found",
        ),
        (
            "update plain set v = 'y' where v is null",
            "update plain set v = null where v = 'y'",
            &[],
            "table `public.plain`: contents differ among 2 rows",
        ),
        (
            "select setval('counted', 8)",
            "select setval('counted', 7)",
            &[],
            "sequence `public.counted`: 7 expected, 8 found",
        ),
    ] {
        copied.finds(change, back, more, difference).await;
    }
    assert_eq!(copied.differences(&[]).await, Vec::<String>::new());
    // On a target that knows no such table of the extension, the rows are nowhere.
    let forget =
        "update pg_extension set extconfig = null, extcondition = null where extname = 'hstore'";
    copied.server.run("target", SUPERUSER, forget).await;
    let found = copied.differences(&[]).await;
    assert!(found.iter().any(|line| line.starts_with("table `public.plain`: ")), "{found:#?}");
}
