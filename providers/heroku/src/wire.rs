//! What Heroku's APIs answer, as far as we read it. Unknown keys are ignored and most are optional, since both grow.
//!
//! Secrets among them (URLs of a transfer, config values) are typed so that nothing formats them. Tested beside.

use std::collections::BTreeMap;

use pgferry_engine::secret::Secret;
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

/// Something with a name, sent as `"name"` or as `{"id", "name"}`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    /// Only of a plan, and only where it was asked for.
    pub(crate) price: Option<Price>,
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Object {
                #[serde(default)]
                id: Option<String>,
                #[serde(default)]
                name: Option<String>,
                #[serde(default)]
                price: Option<Price>,
            },
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Text(name) => Self { id: None, name, price: None },
            Either::Object { id, name, price } => {
                Self { name: name.or_else(|| id.clone()).unwrap_or_default(), id, price }
            }
        })
    }
}

/// What something costs.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Price {
    #[serde(default)]
    cents: Option<f64>,
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    contract: Option<bool>,
}

impl Price {
    /// `$9/month`; a price by contract is not told.
    pub(crate) fn text(&self) -> Option<String> {
        if self.contract == Some(true) {
            return Some("by contract".to_owned());
        }
        let cents = self.cents.filter(|cents| cents.is_finite())?;
        let dollars = cents / 100.0;
        let unit = self.unit.as_deref().unwrap_or("month");
        Some(if dollars.fract() == 0.0 {
            format!("${dollars:.0}/{unit}")
        } else {
            format!("${dollars:.2}/{unit}")
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) maintenance: bool,
    #[serde(default)]
    pub(crate) region: Option<Named>,
    #[serde(default)]
    pub(crate) stack: Option<Named>,
    #[serde(default)]
    pub(crate) build_stack: Option<Named>,
    #[serde(default)]
    pub(crate) team: Option<Named>,
    #[serde(default)]
    pub(crate) space: Option<Named>,
    #[serde(default)]
    pub(crate) web_url: Option<String>,
}

/// One process type and how many of it run.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Process {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) quantity: u32,
}

/// One running process.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dyno {
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) state: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AddOn {
    pub(crate) id: String,
    pub(crate) name: String,
    /// `provisioning`, `provisioned`, `deprovisioning`, `deprovisioned`.
    #[serde(default)]
    pub(crate) state: String,
    /// Names only.
    #[serde(default)]
    pub(crate) config_vars: Vec<String>,
    #[serde(default)]
    pub(crate) plan: Named,
    #[serde(default)]
    pub(crate) app: Named,
    #[serde(default)]
    pub(crate) billed_price: Option<Price>,
    #[serde(default)]
    pub(crate) provision_message: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) namespace: Option<String>,
    #[serde(default)]
    pub(crate) app: Named,
    #[serde(default)]
    pub(crate) addon: Named,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Release {
    #[serde(default)]
    pub(crate) version: u64,
    #[serde(default)]
    pub(crate) status: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Plan {
    #[serde(default)]
    pub(crate) price: Option<Price>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Account {
    #[serde(default)]
    pub(crate) verified: Option<bool>,
}

/// Config vars of an app.
pub(crate) type ConfigVars = BTreeMap<String, ConfigValue>;

/// The value of a config var. Nothing formats it. It is not known as a secret either: `production` and `acme-web` are
/// values too, and would be blanked out wherever they stand. Who hands one on says what it is.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct ConfigValue(String);

impl ConfigValue {
    /// The value itself, for comparing; never format it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn secret(&self) -> Secret {
        Secret::new(self.0.as_str())
    }
}

impl std::fmt::Debug for ConfigValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(pgferry_engine::secret::MASK)
    }
}

/// Whether a database can be used yet.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct WaitStatus {
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(rename = "waiting?", alias = "waiting", default)]
    pub(crate) waiting: bool,
    #[serde(rename = "error?", default)]
    pub(crate) error: bool,
    #[serde(default)]
    pub(crate) step: Option<String>,
}

/// What the Data API knows of a database. `info` differs between tiers and times.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Database {
    #[serde(default)]
    postgres_version: Option<String>,
    #[serde(default)]
    info: Json,
}

impl Database {
    /// `16.4`.
    pub(crate) fn version(&self) -> Option<String> {
        let text = |value: &Json| match value {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let said = match &self.info {
            Json::Array(entries) => entries
                .iter()
                .find(|entry| entry.get("name").and_then(Json::as_str) == Some("PG Version"))
                .and_then(|entry| entry.get("values")?.get(0)),
            Json::Object(map) => map.get("PG Version"),
            _ => None,
        };
        self.postgres_version.clone().or_else(|| said.and_then(text))
    }
}

/// A restore or backup. Both its URLs are secrets, and are not kept: of each only the path.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) uuid: String,
    #[serde(default)]
    pub(crate) num: Option<u64>,
    #[serde(rename = "from_url", default, deserialize_with = "path_of_url")]
    pub(crate) from_path: Option<String>,
    #[serde(default)]
    pub(crate) to_type: Option<String>,
    #[serde(rename = "to_url", default, deserialize_with = "path_of_url")]
    pub(crate) to_path: Option<String>,
    #[serde(default)]
    pub(crate) processed_bytes: Option<u64>,
    #[serde(default)]
    pub(crate) succeeded: Option<bool>,
    #[serde(default)]
    pub(crate) warnings: Option<u64>,
    #[serde(default)]
    pub(crate) created_at: Option<String>,
    #[serde(default)]
    pub(crate) started_at: Option<String>,
    #[serde(default)]
    pub(crate) canceled_at: Option<String>,
    #[serde(default)]
    pub(crate) finished_at: Option<String>,
    #[serde(default)]
    pub(crate) logs: Vec<LogLine>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct LogLine {
    #[serde(default)]
    pub(crate) message: String,
}

/// Takes the path out of a URL, so that the rest of it is nowhere.
fn path_of_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| url::Url::parse(&text).ok()).map(|url| url.path().to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_come_as_text_and_as_objects() {
        let read = |json: Json| serde_json::from_value::<Named>(json).expect("reads").name;
        assert_eq!(read(json!("essential-1")), "essential-1");
        assert_eq!(read(json!({"id": "1", "name": "a:b"})), "a:b");
        assert_eq!(read(json!({"id": "1"})), "1");
    }

    #[test]
    fn versions_are_found_in_each_form() {
        let read = |json: Json| serde_json::from_value::<Database>(json).expect("reads").version();
        assert_eq!(read(json!({"postgres_version": "12.4"})).as_deref(), Some("12.4"));
        let info = json!({"info": [{"name": "Plan", "values": ["x"]},
                                   {"name": "PG Version", "values": [17.2]}]});
        assert_eq!(read(info).as_deref(), Some("17.2"));
        assert_eq!(read(json!({"plan": "essential-1", "info": null})), None);
    }

    #[test]
    fn prices_are_read_in_cents() {
        let read = |json: Json| serde_json::from_value::<Price>(json).expect("reads").text();
        assert_eq!(read(json!({"cents": 900, "unit": "month"})).as_deref(), Some("$9/month"));
        assert_eq!(read(json!({"cents": 1250, "unit": "month"})).as_deref(), Some("$12.50/month"));
        assert_eq!(read(json!({"contract": true})).as_deref(), Some("by contract"));
    }

    #[test]
    fn a_transfer_keeps_no_url() {
        let transfer: Transfer = serde_json::from_value(json!({
            "uuid": "u", "from_url": "https://s3.test/b/o.dump?X-Amz-Signature=abc",
            "to_url": "postgres://u:secret@h/d"
        }))
        .expect("reads");
        assert_eq!(transfer.from_path.as_deref(), Some("/b/o.dump"));
        assert!(!format!("{transfer:?}").contains("Signature"));
        assert!(!format!("{transfer:?}").contains("secret"));
    }
}
