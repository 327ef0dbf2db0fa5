//! Bounded exhaustive exploration misses no interleaving within the bound. Each pruned run is
//! equivalent to one that is explored.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::{Cell, RefCell};
use std::{collections::BTreeSet, rc::Rc};

use common::*;
use ntsim::{
    Exploration, Limits, Program, Schedule, Simulation, Stop, explore,
    sync::{AtomicUsize, Ordering::SeqCst, UnsafeCell},
};

fn limits(preemptions: Option<u32>, prune: bool) -> Limits {
    Limits { preemptions, prune, ..Limits::default() }
}

/// Explores programs that `make` creates for each run, with the run's log.
fn exploring(
    count: usize,
    limits: Limits,
    make: impl Fn(&Log) -> Vec<(usize, Program)>,
) -> (Exploration, BTreeSet<Vec<String>>) {
    let mut outcomes = BTreeSet::new();
    let explored = explore(processors(count), limits, |kernel| {
        let log = Log::default();
        kernel.run(make(&log))?;
        outcomes.insert(log.lines());
        kernel.unload()
    });
    (explored, outcomes)
}

fn points(log: &Log, name: &'static str, count: usize) -> Program {
    let log = log.clone();
    program(move || {
        log.add(name);
        for _ in 0..count {
            ntsim::preemption_point();
            log.add(name);
        }
    })
}

/// Counts, one by one, the interleavings of two processors with these steps left and at most
/// `bound` preemptions.
fn interleavings(left: [usize; 2], running: Option<usize>, preemptions: u32, bound: Option<u32>) -> u64 {
    if bound.is_some_and(|bound| preemptions > bound) {
        return 0;
    }
    if left == [0, 0] {
        return 1;
    }
    let taken = |next: usize| {
        if left[next] == 0 {
            return 0;
        }
        let preempts = running.is_some_and(|running| running != next && left[running] > 0);
        let mut rest = left;
        rest[next] -= 1;
        interleavings(rest, Some(next), preemptions + u32::from(preempts), bound)
    };
    taken(0) + taken(1)
}

#[test]
fn every_interleaving_is_run_once() {
    for bound in [None, Some(0), Some(1), Some(2), Some(3)] {
        let two = |log: &Log| vec![(0, points(log, "a", 2)), (1, points(log, "b", 3))];
        let (explored, outcomes) = exploring(2, limits(bound, false), two);
        assert!(explored.complete && explored.finding.is_none() && explored.redundant == 0);
        assert_eq!(explored.runs, interleavings([3, 4], None, 0, bound), "{bound:?}");
        assert_eq!(explored.runs, outcomes.len() as u64);
    }
    assert_eq!(interleavings([3, 4], None, 0, None), 35, "seven over three");
}

/// Runs two processors, each with its own atomic, which the trace has named before if `named`.
fn apart(kernel: &mut Simulation, named: bool) -> Result<(), Stop> {
    let own = Rc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    if named {
        let own = Rc::clone(&own);
        kernel.run_on(0, move || own.iter().for_each(|own| own.store(1, SeqCst)))?;
    }
    let add = |processor: usize| {
        let own = Rc::clone(&own);
        (processor, program(move || (0..3).for_each(|_| _ = own[processor].fetch_add(1, SeqCst))))
    };
    kernel.run(vec![add(0), add(1)])
}

#[test]
fn steps_that_can_change_places_are_run_in_one_order() {
    let all = explore(processors(2), limits(None, false), |kernel| apart(kernel, true));
    assert_eq!(all.runs, 70, "eight over four");
    let pruned = explore(processors(2), limits(None, true), |kernel| apart(kernel, true));
    assert!(all.complete && pruned.complete);
    assert_eq!(pruned.runs - pruned.redundant, 1);
    assert!(pruned.runs < 10, "{pruned:?}");
}

#[test]
fn objects_without_names_yet_may_be_the_same() {
    let pruned = explore(processors(2), limits(None, true), |kernel| apart(kernel, false));
    assert!(pruned.complete && pruned.runs < 70);
    assert!(pruned.runs - pruned.redundant > 1, "{pruned:?}");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Load(usize),
    Store(usize, usize),
    Add(usize),
    Exchange(usize),
    Read,
    Locked,
    Dpc(u8),
}

fn random(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % below
}

fn some_steps(state: &mut u64, processors: usize, kinds: usize) -> Vec<Vec<Step>> {
    let mut one = |number: usize| {
        let object = random(state, 2);
        match random(state, kinds) {
            0 | 1 => Step::Load(object),
            2 => Step::Store(object, number),
            3 => Step::Add(object),
            4 => Step::Exchange(object),
            5 => Step::Read,
            6 => Step::Locked,
            _ => Step::Dpc(random(state, 2) as u8),
        }
    };
    let lengths: [usize; 3] = if processors == 2 { [3, 3, 0] } else { [2, 2, 1] };
    (0..processors).map(|p| (0..lengths[p]).map(|n| one(10 * (p + 1) + n)).collect()).collect()
}

/// Creates programs that log the facts of a run on which equivalent schedules must agree. They are
/// the values that each step saw, and the end.
fn steps_of(all: &[Vec<Step>], log: &Log, lock: Lock) -> Vec<(usize, Program)> {
    let objects = Rc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let cell = Rc::new(UnsafeCell::new(0_usize));
    let running = Rc::new(AtomicUsize::new(all.len()));
    let seen = Rc::new(RefCell::new(vec![Vec::new(); all.len() + 1]));
    let make = |(processor, steps): (usize, &Vec<Step>)| {
        let (steps, log, objects, cell) = (steps.clone(), log.clone(), Rc::clone(&objects), Rc::clone(&cell));
        let (running, seen) = (Rc::clone(&running), Rc::clone(&seen));
        let body = move || {
            let saw = |value: usize| seen.borrow_mut()[processor].push(value);
            let mut dpcs = Vec::new();
            for step in steps {
                match step {
                    Step::Load(object) => saw(objects[object].load(SeqCst)),
                    Step::Store(object, value) => objects[object].store(value, SeqCst),
                    Step::Add(object) => saw(objects[object].fetch_add(1, SeqCst)),
                    Step::Exchange(object) => {
                        saw(objects[object].compare_exchange(0, 7, SeqCst, SeqCst).is_ok().into());
                    }
                    // SAFETY: no step writes to the cell.
                    Step::Read => saw(cell.with(|value| unsafe { *value })),
                    Step::Locked => {
                        let before = lock.acquire();
                        let value = objects[0].load(SeqCst);
                        objects[0].store(value + 100, SeqCst);
                        lock.release(before);
                    }
                    Step::Dpc(target) => {
                        let objects = Rc::clone(&objects);
                        let dpc = Dpc::new(move || {
                            objects[1].fetch_add(1000, SeqCst);
                        });
                        dpc.target(target).insert();
                        dpcs.push(dpc);
                    }
                }
            }
            // The last processor to finish logs the end of the run.
            if running.fetch_sub(1, SeqCst) == 1 {
                let all = seen.borrow().iter().map(|list| format!("{list:?}")).collect::<Vec<_>>().join(" ");
                log.add(format!("{all} {} {}", objects[0].load(SeqCst), objects[1].load(SeqCst)));
            }
        };
        (processor, program(body))
    };
    all.iter().enumerate().map(make).collect()
}

fn ends(count: usize, limits: Limits, steps: &[Vec<Step>]) -> (Exploration, BTreeSet<String>) {
    let mut outcomes = BTreeSet::new();
    let explored = explore(processors(count), limits, |kernel| {
        let log = Log::default();
        let made = Rc::new(Cell::new(None));
        let make = Rc::clone(&made);
        kernel.run_on(0, move || make.set(Some(Lock::new())))?;
        kernel.run(steps_of(steps, &log, made.get().unwrap()))?;
        outcomes.insert(log.lines().concat());
        Ok(())
    });
    assert!(explored.complete && explored.finding.is_none(), "{explored:?}");
    (explored, outcomes)
}

/// Checks that pruning, with a bound and without, reaches every outcome that exploration without
/// pruning reaches.
fn compare(seeds: core::ops::Range<u64>, count: usize, kinds: usize, bounds: &[Option<u32>]) {
    let (mut all_runs, mut pruned_runs) = (0, 0);
    for seed in seeds {
        let mut state = seed;
        let steps = some_steps(&mut state, count, kinds);
        for bound in bounds {
            let (all, expected) = ends(count, limits(*bound, false), &steps);
            let (pruned, reached) = ends(count, limits(*bound, true), &steps);
            assert!(expected.is_subset(&reached), "{bound:?} {steps:?}: {expected:?} {reached:?}");
            if bound.is_none() {
                assert_eq!(expected, reached, "{steps:?}");
            }
            all_runs += all.runs;
            pruned_runs += pruned.runs;
        }
    }
    assert!(pruned_runs < all_runs, "{pruned_runs} of {all_runs}");
}

#[test]
fn pruning_misses_nothing_with_two_processors() {
    compare(0..40, 2, 6, &[Some(0), Some(1), Some(2), Some(3), None]);
}

#[test]
fn pruning_misses_nothing_with_three_processors() {
    compare(100..112, 3, 6, &[Some(1), Some(2)]);
}

#[test]
fn pruning_misses_nothing_with_locks_and_dpcs() {
    compare(200..212, 2, 8, &[Some(1), Some(2)]);
}

fn lost_update(bound: u32) -> Exploration {
    explore(processors(2), limits(Some(bound), true), |kernel| {
        let counter = Rc::new(AtomicUsize::new(0));
        let increment = |processor| {
            let counter = Rc::clone(&counter);
            (processor, program(move || counter.store(counter.load(SeqCst) + 1, SeqCst)))
        };
        kernel.run(vec![increment(0), increment(1)])?;
        let judge = move || {
            if counter.load(SeqCst) != 2 {
                ntsim::fail("counter", "an update was lost".into());
            }
        };
        kernel.run_on(0, judge)
    })
}

#[test]
fn a_lost_update_needs_one_preemption() {
    let without = lost_update(0);
    assert!(without.complete && without.finding.is_none() && without.runs == 2, "{without:?}");
    let explored = lost_update(1);
    let finding = explored.finding.unwrap();
    assert!(!explored.complete && explored.runs < 10);
    let said = finding.stop.to_string();
    // A build with line tables alone has no paths in the functions' names.
    assert!(said.starts_with("counter: an update was lost\n  in "), "{said}");
    assert!(said.contains(" (explore.rs:"), "{said}");
    assert!(finding.trace.to_string().contains("stop: counter: an update was lost\n"));
}

/// Runs two processors that take two locks in different orders, and queue a DPC.
fn crossed(kernel: &mut Simulation) -> Result<(), Stop> {
    let locks = Rc::new(RefCell::new(Vec::new()));
    let made = Rc::clone(&locks);
    kernel.run_on(0, move || *made.borrow_mut() = vec![Lock::new(), Lock::new()])?;
    let both = |processor: usize| {
        let locks = Rc::clone(&locks);
        let take = move || {
            let (first, second) = (locks.borrow()[processor], locks.borrow()[1 - processor]);
            let dpc = Dpc::new(|| ());
            dpc.target(1).insert();
            let before = first.acquire();
            second.acquire_at_dpc_level();
            second.release_from_dpc_level();
            first.release(before);
        };
        (processor, program(take))
    };
    kernel.run(vec![both(0), both(1)])
}

#[test]
fn a_finding_replays_to_the_byte() {
    let explored = explore(processors(2), limits(Some(1), true), crossed);
    let finding = explored.finding.unwrap();
    assert!(matches!(finding.stop, Stop::Deadlock { .. }), "{}", finding.stop);
    let text = finding.recording.to_text();
    let mut kernel = Simulation::new(processors(2), Schedule::replay(text.parse().unwrap()));
    let again = crossed(&mut kernel).unwrap_err();
    assert_eq!(again, finding.stop);
    assert_eq!(kernel.trace(), &finding.trace);
    assert_eq!(kernel.recording(), finding.recording);
    let joined = finding.recording.decisions().len() as u64;
    assert!(joined < kernel.counters().steps / 2, "{joined} decisions: {text}");
}

#[test]
fn the_same_exploration_makes_the_same_runs() {
    let explored = || explore(processors(2), limits(Some(1), true), crossed);
    let (first, second) = (explored(), explored());
    assert_eq!((first.runs, first.redundant), (second.runs, second.redundant));
    assert_eq!(first.finding.unwrap().trace, second.finding.unwrap().trace);
}

#[test]
fn what_nt_leaves_open_is_explored_too() {
    // A DPC of low importance runs before the insertion returns, or later.
    let (explored, outcomes) = exploring(1, Limits::default(), |log| {
        let log = log.clone();
        let insert = move || {
            let in_dpc = log.clone();
            let dpc = Dpc::new(move || in_dpc.add("DPC"));
            dpc.importance(ntsim::types::_KDPC_IMPORTANCE::LowImportance).insert();
            log.add("inserted");
            let before = raise_to_dpc_level();
            lower(before);
            free(dpc.dpc);
        };
        vec![(0, program(insert))]
    });
    assert!(explored.complete && explored.runs == 2, "{explored:?}");
    let lines = |list: &[&str]| list.iter().map(|line| String::from(*line)).collect::<Vec<_>>();
    assert_eq!(outcomes, [lines(&["DPC", "inserted"]), lines(&["inserted", "DPC"])].into());
}

#[test]
fn timers_are_not_pruned_away() {
    let outcomes = |prune| {
        exploring(2, limits(Some(1), prune), |log| {
            let (one, other) = (Rc::new(AtomicUsize::new(0)), log.clone());
            let (value, in_dpc) = (Rc::clone(&one), Rc::clone(&one));
            let timed = move || {
                let dpc = Dpc::new(move || other.add(format!("{}", in_dpc.load(SeqCst))));
                let timer = Timer::new();
                timer.set(-1, Some(dpc));
                ntsim::advance_time(TICK);
                while !timer.signalled() {
                    ntsim::advance_time(TICK);
                }
                timer.free();
                free(dpc.dpc);
            };
            let count = move || {
                value.fetch_add(1, SeqCst);
                value.fetch_add(1, SeqCst);
            };
            vec![(0, program(timed)), (1, program(count))]
        })
    };
    let (all, expected) = outcomes(false);
    let (pruned, reached) = outcomes(true);
    assert!(all.complete && pruned.complete);
    assert_eq!(expected.len(), 3);
    assert_eq!(expected, reached);
}

#[test]
fn a_program_that_depends_on_something_else_is_found_out() {
    let runs = RefCell::new(0);
    let explored = explore(processors(2), Limits::default(), |kernel| {
        *runs.borrow_mut() += 1;
        let more = *runs.borrow() % 2;
        let log = Log::default();
        kernel.programs().on(0, points(&log, "a", 1 + more)).on(1, points(&log, "b", 1)).run()
    });
    let stop = explored.finding.unwrap().stop;
    assert!(matches!(stop, Stop::Failure { oracle: "replay", .. }), "{stop}");
    let explored = explore(processors(1), Limits::default(), |kernel| {
        kernel.reset(processors(1), Schedule::round_robin());
        Ok(())
    });
    let stop = explored.finding.unwrap().stop;
    assert_eq!(
        stop.to_string(),
        "replay: the program has reset the simulation, which explore does before each run"
    );
}

#[test]
fn limits_make_an_exploration_incomplete() {
    let two = |log: &Log| vec![(0, points(log, "a", 3)), (1, points(log, "b", 3))];
    let (explored, _) = exploring(2, Limits { runs: 7, ..limits(None, false) }, two);
    assert!(!explored.complete && explored.runs == 7 && explored.finding.is_none());
    let (explored, _) = exploring(2, Limits { decisions: 3, ..limits(None, false) }, two);
    assert!(!explored.complete && explored.runs == 8, "{explored:?}");
}

#[test]
fn programs_that_wait_for_each_other_end() {
    let waiting = |_: &Log| {
        let arrived = Rc::new(AtomicUsize::new(0));
        let meet = |processor| {
            let arrived = Rc::clone(&arrived);
            let meet = move || {
                arrived.fetch_add(1, SeqCst);
                while arrived.load(SeqCst) < 2 {}
            };
            (processor, program(meet))
        };
        vec![meet(0), meet(1)]
    };
    let (explored, _) = exploring(2, Limits { decisions: 30, ..Limits::default() }, waiting);
    assert!(explored.finding.is_none() && !explored.complete && explored.runs > 10, "{explored:?}");
}

#[test]
fn a_loop_that_waits_at_preemption_points_ends_by_fairness() {
    // The last processor to come finds the lost update of the others, once all have met.
    let waiting = |lost: bool| {
        move |_: &Log| {
            let (ready, counter) = (Rc::new(AtomicUsize::new(0)), Rc::new(AtomicUsize::new(0)));
            let add = |processor| {
                let (ready, counter) = (Rc::clone(&ready), Rc::clone(&counter));
                let add = move || {
                    if processor == 1 {
                        ready.store(1, SeqCst);
                    } else {
                        while ready.load(SeqCst) == 0 {}
                    }
                    if lost {
                        counter.store(counter.load(SeqCst) + 1, SeqCst);
                    } else {
                        counter.fetch_add(1, SeqCst);
                    }
                    if ready.fetch_add(1, SeqCst) == 2 && counter.load(SeqCst) != 2 {
                        ntsim::fail("counter", "an update was lost".into());
                    }
                };
                (processor, program(add))
            };
            vec![add(0), add(1)]
        }
    };
    let limits = |fairness| Limits { fairness, runs: 1_000, ..Limits::default() };
    let (fair, _) = exploring(2, limits(10), waiting(false));
    assert!(fair.runs < 1_000 && fair.finding.is_none() && !fair.complete, "{fair:?}");
    let (again, _) = exploring(2, limits(10), waiting(false));
    assert_eq!((fair.runs, fair.redundant), (again.runs, again.redundant));
    let (found, _) = exploring(2, limits(10), waiting(true));
    let finding = found.finding.unwrap();
    let mut kernel = Simulation::new(processors(2), Schedule::replay(finding.recording.clone()));
    assert_eq!(kernel.run(waiting(true)(&Log::default())).unwrap_err(), finding.stop);
    drop(kernel);
    let unfair = Limits { decisions: 400, runs: 1_000, ..limits(usize::MAX) };
    let (unfair, _) = exploring(2, unfair, waiting(false));
    assert_eq!(unfair.runs, 1_000, "{unfair:?}");
}
