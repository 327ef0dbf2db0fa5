//! Generated inputs are legal, and the oracle of illegal calls works. Each target also runs on some
//! random inputs in every `cargo test`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use ntcom_fuzz::{
    harness::run::{Runner, Target},
    operations::{call, perform::perform, world},
    targets::{
        self, ComInput, ExecutorInput, FaultsInput, ForeignInput, Input, SchedulesInput, TARGETS, VtableInput,
    },
};
use ntcom_fuzz_model::{
    ops::{Op, OperationStep, Out, Via},
    value::ValueKind,
};
use ntsim::{Config, Schedule, Simulation, Stop};
use proptest::{
    collection::vec,
    prelude::any,
    prop_assert,
    test_runner::{TestError, TestRunner},
};

fn random_inputs<I: Target>(cases: u32) {
    let config = proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let kernel = core::cell::RefCell::new(Runner::new());
    let file = |records: &[[u8; 4]]| {
        let mut data = I::MAGIC.to_vec();
        data.resize(I::HEADER, records.len() as u8);
        data.extend(records.as_flattened());
        data
    };
    let result = runner.run(&vec(any::<[u8; 4]>(), 0..64), |records| {
        let input = I::decode(&file(&records)).unwrap();
        let report = kernel.borrow_mut().run(&input, false);
        prop_assert!(report.stop.is_none(), "{report}\n{:#?}", input.steps());
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}{}", kept::<I>(&error, file));
    }
}

/// Keeps the smallest input that fails. Returns the line that replays it.
fn kept<I: Input>(error: &TestError<Vec<[u8; 4]>>, file: impl Fn(&[[u8; 4]]) -> Vec<u8>) -> String {
    let TestError::Fail(_, records) = error else { return String::new() };
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("random-{}", I::TARGET));
    match fs::write(&path, file(records)) {
        Ok(()) => format!("\nreplay: cargo xtask replay {} --target {}", path.display(), I::TARGET),
        Err(error) => format!("\nthe input cannot be kept: {}: {error}", path.display()),
    }
}

#[test]
fn random_programs_are_legal_and_as_the_model_says() {
    random_inputs::<VtableInput>(2_000);
}

#[test]
fn random_programs_on_several_processors_are_legal_and_end() {
    random_inputs::<SchedulesInput>(2_000);
}

#[test]
fn random_programs_of_the_executor_keep_its_promises() {
    random_inputs::<ExecutorInput>(2_000);
}

#[test]
fn random_programs_keep_them_where_memory_is_short() {
    random_inputs::<FaultsInput>(2_000);
}

#[test]
fn random_programs_of_objects_are_legal_and_leave_nothing() {
    random_inputs::<ComInput>(4_000);
}

#[test]
fn random_talk_with_a_foreign_operation_is_as_the_contract_says() {
    random_inputs::<ForeignInput>(5_000);
}

/// A call on an operation that has been released is reported, and not made.
#[test]
fn a_call_without_a_reference_is_reported() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    world::begin();
    let program = || {
        world::with(|world| {
            let spawn = Op::SpawnError { kind: ValueKind::U8, status: 0 };
            let step = |op| OperationStep { processor: 0, target: 0, op };
            perform(world, 0, 1, &step(spawn)).unwrap();
            perform(world, 0, 1, &step(Op::Release(Via::Operation))).unwrap();
            assert!(perform(world, 0, 1, &step(Op::GetStatus(Out::Given))).is_none());
            call::get_status(world, 0, Out::Given);
        });
    };
    match kernel.run_on(0, program) {
        Err(Stop::Failure { oracle, .. }) => assert_eq!(oracle, call::ILLEGAL),
        other => panic!("{:?}", other.err().map(|stop| stop.to_string())),
    }
}

/// One input gives one run, with the same steps, counts and trace. Neither earlier runs nor the
/// thread matter.
#[test]
fn a_run_is_determined_by_its_input() {
    fn run(runner: &mut Runner, target: &str, file: &Path) -> (String, u64, String) {
        let report = targets::run(runner, target, &fs::read(file).unwrap(), true).unwrap().unwrap();
        // An object outside of the run's blocks is a static of this program. Its count continues
        // from the run before.
        let trace = runner.trace().to_string();
        let own = trace.lines().filter(|line| target != "com" || !line.contains("  object"));
        (report.to_string(), report.counters.steps, own.collect::<Vec<_>>().join("\n"))
    }
    let mut used = Runner::new();
    for target in TARGETS {
        let mut lines = 0;
        for file in corpus(target).into_iter().step_by(SAMPLE) {
            let first = run(&mut used, target, &file);
            lines += first.2.lines().count();
            let name = file.display().to_string();
            // A new thread has a simulation of its own.
            let second = std::thread::spawn(move || run(&mut Runner::new(), target, &file));
            let second = second.join().unwrap();
            let differs = first.2.lines().zip(second.2.lines()).find(|(one, other)| one != other);
            assert!(
                first == second,
                "{name}: a second run differs: {differs:?}, {} and {}",
                first.0,
                second.0
            );
        }
        assert!(lines > 500, "{target}: the traces have {lines} lines");
    }
}

/// One of this many inputs of the corpus is taken.
const SAMPLE: usize = 16;

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
