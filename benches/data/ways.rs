//! The ways a database can go, each from a source with rows to a new add-on that has them, checked.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::meter::{Usage, run_with};
use crate::stage::{BUCKET, Stage, psql, until};

/// No file that is written may be larger, in units of 512 bytes: 8 MiB. The state of 2,500 tables needs more than one.
const LARGEST_FILE: &str = "16384";

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `pg_dump` into a file, the file into the bucket, `pg_restore` from there, rows counted on both sides.
    Guide,
    /// Through the bucket, with the level whose archive is as large as the guide's within a few percent; restored by the
    /// provider's one-job `pg_restore`, contents proved.
    Bucket,
    /// The same with the fastest level, whose archive is half as large again.
    Fastest,
    /// The dump alone, with the smallest level.
    Smallest,
    /// The dump alone, with the level that pgferry chooses.
    Chosen,
    /// Through the bucket by `postgres.restore`, contents proved.
    Restore,
    /// The same, compressed by zstd.
    Zstd,
    /// By `postgres.copy`, contents proved.
    Copy,
    /// The same, nothing proved.
    CopyAlone,
    /// `pgcopydb clone` with as many jobs, nothing proved.
    Pgcopydb,
    /// `benches/bare_limit`: what a copy needs at least.
    BareLimit,
    /// `pg_dump -Fc` into a file and `pg_restore -j2` from it.
    Programs,
    /// Through the bucket by `postgres.restore`, nothing proved.
    RestoreAlone,
}

/// Seconds; 0 where there is no such step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) dump: f64,
    pub(crate) restore: f64,
    pub(crate) check: f64,
    /// Of the archive.
    pub(crate) bytes: f64,
    pub(crate) whole: Usage,
}

impl Way {
    pub(crate) fn all() -> Vec<Self> {
        use Way::{BareLimit, Bucket, Copy, CopyAlone, Fastest, Guide, Pgcopydb, Restore, Zstd};
        vec![Guide, Bucket, Fastest, Restore, Zstd, Copy, CopyAlone, BareLimit, Pgcopydb]
    }

    /// Those that are compared where there are many things.
    pub(crate) fn of_many() -> Vec<Self> {
        use Way::{Copy, CopyAlone, Programs, Restore, RestoreAlone};
        vec![Programs, RestoreAlone, Restore, CopyAlone, Copy]
    }

    pub(crate) fn is_possible(self) -> bool {
        let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
        self != Self::Pgcopydb || has("pgcopydb")
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Guide => "the guide's way, rows counted",
            Self::Bucket => "pgferry, bucket, level 2, contents proved",
            Self::Fastest => "pgferry, bucket, level 1, contents proved",
            Self::Smallest => "pgferry, dump alone, level 9",
            Self::Chosen => "pgferry, dump alone",
            Self::Restore => "pgferry, postgres.restore, level 2, proved",
            Self::Zstd => "pgferry, postgres.restore, zstd, proved",
            Self::Copy => "pgferry, postgres.copy, contents proved",
            Self::CopyAlone => "pgferry, postgres.copy, nothing proved",
            Self::Pgcopydb => "pgcopydb clone, nothing proved",
            Self::BareLimit => "the bare limit of a copy, nothing proved",
            Self::Programs => "pg_dump -Fc, pg_restore -j2, nothing proved",
            Self::RestoreAlone => "pgferry, postgres.restore, nothing proved",
        }
    }
}

/// The source, and the services around it.
pub(crate) struct Ground<'a> {
    stage: &'a Stage,
    /// Its connection string.
    pub(crate) source: String,
    /// How many journeys there were.
    count: Cell<u32>,
}

impl<'a> Ground<'a> {
    /// Makes the source by the script of this name.
    pub(crate) fn new(stage: &'a Stage, script: &str, scale: u32) -> Self {
        stage.source("drop database if exists shop");
        stage.source("create database shop");
        let source = stage.value("SOURCE_DATABASE_URL").replace("/acme_org_db?", "/shop?");
        let made = Command::new("psql")
            .args(["-qX", "--set", &format!("scale={scale}"), "--file"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/data/{script}.sql")))
            .arg(&source)
            .status();
        assert!(made.unwrap().success(), "the source is not made");
        let bucket = json!({ "label": BUCKET, "region": "us-ord", "endpoint_type": "E3" });
        let there = stage.linode(Method::GET, "/object-storage/buckets", &Value::Null);
        // A second source finds it there.
        if there["data"].as_array().is_none_or(Vec::is_empty) {
            stage.linode(Method::POST, "/object-storage/buckets", &bucket);
        }
        Self { stage, source, count: Cell::new(0) }
    }

    pub(crate) fn ask(&self, query: &str) -> String {
        psql(&self.source, query)
    }

    pub(crate) fn value(&self, name: &str) -> String {
        self.stage.value(name)
    }

    /// Goes `way` once, to a new add-on that is taken away afterwards.
    pub(crate) fn travel(&self, way: Way, store: Option<&str>) -> Figures {
        self.journey(way, store, |journey| match way {
            Way::Guide => journey.by_hand(),
            Way::Pgcopydb => journey.by_pgcopydb(),
            Way::BareLimit => journey.by_bare_limit(),
            Way::Programs => journey.by_programs(),
            _ => journey.by_pgferry(),
        })
    }

    /// Seconds that a plain upload of so many bytes to `store` takes.
    pub(crate) fn push(&self, store: &str, bytes: f64) -> f64 {
        self.journey(Way::Guide, Some(store), |journey| journey.push(bytes))
    }

    fn journey<T>(
        &self,
        way: Way,
        store: Option<&str>,
        go: impl FnOnce(&mut Journey<'_>) -> T,
    ) -> T {
        let number = self.count.get() + 1;
        self.count.set(number);
        let app = format!("bench-{number}");
        self.stage.heroku(Method::POST, "/apps", &json!({ "name": app }));
        let addon = json!({ "plan": "heroku-postgresql:standard-0", "name": format!("{app}-db") });
        self.stage.heroku(Method::POST, &format!("/apps/{app}/addons"), &addon);
        until("the add-on", || self.stage.config(&app)["DATABASE_URL"].is_string());
        let folder = tempfile::tempdir().unwrap();
        let mut journey = Journey { ground: self, way, app: &app, folder: folder.path(), store };
        let figures = go(&mut journey);
        self.stage.heroku(Method::DELETE, &format!("/apps/{app}"), &Value::Null);
        self.stage.empty_bucket();
        figures
    }
}

struct Journey<'a> {
    ground: &'a Ground<'a>,
    way: Way,
    app: &'a str,
    folder: &'a Path,
    store: Option<&'a str>,
}

/// Counts the rows of every table of `$1`, one after the other.
const COUNT: &str = r#"tables=$(psql -XAt "$1" -c "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'shop' order by 1")
for table in $tables; do psql -XAt "$1" -c "select '$table', count(*) from $table"; done"#;

/// The object in the bucket, as people reach it.
const OBJECT: &str = r#"curl --silent --show-error --fail --aws-sigv4 aws:amz:us-ord:s3 \
    --header "x-amz-content-sha256: UNSIGNED-PAYLOAD" \
    --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" "$AWS_ENDPOINT_URL_S3/$BUCKET/shop.dump""#;

impl Journey<'_> {
    fn target(&self) -> String {
        self.ground.stage.config(self.app)["DATABASE_URL"].as_str().unwrap().to_owned()
    }

    /// One step of a shell; what it says stays in a file of the folder.
    fn shell(&self, script: &str) -> Usage {
        let stage = self.ground.stage;
        let target = self.target();
        let mut environment = stage.environment();
        if let Some(store) = self.store {
            environment.retain(|(name, _)| name != "AWS_ENDPOINT_URL_S3");
            environment.push(("AWS_ENDPOINT_URL_S3".into(), store.to_owned()));
        }
        let own = [
            ("SOURCE", self.ground.source.as_str()),
            ("TARGET", target.as_str()),
            ("PGFERRY", env!("CARGO_BIN_EXE_pgferry")),
            ("COUNT", COUNT),
            ("BUCKET", BUCKET),
            ("APP", self.app),
        ];
        environment.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let script = format!("exec >out 2>&1\n{script}");
        run_with(self.folder, &["sh", "-ec", &script], &environment)
    }

    /// Seconds that one plain upload of so many bytes takes.
    fn push(&self, bytes: f64) -> f64 {
        let made = format!("head -c {bytes:.0} /dev/urandom >plain");
        self.shell(&made);
        self.shell(&format!("{OBJECT} --upload-file plain")).wall
    }

    fn by_hand(&mut self) -> Figures {
        let dump = self.shell(r#"pg_dump -Fc -b -v -f shop.dump "$SOURCE""#);
        #[allow(clippy::cast_precision_loss, reason = "bytes")]
        let bytes = fs::metadata(self.folder.join("shop.dump")).unwrap().len() as f64;
        let upload = self.shell(&format!("{OBJECT} --upload-file shop.dump"));
        // What it may not set again (comments of the provider's extensions) makes it end with 1.
        let restore = self.shell(&format!(
            r#"{OBJECT} | pg_restore --verbose --no-owner --no-acl --dbname "$TARGET" || true"#
        ));
        let check = self.shell(
            r#"sh -c "$COUNT" sh "$SOURCE" >ours
            sh -c "$COUNT" sh "$TARGET" >theirs
            cmp ours theirs"#,
        );
        let steps = [dump, upload, restore, check];
        Figures {
            dump: dump.wall + upload.wall,
            restore: restore.wall,
            check: check.wall,
            bytes,
            whole: Usage {
                wall: steps.iter().map(|step| step.wall).sum(),
                cpu: steps.iter().map(|step| step.cpu).sum(),
                peak: steps.iter().map(|step| step.peak).fold(0.0, f64::max),
            },
        }
    }

    fn by_pgcopydb(&mut self) -> Figures {
        let whole = self.shell(
            r#"pgcopydb clone --source "$SOURCE" --target "$TARGET" --dir "$PWD/work" --table-jobs 4 --index-jobs 4 \
               --no-owner --no-acl --no-comments --skip-extensions --fail-fast"#,
        );
        self.shell(
            r#"sh -c "$COUNT" sh "$SOURCE" >ours
            sh -c "$COUNT" sh "$TARGET" >theirs
            cmp ours theirs"#,
        );
        Figures { restore: whole.wall, whole, ..Figures::default() }
    }

    fn by_bare_limit(&mut self) -> Figures {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bare_limit");
        let whole = self.shell(&format!("JOBS=4 {}", script.display()));
        self.shell(
            r#"sh -c "$COUNT" sh "$SOURCE" >ours
            sh -c "$COUNT" sh "$TARGET" >theirs
            cmp ours theirs"#,
        );
        Figures { restore: whole.wall, whole, ..Figures::default() }
    }

    fn by_programs(&mut self) -> Figures {
        let dump = self.shell(r#"pg_dump -Fc -b -f shop.dump "$SOURCE""#);
        #[allow(clippy::cast_precision_loss, reason = "bytes")]
        let bytes = fs::metadata(self.folder.join("shop.dump")).unwrap().len() as f64;
        let restore = self
            .shell(r#"pg_restore -j2 --no-owner --no-acl --dbname "$TARGET" shop.dump || true"#);
        let whole = Usage {
            wall: dump.wall + restore.wall,
            cpu: dump.cpu + restore.cpu,
            peak: dump.peak.max(restore.peak),
        };
        Figures { dump: dump.wall, restore: restore.wall, check: 0.0, bytes, whole }
    }

    fn by_pgferry(&mut self) -> Figures {
        fs::write(self.folder.join("pgferry.yaml"), self.spec()).unwrap();
        // What is there already is taken into the state beforehand, as `terraform import` would.
        self.shell(r#""$PGFERRY" apply --auto-approve --target target --target bucket"#);
        let whole = self.shell(&format!(
            "ulimit -f {LARGEST_FILE}\n\
             \"$PGFERRY\" apply --auto-approve --json-into events >told"
        ));
        let events = fs::read_to_string(self.folder.join("events")).unwrap();
        let spans = spans(&events);
        let span = |name: &str| spans.get(name).copied().unwrap_or_default();
        let state = fs::read_to_string(self.folder.join("pgferry.state.json")).unwrap();
        let state: Value = serde_json::from_str(&state).unwrap();
        let bytes = state["resources"]["dump"]["attrs"]["size"].as_f64().unwrap_or_default();
        Figures {
            dump: span("dump"),
            restore: span("restore"),
            check: span("verified"),
            bytes,
            whole,
        }
    }

    fn spec(&self) -> String {
        let app = self.app;
        let level = match self.way {
            Way::Fastest => "    compression: 1\n",
            Way::Smallest => "    compression: 9\n",
            Way::Bucket | Way::Restore => "    compression: 2\n",
            Way::Zstd => "    compression: zstd\n",
            _ => "",
        };
        let head = format!(
            "pgferry: 1\nname: bench\nresources:\n  \
             source: {{ type: linode.database, label: acme-prod, database: shop }}\n  \
             bucket: {{ type: linode.bucket, label: {BUCKET}, region: us-ord, endpoint_type: E3 }}\n  \
             app: {{ type: heroku.app, name: {app} }}\n  \
             target: {{ type: heroku.addon, app: \"${{app.name}}\", plan: heroku-postgresql:standard-0, name: {app}-db }}\n"
        );
        let dump = format!(
            "  key: {{ type: linode.access_key, access: [{{ bucket: \"${{bucket}}\", permissions: read_write }}] }}\n  \
             dump:\n    type: postgres.dump\n    source: ${{source}}\n    for: ${{target}}\n    \
             to: {{ bucket: \"${{bucket}}\", credentials: \"${{key}}\", object: shop.dump }}\n{level}"
        );
        let restore = |kind: &str| {
            format!(
                "  restore: {{ type: {kind}, into: \"${{target}}\", from: \"${{dump}}\", credentials: \"${{key}}\", \
                 confirm: {app} }}\n"
            )
        };
        let verified = "  verified: { type: postgres.verification, expected: \"${source}\", actual: \"${target}\", \
                        rows: exact, contents: checksum, depends_on: [restore] }\n";
        match self.way {
            Way::Smallest | Way::Chosen => head + &dump,
            Way::Copy | Way::CopyAlone => {
                let copy = format!(
                    "  restore: {{ type: postgres.copy, from: \"${{source}}\", into: \"${{target}}\", confirm: {app}, jobs: 4 }}\n"
                );
                head + &copy + if self.way == Way::Copy { verified } else { "" }
            }
            Way::RestoreAlone => head + &dump + &restore("postgres.restore"),
            Way::Restore | Way::Zstd => head + &dump + &restore("postgres.restore") + verified,
            _ => head + &dump + &restore("heroku.restore") + verified,
        }
    }
}

/// How long each resource took, in seconds, by its address.
fn spans(events: &str) -> BTreeMap<String, f64> {
    let mut began = BTreeMap::new();
    let mut spans = BTreeMap::new();
    for line in events.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let address = event["hook"]["resource"]["addr"].as_str().unwrap_or_default().to_owned();
        let at: jiff::Timestamp = event["@timestamp"].as_str().unwrap().parse().unwrap();
        match event["type"].as_str() {
            Some("apply_start") => {
                began.insert(address, at);
            }
            Some("apply_complete") => {
                if let Some(begin) = began.get(&address) {
                    spans.insert(address, at.duration_since(*begin).as_secs_f64());
                }
            }
            _ => {}
        }
    }
    spans
}
