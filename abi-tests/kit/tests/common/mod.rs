//! Helpers of the tests of the kit's program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]
#![allow(dead_code, unreachable_pub, reason = "each test program uses some of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use ntcom_kit::{
    report::{Report, RuleVerdict},
    rule::Rule,
    shipped,
};

/// A folder for a test.
pub fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("judging").join(test);
    fs::create_dir_all(&folder).unwrap();
    folder
}

pub fn kit(library: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ntcom-kit")).arg(library).args(arguments).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn test_source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(name)
}

/// Compiles a library from a file of `tests/c` with `-DDEFINE=how`.
pub fn variant(folder: &Path, file: &str, define: &str, how: &str) -> PathBuf {
    let library = folder.join(format!("{}.so", how.to_ascii_lowercase()));
    shipped::compile(&test_source(file), &[format!("{define}={how}")], &library).unwrap();
    library
}

#[track_caller]
pub fn is_refused(output: &Output, words: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}{}", text(&output.stdout));
    for word in words {
        assert!(error.contains(word), "\"{word}\" is not in: {error}");
    }
}

/// Runs the kit and reads its JSON.
pub fn judged(test: &str, library: &Path, arguments: &[&str]) -> (Output, Report) {
    let file = folder(test).join("report.json");
    let output = kit(library, &[&["--json", file.to_str().unwrap()], arguments].concat());
    let report = fs::read(&file).unwrap_or_else(|_| panic!("no report: {}", text(&output.stderr)));
    (output, serde_json::from_slice(&report).unwrap())
}

pub fn verdict(report: &Report, rule: Rule) -> Option<RuleVerdict> {
    report.rules.iter().find(|of| of.rule == rule).map(|of| of.verdict)
}
