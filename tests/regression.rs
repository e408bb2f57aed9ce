//! PostgreSQL's own regression database, made by a superuser and by an ordinary role: moved by copy and by bucket, proved
//! without a false difference, and each class of object in it altered once, which the proof must find.
//!
//! `PGFERRY_REGRESS` names the folder `src/test/regress` of a source tree, with `regress.so` built in it; left out, it is
//! `target/regress`, which `.ci/regress` fills where Debian's source packages can be had.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "regression/alterations.rs"]
mod alterations;
mod oracle;
mod pair;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use alterations::ALTERATIONS;
use oracle::{Entries, differences, entries};
use pair::{Server, done};
use stage::project::{Ended, Project};
use stage::{QUICK, Stage};

/// What an ordinary role's database holds, and no restore can make (`pg_restore` neither): a materialized view whose
/// function looks for its table by the search_path.
const BEYOND: &str = "drop materialized view if exists sro_mv";

/// Classes of which PostgreSQL's tests leave none.
const BESIDES: &str = "comment on schema public is 'ours'; create schema beside; create extension hstore schema beside;
    create schema nothing; create function silent() returns event_trigger language plpgsql as 'begin end';
    create event trigger silent on sql_drop execute function silent()";

/// The folder of PostgreSQL's tests, if this machine has it.
fn tests() -> Option<PathBuf> {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/regress");
    let folder = std::env::var_os("PGFERRY_REGRESS").map_or_else(own, PathBuf::from);
    (folder.join("parallel_schedule").is_file() && folder.join("regress.so").is_file())
        .then_some(folder)
}

/// Both servers and the services.
struct World {
    stage: Stage,
    from: Server,
    into: Server,
}

impl World {
    fn start() -> Self {
        let settings = "max_locks_per_transaction = 256\nallow_in_place_tablespaces = on\n\
                        wal_level = logical\nmax_prepared_transactions = 4";
        let (from, into) = (Server::start(settings), Server::start(settings));
        from.ask("admin", "alter role tapp createrole");
        Self { stage: Stage::start(&QUICK), from, into }
    }

    /// Runs all tests of PostgreSQL one after the other; what they leave is the database.
    fn build(&self, database: &str, role: &str, tests: &Path) {
        let options = "template template0 lc_collate 'C' lc_ctype 'C'";
        self.from.ask("admin", &format!("create database {database} owner {role} {options}"));
        let schedule = fs::read_to_string(tests.join("parallel_schedule")).unwrap();
        let names = schedule.lines().filter_map(|line| line.strip_prefix("test: "));
        for test in names.flat_map(str::split_whitespace) {
            let mut psql = self.from.client("psql", database);
            psql.args(["-X", "-q", "-f"]).arg(tests.join("sql").join(format!("{test}.sql")));
            psql.args(["-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]);
            psql.env("PGUSER", role).env("PGTZ", "PST8PDT").env("PGDATESTYLE", "Postgres, MDY");
            psql.env("PG_ABS_SRCDIR", tests).env("PG_ABS_BUILDDIR", tests);
            psql.env("PG_LIBDIR", tests).env("PG_DLSUFFIX", ".so").current_dir(tests);
            // Tests make mistakes on purpose; and an ordinary role may not do everything.
            psql.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        }
        let tables = self.from.ask(database, "select count(*) from pg_class where relkind = 'r'");
        assert!(tables.parse::<u32>().unwrap() > 400, "{tables} tables in `{database}`");
    }

    /// The roles that the tests left, so that what names them can be made.
    fn carry_roles(&self) {
        let query =
            "select format('create role %I', rolname) from pg_roles where rolname like 'regress%'";
        for statement in self.from.ask("admin", query).lines() {
            self.into.ask("admin", statement);
        }
    }

    /// What `pg_dump` and `pg_restore` make of a database by themselves. They put columns of heirs in another order, and
    /// so does everybody who uses them.
    fn baseline(&self, database: &str, target: &str, role: &str) -> Entries {
        self.make(target, role);
        let archive = self.stage.home.path().join(database);
        let mut dump = self.from.client("pg_dump", database);
        let dump = dump.args(["-Fc", "--no-publications", "-f"]).arg(&archive);
        done("pg_dump", dump.env("PGUSER", role).output().unwrap());
        let mut restore = self.into.client("pg_restore", target);
        let restore = restore.args(["-d", target, "--exit-on-error"]).arg(&archive);
        let restore = restore.args((role != "postgres").then_some("--no-owner"));
        done("pg_restore", restore.env("PGUSER", role).output().unwrap());
        self.described(target, role)
    }

    fn make(&self, target: &str, role: &str) {
        let options = "template template0 lc_collate 'C' lc_ctype 'C'";
        self.into.ask("admin", &format!("create database {target} owner {role} {options}"));
    }

    fn described(&self, target: &str, role: &str) -> Entries {
        let mut dump = self.into.client("pg_dump", target);
        if role != "postgres" {
            dump.args(["--no-owner", "--no-acl"]);
        }
        entries(dump)
    }

    /// Moves `database` in one way and proves it; `pg_dump` is asked whether it is what `pg_restore` makes. Adds what is
    /// wrong, and returns the project.
    fn moves(
        &self,
        way: Way,
        of: (&str, &str),
        right: &Entries,
        wrong: &mut Vec<String>,
    ) -> Project {
        let (database, role) = of;
        let target = format!("{database}_{way:?}").to_lowercase();
        self.make(&target, role);
        let mut project = Project::with(&self.stage, &way.spec(&target));
        project.set("SOURCE", &self.from.url(role, database));
        project.set("TARGET", &self.into.url(role, &target));
        if let Ok(programs) = std::env::var("PGFERRY_PG_BIN") {
            project.set("PGFERRY_PG_BIN", &programs);
        }
        let ended = project.run(&["apply", "--auto-approve", "--no-color"]);
        println!("{database} by {way:?} as {role}: {}", ended.status);
        let odd = differences(right, &self.described(&target, role));
        let odd = odd.into_iter().chain(differing(&ended));
        wrong.extend(odd.map(|odd| format!("{target}: {odd}")));
        if !ended.status.success() {
            let error =
                ended.stderr.split_once("\nError: ").map_or(&*ended.stderr, |(_, error)| error);
            wrong.push(format!("{target}: {error}"));
        }
        project
    }
}

/// Lines of a proof about what is not equal.
fn differing(ended: &Ended) -> Vec<String> {
    let said = ended.text();
    let lines = said.lines().filter(|line| line.contains("DIFFERENT: "));
    lines.map(str::to_owned).collect()
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Copy,
    Bucket,
}

impl Way {
    fn spec(self, target: &str) -> String {
        let moved = match self {
            Self::Copy => format!(
                "  moved: {{ type: postgres.copy, from: \"${{source}}\", into: \"${{target}}\", confirm: {target} }}"
            ),
            Self::Bucket => format!(
                "  bucket: {{ type: linode.bucket, label: {}, region: us-ord, endpoint_type: E3, acl: private, encryption: required }}
  key: {{ type: linode.access_key, access: [{{ bucket: \"${{bucket}}\", permissions: read_write }}] }}
  dump:
    type: postgres.dump
    source: ${{source}}
    for: ${{target}}
    to: {{ bucket: \"${{bucket}}\", credentials: \"${{key}}\", object: regression.dump }}
  moved: {{ type: postgres.restore, into: \"${{target}}\", from: \"${{dump}}\", credentials: \"${{key}}\", confirm: {target} }}",
                target.replace('_', "-")
            ),
        };
        format!(
            "pgferry: 1
name: regression
run: first
providers:
  linode: {{ token: \"${{env.LINODE_TOKEN}}\" }}
resources:
  source: {{ type: postgres.database, url: \"${{env.SOURCE}}\" }}
  target: {{ type: postgres.database, url: \"${{env.TARGET}}\" }}
{moved}
  verified:
    type: postgres.verification
    expected: ${{source}}
    actual: ${{target}}
    depends_on: [moved]
"
        )
    }
}

#[test]
#[ignore = "takes minutes and PostgreSQL's source; `make test-slow` runs it"]
fn postgres_own_regression_database_moves_and_no_alteration_goes_unseen() {
    let Some(tests) = tests() else {
        println!("skipped: PostgreSQL's regression tests are not here; see `PGFERRY_REGRESS`");
        return;
    };
    let world = World::start();
    // The servers' account reads and writes files of the tests.
    let copied = world.from.folder("regress");
    done(
        "cp",
        std::process::Command::new("cp").arg("-rT").args([&tests, &copied]).output().unwrap(),
    );
    done(
        "chmod",
        std::process::Command::new("chmod").arg("-R").arg("a+rwX").arg(&copied).output().unwrap(),
    );
    let tests = copied;
    let (mut wrong, mut project) = (Vec::new(), None);
    for (database, role) in [("regression", "postgres"), ("ordinary", "tapp")] {
        world.build(database, role, &tests);
        world.from.ask(database, BEYOND);
        // Those of the tests have other numbers each time.
        let objects = "select lo_create(70001), lo_create(70002), lo_create(70003)";
        world.from.ask(database, &format!("set role {role}; {objects}"));
        match role {
            "postgres" => drop(world.from.ask(database, BESIDES)),
            _ => world.carry_roles(),
        }
        let expected = world.baseline(database, &format!("{database}_base"), role);
        for way in [Way::Copy, Way::Bucket] {
            let moved = world.moves(way, (database, role), &expected, &mut wrong);
            if role == "postgres" {
                project = Some(moved);
            }
        }
    }
    // Each touches an object that no other touches, so that one proof answers for all.
    for (statement, _) in ALTERATIONS {
        let mut psql = world.into.client("psql", "regression_bucket");
        let done =
            psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement]).output().unwrap();
        if !done.status.success() {
            wrong.push(format!("`{statement}`: {}", String::from_utf8_lossy(&done.stderr)));
        }
    }
    let ended = project.unwrap().run(&["verify", "--no-color"]);
    let found = differing(&ended).join("\n");
    assert!(!found.is_empty(), "nothing at all was found; it said:\n{}", ended.text());
    for (statement, named) in ALTERATIONS {
        let name = regex_lite::escape(named);
        let whole = regex_lite::Regex::new(&format!(r"(^|[^\w]){name}($|[^\w])")).unwrap();
        if !whole.is_match(&found) {
            wrong.push(format!("not found: `{statement}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
