//! `variables:` with lists, maps and rules, and where they stand for a `for_each`.

use super::{broken, inputs, read};
use crate::spec::Inputs;
use crate::template::Template;

fn given(pairs: &[(&str, &str)]) -> Inputs {
    let variables = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Inputs { variables, ..inputs() }
}

/// The resources with their `input`, as stored.
fn values(text: &str, inputs: &Inputs) -> Vec<(String, serde_json::Value)> {
    let text = format!("pgferry: 1\nname: test\n{text}");
    let spec = read(&text, inputs).unwrap_or_else(|said| panic!("{said}")).spec;
    let input = |template: &Template| match template {
        Template::Value(tree) => tree.storable(),
        _ => panic!("a reference"),
    };
    let blocks = spec.resources.iter();
    blocks.map(|(address, block)| (address.to_string(), input(&block.fields["input"]))).collect()
}

const REGIONS: &str = r#"variables:
  regions: { type: list, default: [us, eu] }
  sizes: { type: map, default: { us: 1, eu: { small: 2, tags: [a, b] } } }
resources:
  one: { type: core.value, for_each: "${var.regions}", input: "${each.value}" }
  two: { type: core.value, for_each: "${var.sizes}", input: "${each.key}" }
  whole: { type: core.value, input: "${var.sizes}" }
  part: { type: core.value, input: "${var.sizes.eu.tags[1]} in ${var.regions[0]}" }
  inner: { type: core.value, input: "${var.sizes.eu.tags}" }
"#;

#[test]
fn lists_and_maps() {
    let found = values(REGIONS, &inputs());
    let shown: Vec<String> =
        found.iter().map(|(address, value)| format!("{address} {value}")).collect();
    assert_eq!(
        shown,
        [
            r#"one["us"] "us""#,
            r#"one["eu"] "eu""#,
            r#"two["us"] "us""#,
            r#"two["eu"] "eu""#,
            r#"whole {"us":1,"eu":{"small":2,"tags":["a","b"]}}"#,
            r#"part "b in us""#,
            r#"inner ["a","b"]"#,
        ]
    );
}

#[test]
fn what_is_given_is_yaml_or_json_and_no_spec() {
    let inputs = given(&[
        ("list", r#"["de", "${env.LINODE_TOKEN}", "$${x}", 3, null, 1.5]"#),
        ("map", "a: 5\nb: { c: [d, true] }"),
    ]);
    let text = "variables:\n  list: { type: list }\n  map: { type: map }\nresources:\n  l: { type: core.value, input: \"${var.list}\" }\n  m: { type: core.value, input: \"${var.map}\" }\n";
    let found = values(text, &inputs);
    let shown: Vec<String> =
        found.iter().map(|(address, value)| format!("{address} {value}")).collect();
    assert_eq!(
        shown,
        [
            r#"l ["de","${env.LINODE_TOKEN}","$${x}",3,null,1.5]"#,
            r#"m {"a":5,"b":{"c":["d",true]}}"#,
        ]
    );
}

#[test]
fn a_value_that_is_no_list() {
    for wrong in ["us", "{a: 1}", "[a", "", "&a [1]", "- a\n---\n- b"] {
        let text = format!("pgferry: 1\nname: test\n{REGIONS}");
        let said = read(&text, &given(&[("regions", wrong)])).expect_err("a mistake");
        assert_eq!(
            said,
            "error[PGF0117]: the value given for variable `regions` is not a `list`\n --> spec.yaml:4:3\n\
             4 |   regions: { type: list, default: [us, eu] }\n  |   ^^^^^^^ declared as `list`\n\
             help: give a list: `--var 'regions=[one, two]'`\n",
            "{wrong}"
        );
    }
}

#[test]
fn bad_declarations() {
    broken(
        r#"variables:
  a: { type: list, default: { x: 1 } }
  b: { type: map, default: { x: ["${env.STAGE}"] } }
  c: { type: list, sensitive: true }
  d: { default: [x], type: lists }
  e: { default: 5, validation: { pattern: "^a$", min: 7, max: 3 } }
  f: { default: x, validation: { pattern: "(", sizes: 3 } }
  g: { default: true, validation: { one_of: [] } }
  h: { default: x, validation: [a] }
"#,
        r#"error[PGF0116]: the default of variable `a` is not a `list`
 --> spec.yaml:4:29
4 |   a: { type: list, default: { x: 1 } }
  |                             ^^^^^^^^ this is a map
help: change the default, or write `type: map`

error[PGF0127]: the default of variable `b` must be a plain value
 --> spec.yaml:5:34
5 |   b: { type: map, default: { x: ["${env.STAGE}"] } }
  |                                  ^^^^^^^^^^^^^^ a reference
help: refer to it where the variable is used

error[PGF0116]: the sensitive variable `c` is a `list`
 --> spec.yaml:6:3
6 |   c: { type: list, sensitive: true }
  |   ^ a secret is a text
help: declare a variable for each secret

error[PGF0107]: `type` of variable `d` cannot be `lists`
 --> spec.yaml:7:28
7 |   d: { default: [x], type: lists }
  |                            ^^^^^ not one of `string`, `number`, `bool`, `list`, `map`
help: did you mean `list`?

error[PGF0116]: a bad `validation` of variable `e`
 --> spec.yaml:8:34
8 |   e: { default: 5, validation: { pattern: "^a$", min: 7, max: 3 } }
  |                                  ^^^^^^^ `pattern` has no meaning for a `number`
help: leave it out

error[PGF0116]: a bad `validation` of variable `e`
 --> spec.yaml:8:50
8 |   e: { default: 5, validation: { pattern: "^a$", min: 7, max: 3 } }
  |                                                  ^^^ more than `max`, so nothing is allowed
help: swap them

error[PGF0104]: unknown field `sizes` in `validation` of variable `f`
 --> spec.yaml:9:48
9 |   f: { default: x, validation: { pattern: "(", sizes: 3 } }
  |                                                ^^^^^ no such field
  |   - variable declared here
help: the fields are: `pattern`, `one_of`, `min`, `max`, `message`

error[PGF0109]: `validation.one_of` of variable `g` cannot have 0 elements
  --> spec.yaml:10:45
10 |   g: { default: true, validation: { one_of: [] } }
   |                                             ^^ at least 1 element

error[PGF0106]: `validation` of variable `h` wants a map, not a list
  --> spec.yaml:11:32
11 |   h: { default: x, validation: [a] }
   |                                ^^^ this is a list
"#,
    );
}

#[test]
fn values_that_are_not_allowed() {
    broken(
        r#"variables:
  region: { default: mars, validation: { one_of: [us, eu], message: "regions are listed by `linode-cli regions list`" } }
  name: { default: Acme, validation: { pattern: "^[a-z]+$" } }
  size: { default: 100, validation: { min: 1, max: 64 } }
  word: { default: abc, validation: { min: 4 } }
  list: { default: [us, moon], validation: { one_of: [us, eu] } }
  many: { default: [a, b, c], validation: { max: 2 } }
  map: { default: {}, validation: { min: 1 } }
  fine: { default: [a], validation: { min: 1, max: 1, pattern: "^a$", one_of: [a, b] } }
  number: { default: 3, validation: { one_of: [1, 2] } }
resources:
  use: { type: core.value, input: "${var.region} ${var.list[5]}", for_each: "${var.many}" }
"#,
        r#"error[PGF0135]: variable `region` cannot be `mars`
 --> spec.yaml:4:22
4 |   region: { default: mars, validation: { one_of: [us, eu], message: "regions are listed by `linode-cli regions list`" } }
  |                      ^^^^ not one of `us`, `eu`
help: regions are listed by `linode-cli regions list`

error[PGF0135]: variable `name` cannot be `Acme`
 --> spec.yaml:5:20
5 |   name: { default: Acme, validation: { pattern: "^[a-z]+$" } }
  |                    ^^^^ must match `^[a-z]+$`

error[PGF0135]: variable `size` cannot be `100`
 --> spec.yaml:6:20
6 |   size: { default: 100, validation: { min: 1, max: 64 } }
  |                    ^^^ at most 64

error[PGF0135]: variable `word` cannot be `abc`
 --> spec.yaml:7:20
7 |   word: { default: abc, validation: { min: 4 } }
  |                    ^^^ at least 4 letters

error[PGF0135]: variable `list` cannot hold `moon`
 --> spec.yaml:8:20
8 |   list: { default: [us, moon], validation: { one_of: [us, eu] } }
  |                    ^^^^^^^^^^ not one of `us`, `eu`

error[PGF0135]: variable `many` cannot have 3 elements
 --> spec.yaml:9:20
9 |   many: { default: [a, b, c], validation: { max: 2 } }
  |                    ^^^^^^^^^ at most 2 elements

error[PGF0135]: variable `map` cannot have 0 elements
  --> spec.yaml:10:19
10 |   map: { default: {}, validation: { min: 1 } }
   |                   ^^ at least 1 element

error[PGF0135]: variable `number` cannot be `3`
  --> spec.yaml:12:22
12 |   number: { default: 3, validation: { one_of: [1, 2] } }
   |                      ^ not one of `1`, `2`
"#,
    );
}

#[test]
fn a_secret_that_is_not_allowed_is_not_told() {
    let text = "pgferry: 1\nname: test\nvariables:\n  key: { sensitive: true, validation: { min: 20, message: a key has 20 letters } }\n";
    let said = read(text, &given(&[("key", "hunter2-of-nobody")])).expect_err("a mistake");
    assert_eq!(
        said,
        r#"error[PGF0135]: variable `key` cannot be what was given
 --> spec.yaml:4:3
4 |   key: { sensitive: true, validation: { min: 20, message: a key has 20 letters } }
  |   ^^^ at least 20 letters
help: a key has 20 letters
"#
    );
    assert!(read(text, &given(&[("key", "hunter2-of-nobody-at-all")])).is_ok());
}

#[test]
fn parts_that_are_not_there() {
    broken(
        r#"variables:
  sizes: { default: { us: 1 } }
  list: { default: [1] }
resources:
  a: { type: core.value, input: ["${var.sizes.uss}", "${var.list[1]}", "${var.list.x}", "${var.sizes[0]}", "x${var.list}"] }
  b: { type: core.value, input: 1, for_each: "${var.sizes.us}" }
  c: { type: heroku.app, name: "${var.sizes}" }
"#,
        r#"error[PGF0113]: `var.sizes` has no member `uss`
 --> spec.yaml:7:35
7 |   a: { type: core.value, input: ["${var.sizes.uss}", "${var.list[1]}", "${var.list.x}", "${var.sizes[0]}", "x${var.list}"] }
  |                                   ^^^^^^^^^^^^^^^^ not in the value of the variable
help: did you mean `us`?

error[PGF0113]: `var.list` has no element 1
 --> spec.yaml:7:55
7 |   a: { type: core.value, input: ["${var.sizes.uss}", "${var.list[1]}", "${var.list.x}", "${var.sizes[0]}", "x${var.list}"] }
  |                                                       ^^^^^^^^^^^^^^ not in the value of the variable

error[PGF0113]: `var.list` has no member `x`
 --> spec.yaml:7:73
7 |   a: { type: core.value, input: ["${var.sizes.uss}", "${var.list[1]}", "${var.list.x}", "${var.sizes[0]}", "x${var.list}"] }
  |                                                                         ^^^^^^^^^^^^^ not in the value of the variable

error[PGF0113]: `var.sizes` has no elements
 --> spec.yaml:7:90
7 | }", "${var.list[1]}", "${var.list.x}", "${var.sizes[0]}", "x${var.list}"] }
  |                                         ^^^^^^^^^^^^^^^ not in the value of the variable

error[PGF0121]: this is a list and has no form as text
 --> spec.yaml:7:110
7 | , "${var.list.x}", "${var.sizes[0]}", "x${var.list}"] }
  |                                         ^^^^^^^^^^^ inside longer text

error[PGF0133]: `for_each` of `b` wants a list or a map, not a number
 --> spec.yaml:8:36
8 |   b: { type: core.value, input: 1, for_each: "${var.sizes.us}" }
  |                                    ^^^^^^^^ its value is a number
help: write `for_each: [one, two]`, or a map whose keys name the instances

error[PGF0106]: `name` of `c` (heroku.app) wants text, not a map
 --> spec.yaml:9:32
9 |   c: { type: heroku.app, name: "${var.sizes}" }
  |                                ^^^^^^^^^^^^^^ this is a map
"#,
    );
}

#[test]
fn a_password_in_a_list_is_refused() {
    let text = format!("pgferry: 1\nname: test\n{REGIONS}");
    let inputs = given(&[("regions", "[\"postgres://u:hunter2@h/db\"]")]);
    let said = read(&text, &inputs).expect_err("a mistake");
    assert_eq!(
        said,
        r#"error[PGF0117]: a password in the value given for variable `regions`
 --> spec.yaml:4:3
4 |   regions: { type: list, default: [us, eu] }
  |   ^^^^^^^ a `list` is shown and stored
help: give it by a sensitive variable of its own
"#
    );
}
