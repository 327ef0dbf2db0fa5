//! Runs every file of the corpus on stable and without libFuzzer, decoded exactly as the targets
//! decode it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use std::{fs, path::PathBuf};

use ntcom_fuzz::{harness::run::Runner, targets};

fn files(target: &str) -> Vec<PathBuf> {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut files = Vec::new();
    for folder in [corpus.join(target), corpus.join("regressions").join(target)] {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        files.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    }
    files.sort();
    files
}

fn replay(target: &str) {
    let mut runner = Runner::new();
    let files = files(target);
    assert!(files.len() >= 20, "the corpus of `{target}` has only {} files", files.len());
    let (mut steps, mut live) = (0, 0);
    for file in &files {
        let data = fs::read(file).unwrap();
        let report = match targets::run(&mut runner, target, &data, false).unwrap() {
            Ok(report) => report,
            Err(error) => panic!("{}: not an input of `{target}`: {error}", file.display()),
        };
        if report.stop.is_some() {
            let again = targets::run(&mut runner, target, &data, true);
            drop(again);
            panic!(
                "{}: {report}\ntrace:\n{}\nreplay: cargo xtask replay {} --target {target}",
                file.display(),
                runner.trace(),
                file.display()
            );
        }
        steps += report.steps;
        live += report.live;
    }
    assert!(steps > 100, "{steps} steps");
    assert!(live * 2 > steps, "only {live} of {steps} steps reach a live object");
}

#[test]
fn executor() {
    replay("executor");
}

#[test]
fn faults() {
    replay("faults");
}

#[test]
fn vtable() {
    replay("vtable");
}

#[test]
fn schedules() {
    replay("schedules");
}

#[test]
fn com() {
    replay("com");
}

#[test]
fn foreign() {
    replay("foreign");
}
