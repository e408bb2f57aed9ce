//! Programs of the tests' own, put before those of the machine: they stop where they are told, or write down how they
//! were called, and then do the real thing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::project::{Project, write_script};

/// A point that a program does not pass before it is let go.
pub struct Hold {
    folder: PathBuf,
    name: String,
}

impl Hold {
    pub fn new(folder: &Path, name: &str) -> Self {
        Self { folder: folder.to_owned(), name: name.to_owned() }
    }

    /// Shell words that say "I am here" and wait. They give up when the test's folder is gone.
    pub fn words(&self) -> String {
        let (folder, name) = (self.folder.display(), &self.name);
        format!(
            "touch '{folder}/{name}.here'; while [ -d '{folder}' ] && [ ! -e '{folder}/{name}.go' ]; do sleep 0.02; done"
        )
    }

    /// Whether the program stands there.
    pub fn is_reached(&self) -> bool {
        self.folder.join(format!("{}.here", self.name)).exists()
    }

    pub fn let_go(&self) {
        fs::write(self.folder.join(format!("{}.go", self.name)), "").unwrap();
    }
}

/// Where the machine has a program.
fn real(name: &str) -> String {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap();
    assert!(found.status.success(), "`{name}` is not installed");
    String::from_utf8(found.stdout).unwrap().trim().to_owned()
}

/// A `pg_dump` that stops after the first `bytes` of its archive, for all runs of this project to come.
pub fn hold_dump(project: &mut Project, bytes: u64) -> Hold {
    let bin = project.path("held-bin");
    fs::create_dir(&bin).unwrap();
    let hold = Hold::new(&bin, "dump");
    let (real, words) = (real("pg_dump"), hold.words());
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec {real} --version\n{real} \"$@\" | {{ head -c {bytes}; {words}; cat; }}\n"
    );
    write_script(&bin.join("pg_dump"), &text);
    project.set("PGFERRY_PG_BIN", &bin.display().to_string());
    hold
}

/// Every Postgres program that a run might start, each writing its arguments to a file first. Returns that file.
pub fn record_arguments(project: &mut Project) -> PathBuf {
    let bin = project.path("recording-bin");
    fs::create_dir(&bin).unwrap();
    let record = project.path("arguments");
    for name in ["pg_dump", "pg_restore", "pg_dumpall", "psql"] {
        let (real, record) = (real(name), record.display());
        let text =
            format!("#!/bin/sh\nprintf '%s\\n' {name} \"$@\" >> '{record}'\nexec {real} \"$@\"\n");
        write_script(&bin.join(name), &text);
    }
    for name in ["notify.sh", "smoke-test.sh"] {
        let text = project.read(name);
        let line = format!("printf '%s\\n' {name} \"$@\" >> '{}'", record.display());
        project.script(name, &text.replacen('\n', &format!("\n{line}\n"), 1));
    }
    let path = format!("{}:{}", bin.display(), project.environment("PATH"));
    project.set("PATH", &path);
    project.set("PGFERRY_PG_BIN", &bin.display().to_string());
    record
}
