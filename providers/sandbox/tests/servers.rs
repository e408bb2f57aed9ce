//! The two Postgres servers: TLS as in life, the seeded source, roles without power.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::process::{Command, Output};

use pgferry_sandbox::{Options, Sandbox};

fn psql(url: &str, more: &str, query: &str) -> Output {
    let url = url::Url::parse(url).unwrap();
    let target = format!(
        "host=127.0.0.1 port={} user={} dbname={} {more}",
        url.port().unwrap(),
        url.username(),
        url.path().trim_start_matches('/'),
    );
    Command::new("psql")
        .args(["-X", "-A", "-t", "-c", query, &target])
        .env("PGPASSWORD", url.password().unwrap())
        .output()
        .unwrap()
}

fn answer(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_what_the_story_needs() {
    let home = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(home.path(), &Options::default()).await.unwrap();
    let url = sandbox.environment().get("SOURCE_DATABASE_URL").to_owned();
    let ask = |query: &str| answer(&psql(&url, "sslmode=require", query));

    let megabytes: u64 =
        ask("select pg_database_size(current_database()) / 1000000").parse().unwrap();
    assert!((50..=70).contains(&megabytes), "{megabytes} MB");
    assert_eq!(
        ask("select current_user, usesuper, usecreatedb from pg_user where usename = current_user"),
        "akmadmin|f|t"
    );
    assert_eq!(
        ask("select string_agg(extname, ' ' order by extname) from pg_extension"),
        "plpgsql tablefunc uuid-ossp"
    );
    assert_eq!(
        ask(
            "select string_agg(nspname, ',' order by nspname) from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'"
        ),
        "Weird Schema,audit,billing,public"
    );
    assert_eq!(ask("select count(*) from pg_largeobject_metadata"), "40");
    assert_eq!(
        ask("select count(*) from pg_inherits where inhparent = 'public.orders'::regclass"),
        "5"
    );
    assert_eq!(ask("show timezone"), "Europe/Berlin");
    assert_eq!(
        ask(
            "select count(*) from pg_class where relowner <> 'akmadmin'::regrole and oid >= 16384 and relkind in ('r', 'v', 'm', 'S', 'p')"
        ),
        "0"
    );

    // The authority vouches for both names of the server, and only with it can the server be verified.
    let authority = home.path().join("source-ca.pem");
    let verified = format!("sslmode=verify-full sslrootcert={}", authority.display());
    assert_eq!(
        answer(&psql(&url, &verified, "select ssl from pg_stat_ssl where pid = pg_backend_pid()")),
        "t"
    );
    assert_eq!(
        answer(&psql(&url, &format!("{verified} host=localhost hostaddr=127.0.0.1"), "select 1")),
        "1"
    );
    assert!(!psql(&url, "sslmode=disable", "select 1").status.success());
    assert!(!psql(&url.replace("AVNS_", "AVNS"), "sslmode=require", "select 1").status.success());
    sandbox.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_rows_are_planted_each_time() {
    let digest = async || {
        let home = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(home.path(), &Options { megabytes: 1, ..Options::default() })
            .await
            .unwrap();
        let url = sandbox.environment().get("SOURCE_DATABASE_URL").to_owned();
        let query = "select (select sum(balance) from accounts), (select md5(string_agg(a::text, '' order by id)) from accounts a where id > 25),
            (select md5(string_agg(d::text, '' order by id)) from documents d), (select sum(total) from orders)";
        let digest = answer(&psql(&url, "sslmode=require", query));
        sandbox.stop().await.unwrap();
        digest
    };
    assert_eq!(digest().await, digest().await);
}
