//! `postgres.extensions` — the extensions that a database must have, listed or like another database's.
//!
//! `CREATE EXTENSION IF NOT EXISTS` (PostgreSQL docs, "CREATE EXTENSION"); what a provider allows is in
//! `rds.allowed_extensions` or `extwlist.extensions`. Extensions beyond those listed are left alone, and none is ever
//! dropped. Tested in `tests/extensions.rs`.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::Kind;
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Change, Done, Live, Remembered, Resource};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::connect::{Access, Format, Session, connect};
use crate::dump::endpoint;
use crate::facts::{Extension, extensions};
use crate::quoting::identifier;

/// The type.
pub struct Extensions;

/// Extensions that a database must have, like those of another or as listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["like"] }, { "required": ["names"] }]))]
pub struct Spec {
    /// The database to install them in.
    #[schemars(extend("x-change" = "identity"))]
    database: Endpoint,
    /// The database whose extensions are wanted; either this or `names`.
    #[serde(default)]
    like: Option<Endpoint>,
    /// The extensions, by name.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    names: Option<Vec<String>>,
    /// Extensions of `like` to do without.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    exclude: Option<Vec<String>>,
    /// The schema to install into; it must exist. Left out: where `like` has them if there is such a schema, else the
    /// database's default.
    #[serde(default)]
    schema: Option<String>,
}

/// What others may refer to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attrs {
    /// The wanted extensions that are installed.
    pub installed: Vec<String>,
}

/// What the target offers.
#[derive(Debug, Serialize, Deserialize)]
struct Offer {
    server: String,
    wanted: Vec<String>,
    /// Versions on the side that is to be resembled.
    models: Vec<Extension>,
    installed: Vec<Extension>,
    /// Name and version that would be installed.
    available: IndexMap<String, String>,
    /// `None`: the provider does not restrict them.
    allowed: Option<Vec<String>>,
}

impl Resource for Extensions {
    const TYPE: &'static str = "postgres.extensions";
    const KIND: Kind = Kind::Managed;
    type Spec = Spec;
    type Attrs = Attrs;

    async fn find(&self, cx: &Cx, want: &Tree) -> Result<Option<Live<Attrs>>, Fault> {
        // Present if nothing is left to install: then there is nothing to create.
        let live = self.read(cx, want, None).await?;
        let wanted = wanted(want, None);
        Ok(live.filter(|live| !wanted.is_empty() && live.attrs.installed == wanted))
    }

    async fn read(
        &self,
        _: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let Some(database) = endpoint(want.get("database")) else { return Ok(None) };
        let session = connect(&database, Access::ReadOnly, Format::Own).await?;
        let installed: BTreeSet<String> =
            extensions(&session).await?.into_iter().map(|extension| extension.name).collect();
        let names: Vec<String> =
            wanted(want, remembered).into_iter().filter(|name| installed.contains(name)).collect();
        Ok(Some(Live {
            id: identity(&database, &session),
            fields: [("names".to_owned(), json!(names))].into(),
            attrs: Attrs { installed: names },
        }))
    }

    async fn expand(&self, _: &Cx, want: &Tree) -> Result<Option<IndexMap<String, Json>>, Fault> {
        match (written(want, "like"), written(want, "names")) {
            (true, false) => {}
            (false, true) => return Ok(None),
            _ => return Err(neither()),
        }
        let Some(model) = endpoint(want.get("like")) else { return Ok(None) };
        let names = resembling(&model, &texts(want.get("exclude"))).await?;
        Ok(Some([("names".to_owned(), json!(names))].into()))
    }

    async fn inspect(
        &self,
        cx: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let Some(database) = endpoint(want.get("database")) else { return Ok(None) };
        let mut wanted = wanted(want, remembered);
        if !written(want, "names")
            && let Some(expanded) = self.expand(cx, want).await?
            && let Some(names) = expanded.get("names").and_then(Json::as_array)
        {
            wanted = names.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        }
        let session = connect(&database, Access::ReadOnly, Format::Own).await?;
        let mut offer = offer(&session, wanted).await?;
        if let Some(model) = endpoint(want.get("like"))
            && let Ok(session) = connect(&model, Access::ReadOnly, Format::Own).await
        {
            offer.models = extensions(&session).await?;
        }
        serde_json::to_value(offer)
            .map(Some)
            .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
    }

    fn judge(_: &Tree, facts: &Json, _: &[(String, String)]) -> Vec<Finding> {
        serde_json::from_value::<Offer>(facts.clone()).map_or_else(|_| Vec::new(), |o| judge(&o))
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let Spec { database, like, names, exclude, schema } = change.want;
        let wanted = match (names, &like) {
            (Some(names), _) => names,
            (None, Some(model)) => resembling(model, &exclude.unwrap_or_default()).await?,
            (None, None) => return Err(neither()),
        };
        let session = connect(&database, Access::ReadWrite, Format::Own).await?;
        let models = match &like {
            Some(model) => places(model).await,
            None => Vec::new(),
        };
        let present: BTreeSet<String> =
            extensions(&session).await?.into_iter().map(|extension| extension.name).collect();
        for name in wanted.iter().filter(|name| !present.contains(*name)) {
            let model = models.iter().find(|model| model.name == *name).map(|m| m.schema.as_str());
            let place = place(&session, name, schema.as_deref(), model).await?;
            let into = place
                .map_or_else(String::new, |schema| format!(" with schema {}", identifier(&schema)));
            cx.effect("create extension")?;
            session
                .batch_execute(&format!(
                    "create extension if not exists {}{into} cascade",
                    identifier(name)
                ))
                .await
                .map_err(|cause| {
                    session
                        .fault(&format!("installing extension `{name}`"), cause)
                        .help(format!("if it can be done without, add `{name}` to `exclude`"))
                })?;
        }
        Ok(Done {
            id: identity(&database, &session),
            attrs: Attrs { installed: wanted },
            memory: Json::Null,
        })
    }
}

fn neither() -> Fault {
    Fault::new(Class::Rejected, "extensions are listed either by `names` or by `like`")
        .help("keep one of the two")
}

/// Names of the extensions of `model`, without `excluded`.
async fn resembling(model: &Endpoint, excluded: &[String]) -> Result<Vec<String>, Fault> {
    let session = connect(model, Access::ReadOnly, Format::Own).await?;
    let all = extensions(&session).await?;
    Ok(all.into_iter().map(|e| e.name).filter(|name| !excluded.contains(name)).collect())
}

/// The database itself: the resource's id where it has one, so that another database is another thing.
pub(crate) fn identity(database: &Endpoint, session: &Session) -> String {
    database
        .id
        .clone()
        .unwrap_or_else(|| format!("{}/{}", session.location.server(), session.location.database))
}

pub(crate) fn texts(field: Option<&Tree>) -> Vec<String> {
    match field {
        Some(Tree::List(items)) => {
            items.iter().filter_map(Tree::as_text).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a field is there and not null.
pub(crate) fn written(want: &Tree, field: &str) -> bool {
    want.get(field).is_some_and(|value| *value != Tree::Null)
}

fn wanted(want: &Tree, remembered: Option<&Remembered>) -> Vec<String> {
    if matches!(want.get("names"), Some(Tree::List(_))) {
        return texts(want.get("names"));
    }
    remembered
        .and_then(|remembered| remembered.inputs.get("names"))
        .and_then(Tree::as_list)
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_text().map(str::to_owned))
        .collect()
}

/// Where the model has its extensions; nothing if it is gone by now, which is no reason to fail.
async fn places(model: &Endpoint) -> Vec<Extension> {
    match connect(model, Access::ReadOnly, Format::Own).await {
        Ok(session) => extensions(&session).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

async fn offer(session: &Session, wanted: Vec<String>) -> Result<Offer, Fault> {
    let fault = |cause| session.fault("asking what extensions there are", cause);
    let available = session
        .query("select name::text, coalesce(default_version, '') from pg_available_extensions order by 1", &[])
        .await
        .map_err(fault)?;
    let row = session
        .query_one(
            "select coalesce(nullif(current_setting('rds.allowed_extensions', true), ''),
                             nullif(current_setting('extwlist.extensions', true), ''))",
            &[],
        )
        .await
        .map_err(fault)?;
    let allowed: Option<String> = row.get(0);
    Ok(Offer {
        server: session.location.server(),
        wanted,
        models: Vec::new(),
        installed: extensions(session).await?,
        available: available.iter().map(|row| (row.get(0), row.get(1))).collect(),
        allowed: allowed.map(|list| {
            list.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect()
        }),
    })
}

fn judge(offer: &Offer) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut missing = Vec::new();
    for name in &offer.wanted {
        let installed = offer.installed.iter().find(|extension| extension.name == *name);
        let forbidden = offer.allowed.as_ref().is_some_and(|allowed| !allowed.contains(name));
        let version =
            installed.map(|extension| &extension.version).or_else(|| offer.available.get(name));
        let Some(version) = version.filter(|_| installed.is_some() || !forbidden) else {
            let why = if forbidden && offer.available.contains_key(name) {
                "its provider does not allow it"
            } else {
                "its server does not offer it"
            };
            findings.push(
                Finding::error(
                    "PGF1301",
                    format!("the target cannot have extension `{name}`: {why}"),
                )
                .help(format!("if it can be done without, add `{name}` to `exclude`")),
            );
            continue;
        };
        if installed.is_none() {
            missing.push(format!("`{name}` {version}"));
        }
        if let Some(model) = offer.models.iter().find(|model| model.name == *name)
            && model.version != *version
        {
            findings.push(Finding::warning(
                "PGF1302",
                format!(
                    "extension `{name}` is {} on the source and {version} on the target",
                    model.version
                ),
            ));
        }
    }
    if !missing.is_empty() {
        findings.push(Finding::note("PGF1303", format!("to be installed: {}", missing.join(", "))));
    }
    findings
}

/// The schema to name: as asked, or the model's if the target has it and the extension may live there.
async fn place(
    session: &Session,
    name: &str,
    asked: Option<&str>,
    model: Option<&str>,
) -> Result<Option<String>, Fault> {
    if let Some(asked) = asked {
        return Ok(Some(asked.to_owned()));
    }
    let Some(model) = model.filter(|schema| !schema.starts_with("pg_")) else { return Ok(None) };
    let row = session
        .query_one(
            "select exists (select from pg_namespace where nspname = $1)
                and not exists (select from pg_available_extension_versions where name = $2 and schema is not null)",
            &[&model, &name],
        )
        .await
        .map_err(|cause| session.fault("looking for a schema", cause))?;
    Ok(row.get::<_, bool>(0).then(|| model.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extension(name: &str, version: &str) -> Extension {
        Extension { name: name.into(), version: version.into(), schema: "public".into() }
    }

    #[test]
    fn what_the_target_cannot_have_is_an_error() {
        let offer = Offer {
            server: "h:1".into(),
            wanted: ["tablefunc", "hstore", "pgaudit", "postgis"].map(str::to_owned).to_vec(),
            models: vec![extension("hstore", "1.7")],
            installed: vec![extension("hstore", "1.8")],
            available: [("tablefunc", "1.0"), ("hstore", "1.8"), ("pgaudit", "16")]
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .into(),
            allowed: Some(vec!["tablefunc".into(), "postgis".into()]),
        };
        let found: Vec<String> =
            judge(&offer).into_iter().map(|f| format!("{} {}", f.code, f.message)).collect();
        assert_eq!(
            found,
            [
                "PGF1302 extension `hstore` is 1.7 on the source and 1.8 on the target",
                "PGF1301 the target cannot have extension `pgaudit`: its provider does not allow it",
                "PGF1301 the target cannot have extension `postgis`: its server does not offer it",
                "PGF1303 to be installed: `tablefunc` 1.0",
            ]
        );
    }
}
