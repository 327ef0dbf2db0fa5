//! The kit's program, as an implementer runs it. The libraries cannot be judged, die or hang, and
//! the tests check the reports on them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use common::{folder, is_refused, judged, kit, test_source, text, variant, verdict};
use ntcom_kit::{report::RuleVerdict, rule::Rule, shipped};

fn unfit(folder: &Path, how: &str) -> PathBuf {
    variant(folder, "unfit.c", "UNFIT", how)
}

#[test]
fn a_library_without_the_table_is_refused() {
    let library = folder("no_table").join("no_table.so");
    shipped::compile(&test_source("no_table.c"), &[], &library).unwrap();
    is_refused(&kit(&library, &[]), &["no_table.so", "no table", "ntcom_kit"]);
    is_refused(&kit(&unfit(&folder("no_table"), "NULL_TABLE"), &[]), &["no table"]);
}

#[test]
fn what_is_no_library_is_refused() {
    let file = folder("no_library").join("text.so");
    fs::write(&file, "this is no library").unwrap();
    is_refused(&kit(&file, &[]), &["text.so", "cannot be loaded", "file too short"]);
    is_refused(&kit(&folder("no_library").join("missing.so"), &[]), &["missing.so"]);
}

#[test]
fn a_table_of_another_version_is_refused() {
    let folder = folder("versions");
    is_refused(&kit(&unfit(&folder, "OLD_VERSION"), &[]), &["older version, 0", "version 1"]);
    is_refused(&kit(&unfit(&folder, "NEW_VERSION"), &[]), &["version 2"]);
    is_refused(&kit(&unfit(&folder, "SHORT"), &[]), &["8 bytes"]);
}

#[test]
fn missing_factories_are_named() {
    let folder = folder("missing");
    is_refused(&kit(&unfit(&folder, "LACKS_FACTORIES"), &[]), &["spawn", "waker_wake_by_ref"]);
    is_refused(&kit(&unfit(&folder, "NOT_PLAIN"), &[]), &["NTCOM_KIT_PLAIN"]);
}

#[test]
fn a_library_that_dies_as_it_is_loaded_is_refused() {
    let library = unfit(&folder("loading"), "DIES_AS_IT_IS_LOADED");
    is_refused(&kit(&library, &[]), &["as it was loaded", "SIGABRT"]);
}

#[test]
fn a_case_that_there_is_not_is_refused_with_those_that_there_are() {
    let library = shipped::correct(&folder("no_case")).unwrap();
    is_refused(&kit(&library, &["--only", "nope"]), &["nope", "query_null_iid"]);
    // A known case does not excuse an unknown one.
    is_refused(&kit(&library, &["--only", "identity", "--only", "nope"]), &["case nope;"]);
    // The implementations that come with the kit are judged by all cases.
    let all = Command::new(env!("CARGO_BIN_EXE_ntcom-kit")).args(["--only", "identity"]).output().unwrap();
    is_refused(&all, &["--only", "LIBRARY"]);
}

#[test]
fn what_is_not_offered_never_passes() {
    let library = unfit(&folder("optional"), "LACKS_OPTIONAL");
    let (output, report) = judged("optional", &library, &["--sequences", "50"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    for rule in [Rule::C12, Rule::C13, Rule::C19, Rule::C20, Rule::C21] {
        assert_eq!(verdict(&report, rule), Some(RuleVerdict::NotOffered), "{rule}");
    }
    assert_eq!(verdict(&report, Rule::C5), Some(RuleVerdict::Pass));
}

#[test]
fn a_table_that_ends_early_offers_what_it_has() {
    let library = unfit(&folder("cut"), "CUT");
    let (output, report) = judged("cut", &library, &["--sequences", "50"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    for rule in [Rule::C17, Rule::C18, Rule::C21] {
        assert_eq!(verdict(&report, rule), Some(RuleVerdict::NotOffered), "{rule}");
    }
    assert_eq!(verdict(&report, Rule::C19), Some(RuleVerdict::Pass));
}

#[test]
fn the_implementation_in_c_keeps_every_rule_that_it_offers() {
    let library = shipped::correct(&folder("correct")).unwrap();
    let junit = folder("correct").join("report.xml");
    let (output, report) =
        judged("correct", &library, &["--sequences", "300", "--junit", junit.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(!report.has_findings());
    assert_eq!(report.sequences, 300);
    assert_eq!(report.rules.len(), Rule::ALL.len(), "every rule has a line");
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains("query_null_iid") && !junit.contains("not offered"), "{junit}");
}

/// The library dies in the middle. The report names the rule and the actions before it, and the
/// next case is run.
#[test]
fn a_crash_is_a_finding_and_the_kit_goes_on() {
    let library = shipped::broken(&folder("crash"), "STATUS_CRASHES_ON_NULL").unwrap();
    let junit = folder("crash").join("report.xml");
    let (output, report) =
        judged("crash", &library, &["--sequences", "100", "--junit", junit.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let of_rule = report.rules.iter().find(|of| of.rule == Rule::C4).unwrap();
    assert_eq!(of_rule.verdict, RuleVerdict::Fail);
    let found = of_rule.findings.iter().find(|found| found.by == "status_null_out").unwrap();
    assert!(found.finding.message.contains("SIGSEGV"), "{}", found.finding);
    let last = found.trail.last().unwrap();
    assert!(last.starts_with("get_status of operation ") && last.ends_with("out Null"), "{last}");
    // Sequences die of it too, and each names its last step.
    assert!(of_rule.findings.iter().any(|found| found.by.starts_with("sequence ")), "{:?}", of_rule.findings);
    // The cases after it have been run.
    for rule in [Rule::C5, Rule::C14, Rule::C20] {
        assert_eq!(verdict(&report, rule), Some(RuleVerdict::Pass), "{rule}");
    }
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains("SIGSEGV") && junit.contains("get_status of operation"), "{junit}");
    let shown = text(&output.stdout);
    assert!(shown.contains("FOUND by status_null_out: [C4]"), "{shown}");
}

/// A sequence that breaks a rule is shortened as far as it still breaks that rule. The first breach
/// keeps its rule.
#[test]
fn sequences_are_shortened_and_rules_that_were_not_reached_undecided() {
    let library = shipped::broken(&folder("shorter"), "RESULT_ONCE").unwrap();
    let (output, report) = judged("shorter", &library, &["--sequences", "200"]);
    assert_eq!(output.status.code(), Some(1));
    let of_rule = report.rules.iter().find(|of| of.rule == Rule::C5).unwrap();
    let found = of_rule.findings.iter().find(|found| found.by.starts_with("sequence ")).unwrap();
    let calls = found.trail.iter().filter(|line| line.starts_with("get_result of")).count();
    assert!(calls == 2 && found.trail.len() < 20, "{:#?}", found.trail);
    // Cases go on past a breach of another rule.
    assert_eq!(verdict(&report, Rule::C6), Some(RuleVerdict::Pass));
    // A library that gives no reference back breaks them off.
    let library = shipped::foreign(&folder("shorter"), "CLEARS_UP").unwrap();
    let (_, report) = judged("shorter", &library, &["--only", "C2"]);
    assert_eq!(verdict(&report, Rule::C2), Some(RuleVerdict::Undecided), "{report:#?}");
}

/// The processor time stops a library that spins, however slow the machine is. The clock stops one
/// that sleeps.
#[test]
fn a_hang_is_a_finding_and_the_kit_goes_on() {
    for plant in ["CANCEL_SPINS", "CANCEL_SLEEPS"] {
        let library = shipped::broken(&folder("hang"), plant).unwrap();
        let only = ["--only", "cancel_is_a_request", "--only", "spawning_never_gives_null"];
        // The limits are short. The case before the hang takes no time, and the one after it gets
        // the full limit again.
        let (output, report) =
            judged(plant, &library, &[&only[..], &["--limit", "8", "--processor-limit", "1"]].concat());
        assert_eq!(output.status.code(), Some(1), "{plant}: {}", text(&output.stderr));
        let of_rule = report.rules.iter().find(|of| of.rule == Rule::C10).unwrap();
        let [found] = &of_rule.findings[..] else { panic!("{plant}: {:?}", of_rule.findings) };
        assert!(found.finding.message.contains("it hangs"), "{plant}: {}", found.finding);
        assert!(
            found.trail.last().unwrap().starts_with("cancel of operation 0"),
            "{plant}: {:?}",
            found.trail
        );
    }
}

/// The same seed gives the same sequences, and another seed gives others.
#[test]
fn sequences_depend_on_their_seed_alone() {
    use ntcom_kit::sequence::Source;
    let source = |seed| Source { corpus: vec![b"NTV2".to_vec()], seed };
    let some = |seed: u64| (1..20).map(move |number| source(seed).bytes(number)).collect::<Vec<_>>();
    assert_eq!(some(1), some(1));
    assert_ne!(some(1), some(2));
    assert!(some(1).iter().all(|bytes| bytes.starts_with(b"NTV2")));
}

/// Threads in turn find the same again, call by call. Another seed finds it by other schedules.
#[test]
fn threads_in_turn_repeat_themselves() {
    let library = shipped::broken(&folder("turns"), "HANDLER_RACES_END").unwrap();
    let found = |seed: &str| {
        let only = ["--only", "several_threads_set_a_handler_in_turn", "--seed", seed];
        let (output, report) = judged("turns", &library, &only);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        let of_rule = report.rules.iter().find(|of| of.rule == Rule::C14).unwrap();
        let [found] = &of_rule.findings[..] else { panic!("{:?}", of_rule.findings) };
        found.clone()
    };
    let first = found("7");
    assert!(first.finding.message.contains("it repeats itself: schedule"), "{}", first.finding);
    assert!(first.trail.iter().any(|line| line.ends_with("set_completed")), "{:#?}", first.trail);
    for _ in 0..3 {
        assert_eq!(found("7"), first);
    }
    assert_ne!(found("8").trail, first.trail);
}

/// All rounds of a race are run, and the number of failed ones is reported. The report names the
/// cases that are races.
#[test]
fn a_race_says_how_many_rounds_have_failed() {
    let library = shipped::broken(&folder("race"), "COUNT_RACES").unwrap();
    let (output, report) = judged("race", &library, &["--only", "several_threads_count", "--seed", "5"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let of_rule = report.rules.iter().find(|of| of.rule == Rule::C3).unwrap();
    let message = &of_rule.findings.first().unwrap().finding.message;
    assert!(message.contains("of 25 rounds failed, --seed 5") || message.contains("SIG"), "{message}");
    assert_eq!(report.races, ["several_threads_count"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("races, of which another run may say something else: several_threads_count"));
}

/// A file that cannot be written or read is reported before anything is judged, and is not a
/// finding.
#[test]
fn bad_files_are_refused() {
    let folder = folder("bad_files");
    let library = shipped::correct(&folder).unwrap();
    for argument in ["--json", "--junit", "--corpus"] {
        let missing = folder.join("missing/file");
        is_refused(&kit(&library, &[argument, missing.to_str().unwrap()]), &["missing/file"]);
    }
    let odd = folder.join(std::ffi::OsStr::from_bytes(b"odd\xff.so"));
    fs::copy(&library, &odd).unwrap();
    is_refused(&kit(&odd, &[]), &["UTF-8"]);
}

/// A choice that the contract leaves is not a finding, and a check that could not be done has not
/// passed.
#[test]
fn unusual_implementations_keep_the_contract() {
    for how in ["IUNKNOWN_APART", "LOW", "WAIT_ALLOCATES", "BEGINS_AT_ZERO"] {
        let library = variant(&folder("unusual"), "unusual.c", "UNUSUAL", how);
        let (output, report) = judged(how, &library, &["--sequences", "300"]);
        assert_eq!(output.status.code(), Some(0), "{how}: {}", text(&output.stdout));
        let of_rule = report.rules.iter().find(|of| of.rule == Rule::C15).unwrap();
        let lacks: Vec<&str> = of_rule.not_offered.iter().map(|(case, _)| case.as_str()).collect();
        assert_eq!(lacks, if how == "LOW" { &["wait_above_passive_level"][..] } else { &[] });
    }
}
