//! What a case says: the folder's files, and `case.yaml` word for word.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::outcome::Outcome;

/// One folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// The folder's name.
    #[serde(skip)]
    pub(crate) name: String,
    #[serde(skip)]
    pub(crate) folder: PathBuf,
    /// What other databases have in common with this one.
    #[allow(dead_code, reason = "for those who read")]
    kind: String,
    /// Where people told of it.
    #[serde(default)]
    #[allow(dead_code, reason = "for those who read")]
    reports: Vec<String>,
    /// Extensions, or `pgbouncer`: without them the case is skipped.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    #[serde(default)]
    pub(crate) source: Side,
    #[serde(default)]
    pub(crate) target: Side,
    /// Whether the source is a standby of the server on which `source.sql` ran.
    #[serde(default)]
    pub(crate) standby: bool,
    /// Whether pgferry reads the source through a transaction pooler.
    #[serde(default)]
    pub(crate) pooled: bool,
    /// Fields of the copy or dump, such as `exclude_tables: [public.audit]`.
    #[serde(default)]
    pub(crate) fields: String,
    /// Whether the spec carries settings, too.
    #[serde(default)]
    pub(crate) settings: bool,
    pub(crate) outcomes: BTreeMap<Way, Outcome>,
}

/// One of the two databases.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Side {
    /// Its name, where that matters.
    pub(crate) database: Option<String>,
    /// The role that pgferry uses there, if another than the way's.
    pub(crate) role: Option<String>,
    /// What follows `create database NAME`.
    #[serde(default)]
    pub(crate) options: String,
    /// Its connection string, with `PORT` and `DATABASE` to be filled in.
    pub(crate) url: Option<String>,
}

/// By what a database is moved, and as whom at the target.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    #[serde(rename = "copy as superuser")]
    CopyAsSuperuser,
    #[serde(rename = "copy as owner")]
    CopyAsOwner,
    #[serde(rename = "restore as superuser")]
    RestoreAsSuperuser,
    #[serde(rename = "restore as owner")]
    RestoreAsOwner,
    #[serde(rename = "heroku")]
    Heroku,
}

impl Way {
    pub(crate) fn is_superuser(self) -> bool {
        matches!(self, Self::CopyAsSuperuser | Self::RestoreAsSuperuser)
    }

    /// For names of databases and buckets.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::CopyAsSuperuser => "cs",
            Self::CopyAsOwner => "co",
            Self::RestoreAsSuperuser => "rs",
            Self::RestoreAsOwner => "ro",
            Self::Heroku => "h",
        }
    }
}

impl Case {
    /// All, by name.
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
        let mut all: Vec<Self> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("case.yaml").is_file())
            .map(|path| Self::read(&path))
            .collect();
        all.sort_by(|one, two| one.name.cmp(&two.name));
        all
    }

    fn read(folder: &Path) -> Self {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(folder.join("case.yaml")).unwrap();
        let case: Self =
            serde_yaml::from_str(&text).unwrap_or_else(|cause| panic!("{name}: {cause}"));
        Self { name, folder: folder.to_owned(), ..case }
    }

    /// `48-fdw-option-order` as `48_fdw_option_order`.
    pub(crate) fn word(&self) -> String {
        self.name.replace(['-', '.'], "_")
    }

    /// Another of its files, if it has it.
    pub(crate) fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.join(name)).filter(|path| path.is_file())
    }
}
