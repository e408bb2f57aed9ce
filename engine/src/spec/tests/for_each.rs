//! `for_each`: what the instances become, and what is said of broken ones.

use super::{broken, inputs, read};
use crate::address::Address;
use crate::secret::Secret;
use crate::spec::Block;
use crate::template::Template;
use crate::tree::Tree;

const SPEC: &str = r#"
pgferry: 1
name: test
variables: { first: { default: eu }, big: { default: 9 } }
resources:
  region:
    type: core.value
    for_each: ["${var.first}", us, 3]
    input: ["${each.key}", "${each.value}", "in ${each.value}"]
    lifecycle: { prevent_destroy: true }
    renamed_from: old[each.key]
  app:
    type: heroku.app
    for_each:
      eu: { name: acme-eu, after: us, env: { A: 1, B: ["${var.big}"] }, key: "${env.LINODE_TOKEN}", was: alone }
      us: { name: acme-us, after: eu, env: { A: 2, B: [] }, key: none, was: null }
    name: ${each.value.name}
    region: ${each.key}
    depends_on: ["region[each.value.after]", 'region["3"]']
    renamed_from: ${each.value.was}
  note:
    type: core.command
    for_each: [eu, us]
    command: [echo, "${app[each.key].id}", '${app["us"].name} in ${region[each.value].output}']
    depends_on: [region]
  all: { type: core.value, input: { of: '${app["eu"].id}' }, depends_on: [app, none] }
  none: { type: core.value, for_each: [], input: "${each.value.x}-${app[each.key].id}" }
  nothing:
    type: core.value
    for_each: {}
    input: "${none[each.key].output}"
  kept:
    type: core.value
    for_each: { eu: { env: { A: 1, B: ["${var.big}"] }, key: "${env.LINODE_TOKEN}" } }
    input: { whole: "${each.value.env}", first: "${each.value.env.B[0]}", key: "${each.value.key}" }
outputs:
  name: ${app["eu"].name}
"#;

fn loaded() -> super::Loaded {
    read(SPEC, &inputs()).unwrap_or_else(|said| panic!("{said}"))
}

fn constant(block: &Block, field: &str) -> Option<Tree> {
    match &block.fields[field] {
        Template::Value(tree) => Some(tree.clone()),
        _ => None,
    }
}

#[test]
fn instances_in_the_order_written() {
    let spec = loaded().spec;
    let addresses: Vec<&str> = spec.resources.keys().map(Address::as_str).collect();
    assert_eq!(
        addresses,
        [
            r#"region["eu"]"#,
            r#"region["us"]"#,
            r#"region["3"]"#,
            r#"app["eu"]"#,
            r#"app["us"]"#,
            r#"note["eu"]"#,
            r#"note["us"]"#,
            "all",
            r#"kept["eu"]"#,
        ]
    );
    for (address, block) in &spec.resources {
        assert_eq!((address, address.key().is_some()), (&block.address, address.as_str() != "all"));
    }
}

#[test]
fn each_is_put_in() {
    let spec = loaded().spec;
    let block = |address: &str| &spec.resources[&Address::new(address)];
    let text = |tree: Option<Tree>| tree.map(|tree| tree.storable().to_string());
    let input = |address: &str| text(constant(block(address), "input"));
    assert_eq!(input(r#"region["eu"]"#).as_deref(), Some(r#"["eu","eu","in eu"]"#));
    assert_eq!(input(r#"region["3"]"#).as_deref(), Some(r#"["3",3,"in 3"]"#));
    let kept = constant(block(r#"kept["eu"]"#), "input").expect("is known");
    assert_eq!(kept.get("key"), Some(&Tree::Secret(Secret::new("l-token-of-test"))));
    assert_eq!(
        kept.storable().to_string(),
        r#"{"whole":{"A":1,"B":[9]},"first":9,"key":"(sensitive)"}"#
    );
    let app = block(r#"app["eu"]"#);
    assert_eq!(constant(app, "name"), Some(Tree::text("acme-eu")));
    assert_eq!(constant(app, "region"), Some(Tree::text("eu")));
    assert_eq!(app.depends_on, [r#"region["us"]"#, r#"region["3"]"#].map(Address::new));
    assert_eq!(app.renamed_from, Some(Address::new("alone")));
    assert_eq!(block(r#"app["us"]"#).renamed_from, None);
    let region = block(r#"region["us"]"#);
    assert_eq!(region.renamed_from, Some(Address::new(r#"old["us"]"#)));
    assert!(region.lifecycle.prevent_destroy);
}

#[test]
fn edges_go_from_instance_to_instance() {
    let graph = loaded().graph;
    let of = |address: &str| {
        let address = Address::new(address);
        let found = graph.direct_dependencies(&address).map(Address::as_str);
        found.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of(r#"app["us"]"#), r#"region["3"] region["eu"]"#);
    assert_eq!(of(r#"note["eu"]"#), r#"app["eu"] app["us"] region["3"] region["eu"] region["us"]"#);
    assert_eq!(of("all"), r#"app["eu"] app["us"]"#);
}

#[test]
fn ten_thousand_instances() {
    let keys: Vec<String> = (0..10_000).map(|number| format!("k{number}")).collect();
    let text = format!(
        "pgferry: 1\nname: t\nresources:\n  a:\n    type: core.value\n    for_each: [{keys}]\n    input: ${{each.key}}\n  b:\n    type: core.value\n    for_each: [{keys}]\n    input: ${{a[each.key].output}}\n",
        keys = keys.join(", ")
    );
    let loaded = read(&text, &inputs()).unwrap_or_else(|said| panic!("{said}"));
    assert_eq!(loaded.spec.resources.len(), 20_000);
    let last = Address::new(r#"b["k9999"]"#);
    let before: Vec<_> = loaded.graph.direct_dependencies(&last).collect();
    assert_eq!(before, [&Address::new(r#"a["k9999"]"#)]);
    // One mistake in all of them is one mistake.
    let broken = text.replace("input: ${each.key}", "input: ${each.kye}");
    assert_eq!(read(&broken, &inputs()).err().map(|said| said.matches("error[").count()), Some(1));
    let square = text.replace("input: ${a[each.key].output}", "input: 1\n    depends_on: [a]");
    let said = read(&square, &inputs()).expect_err("too many");
    assert!(said.starts_with("error[PGF0133]: every instance waits for every instance of `a`"));
}

#[test]
fn bad_for_each() {
    broken(
        r#"variables: { v: { default: eu } }
resources:
  a: { type: core.value, input: 1, for_each: eu }
  b: { type: core.value, input: 1, for_each: ["${var.v}", us, eu, true, [x]] }
  c: { type: core.value, input: 1, for_each: { "a\"b": 1, "": 2 } }
  d: { type: core.value, input: 1, for_each: ["${a.output}", "${env.LINODE_TOKEN}", "${each.key}"] }
  e: { type: core.value, input: 1, for_each: }
  f: { type: core.value, input: '${a["x"].output} ${e.output} ${d[each.key].output}' }
"#,
        r#"error[PGF0133]: `for_each` of `a` wants a list or a map, not text
 --> spec.yaml:5:36
5 |   a: { type: core.value, input: 1, for_each: eu }
  |                                    ^^^^^^^^ its value is text
help: write `for_each: [one, two]`, or a map whose keys name the instances

error[PGF0133]: `for_each` of `b` lists `eu` twice
 --> spec.yaml:6:63
6 |   b: { type: core.value, input: 1, for_each: ["${var.v}", us, eu, true, [x]] }
  |                                                               ^^ a second time
  |                                               ---------- listed here already
help: take one of them away

error[PGF0133]: `for_each` of `b` lists text and numbers
 --> spec.yaml:6:67
6 |   b: { type: core.value, input: 1, for_each: ["${var.v}", us, eu, true, [x]] }
  |                                                                   ^^^^ this is a boolean
help: write a map, whose keys name the instances: `{ name: … }`

error[PGF0133]: `for_each` of `b` lists text and numbers
 --> spec.yaml:6:73
6 |   b: { type: core.value, input: 1, for_each: ["${var.v}", us, eu, true, [x]] }
  |                                                                         ^^^ this is a list
help: write a map, whose keys name the instances: `{ name: … }`

error[PGF0133]: a key in `for_each` of `c` cannot name a resource
 --> spec.yaml:7:48
7 |   c: { type: core.value, input: 1, for_each: { "a\"b": 1, "": 2 } }
  |                                                ^^^^^^ it has a quote, a brace, a backslash or a control character in it
help: choose another key, and put this text into the value

error[PGF0133]: a key in `for_each` of `c` cannot name a resource
 --> spec.yaml:7:59
7 |   c: { type: core.value, input: 1, for_each: { "a\"b": 1, "": 2 } }
  |                                                           ^^ it is empty
help: choose another key, and put this text into the value

error[PGF0127]: a resource cannot be referred to here
 --> spec.yaml:8:48
8 |   d: { type: core.value, input: 1, for_each: ["${a.output}", "${env.LINODE_TOKEN}", "${each.key}"] }
  |                                                ^^^^^^^^^^^ needed before any resource is looked at
help: use `${var.name}` or `${env.NAME}`

error[PGF0133]: `for_each` of `d` lists text and numbers
 --> spec.yaml:8:62
8 |   d: { type: core.value, input: 1, for_each: ["${a.output}", "${env.LINODE_TOKEN}", "${each.key}"] }
  |                                                              ^^^^^^^^^^^^^^^^^^^^^ this is a secret, and keys are shown
help: write a map, whose keys name the instances: `{ name: … }`

error[PGF0134]: `each` has a meaning only in a block with `for_each`
 --> spec.yaml:8:86
8 | ["${a.output}", "${env.LINODE_TOKEN}", "${each.key}"] }
  |                                         ^^^^^^^^^^^ there is no `for_each` here
help: add `for_each:` to the block, or write the value itself

error[PGF0133]: `for_each` of `e` wants a list or a map, not nothing
 --> spec.yaml:9:36
9 |   e: { type: core.value, input: 1, for_each: }
  |                                    ^^^^^^^^ its value is nothing
help: write `for_each: [one, two]`, or a map whose keys name the instances

error[PGF0134]: `each` has a meaning only in a block with `for_each`
  --> spec.yaml:10:63
10 |   f: { type: core.value, input: '${a["x"].output} ${e.output} ${d[each.key].output}' }
   |                                                               ^^^^^^^^^^^^^^^^^^^^^ there is no `for_each` here
help: add `for_each:` to the block, or write the value itself
"#,
    );
}

#[test]
fn references_to_instances() {
    broken(
        r#"resources:
  app: { type: heroku.app, for_each: [eu, us], name: "acme-${each.key}" }
  none: { type: heroku.app, for_each: [], name: "acme-${each.key}" }
  num: { type: core.value, for_each: [1, 2], input: 1 }
  one: { type: core.value, input: 1 }
  c:
    type: core.command
    command:
      - ${app.id}
      - ${app["eux"].id}
      - ${app["eu"].nam}
      - ${none.id}
      - ${none["eu"].id}
      - ${num[1].output}
      - ${one["a"].output}
      - ${app[each.key].id}
    depends_on: ['app["fr"]', 'app[each.key]', 'app[0]', 'num["2"]', 'none["x"]']
"#,
        r#"error[PGF0112]: `app` is several resources, one for each key
  --> spec.yaml:11:9
11 |       - ${app.id}
   |         ^^^^^^^^^ which of them is not said
help: write `${app["eu"].…}`; the keys are: `eu`, `us`

error[PGF0112]: there is no resource `app["eux"]`
  --> spec.yaml:12:9
12 |       - ${app["eux"].id}
   |         ^^^^^^^^^^^^^^^^ the `for_each` of `app` has no such key
help: did you mean `eu`?

error[PGF0113]: `app["eu"]` (heroku.app) has no attribute `nam`
  --> spec.yaml:13:9
13 |       - ${app["eu"].nam}
   |         ^^^^^^^^^^^^^^^^ no such attribute
help: did you mean `${app["eu"].name}`?

error[PGF0112]: `none` is several resources, one for each key
  --> spec.yaml:14:9
14 |       - ${none.id}
   |         ^^^^^^^^^^ which of them is not said
help: its `for_each` is empty, so there is none to refer to

error[PGF0112]: there is no resource `none["eu"]`
  --> spec.yaml:15:9
15 |       - ${none["eu"].id}
   |         ^^^^^^^^^^^^^^^^ the `for_each` of `none` has no such key
help: the `for_each` of `none` is empty

error[PGF0112]: `num` is several resources, one for each key
  --> spec.yaml:16:9
16 |       - ${num[1].output}
   |         ^^^^^^^^^^^^^^^^ which of them is not said
help: write `${num["1"].…}`

error[PGF0112]: `one` is one resource, not several
  --> spec.yaml:17:9
17 |       - ${one["a"].output}
   |         ^^^^^^^^^^^^^^^^^^ this asks for one of several
help: write `${one.…}`

error[PGF0134]: `each` has a meaning only in a block with `for_each`
  --> spec.yaml:18:9
18 |       - ${app[each.key].id}
   |         ^^^^^^^^^^^^^^^^^^^ there is no `for_each` here
help: add `for_each:` to the block, or write the value itself

error[PGF0112]: there is no resource `app["fr"]`
  --> spec.yaml:19:18
19 |     depends_on: ['app["fr"]', 'app[each.key]', 'app[0]', 'num["2"]', 'none["x"]']
   |                  ^^^^^^^^^^^ the `for_each` of `app` has no such key
help: the keys are: `eu`, `us`

error[PGF0134]: `each` has a meaning only in a block with `for_each`
  --> spec.yaml:19:31
19 |     depends_on: ['app["fr"]', 'app[each.key]', 'app[0]', 'num["2"]', 'none["x"]']
   |                               ^^^^^^^^^^^^^^^ there is no `for_each` here
help: add `for_each:` to the block, or write the value itself

error[PGF0111]: a malformed reference
  --> spec.yaml:19:48
19 |     depends_on: ['app["fr"]', 'app[each.key]', 'app[0]', 'num["2"]', 'none["x"]']
   |                                                ^^^^^^^^ no name, and no name with a key
help: write `app["key"]` or `app[each.key]`

error[PGF0112]: there is no resource `none["x"]`
  --> spec.yaml:19:70
19 |     depends_on: ['app["fr"]', 'app[each.key]', 'app[0]', 'num["2"]', 'none["x"]']
   |                                                                      ^^^^^^^^^^^ the `for_each` of `none` has no such key
help: the `for_each` of `none` is empty
"#,
    );
}

#[test]
fn what_is_wrong_with_some_instances() {
    broken(
        r#"resources:
  app:
    type: heroku.app
    for_each:
      eu: { name: acme-eu, region: eu }
      us: { name: Acme, region: mars, list: [1] }
    name: ${each.value.name}
    region: ${each.value.region}
    regon: us
  c:
    type: core.command
    for_each: { a: { list: [1], text: x }, b: { text: y } }
    command: ["${each.value.list}", "x ${each.value.list}", "${each.value.text.more}", "${each}"]
    env: { SELF: '${c["a"].exit_code}' }
"#,
        r#"error[PGF0108]: `name` of `app` (heroku.app) cannot be `Acme`
 --> spec.yaml:9:11
8 |       us: { name: Acme, region: mars, list: [1] }
  |       -- for this one
9 |     name: ${each.value.name}
  |           ^^^^^^^^^^^^^^^^^^ 3 to 30 of `a-z`, `0-9` and `-`, beginning with a letter

error[PGF0107]: `region` of `app` (heroku.app) cannot be `mars`
  --> spec.yaml:10:13
 8 |       us: { name: Acme, region: mars, list: [1] }
   |       -- for this one
...
10 |     region: ${each.value.region}
   |             ^^^^^^^^^^^^^^^^^^^^ not one of `us`, `eu`

error[PGF0104]: unknown field `regon` in `app` (heroku.app)
  --> spec.yaml:11:5
 4 |   app:
   |   --- resource declared here
...
11 |     regon: us
   |     ^^^^^ no such field
help: did you mean `region`?

error[PGF0106]: `command[0]` of `c` (core.command) wants text, not a list
  --> spec.yaml:14:28
14 |     for_each: { a: { list: [1], text: x }, b: { text: y } }
   |                            ^^^ this is a list

error[PGF0113]: `each.value` has no member `list` for the key `b`
  --> spec.yaml:15:16
14 |     for_each: { a: { list: [1], text: x }, b: { text: y } }
   |                                            - for this one
15 |     command: ["${each.value.list}", "x ${each.value.list}", "${each.value.text.more}", "${each}"]
   |                ^^^^^^^^^^^^^^^^^^ not in `for_each`
help: the members are: `text`

error[PGF0121]: this is a list and has no form as text
  --> spec.yaml:15:40
14 |     for_each: { a: { list: [1], text: x }, b: { text: y } }
   |                 - for this one
15 |     command: ["${each.value.list}", "x ${each.value.list}", "${each.value.text.more}", "${each}"]
   |                                        ^^^^^^^^^^^^^^^^^^ inside longer text

error[PGF0113]: `each.value` has no member `list` for the key `b`
  --> spec.yaml:15:40
14 |     for_each: { a: { list: [1], text: x }, b: { text: y } }
   |                                            - for this one
15 |     command: ["${each.value.list}", "x ${each.value.list}", "${each.value.text.more}", "${each}"]
   |                                        ^^^^^^^^^^^^^^^^^^ not in `for_each`
help: the members are: `text`

error[PGF0113]: `each.value.text` has no members for the key `a`
  --> spec.yaml:15:62
14 |     for_each: { a: { list: [1], text: x }, b: { text: y } }
   |                 - for this one
15 |     command: ["${each.value.list}", "x ${each.value.list}", "${each.value.text.more}", "${each}"]
   |                                                              ^^^^^^^^^^^^^^^^^^^^^^^ not in `for_each`

error[PGF0111]: a malformed reference
  --> spec.yaml:15:89
15 | lue.list}", "${each.value.text.more}", "${each}"]
   |                                         ^^^^^^^ `each` has `key` and `value`
help: write `${each.key}` or `${each.value}`

error[PGF0125]: `c["a"]` waits for itself
  --> spec.yaml:16:19
16 |     env: { SELF: '${c["a"].exit_code}' }
   |                   ^^^^^^^^^^^^^^^^^^^ `c["a"]` refers to `c["a"]` here
help: take this reference away
"#,
    );
}

#[test]
fn instances_in_a_loop() {
    broken(
        r#"resources:
  a: { type: core.value, for_each: [x, y], input: "${b[each.key].output}" }
  b: { type: core.value, for_each: [x, y], input: 1, depends_on: ['a["x"]'] }
"#,
        r#"error[PGF0125]: these resources wait for each other: `a["x"]` → `b["x"]` → `a["x"]`
 --> spec.yaml:4:52
4 |   a: { type: core.value, for_each: [x, y], input: "${b[each.key].output}" }
  |                                                    ^^^^^^^^^^^^^^^^^^^^^ `a["x"]` refers to `b["x"]` here
5 |   b: { type: core.value, for_each: [x, y], input: 1, depends_on: ['a["x"]'] }
  |                                                                   -------- `b["x"]` lists `a["x"]` here
help: take one of these references away
"#,
    );
}

#[test]
fn secrets_among_the_values() {
    broken(
        r#"resources:
  c:
    type: core.command
    for_each: { eu: { token: "${env.LINODE_TOKEN}" } }
    command: [x, "${each.value.token}"]
  d:
    type: postgres.dump
    for_each: { eu: { to: https-signed-hunter2 }, us: { to: "postgres://u:hunter2-of-test@h/d" } }
    source: ${s}
    to: { url: "${each.value.to}" }
  e:
    type: postgres.dump
    for_each: { eu: { to: https-signed-hunter2 } }
    source: ${s}
    to: { url: "${each.value.to}" }
  s: { type: linode.database, label: x }
"#,
        r#"error[PGF0123]: a secret in `command[1]` of `c` (core.command)
 --> spec.yaml:7:18
6 |     for_each: { eu: { token: "${env.LINODE_TOKEN}" } }
  |                 -- for this one
7 |     command: [x, "${each.value.token}"]
  |                  ^^^^^^^^^^^^^^^^^^^^^ every user of the machine can read the arguments of a process
help: hand it over by `env:`, and let the program read it there

error[PGF0124]: a password written in clear in `for_each.us.to` of `d`
  --> spec.yaml:10:61
10 |     for_each: { eu: { to: (sensitive) }, us: { to: (sensitive) } }
   |                                                             ^^^^^^^^^^^ a URL with a password in it
help: keep it in the environment: `${env.D_FOR_EACH_US_TO}`

error[PGF0124]: `to.url` of `e` (postgres.dump) is written in clear
  --> spec.yaml:15:27
15 |     for_each: { eu: { to: (sensitive) } }
   |                           ^^^^^^^^^^^ a secret in a file that is checked in
...
17 |     to: { url: "${each.value.to}" }
   |                ------------------ used here
help: keep it in the environment: `${env.E_TO_URL}`
"#,
    );
}
