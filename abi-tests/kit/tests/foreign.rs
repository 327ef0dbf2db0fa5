//! Implementations that others might have written. The kit must judge them by the contract, and
//! report its findings.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use std::{fs, path::PathBuf, process::Command};

use common::{folder, is_refused, judged, kit, test_source, text, verdict};
use ntcom_kit::{
    judge::Found,
    report::{Report, RuleVerdict},
    rule::Rule,
    shipped,
};

fn foreign(which: &str) -> PathBuf {
    shipped::foreign(&folder("foreign"), which).unwrap()
}

fn findings(report: &Report) -> impl Iterator<Item = &Found> {
    report.rules.iter().flat_map(|rule| &rule.findings)
}

fn rules(report: &Report) -> Vec<Rule> {
    report.rules.iter().filter(|rule| !rule.findings.is_empty()).map(|rule| rule.rule).collect()
}

/// Judges a breach of `broken.c` by cases without races.
fn planted(plant: &str, sequences: &str) -> Report {
    let library = shipped::broken(&folder("planted"), plant).unwrap();
    judged(plant, &library, &["--sequences", sequences, "--processor-limit", "5"]).1
}

/// IAsyncControl is optional. Cases that need it are not offered, and everything else is judged.
#[test]
fn an_operation_without_control_lacks_it_and_breaks_nothing() {
    let (output, report) = judged("control", &foreign("WITHOUT_CONTROL"), &["--sequences", "300"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    for rule in [Rule::C14, Rule::C15, Rule::C16] {
        assert_eq!(verdict(&report, rule), Some(RuleVerdict::NotOffered), "{rule}");
    }
    let c10 = report.rules.iter().find(|rule| rule.rule == Rule::C10).unwrap();
    // Operations without a control are cancelled by handles.
    assert!(c10.verdict == RuleVerdict::Pass && c10.passed > 10, "{c10:#?}");
    let members = report.rules.iter().flat_map(|rule| &rule.not_offered).map(|(_, member)| member);
    assert!(members.into_iter().all(|member| member == "IAsyncControl"));
    assert!(text(&output.stdout).ends_with("it conforms; not offered: C14, C15, C16\n"));
    // An operation that loses its control is a breach.
    let library = shipped::broken(&folder("control"), "CONTROL_LOST_AT_THE_END").unwrap();
    let (_, report) = judged("control", &library, &["--only", "C2"]);
    assert_eq!(verdict(&report, Rule::C2), Some(RuleVerdict::Fail));
}

/// The last client's Release answers 0 while the task lives, because the object is gone for its
/// clients [C3].
#[test]
fn an_object_apart_from_its_task_conforms() {
    let (output, report) = judged("apart", &foreign("APART"), &["--sequences", "1000"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert_eq!(verdict(&report, Rule::C3), Some(RuleVerdict::Pass));
    assert!(text(&output.stdout).ends_with("it conforms\n"));
    // It is a breach while a client has a reference, and the message has found and expected in the
    // right order.
    let report = planted("RELEASE_ZERO_TOO_EARLY", "300");
    assert_eq!(verdict(&report, Rule::C3), Some(RuleVerdict::Fail));
    let of_sequence =
        findings(&report).find(|found| found.is_by_sequence() && found.finding.rule == Rule::C3);
    let message = &of_sequence.unwrap().finding.message;
    assert!(message.ends_with("answered 0; the contract says not 0"), "{message}");
}

#[test]
fn objects_that_speak_hresult_conform_with_the_mapping_only() {
    let library = foreign("HRESULTS");
    let (output, report) = judged("hresults", &library, &["--only", "C1", "--only", "C4"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(rules(&report), [Rule::C1, Rule::C4]);
    let (output, report) = judged("hresults", &library, &["--sequences", "300", "--hresult"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(report.hresults && shown.ends_with("it conforms with HRESULT mapping\n"), "{shown}");
    // The mapping is named whether or not the library needs it.
    let correct = shipped::correct(&folder("hresults")).unwrap();
    let (output, _) = judged("hresults", &correct, &["--sequences", "50", "--hresult"]);
    assert!(text(&output.stdout).ends_with("it conforms with HRESULT mapping\n"));
}

/// A breach of every operation is one finding, and the other breach is found beside it. Known
/// breaches do not make the library fail.
#[test]
fn a_systematic_breach_hides_nothing() {
    let library = foreign("SYSTEMATIC");
    let (output, report) = judged("systematic", &library, &["--sequences", "200"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(rules(&report), [Rule::C4, Rule::C5]);
    let started = "get_status answers STATUS_PENDING (0x00000103) and writes Number(0)";
    let found = findings(&report).find(|found| found.finding.message.starts_with(started)).unwrap();
    assert!(found.also_by.len() > 20, "{:?}", found.also_by);
    let by_cases = findings(&report).filter(|found| !found.is_by_sequence());
    assert!(by_cases.count() < 24, "each kind is told once");
    // Nearly every sequence meets the breach, and the sequences go on.
    assert_eq!(report.sequences, 200);
    assert!(findings(&report).any(|found| found.is_by_sequence() && found.finding.rule == Rule::C5));

    let file = folder("systematic").join("known");
    let known = |words: &str| {
        fs::write(&file, words).unwrap();
        let arguments = ["--sequences", "200", "--known", file.to_str().unwrap()];
        judged("systematic", &library, &arguments)
    };
    let status = "# ours, of old\n[C4] get_status\n[C4] GetStatus\n";
    let (output, report) = known(status);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(verdict(&report, Rule::C4), Some(RuleVerdict::Known));
    assert_eq!(verdict(&report, Rule::C5), Some(RuleVerdict::Fail));
    let (output, report) = known(&format!("{status}[C5] get_result\n[C5] GetResult\n[C9] never\n"));
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.ends_with("it otherwise conforms; known breaches of: C4, C5\n"), "{shown}");
    assert_eq!(report.not_met, ["[C9] never"]);
    fs::write(&file, "C4 get_status").unwrap();
    is_refused(&kit(&library, &["--known", file.to_str().unwrap()]), &["line 1", "[C5] words"]);
}

/// A breach is attributed to the rule that it breaks.
#[test]
fn breaches_are_attributed_to_their_rule() {
    assert_eq!(rules(&planted("RESULT_OF_NULL_FAILS", "300")), [Rule::C5]);
    for plant in ["CANCEL_ALL_LOST", "CANCEL_LOST_WHEN_IDLE"] {
        let rules = rules(&planted(plant, "300"));
        assert!(rules.contains(&Rule::C10), "{plant}: {rules:?}");
        for other in [Rule::C4, Rule::C6, Rule::C7, Rule::C8] {
            assert!(!rules.contains(&other), "{plant}: {rules:?}");
        }
    }
}

/// A count that was found is followed by the right one.
#[test]
fn counts_of_polls_have_an_expected_number() {
    let library = shipped::broken(&folder("planted"), "POLLED_FOR_NOTHING").unwrap();
    let only = [
        "a_wake_after_the_end",
        "a_body_is_polled_once_a_wake",
        "abandoned_twice_is_dropped_unpolled",
        "cancel_ends_an_idle_operation",
    ]
    .map(|case| ["--only", case])
    .concat();
    let (_, report) = judged("polled", &library, &only);
    let counted =
        |found: &&Found| found.finding.message.contains("polled") && found.finding.message.contains(" time");
    let polled = findings(&report).filter(counted).filter(|found| !found.by.starts_with("several_threads"));
    let messages: Vec<_> = polled.map(|found| &found.finding.message).collect();
    assert!(
        !messages.is_empty() && messages.iter().all(|message| message.contains("should have been polled")),
        "{messages:#?}"
    );
}

/// A library frees its remains after its program, outside of any client's call. That is not a
/// breach.
#[test]
fn what_happens_after_the_program_is_not_on_a_client_s_stack() {
    let (output, report) = judged("clears_up", &foreign("CLEARS_UP"), &["--only", "query_unknown_iid"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(rules(&report), [Rule::C1]);
    let [found] = &report.rules[0].findings[..] else { panic!("{report:#?}") };
    assert!(found.finding.message.contains("no reference"), "{}", found.finding);
    let body = shipped::broken(&folder("clears_up"), "RELEASE_RUNS_BODY").unwrap();
    let (_, report) = judged("clears_up", &body, &["--only", "abandoned_operations_are_cancelled"]);
    let places: Vec<_> = findings(&report).map(|found| &found.finding.message).collect();
    assert!(places.iter().any(|message| message.ends_with("on the stack of Release")), "{places:?}");
}

/// The late handler gives up the last reference, and then another operation is made. It does not
/// hide the use of the first one.
#[test]
fn an_operation_that_is_used_after_its_late_handler_is_found() {
    // One writes to it, the other reads.
    for plant in ["USED_AFTER_LATE_HANDLER", "READ_AFTER_LATE_HANDLER"] {
        let library = shipped::broken(&folder("late"), plant).unwrap();
        let (output, report) = judged("late", &library, &["--only", "C14"]);
        assert_eq!(output.status.code(), Some(1), "{plant}");
        assert_eq!(rules(&report), [Rule::C14], "{plant}");
        let [found] = findings(&report).collect::<Vec<_>>()[..] else { panic!("{plant}: {report:#?}") };
        assert_eq!(found.by, "an_operation_is_not_used_after_a_handler_has_released_it");
        let message = "it ended the process: memory is used after it has been freed";
        assert_eq!(found.finding.message, message);
    }
}

/// By default a hang costs seconds, and the processor time detects it.
#[test]
fn a_hang_is_not_waited_for_long() {
    let library = shipped::broken(&folder("sleeps"), "CANCEL_SLEEPS").unwrap();
    let (_, report) = judged("sleeps", &library, &["--only", "cancel_is_a_request"]);
    let messages: Vec<_> = findings(&report).map(|found| &found.finding.message).collect();
    assert_eq!(messages, ["it hangs: it has used no processor time for 5 s"]);
}

/// Compiles with `CC` and AddressSanitizer, if the compiler has that.
fn with_address_sanitizer(source: PathBuf, define: &str, library: &str) -> Option<(PathBuf, String)> {
    let (library, compiler) =
        (folder("sanitizer").join(library), std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    let root = test_source("").join("../..");
    let built = Command::new(&compiler)
        .args(["-std=c11", "-D_DEFAULT_SOURCE", "-shared", "-fPIC", "-g", "-pthread", "-fsanitize=address"])
        .args([define, "-I"])
        .arg(root.join("include"))
        .arg("-I")
        .arg(root.join("../../runtime/include"))
        .arg(source)
        .arg("-o")
        .arg(&library)
        .output()
        .unwrap();
    let runtime = Command::new(&compiler).arg("-print-file-name=libasan.so").output().unwrap();
    let runtime = text(&runtime.stdout).trim().to_owned();
    (built.status.success() && runtime.contains('/')).then_some((library, runtime))
}

/// The kit tells how to judge a library that is built with a sanitizer. The sanitizer's report
/// becomes the finding.
#[test]
fn a_library_with_a_sanitizer_is_told_what_to_preload() {
    let root = test_source("").join("../../c");
    let Some((library, runtime)) = with_address_sanitizer(root.join("correct.c"), "-DNOTHING", "correct.so")
    else {
        eprintln!("the C compiler has no AddressSanitizer: not tested");
        return;
    };
    is_refused(&kit(&library, &[]), &["AddressSanitizer", "--preload", "libasan.so"]);
    let only = ["--only", "C14", "--only", "overflow_fails_fast", "--preload", runtime.as_str()];
    let (output, report) = judged("sanitizer", &library, &only);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert_eq!(verdict(&report, Rule::C3), Some(RuleVerdict::Pass));
    let (library, _) =
        with_address_sanitizer(root.join("broken.c"), "-DPLANT=USED_AFTER_LATE_HANDLER", "broken.so")
            .unwrap();
    let (_, report) = judged("sanitizer", &library, &only);
    let found = findings(&report).next().unwrap();
    assert_eq!(found.finding.message, "it ended the process: AddressSanitizer: heap-use-after-free");
    is_refused(&kit(&library, &["--preload", "/nowhere.so"]), &["/nowhere.so"]);
}
