//! Whether strangers can see into a bucket: by its access list, by its policy, and by trying.
//!
//! Tested in `tests/bucket.rs`.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::RANGE;
use serde::Deserialize;

use crate::bucket::Bucket;
use crate::error::{Class, ObjectError};
use crate::listing::read;

/// What strangers can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privacy {
    /// Nothing, by every sign.
    Private,
    /// Something; why we think so, for people.
    Exposed {
        /// As part of a sentence: "its access list lets everyone `READ`".
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AccessControlPolicy {
    access_control_list: AccessControlList,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AccessControlList {
    #[serde(default)]
    grant: Vec<Grant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Grant {
    grantee: Grantee,
    permission: String,
}

#[derive(Deserialize)]
struct Grantee {
    #[serde(rename = "URI", default)]
    group: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyStatus {
    is_public: String,
}

impl Bucket {
    /// Whether the bucket is private by every sign; see [`Bucket::privacy`].
    ///
    /// # Errors
    /// As there.
    pub async fn is_private(&self) -> Result<bool, ObjectError> {
        Ok(self.privacy().await? == Privacy::Private)
    }

    /// Reads the bucket's access list and policy status, and asks for its contents as a stranger. Objects have lists
    /// of their own; what is uploaded from here is private.
    ///
    /// # Errors
    /// Any class but `Conflict`; `Denied` if the key may not read the access list. May be repeated.
    pub async fn privacy(&self) -> Result<Privacy, ObjectError> {
        let attempt = format!("reading who may use `{}`", self.name);
        let list = self.signed_get_document(&attempt, &[("acl", "")]).await?;
        let list: AccessControlPolicy = read(&attempt, &list)?;
        for grant in list.access_control_list.grant {
            let group = grant.grantee.group.unwrap_or_default();
            let whom = match group.rsplit('/').next() {
                Some("AllUsers") => "everyone",
                Some("AuthenticatedUsers") => "every user of the store",
                _ => continue,
            };
            let reason = format!("its access list lets {whom} `{}`", grant.permission);
            return Ok(Privacy::Exposed { reason });
        }
        if self.has_public_policy(&attempt).await? {
            return Ok(Privacy::Exposed { reason: "its policy makes it public".to_owned() });
        }
        self.ask_as_stranger(&attempt).await
    }

    /// Whether somebody without any key may read the object `key`, found out by trying. Objects have access lists of
    /// their own, and a bucket's policy may open them one by one, so that a look at the bucket does not tell.
    ///
    /// # Errors
    /// `Transient` where no clear answer came; may be repeated. `Rejected` for a key that cannot be.
    pub async fn is_open_to_strangers(&self, key: &str) -> Result<bool, ObjectError> {
        let attempt = format!("reading `{key}` in `{}` without a key", self.name);
        let signed = self.signed_get(key, Duration::from_secs(1)).await?;
        let address = signed.expose().split('?').next().unwrap_or_default().to_owned();
        let response = self
            .http
            .get(address)
            .header(RANGE, "bytes=0-0")
            .send()
            .await
            .map_err(|error| ObjectError::from_transport(&attempt, &error))?;
        match response.status() {
            status if status.is_success() => Ok(true),
            status if status.is_client_error() || status.is_redirection() => Ok(false),
            status => Err(ObjectError::from_answer(&attempt, status.as_u16(), "")),
        }
    }

    // Not every store knows policies; where there are none, none makes it public.
    async fn has_public_policy(&self, attempt: &str) -> Result<bool, ObjectError> {
        match self.signed_get_once(attempt, &[("policyStatus", "")]).await {
            Ok(status) => {
                let status: PolicyStatus = read(attempt, &status)?;
                Ok(status.is_public.trim().eq_ignore_ascii_case("true"))
            }
            Err(error) if error.class() == Class::Missing => Ok(false),
            Err(error) if error.code() == Some("NotImplemented") => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn ask_as_stranger(&self, attempt: &str) -> Result<Privacy, ObjectError> {
        let url = format!("{}/{}", self.endpoint.origin(), self.name);
        let response = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|error| ObjectError::from_transport(attempt, &error))?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(Privacy::Private),
            status if status.is_success() => {
                Ok(Privacy::Exposed { reason: "it answers those who show no key".to_owned() })
            }
            status => {
                let body = response.text().await.unwrap_or_default();
                Err(ObjectError::from_answer(attempt, status.as_u16(), &body))
            }
        }
    }
}
