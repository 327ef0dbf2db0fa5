//! `ntcom-replay` writes the events as a timeline, and as data that reads back.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use ntcom_fuzz::targets::TARGETS;
use ntsim::Trace;

fn replay(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ntcom-replay")).args(arguments).output().unwrap()
}

fn regression() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../corpus/regressions/schedules/Z12").into()
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

/// An input begins with its own target's name, so that no other target accepts it.
#[test]
fn a_target_refuses_the_inputs_of_every_other() {
    let corpus = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../corpus"));
    for owner in TARGETS {
        let file = fs::read_dir(corpus.join(owner)).unwrap().next().unwrap().unwrap().path();
        for target in TARGETS {
            let output = replay(&["--target", target, file.to_str().unwrap()]);
            let refused = output.status.code() == Some(2);
            assert_eq!(refused, target != owner, "{target} with an input of {owner}: {output:?}");
        }
    }
}

/// Runs a shell's line with the program as `$0` and an input of `schedules` as `$1`.
fn shell(line: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_ntcom-replay");
    Command::new("bash").args(["-o", "pipefail", "-c", line, program, &regression()]).output().unwrap()
}

#[test]
fn an_input_may_come_through_a_pipe() {
    for line in [
        r#""$0" --target schedules - < "$1""#,
        r#"cat "$1" | "$0" --target schedules -"#,
        r#""$0" --target schedules <(cat "$1")"#,
        r#""$0" --target schedules /dev/stdin < "$1""#,
    ] {
        let output = shell(line);
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("clean: "), "{line}: {output:?}");
    }
}

#[test]
fn an_input_without_an_end_is_refused() {
    let output = replay(&["--target", "schedules", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: /dev/zero: not an input: "));
}

#[test]
fn output_that_cannot_be_written_is_an_exit_code_and_never_a_panic() {
    // The reader of the pipe has ended before anything is written.
    let output = shell(r#"exec 3> >(true); wait $!; "$0" --target schedules "$1" >&3"#);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(4), &b""[..]));

    let page = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("unwritten.html");
    drop(fs::remove_file(&page));
    let line = format!(r#""$0" --target schedules --timeline '{}' "$1" > /dev/full"#, page.display());
    let output = shell(&line);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: the standard output cannot be written: ") && said.lines().count() == 1,
        "{said}"
    );
    assert!(page.exists(), "the other files are written all the same");

    let output = shell(r#""$0" --target nope "$1" 2> /dev/full"#);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn names_that_are_not_utf8_are_names() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let input = folder.join(OsStr::from_bytes(b"input-\xff"));
    let page = folder.join(OsStr::from_bytes(b"page-\xff.html"));
    fs::copy(regression(), &input).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ntcom-replay"));
    let output =
        command.args(["--target", "schedules", "--timeline"]).arg(&page).arg(&input).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(fs::read_to_string(&page).unwrap().contains("<title>schedules: input-\u{fffd}</title>"));
    let target = Command::new(env!("CARGO_BIN_EXE_ntcom-replay"))
        .args([OsStr::new("--target"), OsStr::from_bytes(b"\xff"), input.as_os_str()])
        .output()
        .unwrap();
    assert_eq!(target.status.code(), Some(2), "{target:?}");
}
