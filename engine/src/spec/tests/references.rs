//! References: to nothing, to the wrong thing, in a loop.

use super::broken;

#[test]
fn unknown_resource() {
    broken(
        r#"resources:
  source: { type: linode.database, label: x }
  dump:
    type: postgres.dump
    source: ${sorce}
    to: { bucket: b, object: o }
    depends_on: [windo, source]
"#,
        r#"error[PGF0112]: there is no resource `sorce`
 --> spec.yaml:7:13
7 |     source: ${sorce}
  |             ^^^^^^^^ refers to nothing in this spec
help: did you mean `source`?

error[PGF0112]: there is no resource `windo`
 --> spec.yaml:9:18
9 |     depends_on: [windo, source]
  |                  ^^^^^ refers to nothing in this spec
help: the resources are: `dump`, `source`
"#,
    );
}

#[test]
fn unknown_attribute() {
    broken(
        r#"resources:
  app: { type: heroku.app, name: acme-app }
  a:
    type: heroku.addon
    app: ${app.nam}
    plan: essential-${app.colour}
  c:
    type: core.command
    command: ["${a.app}"]
"#,
        r#"error[PGF0113]: `app` (heroku.app) has no attribute `nam`
 --> spec.yaml:7:10
7 |     app: ${app.nam}
  |          ^^^^^^^^^^ no such attribute
help: did you mean `${app.name}`?

error[PGF0113]: `app` (heroku.app) has no attribute `colour`
 --> spec.yaml:8:21
8 |     plan: essential-${app.colour}
  |                     ^^^^^^^^^^^^^ no such attribute
help: a `heroku.app` has `id`, `name`, `region`

error[PGF0113]: `a` (heroku.addon) has no attribute `app`
  --> spec.yaml:11:16
11 |     command: ["${a.app}"]
   |                ^^^^^^^^ a field, but not an attribute of its type
help: a `heroku.addon` has `name`, `plan`, `url`
"#,
    );
}

#[test]
fn paths_into_attributes() {
    broken(
        r#"resources:
  s: { type: linode.database, label: x }
  d:
    type: postgres.dump
    source: ${s}
    to: { bucket: b, object: o }
  c:
    type: core.command
    command:
      - ${d.tables[0].nam}
      - ${d.tables.name}
      - ${d.object[0]}
      - ${d[0]}
      - ${d.tables[0].name}
"#,
        r#"error[PGF0113]: `d.tables[0]` has no member `nam`
  --> spec.yaml:12:9
12 |       - ${d.tables[0].nam}
   |         ^^^^^^^^^^^^^^^^^^ no such member
help: did you mean `name`?

error[PGF0113]: `d.tables` has no members
  --> spec.yaml:13:9
13 |       - ${d.tables.name}
   |         ^^^^^^^^^^^^^^^^ it is a list

error[PGF0113]: `d.object` has no elements
  --> spec.yaml:14:9
14 |       - ${d.object[0]}
   |         ^^^^^^^^^^^^^^ it is text
help: write `${d.object}`

error[PGF0113]: `d` has attributes, not elements
  --> spec.yaml:15:9
15 |       - ${d[0]}
   |         ^^^^^^^ a number in brackets
help: a `postgres.dump` has `object`, `size`, `tables`
"#,
    );
}

#[test]
fn unknown_variable() {
    broken(
        r#"variables:
  plan: { default: a }
resources:
  a:
    type: heroku.addon
    app: acme-app
    plan: x:${var.plann}
  b:
    type: heroku.addon
    app: ${plan}
    plan: ${var}
"#,
        r#"error[PGF0114]: there is no variable `plann`
 --> spec.yaml:9:13
9 |     plan: x:${var.plann}
  |             ^^^^^^^^^^^^ not declared under `variables:`
help: did you mean `plan`?

error[PGF0112]: there is no resource `plan`
  --> spec.yaml:12:10
12 |     app: ${plan}
   |          ^^^^^^^ refers to nothing in this spec
help: a variable is referred to by `${var.plan}`

error[PGF0111]: a malformed reference
  --> spec.yaml:13:11
13 |     plan: ${var}
   |           ^^^^^^ `var` takes one name
help: write `${var.name}`
"#,
    );
}

#[test]
fn unset_environment() {
    broken(
        r#"providers:
  linode:
    token: ${env.LINODE_TOKN}
resources:
  app: { type: heroku.app, name: "${env.NOWHERE}" }
"#,
        r#"error[PGF0118]: the environment variable `LINODE_TOKN` is not set
 --> spec.yaml:5:12
5 |     token: ${env.LINODE_TOKN}
  |            ^^^^^^^^^^^^^^^^^^ needed here
help: did you mean `LINODE_TOKEN`, which is set?

error[PGF0118]: the environment variable `NOWHERE` is not set
 --> spec.yaml:7:35
7 |   app: { type: heroku.app, name: "${env.NOWHERE}" }
  |                                   ^^^^^^^^^^^^^^ needed here
help: set it: `export NOWHERE=…`
"#,
    );
}

#[test]
fn malformed() {
    broken(
        r#"resources:
  c:
    type: core.command
    command:
      - "${upper(a)}"
      - a ${} b
      - ${a.b
      - "\u00e9${a..b}"
"#,
        r#"error[PGF0111]: a malformed reference
 --> spec.yaml:7:17
7 |       - "${upper(a)}"
  |                 ^^^ this cannot follow a name
help: there are no functions or operators: a spec is data; write `${name.attribute}`

error[PGF0111]: a malformed reference
 --> spec.yaml:8:11
8 |       - a ${} b
  |           ^^^ there is nothing between the braces
help: write `${name.attribute}`, or `$${` for a literal `${`

error[PGF0111]: a malformed reference
 --> spec.yaml:9:9
9 |       - ${a.b
  |         ^^^^^ this `${` is never closed
help: close it by `}`, or write `$${` for a literal `${`

error[PGF0111]: a malformed reference
  --> spec.yaml:10:19
10 |       - "\u00e9${a..b}"
   |                   ^ a name is missing after the dot
help: write `${name.attribute}`
"#,
    );
}

#[test]
fn whole_resource_wanted() {
    broken(
        r#"resources:
  app: { type: heroku.app, name: acme-app }
  source: { type: linode.database, label: x }
  target: { type: heroku.addon, app: acme, plan: a }
  check:
    type: postgres.verification
    expected: ${app}
    actual: target
  again:
    type: postgres.verification
    expected: ${source.url}
    actual: { url: x }
"#,
        r#"error[PGF0119]: `expected` of `check` (postgres.verification) needs a resource with `url`, which `app` does not have
 --> spec.yaml:9:15
9 |     expected: ${app}
  |               ^^^^^^ a `heroku.app` has no `url`
help: these would do: `${source}`, `${target}`

error[PGF0119]: `actual` of `check` (postgres.verification) wants a whole resource
  --> spec.yaml:10:13
10 |     actual: target
   |             ^^^^^^ a value, not a resource
help: these would do: `${source}`, `${target}`

error[PGF0119]: `expected` of `again` (postgres.verification) wants a whole resource
  --> spec.yaml:13:15
13 |     expected: ${source.url}
   |               ^^^^^^^^^^^^^ an attribute of `source`
help: these would do: `${source}`, `${target}`

error[PGF0106]: `actual` of `again` (postgres.verification) wants a whole resource, not a map
  --> spec.yaml:14:13
14 |     actual: { url: x }
   |             ^^^^^^^^^^ this is a map
help: hand over a resource: `${name}`
"#,
    );
}

#[test]
fn value_wanted() {
    broken(
        r#"resources:
  app: { type: heroku.app, name: acme-app }
  a:
    type: heroku.addon
    app: ${app}
    plan: a-${app}
outputs:
  x: ${a}
"#,
        r#"error[PGF0120]: `app` of `a` (heroku.addon) wants a value, not a whole resource
 --> spec.yaml:7:10
7 |     app: ${app}
  |          ^^^^^^ all of `app`
help: write `${app.name}`

error[PGF0120]: `plan` of `a` (heroku.addon) wants a value, not a whole resource
 --> spec.yaml:8:13
8 |     plan: a-${app}
  |             ^^^^^^ all of `app`
help: write `${app.name}`

error[PGF0120]: output `x` wants a value, not a whole resource
  --> spec.yaml:10:6
10 |   x: ${a}
   |      ^^^^ all of `a`
help: write `${a.name}`
"#,
    );
}

#[test]
fn attribute_of_the_wrong_kind() {
    broken(
        r#"resources:
  s: { type: linode.database, label: x }
  d:
    type: postgres.dump
    source: ${s}
    to: { bucket: b, object: o }
  a:
    type: heroku.addon
    app: ${d.tables}
    plan: x-${d.tables}
  v:
    type: postgres.verification
    expected: ${s}
    actual: ${a}
    queries: ${d.tables}
  c: { type: core.command, command: [x], timeout: "${d.object}" }
"#,
        r#"error[PGF0121]: `app` of `a` (heroku.addon) wants text, but `d.tables` is a list
  --> spec.yaml:11:10
11 |     app: ${d.tables}
   |          ^^^^^^^^^^^ an attribute of `postgres.dump`

error[PGF0121]: `d.tables` is a list and has no form as text
  --> spec.yaml:12:13
12 |     plan: x-${d.tables}
   |             ^^^^^^^^^^^ inside longer text
help: take one element: `${d.tables[0]}`

error[PGF0121]: `queries` of `v` (postgres.verification) wants a list, each element text, but `d.tables` is a list, each element a map
  --> spec.yaml:17:14
17 |     queries: ${d.tables}
   |              ^^^^^^^^^^^ an attribute of `postgres.dump`

error[PGF0121]: `timeout` of `c` (core.command) wants a whole number, but `d.object` is text
  --> spec.yaml:18:52
18 |   c: { type: core.command, command: [x], timeout: "${d.object}" }
   |                                                    ^^^^^^^^^^^ an attribute of `postgres.dump`
"#,
    );
}

#[test]
fn cycle() {
    broken(
        r#"resources:
  a:
    type: core.command
    command: ["${c.exit_code}"]
  b:
    type: core.command
    command: [x]
    depends_on: [a]
  c:
    type: core.command
    command: ["after ${b.exit_code}"]
  d:
    type: core.command
    command: ["${c.exit_code}"]
"#,
        r#"error[PGF0125]: these resources wait for each other: `a` → `c` → `b` → `a`
  --> spec.yaml:6:16
 6 |     command: ["${c.exit_code}"]
   |                ^^^^^^^^^^^^^^ `a` refers to `c` here
...
10 |     depends_on: [a]
   |                  - `b` lists `a` here
...
13 |     command: ["after ${b.exit_code}"]
   |                      -------------- `c` refers to `b` here
help: take one of these references away
"#,
    );
}

#[test]
fn waits_for_itself() {
    broken(
        r#"resources:
  a:
    type: core.value
    input: ${a.output}
"#,
        r#"error[PGF0125]: `a` waits for itself
 --> spec.yaml:6:12
6 |     input: ${a.output}
  |            ^^^^^^^^^^^ `a` refers to `a` here
help: take this reference away
"#,
    );
}

#[test]
fn depends_on_forms() {
    broken(
        r#"resources:
  a: { type: core.value, input: 1 }
  b: { type: core.value, input: 1, depends_on: a }
  c: { type: core.value, input: 1, depends_on: ["${a.output}", 5, 'a["x"]'] }
"#,
        r#"error[PGF0106]: `depends_on` of `b` (core.value) wants a list, not text
 --> spec.yaml:5:36
5 |   b: { type: core.value, input: 1, depends_on: a }
  |                                    ^^^^^^^^^^ its value is text
help: write `depends_on: [a]`

error[PGF0111]: `depends_on` of `c` (core.value) lists names, not references
 --> spec.yaml:6:49
6 |   c: { type: core.value, input: 1, depends_on: ["${a.output}", 5, 'a["x"]'] }
  |                                                 ^^^^^^^^^^^^^ a reference
help: write `a`

error[PGF0106]: `depends_on` of `c` (core.value) lists names of resources
 --> spec.yaml:6:64
6 |   c: { type: core.value, input: 1, depends_on: ["${a.output}", 5, 'a["x"]'] }
  |                                                                ^ this is a number

error[PGF0112]: `a` is one resource, not several
 --> spec.yaml:6:67
6 |   c: { type: core.value, input: 1, depends_on: ["${a.output}", 5, 'a["x"]'] }
  |                                                                   ^^^^^^^^ this asks for one of several
help: write `a`
"#,
    );
}

#[test]
fn references_where_none_can_be() {
    broken(
        r#"providers:
  linode:
    url: ${a.output}
run: ${a.output}
resources:
  a: { type: core.value, input: "${each.key}" }
  b: { type: core.value, input: '${a["eu"].output}' }
"#,
        r#"error[PGF0127]: a resource cannot be referred to here
 --> spec.yaml:5:10
5 |     url: ${a.output}
  |          ^^^^^^^^^^^ needed before any resource is looked at
help: use `${var.name}` or `${env.NAME}`

error[PGF0127]: a resource cannot be referred to here
 --> spec.yaml:6:6
6 | run: ${a.output}
  |      ^^^^^^^^^^^ needed before any resource is looked at
help: use `${var.name}` or `${env.NAME}`

error[PGF0134]: `each` has a meaning only in a block with `for_each`
 --> spec.yaml:8:34
8 |   a: { type: core.value, input: "${each.key}" }
  |                                  ^^^^^^^^^^^ there is no `for_each` here
help: add `for_each:` to the block, or write the value itself

error[PGF0112]: `a` is one resource, not several
 --> spec.yaml:9:34
9 |   b: { type: core.value, input: '${a["eu"].output}' }
  |                                  ^^^^^^^^^^^^^^^^^ this asks for one of several
help: write `${a.…}`
"#,
    );
}
