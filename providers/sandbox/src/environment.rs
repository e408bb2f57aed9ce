//! The variables that point pgferry, or the official command-line tools, at the sandbox.
//!
//! It owns their names, and the file `env` that a shell can `source`; it does not read the process's own environment.
//! Tested here.

use std::fmt;
use std::path::Path;

use crate::cluster::write_private;
use crate::error::Error;

/// Names and values, in the order they are written.
#[derive(Clone, PartialEq, Eq)]
pub struct Environment {
    values: Vec<(String, String)>,
}

impl Environment {
    /// The names, all of them always present.
    pub const NAMES: [&str; 9] = [
        "LINODE_URL",
        "LINODE_TOKEN",
        "HEROKU_HOST",
        "HEROKU_DATA_HOST",
        "HEROKU_API_KEY",
        "SOURCE_DATABASE_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ];

    pub(crate) fn new(values: [String; 9]) -> Self {
        Self { values: Self::NAMES.iter().map(|name| (*name).to_owned()).zip(values).collect() }
    }

    /// The value of one variable; empty for a name that is not ours. Some are secrets.
    pub fn get(&self, name: &str) -> &str {
        self.values.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// All of them, as pairs for a child process.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Writes the file at once or not at all, readable by its owner only.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let text: String = self
            .values
            .iter()
            .map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', "'\\''")))
            .collect();
        let unfinished = path.with_extension("unfinished");
        write_private(&unfinished, &text)?;
        std::fs::rename(&unfinished, path).map_err(Error::file("writing", path))
    }

    /// Reads what [`Environment::write`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file("reading", path))?;
        let values = text
            .lines()
            .filter_map(|line| {
                let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
                let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
                Some((name.to_owned(), value.replace("'\\''", "'")))
            })
            .collect();
        Ok(Self { values })
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_map()
            .entries(self.values.iter().map(|(name, _)| (name, "(sensitive)")))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("env");
        let written =
            Environment::new(std::array::from_fn(|number| format!("it's value {number}")));
        written.write(&path).unwrap();
        assert_eq!(Environment::read(&path).unwrap(), written);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap().lines().next(),
            Some("export LINODE_URL='it'\\''s value 0'")
        );
        assert!(!format!("{written:?}").contains("value"));
    }
}
