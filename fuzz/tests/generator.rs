//! What is generated is legal, and the judge of that is awake. Random inputs besides: the targets in small, in every `cargo test`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use ntcom_fuzz::{
    call,
    input::{ComInput, ExecutorInput, FaultsInput, ForeignInput, Input, SchedulesInput, VtableInput},
    ops::{Op, Out, Via},
    run::Runner,
    world,
};
use ntsim::{Config, Schedule, Simulation, Stop};
use proptest::{collection::vec, prelude::any, prop_assert, test_runner::TestRunner};

fn random_inputs<I: Input>(cases: u32, run: impl Fn(&mut Runner, &I) -> ntcom_fuzz::run::Report) {
    let config = proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let kernel = core::cell::RefCell::new(Runner::new());
    let result = runner.run(&vec(any::<[u8; 4]>(), 0..64), |records| {
        let mut data = I::MAGIC.to_vec();
        data.resize(I::HEADER, records.len() as u8);
        data.extend(records.as_flattened());
        let input = I::decode(&data).unwrap();
        let report = run(&mut kernel.borrow_mut(), &input);
        prop_assert!(report.stop.is_none(), "{report}\n{:#?}", input.steps());
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn random_programs_are_legal_and_as_the_model_says() {
    random_inputs::<VtableInput>(2_000, |runner, input| runner.vtable(input, false));
}

#[test]
fn random_programs_on_several_processors_are_legal_and_end() {
    random_inputs::<SchedulesInput>(2_000, |runner, input| runner.schedules(input, false));
}

#[test]
fn random_programs_of_the_executor_keep_its_promises() {
    random_inputs::<ExecutorInput>(2_000, |runner, input| runner.executor(input, false));
}

#[test]
fn random_programs_keep_them_where_memory_is_short() {
    random_inputs::<FaultsInput>(2_000, |runner, input| runner.faults(input, false));
}

#[test]
fn random_programs_of_objects_are_legal_and_leave_nothing() {
    random_inputs::<ComInput>(4_000, |runner, input| runner.com(input, false));
}

#[test]
fn random_talk_with_a_foreign_operation_is_as_the_contract_says() {
    random_inputs::<ForeignInput>(5_000, |runner, input| runner.foreign(input, false));
}

/// The judge: a call on an operation that has been released is reported, and not made.
#[test]
fn a_call_without_a_reference_is_reported() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let program = || {
        world::with(|world| {
            world.reset();
            let spawn = Op::SpawnError { kind: ntcom_fuzz::value::Kind::U8, status: 0 };
            let step = |op| ntcom_fuzz::ops::Step { processor: 0, target: 0, op };
            ntcom_fuzz::perform::perform(world, 0, 1, &step(spawn)).unwrap();
            ntcom_fuzz::perform::perform(world, 0, 1, &step(Op::Release(Via::Operation))).unwrap();
            assert!(ntcom_fuzz::perform::perform(world, 0, 1, &step(Op::GetStatus(Out::Given))).is_none());
            call::get_status(world, 0, Out::Given);
        });
    };
    match kernel.run(vec![(0, Box::new(program))]) {
        Err(Stop::Failure { oracle, .. }) => assert_eq!(oracle, call::ILLEGAL),
        other => panic!("{:?}", other.err().map(|stop| stop.to_string())),
    }
}

/// One input gives one run: the same steps, the same counts, the same trace.
#[test]
fn a_run_is_determined_by_its_input() {
    let mut data = b"NTS2\x01\0\0\0".to_vec();
    for byte in 0..160_u32 {
        data.push((byte.wrapping_mul(2_654_435_761) >> 24) as u8);
    }
    let input = SchedulesInput::decode(&data).unwrap();
    let run = || {
        let mut runner = Runner::new();
        let report = runner.schedules(&input, true);
        (report.to_string(), report.counters.steps, runner.trace().to_string())
    };
    let first = run();
    assert!(first.2.lines().count() > 50, "{}", first.2);
    assert_eq!(first, run());
}
