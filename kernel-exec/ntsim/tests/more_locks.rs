//! In-stack queued spin locks, the order of spin locks, rundown protection, fast mutexes, and
//! remove locks (the pages of their calls under
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::Cell;
use std::rc::Rc;

use common::{locks::*, waiting::*, *};
use ntsim::{
    BugCheck, Config, Schedule, Simulation, Stop,
    types::{POOL_FLAG_PAGED, STATUS_DELETE_PENDING, STATUS_SUCCESS},
};

#[test]
fn a_queued_spin_lock_raises_and_restores_irql() {
    fine(|| {
        let (lock, handle) = (Lock::new(), Handle::new());
        handle.acquire(lock);
        assert_eq!(current_irql(), DISPATCH);
        handle.release();
        assert_eq!(current_irql(), 0);
        let before = raise_to_dpc_level();
        handle.acquire_at_dpc_level(lock);
        handle.release_from_dpc_level();
        lower(before);
        lock.free();
        handle.free();
    });
}

#[test]
fn a_queued_spin_lock_keeps_others_out() {
    every_seed(2, || {
        let (lock, inside) = (Lock::new(), Rc::new(Cell::new(false)));
        let threads = [0; 3].map(|_| {
            let inside = Rc::clone(&inside);
            Thread::spawn(move || {
                let handle = Handle::new();
                handle.acquire(lock);
                assert!(!inside.replace(true));
                ntsim::preemption_point();
                inside.set(false);
                handle.release();
                handle.free();
            })
        });
        threads.into_iter().for_each(Thread::join);
        lock.free();
    });
}

#[test]
fn a_queued_spin_lock_is_released_by_its_handle() {
    let mixed = || {
        let (lock, handle) = (Lock::new(), Handle::new());
        handle.acquire(lock);
        lock.release(0);
    };
    assert_eq!(code(mixed), (0xC4, 0x1007));
    let twice = || {
        let (lock, handle) = (Lock::new(), Handle::new());
        handle.acquire(lock);
        handle.release();
        raise_to_dpc_level();
        handle.release();
    };
    assert_eq!(code(twice), (0xC4, 0x1007));
    assert_eq!(code(|| Handle::new().acquire_at_dpc_level(Lock::new())), (0xC4, 0x40));
    let recursive = || {
        let lock = Lock::new();
        Handle::new().acquire(lock);
        Handle::new().acquire(lock);
    };
    assert_eq!(code(recursive), (0xC4, 0x1000));
}

/// Acquires two locks on one processor, in one order and then in the other.
fn in_both_orders(lock_order: bool, initialized_between: bool) -> Result<(), Stop> {
    let mut kernel = Simulation::new(Config { lock_order, ..processors(1) }, Schedule::round_robin());
    kernel.run_on(0, move || {
        let (first, second) = (Lock::new(), Lock::new());
        for (one, other) in [(first, second), (first, second), (second, first)] {
            if initialized_between {
                first.initialize();
            }
            let before = one.acquire();
            other.acquire_at_dpc_level();
            other.release_from_dpc_level();
            one.release(before);
        }
        first.free();
        second.free();
    })
}

#[test]
fn opposite_lock_orders_are_found_though_no_processor_waits() {
    let stop = in_both_orders(true, false).unwrap_err();
    let BugCheck { code, parameters, .. } = stop.bug_check().unwrap();
    assert_eq!((*code, parameters[0]), (0xC4, 0x1001));
    in_both_orders(false, false).unwrap();
    in_both_orders(true, true).unwrap();
}

#[test]
fn locks_that_are_only_tried_may_be_so_in_any_order() {
    let with = |tries: bool| {
        let mut kernel =
            Simulation::new(Config { lock_order: true, ..processors(1) }, Schedule::round_robin());
        kernel.run_on(0, move || {
            let (first, second, third) = (Lock::new(), Lock::new(), Lock::new());
            let before = first.acquire();
            second.acquire_at_dpc_level();
            second.release_from_dpc_level();
            first.release(before);
            let before = second.acquire();
            assert!(first.try_acquire());
            // A lock that is acquired while another is held counts for the order, however the
            // other was acquired.
            third.acquire_at_dpc_level();
            third.release_from_dpc_level();
            first.release_from_dpc_level();
            second.release(before);
            if !tries {
                let before = third.acquire();
                first.acquire_at_dpc_level();
                first.release_from_dpc_level();
                third.release(before);
            }
        })
    };
    with(true).unwrap();
    let stop = with(false).unwrap_err();
    let BugCheck { code, parameters, .. } = stop.bug_check().unwrap();
    assert_eq!((*code, parameters[0]), (0xC4, 0x1001));
}

#[test]
fn rundown_waits_for_the_last_release_and_refuses_every_acquire() {
    every_seed(2, || {
        let (rundown, used) = (Rundown::new(), Rc::new(Cell::new(0)));
        let threads = [0; 3].map(|_| {
            let used = Rc::clone(&used);
            Thread::spawn(move || {
                if rundown.acquire() {
                    used.set(used.get() + 1);
                    delay(-1);
                    used.set(used.get() - 1);
                    rundown.release();
                }
            })
        });
        rundown.wait();
        assert_eq!(used.get(), 0);
        assert!(!rundown.acquire());
        rundown.wait();
        threads.into_iter().for_each(Thread::join);
        rundown.completed();
        assert!(!rundown.acquire());
        rundown.reinitialize();
        assert!(rundown.acquire_many(3));
        rundown.release_many(2);
        rundown.release();
        rundown.free();
    });
}

#[test]
fn rundown_protection_is_released_as_often_as_acquired() {
    let bug = bug(|| Rundown::new().release());
    assert_eq!((bug.code, bug.parameters[0]), (0x139, 14));
    assert_eq!(code(|| Rundown::new().completed()), (0x139, 14));
    assert_eq!(code(|| Rundown::new().reinitialize()), (0x139, 14));
}

#[test]
fn rundown_protection_is_acquired_at_dispatch_level_and_not_waited_for_there() {
    fine(|| {
        let rundown = Rundown::new();
        let before = raise_to_dpc_level();
        assert!(rundown.acquire());
        rundown.release();
        lower(before);
        rundown.free();
    });
    let waits = || {
        let rundown = Rundown::new();
        raise_to_dpc_level();
        rundown.wait();
    };
    assert_eq!(code(waits), (0xC4, 0x3B));
    let paged = || {
        let rundown = Rundown(pool(POOL_FLAG_PAGED, 8, TAG).cast());
        assert!(rundown.acquire(), "below DISPATCH_LEVEL it may be paged");
        raise_to_dpc_level();
        rundown.acquire();
    };
    assert_eq!(bug(paged).code, 0xD1);
}

#[test]
fn waiting_for_protection_that_is_never_released_is_a_deadlock() {
    let stop = alone(|| {
        let rundown = Rundown::new();
        rundown.acquire();
        rundown.wait();
    });
    let text = stop.unwrap_err().to_string();
    assert_eq!(text, "deadlock: program 0 waits for rundown protection to be released");
}

#[test]
fn a_fast_mutex_raises_to_apc_level_and_keeps_others_out() {
    every_seed(2, || {
        let (mutex, inside) = (FastMutex::new(), Rc::new(Cell::new(false)));
        let threads = [0; 3].map(|_| {
            let inside = Rc::clone(&inside);
            Thread::spawn(move || {
                for _ in 0..3 {
                    mutex.acquire();
                    assert_eq!(current_irql(), 1);
                    assert!(!inside.replace(true));
                    ntsim::preemption_point();
                    inside.set(false);
                    mutex.release();
                    assert_eq!(current_irql(), 0);
                }
            })
        });
        threads.into_iter().for_each(Thread::join);
        let (held, go) = (Event::notification(), Event::notification());
        let other = Thread::spawn(move || {
            assert!(mutex.try_acquire());
            held.set();
            wait(&go, None);
            mutex.release();
        });
        wait(&held, None);
        assert!(!mutex.try_acquire());
        assert_eq!(current_irql(), 0);
        go.set();
        other.join();
        held.free();
        go.free();
        mutex.free();
    });
}

#[test]
fn a_fast_mutex_has_its_irqls_its_owner_and_no_recursion() {
    let with = |f: fn(FastMutex)| code(move || f(FastMutex::new()));
    assert_eq!(with(|mutex| _ = (raise_to_dpc_level(), mutex.acquire())), (0xC4, 0x33));
    assert_eq!(with(|mutex| _ = (raise_to_dpc_level(), mutex.try_acquire())), (0xC4, 0x33));
    assert_eq!(with(FastMutex::release), (0xC4, 0x34));
    assert_eq!(with(|mutex| _ = (raise(1), mutex.release())), (0xC4, 0x1007));
    assert_eq!(with(|mutex| _ = (mutex.acquire(), mutex.acquire())), (0xC4, 0x1000));
    assert_eq!(with(|mutex| _ = (mutex.acquire(), mutex.initialize())), (0xC4, 0x1005));
    assert_eq!(with(|mutex| _ = (mutex.acquire(), mutex.free())), (0xC4, 0x1006));
    let anothers = |mutex: FastMutex| {
        mutex.acquire();
        lower(0);
        Thread::spawn(move || _ = (raise(1), mutex.release())).join();
    };
    assert_eq!(with(anothers), (0xC4, 0x1004));
    assert_eq!(with(|mutex| _ = (mutex.acquire(), lower(0))).0, 0x4000_008A, "the program ends with it");
    assert_eq!(bug(|| FastMutex(object()).acquire()).code, 0x139);
}

#[test]
fn a_remove_lock_waits_for_the_last_release_and_refuses_every_acquire() {
    every_seed(2, || {
        let (lock, used) = (RemoveLock::new(), Rc::new(Cell::new(0)));
        let threads = [1, 2, 3].map(|tag| {
            let used = Rc::clone(&used);
            Thread::spawn(move || {
                if lock.acquire(tag) == STATUS_SUCCESS {
                    used.set(used.get() + 1);
                    delay(-1);
                    used.set(used.get() - 1);
                    lock.release(tag);
                }
            })
        });
        assert_eq!(lock.acquire(9), STATUS_SUCCESS);
        lock.release_and_wait(9);
        assert_eq!(used.get(), 0);
        assert_eq!(lock.acquire(1), STATUS_DELETE_PENDING);
        threads.into_iter().for_each(Thread::join);
        lock.free();
    });
}

#[test]
fn a_remove_lock_is_released_with_the_tag_it_was_acquired_with() {
    let with = |f: fn(RemoveLock)| {
        code(move || {
            let lock = RemoveLock::new();
            lock.acquire(7);
            f(lock);
        })
    };
    assert_eq!(with(|lock| lock.release(8)), (0x139, 14));
    assert_eq!(with(|lock| _ = (lock.release(7), lock.release(7))), (0x139, 14));
    assert_eq!(with(|lock| _ = (lock.release_and_wait(7), lock.release_and_wait(7))), (0x139, 14));
    assert_eq!(with(|lock| lock.initialize(32)), (0x139, 14));
    assert_eq!(with(RemoveLock::free), (0xC4, 0x1006));
    assert_eq!(code(|| _ = RemoveLock(object()).acquire(1)), (0x139, 3));
    let stop = alone(|| RemoveLock(object()).initialize(64)).unwrap_err();
    assert!(matches!(stop, Stop::Failure { oracle: "not supported", .. }), "{stop}");
}
