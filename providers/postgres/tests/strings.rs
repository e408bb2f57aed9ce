//! Connection strings in all their forms, obeyed by our own sessions and by `pg_dump` alike, on real servers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::AnyResource;
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::{Handle, Tree};
use pgferry_postgres::database::Database;
use pgferry_postgres::dump::Dump;
use stage::bare::{Server, Yard};
use stage::{Stage, change, servers, spec};

/// A `postgres.database` with this `url`, as a spec's `${source}` hands it on.
async fn read(cx: &Cx, url: &str) -> Result<Tree, Fault> {
    let want = spec(vec![("url", Tree::Secret(Secret::new(url)))]);
    let live = AnyResource::read(&Database, cx, &want, None).await?.unwrap();
    let Tree::Map(attrs) = live.attrs else { panic!("attributes") };
    let (address, id) = (Address::new("source"), Some(live.id));
    Ok(Tree::Resource(Arc::new(Handle { address, id, attrs })))
}

fn attribute(handle: &Tree, name: &str) -> String {
    let Tree::Resource(handle) = handle else { panic!("a resource") };
    match &handle.attrs[name] {
        Tree::Secret(secret) => secret.expose().to_owned(),
        other => other.to_typed().unwrap(),
    }
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

struct Parts {
    port: u16,
    user: String,
    password: String,
}

/// The sandbox's source, whose authority lies beside the spec as `ca.pem`.
async fn parts() -> (Stage, Parts) {
    let stage = Stage::new().await;
    let url = url::Url::parse(&stage.url("acme_org_db")).unwrap();
    let Tree::Resource(source) = stage.source_handle() else { panic!("a resource") };
    let authority: String = source.attrs["ca_certificate"].to_typed().unwrap();
    write(&stage.home.path().join("ca.pem"), &authority);
    let (user, password) = (url.username().to_owned(), url.password().unwrap().to_owned());
    (stage, Parts { port: url.port().unwrap(), user, password })
}

/// Dumps it into the stage's bucket by the real programs.
async fn dump(stage: &Stage, source: Tree, object: &str) {
    let want = spec(vec![
        ("source", source),
        ("to", spec(vec![("bucket", stage.bucket_handle()), ("object", Tree::text(object))])),
    ]);
    let done = AnyResource::act(&Dump, &stage.cx("dump"), change(want)).await;
    done.map_err(|fault| fault.chain()).unwrap();
    assert!(stage.bucket().head(object).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_and_a_file_of_authorities_lead_to_the_server() {
    let (stage, Parts { port, user, password }) = parts().await;
    let cx = stage.cx("source");
    let pairs =
        format!("host=127.0.0.1 port={port} user={user} password='{password}' dbname=acme_org_db");
    let source = read(&cx, &format!("{pairs} sslmode=require sslrootcert=ca.pem")).await.unwrap();
    assert_eq!(attribute(&source, "tls"), "verify-full");
    assert!(attribute(&source, "url").starts_with(&format!("postgres://{user}:")));
    dump(&stage, source, "pairs.dump").await;

    // The machine's store does not know the sandbox's authority.
    let fault = read(&cx, &format!("{pairs} sslrootcert=system")).await.unwrap_err();
    assert_eq!(fault.class, Class::Failed, "{}", fault.chain());
    assert!(fault.help.unwrap().contains("sslrootcert=FILE"));
    for (more, why) in [
        ("sslrootcert=system sslmode=require", "wants `sslmode=verify-full`"),
        ("sslrootcert=nowhere.pem", "cannot be read"),
        ("sslpassword=SecretTail", "its parameter `sslpassword` is not supported"),
        ("target_session_attrs=best", "its `target_session_attrs` is not one of"),
        ("service=nowhere", "it names the service `nowhere`, which is not in"),
        ("passfile=nowhere", "is missing"),
        ("port=1,2", "it has 2 values of `port` for 1 hosts"),
    ] {
        let fault = read(&cx, &format!("{pairs} {more}")).await.unwrap_err();
        assert_eq!(fault.class, Class::Rejected, "{more}: {}", fault.chain());
        assert!(fault.chain().contains(why), "{more}: {}", fault.chain());
        assert!(!fault.chain().contains("SecretTail"));
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_found_where_libpq_finds_it() {
    let (stage, Parts { port, user, password }) = parts().await;
    let url = format!("postgres://{user}@127.0.0.1:{port}/acme_org_db?sslrootcert=ca.pem");
    let cx = |env: &[(&str, &str)]| stage.cx_with("source", env, Vec::new());

    let fault = read(&cx(&[]), &url).await.unwrap_err();
    assert_eq!(fault.class, Class::Denied, "{}", fault.chain());
    assert!(fault.help.unwrap().contains("none was given"), "the help fits the cause");

    let home = stage.home.path();
    let line = format!("127.0.0.1:{port}:*:{user}:{password}\n");
    let kept = write(&home.join(".pgpass"), &line);
    let home = home.display().to_string();
    let source = read(&cx(&[("HOME", &home)]), &url).await.unwrap();
    dump(&stage, source, "pgpass.dump").await;

    let other = write(&stage.home.path().join("other"), &format!("nowhere:*:*:*:x\n{line}"));
    read(&cx(&[("PGPASSFILE", &other)]), &url).await.unwrap();
    read(&cx(&[]), &format!("{url}&passfile=other")).await.unwrap();

    std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o644)).unwrap();
    let fault = read(&cx(&[("HOME", &home)]), &url).await.unwrap_err();
    assert!(fault.chain().contains("chmod 600"), "{}", fault.chain());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gives_what_the_string_leaves_out() {
    let (stage, Parts { port, user, password }) = parts().await;
    let text = format!(
        "[other]\nhost=nowhere.invalid\n\n# ours\n[acme]\nhost=nowhere.invalid\nport={port}\nuser={user}\n\
         password={password}\ndbname=acme_org_db\nsslrootcert=ca.pem\n[last]\nport=1\n"
    );
    let file = write(&stage.home.path().join("services"), &text);
    let cx = stage.cx_with("source", &[("PGSERVICEFILE", &file)], Vec::new());
    let source = read(&cx, "service=acme host=127.0.0.1").await.unwrap();
    assert_eq!(attribute(&source, "database"), "acme_org_db");
    dump(&stage, source, "service.dump").await;
    let fault = read(&cx, "postgres://127.0.0.1/?service=nobody").await.unwrap_err();
    assert_eq!(fault.class, Class::Rejected, "{}", fault.chain());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_one_that_is_wanted_is_used() {
    let bin = servers::folders().iter().rev().find_map(|folder| servers::Bin::of(folder, "initdb"));
    let primary = servers::Server::start(&bin.unwrap());
    let standby = primary.standby();
    let place = |server: &servers::Server| {
        let url = url::Url::parse(&server.url("postgres")).unwrap();
        format!("127.0.0.1:{}", url.port().unwrap())
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yard = Yard::new().await;
    let cx = yard.cx("source");
    let hosts = format!("{closed},{},{}", place(&standby), place(&primary));
    let of = async |wanted: &str| {
        let url = format!(
            "postgres://postgres@{hosts}/postgres?sslmode=disable&target_session_attrs={wanted}"
        );
        let source = read(&cx, &url).await.map_err(|fault| fault.chain())?;
        Ok::<_, String>(format!("127.0.0.1:{}", attribute_number(&source, "port")))
    };
    for wanted in ["primary", "read-write"] {
        assert_eq!(of(wanted).await, Ok(place(&primary)), "{wanted}");
    }
    for wanted in ["standby", "read-only", "prefer-standby", "any"] {
        assert_eq!(of(wanted).await, Ok(place(&standby)), "{wanted}");
    }
    let only = format!(
        "postgres://postgres@{}/postgres?sslmode=disable&target_session_attrs=",
        place(&standby)
    );
    let fault = read(&cx, &format!("{only}primary")).await.unwrap_err();
    assert!(fault.chain().contains("it is a standby"), "{}", fault.chain());
    read(&cx, &format!("{only}prefer-standby")).await.unwrap();
}

fn attribute_number(handle: &Tree, name: &str) -> u16 {
    let Tree::Resource(handle) = handle else { panic!("a resource") };
    handle.attrs[name].to_typed().unwrap()
}

/// An authority of its own in `folder`, as `{file}.pem`, and a certificate for `name` that it signs.
fn certificate(folder: &Path, file: &str, name: &str) {
    let openssl = |request: &str| {
        let out = Command::new("openssl").args(request.split(' ')).current_dir(folder).output();
        let out = out.unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    let new = "req -newkey rsa:2048 -nodes";
    openssl(&format!("{new} -x509 -days 2 -subj /CN=authority -keyout ca.key -out {file}.pem"));
    openssl(&format!("{new} -subj {name} -keyout {file}.key -out {file}.csr"));
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1,DNS:db.acme.test").unwrap();
    openssl(&format!(
        "x509 -req -days 2 -in {file}.csr -CA {file}.pem -CAkey ca.key -CAcreateserial -extfile names -out {file}.crt"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_and_an_address_are_obeyed() {
    let (server, yard) = (Server::start(), Yard::new().await);
    let home = yard.home.path();
    certificate(home, "server", "/CN=db.acme.test");
    certificate(home, "client", "/CN=postgres");
    server.run("postgres", "create database acme");
    server.run("acme", "create table t (a int); insert into t values (1)");
    let data = server.data.path().join("data");
    for (from, to) in
        [("server.crt", "server.crt"), ("server.key", "server.key"), ("client.pem", "root.crt")]
    {
        // Written over a file that the server owns, so that it stays the server's.
        std::fs::copy(data.join("PG_VERSION"), data.join(to)).unwrap();
        let owner = std::os::unix::fs::MetadataExt::uid(&data.metadata().unwrap());
        std::os::unix::fs::chown(data.join(to), Some(owner), None).unwrap();
        write(&data.join(to), &std::fs::read_to_string(home.join(from)).unwrap());
    }
    for set in ["ssl = on", "ssl_ca_file = 'root.crt'"] {
        server.run("postgres", &format!("alter system set {set}"));
    }
    let rules = "local all all trust\nhostssl acme all 127.0.0.1/32 cert\nhost postgres all 127.0.0.1/32 trust\n";
    std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
    let port = server.ask("postgres", "show port");
    server.run("postgres", "select pg_reload_conf()");
    for _ in 0..100 {
        if server.ask("postgres", "show ssl") == "on" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }

    let cx = yard.cx("source");
    // Nobody's DNS knows the name, which the certificate has.
    let url = format!(
        "postgres://postgres@db.acme.test:{port}/acme?hostaddr=127.0.0.1&sslrootcert=server.pem"
    );
    let fault = read(&cx, &url).await.unwrap_err();
    assert!(fault.help.as_ref().unwrap().contains("sslcert"), "{} {:?}", fault.chain(), fault.help);
    let with = format!("{url}&sslcert=client.crt&sslkey=client.key");
    std::fs::set_permissions(home.join("client.key"), std::fs::Permissions::from_mode(0o644))
        .unwrap();
    let fault = read(&cx, &with).await.unwrap_err();
    assert_eq!(fault.class, Class::Rejected, "{}", fault.chain());
    std::fs::set_permissions(home.join("client.key"), std::fs::Permissions::from_mode(0o600))
        .unwrap();
    let source = read(&cx, &with).await.map_err(|fault| fault.chain()).unwrap();
    assert_eq!(attribute(&source, "host"), "db.acme.test");
    let _dumped = yard.dump(yard.dump_of(source, None, "certified.dump")).await;
    let file = yard.file("certified.dump").await;
    assert!(server.client("pg_restore", &["--list", &file]).contains("TABLE DATA public t"));
}
