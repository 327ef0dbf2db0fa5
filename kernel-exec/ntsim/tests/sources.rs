//! Properties of every source of decisions. It gives the same run each time, a recording that
//! replays it, and fairness in the end.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use std::rc::Rc;

use common::*;
use ntsim::{
    Config, Program, Recording, Schedule, Simulation, Stop,
    sync::{AtomicUsize, Ordering::SeqCst, UnsafeCell},
};

type Programs = fn() -> Vec<(usize, Program)>;

/// Creates programs with a DPC on another processor, a timer, a lock, and counters.
fn everything() -> Vec<(usize, Program)> {
    let shared = Rc::new(AtomicUsize::new(0));
    let (first, second) = (Rc::clone(&shared), Rc::clone(&shared));
    let busy = move || {
        let counter = Rc::clone(&first);
        let dpc = Dpc::new(move || _ = counter.fetch_add(1, SeqCst)).target(2);
        let (timer, lock) = (Timer::new(), Lock::new());
        dpc.insert();
        let before = lock.acquire();
        first.store(first.load(SeqCst) + 1, SeqCst);
        lock.release(before);
        timer.set(-100, None);
        ntsim::advance_time(TICK);
        timer.free();
        lock.free();
    };
    let other = move || {
        second.store(second.load(SeqCst) + 1, SeqCst);
        let before = raise_to_dpc_level();
        free(allocate(100));
        lower(before);
    };
    vec![(0, program(busy)), (1, program(other))]
}

/// Creates three programs that compete for a lock, which is on none of their stacks.
fn contended() -> Vec<(usize, Program)> {
    let lock = Rc::new(UnsafeCell::new(None::<Lock>));
    let ready = Rc::new(AtomicUsize::new(0));
    let compete = |processor| {
        let (lock, ready) = (Rc::clone(&lock), Rc::clone(&ready));
        let compete = move || {
            if processor == 0 {
                let made = Lock::new();
                // SAFETY: no other program accesses the lock before `ready`.
                lock.with_mut(|lock| unsafe { *lock = Some(made) });
                ready.store(1, SeqCst);
            }
            while ready.load(SeqCst) == 0 {}
            // SAFETY: no program writes to the cell any more.
            let lock = lock.with(|lock| unsafe { *lock }).unwrap();
            for _ in 0..4 {
                let before = lock.acquire();
                ready.fetch_add(1, SeqCst);
                lock.release(before);
            }
        };
        (processor, program(compete))
    };
    (0..3).map(compete).collect()
}

/// Creates programs with DPCs of low importance that queue each other, which makes choices.
fn choices() -> Vec<(usize, Program)> {
    let choose = |processor: usize| {
        let choose = move || {
            let count = Rc::new(AtomicUsize::new(0));
            let counted = Rc::clone(&count);
            let dpc = Dpc::new(move || _ = counted.fetch_add(1, SeqCst))
                .importance(ntsim::types::_KDPC_IMPORTANCE::LowImportance)
                .target(2 - processor as u8);
            for _ in 0..5 {
                dpc.insert();
                ntsim::preemption_point();
            }
            // The DPC may still be in the queue of an idle processor. The run continues until it is
            // not.
            ntsim::note(|| format!("{} runs so far", count.load(SeqCst)));
        };
        (processor, program(choose))
    };
    vec![choose(0), choose(2)]
}

/// Creates programs that are each the only one that can run for a time. One waits for the other's
/// lock, then the other is idle.
fn alone_in_turn() -> Vec<(usize, Program)> {
    let lock = Rc::new(UnsafeCell::new(None::<Lock>));
    let ready = Rc::new(AtomicUsize::new(0));
    let (held, published) = (Rc::clone(&lock), Rc::clone(&ready));
    let hold = move || {
        let lock = Lock::new();
        // SAFETY: no other program accesses the lock before `ready`.
        held.with_mut(|held| unsafe { *held = Some(lock) });
        let before = lock.acquire();
        published.store(1, SeqCst);
        (0..10).for_each(|_| ntsim::preemption_point());
        lock.release(before);
    };
    let wait = move || {
        while ready.load(SeqCst) == 0 {}
        // SAFETY: no program writes to the cell any more.
        let lock = lock.with(|lock| unsafe { *lock }).unwrap();
        let before = lock.acquire();
        lock.release(before);
        let dpc = Dpc::new(ntsim::preemption_point).target(1);
        dpc.insert();
        (0..5).for_each(|_| ntsim::preemption_point());
    };
    vec![(0, program(wait)), (1, program(hold))]
}

const PROGRAMS: [(&str, Programs); 4] = [
    ("everything", everything),
    ("contended", contended),
    ("choices", choices),
    ("alone in turn", alone_in_turn),
];

/// Returns every source. The functions create a new schedule each time.
fn sources() -> Vec<(String, Box<dyn Fn() -> Schedule>)> {
    let mut sources: Vec<(String, Box<dyn Fn() -> Schedule>)> =
        vec![("round robin".into(), Box::new(Schedule::round_robin))];
    for seed in 0..15_u64 {
        sources.push((format!("seed {seed}"), Box::new(move || Schedule::seed(seed))));
        let bytes: Vec<u8> = (0..seed * 9)
            .map(|n| (n.wrapping_mul(seed + 0x9E37).wrapping_mul(2_654_435_761) >> 11) as u8)
            .collect();
        sources.push((format!("bytes {bytes:?}"), Box::new(move || Schedule::bytes(bytes.clone()))));
        let depth = 1 + seed as u32 % 4;
        sources.push((format!("pct {seed} {depth}"), Box::new(move || Schedule::pct(seed, depth, 60))));
    }
    sources
}

struct Ran {
    outcome: Result<(), Stop>,
    text: String,
    lines: Vec<u8>,
    recording: Recording,
}

fn run(programs: Programs, schedule: Schedule) -> Ran {
    let mut kernel = Simulation::new(processors(3), schedule);
    let outcome = kernel.run(programs());
    let mut lines = Vec::new();
    kernel.trace().write_json_lines(&mut lines).unwrap();
    Ran { outcome, text: kernel.trace().to_string(), lines, recording: kernel.recording() }
}

#[test]
fn the_same_program_and_schedule_make_the_same_trace_to_the_byte() {
    for (name, programs) in PROGRAMS {
        let mut texts = std::collections::BTreeSet::new();
        for (source, make) in sources() {
            let (first, second) = (run(programs, make()), run(programs, make()));
            assert_eq!(first.text, second.text, "{name}, {source}");
            assert_eq!(first.lines, second.lines, "{name}, {source}");
            assert_eq!(first.recording, second.recording, "{name}, {source}");
            assert_eq!(first.outcome, second.outcome, "{name}, {source}");
            assert!(first.text.lines().count() > 20, "{name}, {source}");
            texts.insert(first.text);
        }
        assert!(texts.len() > 15, "{name}: only {} runs differ", texts.len());
    }
}

#[test]
fn the_recording_of_every_source_replays_to_the_byte() {
    for (name, programs) in PROGRAMS {
        for (source, make) in sources() {
            let first = run(programs, make());
            let recording: Recording = first.recording.to_text().parse().unwrap();
            let again = run(programs, Schedule::replay(recording));
            assert_eq!(first.text, again.text, "{name}, {source}");
            assert_eq!(first.outcome, again.outcome, "{name}, {source}");
            assert_eq!(first.recording, again.recording, "{name}, {source}");
        }
    }
}

#[test]
fn a_schedule_that_is_asked_at_every_point_has_a_short_recording() {
    let ran = run(everything, Schedule::pct(7, 3, 1000));
    assert!(ran.recording.decisions().len() < 20, "{}", ran.recording);
}

/// Lets four processors meet. Each one that has arrived spins until all have.
fn meet(kernel: &mut Simulation, schedule: Schedule, step_limit: u64) -> Result<(), Stop> {
    kernel.reset(Config { processors: 4, step_limit, ..Config::default() }, schedule);
    let arrived = Rc::new(AtomicUsize::new(0));
    let meet = |processor| {
        let arrived = Rc::clone(&arrived);
        let meet = move || {
            for round in 1..=10 {
                arrived.fetch_add(1, SeqCst);
                while arrived.load(SeqCst) < 4 * round {}
            }
        };
        (processor, program(meet))
    };
    kernel.run((0..4).map(meet).collect())
}

#[test]
fn every_source_is_fair_in_the_end() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let mut meet = |schedule, step_limit| meet(&mut kernel, schedule, step_limit);
    // At each of ten meetings three processors wait for the last one.
    meet(Schedule::round_robin(), 10 * 4 * 17).unwrap();
    for seed in 0..200 {
        meet(Schedule::seed(seed), 50_000).unwrap();
        for (depth, expected) in [(1, 100), (3, 1000), (8, 5000)] {
            meet(Schedule::pct(seed, depth, expected), expected + 10 * 4 * 17).unwrap();
        }
    }
    // The worst bytes choose one processor, again and again.
    for byte in [0x00, 0x1F, 0x7F, 0xE0] {
        for length in [0, 1, 100, 1000] {
            meet(Schedule::bytes(vec![byte; length]), 32 * length as u64 + 10 * 4 * 17).unwrap();
        }
    }
}

#[test]
fn pct_starves_the_low_priorities_until_the_expected_points_are_over() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let stop = meet(&mut kernel, Schedule::pct(1, 1, 1_000_000), 20_000).unwrap_err();
    assert!(matches!(stop, Stop::StepLimit { .. }), "{stop}");
}

#[test]
fn a_seed_starves_no_processor_for_long() {
    for seed in 0..20 {
        let mut kernel = Simulation::new(Config { processors: 4, ..Config::default() }, Schedule::seed(seed));
        let spin = |processor| {
            let spin = || (0..2000).for_each(|_| ntsim::preemption_point());
            (processor, program(spin))
        };
        kernel.run((0..4).map(spin).collect()).unwrap();
        let recording = kernel.recording();
        let mut last = [0; 4];
        // These are the decisions while all four can run.
        for (now, decision) in recording.decisions().iter().enumerate().take(400) {
            let ntsim::Decision::Run { processor, .. } = decision else { continue };
            last[usize::from(*processor)] = now;
            assert!(last.iter().all(|last| now - last < 60), "seed {seed}, decision {now}");
        }
    }
}

/// Runs a bug of depth 2, in which the reader is between the two writes.
fn ordering(kernel: &mut Simulation, schedule: Schedule) -> bool {
    kernel.reset(Config { processors: 2, ..Config::default() }, schedule);
    let both = Rc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let (written, read) = (Rc::clone(&both), both);
    let found = Rc::new(core::cell::Cell::new(false));
    let see = Rc::clone(&found);
    let write = move || {
        (0..20).for_each(|_| ntsim::preemption_point());
        written[0].store(1, SeqCst);
        written[1].store(1, SeqCst);
        (0..20).for_each(|_| ntsim::preemption_point());
    };
    let read = move || {
        // From the second value on, the first one is there if they were written together.
        let second = read[0].load(SeqCst);
        see.set(second == 1 && read[1].load(SeqCst) == 0);
    };
    kernel.programs().on(0, write).on(1, read).run().unwrap();
    found.get()
}

#[test]
fn pct_finds_a_bug_as_often_as_its_guarantee_says() {
    let (runs, points) = (4000_u32, 50);
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let mut finds = |seed, depth| ordering(&mut kernel, Schedule::pct(seed, depth, points));
    let found = (0..runs.into()).filter(|seed| finds(*seed, 2)).count();
    // The least chance is 1 / (2 processors * 50 points). The seeds are fixed, so the result does
    // not depend on luck.
    assert!(found as u64 * 2 * points >= u64::from(runs), "{found} of {runs}");
    assert!((0..runs.into()).all(|seed| !finds(seed, 1)), "depth 1 cannot");
}
