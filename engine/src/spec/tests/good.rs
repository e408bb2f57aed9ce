//! What a good spec becomes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{inputs, read};
use crate::address::Address;
use crate::info::OnRemove;
use crate::secret::Secret;
use crate::template::Template;
use crate::tree::{Handle, Tree};

const SPEC: &str = r#"
# a comment
pgferry: 1
name: acme
run: 2
state: ./s.json

variables:
  plan: { default: essential-1, description: "the plan" }
  size: { type: number }
  count: { default: 4 }
  nothing: { default: null }
  key: { sensitive: true }

providers:
  linode: { token: "${env.LINODE_TOKEN}" }
  heroku:

resources:
  source:
    type: linode.database
    label: ${env.STAGE}-db
    database: ${var.nothing}
  app:
    type: heroku.app
    name: acme-app
    region: eu
    on_remove: destroy
  target:
    type: heroku.addon
    app: ${app.name}
    plan: heroku-postgresql:${var.plan}
    depends_on: [note]
  note:
    type: core.command
    command: [./n.sh, "$${literal}", "code ${done.output}"]
    timeout: ${env.COUNT}
    env: { KEY: "${var.key}", URL: "${source.url}" }
  done: { type: core.value, input: { a: [1, "${app.id}"], n: "${var.size}", b: null } }
  dump:
    type: postgres.dump
    source: ${source}
    for: ${target}
    to: { url: "https://${app.name}.example/${var.key}" }
    jobs: ${var.count}
  sent:
    type: postgres.dump
    source: ${source}
    to: { url: "${app.name}" }
outputs:
  url: ${target.url}
  tables: ${dump.tables[0].rows}
"#;

fn loaded() -> super::Loaded {
    let mut inputs = inputs();
    inputs.variables.insert("size".to_owned(), "1.5".to_owned());
    inputs.variables.insert("key".to_owned(), "k-of-test-long".to_owned());
    read(SPEC, &inputs).unwrap_or_else(|said| panic!("{said}"))
}

#[test]
fn the_head() {
    let loaded = loaded();
    let spec = &loaded.spec;
    assert_eq!((spec.name.as_str(), spec.run.as_str()), ("acme", "2"));
    assert_eq!(spec.state.as_deref(), Some("./s.json"));
    assert_eq!(
        spec.providers["linode"].get("token"),
        Some(&Tree::Secret(Secret::new("l-token-of-test")))
    );
    assert_eq!(spec.providers["heroku"], Tree::Map([].into()));
    assert_eq!(spec.outputs.keys().collect::<Vec<_>>(), ["url", "tables"]);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn order_and_neighbours() {
    let graph = loaded().graph;
    let words = |addresses: Vec<&Address>| {
        addresses.into_iter().map(Address::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words(graph.order.iter().collect()), "app done source note sent target dump");
    let dump = Address::new("dump");
    assert_eq!(words(graph.direct_dependencies(&dump).collect()), "app source target");
    assert_eq!(words(graph.ancestors(&dump).iter().collect()), "app done note source target");
}

#[test]
fn fields_are_folded_where_nothing_is_referred_to() {
    let spec = loaded().spec;
    let block = |name: &str| &spec.resources[&Address::new(name)];
    let field = |name: &str, field: &str| match &block(name).fields[field] {
        Template::Value(tree) => Some(tree.clone()),
        _ => None,
    };
    assert_eq!(field("source", "label"), Some(Tree::text("prod-db")));
    assert_eq!(field("source", "database"), Some(Tree::Null));
    assert_eq!(field("target", "plan"), Some(Tree::text("heroku-postgresql:essential-1")));
    assert_eq!(field("target", "app"), None);
    assert_eq!(field("note", "timeout"), Some(Tree::Number(3.into())));
    assert_eq!(field("dump", "jobs"), Some(Tree::Number(4.into())));
    assert_eq!(block("app").on_remove, Some(OnRemove::Destroy));
    assert_eq!(block("target").depends_on, [Address::new("note")]);
    assert_eq!(block("target").type_name, "heroku.addon");
    assert!(!block("app").fields.contains_key("type"));
}

#[test]
fn values_keep_their_kind_and_their_secrecy() {
    let spec = loaded().spec;
    let known = [
        ("app", vec![("name", Tree::text("only-said-here")), ("id", Tree::text("7"))]),
        ("done", vec![("output", Tree::Number(5.into()))]),
        ("source", vec![("url", Tree::Secret(Secret::new("postgres://x")))]),
    ];
    let handles: BTreeMap<Address, Arc<Handle>> = known
        .into_iter()
        .map(|(name, attrs)| {
            let attrs = attrs.into_iter().map(|(key, tree)| (key.to_owned(), tree)).collect();
            let address = Address::new(name);
            (address.clone(), Arc::new(Handle { address, id: Some(name.to_owned()), attrs }))
        })
        .collect();
    let resolve = |address: &Address| handles.get(address);
    let value = |name: &str, field: &str| {
        let tree = spec.resources[&Address::new(name)].fields[field].evaluate(&resolve);
        (tree.storable().to_string(), tree)
    };
    assert_eq!(value("note", "command").0, r#"["./n.sh","${literal}","code 5"]"#);
    assert_eq!(value("note", "env").0, r#"{"KEY":"(sensitive)","URL":"(sensitive)"}"#);
    assert_eq!(value("done", "input").0, r#"{"a":[1,"7"],"n":1.5,"b":null}"#);
    assert_eq!(value("dump", "to").0, r#"{"url":"(sensitive)"}"#);
    let Some(Tree::Secret(url)) = value("dump", "to").1.get("url").cloned() else {
        panic!("secret")
    };
    assert_eq!(url.expose(), "https://only-said-here.example/k-of-test-long");
    // A plain attribute in a secret field is a secret from there on.
    assert_eq!(value("sent", "to").0, r#"{"url":"(sensitive)"}"#);
}
