//! `ntcom-replay` writes what happened: as a timeline, and as data that reads back.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use ntcom_fuzz::input::TARGETS;
use ntsim::Trace;

fn replay(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ntcom-replay")).args(arguments).output().unwrap()
}

fn regression() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/regressions/schedules/Z12").into()
}

#[test]
fn a_replay_writes_a_timeline_and_a_trace() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (page, trace) = (folder.join("z12.html"), folder.join("z12.jsonl"));
    let (page_name, trace_name) = (page.to_str().unwrap(), trace.to_str().unwrap());
    let file = regression();
    let output = replay(&["--target", "schedules", "--timeline", page_name, "--trace", trace_name, &file]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let read = Trace::read_json_lines(&fs::read_to_string(&trace).unwrap()).unwrap();
    assert!(said.contains(&read.to_string()));
    let page = fs::read_to_string(&page).unwrap();
    for needle in
        ["<title>schedules: Z12</title>", "spawn operation 0", "poll starts: operation 0", r#""kind":"wake""#]
    {
        assert!(page.contains(needle), "{needle}");
    }
}

#[test]
fn what_cannot_be_written_or_was_not_meant_is_an_error() {
    let file = regression();
    let output = replay(&["--target", "schedules", "--timeline", "/nowhere/x.html", &file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: /nowhere/x.html: "));
    for arguments in [&["--target", "schedules"][..], &[&file], &["--target", "schedules", &file, &file]] {
        let output = replay(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("usage: "));
    }
}

/// An input begins with its target's name for itself, so that no other target takes it for one of its own.
#[test]
fn a_target_refuses_the_inputs_of_every_other() {
    let corpus = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus"));
    for owner in TARGETS {
        let file = fs::read_dir(corpus.join(owner)).unwrap().next().unwrap().unwrap().path();
        for target in TARGETS {
            let output = replay(&["--target", target, file.to_str().unwrap()]);
            let refused = output.status.code() == Some(2);
            assert_eq!(refused, target != owner, "{target} with an input of {owner}: {output:?}");
        }
    }
}
