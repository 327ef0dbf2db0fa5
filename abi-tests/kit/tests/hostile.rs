//! Libraries that behave as no library should. The kit survives them, reports their actions and the
//! place, and goes on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use std::{fs, path::PathBuf};

use common::{folder, is_refused, judged, kit, text, variant};

fn hostile(how: &str) -> PathBuf {
    variant(&folder("hostile"), "hostile.c", "HOSTILE", how)
}

/// Two cases. The first meets the library's behaviour. The second asks no operation for its status,
/// and begins anew.
const CASES: [&str; 4] = ["--only", "status_in_each_state", "--only", "null_is_no_operation"];
/// Limits after which a hang is reported.
const LIMITS: [&str; 4] = ["--limit", "2", "--processor-limit", "1"];

/// Checks for the one finding of that case, with the call before it. The case after it must have
/// been run.
#[track_caller]
fn is_found(how: &str, words: &str) {
    let (output, report) = judged(how, &hostile(how), &[&CASES[..], &LIMITS].concat());
    assert_eq!(output.status.code(), Some(1), "{how}: {}", text(&output.stderr));
    let findings: Vec<_> = report.rules.iter().flat_map(|rule| &rule.findings).collect();
    let [found] = &findings[..] else { panic!("{how}: {findings:#?}") };
    assert_eq!(found.by, "status_in_each_state", "{how}");
    assert!(found.finding.message.contains(words), "{how}: {}", found.finding);
    let passed: usize = report.rules.iter().map(|rule| rule.passed).sum();
    assert_eq!(passed, 1, "{how}: the case after it");
}

#[test]
fn an_exit_is_a_finding() {
    is_found("EXITS", "it ended the process: exit code 0");
    is_found("EXITS_QUIETLY", "it ended the process: exit code 0");
    // A process that the library has started keeps the pipe open.
    is_found("FORKS", "SIGABRT");
}

#[test]
fn closed_and_spoilt_files_are_a_finding() {
    is_found("CLOSES_FILES", "it has closed files that are not its own");
    is_found("CLOSES_FILES_AND_SLEEPS", "it hangs");
    is_found("WRITES_ANYWHERE", "it has written into files that are not its own");
}

#[test]
fn a_library_that_neither_ends_nor_goes_on_hangs() {
    is_found("STOPS_ITSELF", "it hangs");
    is_found("IGNORES_LIMITS", "it hangs");
}

/// The output of a library does not mix with the messages between the kit's own processes.
#[test]
fn what_a_library_prints_is_nothing_but_text() {
    let (output, report) = judged("prints", &hostile("PRINTS"), &CASES);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(report.rules.iter().map(|rule| rule.passed).sum::<usize>(), 2);
    let (_, report) = judged("prints", &hostile("PRINTS_MUCH"), &CASES);
    let findings: Vec<_> = report.rules.iter().flat_map(|rule| &rule.findings).collect();
    let said = findings[0].trail.iter().filter(|line| line.contains("the library says")).count();
    assert_eq!(said, 8);
    assert!(findings[0].trail.iter().all(|line| !line.contains('\x1b')), "{:#?}", findings[0].trail);
}

#[test]
fn wild_pointers_are_findings() {
    for how in ["WILD_FUNCTION", "WILD_OPERATION"] {
        let (output, report) = judged(how, &hostile(how), &CASES);
        assert_eq!(output.status.code(), Some(1), "{how}");
        let findings = report.rules.iter().flat_map(|rule| &rule.findings);
        assert!(findings.clone().all(|found| found.finding.message.contains("SIGSEGV")), "{how}");
        assert_ne!(findings.count(), 0, "{how}");
    }
    let file = folder("wild").join("report.json");
    let arguments = [&CASES[..], &["--json", file.to_str().unwrap()]].concat();
    is_refused(&kit(&hostile("WILD_NAME"), &arguments), &["wild_name.so", "as it was loaded", "SIGSEGV"]);
    assert!(!file.exists(), "a report of nothing");
}

/// A `run` that does not behave as the header requires is reported as such.
#[test]
fn a_run_that_is_none_is_a_finding() {
    for (how, words) in [
        ("ANOTHER_THREAD", "on another thread than its own"),
        ("TWICE", "called its program twice"),
        ("NEVER", "did not run its program to the end"),
        ("EXITS_BEFORE_ANY_CASE", "exit code 0"),
        ("HUGE_COUNTS", "memory of 18446744073709551615 operations is left"),
    ] {
        let (output, report) = judged(how, &hostile(how), &CASES);
        assert_eq!(output.status.code(), Some(1), "{how}: {}", text(&output.stderr));
        let findings: Vec<_> = report.rules.iter().flat_map(|rule| &rule.findings).collect();
        let cases: usize = findings.iter().map(|found| 1 + found.also_by.len()).sum();
        assert_eq!(cases, 2, "{how}: {findings:#?}");
        assert!(findings.iter().all(|found| found.finding.message.contains(words)), "{how}: {findings:#?}");
    }
}

/// A body on a thread of the library is not known to the kit. The finding names the right thread,
/// rather than a null pointer.
#[test]
fn bodies_on_another_thread_are_said_to_be_there() {
    is_found("BACKGROUND", "a body's begin is called on another thread");
}

/// Files are well-formed and terminals are left alone, for any name and any text of the library.
#[test]
fn odd_texts_do_no_harm() {
    for how in ["ODD_NAME", "LONG_NAME", "ODD_REASON"] {
        let file = folder(how).join("report.xml");
        let (output, report) =
            judged(how, &hostile(how), &[&CASES[..], &["--junit", file.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(i32::from(how == "ODD_REASON")), "{how}");
        assert!(report.name.chars().count() <= 103 && !report.name.chars().any(char::is_control), "{how}");
        let shown = text(&output.stdout);
        assert!(!shown.contains(['\x1b', '\x01', '\0']), "{how}: {shown:?}");
        let xml = fs::read(&file).unwrap();
        quick_junit::Report::deserialize(&xml[..]).unwrap_or_else(|why| panic!("{how}: {why}"));
    }
}
