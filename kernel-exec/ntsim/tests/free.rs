//! Free runs, with an OS thread of the host for each processor. The assertions of these tests hold
//! whatever the host does.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{cell::Cell, sync::atomic};
use std::sync::Arc;

use common::{io::*, waiting::*, *};
use ntsim::{
    Config, FreeProgram, Schedule, Simulation, Stop,
    sync::{AtomicU32, Ordering::*},
};

fn on(processor: usize, f: impl FnOnce() + Send + 'static) -> (usize, FreeProgram) {
    (processor, Box::new(f))
}

fn kernel(count: usize) -> Simulation {
    Simulation::new(Config { processors: count, ..Config::default() }, Schedule::seed(1))
}

/// Runs programs freely, which must succeed, and unloads.
fn freely(count: usize, programs: Vec<(usize, FreeProgram)>) {
    let mut kernel = kernel(count);
    let run = kernel.run_freely(programs);
    run.and_then(|()| kernel.unload()).unwrap_or_else(|stop| panic!("{stop}"));
}

/// Addresses in the simulated machine that a program may take to another thread, although their
/// types are not `Send`.
struct Sent<T>(T);

// SAFETY: the objects belong to the simulated kernel and are meant for several processors.
unsafe impl<T> Send for Sent<T> {}
// SAFETY: the objects belong to the simulated kernel and are meant for several processors.
unsafe impl<T> Sync for Sent<T> {}

#[test]
fn processors_really_run_at_once() {
    // Each processor waits for the other without any call that would let the other continue.
    let meet = Arc::new([atomic::AtomicBool::new(false), atomic::AtomicBool::new(false)]);
    let side = |me: usize| {
        let meet = Arc::clone(&meet);
        on(me, move || {
            meet[me].store(true, SeqCst);
            while !meet[1 - me].load(SeqCst) {
                core::hint::spin_loop();
            }
            assert_eq!(ntsim::current_processor(), me);
        })
    };
    freely(2, vec![side(0), side(1)]);
}

#[test]
fn a_dpc_interrupts_a_thread_that_spins_on_an_atomic() {
    let ran = Arc::new(AtomicU32::new(0));
    let (spins, inserts) = (Arc::clone(&ran), ran);
    freely(
        2,
        vec![
            on(0, move || while spins.load(SeqCst) == 0 {}),
            on(1, move || {
                let count = Arc::clone(&inserts);
                let dpc = Dpc::new(move || {
                    assert_eq!((ntsim::irql(), ntsim::current_processor(), ntsim::in_dpc()), (2, 0, true));
                    count.fetch_add(1, SeqCst);
                });
                let dpc = dpc.target(0);
                dpc.insert();
                flush_dpcs();
                assert_eq!(inserts.load(SeqCst), 1);
                dpc.free();
            }),
        ],
    );
}

#[test]
fn a_lock_excludes() {
    let lock = Arc::new(Sent(Cell::new(0_u64)));
    let inside = Arc::new(atomic::AtomicU32::new(0));
    let total = Arc::new(Sent(Cell::new(0_u32)));
    let program = |processor| {
        let (lock, inside, total) = (Arc::clone(&lock), Arc::clone(&inside), Arc::clone(&total));
        on(processor, move || {
            let (lock, total) = (&lock, &total);
            for _ in 0..300 {
                // SAFETY: zero is a free spin lock, and the lock lives as long as the programs.
                let before = unsafe { ntsim::ddi::KeAcquireSpinLockRaiseToDpc(lock.0.as_ptr()) };
                assert_eq!(inside.fetch_add(1, Relaxed), 0);
                total.0.set(total.0.get() + 1);
                inside.fetch_sub(1, Relaxed);
                // SAFETY: this processor has acquired the lock.
                unsafe { ntsim::ddi::KeReleaseSpinLock(lock.0.as_ptr(), before) };
            }
        })
    };
    let mut kernel = kernel(4);
    kernel.run_freely((0..4).map(program).collect()).unwrap();
    kernel.unload().unwrap();
    assert_eq!(total.0.get(), 1_200);
}

#[test]
fn threads_wait_and_timers_expire() {
    freely(
        2,
        vec![on(0, || {
            let (event, done) = (Sent(Event::synchronization()), Sent(Event::notification()));
            let waiter = Thread::spawn(move || {
                for _ in 0..10 {
                    assert_eq!(wait(&event.0, None), 0);
                }
                done.0.set();
            });
            for _ in 0..10 {
                delay(-100_000);
                event.0.set();
                delay(-100_000);
            }
            waiter.join();
            assert_eq!(done.0.state(), 1);
            event.0.free();
            done.0.free();
        })],
    );
}

#[test]
fn work_items_run_at_passive_level() {
    freely(
        3,
        vec![on(1, || {
            let device = Device::new();
            let item = WorkItem::in_block(device);
            let done = Event::notification();
            item.queue(move |_| {
                assert_eq!(ntsim::irql(), 0);
                done.set();
            });
            assert_eq!(wait(&done, None), 0);
            delay(-1);
            item.uninitialize();
            item.free_block();
            done.free();
            device.delete();
        })],
    );
}

#[test]
fn a_broken_rule_ends_the_run_for_everybody() {
    let spins = Arc::new(AtomicU32::new(0));
    let mut kernel = kernel(3);
    let stop = kernel.run_freely(vec![
        on(0, move || while spins.load(SeqCst) == 0 {}),
        on(1, || _ = delay(-1)),
        on(2, || {
            raise_to_dpc_level();
            flush_dpcs();
        }),
    ]);
    match stop {
        Err(Stop::BugCheck(bug)) => assert_eq!((bug.code, bug.parameters[0]), (0xC4, 0xE5)),
        other => panic!("{other:?}"),
    }
    kernel.reset(Config::default(), Schedule::round_robin());
    kernel.run_on(0, || _ = delay(-1)).unwrap();
    kernel.unload().unwrap();
}

#[test]
fn a_thread_that_waits_for_ever_is_found() {
    let mut free = kernel(2);
    let stop = free.run_freely(vec![on(0, || {
        let event = Event::notification();
        wait(&event, None);
    })]);
    assert!(matches!(stop, Err(Stop::Deadlock { waits }) if waits.len() == 1));
    drop(free);
    let mut free = kernel(2);
    let stop = free.run_freely(vec![
        on(0, || {
            let lock = Lock::new();
            lock.acquire();
            lock.acquire_at_dpc_level();
        }),
        on(1, || ()),
    ]);
    assert!(matches!(stop, Err(Stop::BugCheck(bug)) if (bug.code, bug.parameters[0]) == (0xC4, 0x1000)));
}

#[test]
fn two_that_wait_for_each_others_locks_are_found() {
    let locks = Arc::new(Sent([Cell::new(0_u64), Cell::new(0_u64)]));
    let ready = Arc::new(atomic::AtomicU32::new(0));
    let side = |me: usize| {
        let (locks, ready) = (Arc::clone(&locks), Arc::clone(&ready));
        on(me, move || {
            let locks = &locks.0;
            // SAFETY: zero is a free spin lock, and the locks live as long as the programs.
            unsafe { ntsim::ddi::KeAcquireSpinLockRaiseToDpc(locks[me].as_ptr()) };
            ready.fetch_add(1, SeqCst);
            while ready.load(SeqCst) != 2 {
                core::hint::spin_loop();
            }
            // SAFETY: zero is a free spin lock, and the locks live as long as the programs; IRQL is
            // DISPATCH_LEVEL.
            unsafe { ntsim::ddi::KeAcquireSpinLockAtDpcLevel(locks[1 - me].as_ptr()) };
        })
    };
    let stop = kernel(2).run_freely(vec![side(0), side(1)]);
    assert!(matches!(stop, Err(Stop::Deadlock { .. })), "{stop:?}");
}

#[test]
fn it_waits_for_timers_anew_whatever_an_earlier_run_has_waited() {
    let config = Config { linger: 20 * TICK, ..Config::default() };
    let mut free = Simulation::new(config, Schedule::seed(1));
    free.run_on(0, || _ = Timer::new().set(-1_000 * TICK as i64, None)).unwrap();
    let ran = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&ran);
    free.run_freely(vec![on(0, move || {
        delay(-100 * TICK as i64);
        let dpc = Dpc::new(move || _ = counted.fetch_add(1, SeqCst));
        Timer::new().set(-10 * TICK as i64, Some(dpc));
    })])
    .unwrap();
    assert_eq!(ran.load(SeqCst), 1);
}

/// Catches a panic. Panics are caught one after the other, because the standard library writes a
/// backtrace under a lock that ThreadSanitizer does not see.
fn caught<T>(f: impl FnOnce() -> T) -> std::thread::Result<T> {
    static PANICS: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let _one_at_a_time = PANICS.lock();
    std::panic::catch_unwind(core::panic::AssertUnwindSafe(f))
}

#[test]
fn a_panic_is_passed_on() {
    let mut free = kernel(2);
    let programs = vec![on(0, || _ = delay(-10)), on(1, || panic!("on purpose"))];
    let caught = caught(|| free.run_freely(programs));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"on purpose"));
}

#[test]
fn a_thread_that_spins_for_ever_meets_the_step_limit() {
    let never = Arc::new(AtomicU32::new(0));
    let config = Config { processors: 2, step_limit: 50, ..Config::default() };
    let mut free = Simulation::new(config, Schedule::seed(1));
    let stop = free.run_freely(vec![on(0, move || while never.load(SeqCst) == 0 {})]);
    assert!(matches!(stop, Err(Stop::StepLimit { .. })), "{stop:?}");
}

#[test]
fn it_comes_after_a_run_that_has_left_no_thread_waiting() {
    let mut free = kernel(2);
    free.programs().on(0, || Thread::spawn(|| ()).join()).on(1, || ()).run().unwrap();
    free.run_freely(vec![on(0, || _ = delay(-1)), on(1, || _ = delay(-1))]).unwrap();
    free.unload().unwrap();
    drop(free);
    let mut free = kernel(1);
    let waits = || {
        let event = Event::notification();
        Thread::spawn(move || _ = wait(&event, None));
    };
    free.run_on(0, waits).unwrap();
    let refused = caught(|| free.run_freely(vec![]));
    assert!(refused.is_err());
}

#[test]
fn only_an_unload_comes_after_it() {
    let mut free = kernel(1);
    free.run_freely(vec![on(0, || ())]).unwrap();
    let again = caught(|| free.run(vec![]));
    assert!(again.is_err());
}

/// A program skips time while another processor is in the middle of a DPC routine. The skipped time
/// does not count as the routine's.
#[test]
fn skipped_time_is_not_what_a_dpc_of_another_processor_took() {
    static INSIDE: atomic::AtomicBool = atomic::AtomicBool::new(false);
    static SKIPPED: atomic::AtomicBool = atomic::AtomicBool::new(false);
    let skips = on(0, || {
        while !INSIDE.load(SeqCst) {
            ntsim::preemption_point();
        }
        ntsim::advance_time(100_000 * TICK);
        SKIPPED.store(true, SeqCst);
    });
    let runs = on(1, || {
        let dpc = Dpc::new(|| {
            INSIDE.store(true, SeqCst);
            while !SKIPPED.load(SeqCst) {
                core::hint::spin_loop();
            }
            // The watchdog is checked here.
            ntsim::preemption_point();
        })
        .target(1);
        assert!(dpc.insert());
        flush_dpcs();
        dpc.free();
    });
    freely(2, vec![skips, runs]);
}

/// Time that the routine itself skips counts as its own.
#[test]
fn skipped_time_is_what_a_dpc_took_that_skips_it() {
    let mut kernel = kernel(2);
    let runs = on(1, || {
        let dpc = Dpc::new(|| ntsim::advance_time(100_000 * TICK)).target(1);
        assert!(dpc.insert());
        flush_dpcs();
    });
    let stop = kernel.run_freely(vec![runs]).unwrap_err();
    assert_eq!(stop.bug_check().map(|check| check.code), Some(0x133), "{stop}");
}
