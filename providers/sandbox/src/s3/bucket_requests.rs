//! Requests for buckets: making, removing, listing, settings.
//!
//! Tested in `tests/s3.rs`.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use jiff::Timestamp;

use super::access::{Caller, Wish, is_canned};
use super::answer::{Answer, document, empty, iso, limit, quoted};
use super::body::Incoming;
use super::bucket::{Bucket, Heeds};
use super::failure::Failure;
use super::head::Head;
use super::listing::{Entry, Wanted, page};
use super::signature::{hex, unhex};
use super::xml::{self, Element};
use super::{BucketError, Grants, S3, uri};

pub(crate) const OWNER: &str = "sandbox";

impl S3 {
    pub(crate) fn list_buckets(&self, caller: &Caller) -> Answer {
        let Caller::Keyed(grants) = caller else { return Err(Failure::access_denied()) };
        let mut list = Element::new("Buckets");
        for bucket in self.buckets() {
            let is_seen = match grants {
                Grants::Unlimited => true,
                Grants::Limited(grants) => grants.iter().any(|(name, _)| *name == bucket.name),
            };
            if is_seen {
                let mut entry = Element::new("Bucket");
                entry.text("Name", &bucket.name).text("CreationDate", &iso(bucket.created));
                list.child(entry);
            }
        }
        let mut result = Element::new("ListAllMyBucketsResult");
        result.child(owner("Owner")).child(list);
        Ok(document(&result))
    }

    pub(crate) async fn make_bucket(
        &self,
        head: &Head,
        incoming: &mut Incoming,
        caller: &Caller,
    ) -> Answer {
        if *caller != Caller::Keyed(Grants::Unlimited) {
            return Err(Failure::access_denied());
        }
        if !is_bucket_name(&head.bucket) {
            return Err(Failure::invalid_bucket_name());
        }
        let body = incoming.document(head).await?;
        if !body.is_empty() {
            let place = xml::text_of(&body, "CreateBucketConfiguration", "LocationConstraint")?;
            if place.is_some_and(|place| !place.is_empty() && place != "default") {
                return Err(Failure::invalid_location());
            }
        }
        let acl = canned_acl(head)?;
        // Whoever asks for a bucket that is his already is told yes.
        let mut world = self.world();
        world.buckets.entry(head.bucket.clone()).or_insert_with(|| {
            let mut bucket = Bucket::new(Timestamp::now());
            bucket.acl = acl;
            bucket
        });
        Ok(empty(StatusCode::OK))
    }

    pub(crate) fn remove_bucket(&self, head: &Head, caller: &Caller) -> Answer {
        self.permit(caller, Wish::Own, head)?;
        match self.delete_bucket(&head.bucket) {
            Ok(()) => Ok(empty(StatusCode::NO_CONTENT)),
            Err(BucketError::Missing(_)) => Err(Failure::no_such_bucket()),
            Err(BucketError::NotEmpty(_)) => Err(Failure::bucket_not_empty()),
        }
    }

    pub(crate) fn head_bucket(&self, head: &Head, caller: &Caller) -> Answer {
        self.permit(caller, Wish::List, head)?;
        let world = self.world();
        let bucket = world.buckets.get(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        let info = bucket.info(&head.bucket);
        let mut response = empty(StatusCode::OK);
        response.headers_mut().insert("x-rgw-object-count", HeaderValue::from(info.objects));
        response.headers_mut().insert("x-rgw-bytes-used", HeaderValue::from(info.bytes));
        Ok(response)
    }

    pub(crate) fn bucket_setting(&self, head: &Head, caller: &Caller) -> Answer {
        let setting = head.operands().next().unwrap_or_default();
        let is_known =
            matches!(setting, "location" | "acl" | "policyStatus" | "versioning" | "encryption");
        if !is_known {
            return Err(Failure::not_implemented());
        }
        self.permit(caller, Wish::Inspect, head)?;
        let acl = self.acl(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        Ok(match setting {
            "location" => document(&Element::new("LocationConstraint")),
            "versioning" => {
                let mut configuration = Element::new("VersioningConfiguration");
                let world = self.world();
                if world.buckets.get(&head.bucket).is_some_and(|it| it.heeds == Heeds::IfMatch) {
                    configuration.text("Status", "Enabled");
                }
                document(&configuration)
            }
            "acl" => document(&access_list(&acl)),
            "policyStatus" => {
                let is_public = acl.starts_with("public-") || acl == "authenticated-read";
                let mut status = Element::new("PolicyStatus");
                status.text("IsPublic", if is_public { "True" } else { "False" });
                document(&status)
            }
            _ => empty(StatusCode::OK), // encryption that was never set
        })
    }

    pub(crate) async fn put_versioning(
        &self,
        head: &Head,
        incoming: &mut Incoming,
        caller: &Caller,
    ) -> Answer {
        self.permit(caller, Wish::Own, head)?;
        let body = incoming.document(head).await?;
        let status = xml::text_of(&body, "VersioningConfiguration", "Status")?;
        match status.as_deref() {
            Some("Enabled") => self.set_versioned(&head.bucket, true),
            Some("Suspended") => self.set_versioned(&head.bucket, false),
            _ => return Err(Failure::malformed_xml()),
        }
        Ok(empty(StatusCode::OK))
    }

    pub(crate) async fn put_bucket_acl(
        &self,
        head: &Head,
        incoming: &mut Incoming,
        caller: &Caller,
    ) -> Answer {
        self.permit(caller, Wish::Own, head)?;
        let acl = canned_acl_alone(head, incoming).await?;
        self.set_acl(&head.bucket, &acl);
        Ok(empty(StatusCode::OK))
    }

    pub(crate) fn list_objects(&self, head: &Head, caller: &Caller) -> Answer {
        self.permit(caller, Wish::List, head)?;
        let version = head.parameter("list-type").unwrap_or("1");
        if !matches!(version, "1" | "2") {
            return Err(Failure::invalid_argument());
        }
        let is_second = version == "2";
        let text = |name| head.parameter(name).unwrap_or_default();
        let token = unhex(text("continuation-token"))
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(Failure::invalid_argument)?;
        let max_keys = limit(head, "max-keys", 1000)?;
        let wanted = Wanted {
            prefix: text("prefix"),
            delimiter: text("delimiter"),
            start_after: if is_second { text("start-after") } else { "" },
            resume_after: if is_second { &token } else { text("marker") },
            limit: max_keys,
        };
        let encoded = |name: &str| match head.parameter("encoding-type") {
            Some("url") => uri::encode(name, true),
            _ => name.to_owned(),
        };
        let world = self.world();
        let bucket = world.buckets.get(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        let (entries, is_truncated) = page(bucket.objects.keys().map(String::as_str), &wanted);

        let mut result = Element::new("ListBucketResult");
        result
            .text("Name", &head.bucket)
            .text("Prefix", &encoded(wanted.prefix))
            .text("MaxKeys", &max_keys.to_string())
            .text("IsTruncated", if is_truncated { "true" } else { "false" });
        if !wanted.delimiter.is_empty() {
            result.text("Delimiter", &encoded(wanted.delimiter));
        }
        if let Some(encoding) = head.parameter("encoding-type") {
            result.text("EncodingType", encoding);
        }
        let next = entries.last().map(Entry::name).filter(|_| is_truncated);
        if is_second {
            result.text("KeyCount", &entries.len().to_string());
            if let Some(next) = next {
                result.text("NextContinuationToken", &hex(next.as_bytes()));
            }
        } else {
            result.text("Marker", &encoded(wanted.resume_after));
            if let Some(next) = next {
                result.text("NextMarker", &encoded(next));
            }
        }
        for entry in &entries {
            match entry {
                Entry::Prefix(prefix) => {
                    let mut common = Element::new("CommonPrefixes");
                    common.text("Prefix", &encoded(prefix));
                    result.child(common);
                }
                Entry::Key(key) => {
                    let object = bucket.object(key)?;
                    let mut contents = Element::new("Contents");
                    contents
                        .text("Key", &encoded(key))
                        .text("LastModified", &iso(object.last_modified))
                        .text("ETag", &quoted(&object.etag))
                        .text("Size", &object.size.to_string())
                        .text("StorageClass", "STANDARD");
                    if !is_second || head.parameter("fetch-owner") == Some("true") {
                        contents.child(owner("Owner"));
                    }
                    result.child(contents);
                }
            }
        }
        Ok(document(&result))
    }
}

/// The canned list that a request names in its header; `private` if none.
pub(crate) fn canned_acl(head: &Head) -> Result<String, Failure> {
    let acl = head.header("x-amz-acl").unwrap_or("private");
    if is_canned(acl) { Ok(acl.to_owned()) } else { Err(Failure::invalid_argument()) }
}

/// The canned list of a request that only sets one; lists written out in XML are not implemented.
pub(crate) async fn canned_acl_alone(
    head: &Head,
    incoming: &mut Incoming,
) -> Result<String, Failure> {
    if head.header("x-amz-acl").is_none() || !incoming.document(head).await?.is_empty() {
        return Err(Failure::not_implemented());
    }
    canned_acl(head)
}

/// A canned list as grants.
pub(crate) fn access_list(acl: &str) -> Element {
    const ALL: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
    const KNOWN: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
    let groups: &[(&str, &str)] = match acl {
        "public-read" => &[(ALL, "READ")],
        "public-read-write" => &[(ALL, "READ"), (ALL, "WRITE")],
        "authenticated-read" => &[(KNOWN, "READ")],
        _ => &[],
    };
    let mut list = Element::new("AccessControlList");
    for (group, permission) in groups {
        let mut grantee = Element::with_attributes(
            "Grantee",
            "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\"",
        );
        grantee.text("URI", group);
        list.child(grant(grantee, permission));
    }
    let mut grantee = Element::with_attributes(
        "Grantee",
        "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"",
    );
    grantee.text("ID", OWNER).text("DisplayName", OWNER);
    list.child(grant(grantee, "FULL_CONTROL"));
    let mut policy = Element::new("AccessControlPolicy");
    policy.child(owner("Owner")).child(list);
    policy
}

fn grant(grantee: Element, permission: &str) -> Element {
    let mut grant = Element::new("Grant");
    grant.child(grantee).text("Permission", permission);
    grant
}

pub(crate) fn owner(name: &'static str) -> Element {
    let mut owner = Element::new(name);
    owner.text("ID", OWNER).text("DisplayName", OWNER);
    owner
}

fn is_bucket_name(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
        })
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
}

/// Sets a header whose name is known.
pub(crate) fn with_header(
    response: &mut Response<Body>,
    name: &'static str,
    value: &str,
) -> Result<(), Failure> {
    let value = HeaderValue::try_from(value).map_err(|_| Failure::internal())?;
    response.headers_mut().insert(name, value);
    Ok(())
}
