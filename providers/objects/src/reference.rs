//! Fields that want a bucket, the keys to one, or a dump: `bucket: ${bucket}`, `credentials: ${key}`, `from: ${dump}`.
//!
//! Decoded from the attributes of whatever is referred to, as the engine's own `Endpoint` is. Knows no provider: any
//! resource with these attributes fits. Tested beside.

use std::borrow::Cow;

use pgferry_engine::address::Address;
use pgferry_engine::reference::reference_schema;
use pgferry_engine::secret::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

/// A bucket: any resource with an `endpoint` and a `region`, called by its `name` or `label`.
#[derive(Clone, Debug, Deserialize)]
pub struct BucketRef {
    /// Where it comes from, for messages.
    #[serde(rename = "$address")]
    pub address: Address,
    /// The remote id of that resource.
    #[serde(rename = "$id", default)]
    pub id: Option<String>,
    /// The bucket's name as S3 has it.
    #[serde(alias = "label")]
    pub name: String,
    /// The S3 host, with or without a scheme; the environment may put another in its place.
    pub endpoint: String,
    /// The provider's region.
    pub region: String,
}

/// A pair of keys: any resource with `access_key!` and `secret_key!`.
#[derive(Clone, Debug, Deserialize)]
pub struct CredentialsRef {
    /// Where it comes from, for messages.
    #[serde(rename = "$address")]
    pub address: Address,
    pub access_key: Secret,
    pub secret_key: Secret,
}

/// A finished dump in a bucket: any resource with an `object` and its `size`.
///
/// `bucket`, `endpoint` and `region` tell where the object is; a dump by URL has none of them.
#[derive(Clone, Debug, Deserialize)]
pub struct DumpRef {
    /// Where it comes from, for messages.
    #[serde(rename = "$address")]
    pub address: Address,
    /// The remote id of that resource.
    #[serde(rename = "$id", default)]
    pub id: Option<String>,
    /// The bucket's name.
    #[serde(default)]
    pub bucket: Option<String>,
    /// The bucket's S3 host, as in [`BucketRef::endpoint`].
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The bucket's region.
    #[serde(default)]
    pub region: Option<String>,
    /// The object's key.
    pub object: String,
    /// Bytes.
    pub size: u64,
    /// Of the whole object, in lower-case hex.
    #[serde(default)]
    pub sha256: Option<String>,
    /// As the store told it after the upload; quotes may or may not be there.
    #[serde(default)]
    pub etag: Option<String>,
    /// Of the archive's header, `1.16`.
    #[serde(default)]
    pub archive_version: Option<String>,
    /// How it is compressed, where that is told: `none`, `zlib 4`, `zstd 1 to 3`.
    #[serde(default)]
    pub compression: Option<String>,
    /// What is in it, where that is told.
    #[serde(default)]
    pub tables: Vec<TableRef>,
}

/// A table in a dump.
#[derive(Clone, Debug, Deserialize)]
pub struct TableRef {
    /// `public.accounts`.
    pub name: String,
    /// How many, where they were counted.
    #[serde(default)]
    pub rows: Option<u64>,
}

macro_rules! reference {
    ($type:ident, $($attribute:literal),+) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                reference_schema(&[$($attribute),+])
            }
        }
    };
}

reference!(BucketRef, "endpoint", "region");
reference!(CredentialsRef, "access_key", "secret_key");
reference!(DumpRef, "object", "size");

#[cfg(test)]
mod tests {
    use pgferry_engine::tree::{Handle, Tree};
    use serde_json::json;

    use super::*;

    fn resource(attrs: serde_json::Value) -> Tree {
        let Tree::Map(attrs) = Tree::from_json(&attrs) else { panic!("an object") };
        Tree::Resource(std::sync::Arc::new(Handle {
            address: Address::new("it"),
            id: Some("7".to_owned()),
            attrs,
        }))
    }

    #[test]
    fn a_bucket_may_be_called_by_label_or_name() {
        for key in ["label", "name"] {
            let tree =
                resource(json!({ key: "b", "endpoint": "s3.test", "region": "r", "more": 1 }));
            let bucket: BucketRef = tree.to_typed().expect("decodes");
            assert_eq!((bucket.name.as_str(), bucket.address.as_str()), ("b", "it"));
        }
    }

    #[test]
    fn a_dump_says_where_its_object_is() {
        let tree = resource(json!({ "object": "a/b.dump", "size": 12, "bucket": "b" }));
        let dump: DumpRef = tree.to_typed().expect("decodes");
        assert_eq!((dump.object.as_str(), dump.size), ("a/b.dump", 12));
        assert_eq!((dump.bucket.as_deref(), dump.endpoint), (Some("b"), None));
    }
}
