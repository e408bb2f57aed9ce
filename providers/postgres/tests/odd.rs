//! A verification of databases with odd names and texts: it runs nothing that they say, and takes none for another.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use std::process::Stdio;

use pgferry_engine::fault::Fault;
use pgferry_engine::resource::AnyResource;
use pgferry_postgres::verification::Verification;
use stage::servers::{Bin, Server, done, endpoint, folders};
use stage::{Stage, change, spec};

/// Two databases on a server of its own, of which `other` is what `psql` makes of a dump of `stored`.
struct Pair {
    stage: Stage,
    server: Server,
}

impl Pair {
    async fn of(sql: &str) -> Self {
        let stage = Stage::new().await;
        let bins = folders().into_iter().filter_map(|folder| Bin::of(&folder, "postgres"));
        let server = Server::start(&bins.max_by_key(Bin::major).expect("a server"));
        server.run("postgres", "create database stored").await;
        server.run("postgres", "create database other").await;
        server.run("stored", sql).await;
        let mut dump = server.client(&server.bin, "pg_dump");
        let mut dump = dump.arg("stored").stdout(Stdio::piped()).spawn().unwrap();
        let mut psql = server.client(&server.bin, "psql");
        let psql = psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-d", "other"]);
        done(psql.stdin(dump.stdout.take().unwrap()).output().unwrap());
        assert!(dump.wait().unwrap().success());
        Self { stage, server }
    }

    /// What is said to differ, a line each.
    async fn differences(&self) -> Result<Vec<String>, Fault> {
        let programs = self.server.bin.folder.display().to_string();
        let cx = self.stage.cx_with("verified", &[("PGFERRY_PG_BIN", &programs)], Vec::new());
        let fields = vec![
            ("expected", endpoint(&self.server, "source", "stored")),
            ("actual", endpoint(&self.server, "target", "other")),
        ];
        match AnyResource::act(&Verification, &cx, change(spec(fields))).await {
            Ok(_) => Ok(Vec::new()),
            Err(fault) if fault.message.contains("differ") => {
                Ok(fault.message.lines().skip(1).map(|line| line.trim().to_owned()).collect())
            }
            Err(fault) => Err(fault),
        }
    }

    async fn end(self) {
        drop(self.server);
        self.stage.end().await;
    }
}

const TABLE: &str = "create table t (id int primary key, a int, b text);";

#[tokio::test(flavor = "multi_thread")]
async fn a_name_runs_nothing_on_the_target() {
    let pair = Pair::of(
        r#"create domain "D AS int;commit;create role inj superuser;commit;begin;/*" as int
             constraint "*/savepoint pgferry_trial;--" check (value between 1 and 2 and value is not null);
           create function "f(int) returns int as '';commit;create role inj;begin;--"(x int default 1) returns int
             language sql begin atomic select 1 where x between 1 and 2 and x is not null; end"#,
    )
    .await;
    let said = pair.differences().await.unwrap();
    let none = "do $$ begin if exists (select from pg_roles where rolname = 'inj') then raise 'made'; end if; end $$";
    pair.server.run("other", none).await;
    assert_eq!(said, Vec::<String>::new());
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_not_taken_for_what_it_looks_like() {
    let between = "a between 1 and 5 and b is not null";
    let new = "new.a between 1 and 5 and new.b is not null";
    let pair = Pair::of(&format!(
        r#"{TABLE}
        create function fire() returns trigger language plpgsql as 'begin return new; end';
        create rule " TO public.t" as on update to t where {new} do also select 1;
        create index " ON public.t USING" on t (a) where {between};
        create trigger "x ON public.t " before update on t for each row when ({new}) execute function fire();
        create statistics " FROM public.t" on a, ((a between 1 and 5 and a <> 3)) from t;
        create domain " AS d" as int check (value between 1 and 5 and value <> 3);
        create function "f(x"(x int) returns bigint language sql
          begin atomic select count(*) from t where a between 1 and "f(x".x and b is not null; end;
        create view " AS v" as select * from t where {between};
        alter table t add constraint "CHECK ((((a >= 1) AND (a <= 5)) AND (b IS NOT NULL)))" check ({between});"#
    ))
    .await;
    assert_eq!(pair.differences().await.unwrap(), Vec::<String>::new());
    pair.server.run("other", r#"drop index " ON public.t USING""#).await;
    let changed =
        r#"create index " ON public.t USING" on t (a) where a between 1 and 6 and b is not null"#;
    pair.server.run("other", changed).await;
    let said = pair.differences().await.unwrap();
    assert!(said.len() == 1 && said[0].starts_with("index `"), "{said:?}");
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pg_dump_takes_apart_is_put_into_the_words_of_the_target() {
    let between = "a between 1 and 5 and b is not null";
    let pair = Pair::of(&format!(
        "{TABLE}
        create view grouped as select id, a, count(*) from t where {between} group by id;
        create view defaulted as select * from t where {between};
        alter view defaulted alter a set default 1;
        create function f(x int) returns bigint language sql
          begin atomic select count(*) from t where a between 1 and x and b is not null; end"
    ))
    .await;
    assert_eq!(pair.differences().await.unwrap(), Vec::<String>::new());
    for (change, told) in [
        (
            "create or replace view grouped as
               select id, a, count(*) from t where a between 1 and 6 and b is not null group by id",
            "rule `public.grouped._RETURN` differs: ",
        ),
        ("alter view defaulted alter a set default 2", "default `public.defaulted.a` differs: "),
        (
            "create or replace function f(x int) returns bigint language sql
               begin atomic select count(*) from t where a between 2 and x and b is not null; end",
            "function `public.f(integer)` differs: ",
        ),
    ] {
        pair.server.run("other", change).await;
        let said = pair.differences().await.unwrap();
        let found = said.iter().filter(|line| line.starts_with(told)).count();
        assert_eq!(found, 1, "`{told}` in {said:?}");
    }
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_once_more_stays_a_difference_that_says_where_to_look() {
    let pair = Pair::of(&format!(
        "{TABLE}
        create function wf(t) returns boolean language sql immutable as 'select true';
        create rule whole as on insert to t
          where new.a between 1 and 5 and wf(new.*) and new.b is not null do also select 1;"
    ))
    .await;
    let said = pair.differences().await.unwrap();
    assert!(
        said.iter().all(|line| line.starts_with("rule `public.t.whole` differs: ")),
        "{said:?}"
    );
    let hint = "both may mean the same: compare them by hand";
    assert!(
        said.iter().all(|line| line.contains("does not exist") && line.contains(hint)),
        "{said:?}"
    );
    assert!(!said.is_empty());
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_the_lines_of_a_childs_check_counts() {
    let child = |cases: &str| {
        format!(
            "create table chi (b int, constraint ck check (case {cases} else true end)) inherits (par);"
        )
    };
    let (one, other) = ("when a > 0 then b > 0", "when b > 5 then a < 3");
    let pair =
        Pair::of(&format!("create table par (a int); {}", child(&format!("{one} {other}")))).await;
    assert_eq!(pair.differences().await.unwrap(), Vec::<String>::new());
    let swapped = child(&format!("{other} {one}"));
    pair.server.run("other", &format!("drop table chi; {swapped}")).await;
    let said = pair.differences().await.unwrap();
    assert!(said.iter().any(|line| line.starts_with("table `public.chi` differs: ")), "{said:?}");
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_a_password_is_shown() {
    let pair = Pair::of(
        r"create foreign data wrapper plain; create server far foreign data wrapper plain;
          create user mapping for public server far options (password E'abc
secretline2')",
    )
    .await;
    assert_eq!(pair.differences().await.unwrap(), Vec::<String>::new());
    let change = r"alter user mapping for public server far options (set password E'abc
secretline3')";
    pair.server.run("other", change).await;
    let said = pair.differences().await.unwrap();
    let expect = "user mapping `USER MAPPING public SERVER far` differs: a value in `password '…'` is another";
    assert_eq!(said, [expect]);
    pair.end().await;
}
