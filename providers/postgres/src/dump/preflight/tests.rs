//! What is found for which facts.

use super::*;
use crate::facts::Grant;

fn facts(major: u32) -> Facts {
    Facts {
        server: "h:5432".into(),
        database: "d".into(),
        version: format!("{major}.2"),
        major,
        size_bytes: 60 << 20,
        encoding: "UTF8".into(),
        collate: "C".into(),
        ctype: "C".into(),
        in_recovery: false,
        pooled: false,
        extensions: vec![],
        large_objects: 0,
        tables: 3,
        unlogged_tables: 0,
        foreign_tables: 0,
        publications: vec![],
        subscriptions: vec![],
        event_triggers: vec![],
        granted: vec![],
        closed_functions: vec![],
        labels: vec![],
        other_owners: vec![],
        owners_in: vec![],
        prepared_transactions: 0,
        unreadable: vec![],
        hidden_rows: vec![],
        long_transactions: 0,
    }
}

fn seen(source: Facts, target: u32, programs: &[u32]) -> Seen {
    Seen {
        own: Own::default(),
        parallel: false,
        locks: None,
        source,
        target: Some(Target {
            address: "target".into(),
            facts: facts(target),
            storage_bytes: Some(10 * GIB),
            plan: None,
            restorer: Restorer::default(),
        }),
        programs: programs
            .iter()
            .map(|major| Program {
                path: format!("/pg/{major}/pg_dump").into(),
                version: format!("{major}.2"),
                major: *major,
            })
            .collect(),
    }
}

fn check(seen: &Seen, expect: &[(&str, Severity)]) {
    let json = json(seen).expect("serialises");
    let found: Vec<(String, Severity)> = judge(&Tree::Null, &json)
        .into_iter()
        .map(|finding| (finding.code, finding.severity))
        .collect();
    let expect: Vec<(String, Severity)> =
        expect.iter().map(|(code, severity)| ((*code).to_owned(), *severity)).collect();
    assert_eq!(found, expect);
}

#[test]
fn a_good_pair_gets_one_note() {
    check(&seen(facts(15), 16, &[15, 17]), &[("PGF1100", Severity::Note)]);
}

#[test]
fn versions_that_do_not_fit_stop_the_plan() {
    check(&seen(facts(15), 16, &[]), &[("PGF1101", Severity::Error)]);
    check(&seen(facts(15), 16, &[14]), &[("PGF1102", Severity::Error)]);
    check(&seen(facts(15), 15, &[17]), &[("PGF1103", Severity::Error)]);
    check(
        &seen(facts(17), 16, &[17]),
        &[("PGF1103", Severity::Error), ("PGF1104", Severity::Warning)],
    );
    // A parallel dump is read by all.
    let parallel = Seen { parallel: true, ..seen(facts(15), 15, &[17]) };
    check(&parallel, &[("PGF1100", Severity::Note), ("PGF1117", Severity::Note)]);
    let parallel = Seen { parallel: true, ..seen(facts(11), 11, &[15]) };
    check(&parallel, &[("PGF1103", Severity::Error), ("PGF1117", Severity::Note)]);
}

#[test]
fn zstd_is_not_made_by_pg_dump() {
    let judged = |seen: &Seen, compression: Json| {
        let want = Tree::from_json(&serde_json::json!({ "compression": compression }));
        let found = judge(&want, &json(seen).expect("serialises"));
        found.iter().any(|finding| finding.code == "PGF1118" && finding.severity == Severity::Error)
    };
    let single = seen(facts(15), 16, &[15]);
    let parallel = Seen { parallel: true, ..seen(facts(15), 16, &[15]) };
    for (compression, expect) in [
        (serde_json::json!("zstd"), true),
        (serde_json::json!({ "method": "zstd", "max": 3 }), true),
        (serde_json::json!("zlib"), false),
        (serde_json::json!({ "max": 3 }), false),
        (serde_json::json!(null), false),
    ] {
        assert_eq!(judged(&single, compression.clone()), expect, "{compression}");
        assert!(!judged(&parallel, compression.clone()), "{compression}");
    }
}

#[test]
fn sizes_and_readability() {
    let mut source = facts(16);
    source.size_bytes = 9 * GIB;
    check(
        &seen(source.clone(), 16, &[16]),
        &[("PGF1105", Severity::Warning), ("PGF1100", Severity::Note)],
    );
    source.size_bytes = 200 * GIB;
    source.unreadable = vec!["audit.events".into()];
    source.granted = vec![Grant { role: "reader".into(), what: "public.t".into(), of: None }];
    source.closed_functions = vec!["public.f()".into()];
    check(
        &seen(source, 16, &[16]),
        &[
            ("PGF1105", Severity::Error),
            ("PGF1108", Severity::Error),
            ("PGF1106", Severity::Warning),
            ("PGF1110", Severity::Warning),
            ("PGF1100", Severity::Note),
            ("PGF1110", Severity::Note),
        ],
    );
}

#[test]
fn losses_are_told_by_name() {
    let mut source = facts(16);
    let grant = |role: &str, what: &str| Grant { role: role.into(), what: what.into(), of: None };
    source.granted = vec![
        grant("public", "public.v"),
        grant("reader", "large object 7"),
        grant("reader", "public.t"),
        grant("writer", "public.t"),
    ];
    source.event_triggers = vec!["et".into()];
    source.publications = vec!["p".into()];
    source.labels = vec!["dummy on table public.t".into()];
    source.closed_functions = vec!["public.f()".into()];
    source.other_owners = vec!["app".into(), "gone".into()];
    let told = |source: &Facts, restorer: Restorer, parallel: bool| -> Vec<String> {
        let mut seen = Seen { parallel, ..seen(source.clone(), 16, &[16]) };
        seen.target.as_mut().expect("a target").restorer = restorer;
        let found = judge(&Tree::Null, &json(&seen).expect("serialises"));
        let found = found.into_iter().filter(|finding| finding.code == "PGF1110");
        found.map(|finding| finding.message).collect()
    };
    let everything = [
        "functions that not everybody may run on the source may be run by everybody on the target: `public.f()`",
        "rights of everybody do not come along, grant them anew on the target: `public.v`",
        "rights of `reader` do not come along, grant them anew on the target: `large object 7`, `public.t`",
        "rights of `writer` do not come along, grant them anew on the target: `public.t`",
        "publications do not come along: `p`",
        "event triggers need a superuser on the target, and will be missing there: `et`",
        "security labels do not come along: `dummy on table public.t`",
        "what `app`, `gone` own on the source belongs to the restoring role afterwards",
    ];
    let heroku = Restorer { heroku: true, ..Restorer::default() };
    assert_eq!(told(&source, heroku, true), everything);
    let superuser = Restorer {
        superuser: true,
        roles: ["app", "reader"].map(str::to_owned).into(),
        providers: ["dummy".to_owned()].into(),
        ..Restorer::default()
    };
    assert_eq!(told(&source, superuser.clone(), false), everything);
    assert_eq!(
        told(&source, superuser, true),
        [
            everything[3],
            everything[4],
            "what `gone` own on the source belongs to the restoring role afterwards",
        ]
    );
}

#[test]
fn owners_who_may_make_nothing_in_their_schema_are_told() {
    let mut source = facts(16);
    let owner = |schema: &str, may_make| ("app".to_owned(), schema.to_owned(), may_make);
    source.owners_in = vec![
        owner("new", true),
        owner("public", true),
        owner("shut", false),
        owner("there", true),
        owner("there too", false),
    ];
    let check = |owns_public: bool, gives: &[&str], told: &[&str]| {
        let mut seen = Seen { parallel: true, ..seen(source.clone(), 16, &[16]) };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let makes = [("public", &[][..]), ("there", &[]), ("there too", &["app"])];
        seen.target.as_mut().expect("a target").restorer = Restorer {
            gives: names(gives),
            owns_public,
            makes: makes.map(|(schema, roles)| (schema.to_owned(), names(roles))).into(),
            ..Restorer::default()
        };
        let found = judge(&Tree::Null, &json(&seen).expect("serialises"));
        let schemas: Vec<&str> = found
            .iter()
            .filter(|finding| finding.code == "PGF1110")
            .filter_map(|finding| finding.message.split('`').nth(3))
            .collect();
        assert_eq!(schemas, told);
    };
    check(true, &["app"], &["shut", "there"]);
    check(false, &["app"], &["public", "shut", "there"]);
    // Of others it is told that they are no owners at all.
    check(true, &[], &[]);
}

#[test]
fn an_older_minor_version_is_told() {
    let check = |program: &str, expect: bool| {
        let mut seen = seen(facts(16), 16, &[16]);
        seen.source.version = "16.10".into();
        seen.programs[0].version = program.into();
        let found = judge(&Tree::Null, &json(&seen).expect("serialises"));
        assert_eq!(found.iter().any(|it| it.code == "PGF1150"), expect, "{program}: {found:?}");
    };
    check("16.9", true);
    check("16.10", false);
    check("16.11", false);
}
