//! How a thing is kept: `lifecycle`, `on_exists`, `renamed_from`.

use std::time::Duration;

use super::{broken, inputs, read};
use crate::address::Address;
use crate::spec::{OnExists, Timeouts};

#[test]
fn what_is_kept() {
    let text = r#"
pgferry: 1
name: test
variables: { protect: { default: true } }
resources:
  app:
    type: heroku.app
    name: acme-app
    lifecycle:
      prevent_destroy: "${var.protect}"
      ignore_changes: [region]
      replace_when: ["${other.output}", "v${var.protect}"]
    timeouts: { create: 30m, delete: 1h30m }
    on_exists: fail
    renamed_from: 'old["eu"]'
  plain: { type: heroku.app, name: acme-two, lifecycle: { ignore_changes: [] }, on_exists: adopt }
  other: { type: core.value, input: 1 }
"#;
    let loaded = read(text, &inputs()).unwrap_or_else(|said| panic!("{said}"));
    let spec = &loaded.spec;
    let app = &spec.resources[&Address::new("app")];
    assert!(app.lifecycle.prevent_destroy);
    assert_eq!(app.lifecycle.ignore_changes, ["region"]);
    let watched: Vec<&String> = app.lifecycle.replace_when.keys().collect();
    assert_eq!(watched, ["${other.output}", "v${var.protect}"]);
    let waits: Vec<&str> =
        loaded.graph.direct_dependencies(&Address::new("app")).map(Address::as_str).collect();
    assert_eq!(waits, ["other"]);
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    let timeouts = Timeouts { create: minutes(30), update: None, delete: minutes(90) };
    assert_eq!(app.timeouts, timeouts);
    assert_eq!(app.on_exists, OnExists::Fail);
    assert_eq!(app.renamed_from, Some(Address::new("old[\"eu\"]")));
    let plain = &spec.resources[&Address::new("plain")];
    assert!(!plain.lifecycle.prevent_destroy && plain.lifecycle.ignore_changes.is_empty());
    assert_eq!((plain.on_exists, &plain.renamed_from), (OnExists::Adopt, &None));
    assert_eq!(plain.timeouts, Timeouts::default());
}

#[test]
fn lifecycle() {
    broken(
        r#"resources:
  a:
    type: heroku.app
    name: acme-app
    lifecycle:
      prevent_destory: true
      ignore_changes: [regon, 5, "${b.output}"]
  b: { type: core.value, input: 1, lifecycle: [prevent_destroy] }
  c: { type: core.command, command: [x], lifecycle: { prevent_destroy: yes } }
"#,
        r#"error[PGF0104]: unknown field `prevent_destory` in `lifecycle` of `a` (heroku.app)
 --> spec.yaml:8:7
4 |   a:
  |   - resource declared here
...
8 |       prevent_destory: true
  |       ^^^^^^^^^^^^^^^ no such field
help: did you mean `prevent_destroy`?

error[PGF0104]: `ignore_changes` of `a` (heroku.app) names no field: `regon`
 --> spec.yaml:9:24
9 |       ignore_changes: [regon, 5, "${b.output}"]
  |                        ^^^^^ a `heroku.app` has no such field
help: did you mean `region`?

error[PGF0106]: `lifecycle.ignore_changes[1]` of `a` (heroku.app) wants text, not a number
 --> spec.yaml:9:31
9 |       ignore_changes: [regon, 5, "${b.output}"]
  |                               ^ this is a number
help: write `"5"`

error[PGF0127]: a resource cannot be referred to here
 --> spec.yaml:9:35
9 |       ignore_changes: [regon, 5, "${b.output}"]
  |                                   ^^^^^^^^^^^ needed before any resource is looked at
help: use `${var.name}` or `${env.NAME}`

error[PGF0106]: `lifecycle` of `b` (core.value) wants a map, not a list
  --> spec.yaml:10:47
10 |   b: { type: core.value, input: 1, lifecycle: [prevent_destroy] }
   |                                               ^^^^^^^^^^^^^^^^^ this is a list

error[PGF0129]: `prevent_destroy` has no meaning for `c` (core.command)
  --> spec.yaml:11:55
11 |   c: { type: core.command, command: [x], lifecycle: { prevent_destroy: yes } }
   |                                                       ^^^^^^^^^^^^^^^ a `core.command` is something done, which can only be forgotten
help: leave it out

error[PGF0106]: `lifecycle.prevent_destroy` of `c` (core.command) wants `true` or `false`, not text
  --> spec.yaml:11:72
11 |   c: { type: core.command, command: [x], lifecycle: { prevent_destroy: yes } }
   |                                                                        ^^^ this is text
help: write `true`
"#,
    );
}

#[test]
fn on_exists() {
    broken(
        r#"resources:
  s: { type: linode.database, label: x, on_exists: fail }
  a: { type: heroku.app, name: acme-app, on_exists: import }
  b: { type: heroku.app, name: acme-two, on_exists: [adopt] }
"#,
        r#"error[PGF0129]: `on_exists` has no meaning for `s` (linode.database)
 --> spec.yaml:4:41
4 |   s: { type: linode.database, label: x, on_exists: fail }
  |                                         ^^^^^^^^^ a `linode.database` is looked up, never changed
help: leave it out

error[PGF0107]: `on_exists` of `a` (heroku.app) cannot be `import`
 --> spec.yaml:5:53
5 |   a: { type: heroku.app, name: acme-app, on_exists: import }
  |                                                     ^^^^^^ neither `adopt` nor `fail`
help: write `adopt`

error[PGF0106]: `on_exists` of `b` (heroku.app) wants text, not a list
 --> spec.yaml:6:42
6 |   b: { type: heroku.app, name: acme-two, on_exists: [adopt] }
  |                                          ^^^^^^^^^ its value is a list
help: write `adopt` or `fail`
"#,
    );
}

#[test]
fn renamed_from() {
    broken(
        r#"resources:
  a: { type: heroku.app, name: acme-a, renamed_from: a }
  b: { type: heroku.app, name: acme-b, renamed_from: a }
  c: { type: heroku.app, name: acme-c, renamed_from: old }
  d: { type: heroku.app, name: acme-d, renamed_from: old }
  e: { type: heroku.app, name: acme-e, renamed_from: "${a.name}" }
  f: { type: heroku.app, name: acme-f, renamed_from: [g] }
"#,
        r#"error[PGF0132]: `a` cannot have been renamed from itself
 --> spec.yaml:4:54
4 |   a: { type: heroku.app, name: acme-a, renamed_from: a }
  |                                                      ^ this is its name now
help: write its former name, or leave `renamed_from` out

error[PGF0132]: `b` is renamed from `a`, which is still there
 --> spec.yaml:5:54
4 |   a: { type: heroku.app, name: acme-a, renamed_from: a }
  |   - a block of that name
5 |   b: { type: heroku.app, name: acme-b, renamed_from: a }
  |                                                      ^ the former name of this resource
help: take that block away, or leave `renamed_from` out

error[PGF0132]: `c` and `d` are both renamed from `old`
 --> spec.yaml:7:54
6 |   c: { type: heroku.app, name: acme-c, renamed_from: old }
  |                                                      --- claimed here already
7 |   d: { type: heroku.app, name: acme-d, renamed_from: old }
  |                                                      ^^^ the same former name
help: leave one of them out

error[PGF0127]: a resource cannot be referred to here
 --> spec.yaml:8:55
8 |   e: { type: heroku.app, name: acme-e, renamed_from: "${a.name}" }
  |                                                       ^^^^^^^^^ needed before any resource is looked at
help: use `${var.name}` or `${env.NAME}`

error[PGF0106]: `renamed_from` of `f` (heroku.app) wants text, not a list
 --> spec.yaml:9:40
9 |   f: { type: heroku.app, name: acme-f, renamed_from: [g] }
  |                                        ^^^^^^^^^^^^ its value is a list
help: write the former name: `renamed_from: name`
"#,
    );
}

#[test]
fn what_is_watched() {
    broken(
        r#"resources:
  a:
    type: core.command
    command: [x]
    lifecycle: { replace_when: ["${b.outputt}", v1, "${b}", 5, "${db.url}", "${c.exit_code}"] }
  b: { type: core.value, input: 1, lifecycle: { replace_when: "${var.x}" } }
  c: { type: core.command, command: [x], lifecycle: { replace_when: ["${a.exit_code}"] } }
  db: { type: linode.database, label: x, lifecycle: { replace_when: [] } }
"#,
        r#"error[PGF0113]: `b` (core.value) has no attribute `outputt`
 --> spec.yaml:7:34
7 |     lifecycle: { replace_when: ["${b.outputt}", v1, "${b}", 5, "${db.url}", "${c.exit_code}"] }
  |                                  ^^^^^^^^^^^^ no such attribute
help: did you mean `${b.output}`?

error[PGF0106]: `lifecycle.replace_when` of `a` (core.command) lists references
 --> spec.yaml:7:49
7 |     lifecycle: { replace_when: ["${b.outputt}", v1, "${b}", 5, "${db.url}", "${c.exit_code}"] }
  |                                                 ^^ this is text, which never changes
help: write `"${name.attribute}"`, or `"${var.name}"`

error[PGF0120]: `lifecycle.replace_when[2]` of `a` (core.command) wants a value, not a whole resource
 --> spec.yaml:7:54
7 |     lifecycle: { replace_when: ["${b.outputt}", v1, "${b}", 5, "${db.url}", "${c.exit_code}"] }
  |                                                      ^^^^ all of `b`
help: refer to one of its attributes: `output`

error[PGF0106]: `lifecycle.replace_when` of `a` (core.command) lists references
 --> spec.yaml:7:61
7 |     lifecycle: { replace_when: ["${b.outputt}", v1, "${b}", 5, "${db.url}", "${c.exit_code}"] }
  |                                                             ^ this is a number, which never changes
help: write `"${name.attribute}"`, or `"${var.name}"`

error[PGF0122]: a secret in `lifecycle.replace_when[4]` of `a` (core.command), which is shown and stored
 --> spec.yaml:7:65
7 |     lifecycle: { replace_when: ["${b.outputt}", v1, "${b}", 5, "${db.url}", "${c.exit_code}"] }
  |                                                                 ^^^^^^^^^ this is secret
help: refer to something that is no secret, or use a field that takes one

error[PGF0125]: these resources wait for each other: `a` → `c` → `a`
 --> spec.yaml:7:78
7 |     lifecycle: { replace_when: ["${b.outputt}", v1, "${b}", 5, "${db.url}", "${c.exit_code}"] }
  |                                                                              ^^^^^^^^^^^^^^ `a` refers to `c` here
...
9 |   c: { type: core.command, command: [x], lifecycle: { replace_when: ["${a.exit_code}"] } }
  |                                                                       -------------- `c` refers to `a` here
help: take one of these references away

error[PGF0106]: `lifecycle.replace_when` of `b` (core.value) wants a list, not text
 --> spec.yaml:8:63
8 |   b: { type: core.value, input: 1, lifecycle: { replace_when: "${var.x}" } }
  |                                                               ^^^^^^^^^^ this is text
help: write `["${var.x}"]`

error[PGF0129]: `lifecycle` has no meaning for `db` (linode.database)
  --> spec.yaml:10:42
10 |   db: { type: linode.database, label: x, lifecycle: { replace_when: [] } }
   |                                          ^^^^^^^^^ a `linode.database` is looked up, never changed
help: leave it out
"#,
    );
}

#[test]
fn timeouts() {
    broken(
        r#"resources:
  a: { type: heroku.app, name: acme-app, timeouts: { create: 1 h, read: 5m } }
  b: { type: core.command, command: [x], timeouts: { create: 0s, update: 5m } }
  c: { type: core.value, input: 1, timeouts: 30m }
  db: { type: linode.database, label: x, timeouts: { create: 5m } }
  d: { type: core.value, input: 1, timeouts: { create: 30, delete: "${c.output}" } }
"#,
        r#"error[PGF0108]: `timeouts.create` of `a` (heroku.app) cannot be `1 h`
 --> spec.yaml:4:62
4 |   a: { type: heroku.app, name: acme-app, timeouts: { create: 1 h, read: 5m } }
  |                                                              ^^^ hours, minutes and seconds, such as `30m` or `1h30m`

error[PGF0104]: unknown field `read` in `timeouts` of `a` (heroku.app)
 --> spec.yaml:4:67
4 |   a: { type: heroku.app, name: acme-app, timeouts: { create: 1 h, read: 5m } }
  |                                                                   ^^^^ no such field
  |   - resource declared here
help: the fields are: `create`, `update`, `delete`

error[PGF0109]: `timeouts.create` of `b` (core.command) cannot be `0s`
 --> spec.yaml:5:62
5 |   b: { type: core.command, command: [x], timeouts: { create: 0s, update: 5m } }
  |                                                              ^^ at least one second

error[PGF0129]: `timeouts.update` has no meaning for `b` (core.command)
 --> spec.yaml:5:66
5 |   b: { type: core.command, command: [x], timeouts: { create: 0s, update: 5m } }
  |                                                                  ^^^^^^ there is no such act
help: it has `create`

error[PGF0106]: `timeouts` of `c` (core.value) wants a map, not text
 --> spec.yaml:6:46
6 |   c: { type: core.value, input: 1, timeouts: 30m }
  |                                              ^^^ this is text

error[PGF0129]: `timeouts` has no meaning for `db` (linode.database)
 --> spec.yaml:7:42
7 |   db: { type: linode.database, label: x, timeouts: { create: 5m } }
  |                                          ^^^^^^^^ what is looked up is only read
help: leave it out

error[PGF0106]: `timeouts.create` of `d` (core.value) wants text, not a number
 --> spec.yaml:8:56
8 |   d: { type: core.value, input: 1, timeouts: { create: 30, delete: "${c.output}" } }
  |                                                        ^^ this is a number
help: write `"30"`

error[PGF0127]: a resource cannot be referred to here
 --> spec.yaml:8:69
8 |   d: { type: core.value, input: 1, timeouts: { create: 30, delete: "${c.output}" } }
  |                                                                     ^^^^^^^^^^^ needed before any resource is looked at
help: use `${var.name}` or `${env.NAME}`
"#,
    );
}
