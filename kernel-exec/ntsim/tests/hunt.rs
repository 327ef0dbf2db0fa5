//! `hunt` finds planted faults by each of its kinds of runs, and its reports replay them.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::sync::atomic::AtomicU32 as HostU32;
use std::{process::Output, rc::Rc};

use common::*;
use ntsim::{
    Config, Found, Hunt, Limits, Schedule, Simulation, Stop, hunt,
    sync::{AtomicU32, Ordering::SeqCst},
    types::POOL_FLAG_NON_PAGED,
};

const TWO: Config = Config { processors: 2, ..Config::DEFAULT };

/// Two processors increment a counter so many times each.
fn count(
    kernel: &mut Simulation,
    times: u32,
    increment: fn(&AtomicU32),
    check: fn(u32, u32),
) -> Result<(), Stop> {
    let counter = Rc::new(AtomicU32::new(0));
    let program = || {
        let counter = Rc::clone(&counter);
        move || (0..times).for_each(|_| increment(&counter))
    };
    kernel.programs().on(0, program()).on(1, program()).run()?;
    kernel.run_on(0, move || check(counter.load(SeqCst), 2 * times))?;
    kernel.unload()
}

/// An increment that loses another one.
fn load_and_store(counter: &AtomicU32) {
    counter.store(counter.load(SeqCst) + 1, SeqCst);
}

/// A failure of a test's oracle.
fn fails(counted: u32, expected: u32) {
    if counted != expected {
        ntsim::fail("counter", format!("{counted}, not {expected}"));
    }
}

fn lost(kernel: &mut Simulation) -> Result<(), Stop> {
    count(kernel, 4, load_and_store, fails)
}

fn finds(hunt: Hunt, round: impl FnMut(&mut Simulation) -> Result<(), Stop>) -> Found {
    *hunt.try_run(round).expect_err("a finding")
}

/// The recording makes the same stop, and the report says what a reader needs.
fn is_told(found: &Found, config: Config, round: impl Fn(&mut Simulation) -> Result<(), Stop>) {
    let mut kernel = Simulation::new(config, Schedule::replay(found.recording.clone()));
    // Other lines of a bug check have addresses of the host.
    let first_line = |stop: &Stop| stop.to_string().lines().next().map(String::from);
    let again = round(&mut kernel).expect_err("the same finding");
    assert_eq!(first_line(&again), first_line(&found.stop), "{found}");
    let text = found.to_string();
    assert!(text.starts_with(&found.stop.to_string()), "{text}");
    let by = format!("found by {}", found.by);
    let line = format!("NTSIM_REPLAY='{}' cargo test", found.replay);
    assert!(text.contains(&by) && text.contains(&line) && text.contains("cpu"), "{text}");
    let timeline = found.timeline.as_ref().unwrap();
    assert!(text.contains(&timeline.display().to_string()), "{text}");
    assert!(std::fs::read_to_string(timeline).unwrap().starts_with("<!doctype html>"));
}

#[test]
fn each_kind_of_schedule_finds_a_lost_update_with_one_preemption() {
    let limits = Limits { preemptions: Some(2), ..Limits::default() };
    for (hunt, by) in [
        (hunt(TWO).seeds(1000), "seed "),
        (hunt(TWO).pct(1000, 3), "PCT of depth 3, seed "),
        (hunt(TWO).explore(limits), "exploration, run "),
        (hunt(TWO).low_memory(1000), "seed "),
        (hunt(TWO).repeat(1000), "seed "),
        (hunt(TWO).starve(1000), "seed "),
    ] {
        let found = finds(hunt, lost);
        assert!(found.by.starts_with(by), "{found}");
        let (now, before) = found.preemptions.unwrap();
        assert!(now == 1 && now <= before, "{found}");
        is_told(&found, TWO, lost);
    }
}

#[test]
fn preemptions_that_are_not_needed_are_taken_out() {
    let config = Config { processors: 3, ..Config::DEFAULT };
    let round = |kernel: &mut Simulation| {
        let counters: Rc<[AtomicU32; 2]> = Rc::default();
        let program = || {
            let counters = Rc::clone(&counters);
            move || {
                (0..30).for_each(|_| _ = counters[0].fetch_add(1, SeqCst));
                load_and_store(&counters[1]);
                (0..30).for_each(|_| _ = counters[0].fetch_add(1, SeqCst));
            }
        };
        kernel.programs().on(0, program()).on(1, program()).on(2, program()).run()?;
        kernel.run_on(0, move || fails(counters[1].load(SeqCst), 3))
    };
    for seed in 0..20 {
        // Each hunt begins with another seed's finding.
        let mut left = seed;
        let found = hunt(config).seeds(1000).run_until(&mut left, round);
        let (now, before) = found.preemptions.unwrap();
        assert!(now == 1 && before > 1, "{found}");
        is_told(&found, config, round);
    }
}

trait RunUntil {
    fn run_until(self, skip: &mut u64, round: impl Fn(&mut Simulation) -> Result<(), Stop>) -> Found;
}

impl RunUntil for Hunt {
    /// Lets so many first findings pass.
    fn run_until(self, skip: &mut u64, round: impl Fn(&mut Simulation) -> Result<(), Stop>) -> Found {
        finds(self, |kernel| {
            let outcome = round(kernel);
            if outcome.is_err() && *skip > 0 {
                *skip -= 1;
                return Ok(());
            }
            outcome
        })
    }
}

#[test]
fn an_assertion_is_found_with_its_place() {
    let round = |kernel: &mut Simulation| {
        count(kernel, 1, load_and_store, |counted, expected| assert_eq!(counted, expected, "lost"))
    };
    let found = finds(hunt(TWO).seeds(1000), round);
    is_told(&found, TWO, round);
    let text = found.to_string();
    let first: Vec<_> = text.lines().take(3).collect();
    assert!(first[0].starts_with("panic at") && first[0].contains("tests/hunt.rs:"), "{text}");
    assert!(first.concat().contains("lost"), "{text}");
}

#[test]
fn a_bug_check_is_found() {
    let round = |kernel: &mut Simulation| {
        let (block, owners) = (Rc::new(AtomicU32::new(0)), Rc::new(AtomicU32::new(2)));
        let program = || {
            let (block, owners) = (Rc::clone(&block), Rc::clone(&owners));
            move || {
                // The last owner frees a block, and two of them may believe to be it.
                owners.store(owners.load(SeqCst) - 1, SeqCst);
                if owners.load(SeqCst) == 0 && block.fetch_add(1, SeqCst) != 0 {
                    free(allocate(8).wrapping_add(16));
                }
            }
        };
        kernel.programs().on(0, program()).on(1, program()).run()?;
        kernel.unload()
    };
    let found = finds(hunt(TWO).seeds(1000), round);
    assert!(matches!(&found.stop, Stop::BugCheck(_)), "{found}");
    is_told(&found, TWO, round);
}

fn leaks_where_the_second_fails(kernel: &mut Simulation) -> Result<(), Stop> {
    kernel.run_on(0, || {
        let first = pool(POOL_FLAG_NON_PAGED, 8, TAG);
        let second = pool(POOL_FLAG_NON_PAGED, 8, TAG);
        if !second.is_null() {
            free(second);
            if !first.is_null() {
                free(first);
            }
        }
    })?;
    kernel.unload()
}

#[test]
fn a_leak_of_a_failed_allocation_is_found() {
    let found = finds(hunt(TWO).starve(3), leaks_where_the_second_fails);
    assert!(found.by.contains("with allocation 1 failing") && found.replay.contains(" fail=1 "), "{found}");
    assert!(matches!(&found.stop, Stop::BugCheck(bug) if (bug.code, bug.parameters[0]) == (0xC4, 0x62)));
    let found = finds(hunt(TWO).low_memory(1000), leaks_where_the_second_fails);
    assert!(found.by.ends_with(", in low memory") && found.replay.contains(" low "), "{found}");
    assert!(matches!(&found.stop, Stop::BugCheck(bug) if (bug.code, bug.parameters[0]) == (0xC4, 0x62)));
}

/// A program with actions that depend on how often it has run.
fn depends_on_the_host(kernel: &mut Simulation, runs: &'static HostU32) -> Result<(), Stop> {
    kernel.run_on(0, || {
        free(allocate(8));
        let run = runs.fetch_add(1, SeqCst);
        ntsim::note(|| format!("run {run}"));
        free(allocate(8));
    })
}

#[test]
fn a_run_that_differs_when_it_is_repeated_is_found() {
    static RUNS: HostU32 = HostU32::new(0);
    let found = finds(hunt(TWO).repeat(2).seeds(10), |kernel| depends_on_the_host(kernel, &RUNS));
    let text = found.to_string();
    assert!(text.starts_with("determinism: "), "{text}");
    assert!(text.contains("note: run 0") && text.contains("note: run 1"), "{text}");
    assert!(found.replay.ends_with("seed=0") && found.by == "seed 0, run twice", "{text}");
}

#[test]
fn a_finding_that_does_not_repeat_is_told_as_such() {
    let runs = Rc::new(core::cell::Cell::new(0));
    let found = finds(hunt(TWO).seeds(10), |kernel| {
        runs.set(runs.get() + 1);
        let fails = runs.get() == 3;
        kernel.run_on(0, move || assert!(!fails))
    });
    assert!(found.by.contains("did not repeat") && found.preemptions.is_none(), "{found}");
    assert!(found.to_string().starts_with("panic at"), "{found}");
}

#[test]
fn a_panic_outside_of_a_run_is_found_too() {
    let found = finds(hunt(TWO).seeds(10), |kernel| {
        kernel.run_on(0, || free(allocate(8)))?;
        panic!("the round's own words");
    });
    assert_eq!(found.stop.to_string(), "a panic outside of a run: the round's own words");
    assert!(found.trace.to_string().contains("ExFreePool"), "{found}");
}

#[test]
fn a_program_without_faults_passes() {
    let increment = |counter: &AtomicU32| _ = counter.fetch_add(1, SeqCst);
    let all = hunt(TWO).seeds(50).pct(50, 3).explore(Limits::default()).starve(2).repeat(3).low_memory(5);
    let hunted = all.run(|kernel| count(kernel, 2, increment, fails));
    assert!(hunted.complete && hunted.runs > 50 + 51 + 2 + 6 + 5 && !hunted.replayed, "{hunted:?}");
}

#[test]
fn a_case_has_its_number_in_the_replay() {
    let mut numbers = Vec::new();
    hunt(TWO).seeds(4).run_cases(|kernel, number| {
        numbers.push(number);
        kernel.unload()
    });
    assert_eq!(numbers, [0, 1, 2, 3]);
}

/// Run by tests below, in a process of its own.
#[test]
#[ignore = "fails"]
fn a_hunt_that_finds() {
    hunt(TWO).seeds(1000).run(|_| Ok(()));
    hunt(TWO).seeds(1000).run_cases(|kernel, number| match number {
        0..5 => Ok(()),
        _ => lost(kernel),
    });
}

/// Run by tests below, in a process of its own.
#[test]
#[ignore = "fails"]
fn a_hunt_that_finds_a_difference() {
    static RUNS: HostU32 = HostU32::new(0);
    hunt(TWO).repeat(2).run(|kernel| depends_on_the_host(kernel, &RUNS));
}

fn child(name: &str, replay: Option<&str>) -> (Output, String) {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--ignored", "--nocapture"]).env_remove("NTSIM_REPLAY");
    let output = child.envs(replay.map(|text| ("NTSIM_REPLAY", text))).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, text)
}

/// The value of the variable in a report.
fn variable(report: &str) -> &str {
    let (_, rest) = report.split_once("to replay it: NTSIM_REPLAY='").expect(report);
    rest.split_once('\'').expect(report).0
}

#[test]
fn the_variable_replays_in_the_test_that_it_names() {
    let (output, found) = child("a_hunt_that_finds", None);
    assert!(!output.status.success() && found.contains("tests/hunt.rs:"), "{found}");
    assert!(found.contains("\ncounter: ") && found.contains("found by seed "), "{found}");
    let text = variable(&found);
    assert!(text.starts_with("test=a_hunt_that_finds hunt=1 case="), "{text}");
    assert!(found.contains("a_hunt_that_finds\n"), "{found}");
    let (output, replayed) = child("a_hunt_that_finds", Some(text));
    assert!(!output.status.success() && replayed.contains("\ncounter: "), "{replayed}");
    assert!(replayed.contains("found by NTSIM_REPLAY"), "{replayed}");
    assert_eq!(variable(&replayed), text);
    // Of another test.
    let other = text.replace("test=a_hunt_that_finds", "test=another");
    let (_, hunted) = child("a_hunt_that_finds", Some(&other));
    assert!(hunted.contains("found by seed "), "{hunted}");
    let (output, wrong) = child("a_hunt_that_finds", Some("test=a_hunt_that_finds hello"));
    assert!(!output.status.success() && wrong.contains("NTSIM_REPLAY: recording, line 1"), "{wrong}");
}

#[test]
fn the_variable_repeats_what_differed() {
    let (_, found) = child("a_hunt_that_finds_a_difference", None);
    let text = variable(&found);
    assert_eq!(text, "test=a_hunt_that_finds_a_difference seed=0");
    let (output, replayed) = child("a_hunt_that_finds_a_difference", Some(text));
    assert!(!output.status.success() && replayed.contains("\ndeterminism: "), "{replayed}");
}

/// Leaves a DPC's block behind, which a program has named.
fn leaves_a_named_block(kernel: &mut Simulation) -> Result<(), Stop> {
    kernel.run_on(0, || {
        let block = allocate(8);
        // SAFETY: the block has eight bytes, which this program has just allocated.
        ntsim::name(unsafe { &*block.cast::<u64>() }, "queue.items");
        free(block);
        free(block);
    })?;
    kernel.unload()
}

#[test]
fn a_report_names_objects_and_the_places_of_their_last_uses() {
    let found = finds(hunt(TWO).seeds(1), leaves_a_named_block);
    let text = found.to_string();
    let (_, uses) = text.split_once("the last uses of `queue.items`:\n").expect("the uses of the block");
    let uses: Vec<&str> = uses.lines().take(3).collect();
    assert!(uses.iter().any(|line| line.contains("ExFreePool") && line.contains("[mod.rs:")), "{text}");
}

#[test]
fn events_of_libraries_are_left_out_on_request() {
    let found = finds(hunt(TWO).seeds(100), lost);
    let all = found.trace.events();
    assert!(all.iter().any(|event| event.caller.is_some()));
    assert_eq!(found.trace.without_libraries().events().len(), all.len(), "ntsim's own test has no library");
}

#[test]
fn a_report_says_where_processors_were_preempted() {
    let report = finds(hunt(TWO).seeds(100), lost).to_string();
    let (_, preempted) = report.split_once("its preemptions:\n").expect(&report);
    let first = preempted.lines().next().unwrap_or_default();
    assert!(first.contains("load 0x") && first.contains("[hunt.rs:"), "{report}");
    assert!(preempted.contains("\n    goes on: processor "), "{report}");
}
