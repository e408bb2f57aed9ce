//! Types, fields and kinds of values.

use super::broken;

#[test]
fn unknown_field_with_a_near_one() {
    broken(
        r#"resources:
  database:
    type: heroku.addon
    app: acme
    plann: essential-1
    plan: a
"#,
        r#"error[PGF0104]: unknown field `plann` in `database` (heroku.addon)
 --> spec.yaml:7:5
4 |   database:
  |   -------- resource declared here
...
7 |     plann: essential-1
  |     ^^^^^ no such field
help: did you mean `plan`?
"#,
    );
}

#[test]
fn unknown_field_without() {
    broken(
        r#"resources:
  app:
    type: heroku.app
    name: acme-app
    colour: red
"#,
        r#"error[PGF0104]: unknown field `colour` in `app` (heroku.app)
 --> spec.yaml:7:5
4 |   app:
  |   --- resource declared here
...
7 |     colour: red
  |     ^^^^^^ no such field
help: the fields are: `name`, `region`
"#,
    );
}

#[test]
fn unknown_type() {
    broken(
        r#"resources:
  app:
    type: heroku.ap
    name: x
  dump:
    type: dump
  other:
    type: aws.rds
  heroku:
    type: heroku.pipeline
"#,
        r#"error[PGF0103]: unknown type `heroku.ap` of `app`
 --> spec.yaml:5:11
5 |     type: heroku.ap
  |           ^^^^^^^^^ no such type
help: did you mean `heroku.app`?

error[PGF0103]: unknown type `dump` of `dump`
 --> spec.yaml:8:11
8 |     type: dump
  |           ^^^^ no such type
help: did you mean `postgres.dump`?

error[PGF0103]: unknown type `aws.rds` of `other`
  --> spec.yaml:10:11
10 |     type: aws.rds
   |           ^^^^^^^ no such type
help: the types are `core.command`, `core.value`, `heroku.addon`, `heroku.app`, `linode.database`, `postgres.dump`, `postgres.verification`

error[PGF0103]: unknown type `heroku.pipeline` of `heroku`
  --> spec.yaml:12:11
12 |     type: heroku.pipeline
   |           ^^^^^^^^^^^^^^^ no such type
help: the types of `heroku` are `heroku.addon`, `heroku.app`
"#,
    );
}

#[test]
fn missing_type() {
    broken(
        r#"resources:
  app:
    name: x
  b: 5
  c:
    type: [x]
"#,
        r#"error[PGF0105]: `app` needs `type`
 --> spec.yaml:4:3
4 |   app:
  |   ^^^ `type` is missing here
help: add `type: provider.noun`, such as `type: postgres.dump`

error[PGF0106]: resource `b` wants a map, not a number
 --> spec.yaml:6:3
6 |   b: 5
  |   ^ its value is a number
help: write a line `type: …` below `b:`

error[PGF0106]: `type` of `c` wants text, not a list
 --> spec.yaml:8:5
8 |     type: [x]
  |     ^^^^ its value is a list
"#,
    );
}

#[test]
fn missing_field() {
    broken(
        r#"resources:
  target:
    type: heroku.addon
    app: acme
  dump:
    type: postgres.dump
    to: { bucket: b }
"#,
        r#"error[PGF0105]: `target` (heroku.addon) needs `plan`
 --> spec.yaml:4:3
4 |   target:
  |   ^^^^^^ `plan` is missing here
help: add `plan: …`

error[PGF0105]: `dump` (postgres.dump) needs `source`
 --> spec.yaml:7:3
7 |   dump:
  |   ^^^^ `source` is missing here
help: add `source: ${…}`

error[PGF0105]: `to` of `dump` (postgres.dump) needs `object`
 --> spec.yaml:9:5
9 |     to: { bucket: b }
  |     ^^ `object` is missing here
help: add `object: …`
"#,
    );
}

#[test]
fn wrong_kinds() {
    broken(
        r#"resources:
  c:
    type: core.command
    command: ./run.sh
    timeout: soon
    shell: yes
    env: [A]
  d:
    type: core.command
    command: [5, { a: b }]
    timeout: 1.5
  e:
    type: heroku.addon
    app:
    plan: 16.10
"#,
        r#"error[PGF0106]: `command` of `c` (core.command) wants a list, not text
 --> spec.yaml:6:14
6 |     command: ./run.sh
  |              ^^^^^^^^ this is text
help: write `[./run.sh]`

error[PGF0106]: `timeout` of `c` (core.command) wants a whole number, not text
 --> spec.yaml:7:14
7 |     timeout: soon
  |              ^^^^ this is text

error[PGF0106]: `shell` of `c` (core.command) wants `true` or `false`, not text
 --> spec.yaml:8:12
8 |     shell: yes
  |            ^^^ this is text
help: write `true`

error[PGF0106]: `env` of `c` (core.command) wants a map, not a list
 --> spec.yaml:9:10
9 |     env: [A]
  |          ^^^ this is a list

error[PGF0106]: `command[0]` of `d` (core.command) wants text, not a number
  --> spec.yaml:12:15
12 |     command: [5, { a: b }]
   |               ^ this is a number
help: write `"5"`

error[PGF0106]: `command[1]` of `d` (core.command) wants text, not a map
  --> spec.yaml:12:18
12 |     command: [5, { a: b }]
   |                  ^^^^^^^^ this is a map

error[PGF0106]: `timeout` of `d` (core.command) wants a whole number, not a fraction
  --> spec.yaml:13:14
13 |     timeout: 1.5
   |              ^^^ this is a fraction

error[PGF0105]: `e` (heroku.addon) needs `app`
  --> spec.yaml:14:3
14 |   e:
   |   ^ `app` is missing here
help: add `app: …`

error[PGF0106]: `plan` of `e` (heroku.addon) wants text, not a number
  --> spec.yaml:17:11
17 |     plan: 16.10
   |           ^^^^^ this is a number
help: write `"16.10"`
"#,
    );
}

#[test]
fn not_one_of() {
    broken(
        r#"resources:
  app:
    type: heroku.app
    name: acme-app
    region: uss
  app2:
    type: heroku.app
    name: acme-two
    region: asia
"#,
        r#"error[PGF0107]: `region` of `app` (heroku.app) cannot be `uss`
 --> spec.yaml:7:13
7 |     region: uss
  |             ^^^ not one of `us`, `eu`
help: did you mean `us`?

error[PGF0107]: `region` of `app2` (heroku.app) cannot be `asia`
  --> spec.yaml:11:13
11 |     region: asia
   |             ^^^^ not one of `us`, `eu`
"#,
    );
}

#[test]
fn bad_app_name() {
    broken(
        r#"resources:
  app:
    type: heroku.app
    name: Acme_App
"#,
        r#"error[PGF0108]: `name` of `app` (heroku.app) cannot be `Acme_App`
 --> spec.yaml:6:11
6 |     name: Acme_App
  |           ^^^^^^^^ 3 to 30 of `a-z`, `0-9` and `-`, beginning with a letter
"#,
    );
}

#[test]
fn out_of_range() {
    broken(
        r#"resources:
  s: { type: linode.database, label: x }
  d:
    type: postgres.dump
    source: ${s}
    to: { bucket: b, object: o }
    jobs: 99
  c:
    type: core.command
    command: []
"#,
        r#"error[PGF0109]: `jobs` of `d` (postgres.dump) cannot be `99`
 --> spec.yaml:9:11
9 |     jobs: 99
  |           ^^ at most 16

error[PGF0109]: `command` of `c` (core.command) cannot have 0 elements
  --> spec.yaml:12:14
12 |     command: []
   |              ^^ at least 1 element
"#,
    );
}

#[test]
fn alternatives() {
    broken(
        r#"resources:
  a:
    type: linode.database
  b:
    type: linode.database
    label: x
    id: 5
"#,
        r#"error[PGF0131]: `a` (linode.database) needs `label` or `id`
 --> spec.yaml:4:3
4 |   a:
  |   ^ none of them is here
help: add one of them

error[PGF0131]: `b` (linode.database) takes only one of `label` or `id`
 --> spec.yaml:6:3
6 |   b:
  |   ^ more than one is here
help: take all but one away
"#,
    );
}

#[test]
fn union_of_maps() {
    broken(
        r#"resources:
  s: { type: linode.database, label: x }
  d:
    type: postgres.dump
    source: ${s}
    to: { bucket: b, objekt: o }
"#,
        r#"error[PGF0104]: unknown field `objekt` in `to` of `d` (postgres.dump)
 --> spec.yaml:8:22
5 |   d:
  |   - resource declared here
...
8 |     to: { bucket: b, objekt: o }
  |                      ^^^^^^ no such field
help: did you mean `object`?
"#,
    );
}
