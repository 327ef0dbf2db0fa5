//! The queues of DPCs and timers, tested through the DDIs against models that are too simple to be
//! wrong.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::RefCell;
use std::{collections::VecDeque, rc::Rc};

use common::*;
use ntsim::{
    Config, Schedule, Simulation,
    sync::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    types::_KDPC_IMPORTANCE::*,
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config as Cases, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};

const DPCS: usize = 5;
const PROCESSORS: usize = 3;

/// Checks a property for random inputs, which are the same each time.
fn check<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Cases { cases: 300, failure_persistence: None, ..Cases::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(strategy, property).unwrap_or_else(|error| panic!("{error}"));
}

fn equal<T: PartialEq + core::fmt::Debug>(real: &T, model: &T) -> Result<(), TestCaseError> {
    if real == model { Ok(()) } else { Err(TestCaseError::fail(format!("real  {real:?}\nmodel {model:?}"))) }
}

#[derive(Clone, Copy, Debug)]
enum DpcStep {
    Insert { dpc: usize, argument: usize },
    Remove(usize),
    Importance(usize, i32),
    Target(usize, u8),
}

fn dpc_step() -> impl Strategy<Value = DpcStep> {
    prop_oneof![
        4 => (0..DPCS, 0..100_usize).prop_map(|(dpc, argument)| DpcStep::Insert { dpc, argument }),
        1 => (0..DPCS).prop_map(DpcStep::Remove),
        1 => (0..DPCS, 0..4).prop_map(|(dpc, importance)| DpcStep::Importance(dpc, importance)),
        1 => (0..DPCS, 0..PROCESSORS as u8).prop_map(|(dpc, target)| DpcStep::Target(dpc, target)),
    ]
}

/// The chain of DPCs. Each one may queue another, the first time it runs.
type Chain = [Option<usize>; DPCS];

fn chain() -> impl Strategy<Value = Chain> {
    proptest::array::uniform5(proptest::option::weighted(0.4, 0..DPCS))
}

/// The answers of the calls, and, by processor, the DPCs that ran with their arguments.
type Story = (Vec<bool>, Vec<Vec<(usize, usize)>>);

/// A model with a list as each processor's queue.
struct DpcModel {
    queues: [VecDeque<(usize, usize)>; PROCESSORS],
    importance: [i32; DPCS],
    target: [Option<u8>; DPCS],
    chain: Chain,
    answers: Vec<bool>,
    runs: Vec<Vec<(usize, usize)>>,
}

impl DpcModel {
    fn insert(&mut self, from: usize, dpc: usize, argument: usize) -> bool {
        if self.queues.iter().flatten().any(|(queued, _)| *queued == dpc) {
            return false;
        }
        let queue = &mut self.queues[self.target[dpc].map_or(from, usize::from)];
        if self.importance[dpc] == HighImportance {
            queue.push_front((dpc, argument));
        } else {
            queue.push_back((dpc, argument));
        }
        true
    }

    fn step(&mut self, step: DpcStep) {
        match step {
            DpcStep::Insert { dpc, argument } => {
                let answer = self.insert(0, dpc, argument);
                self.answers.push(answer);
            }
            DpcStep::Remove(dpc) => {
                let before: usize = self.queues.iter().map(VecDeque::len).sum();
                self.queues.iter_mut().for_each(|queue| queue.retain(|(queued, _)| *queued != dpc));
                self.answers.push(self.queues.iter().map(VecDeque::len).sum::<usize>() < before);
            }
            DpcStep::Importance(dpc, importance) => self.importance[dpc] = importance,
            DpcStep::Target(dpc, target) => self.target[dpc] = Some(target),
        }
    }

    fn drain(&mut self, processor: usize) {
        while let Some((dpc, argument)) = self.queues[processor].pop_front() {
            self.runs[processor].push((dpc, argument));
            if let Some(next) = self.chain[dpc].take() {
                self.insert(processor, next, 1000 + dpc);
            }
        }
    }
}

fn dpc_model(rounds: &[Vec<DpcStep>], chain: Chain) -> Story {
    let mut model = DpcModel {
        queues: Default::default(),
        importance: [MediumImportance; DPCS],
        target: [None; DPCS],
        chain,
        answers: Vec::new(),
        runs: vec![Vec::new(); PROCESSORS],
    };
    for round in rounds {
        round.iter().for_each(|step| model.step(*step));
        // The processors drain in order. A DPC that one of them queues to a later one runs there.
        for processor in 0..PROCESSORS {
            model.drain(processor);
        }
        while let Some(processor) = (0..PROCESSORS).find(|processor| !model.queues[*processor].is_empty()) {
            model.drain(processor);
        }
    }
    (model.answers, model.runs)
}

/// Performs the same rounds in the simulated kernel. All processors are at DISPATCH_LEVEL while the
/// first one does a round's steps. Then they lower their IRQL, one after the other, and are idle.
fn dpc_real(rounds: Vec<Vec<DpcStep>>, chain: Chain) -> Story {
    let mut kernel =
        Simulation::new(Config { processors: PROCESSORS, ..Config::default() }, Schedule::round_robin());
    let runs = Rc::new(RefCell::new(vec![Vec::new(); PROCESSORS]));
    let answers = Rc::new(RefCell::new(Vec::new()));
    let dpcs = Rc::new(RefCell::new(Vec::<Dpc>::new()));
    let (made, logged) = (Rc::clone(&dpcs), Rc::clone(&runs));
    let chain = Rc::new(RefCell::new(chain));
    let make = move || {
        for dpc in 0..DPCS {
            let (logged, chain, all) = (Rc::clone(&logged), Rc::clone(&chain), Rc::clone(&made));
            let routine = move |argument, _| {
                logged.borrow_mut()[ntsim::current_processor()].push((dpc, argument));
                let next = chain.borrow_mut()[dpc].take();
                if let Some(next) = next {
                    let next = all.borrow()[next];
                    next.insert_with(1000 + dpc, 0);
                }
            };
            let dpc = Dpc::with_arguments(routine);
            made.borrow_mut().push(dpc);
        }
    };
    kernel.run_on(0, make).unwrap();
    for round in rounds {
        let (arrived, turn) = (Rc::new(AtomicUsize::new(0)), Rc::new(AtomicUsize::new(0)));
        let programs = (0..PROCESSORS).map(|processor| {
            let (arrived, turn, dpcs) = (Rc::clone(&arrived), Rc::clone(&turn), Rc::clone(&dpcs));
            let (round, answers) = (round.clone(), Rc::clone(&answers));
            let body = move || {
                let before = raise_to_dpc_level();
                arrived.fetch_add(1, SeqCst);
                while arrived.load(SeqCst) < PROCESSORS {}
                if processor == 0 {
                    for step in round {
                        let answer = perform(&dpcs.borrow().clone(), step);
                        answers.borrow_mut().extend(answer);
                    }
                }
                while turn.load(SeqCst) != processor {}
                lower(before);
                turn.store(processor + 1, SeqCst);
            };
            (processor, program(body))
        });
        kernel.run(programs.collect()).unwrap();
    }
    drop(kernel);
    (answers.take(), runs.take())
}

fn perform(dpcs: &[Dpc], step: DpcStep) -> Option<bool> {
    match step {
        DpcStep::Insert { dpc, argument } => Some(dpcs[dpc].insert_with(argument, 0)),
        DpcStep::Remove(dpc) => Some(dpcs[dpc].remove()),
        DpcStep::Importance(dpc, importance) => {
            dpcs[dpc].importance(importance);
            None
        }
        DpcStep::Target(dpc, target) => {
            dpcs[dpc].target(target);
            None
        }
    }
}

#[test]
fn dpcs_run_in_the_order_of_a_naive_queue() {
    let rounds = vec(vec(dpc_step(), 0..16), 1..4);
    check(&(rounds, Just([None; DPCS])), |(rounds, chain)| {
        equal(&dpc_real(rounds.clone(), chain), &dpc_model(&rounds, chain))
    });
}

/// DPCs that DPCs queue run in the same drain. One processor is enough, and makes the order known.
#[test]
fn dpcs_that_queue_dpcs_run_them_in_the_same_drain() {
    let here = dpc_step().prop_map(|step| match step {
        DpcStep::Target(dpc, _) => DpcStep::Target(dpc, 0),
        other => other,
    });
    check(&(vec(vec(here, 0..16), 1..4), chain()), |(rounds, chain)| {
        equal(&dpc_real(rounds.clone(), chain), &dpc_model(&rounds, chain))
    });
}

const TIMERS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum TimerStep {
    Set { timer: usize, due: i64, with_dpc: bool },
    Cancel(usize),
    Read(usize),
    Advance(u64),
    Raise,
    Lower,
}

fn timer_step() -> impl Strategy<Value = TimerStep> {
    let tick = TICK as i64;
    let due = prop_oneof![-4 * tick..0, 0..12 * tick, Just(-tick), Just(-1), Just(2 * tick)];
    prop_oneof![
        4 => (0..TIMERS, due, any::<bool>())
            .prop_map(|(timer, due, with_dpc)| TimerStep::Set { timer, due, with_dpc }),
        1 => (0..TIMERS).prop_map(TimerStep::Cancel),
        1 => (0..TIMERS).prop_map(TimerStep::Read),
        2 => prop_oneof![0..3 * TICK, Just(TICK)].prop_map(TimerStep::Advance),
        1 => Just(TimerStep::Raise),
        1 => Just(TimerStep::Lower),
    ]
}

#[derive(Clone, Copy, Default)]
struct TimerState {
    /// The tick at which it expires, the order of setting, and whether it has a DPC.
    set: Option<(u64, usize, bool)>,
    signalled: bool,
}

/// Returns the answers of the calls, and the timers with DPCs that ran, in order.
fn timer_model(steps: &[TimerStep]) -> (Vec<bool>, Vec<usize>) {
    let mut timers = [TimerState::default(); TIMERS];
    let (mut answers, mut runs, mut queue) = (Vec::new(), Vec::new(), Vec::new());
    let (mut now, mut raised) = (0_u64, false);
    // Ticks are at multiples of the period, which is the first choice of round robin.
    fn expire(timers: &mut [TimerState; TIMERS], now: u64, queue: &mut Vec<usize>) {
        loop {
            let due = timers.iter().enumerate().filter_map(|(timer, state)| Some((state.set?, timer)));
            let Some((_, timer)) = due.min().filter(|((tick, _, _), _)| *tick <= now) else { return };
            let (_, _, with_dpc) = timers[timer].set.take().unwrap();
            timers[timer].signalled = true;
            if with_dpc && !queue.contains(&timer) {
                queue.push(timer);
            }
        }
    }
    for (number, step) in steps.iter().enumerate() {
        match *step {
            TimerStep::Set { timer, due, with_dpc } => {
                answers.push(timers[timer].set.is_some());
                let ticks = |time: u64| time / TICK * TICK;
                let passed = u64::try_from(due).is_ok_and(|absolute| absolute <= now);
                let due = match u64::try_from(due) {
                    Ok(absolute) => absolute,
                    Err(_) => ticks(now) + due.unsigned_abs(),
                };
                let tick = if passed { now } else { (due.div_ceil(TICK) * TICK).max(ticks(now) + TICK) };
                timers[timer] = TimerState { set: Some((tick, number, with_dpc)), signalled: false };
                expire(&mut timers, now, &mut queue);
            }
            TimerStep::Cancel(timer) => answers.push(timers[timer].set.take().is_some()),
            TimerStep::Read(timer) => answers.push(timers[timer].signalled),
            TimerStep::Advance(by) => {
                now += by;
                expire(&mut timers, now, &mut queue);
            }
            TimerStep::Raise => raised = true,
            TimerStep::Lower => raised = false,
        }
        if !raised {
            runs.append(&mut queue);
        }
    }
    runs.append(&mut queue);
    // After the program has returned, the clock jumps from timer to timer.
    expire(&mut timers, u64::MAX, &mut queue);
    runs.append(&mut queue);
    (answers, runs)
}

fn timer_real(steps: Vec<TimerStep>) -> (Vec<bool>, Vec<usize>) {
    let config = Config { step_time: 0, ..Config::default() };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let (answers, runs) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
    let (said, ran) = (Rc::clone(&answers), Rc::clone(&runs));
    let body = move || {
        let timers: Vec<_> = (0..TIMERS)
            .map(|timer| {
                let ran = Rc::clone(&ran);
                (Timer::new(), Dpc::new(move || ran.borrow_mut().push(timer)))
            })
            .collect();
        let mut before = None;
        for step in steps {
            let answer = match step {
                TimerStep::Set { timer, due, with_dpc } => {
                    let (timer, dpc) = timers[timer];
                    Some(timer.set(due, with_dpc.then_some(dpc)))
                }
                TimerStep::Cancel(timer) => Some(timers[timer].0.cancel()),
                TimerStep::Read(timer) => Some(timers[timer].0.signalled()),
                TimerStep::Advance(by) => {
                    ntsim::advance_time(by);
                    None
                }
                TimerStep::Raise => {
                    before = before.or_else(|| Some(raise_to_dpc_level()));
                    None
                }
                TimerStep::Lower => {
                    before.take().into_iter().for_each(lower);
                    None
                }
            };
            said.borrow_mut().extend(answer);
        }
        before.into_iter().for_each(lower);
    };
    kernel.run_on(0, body).unwrap();
    drop(kernel);
    (answers.take(), runs.take())
}

#[test]
fn timers_expire_in_the_order_of_a_naive_list() {
    check(&vec(timer_step(), 0..40), |steps| equal(&timer_real(steps.clone()), &timer_model(&steps)));
}

#[test]
fn ten_thousand_timers_expire_in_order() {
    const COUNT: usize = 10_000;
    let config = Config { processors: 64, ..Config::default() };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let done = Rc::new(AtomicBool::new(false));
    let seen = Rc::clone(&done);
    let body = move || {
        let due = |number: usize| -(((number * 7919) % COUNT) as i64 + 1) * 1000;
        let timers: Vec<_> = (0..COUNT).map(|_| Timer::new()).collect();
        timers.iter().enumerate().for_each(|(number, timer)| assert!(!timer.set(due(number), None)));
        for _ in 0..80 {
            ntsim::advance_time(TICK);
            let now = interrupt_time() as i64;
            for (number, timer) in timers.iter().enumerate().step_by(97) {
                // The timer is due a tick later at the latest.
                assert!(timer.signalled() || -due(number) > now - 2 * TICK as i64);
                assert!(!timer.signalled() || -due(number) <= now);
            }
        }
        timers.iter().for_each(|timer| timer.free());
        done.store(true, SeqCst);
    };
    kernel.run_on(63, body).unwrap();
    kernel.unload().unwrap();
    assert!(seen.load(SeqCst));
}
