//! Files that hold what the program is expected to say, and a run of the program that says it.
//!
//! `UPDATE=1` rewrites the files; the change is then read in review. Knows nothing of what is compared.
#![allow(dead_code, reason = "each test target uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of the root package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What `pgferry ARGUMENTS` says when it is run in the root folder with nothing but `environment`.
pub(crate) fn pgferry(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pgferry"))
        .args(arguments)
        .current_dir(root())
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the program was built for this test and starts")
}

/// Output as text; anything else than UTF-8 is a failure.
pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("everything that is printed is UTF-8")
}

/// Compares many texts with their files, so that one run tells every difference.
#[derive(Default)]
pub(crate) struct Expected {
    differences: Vec<String>,
}

impl Expected {
    /// `said` should be what the file at `path`, relative to the root folder, holds.
    pub(crate) fn compare(&mut self, path: impl AsRef<Path>, said: &str) {
        let path = path.as_ref();
        let whole = root().join(path);
        let wanted = std::fs::read_to_string(&whole).unwrap_or_default();
        if wanted == said {
            return;
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(whole.parent().expect("a file is in a folder"))
                .expect("the folder can be made");
            std::fs::write(&whole, said).expect("the file can be written");
            return;
        }
        let diff = similar::TextDiff::from_lines(wanted.as_str(), said);
        let diff = diff.unified_diff().header("expected", "said").to_string();
        self.differences.push(format!("{}:\n{diff}", path.display()));
    }

    /// Files of `folder` that end in `.extension` and are not among `wanted` are left over.
    pub(crate) fn nothing_else(&mut self, folder: &str, extension: &str, wanted: &[PathBuf]) {
        for path in files(folder, extension).iter().filter(|path| !wanted.contains(path)) {
            if std::env::var_os("UPDATE").is_some() {
                std::fs::remove_file(root().join(path)).expect("the file can be removed");
                continue;
            }
            self.differences.push(format!("{}: belongs to nothing\n", path.display()));
        }
    }

    /// Fails with every difference.
    pub(crate) fn settle(self, how: &str) {
        assert!(
            self.differences.is_empty(),
            "{}\nIf this is meant: UPDATE=1 {how}",
            self.differences.join("\n")
        );
    }
}

/// The files right in `folder` that end in `.extension`, sorted, relative to the root folder.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let read = std::fs::read_dir(root().join(folder));
    let mut found: Vec<PathBuf> = read
        .into_iter()
        .flatten()
        .map(|entry| Path::new(folder).join(entry.expect("the folder can be read").file_name()))
        .filter(|path| path.extension().is_some_and(|own| own == extension))
        .collect();
    found.sort();
    found
}

/// All files below `folder` that end in `.extension`, sorted, relative to the root folder.
pub(crate) fn below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).expect("the folder is there") {
            let path = folder.join(entry.expect("the folder can be read").file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|own| own == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The part of a module before its own tests.
pub(crate) fn without_tests(code: &str) -> &str {
    code.find("\n#[cfg(test)]\nmod ").map_or(code, |end| &code[..end])
}
