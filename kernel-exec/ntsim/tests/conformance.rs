//! Facts about the kernel that public test suites assert (ReactOS, Wine, and the tests of
//! microsoft/usersim). Each test is named after its fact. Checks that ntsim adds to NT's are tested
//! in the other files.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::Cell;
use std::rc::Rc;

use common::{io::*, locks::*, waiting::*, *};
use ntsim::{
    Schedule, Simulation,
    types::{_KDPC_IMPORTANCE::*, STATUS_SUCCESS, STATUS_TIMEOUT},
};

#[test]
fn raise_returns_the_old_level() {
    fine(|| {
        assert_eq!((raise(1), raise(2), raise(12), current_irql()), (0, 1, 2, 12));
        lower(0);
    });
}

#[test]
fn raising_or_lowering_to_the_current_level_changes_nothing() {
    fine(|| {
        for irql in [0, 1, 2, 12] {
            assert_eq!((raise(irql), raise(irql)), (0, irql));
            lower(irql);
            assert_eq!(current_irql(), irql);
            lower(0);
        }
    });
}

#[test]
fn raising_to_dispatch_level_returns_the_old_level() {
    fine(|| {
        assert_eq!((raise_to_dpc_level(), raise_to_dpc_level(), current_irql()), (0, DISPATCH, DISPATCH));
        lower(0);
    });
}

#[test]
fn a_spin_lock_that_is_free_can_be_acquired_by_trying() {
    fine(|| {
        let lock = Lock::new();
        let before = raise_to_dpc_level();
        assert!(lock.try_acquire());
        lock.release_from_dpc_level();
        lower(before);
        lock.free();
    });
}

#[test]
fn a_second_try_acquire_of_a_held_spin_lock_fails() {
    fine(|| {
        let lock = Lock::new();
        let before = raise_to_dpc_level();
        assert!(lock.try_acquire());
        assert!(!lock.try_acquire());
        lock.release_from_dpc_level();
        assert!(lock.try_acquire());
        lock.release_from_dpc_level();
        lower(before);
        lock.free();
    });
    assert_eq!(code(|| _ = Lock::new().try_acquire()), (0xC4, 0x40), "below DISPATCH_LEVEL");
}

#[test]
fn spin_locks_may_be_released_in_another_order_than_acquired() {
    fine(|| {
        let (first, second) = (Lock::new(), Lock::new());
        let before = first.acquire();
        second.acquire_at_dpc_level();
        first.release_from_dpc_level();
        second.release(before);
        first.free();
        second.free();
    });
}

#[test]
fn setting_a_timer_is_false_and_setting_it_again_is_true() {
    fine(|| {
        let timer = Timer::new();
        assert!(!timer.set(100 * ONE, None));
        assert!(timer.set(100 * ONE, None));
        assert!(timer.cancel());
        assert!(!timer.set(100 * ONE, None));
        timer.cancel();
        timer.free();
    });
}

#[test]
fn a_timers_dpc_never_runs_after_a_successful_cancel_of_a_one_shot() {
    for seed in 0..100 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let run = kernel.run_on(0, || {
            let ran = Rc::new(Cell::new(false));
            let flag = Rc::clone(&ran);
            let (timer, dpc) = (Timer::new(), Dpc::new(move || flag.set(true)));
            timer.set(-1, Some(dpc.target(1)));
            let cancelled = timer.cancel();
            delay(3 * ONE);
            assert_ne!(ran.get(), cancelled);
            timer.free();
            dpc.free();
        });
        run.unwrap();
    }
}

#[test]
fn setting_a_periodic_timer_as_one_shot_stops_the_period() {
    fine(|| {
        let timer = Timer::synchronization();
        timer.set_periodic(-1, 10, None);
        timer.set(-1, None);
        assert_eq!(wait(&timer, Some(10 * ONE)), STATUS_SUCCESS);
        assert_eq!(wait(&timer, Some(10 * ONE)), STATUS_TIMEOUT);
        timer.free();
    });
}

#[test]
fn a_timer_may_be_cancelled_at_dispatch_level() {
    fine(|| {
        let timer = Timer::new();
        timer.set(100 * ONE, None);
        let before = raise_to_dpc_level();
        assert!(timer.cancel());
        lower(before);
        timer.free();
    });
}

#[test]
fn cancelling_a_timer_that_is_not_set_is_false() {
    fine(|| {
        let timer = Timer::new();
        assert!(!timer.cancel());
        timer.free();
    });
}

#[test]
fn a_dpc_is_held_off_while_its_processor_is_at_dispatch_level() {
    fine(|| {
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        let dpc = Dpc::new(move || flag.set(true));
        let before = raise_to_dpc_level();
        dpc.insert();
        assert!(!ran.get());
        lower(before);
        assert!(ran.get());
        dpc.free();
    });
}

#[test]
fn a_dpc_that_is_queued_is_not_queued_again_and_its_first_arguments_win() {
    fine(|| {
        let seen = Rc::new(Cell::new((0, 0)));
        let result = Rc::clone(&seen);
        let dpc = Dpc::with_arguments(move |first, second| result.set((first, second)));
        let before = raise_to_dpc_level();
        assert!(dpc.insert_with(1, 2));
        assert!(!dpc.insert_with(3, 4));
        lower(before);
        assert_eq!(seen.get(), (1, 2));
        dpc.free();
    });
}

#[test]
fn a_dpc_that_is_removed_does_not_run() {
    fine(|| {
        let dpc = Dpc::new(|| ntsim::fail("test", "ran".into()));
        assert!(!dpc.remove(), "not queued yet");
        let before = raise_to_dpc_level();
        dpc.insert();
        assert!(dpc.remove());
        assert!(!dpc.remove());
        lower(before);
        dpc.free();
    });
}

#[test]
fn a_dpc_of_high_importance_runs_before_those_that_were_queued_earlier() {
    fine(|| {
        let log = Log::default();
        let named = |name: &'static str| {
            let log = log.clone();
            Dpc::new(move || log.add(name))
        };
        let (first, second, high) =
            (named("first"), named("second"), named("high").importance(HighImportance));
        let before = raise_to_dpc_level();
        [first, second, high].iter().for_each(|dpc| _ = dpc.insert());
        lower(before);
        assert_eq!(log.lines(), ["high", "first", "second"]);
        [first, second, high].into_iter().for_each(Dpc::free);
    });
}

#[test]
fn flushing_dpcs_twice_is_fine() {
    fine(|| {
        flush_dpcs();
        flush_dpcs();
    });
}

#[test]
fn setting_an_event_returns_its_previous_state() {
    fine(|| {
        for event in [Event::notification(), Event::synchronization()] {
            assert_eq!((event.set(), event.set(), event.reset(), event.reset()), (0, 1, 1, 0));
            event.free();
        }
    });
}

#[test]
fn a_synchronization_event_releases_one_waiter_and_a_notification_event_all() {
    let released = |event: fn() -> Event| {
        let result = Rc::new(Cell::new(0));
        let count = Rc::clone(&result);
        alone(move || {
            let event = event();
            for _ in 0..3 {
                let count = Rc::clone(&count);
                Thread::spawn(move || {
                    wait(&event, None);
                    count.set(count.get() + 1);
                });
            }
            delay(ONE);
            event.set();
            delay(ONE);
        })
        .unwrap();
        result.get()
    };
    assert_eq!(released(Event::synchronization), 1);
    assert_eq!(released(Event::notification), 3);
}

#[test]
fn a_mutex_is_signalled_again_after_as_many_releases_as_acquisitions() {
    fine(|| {
        let mutex = Mutex::new();
        for _ in 0..3 {
            wait(&mutex, None);
        }
        assert_eq!((mutex.release(), mutex.release(), mutex.release()), (-2, -1, 0));
        assert_eq!(mutex.state(), 1);
        mutex.free();
    });
}

#[test]
fn releasing_a_semaphore_returns_its_previous_count() {
    fine(|| {
        let semaphore = Semaphore::new(1, 10);
        assert_eq!((semaphore.release(2), semaphore.release(3), semaphore.state()), (1, 3, 6));
        semaphore.free();
    });
}

#[test]
fn waiting_with_a_time_out_of_zero_tests() {
    fine(|| {
        let event = Event::synchronization();
        assert_eq!(wait(&event, Some(0)), STATUS_TIMEOUT);
        event.set();
        assert_eq!(wait(&event, Some(0)), STATUS_SUCCESS);
        assert_eq!(wait(&event, Some(0)), STATUS_TIMEOUT);
        event.free();
    });
}

#[test]
fn a_fast_mutex_is_held_at_apc_level() {
    fine(|| {
        let mutex = FastMutex::new();
        mutex.acquire();
        assert_eq!(current_irql(), 1);
        mutex.release();
        assert_eq!(current_irql(), 0);
        assert!(mutex.try_acquire());
        assert_eq!(current_irql(), 1);
        mutex.release();
        mutex.free();
    });
}

#[test]
fn rundown_protection_cannot_be_acquired_after_the_wait_for_its_release() {
    fine(|| {
        let rundown = Rundown::new();
        assert!(rundown.acquire());
        rundown.release();
        rundown.wait();
        assert!(!rundown.acquire());
        rundown.completed();
        assert!(!rundown.acquire());
        rundown.reinitialize();
        assert!(rundown.acquire());
        rundown.release();
        rundown.free();
    });
}

#[test]
fn a_work_item_may_be_queued_again_by_its_own_routine() {
    fine(|| {
        let (device, semaphore) = (Device::new(), Semaphore::new(0, 2));
        WorkItem::new(device).queue(move |item| {
            semaphore.release(1);
            item.queue(move |item| {
                semaphore.release(1);
                item.free();
            });
        });
        wait(&semaphore, None);
        wait(&semaphore, None);
        device.delete();
        delay(ONE);
        semaphore.free();
    });
}

#[test]
fn timers_do_not_starve_under_dpc_load() {
    let mut kernel = Simulation::new(processors(2), Schedule::seed(1));
    let run = kernel.run_on(0, || {
        let expired = Rc::new(Cell::new(false));
        let (flag, stop) = (Rc::clone(&expired), Rc::clone(&expired));
        let (timer, own) = (Timer::new(), Dpc::new(move || flag.set(true)).target(1));
        let slot = Rc::new(Cell::new(None::<Dpc>));
        let myself = Rc::clone(&slot);
        let load = Dpc::new(move || {
            ntsim::advance_time(100);
            if !stop.get() {
                myself.get().unwrap().insert();
            }
        });
        slot.set(Some(load));
        timer.set(ONE, Some(own));
        load.insert();
        flush_dpcs();
        assert!(expired.get());
    });
    run.unwrap();
}

#[test]
fn a_timers_dpc_runs_on_its_target_processor() {
    for target in 0..4 {
        let mut kernel = Simulation::new(processors(4), Schedule::seed(target.into()));
        let run = kernel.run_on(2, move || {
            let ran_on = Rc::new(Cell::new(None));
            let result = Rc::clone(&ran_on);
            let timer = Timer::new();
            let dpc = Dpc::new(move || result.set(Some(processor_number()))).target(target);
            timer.set(-1, Some(dpc));
            delay(3 * ONE);
            assert_eq!(ran_on.get(), Some(target.into()));
        });
        run.unwrap();
    }
}
