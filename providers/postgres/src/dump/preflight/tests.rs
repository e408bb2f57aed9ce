//! What is found for which facts.

use super::*;

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
        publications: 0,
        subscriptions: 0,
        event_triggers: 0,
        granted: 0,
        closed_functions: 0,
        other_owners: vec![],
        prepared_transactions: 0,
        unreadable: vec![],
        hidden_rows: vec![],
        long_transactions: 0,
    }
}

fn seen(source: Facts, target: u32, programs: &[u32]) -> Seen {
    Seen {
        parallel: false,
        source,
        target: Some(Target {
            address: "target".into(),
            facts: facts(target),
            storage_bytes: Some(10 * GIB),
            plan: None,
        }),
        programs: programs
            .iter()
            .map(|major| Program {
                path: format!("/pg/{major}/pg_dump").into(),
                version: format!("{major}.1"),
                major: *major,
            })
            .collect(),
    }
}

fn check(seen: &Seen, expect: &[(&str, Severity)]) {
    let json = json(seen).expect("serialises");
    let found: Vec<(String, Severity)> =
        judge(&json).into_iter().map(|finding| (finding.code, finding.severity)).collect();
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
    check(&parallel, &[("PGF1100", Severity::Note)]);
    let parallel = Seen { parallel: true, ..seen(facts(11), 11, &[15]) };
    check(&parallel, &[("PGF1103", Severity::Error)]);
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
    source.granted = 2;
    source.closed_functions = 1;
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
