//! The same input gives the same run: traces, recordings, replays.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use std::rc::Rc;

use common::*;
use ntsim::{
    Config, Recording, Schedule, Simulation, Stop,
    sync::{AtomicUsize, Ordering},
};

/// Runs programs that use every feature. Whether the run ends well depends on the schedule.
fn everything(schedule: Schedule) -> (Result<(), Stop>, String, Recording) {
    let mut kernel = Simulation::new(processors(3), schedule);
    let shared = Rc::new(AtomicUsize::new(0));
    let (first, second) = (Rc::clone(&shared), Rc::clone(&shared));
    let programs = vec![
        (
            0,
            program(move || {
                let counter = Rc::clone(&first);
                let dpc = Dpc::new(move || _ = counter.fetch_add(1, Ordering::SeqCst)).target(2);
                let (timer, lock) = (Timer::new(), Lock::new());
                dpc.insert();
                let before = lock.acquire();
                first.store(first.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
                lock.release(before);
                timer.set(-100, None);
                ntsim::advance_time(TICK);
                ntsim::note(|| format!("counted {}", first.load(Ordering::SeqCst)));
                timer.free();
                lock.free();
            }),
        ),
        (
            1,
            program(move || {
                second.store(second.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
                let before = raise_to_dpc_level();
                free(allocate(100));
                lower(before);
            }),
        ),
    ];
    let outcome = kernel.run(programs);
    let unloaded = outcome.and_then(|()| kernel.unload());
    (unloaded, kernel.trace().to_string(), kernel.recording())
}

#[test]
fn the_same_seed_makes_the_same_trace() {
    for seed in 0..30 {
        let (first, second) = (everything(Schedule::seed(seed)), everything(Schedule::seed(seed)));
        assert_eq!(first.1, second.1);
        assert_eq!(first.2, second.2);
    }
    assert_ne!(everything(Schedule::seed(0)).1, everything(Schedule::seed(1)).1);
}

#[test]
fn the_trace_is_the_same_in_every_process() {
    const CHILD: &str = "NTSIM_TEST_TRACE";
    if std::env::var_os(CHILD).is_some() {
        print!("{}", everything(Schedule::seed(11)).1);
        return;
    }
    let said = || {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_trace_is_the_same_in_every_process", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8(child.stdout).unwrap();
        said.lines().filter(|line| line.contains(" irql ")).map(String::from).collect::<Vec<_>>()
    };
    let first = said();
    assert!(first.len() > 20);
    assert_eq!(first, said());
}

#[test]
fn the_trace_names_objects_not_addresses() {
    let (_, text, _) = everything(Schedule::seed(3));
    for needle in [
        "KeInsertQueueDpc(block0, null, null) = TRUE",
        "block1: 64 bytes, tag 'Test'",
        "object",
        "note: counted",
    ] {
        assert!(text.contains(needle), "{needle} is not in\n{text}");
    }
    assert!(!text.contains("0x7f") && !text.contains("0x55"), "{text}");
}

#[test]
fn a_replayed_recording_makes_the_same_trace() {
    for seed in 0..30 {
        let (_, trace, recording) = everything(Schedule::seed(seed));
        let text = recording.to_text();
        let (_, replayed, again) = everything(Schedule::replay(text.parse().unwrap()));
        assert_eq!(trace, replayed);
        assert_eq!(recording, again);
    }
}

#[test]
fn a_recording_that_does_not_fit_says_at_which_decision() {
    let (_, _, recording) = everything(Schedule::seed(1));
    let decisions = recording.decisions();
    let cut = Recording::new(decisions[..3].to_vec());
    let stop = everything(Schedule::replay(cut)).0.unwrap_err();
    let Stop::Failure { oracle: "replay", message, .. } = stop else { panic!("{stop}") };
    assert!(message.starts_with("decision 3: ") && message.ends_with("the recording has ended"), "{message}");
    let wrong = Recording::parse("ntsim recording 1\nr63:1").unwrap();
    let stop = everything(Schedule::replay(wrong)).0.unwrap_err();
    assert!(stop.to_string().contains("decision 0: processor 63 is not runnable"), "{stop}");
}

#[test]
fn bytes_choose_the_processor_and_are_not_used_while_one_runs_alone() {
    let order = |bytes: Vec<u8>| {
        let mut kernel = Simulation::new(processors(2), Schedule::bytes(bytes));
        let log = Log::default();
        let two_steps = |name: &'static str| {
            let log = log.clone();
            program(move || {
                for _ in 0..2 {
                    ntsim::preemption_point();
                    log.add(name);
                }
            })
        };
        let programs = vec![(0, two_steps("a")), (1, two_steps("b"))];
        kernel.run(programs).unwrap();
        (log.lines().concat(), kernel.recording().decisions().len())
    };
    assert_eq!(order(vec![0x1F]), ("aabb".into(), 1));
    assert_eq!(order(vec![0x20 | 0x1F]), ("bbaa".into(), 1));
    assert_eq!(order(vec![0x01, 0x21, 0x00]).0, "abab");
}

#[test]
fn every_processor_gets_its_turn() {
    let schedules = [Schedule::round_robin(), Schedule::seed(9), Schedule::bytes(vec![0; 100])];
    for schedule in schedules {
        let mut kernel = Simulation::new(processors(4), schedule);
        let arrived = Rc::new(AtomicUsize::new(0));
        let meet = |processor| {
            let arrived = Rc::clone(&arrived);
            let wait = move || {
                arrived.fetch_add(1, Ordering::SeqCst);
                while arrived.load(Ordering::SeqCst) < 4 {}
            };
            (processor, program(wait))
        };
        kernel.run((0..4).map(meet).collect()).unwrap();
    }
}

#[test]
fn without_tracing_nothing_is_collected_and_notes_are_not_made() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let quiet = || {
        ntsim::note(|| panic!("evaluated"));
        ntsim::preemption_point();
    };
    kernel.run_on(0, quiet).unwrap();
    assert!(kernel.trace().events().is_empty());
    assert_eq!(kernel.trace().to_string(), "");
}

#[test]
fn sixty_four_processors() {
    let mut kernel = Simulation::new(processors(64), Schedule::seed(1));
    let sum = Rc::new(AtomicUsize::new(0));
    let add = |processor| {
        let sum = Rc::clone(&sum);
        (processor, program(move || _ = sum.fetch_add(processor_number() as usize, Ordering::SeqCst)))
    };
    kernel.run((0..64).map(add).collect()).unwrap();
    assert_eq!(sum.load(Ordering::SeqCst), 63 * 32);
}

/// Runs two processors, each of which calls `f` `count` times.
fn twice(schedule: Schedule, count: usize, f: impl Fn() + Clone + 'static) -> (Result<(), Stop>, Recording) {
    let mut kernel = Simulation::new(processors(2), schedule);
    let each = || {
        let f = f.clone();
        program(move || (0..count).for_each(|_| f()))
    };
    let outcome = kernel.programs().on(0, each()).on(1, each()).run();
    (outcome, kernel.recording())
}

fn irql() {
    // SAFETY: this runs inside a simulation run.
    let _ = unsafe { ntsim::ddi::KeGetCurrentIrql() };
}

fn processor_count() {
    // SAFETY: this runs inside a simulation run.
    let _ = unsafe { ntsim::ddi::KeQueryActiveProcessorCountEx(0) };
}

fn misfit(outcome: Result<(), Stop>) -> String {
    match outcome.unwrap_err() {
        Stop::Failure { oracle: "replay", message, .. } => message,
        other => panic!("{other}"),
    }
}

#[test]
fn decisions_that_are_left_over_are_a_misfit() {
    // Both processors stop at every point, so there is a decision for each.
    let (outcome, recording) = twice(Schedule::bytes(vec![0x20, 0, 0x20, 0, 0x20, 0, 0x20, 0]), 6, irql);
    outcome.unwrap();
    assert!(recording.decisions().len() > 8, "{recording}");
    let replay = |count| twice(Schedule::replay(recording.to_text().parse().unwrap()), count, irql).0;
    replay(6).unwrap();
    let message = misfit(replay(0));
    assert!(message.contains("are left over") || message.contains("something else"), "{message}");
    // No processor has done anything else yet if only one has a program. The error is the number of
    // decisions that are left.
    let mut kernel = Simulation::new(processors(2), Schedule::replay(recording));
    let message = misfit(kernel.run_on(0, || ()));
    assert!(message.starts_with("decision 0: the run has ended, and"), "{message}");
}

#[test]
fn decisions_that_are_left_over_of_a_recording_without_ends_are_noticed_at_unload() {
    let (_, recording) = twice(Schedule::seed(2), 6, irql);
    let bare = Recording::new(recording.decisions().to_vec());
    let mut kernel = Simulation::new(processors(2), Schedule::replay(bare));
    kernel.run_on(0, || ()).unwrap();
    assert!(misfit(kernel.unload()).contains("are left over"));
}

#[test]
fn another_event_than_the_recorded_one_is_a_misfit() {
    for seed in 0..20 {
        let (outcome, recording) = twice(Schedule::seed(seed), 6, irql);
        outcome.unwrap();
        twice(Schedule::replay(recording.clone()), 6, irql).0.unwrap();
        let message = misfit(twice(Schedule::replay(recording.clone()), 6, processor_count).0);
        assert!(message.contains("the program has done something else"), "{message}");
        let atomic = || _ = AtomicUsize::new(0).load(Ordering::SeqCst);
        let message = misfit(twice(Schedule::replay(recording), 6, atomic).0);
        assert!(message.contains(": at step "), "{message}");
    }
}

/// Two processors, each of which has two blocks of pool with two atomics each, uses all of them,
/// and then one of them several times; `f` says which, of the four and of two statics.
fn atomics(
    schedule: Schedule,
    f: fn(&[&AtomicUsize; 4], &[&AtomicUsize; 2]),
) -> (Result<(), Stop>, Recording) {
    static STATICS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let mut kernel = Simulation::new(processors(2), schedule);
    let each = || {
        program(move || {
            let blocks = [0, 1].map(|_| object::<[AtomicUsize; 2]>());
            // SAFETY: both blocks are zeroed, as large as that, and live until the end.
            let [[a, b], [c, d]] = blocks.map(|block| unsafe { &*block });
            let [e, f_] = &STATICS;
            for atomic in [a, b, c, d, e, f_] {
                atomic.store(1, Ordering::SeqCst);
            }
            (0..6).for_each(|_| f(&[a, b, c, d], &[e, f_]));
            blocks.into_iter().for_each(free);
        })
    };
    let outcome = kernel.run(vec![(0, each()), (1, each())]);
    (outcome, kernel.recording())
}

#[test]
fn another_atomic_than_the_recorded_one_is_a_misfit() {
    type Pick = fn(&[&AtomicUsize; 4], &[&AtomicUsize; 2]);
    let picks: [Pick; 5] = [
        |pool, _| _ = pool[0].load(Ordering::SeqCst),
        |pool, _| _ = pool[1].load(Ordering::SeqCst),
        |pool, _| _ = pool[2].load(Ordering::SeqCst),
        |_, statics| _ = statics[0].load(Ordering::SeqCst),
        |_, statics| _ = statics[1].load(Ordering::SeqCst),
    ];
    for seed in 0..10 {
        for (number, recorded) in picks.iter().enumerate() {
            let (outcome, recording) = atomics(Schedule::seed(seed), *recorded);
            outcome.unwrap();
            for (other, pick) in picks.iter().enumerate() {
                let text = recording.to_text();
                let (outcome, again) = atomics(Schedule::replay(text.parse().unwrap()), *pick);
                if other == number {
                    outcome.unwrap();
                    assert_eq!(again.to_text(), text);
                } else {
                    let message = misfit(outcome);
                    assert!(message.contains("the program has done something else"), "{message}");
                }
            }
        }
    }
}

/// It does not say which atomics were used, and is replayed still.
#[test]
fn a_recording_of_version_2_is_replayed() {
    const TEXT: &str = "ntsim recording 2\n\
        r0:7/1 a0:0/c2858d37 r0:2/26c529b1 a0:3/50b560cd a0:16/a93d7b79 e/84fc271b\n";
    let first: fn(&[&AtomicUsize; 4], &[&AtomicUsize; 2]) = |pool, _| _ = pool[0].load(Ordering::SeqCst);
    let replay = |text: &str, pick| atomics(Schedule::replay(text.parse().unwrap()), pick).0;
    replay(TEXT, first).unwrap();
    replay(TEXT, |pool, _| _ = pool[2].load(Ordering::SeqCst)).unwrap();
    misfit(replay(TEXT, |_, _| irql()));
    assert_eq!(TEXT.parse::<Recording>().unwrap().to_text(), TEXT);
}
