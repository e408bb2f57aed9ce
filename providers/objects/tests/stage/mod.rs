//! The sandbox's S3 service on a free port, with one bucket and one key, and a switch before it for faults.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use pgferry_objects::{Bucket, Credentials, Endpoint};
use pgferry_sandbox::s3::{Grants, Key, S3};
use tokio::task::JoinHandle;

pub(crate) const BUCKET: &str = "dumps";
pub(crate) const ACCESS_KEY: &str = "AKTEST";
pub(crate) const SECRET_KEY: &str = "secret-of-the-test";

pub(crate) type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
type Fault = Arc<dyn Fn(Request, Next) -> Answering + Send + Sync>;

/// Stops serving and removes its files when dropped.
pub(crate) struct Stage {
    pub(crate) s3: S3,
    pub(crate) origin: String,
    fault: Arc<Mutex<Option<Fault>>>,
    serving: JoinHandle<()>,
    _files: tempfile::TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let files = tempfile::tempdir().expect("a temporary folder");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let host = listener.local_addr().expect("an address").to_string();
        let s3 = S3::open(files.path(), host.clone()).expect("a service");
        s3.create_bucket(BUCKET).expect("a bucket");
        s3.add_key(key(Grants::Unlimited));
        let fault: Arc<Mutex<Option<Fault>>> = Arc::default();
        let switch = Arc::clone(&fault);
        let router = s3.router().layer(middleware::from_fn(move |request, next: Next| {
            let fault = switch.lock().expect("the switch").clone();
            async move {
                match fault {
                    Some(fault) => fault(request, next).await,
                    None => next.run(request).await,
                }
            }
        }));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving");
        });
        Self { s3, origin: format!("http://{host}"), fault, serving, _files: files }
    }

    /// Puts something between the clients and the service.
    pub(crate) fn interpose(
        &self,
        fault: impl Fn(Request, Next) -> Answering + Send + Sync + 'static,
    ) {
        *self.fault.lock().expect("the switch") = Some(Arc::new(fault));
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::from_url(&self.origin, "us-ord").expect("an endpoint")
    }

    pub(crate) fn bucket(&self) -> Bucket {
        self.bucket_with(SECRET_KEY)
    }

    pub(crate) fn bucket_with(&self, secret_key: &str) -> Bucket {
        let credentials = Credentials::new(ACCESS_KEY, secret_key);
        Bucket::open(&self.endpoint(), BUCKET, credentials).expect("a bucket")
    }
}

pub(crate) fn key(grants: Grants) -> Key {
    Key {
        access_key: ACCESS_KEY.to_owned(),
        secret_key: SECRET_KEY.to_owned(),
        grants,
        active_after: None,
    }
}
