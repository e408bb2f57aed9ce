//! Names, the keys at the top, variables, and what every resource takes.

use super::{broken, inputs, read};

#[test]
fn bad_names() {
    broken(
        r#"variables:
  "1st": { default: x }
resources:
  my app: { type: heroku.app, name: acme-app }
  var: { type: heroku.app, name: acme-app }
outputs:
  a.b: x
"#,
        r#"error[PGF0110]: `1st` cannot name a variable
 --> spec.yaml:4:3
4 |   "1st": { default: x }
  |   ^^^^^ a letter or `_`, then letters, digits, `_` and `-`
help: write `_1st:`

error[PGF0110]: `my app` cannot name a resource
 --> spec.yaml:6:3
6 |   my app: { type: heroku.app, name: acme-app }
  |   ^^^^^^ a letter or `_`, then letters, digits, `_` and `-`
help: write `my_app:`

error[PGF0110]: `var` cannot name a resource
 --> spec.yaml:7:3
7 |   var: { type: heroku.app, name: acme-app }
  |   ^^^ `${var.…}` has a meaning of its own
help: choose another name

error[PGF0110]: `a.b` cannot name an output
 --> spec.yaml:9:3
9 |   a.b: x
  |   ^^^ a letter or `_`, then letters, digits, `_` and `-`
help: write `a_b:`
"#,
    );
}

#[test]
fn on_remove() {
    broken(
        r#"resources:
  s: { type: linode.database, label: x, on_remove: keep }
  app: { type: heroku.app, name: acme-app, on_remove: drop }
"#,
        r#"error[PGF0129]: `on_remove` has no meaning for `s` (linode.database)
 --> spec.yaml:4:41
4 |   s: { type: linode.database, label: x, on_remove: keep }
  |                                         ^^^^^^^^^ a `linode.database` is looked up, never changed
help: leave it out

error[PGF0107]: `on_remove` of `app` (heroku.app) cannot be `drop`
 --> spec.yaml:5:55
5 |   app: { type: heroku.app, name: acme-app, on_remove: drop }
  |                                                       ^^^^ neither `keep` nor `destroy`
help: write one of them: `keep`, `destroy`
"#,
    );
}

#[test]
fn unknown_keys_and_provider() {
    broken(
        r#"resource:
  a: 1
providers:
  linod: {}
  heroku:
    tokken: ${env.LINODE_TOKEN}
"#,
        r#"error[PGF0101]: unknown key `resource` of the spec
 --> spec.yaml:3:1
3 | resource:
  | ^^^^^^^^ no such key
help: did you mean `resources`?

error[PGF0126]: unknown provider `linod`
 --> spec.yaml:6:3
6 |   linod: {}
  |   ^^^^^ no such provider
help: did you mean `linode`?

error[PGF0104]: unknown field `tokken` in provider `heroku`
 --> spec.yaml:8:5
7 |   heroku:
  |   ------ provider configured here
8 |     tokken: ${env.LINODE_TOKEN}
  |     ^^^^^^ no such field
help: did you mean `token`?
"#,
    );
}

#[test]
fn duplicate_keys() {
    broken(
        r#"resources:
  app:
    type: heroku.app
    name: acme-app
    name: acme-two
    color: red
"#,
        r#"error[PGF0007]: `name` is there twice
 --> spec.yaml:7:5
6 |     name: acme-app
  |     ---- first here
7 |     name: acme-two
  |     ^^^^ again here
help: keep one of the two

error[PGF0104]: unknown field `color` in `app` (heroku.app)
 --> spec.yaml:8:5
4 |   app:
  |   --- resource declared here
...
8 |     color: red
  |     ^^^^^ no such field
help: the fields are: `name`, `region`
"#,
    );
}

#[test]
fn variables() {
    broken(
        r#"variables:
  a: {}
  b: essential-1
  c: { default: [x] }
  d: { default: 5, type: string }
  e: { default: "${env.STAGE}" }
  f: { defualt: x }
"#,
        r#"error[PGF0115]: variable `a` has no value
 --> spec.yaml:4:3
4 |   a: {}
  |   ^ no default, and none is given
help: give one: `--var a=…`, or `PGFERRY_VAR_a` in the environment

error[PGF0116]: variable `b` is declared by a map
 --> spec.yaml:5:6
5 |   b: essential-1
  |      ^^^^^^^^^^^ this is text
help: write `b: { default: essential-1 }`

error[PGF0116]: the default of variable `d` is not a `string`
 --> spec.yaml:7:17
7 |   d: { default: 5, type: string }
  |                 ^ this is a number
help: change the default, or write `type: number`

error[PGF0127]: the default of variable `e` must be a plain value
 --> spec.yaml:8:17
8 |   e: { default: "${env.STAGE}" }
  |                 ^^^^^^^^^^^^^^ a reference
help: refer to it where the variable is used

error[PGF0104]: unknown field `defualt` in variable `f`
 --> spec.yaml:9:8
9 |   f: { defualt: x }
  |        ^^^^^^^ no such field
  |   - variable declared here
help: did you mean `default`?
"#,
    );
}

#[test]
fn sections_must_be_maps() {
    broken(
        r#"resources:
  - type: heroku.app
providers: none
"#,
        r#"error[PGF0106]: `resources` wants a map, not a list
 --> spec.yaml:3:1
3 | resources:
  | ^^^^^^^^^ its value is a list
help: write one `name: …` a line below `resources:`

error[PGF0106]: `providers` wants a map, not text
 --> spec.yaml:5:1
5 | providers: none
  | ^^^^^^^^^ its value is text
help: write one `name: …` a line below `providers:`
"#,
    );
}

#[test]
fn the_head() {
    let head = |text: &str, expect: &str| {
        let said = read(text, &inputs()).expect_err("a mistake");
        assert_eq!(said, expect, "\n{said}");
    };
    head(
        r#"name: x
"#,
        r#"error[PGF0102]: the spec does not say which format it is in
 --> spec.yaml:1:1
1 | name: x
  | ^^^^ `pgferry: 1` is missing before this
help: begin the file with `pgferry: 1`
"#,
    );
    head(
        r#"pgferry: 2
name: x
"#,
        r#"error[PGF0102]: the spec is in format 2
 --> spec.yaml:1:10
1 | pgferry: 2
  |          ^ this pgferry reads format 1
help: use a newer pgferry
"#,
    );
    head(
        r#"pgferry: one
"#,
        r#"error[PGF0105]: the spec needs `name`
 --> spec.yaml:1:1
1 | pgferry: one
  | ^^^^^^^ `name` is missing here
help: add `name: …` (names this migration in state, locks and labels)

error[PGF0102]: the format of a spec is a whole number
 --> spec.yaml:1:10
1 | pgferry: one
  |          ^^^ this is text
help: write `pgferry: 1`
"#,
    );
    head(
        r#"- a
"#,
        r#"error[PGF0010]: a spec is a map
 --> spec.yaml:1:1
1 | - a
  | ^^^ this is a list
help: begin with `pgferry: 1` and a `name:`, without `-` before them
"#,
    );
    head(
        r#"pgferry: 1
name: 5x
run: ""
state: []
"#,
        r#"error[PGF0108]: `name` of the spec cannot be `5x`
 --> spec.yaml:2:7
2 | name: 5x
  |       ^^ a letter, then up to 62 letters, digits, `_` and `-`

error[PGF0109]: `run` of the spec cannot be empty
 --> spec.yaml:3:6
3 | run: ""
  |      ^^ at least 1 character

error[PGF0106]: `state` of the spec wants text, not a list
 --> spec.yaml:4:8
4 | state: []
  |        ^^ this is a list
"#,
    );
}

#[test]
fn values_given_for_variables() {
    let mut inputs = inputs();
    for (name, value) in [("n", "five"), ("b", "yes"), ("plann", "x")] {
        inputs.variables.insert(name.to_owned(), value.to_owned());
    }
    let text = "pgferry: 1\nname: test\nvariables:\n  n: { default: 1 }\n  b: { type: bool }\n  plan: { default: a }\n";
    assert_eq!(
        read(text, &inputs).expect_err("mistakes"),
        "error[PGF0117]: the value given for variable `n` is not a `number`\n --> spec.yaml:4:3\n\
         4 |   n: { default: 1 }\n  |   ^ declared as `number`\nhelp: give a number: `--var n=1`\n\n\
         error[PGF0117]: the value given for variable `b` is not a `bool`\n --> spec.yaml:5:3\n\
         5 |   b: { type: bool }\n  |   ^ declared as `bool`\nhelp: give `true` or `false`\n\n\
         warning[PGF0130]: a value is given for `plann`, which is not declared\nhelp: did you mean `plan`?\n"
    );
}

#[test]
fn what_is_no_yaml_map() {
    assert_eq!(
        read("# nothing", &inputs()).expect_err("empty"),
        "error[PGF0010]: the spec is empty\n --> spec.yaml:1:1\n1 | # nothing\n  | ^ nothing but comments\n\
         help: begin with `pgferry: 1` and a `name:`\n"
    );
}
