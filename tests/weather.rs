//! Services that stumble: a request that fails is asked again, and an answer that is lost is looked for before anything
//! is done twice.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod stage;

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::json;
use stage::project::{Ended, Project};
use stage::tap::{Fuse, Tap};
use stage::{QUICK, Stage};

#[test]
fn an_apply_gets_through_busy_services() {
    let stage = Stage::start(&QUICK);
    let project = Project::new(&stage);
    stage.faults(
        json!({ "http_503_next": 3, "http_429_next": 2, "s3_503_next": 2, "s3_drop_next": 1 }),
    );
    project.apply();
    stage.assert_settled("after bad weather");
    project.assert_nothing_to_do("after bad weather");
}

/// Applies, with the answer lost to the `number`th request that changes something at any of the services.
fn apply_losing(stage: &Stage, number: u32) -> (Project, Ended, bool) {
    let mut project = Project::new(stage);
    let fuse = Fuse::at(number);
    let origins = ["LINODE_URL", "HEROKU_HOST", "AWS_ENDPOINT_URL_S3"];
    let direct = origins.map(|name| (name, stage.value(name)));
    let _taps = direct.clone().map(|(name, origin)| {
        let tap = Tap::severed(&origin, &fuse);
        project.set(name, &tap.origin);
        tap
    });
    let ended = project.run(&["apply", "--auto-approve"]);
    for (name, origin) in direct {
        project.set(name, &origin);
    }
    (project, ended, fuse.is_blown())
}

#[test]
fn a_lost_answer_leaves_nothing_twice() {
    // More than an apply needs, as the last line checks.
    let numbers: Mutex<VecDeque<u32>> = Mutex::new((1..=20).collect());
    let lost = Mutex::new(0);
    let work = |stage: Stage| {
        loop {
            let Some(number) = numbers.lock().unwrap().pop_front() else { break };
            let (project, ended, is_lost) = apply_losing(&stage, number);
            let when = format!("answer {number} lost");
            if is_lost {
                *lost.lock().unwrap() += 1;
                assert!(matches!(ended.status.code(), Some(0 | 1)), "{when}: {}", ended.text());
                let again = project.run(&["apply", "--auto-approve"]);
                let told = format!("{when}: {}\n\n{}", ended.text(), again.text());
                assert_eq!(again.status.code(), Some(0), "{told}");
                stage.assert_settled(&told);
                assert_eq!(stage.transfers().len(), 1, "{told}");
            } else {
                assert_eq!(ended.status.code(), Some(0), "{when}: {}", ended.text());
            }
            project.assert_nothing_to_do(&when);
            stage.reset();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work(Stage::start(&QUICK)));
        work(Stage::start(&QUICK));
    });
    let lost = lost.into_inner().unwrap();
    assert!((10..20).contains(&lost), "{lost} requests that change something");
}
