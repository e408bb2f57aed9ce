//! Requests of Linode's API v4, typed and without decisions.
//!
//! Tested through the resources.

use std::collections::BTreeMap;
use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::secret::Secret;
use pgferry_http::{Call, Client, Error, Refused, Service, origin};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use url::Url;

use crate::wire::{
    Access, Bucket, Certificate, Credentials, Endpoint, Instance, Key, ListedKey, Page,
};

const LINODE: &str = "https://api.linode.com";
const VERSION: &str = "v4";
/// Making a key over buckets can take the service long.
const KEY_PATIENCE: Duration = Duration::from_secs(180);
const MOST_PAGES: u32 = 200;

/// Where the API is: `LINODE_URL` is a host or a URL; `/v4` is added unless it has a path.
pub(crate) fn base(env: &BTreeMap<String, String>) -> Result<Url, Fault> {
    let set = |name: &str| env.get(name).map(|v| v.trim()).filter(|v| !v.is_empty());
    let mut url = match set("LINODE_URL") {
        Some(url) => origin("Linode (`LINODE_URL`)", url)?,
        None => origin("Linode", LINODE)?,
    };
    if url.path() == "/" {
        url.set_path(set("LINODE_API_VERSION").unwrap_or(VERSION));
    }
    Ok(url)
}

/// Refusals that pass by themselves, by the policy of the official client.
fn busy(refused: &Refused) -> bool {
    refused.status == 408 || (refused.status == 400 && (refused.foreign || refused.says("busy")))
}

/// The API of one account.
pub(crate) struct Api {
    client: Client,
}

const INSTANCES: [&str; 3] = ["databases", "postgresql", "instances"];

impl Api {
    pub(crate) fn new(base: Url, token: Secret) -> Result<Self, Fault> {
        let client = Client::new(Service {
            name: "Linode",
            base,
            token: Some(token),
            headers: Vec::new(),
            busy,
        })?;
        Ok(Self { client })
    }

    async fn one<T: DeserializeOwned>(&self, cx: &Cx, call: Call) -> Result<T, Error> {
        self.client.send(cx, call).await?.json()
    }

    async fn maybe<T: DeserializeOwned>(&self, cx: &Cx, call: Call) -> Result<Option<T>, Error> {
        self.client.find(cx, call).await?.map(|answer| answer.json()).transpose()
    }

    /// All pages of a list, or none: what is not in a part of it would count as absent.
    async fn list<T: DeserializeOwned>(&self, cx: &Cx, call: Call) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        for number in 1..=MOST_PAGES {
            let call = call.clone().query("page", &number.to_string()).query("page_size", "100");
            let page: Page<T> = self.one(cx, call).await?;
            all.extend(page.data);
            if number >= page.pages {
                return Ok(all);
            }
        }
        Err(Error::TooLong { service: "Linode" })
    }

    /// Databases of that label; labels are not unique.
    pub(crate) async fn instances(&self, cx: &Cx, label: &str) -> Result<Vec<Instance>, Error> {
        let filter = json!({ "label": label }).to_string();
        let found: Vec<Instance> =
            self.list(cx, Call::get(&INSTANCES).header("x-filter", filter)).await?;
        Ok(found.into_iter().filter(|instance| instance.label == label).collect())
    }

    pub(crate) async fn instance(&self, cx: &Cx, id: &str) -> Result<Option<Instance>, Error> {
        let [a, b, c] = INSTANCES;
        self.maybe(cx, Call::get(&[a, b, c, id])).await
    }

    /// With its backups. Gone already is success.
    pub(crate) async fn delete_instance(&self, cx: &Cx, id: &str) -> Result<(), Error> {
        let [a, b, c] = INSTANCES;
        self.client.find(cx, Call::delete(&[a, b, c, id])).await.map(drop)
    }

    pub(crate) async fn credentials(&self, cx: &Cx, id: &str) -> Result<Credentials, Error> {
        let [a, b, c] = INSTANCES;
        self.one(cx, Call::get(&[a, b, c, id, "credentials"])).await
    }

    pub(crate) async fn certificate(&self, cx: &Cx, id: &str) -> Result<Certificate, Error> {
        let [a, b, c] = INSTANCES;
        self.one(cx, Call::get(&[a, b, c, id, "ssl"])).await
    }

    pub(crate) async fn endpoints(&self, cx: &Cx) -> Result<Vec<Endpoint>, Error> {
        self.list(cx, Call::get(&["object-storage", "endpoints"])).await
    }

    pub(crate) async fn bucket(
        &self,
        cx: &Cx,
        region: &str,
        label: &str,
    ) -> Result<Option<Bucket>, Error> {
        self.maybe(cx, Call::get(&["object-storage", "buckets", region, label])).await
    }

    pub(crate) async fn create_bucket(&self, cx: &Cx, body: Json) -> Result<Bucket, Error> {
        self.one(cx, Call::post(&["object-storage", "buckets"]).json(body)).await
    }

    pub(crate) async fn delete_bucket(
        &self,
        cx: &Cx,
        region: &str,
        label: &str,
    ) -> Result<(), Error> {
        let call = Call::delete(&["object-storage", "buckets", region, label]);
        self.client.find(cx, call).await.map(drop)
    }

    pub(crate) async fn access(&self, cx: &Cx, region: &str, label: &str) -> Result<Access, Error> {
        self.one(cx, Call::get(&["object-storage", "buckets", region, label, "access"])).await
    }

    pub(crate) async fn set_acl(
        &self,
        cx: &Cx,
        region: &str,
        label: &str,
        acl: &str,
    ) -> Result<(), Error> {
        let call = Call::put(&["object-storage", "buckets", region, label, "access"]);
        self.client.send(cx, call.json(json!({ "acl": acl }))).await.map(drop)
    }

    pub(crate) async fn keys(&self, cx: &Cx) -> Result<Vec<ListedKey>, Error> {
        self.list(cx, Call::get(&["object-storage", "keys"])).await
    }

    /// Makes a key; its secret is in this answer only.
    pub(crate) async fn create_key(&self, cx: &Cx, body: Json) -> Result<Key, Error> {
        let call = Call::post(&["object-storage", "keys"]).json(body).patience(KEY_PATIENCE);
        self.one(cx, call).await
    }

    pub(crate) async fn delete_key(&self, cx: &Cx, id: u64) -> Result<(), Error> {
        let call = Call::delete(&["object-storage", "keys", &id.to_string()]);
        self.client.find(cx, call).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_added_unless_there_is_a_path() {
        let check = |url: &str| {
            let env = [("LINODE_URL".to_owned(), url.to_owned())].into();
            base(&env).map(|url| url.to_string()).ok()
        };
        assert_eq!(check("").as_deref(), Some("https://api.linode.com/v4"));
        assert_eq!(check("api.test").as_deref(), Some("https://api.test/v4"));
        assert_eq!(check("http://127.0.0.1:99").as_deref(), Some("http://127.0.0.1:99/v4"));
        assert_eq!(
            check("http://127.0.0.1:99/v4beta").as_deref(),
            Some("http://127.0.0.1:99/v4beta")
        );
        assert_eq!(check("http://api.test"), None);
    }
}
