//! Waiting until a new key is let in.
//!
//! Time passes only as the caller's sleep says. Tested in `tests/bucket.rs`.

use std::time::Duration;

use crate::bucket::Bucket;
use crate::error::{Class, ObjectError};

const NAPS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(5),
];

impl Bucket {
    /// Lists the bucket until the key is no longer refused. A key made just now may be unknown to the
    /// store, or without its rights, for up to a minute (Akamai TechDocs; seen to take 30 s).
    ///
    /// `sleep` is the caller's clock; `patience` bounds the sum of the naps.
    ///
    /// # Errors
    /// `Denied` when patience is at an end, or at once for a wrong secret; other classes at once.
    pub async fn wait_until_usable<Sleep, Nap>(
        &self,
        patience: Duration,
        sleep: Sleep,
    ) -> Result<(), ObjectError>
    where
        Sleep: Fn(Duration) -> Nap,
        Nap: Future<Output = ()>,
    {
        let attempt = format!("opening `{}` with a new key", self.name);
        let probe = [("list-type", "2"), ("max-keys", "1")];
        let mut waited = Duration::ZERO;
        let mut naps = NAPS.into_iter();
        loop {
            let error = match self.signed_get_document(&attempt, &probe).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let may_pass = error.class() == Class::Denied
                && matches!(error.code(), None | Some("AccessDenied" | "InvalidAccessKeyId"));
            if !may_pass || waited >= patience {
                return Err(error);
            }
            let nap = naps.next().unwrap_or(NAPS[NAPS.len() - 1]).min(patience - waited);
            sleep(nap).await;
            waited += nap;
        }
    }
}
