//! The servers and services of all cases, and one case tried in them.

use std::path::Path;
use std::process::Command;

use super::super::oracle::{Entries, differences, entries};
use super::super::pair;
use super::super::pair::{Pooler, Server};
use super::super::stage::project::Project;
use super::super::stage::{QUICK, Stage, psql, until};
use super::case::{Case, Side, Way};
use super::outcome::{Outcome, Seen};
use super::specs::spec;

/// Started once.
pub(crate) struct World {
    stage: Stage,
    from: Server,
    into: Server,
}

/// Where a case's source is.
struct Source<'w> {
    /// Of a standby, the primary.
    primary: Option<Server>,
    other: Option<Server>,
    pooler: Option<Pooler>,
    world: &'w World,
    database: String,
}

impl Source<'_> {
    /// Where `source.sql` runs.
    fn made_at(&self) -> &Server {
        self.primary.as_ref().unwrap_or(&self.world.from)
    }

    /// Where pgferry reads.
    fn server(&self) -> &Server {
        self.other.as_ref().unwrap_or(&self.world.from)
    }
}

impl World {
    pub(crate) fn start() -> Self {
        std::thread::scope(|scope| {
            let (from, into) =
                (scope.spawn(|| Server::start("")), scope.spawn(|| Server::start("")));
            let stage = Stage::start(&QUICK);
            let (from, into) = (from.join().unwrap(), into.join().unwrap());
            // On the source alone, as tablespaces are.
            let fast = from.folder("fast");
            from.ask("admin", &format!("create tablespace fast location '{}'", fast.display()));
            Self { stage, from, into }
        })
    }

    /// What the case needs and this machine has not.
    pub(crate) fn lacks<'c>(&self, case: &'c Case) -> Option<&'c str> {
        let has = |need: &&String| match need.as_str() {
            "pgbouncer" => Path::new(pair::PGBOUNCER).exists(),
            extension => {
                let query = format!(
                    "select count(*) from pg_available_extensions where name = '{extension}'"
                );
                self.from.ask("admin", &query) == "1"
            }
        };
        case.needs.iter().find(|need| !has(need)).map(String::as_str)
    }

    /// Tries all ways of a case. Returns what is wrong, a way each.
    pub(crate) fn attempt(&self, case: &Case, is_loud: bool) -> Vec<String> {
        let source = self.make_source(case);
        let mut wrong = Vec::new();
        for (way, outcome) in &case.outcomes {
            let seen = self.try_way(case, &source, *way, outcome);
            if is_loud {
                let apply = seen.apply.as_ref().map(|apply| apply.text()).unwrap_or_default();
                println!("--- {} {way:?}\n{}\n{apply}", case.name, seen.plan.text());
                println!("{}", seen.differences.join("\n"));
            }
            if let Err(what) = outcome.judge(&seen) {
                wrong.push(format!("=== {}, {way:?}: {what}", case.name));
            }
        }
        if source.database != "postgres" {
            forget(source.made_at(), &source.database);
        }
        wrong
    }

    fn make_source<'w>(&'w self, case: &Case) -> Source<'w> {
        let database = case.source.database.clone().unwrap_or(format!("s_{}", case.word()));
        let primary = case.standby.then(|| Server::start("wal_level = 'replica'"));
        let other = primary.as_ref().map(Server::standby);
        let pooler = case.pooled.then(|| self.from.pooler());
        let source = Source { primary, other, pooler, world: self, database };
        let (at, database) = (source.made_at(), &source.database);
        if database != "postgres" {
            make(at, database, "postgres", &case.source);
        }
        at.run(database, &case.file("source.sql").expect("a case has a `source.sql`"));
        if let (Some(primary), Some(standby)) = (&source.primary, &source.other) {
            let written = primary.ask("admin", "select pg_current_wal_lsn()");
            let query = format!("select pg_last_wal_replay_lsn() >= '{written}'");
            until("the standby has everything", || standby.ask("admin", &query) == "t");
        }
        source
    }

    fn try_way(&self, case: &Case, source: &Source, way: Way, outcome: &Outcome) -> Seen {
        let name = case.target.database.clone();
        let target = name.unwrap_or(format!("t_{}_{}", case.word(), way.short()));
        let role = if way.is_superuser() { "postgres" } else { "tapp" };
        if way != Way::Heroku {
            make(&self.into, &target, role, &case.target);
            if let Some(file) = case.file("target.sql") {
                self.into.run(&target, &file);
            }
        }
        let number = case.name.split('-').next().unwrap();
        let label = format!("{number}{}", way.short());
        let mut project = Project::with(&self.stage, &spec(case, way, &target, &label));
        let from = source.pooler.as_ref().map_or(source.server().port, |pooler| pooler.port);
        project.set("SOURCE", &url(from, &case.source, "postgres", &source.database));
        project.set("TARGET", &url(self.into.port, &case.target, role, &target));
        if let Ok(programs) = std::env::var("PGFERRY_PG_BIN") {
            project.set("PGFERRY_PG_BIN", &programs);
        }
        let mut plan = project.run(&["plan"]);
        if let Some(pooler) = &source.pooler {
            // By another client, in the very session that the plan had.
            let query = "insert into app_writes values (1) returning 'written'";
            plan.stdout += &pooler.ask(&source.database, query);
        }
        let apply = (plan.status.code() == Some(0))
            .then(|| project.run(&["apply", "--auto-approve", "--no-color"]));
        let has_moved = apply.as_ref().is_some_and(|apply| apply.status.success());
        let (mut found, mut answer) = (Vec::new(), None);
        if has_moved && outcome.moves() {
            let as_who = if way.is_superuser() { As::Superuser } else { As::Owner };
            let expected = read(source.server().client("pg_dump", &source.database), as_who);
            let heroku = || self.stage.config(&format!("cases-{label}"))["DATABASE_URL"].clone();
            let (dump, asked): (_, Asking<'_>) = match way {
                Way::Heroku => {
                    let url = heroku().as_str().unwrap().to_owned();
                    let mut dump = Command::new(self.from.bin.join("pg_dump"));
                    dump.args(["-d", &url]).env("PGSSLMODE", "require");
                    (dump, Box::new(move |query| psql(&url, query)))
                }
                _ => {
                    let dump = self.into.client("pg_dump", &target);
                    (dump, Box::new(|query| self.into.ask(&target, query)))
                }
            };
            found = differences(&expected, &read(dump, as_who));
            answer = outcome.then().map(|then| asked(&then.ask));
        }
        if way != Way::Heroku {
            forget(&self.into, &target);
        }
        Seen { plan, apply, differences: found, answer }
    }
}

/// Asks the target a query, for its answer as text.
type Asking<'a> = Box<dyn Fn(&str) -> String + 'a>;

/// Whose view of a database is compared.
#[derive(Clone, Copy)]
enum As {
    /// Everything.
    Superuser,
    /// All but owners and rights, which another role cannot have alike.
    Owner,
}

fn read(mut pg_dump: Command, who: As) -> Entries {
    if let As::Owner = who {
        pg_dump.args(["--no-owner", "--no-acl"]);
    }
    entries(pg_dump)
}

fn make(server: &Server, database: &str, owner: &str, side: &Side) {
    let options = &side.options;
    let create = format!("create database \"{database}\" owner {owner} {options}");
    server.ask("admin", &create);
}

/// Drops a database that nobody needs any more, so that all cases together need little disk. A subscription or replication
/// slot may hold it back; then it stays.
fn forget(server: &Server, database: &str) {
    let drop = format!("drop database if exists \"{database}\" with (force)");
    let _may_stay = server.client("psql", "admin").args(["-X", "-q", "-c", &drop]).output();
}

fn url(port: u16, side: &Side, role: &str, database: &str) -> String {
    match &side.url {
        Some(url) => url.replace("PORT", &port.to_string()).replace("DATABASE", database),
        None => pair::url(port, side.role.as_deref().unwrap_or(role), database),
    }
}
