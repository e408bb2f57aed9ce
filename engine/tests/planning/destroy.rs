//! A destroy of a part: with what depends on it, without what it depends on.

use pgferry_engine::plan::destroy::destroy;
use pgferry_engine::plan::{Input, Options, Plan};

use super::memory::Project;
use super::{at, violations, with};

const SPEC: &str = r#"
  app: { type: mem.thing, name: app }
  db: { type: mem.thing, name: db, owner: "${app.name}" }
  other: { type: mem.thing, name: other }
  job: { type: mem.job, input: "${db.id}" }
"#;

fn torn_down(project: &Project, options: Options) -> (Vec<String>, Vec<String>) {
    let (state, now) = (project.state(), jiff::Timestamp::UNIX_EPOCH);
    let Project { spec, graph, catalog, .. } = project;
    let plan: Plan =
        destroy(&Input { spec, graph, catalog, state: &state, options: &options, now });
    assert_eq!(violations(project, &plan, &options), Vec::<String>::new());
    let names = |all: Vec<&pgferry_engine::address::Address>| {
        all.into_iter().map(|address| address.to_string()).collect()
    };
    (names(plan.changes.keys().collect()), names(plan.left_out.iter().collect()))
}

#[tokio::test]
async fn a_part_goes_with_what_depends_on_it() {
    let project = with(SPEC);
    assert!(project.applied().await.is_success());
    let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<String>>();
    let targets = |list: &[&str]| Options {
        targets: list.iter().map(|name| at(name)).collect(),
        ..Options::default()
    };
    assert_eq!(
        torn_down(&project, Options::default()),
        (names(&["app", "db", "job", "other"]), vec![])
    );
    assert_eq!(
        torn_down(&project, targets(&["db"])),
        (names(&["db", "job"]), names(&["app", "other"]))
    );
    assert_eq!(
        torn_down(&project, targets(&["app"])),
        (names(&["app", "db", "job"]), names(&["other"]))
    );
    let excludes = Options { excludes: [at("db")].into(), ..Options::default() };
    assert_eq!(torn_down(&project, excludes), (names(&["job", "other"]), names(&["app", "db"])));
    let both = Options { excludes: [at("job")].into(), ..targets(&["app"]) };
    assert_eq!(torn_down(&project, both).0, [""; 0]);
}
