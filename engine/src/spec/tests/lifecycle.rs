//! How a thing is kept: `lifecycle`, `on_exists`, `renamed_from`.

use super::{broken, inputs, read};
use crate::address::Address;
use crate::spec::{Lifecycle, OnExists};

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
    lifecycle: { prevent_destroy: "${var.protect}", ignore_changes: [region] }
    on_exists: fail
    renamed_from: 'old["eu"]'
  plain: { type: heroku.app, name: acme-two, lifecycle: { ignore_changes: [] }, on_exists: adopt }
"#;
    let spec = read(text, &inputs()).unwrap_or_else(|said| panic!("{said}")).spec;
    let app = &spec.resources[&Address::new("app")];
    let ignore_changes = vec!["region".to_owned()];
    assert_eq!(app.lifecycle, Lifecycle { prevent_destroy: true, ignore_changes });
    assert_eq!(app.on_exists, OnExists::Fail);
    assert_eq!(app.renamed_from, Some(Address::new("old[\"eu\"]")));
    let plain = &spec.resources[&Address::new("plain")];
    assert_eq!(
        (&plain.lifecycle, plain.on_exists, &plain.renamed_from),
        (&Lifecycle::default(), OnExists::Adopt, &None)
    );
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

error[PGF0129]: `lifecycle` has no meaning for `c` (core.command)
  --> spec.yaml:11:42
11 |   c: { type: core.command, command: [x], lifecycle: { prevent_destroy: yes } }
   |                                          ^^^^^^^^^ a `core.command` is something done, which can only be forgotten
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
