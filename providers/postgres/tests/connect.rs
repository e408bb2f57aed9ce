//! Connections: whom they trust, what they may do, and what is said when they fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::reference::{Endpoint, Tls};
use pgferry_engine::secret::Secret;
use pgferry_postgres::connect::{Access, Format, connect};
use stage::Stage;

async fn failure(endpoint: &Endpoint) -> Fault {
    match connect(endpoint, Access::ReadOnly, Format::Own).await {
        Ok(_) => panic!("it connected"),
        Err(fault) => fault,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_is_checked_and_faults_name_the_server_but_no_password() {
    let stage = Stage::new().await;
    let good = stage.endpoint("acme_org_db");
    let session = connect(&good, Access::ReadOnly, Format::Own).await.unwrap();
    let row = session
        .query_one(
            "select ssl, current_setting('application_name'), current_setting('statement_timeout')
             from pg_stat_ssl where pid = pg_backend_pid()",
            &[],
        )
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0));
    assert_eq!((row.get::<_, &str>(1), row.get::<_, &str>(2)), ("pgferry", "0"));
    let refused = session.batch_execute("create table t ()").await.unwrap_err();
    let fault = session.fault("trying to write", refused);
    assert!(fault.chain().contains("read-only transaction"), "{}", fault.chain());
    drop(session);

    // Without its authority the server is a stranger; encryption alone is given only when asked for.
    let mut stranger = stage.endpoint("acme_org_db");
    stranger.ca_certificate = None;
    stranger.tls = Some(Tls::VerifyFull);
    let fault = failure(&stranger).await;
    assert_eq!(fault.class, Class::Failed, "{}", fault.chain());
    assert!(fault.help.unwrap().contains("ca_certificate"));
    stranger.tls = Some(Tls::Require);
    connect(&stranger, Access::ReadOnly, Format::Own).await.unwrap();

    let mut wrong = stage.endpoint("acme_org_db");
    let url = url::Url::parse(wrong.url.expose()).unwrap();
    let password = url.password().unwrap().to_owned();
    wrong.url = Secret::new(wrong.url.expose().replace(&password, "never-the-password"));
    let fault = failure(&wrong).await;
    assert_eq!(fault.class, Class::Denied, "{}", fault.chain());
    assert!(!fault.chain().contains("never-the-password"));

    let mut nobody = stage.endpoint("acme_org_db");
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let (from, to) = (format!(":{}/", url.port().unwrap()), format!(":{port}/"));
    nobody.url = Secret::new(nobody.url.expose().replace(&from, &to));
    let fault = failure(&nobody).await;
    assert_eq!(fault.class, Class::Retry { after: None }, "{}", fault.chain());
    assert!(fault.chain().contains(&format!("127.0.0.1:{port}")), "{}", fault.chain());
    assert!(fault.help.unwrap().contains("allow list"));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_the_url_are_obeyed_and_unknown_parameters_refused() {
    let stage = Stage::new().await;
    let with = |more: &str| {
        let mut endpoint = stage.endpoint("acme_org_db");
        let sign = if endpoint.url.expose().contains('?') { '&' } else { '?' };
        endpoint.url = Secret::new(format!("{}{sign}{more}", endpoint.url.expose()));
        endpoint
    };
    let asked = with("options=-c%20work_mem%3D123MB&channel_binding=require");
    let session = connect(&asked, Access::ReadOnly, Format::Own).await.unwrap();
    let row = session.query_one("select current_setting('work_mem')", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "123MB");
    drop(session);
    let fault = failure(&with("sslmod=disable")).await;
    assert_eq!(fault.class, Class::Rejected);
    assert!(fault.chain().contains("its parameter `sslmod` is not supported"), "{}", fault.chain());
    stage.end().await;
}
