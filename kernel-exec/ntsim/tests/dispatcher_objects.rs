//! Events, semaphores, mutexes, and timers as objects
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/, the pages of their calls).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{cell::Cell, ptr::null_mut};
use std::rc::Rc;

use common::{waiting::*, *};
use ntsim::{Schedule, Simulation, types::*};

#[test]
fn setting_an_event_returns_the_state_before() {
    fine(|| {
        let event = Event::notification();
        assert_eq!((event.state(), event.set(), event.set(), event.state()), (0, 0, 1, 1));
        assert_eq!((event.reset(), event.reset(), event.state()), (1, 0, 0));
        event.set();
        event.clear();
        assert_eq!(event.state(), 0);
        event.free();
    });
}

#[test]
fn a_notification_event_satisfies_every_wait_until_it_is_reset() {
    every_seed(2, || {
        let (event, woken) = (Event::notification(), Rc::new(Cell::new(0)));
        let threads = [0; 3].map(|_| {
            let woken = Rc::clone(&woken);
            Thread::spawn(move || {
                assert_eq!(wait(&event, None), STATUS_SUCCESS);
                woken.set(woken.get() + 1);
            })
        });
        event.set();
        threads.into_iter().for_each(Thread::join);
        assert_eq!((woken.get(), event.state()), (3, 1));
        assert_eq!(wait(&event, Some(0)), STATUS_SUCCESS, "it stays signalled");
        event.reset();
        assert_eq!(wait(&event, Some(0)), STATUS_TIMEOUT);
        event.free();
    });
}

#[test]
fn a_synchronization_event_satisfies_one_wait() {
    every_seed(2, || {
        let (event, woken) = (Event::synchronization(), Rc::new(Cell::new(0)));
        let threads = [0; 3].map(|_| {
            let woken = Rc::clone(&woken);
            Thread::spawn(move || {
                assert_eq!(wait(&event, None), STATUS_SUCCESS);
                woken.set(woken.get() + 1);
            })
        });
        for count in 1..=3 {
            delay(ONE);
            event.set();
            delay(ONE);
            assert_eq!(woken.get(), count);
            assert_eq!(event.state(), 0);
        }
        threads.into_iter().for_each(Thread::join);
        event.free();
    });
}

#[test]
fn which_waiter_a_synchronization_event_releases_is_a_choice() {
    let mut seen = [false; 3];
    for seed in 0..100 {
        let mut kernel = Simulation::new(processors(1), Schedule::seed(seed));
        let first = Rc::new(Cell::new(None));
        let result = Rc::clone(&first);
        let run = kernel.run_on(0, move || {
            let event = Event::synchronization();
            let threads = [0, 1, 2].map(|number| {
                let first = Rc::clone(&result);
                Thread::spawn(move || {
                    wait(&event, None);
                    first.set(first.get().or(Some(number)));
                    event.set();
                })
            });
            delay(ONE);
            event.set();
            threads.into_iter().for_each(Thread::join);
        });
        run.unwrap();
        seen[first.get().unwrap()] = true;
    }
    assert_eq!(seen, [true; 3]);
}

#[test]
fn an_event_that_is_signalled_at_first_satisfies_a_wait_at_once() {
    fine(|| {
        let event = Event::new(_EVENT_TYPE::SynchronizationEvent, true);
        assert_eq!(wait(&event, None), STATUS_SUCCESS);
        assert_eq!(wait(&event, Some(0)), STATUS_TIMEOUT);
        event.free();
    });
}

#[test]
fn a_semaphore_counts_to_its_limit() {
    fine(|| {
        let semaphore = Semaphore::new(1, 3);
        assert_eq!((semaphore.state(), semaphore.release(2), semaphore.state()), (1, 1, 3));
        for _ in 0..3 {
            assert_eq!(wait(&semaphore, Some(0)), STATUS_SUCCESS);
        }
        assert_eq!(wait(&semaphore, Some(0)), STATUS_TIMEOUT);
        semaphore.free();
    });
    let beyond = bug(|| _ = Semaphore::new(1, 3).release(3));
    assert_eq!((beyond.code, beyond.parameters[0]), (0x1E, 0xC000_0047));
    assert_eq!(bug(|| _ = Semaphore::new(1, 3).release(0)).code, 0x1E);
}

#[test]
fn a_semaphore_releases_as_many_waiters_as_it_counts() {
    every_seed(2, || {
        let (semaphore, woken) = (Semaphore::new(0, 5), Rc::new(Cell::new(0)));
        let threads = [0; 3].map(|_| {
            let woken = Rc::clone(&woken);
            Thread::spawn(move || {
                wait(&semaphore, None);
                woken.set(woken.get() + 1);
            })
        });
        delay(ONE);
        assert_eq!(semaphore.release(2), 0);
        delay(ONE);
        assert_eq!(woken.get(), 2);
        semaphore.release(1);
        threads.into_iter().for_each(Thread::join);
        semaphore.free();
    });
}

#[test]
fn a_mutex_is_held_by_one_thread_on_every_schedule() {
    every_seed(2, || {
        let (mutex, inside) = (Mutex::new(), Rc::new(Cell::new(false)));
        let threads = [0; 3].map(|_| {
            let inside = Rc::clone(&inside);
            Thread::spawn(move || {
                for _ in 0..3 {
                    assert_eq!(wait(&mutex, None), STATUS_SUCCESS);
                    assert!(!inside.replace(true));
                    ntsim::preemption_point();
                    inside.set(false);
                    assert_eq!(mutex.release(), 0);
                }
            })
        });
        threads.into_iter().for_each(Thread::join);
        assert_eq!(mutex.state(), 1);
        mutex.free();
    });
}

#[test]
fn a_mutex_is_recursive() {
    fine(|| {
        let mutex = Mutex::new();
        assert_eq!(mutex.state(), 1);
        wait(&mutex, None);
        wait(&mutex, None);
        assert_eq!(mutex.state(), -1);
        let other = Thread::spawn(move || assert_eq!(wait(&mutex, Some(0)), STATUS_TIMEOUT));
        other.join();
        assert_eq!((mutex.release(), mutex.release(), mutex.state()), (-1, 0, 1));
        mutex.free();
    });
}

#[test]
fn a_mutex_is_released_by_the_thread_that_holds_it() {
    let not_held = bug(|| _ = Mutex::new().release());
    assert_eq!((not_held.code, not_held.parameters[0]), (0x1E, 0xC000_0046));
    let anothers = bug(|| {
        let mutex = Mutex::new();
        wait(&mutex, None);
        Thread::spawn(move || _ = mutex.release()).join();
    });
    assert_eq!((anothers.code, anothers.parameters[0]), (0x1E, 0xC000_0046));
}

#[test]
fn a_mutex_is_released_at_the_level_where_it_was_acquired() {
    fine(|| {
        let mutex = Mutex::new();
        let before = raise_to_dpc_level();
        assert_eq!(wait(&mutex, Some(0)), STATUS_SUCCESS);
        mutex.release();
        lower(before);
        mutex.free();
    });
    let mixed = || {
        let mutex = Mutex::new();
        wait(&mutex, None);
        raise_to_dpc_level();
        mutex.release();
    };
    assert_eq!(bug(mixed).code, 0x1E);
}

#[test]
fn a_thread_must_not_end_with_a_mutex() {
    let ends = |release: bool| {
        move || {
            let mutex = Mutex::new();
            let hold = move || {
                wait(&mutex, None);
                if release {
                    mutex.release();
                }
            };
            Thread::spawn(hold).join();
            mutex.free();
        }
    };
    assert_eq!(bug(ends(false)).code, 0x4000_008A);
    fine(ends(true));
    assert_eq!(bug(|| _ = wait(&Mutex::new(), None)).code, 0x4000_008A, "a program is a thread");
}

#[test]
fn a_timer_is_an_object_to_wait_for() {
    every_seed(2, || {
        let (notification, synchronization) = (Timer::new(), Timer::synchronization());
        assert_eq!(wait(&notification, Some(0)), STATUS_TIMEOUT);
        notification.set(ONE, None);
        synchronization.set(ONE, None);
        assert_eq!(wait(&notification, None), STATUS_SUCCESS);
        assert_eq!(wait(&notification, None), STATUS_SUCCESS, "it stays signalled");
        assert_eq!(wait(&synchronization, None), STATUS_SUCCESS);
        assert_eq!(wait(&synchronization, Some(0)), STATUS_TIMEOUT, "one wait resets it");
        notification.set(5 * ONE, None);
        assert_eq!(wait(&notification, Some(ONE)), STATUS_TIMEOUT, "setting resets it");
        assert_eq!(wait(&notification, None), STATUS_SUCCESS);
        notification.free();
        synchronization.free();
    });
}

#[test]
fn an_event_is_set_at_dispatch_level_at_most() {
    fine(|| {
        let event = Event::notification();
        let before = raise_to_dpc_level();
        event.set();
        lower(before);
        event.free();
    });
    assert_eq!(code(|| _ = (raise(3), Event(null_mut()).set())), (0xC4, 0x80));
}

#[test]
fn what_was_not_initialised_or_was_moved_is_refused() {
    let not_initialised = bug(|| _ = Event(object()).set());
    assert_eq!((not_initialised.code, not_initialised.parameters[0]), (0x139, 3));
    assert_eq!(bug(|| _ = wait(&Mutex(object()), None)).code, 0x139);
    let moved = || {
        let (from, to) = (Event::notification(), Event(object()));
        for distance in 0..24 {
            let byte = peek(from.0.cast(), distance);
            // SAFETY: the address is in the block.
            unsafe { to.0.cast::<u8>().wrapping_add(distance).write(byte) };
        }
        to.set();
    };
    assert_eq!(bug(moved).code, 0x139);
    let another_kind = bug(|| _ = Event(Mutex::new().0.cast()).set());
    assert_eq!(another_kind.code, 0x139);
    assert!(another_kind.rule.contains("is a mutex"), "{}", another_kind.rule);
}

#[test]
fn objects_in_freed_or_paged_pool_are_refused() {
    let freed = || {
        let event = Event::notification();
        event.free();
        event.set();
    };
    assert_eq!(bug(freed).code, 0xD1);
    let paged = || Event(pool(POOL_FLAG_PAGED, 24, TAG).cast()).initialize(0, false);
    assert_eq!(bug(paged).code, 0xD1);
}

#[test]
fn an_object_that_is_waited_for_is_neither_freed_nor_initialised() {
    let then = |f: fn(Event)| {
        bug(move || {
            let event = Event::notification();
            let _waiter = Thread::spawn(move || _ = wait(&event, None));
            delay(ONE);
            f(event);
        })
    };
    assert_eq!(then(Event::free).code, 0xCC);
    assert_eq!(then(|event| event.initialize(0, false)).code, 0x139);
}

#[test]
fn a_mutex_that_is_held_is_neither_freed_nor_initialised() {
    let then = |f: fn(Mutex)| {
        code(move || {
            let mutex = Mutex::new();
            wait(&mutex, None);
            f(mutex);
        })
    };
    assert_eq!(then(Mutex::free), (0xC4, 0x1006));
    assert_eq!(then(Mutex::initialize), (0xC4, 0x1005));
}

#[test]
fn an_events_state_is_read_at_any_irql() {
    fine(|| {
        let event = Event::notification();
        let before = raise(5);
        assert_eq!(event.state(), 0);
        lower(before);
        event.free();
    });
}
