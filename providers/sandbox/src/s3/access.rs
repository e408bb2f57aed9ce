//! Who may do what: keys, their grants, canned access lists.
//!
//! Knows no signatures and no storage. Tested here.

use std::collections::BTreeMap;
use std::time::Instant;

use super::failure::Failure;
use super::{Grants, Key};

/// The keys that are let in, by their public half.
#[derive(Default)]
pub(crate) struct Keys(BTreeMap<String, Key>);

impl Keys {
    pub(crate) fn insert(&mut self, key: Key) {
        self.0.insert(key.access_key.clone(), key);
    }

    pub(crate) fn remove(&mut self, access_key: &str) {
        self.0.remove(access_key);
    }

    /// The key of that name, if it works by now.
    pub(crate) fn usable(&self, access_key: &str, now: Instant) -> Result<Key, Failure> {
        let key = self.0.get(access_key).ok_or_else(Failure::invalid_access_key)?;
        match key.active_after {
            Some(active_after) if now < active_after => Err(Failure::access_denied()),
            _ => Ok(key.clone()),
        }
    }
}

/// Who sent a request, as far as was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    Anonymous,
    Keyed(Grants),
}

/// What a request wants of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To list objects.
    List,
    /// To read settings of the bucket, or its uploads.
    Inspect,
    /// To read an object.
    Read,
    /// To write or delete objects, uploads included.
    Write,
    /// To change an access list of an object or the bucket, to make or remove the bucket.
    Own,
}

impl Caller {
    /// Refuses what is not allowed. `bucket_acl` and `object_acl` are canned lists; the latter is `private` where no
    /// object is meant.
    pub(crate) fn check(
        &self,
        wish: Wish,
        bucket: &str,
        bucket_acl: &str,
        object_acl: &str,
    ) -> Result<(), Failure> {
        let granted = match self {
            Self::Anonymous => false,
            Self::Keyed(Grants::Unlimited) => true,
            Self::Keyed(Grants::Limited(grants)) => grants.iter().any(|(name, may_write)| {
                name == bucket
                    && match wish {
                        Wish::List | Wish::Inspect | Wish::Read => true,
                        Wish::Write => *may_write,
                        Wish::Own => false,
                    }
            }),
        };
        // Writing goes by the list of the bucket, reading by that of the object.
        let list = if wish == Wish::Read { object_acl } else { bucket_acl };
        let open = match (wish, list) {
            (Wish::List | Wish::Read, "public-read" | "public-read-write") => true,
            (Wish::Write, "public-read-write") => true,
            (Wish::List | Wish::Read, "authenticated-read") => *self != Self::Anonymous,
            _ => false,
        };
        if granted || open { Ok(()) } else { Err(Failure::access_denied()) }
    }
}

/// Whether this is one of the canned lists that Ceph takes.
pub(crate) fn is_canned(acl: &str) -> bool {
    matches!(
        acl,
        "private"
            | "public-read"
            | "public-read-write"
            | "authenticated-read"
            | "bucket-owner-read"
            | "bucket-owner-full-control"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn keys_are_unknown_then_early_then_usable() {
        let start = Instant::now();
        let mut keys = Keys::default();
        keys.insert(Key {
            access_key: "A".to_owned(),
            secret_key: "s".to_owned(),
            grants: Grants::Unlimited,
            active_after: Some(start + Duration::from_secs(30)),
        });
        let code = |name: &str, seconds| {
            keys.usable(name, start + Duration::from_secs(seconds))
                .err()
                .map(|failure| failure.code)
        };
        assert_eq!(code("B", 99), Some("InvalidAccessKeyId"));
        assert_eq!(code("A", 29), Some("AccessDenied"));
        assert_eq!(code("A", 30), None);
    }

    #[test]
    fn grants_and_lists_say_who_may() {
        use Wish::{Inspect, List, Own, Read, Write};
        let reader = Caller::Keyed(Grants::Limited(vec![("b".to_owned(), false)]));
        let writer = Caller::Keyed(Grants::Limited(vec![("b".to_owned(), true)]));
        let owner = Caller::Keyed(Grants::Unlimited);
        let allowed = |caller: &Caller, bucket: &str, bucket_acl: &str, object_acl: &str| {
            [List, Inspect, Read, Write, Own]
                .map(|wish| caller.check(wish, bucket, bucket_acl, object_acl).is_ok())
        };
        for (caller, bucket, bucket_acl, object_acl, expected) in [
            (&owner, "c", "private", "private", [true; 5]),
            (&writer, "b", "private", "private", [true, true, true, true, false]),
            (&reader, "b", "private", "private", [true, true, true, false, false]),
            (&writer, "c", "private", "private", [false; 5]),
            (&Caller::Anonymous, "b", "private", "private", [false; 5]),
            (&Caller::Anonymous, "b", "public-read", "private", [true, false, false, false, false]),
            (&Caller::Anonymous, "b", "private", "public-read", [false, false, true, false, false]),
            (&Caller::Anonymous, "b", "authenticated-read", "authenticated-read", [false; 5]),
            (&writer, "c", "authenticated-read", "private", [true, false, false, false, false]),
        ] {
            let found = allowed(caller, bucket, bucket_acl, object_acl);
            assert_eq!(found, expected, "{caller:?} {bucket} {bucket_acl} {object_acl}");
        }
    }
}
