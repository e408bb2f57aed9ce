//! The archive in its bucket: whether it is still what was dumped, and bytes of it.
//!
//! It reads ranges of one object, the same one from the first to the last. Tested in `tests/restore.rs`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_objects::reference::{CredentialsRef, DumpRef};
use pgferry_objects::{Bucket, Class as Of, Credentials, ObjectError};

use crate::dump::destination;

/// A range is asked for again after a while, twice as long each time, beside the repetitions of the store's client.
const ATTEMPTS: u32 = 4;
const FIRST_NAP: Duration = Duration::from_secs(1);

/// One version of an object. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Object {
    bucket: Bucket,
    key: Arc<str>,
    etag: Arc<str>,
    pub(super) size: u64,
    nap: Duration,
}

impl Object {
    /// Opens the object of `dump`, and makes sure that it is the one that was dumped.
    ///
    /// # Errors
    /// [`Class::Gone`] if it is not there any more, [`Class::Conflict`] if another one is.
    pub(super) async fn open(
        cx: &Cx,
        dump: &DumpRef,
        credentials: Option<&CredentialsRef>,
    ) -> Result<Self, Fault> {
        let (Some(name), Some(host)) = (&dump.bucket, &dump.endpoint) else {
            let what = format!("`{}` is in no bucket that it could be read from", dump.address);
            return Err(Fault::new(Class::Rejected, what).help("dump to a `bucket`"));
        };
        let credentials = match credentials {
            Some(key) => Credentials::new(key.access_key.expose(), key.secret_key.expose()),
            None => destination::ambient(cx)?,
        };
        let region = dump.region.as_deref().unwrap_or("us-east-1");
        let bucket = destination::open(cx, host, region, name, credentials)?;
        let again = || format!("dump again: --replace {}", dump.address);
        let meta = bucket.head(&dump.object).await.map_err(destination::fault)?;
        let Some(meta) = meta else {
            let what = format!("the dump `{}` is no longer in bucket `{name}`", dump.object);
            return Err(Fault::new(Class::Gone, what).help(again()));
        };
        let etag = dump.etag.as_deref().unwrap_or_default().trim_matches('"');
        let same = etag.is_empty() || meta.etag.is_empty() || etag == meta.etag;
        if meta.size != dump.size || !same {
            let what = format!("`{}` in bucket `{name}` is not what was dumped", dump.object);
            return Err(Fault::new(Class::Conflict, what)
                .help(format!("somebody wrote to it; {}", again())));
        }
        let (key, etag) = (dump.object.as_str().into(), meta.etag.as_str().into());
        Ok(Self { bucket, key, etag, size: meta.size, nap: FIRST_NAP })
    }

    /// Its name, for people.
    pub(super) fn name(&self) -> &str {
        &self.key
    }

    /// Bytes of it: all of `range`.
    ///
    /// # Errors
    /// The store refuses, or cannot be reached for a while; or another object is there now.
    pub(super) async fn read(&self, range: Range<u64>) -> Result<Bytes, Fault> {
        let mut nap = self.nap;
        let mut attempt = 1;
        loop {
            let read = self.bucket.get_range_of(&self.key, &self.etag, range.clone()).await;
            match read {
                Ok(bytes) if bytes.len() as u64 == range.end - range.start => return Ok(bytes),
                Ok(_) => return Err(self.changed()),
                Err(cause) if cause.class() == Of::Conflict => return Err(self.changed()),
                Err(cause) if cause.class() == Of::Transient && attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(nap).await;
                    nap *= 2;
                }
                Err(cause) => return Err(unread(cause)),
            }
        }
    }

    fn changed(&self) -> Fault {
        let what = format!("`{}` was written to while it was restored", self.key);
        Fault::new(Class::Conflict, what).help("dump again: it is not what was dumped any more")
    }
}

/// Nothing of a restore is repeated by itself: it would begin anew.
fn unread(cause: ObjectError) -> Fault {
    destination::final_fault(cause)
}
