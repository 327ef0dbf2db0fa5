//! Spin lock rules (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-keacquirespinlock,
//! `nf-wdm-kereleasespinlock`).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::Cell;
use std::rc::Rc;

use common::*;
use ntsim::{
    Schedule, Simulation, Stop,
    sync::{AtomicUsize, Ordering},
};

#[test]
fn acquiring_raises_and_releasing_restores() {
    fine(|| {
        let lock = Lock::new();
        let before = lock.acquire();
        assert_eq!((before, current_irql()), (0, DISPATCH));
        lock.release(before);
        assert_eq!(current_irql(), 0);
        let before = raise_to_dpc_level();
        lock.acquire_at_dpc_level();
        lock.release_from_dpc_level();
        lower(before);
        lock.free();
    });
}

#[test]
fn releasing_runs_the_dpcs_that_were_held_off() {
    fine(|| {
        let log = Log::default();
        let in_dpc = log.clone();
        let (lock, dpc) = (Lock::new(), Dpc::new(move || in_dpc.add("routine")));
        let before = lock.acquire();
        dpc.insert();
        log.add("held");
        lock.release(before);
        log.add("released");
        assert_eq!(log.lines(), ["held", "routine", "released"]);
        lock.free();
        dpc.free();
    });
}

#[test]
fn a_lock_keeps_others_out_on_every_schedule() {
    for seed in 0..100 {
        let mut kernel = Simulation::new(processors(3), Schedule::seed(seed));
        let slot = Rc::new(Cell::new(None::<Lock>));
        let made = Rc::clone(&slot);
        kernel.run_on(0, move || made.set(Some(Lock::new()))).unwrap();
        let (inside, total) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
        let worker = |processor: usize| {
            let (lock, inside, total) = (slot.get().unwrap(), Rc::clone(&inside), Rc::clone(&total));
            let work = move || {
                for _ in 0..5 {
                    let before = lock.acquire();
                    assert!(!inside.replace(true));
                    let value = total.get();
                    ntsim::preemption_point();
                    total.set(value + 1);
                    inside.set(false);
                    lock.release(before);
                }
            };
            (processor, program(work))
        };
        kernel.run((0..3).map(worker).collect()).unwrap();
        assert_eq!(total.get(), 15, "seed {seed}");
    }
}

#[test]
fn a_waiting_processor_takes_no_steps() {
    let mut kernel = Simulation::new(processors(2), Schedule::round_robin());
    let lock = Rc::new(Cell::new(None::<Lock>));
    let made = Rc::clone(&lock);
    kernel.run_on(0, move || made.set(Some(Lock::new()))).unwrap();
    let lock = lock.get().unwrap();
    let before = kernel.counters().steps;
    let hold = program(move || {
        let irql = lock.acquire();
        for _ in 0..10_000 {
            ntsim::preemption_point();
        }
        lock.release(irql);
    });
    let wait = program(move || lock.release(lock.acquire()));
    kernel.programs().on(0, hold).on(1, wait).run().unwrap();
    assert!(kernel.counters().steps - before < 10_020);
}

#[test]
fn spin_locks_are_not_recursive() {
    let twice = || {
        let lock = Lock::new();
        lock.acquire();
        lock.acquire();
    };
    assert_eq!(code(twice), (0xC4, 0x1000));
    let in_a_dpc = || {
        let lock = Lock::new();
        let before = raise_to_dpc_level();
        lock.acquire_at_dpc_level();
        Dpc::new(move || lock.acquire_at_dpc_level()).insert();
        lower(before);
    };
    assert_eq!(code(in_a_dpc), (0xC4, 0x1000), "the routine interrupts the holder");
}

#[test]
fn releasing_a_lock_that_is_free_is_refused() {
    let free_lock = || {
        let lock = Lock::new();
        raise_to_dpc_level();
        lock.release(0);
    };
    assert_eq!(code(free_lock), (0xC4, 0x1007));
    let at_passive_level = || {
        let lock = Lock::new();
        let before = lock.acquire();
        lock.release(before);
        lock.release(before);
    };
    assert_eq!(code(at_passive_level), (0xC4, 0x32), "a second release is not at DISPATCH_LEVEL any more");
}

#[test]
fn releasing_another_processors_lock_is_refused() {
    let found = (0..50).any(|seed| {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let slot = Rc::new(Cell::new(None::<Lock>));
        let (give, take) = (Rc::clone(&slot), slot);
        let hold = program(move || {
            let lock = Lock::new();
            let before = lock.acquire();
            give.set(Some(lock));
            for _ in 0..100 {
                ntsim::preemption_point();
            }
            lock.release(before);
        });
        let steal = program(move || {
            raise_to_dpc_level();
            while take.get().is_none() {
                ntsim::preemption_point();
            }
            take.get().unwrap().release(0);
        });
        let stop = kernel.programs().on(0, hold).on(1, steal).run().unwrap_err();
        stop.bug_check().is_some_and(|bug| {
            (bug.code, bug.parameters[0], bug.parameters[2]) == (0xC4, 0x1004, 0) && bug.processor == 1
        })
    });
    assert!(found);
}

#[test]
fn each_call_has_its_irql() {
    assert_eq!(
        code(|| _ = (raise(3), Lock(object()).acquire())),
        (0xC4, 0x02),
        "pool first: the test's own mistake"
    );
    let acquire_above = || {
        let lock = Lock::new();
        raise(3);
        lock.acquire();
    };
    assert_eq!(code(acquire_above), (0xC4, 0x42));
    assert_eq!(code(|| Lock::new().acquire_at_dpc_level()), (0xC4, 0x40));
    assert_eq!(code(|| Lock::new().release_from_dpc_level()), (0xC4, 0x41));
    let release_above = || {
        let lock = Lock::new();
        lock.acquire();
        raise(5);
        lock.release(0);
    };
    assert_eq!(code(release_above), (0xC4, 0x32));
    let release_upwards = || {
        let lock = Lock::new();
        lock.acquire();
        lock.release(5);
    };
    assert_eq!(code(release_upwards), (0xC4, 0x31));
}

#[test]
fn a_word_that_is_no_free_lock_is_refused() {
    assert_eq!(
        code(|| {
            let lock = Lock::new();
            poke(lock.0.cast(), 3);
            lock.acquire();
        }),
        (0xC4, 0x1002)
    );
}

#[test]
fn a_held_lock_is_neither_initialised_nor_freed() {
    let initialised = || {
        let lock = Lock::new();
        lock.acquire();
        lock.initialize();
    };
    assert_eq!(code(initialised), (0xC4, 0x1005));
    let freed = || {
        let lock = Lock::new();
        lock.acquire();
        lock.free();
    };
    assert_eq!(code(freed), (0xC4, 0x1006));
}

#[test]
fn locks_in_freed_or_paged_pool_are_refused() {
    let freed = || {
        let lock = Lock::new();
        lock.free();
        lock.acquire();
    };
    assert_eq!(bug(freed).code, 0xD1);
    let paged = || Lock(pool(ntsim::types::POOL_FLAG_PAGED, 8, TAG).cast()).initialize();
    assert_eq!(bug(paged).code, 0xD1);
}

#[test]
fn two_locks_in_opposite_order_deadlock_and_the_report_names_the_holders() {
    let mut ended = [0; 2];
    for seed in 0..100 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let slot = Rc::new(Cell::new(None::<(Lock, Lock)>));
        let made = Rc::clone(&slot);
        kernel.run_on(0, move || made.set(Some((Lock::new(), Lock::new())))).unwrap();
        let (first, second) = slot.get().unwrap();
        let both = |one: Lock, other: Lock| {
            program(move || {
                let before = one.acquire();
                other.acquire_at_dpc_level();
                other.release_from_dpc_level();
                one.release(before);
            })
        };
        match kernel.programs().on(0, both(first, second)).on(1, both(second, first)).run() {
            Ok(()) => ended[0] += 1,
            Err(Stop::Deadlock { waits }) => {
                ended[1] += 1;
                assert_eq!(waits.len(), 2);
                let text = Stop::Deadlock { waits }.to_string();
                assert_eq!(
                    text,
                    "deadlock: processor 0 waits for spin lock block1, which processor 1 holds; \
                     processor 1 waits for spin lock block0, which processor 0 holds"
                );
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(ended[0] > 0 && ended[1] > 0, "{ended:?}");
}

#[test]
fn any_waiting_processor_may_be_the_next_to_hold_a_lock() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let mut kernel = Simulation::new(processors(3), Schedule::seed(seed));
        let slot = Rc::new(Cell::new(None::<Lock>));
        let (made, log) = (Rc::clone(&slot), Log::default());
        kernel.run_on(0, move || made.set(Some(Lock::new()))).unwrap();
        let lock = slot.get().unwrap();
        let held = Rc::new(AtomicUsize::new(0));
        let holder = Rc::clone(&held);
        let hold = move || {
            let before = lock.acquire();
            holder.store(1, Ordering::SeqCst);
            // There is time enough for both others to arrive and wait.
            (0..500).for_each(|_| ntsim::preemption_point());
            lock.release(before);
        };
        let wait = |name: &'static str| {
            let (held, log) = (Rc::clone(&held), log.clone());
            program(move || {
                while held.load(Ordering::SeqCst) == 0 {}
                let before = lock.acquire();
                log.add(name);
                lock.release(before);
            })
        };
        kernel.programs().on(0, hold).on(1, wait("1")).on(2, wait("2")).run().unwrap();
        orders.insert(log.lines().concat());
    }
    assert_eq!(orders, ["12".into(), "21".into()].into());
}

#[test]
fn waiting_for_a_lock_that_is_never_released_is_a_deadlock() {
    let mut kernel = Simulation::new(processors(2), Schedule::round_robin());
    let slot = Rc::new(Cell::new(None::<Lock>));
    let made = Rc::clone(&slot);
    let keep = program(move || {
        let lock = Lock::new();
        let before = raise_to_dpc_level();
        lock.acquire_at_dpc_level();
        made.set(Some(lock));
        lower(before);
    });
    kernel.run_on(0, keep).unwrap();
    let lock = slot.get().unwrap();
    let stop = kernel.run_on(1, move || _ = lock.acquire()).unwrap_err();
    let Stop::Deadlock { waits } = stop else { panic!("{stop}") };
    assert_eq!((waits[0].processor, waits[0].holder), (1, Some(0)));
}
