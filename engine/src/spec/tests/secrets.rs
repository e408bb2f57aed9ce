//! Secrets in clear, in sight, and in what is quoted.

use super::{broken, inputs, read};

#[test]
fn a_token_in_clear() {
    broken(
        r#"providers:
  linode: { token: abcdef123456, tokken: x }
"#,
        r#"error[PGF0124]: `token` of provider `linode` is written in clear
 --> spec.yaml:4:20
4 |   linode: { token: (sensitive), tokken: (sensitive) }
  |                    ^^^^^^^^^^^ a secret in a file that is checked in
help: keep it in the environment: `${env.LINODE_TOKEN}`

error[PGF0104]: unknown field `tokken` in provider `linode`
 --> spec.yaml:4:34
4 |   linode: { token: (sensitive), tokken: (sensitive) }
  |                                 ^^^^^^ no such field
  |   ------ provider configured here
help: did you mean `token`?
"#,
    );
}

#[test]
fn a_password_in_a_url() {
    broken(
        r#"resources:
  v:
    type: core.value
    input: postgres://me:hunter2@db.example/x
  c: { type: core.command, command: [psql, "postgres://me:hunter2@db.example/x"], nme: 1 }
"#,
        r#"error[PGF0124]: a password written in clear in `input` of `v` (core.value)
 --> spec.yaml:6:12
6 |     input: (sensitive)
  |            ^^^^^^^^^^^ a URL with a password in it
help: keep it in the environment: `${env.V_INPUT}`

error[PGF0124]: a password written in clear in `command[1]` of `c` (core.command)
 --> spec.yaml:7:44
7 |   c: { type: core.command, command: [psql, (sensitive)], nme: 1 }
  |                                            ^^^^^^^^^^^ a URL with a password in it
help: hand it over by `env:`, and let the program read it there: `env: { DATABASE_URL: "${env.DATABASE_URL}" }`

error[PGF0104]: unknown field `nme` in `c` (core.command)
 --> spec.yaml:7:83
7 |   c: { type: core.command, command: [psql, (sensitive)], nme: 1 }
  |                                                          ^^^ no such field
  |   - resource declared here
help: the fields are: `command`, `env`, `timeout`, `shell`
"#,
    );
}

#[test]
fn a_default_in_a_secret_field() {
    broken(
        r#"variables:
  t: { default: abcdef }
  u: { default: ghijkl, sensitive: true }
providers:
  linode:
    token: ${var.t}
"#,
        r#"error[PGF0124]: `token` of provider `linode` is written in clear
 --> spec.yaml:4:17
4 |   t: { default: (sensitive) }
  |                 ^^^^^^^^^^^ a secret in a file that is checked in
...
8 |     token: ${var.t}
  |            -------- used here
help: keep it in the environment: `${env.LINODE_TOKEN}`

error[PGF0124]: the default of the sensitive variable `u` is written in clear
 --> spec.yaml:5:17
5 |   u: { default: (sensitive), sensitive: true }
  |                 ^^^^^^^^^^^ a secret in a file that is checked in
help: leave it out, and give it by `PGFERRY_VAR_u`
"#,
    );
}

#[test]
fn a_number_in_a_secret_field() {
    broken(
        r#"providers:
  linode:
    token: 123456
"#,
        r#"error[PGF0124]: `token` of provider `linode` is written in clear
 --> spec.yaml:5:12
5 |     token: (sensitive)
  |            ^^^^^^^^^^^ a secret in a file that is checked in
help: keep it in the environment: `${env.LINODE_TOKEN}`
"#,
    );
}

#[test]
fn a_secret_in_a_plain_field() {
    broken(
        r#"resources:
  s: { type: linode.database, label: x }
  app: { type: heroku.app, name: "${env.LINODE_TOKEN}" }
  a:
    type: heroku.addon
    app: ${s.password}
    plan: x-${s.url}
    config: { TOKEN: "${env.LINODE_TOKEN}" }
"#,
        r#"error[PGF0122]: a secret in `name` of `app` (heroku.app), which is shown and stored
 --> spec.yaml:5:34
5 |   app: { type: heroku.app, name: "${env.LINODE_TOKEN}" }
  |                                  ^^^^^^^^^^^^^^^^^^^^^ this is secret
help: `LINODE_TOKEN` counts as a secret by its name or value; if it is none, hand it over as a variable: `${var.…}`

error[PGF0122]: a secret in `app` of `a` (heroku.addon), which is shown and stored
 --> spec.yaml:8:10
8 |     app: ${s.password}
  |          ^^^^^^^^^^^^^ this is secret
help: refer to something that is no secret, or use a field that takes one

error[PGF0122]: a secret in `plan` of `a` (heroku.addon), which is shown and stored
 --> spec.yaml:9:11
9 |     plan: x-${s.url}
  |           ^^^^^^^^^^ this is secret
help: refer to something that is no secret, or use a field that takes one

error[PGF0122]: a secret in `config.TOKEN` of `a` (heroku.addon), which is shown and stored
  --> spec.yaml:10:22
10 |     config: { TOKEN: "${env.LINODE_TOKEN}" }
   |                      ^^^^^^^^^^^^^^^^^^^^^ this is secret
help: `LINODE_TOKEN` counts as a secret by its name or value; if it is none, hand it over as a variable: `${var.…}`
"#,
    );
}

#[test]
fn a_secret_in_a_command() {
    broken(
        r#"resources:
  s: { type: linode.database, label: x }
  c:
    type: core.command
    command: [psql, "${s.url}"]
    env: { DATABASE_URL: "${s.url}" }
"#,
        r#"error[PGF0123]: a secret in `command[1]` of `c` (core.command)
 --> spec.yaml:7:22
7 |     command: [psql, "${s.url}"]
  |                      ^^^^^^^^ every user of the machine can read the arguments of a process
help: hand it over by `env:`, and let the program read it there
"#,
    );
}

#[test]
fn a_secret_that_passes_through_values() {
    broken(
        r#"resources:
  s: { type: linode.database, label: x }
  a: { type: core.value, input: { url: "${s.url}" } }
  b: { type: core.value, input: ["${a.output.url}"] }
  plain: { type: core.value, input: x }
  c:
    type: core.command
    command: [psql, "${b.output[0]}", "${plain.output}"]
  app: { type: heroku.app, name: "${a.output}", region: "${plain.output}" }
"#,
        r#"error[PGF0123]: a secret in `command[1]` of `c` (core.command)
  --> spec.yaml:10:22
10 |     command: [psql, "${b.output[0]}", "${plain.output}"]
   |                      ^^^^^^^^^^^^^^ every user of the machine can read the arguments of a process
help: hand it over by `env:`, and let the program read it there

error[PGF0122]: a secret in `name` of `app` (heroku.app), which is shown and stored
  --> spec.yaml:11:35
11 |   app: { type: heroku.app, name: "${a.output}", region: "${plain.output}" }
   |                                   ^^^^^^^^^^^ this is secret
help: refer to something that is no secret, or use a field that takes one
"#,
    );
}

#[test]
fn a_line_that_is_no_yaml_is_masked_too() {
    let text = "pgferry: 1\nname: x\nproviders:\n  linode: { token: \"abc def, url: [ }\n  x: }\n";
    let said = read(text, &inputs()).expect_err("a mistake");
    assert!(!said.contains("abc"), "{said}");
    let text = "a: b\npassword: hunter2 : x\n";
    assert_eq!(
        read(text, &inputs()).expect_err("a mistake"),
        "error[PGF0001]: the spec is not valid YAML\n --> spec.yaml:2:19\n2 | password: (sensitive)\n  |           ^ \
         mapping values are not allowed in this context\nhelp: the cause may be a line before: a quote or bracket \
         that is not closed, or text with `: ` in it that needs quotes\n"
    );
}

#[test]
fn no_secret_of_the_environment_is_ever_said() {
    let text = "pgferry: 1\nname: test\nvariables:\n  v: { sensitive: true, type: number }\nresources:\n\
                \x20 a: { type: heroku.app, name: \"${var.v}\", region: \"${env.LINODE_TOKEN}\", x: \"l-token-of-test\" }\n";
    let mut inputs = inputs();
    inputs.variables.insert("v".to_owned(), "secret-number".to_owned());
    let said = read(text, &inputs).expect_err("mistakes");
    assert!(!said.contains("l-token-of-test") && !said.contains("secret-number"), "{said}");
}
