//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Moves a Postgres database between providers the way Terraform builds a cloud.
#[derive(Debug, Parser)]
#[command(name = "pgferry", version = concat!("v", env!("CARGO_PKG_VERSION")), propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Understood by every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// The spec.
    #[arg(short, long, global = true, default_value = "pgferry.yaml", value_name = "PATH")]
    pub(crate) file: PathBuf,
    /// Where the state is, instead of where the spec says: a path, or `s3://BUCKET/KEY`, `gs://…`, `az://…`.
    #[arg(long, global = true, value_name = "PLACE")]
    pub(crate) state: Option<PathBuf>,
    /// A variable of the spec; wins over files and PGFERRY_VAR_name.
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    pub(crate) var: Vec<String>,
    /// A YAML or JSON file with variables; later ones win.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) var_file: Vec<PathBuf>,
    /// Machine-readable: one JSON object, or one a line while something goes on.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The JSON lines into a file, beside what people see.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) json_into: Option<PathBuf>,
    /// No colours, whatever the terminal.
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// How many steps and reads go on at once.
    #[arg(long, global = true, default_value_t = 10, value_name = "N", value_parser = at_least_one)]
    pub(crate) parallelism: usize,
    /// How long to wait for a lock on the state, e.g. `30s`, `5m`.
    #[arg(long, global = true, default_value = "0s", value_name = "TIME", value_parser = duration)]
    pub(crate) lock_timeout: Duration,
    /// Also shows what has nothing to do.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

/// What a plan is made with. Saved with it, so that every field has a default for plans from before it was there.
#[derive(
    Clone, Debug, Default, Args, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(default)]
pub(crate) struct Planning {
    /// Confirms, for today, that ADDRESS may be emptied or deleted; NAME is its name at the provider.
    #[arg(long, value_name = "ADDRESS=NAME")]
    pub(crate) confirm: Vec<String>,
    /// Only this resource and what it depends on.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) target: Vec<String>,
    /// Everything but this resource and what depends on it: `--exclude cutover` is a rehearsal.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) exclude: Vec<String>,
    /// Does a run again, or makes a resource anew.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) replace: Vec<String>,
}

/// What a plan is for, and how it looks at reality.
#[derive(
    Clone, Debug, Default, Args, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub(crate) struct Mode {
    /// Shows how what is remembered has changed outside pgferry; changes nothing. Applied, the state learns of it.
    #[arg(long, conflicts_with_all = ["destroy", "refresh", "replace", "confirm"])]
    pub(crate) refresh_only: bool,
    /// `--refresh=false`: plans from the state alone. Asked all the same is what cannot be done without: what became of
    /// an act that was cut short, what `like` stands for at first, and what a resource with work needs.
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        conflicts_with = "destroy"
    )]
    pub(crate) refresh: Option<bool>,
    /// Plans to tear everything down, as `pgferry destroy` does.
    #[arg(long, conflicts_with = "replace")]
    pub(crate) destroy: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes a spec to start from, with a comment for everything that is to be filled in.
    Init(Init),
    /// Checks the spec, offline; reports every mistake at once.
    Validate,
    /// Shows what would change, and why; changes nothing.
    Plan {
        #[command(flatten)]
        planning: Planning,
        #[command(flatten)]
        mode: Mode,
        /// Saves the plan for `pgferry apply FILE`.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Exit with 2 if there are changes.
        #[arg(long)]
        detailed_exitcode: bool,
    },
    /// Makes it so: plans, asks, applies; or applies a saved plan, which was reviewed already.
    Apply {
        /// A plan that `pgferry plan --out` saved.
        #[arg(value_name = "PLAN", conflicts_with_all = ["confirm", "replace", "target", "exclude", "refresh_only", "refresh", "destroy", "auto_approve"])]
        plan: Option<PathBuf>,
        #[command(flatten)]
        planning: Planning,
        #[command(flatten)]
        mode: Mode,
        /// Does not ask.
        #[arg(long)]
        auto_approve: bool,
    },
    /// Removes staging and what says `on_remove: destroy`; forgets the rest. Data goes only with `--confirm`.
    Destroy {
        /// Confirms, for today, that ADDRESS may be deleted; NAME is its name at the provider.
        #[arg(long, value_name = "ADDRESS=NAME")]
        confirm: Vec<String>,
        /// Only this resource and what depends on it.
        #[arg(long, value_name = "ADDRESS")]
        target: Vec<String>,
        /// Everything but this resource and what it depends on.
        #[arg(long, value_name = "ADDRESS")]
        exclude: Vec<String>,
        /// Does not ask.
        #[arg(long)]
        auto_approve: bool,
    },
    /// Shows what is open, what has not ended and what runs, also while another command works on the same state.
    Status,
    /// Closes every window and key that is still open, without a plan.
    Release,
    /// Deletes a database that was cut over from, with its backups: not within 7 days, and only by its name.
    Retire {
        /// The lookup in the spec.
        address: String,
        /// Its name at the provider, typed by a person who means it.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// Runs the verifications of the spec again, reading only; exits with 0 only if all is equal.
    Verify,
    /// Checks both ends for everything that could go wrong; changes nothing.
    Preflight {
        #[command(flatten)]
        planning: Planning,
    },
    /// Shows what is remembered, or a saved plan.
    Show {
        /// A plan that `pgferry plan --out` saved.
        #[arg(value_name = "PLAN")]
        plan: Option<PathBuf>,
    },
    /// Prints outputs; secret ones only with --reveal.
    Output {
        /// Only this one, bare.
        name: Option<String>,
        /// Prints secrets in clear.
        #[arg(long)]
        reveal: bool,
    },
    /// Takes a thing that exists already into the state, under an address of the spec; changes nothing else.
    Import {
        /// A managed resource of the spec that the state does not know.
        address: String,
        /// Its id or name at the provider, such as the name of an app.
        id: String,
    },
    /// Looks into the state.
    #[command(subcommand)]
    State(StateCommand),
    /// Frees the state of a lock whose holder is gone, if it does not go by itself.
    ForceUnlock {
        /// Names the lock, as the refusal does; needed while it may be held by somebody alive.
        id: Option<String>,
    },
    /// Prints who waits for whom, in the DOT language.
    Graph,
    /// Says what a code such as PGF0104 means and what to do about it.
    Explain { code: String },
    /// Prints the JSON Schema of specs, for editors; or of what pgferry writes.
    Schema {
        /// What people write, what is remembered, a saved plan, or a line of `--json`.
        #[arg(value_enum, default_value = "spec")]
        of: SchemaOf,
    },
    /// A Linode, a Heroku and a bucket store on this machine, with real Postgres servers, to rehearse on.
    #[cfg(feature = "sandbox")]
    #[command(subcommand)]
    Sandbox(SandboxCommand),
    /// Prints completions for a shell, to be sourced by it.
    Completions { shell: clap_complete::Shell },
    /// Prints the version.
    Version,
}

/// What `init` is told, and asks for at a terminal where it is not.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where the database is.
    #[arg(long)]
    pub(crate) from: Option<From>,
    /// Where it goes.
    #[arg(long)]
    pub(crate) to: Option<To>,
    /// A short name for the migration, such as `acme`: 2 to 20 of `a-z`, `0-9` and `-`, beginning with a letter.
    #[arg(long, value_parser = migration_name)]
    pub(crate) name: Option<String>,
}

/// Sources that `init` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum From {
    /// Linode Managed PostgreSQL.
    Linode,
    /// Any Postgres that a URL leads to.
    Postgres,
}

/// Targets that `init` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum To {
    /// Heroku Postgres.
    Heroku,
    /// Any Postgres that a URL leads to.
    Postgres,
}

/// What a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SchemaOf {
    Spec,
    State,
    Plan,
    Events,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Every address.
    List,
    /// One resource.
    Show { address: String },
    /// Forgets resources; what they stand for stays as it is.
    Rm {
        #[arg(required = true)]
        address: Vec<String>,
    },
    /// Gives a resource another address, with all that is known of it.
    Mv { from: String, to: String },
    /// Prints the whole state.
    Pull,
    /// Replaces the state by a file, if it continues it: same lineage, no older serial.
    Push {
        #[arg(value_name = "FILE")]
        pushed: PathBuf,
        /// Also where it does not.
        #[arg(long)]
        force: bool,
    },
    /// Says what is wrong with the state and its journal, and puts right what needs no guess.
    Repair {
        /// Puts the backup in the place of a state that cannot be read; that one is kept.
        #[arg(long)]
        use_backup: bool,
        /// Takes a journal that cannot be read whole up to where it can; all of it is kept.
        #[arg(long)]
        cut_journal: bool,
    },
    /// Moves the state to another place, and leaves word of it at the former one.
    Migrate {
        /// A path, or `s3://BUCKET/KEY`, `gs://…`, `az://…`.
        #[arg(long, value_name = "PLACE")]
        to: String,
    },
}

#[cfg(feature = "sandbox")]
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Starts it and returns when all is ready; `<DIR>/env` is then a file to source.
    Up(SandboxDir),
    /// Stops it and removes its data, also after a crash.
    Down(SandboxDir),
    /// Says whether it runs.
    Status(SandboxDir),
    /// Runs it in the foreground.
    #[command(hide = true)]
    Serve(SandboxDir),
}

#[cfg(feature = "sandbox")]
#[derive(Clone, Debug, Args)]
pub(crate) struct SandboxDir {
    /// Where it keeps its files.
    #[arg(long, default_value = ".sandbox")]
    pub(crate) dir: PathBuf,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a number of 1 or more".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// A name that is also the beginning of names at the providers.
pub(crate) fn migration_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && (2..=20).contains(&text.len()) && text.chars().all(plain) && !text.ends_with('-') {
        return Ok(text.to_owned());
    }
    Err("2 to 20 of `a-z`, `0-9` and `-`, beginning with a letter, such as `acme`".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "write it like `30s`, `5m` or `1h`".to_owned())?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("write it like `30s`, `5m` or `1h`".to_owned()),
    };
    Ok(Duration::from_secs(number * seconds))
}

/// `ADDRESS=NAME`, as written.
pub(crate) fn pairs(texts: &[String], flag: &str) -> anyhow::Result<Vec<(String, String)>> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((left, right)) if !left.is_empty() && !right.is_empty() => {
                Ok((left.to_owned(), right.to_owned()))
            }
            _ => anyhow::bail!("`--{flag} {text}`: write `--{flag} NAME=VALUE`"),
        })
        .collect()
}
