//! The specs of all ways, from one text: ends, what moves the rows, settings where asked for, and the proof.

use super::case::{Case, Way};

const BUCKET: &str = "
  bucket:
    type: linode.bucket
    label: cases-LABEL
    region: us-ord
    endpoint_type: E3
    acl: private
    encryption: required
  key:
    type: linode.access_key
    access: [{ bucket: \"${bucket}\", permissions: read_write }]";

const DUMP: &str = "
  dump:
    type: postgres.dump
    source: ${source}
    for: ${target}
    to: { bucket: \"${bucket}\", credentials: \"${key}\", object: case.dump }";

const COPY: &str = "
  moved:
    type: postgres.copy
    from: ${source}
    into: ${target}
    confirm: \"DATABASE\"";

const RESTORE: &str = "
  moved:
    type: postgres.restore
    into: ${target}
    from: ${dump}
    credentials: ${key}
    confirm: \"DATABASE\"";

const TARGET: &str = "
  target:
    type: postgres.database
    url: ${env.TARGET}";

const HEROKU_TARGET: &str = "
  app:
    type: heroku.app
    name: cases-LABEL
    region: us
  target:
    type: heroku.addon
    app: ${app.name}
    plan: heroku-postgresql:essential-1
  extensions:
    type: postgres.extensions
    database: ${target}
    like: ${source}";

const HEROKU_RESTORE: &str = "
    depends_on: [extensions]
  moved:
    type: heroku.restore
    into: ${target}
    from: ${dump}
    credentials: ${key}
    extensions: ${extensions.installed}
    confirm: ${app.name}";

/// The spec of a case. `label` makes names of its own for what is made at providers.
pub(crate) fn spec(case: &Case, way: Way, database: &str, label: &str) -> String {
    let fields = match &case.fields {
        fields if fields.is_empty() => String::new(),
        fields => format!("\n    {fields}"),
    };
    let moved = match way {
        Way::CopyAsSuperuser | Way::CopyAsOwner => format!("{TARGET}{COPY}{fields}"),
        Way::RestoreAsSuperuser | Way::RestoreAsOwner => {
            format!("{TARGET}{BUCKET}{DUMP}{fields}{RESTORE}")
        }
        Way::Heroku => format!("{HEROKU_TARGET}{BUCKET}{DUMP}{fields}{HEROKU_RESTORE}"),
    };
    let (settings, after) = match case.settings {
        true => (
            "\n  settings: { type: postgres.settings, database: \"${target}\", like: \"${source}\", also: [roles, connection_limit, comment], depends_on: [moved] }",
            "moved, settings",
        ),
        false => ("", "moved"),
    };
    format!(
        "pgferry: 1
name: case
run: first
providers:
  linode: {{ token: \"${{env.LINODE_TOKEN}}\" }}
resources:
  source:
    type: postgres.database
    url: ${{env.SOURCE}}{moved}{settings}
  verified:
    type: postgres.verification
    expected: ${{source}}
    actual: ${{target}}
    depends_on: [{after}]
"
    )
    .replace("DATABASE", database)
    .replace("LABEL", label)
}
