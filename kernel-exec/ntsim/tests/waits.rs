//! Waits (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-kewaitforsingleobject`,
//! `nf-wdm-kewaitformultipleobjects`, `nf-wdm-kedelayexecutionthread`).
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
use ntsim::{Schedule, Simulation, Stop, types::*};

#[test]
fn a_wait_is_over_after_its_time_by_the_virtual_clock() {
    fine(|| {
        let event = Event::notification();
        let before = interrupt_time();
        assert_eq!(wait(&event, Some(1_000 * ONE)), STATUS_TIMEOUT);
        let passed = interrupt_time() - before;
        assert!((999 * TICK..=1_002 * TICK).contains(&passed), "{passed}");
        let due = (interrupt_time() + 10 * TICK).cast_signed();
        assert_eq!(wait(&event, Some(due)), STATUS_TIMEOUT);
        assert!(interrupt_time() >= due.cast_unsigned());
        assert_eq!(wait(&event, Some(1)), STATUS_TIMEOUT, "long ago: the next tick");
        event.free();
    });
}

#[test]
fn a_wait_that_is_satisfied_in_time_does_not_time_out_later() {
    every_seed(2, || {
        let event = Event::synchronization();
        let thread = Thread::spawn(move || {
            assert_eq!(wait(&event, Some(100 * ONE)), STATUS_SUCCESS);
            assert_eq!(wait(&event, Some(200 * ONE)), STATUS_TIMEOUT);
        });
        delay(10 * ONE);
        event.set();
        thread.join();
        event.free();
    });
}

#[test]
fn a_delay_takes_its_time() {
    fine(|| {
        let before = interrupt_time();
        assert_eq!(delay(100 * ONE), STATUS_SUCCESS);
        assert!(interrupt_time() - before >= 99 * TICK);
        assert_eq!(delay(0), STATUS_SUCCESS);
    });
}

#[test]
fn a_delay_of_zero_lets_another_thread_run() {
    fine(|| {
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        let thread = Thread::spawn(move || flag.set(true));
        delay(0);
        assert!(ran.get());
        thread.join();
    });
}

#[test]
fn any_of_several_objects_ends_a_wait_with_its_index() {
    fine(|| {
        let events = [0; 5].map(|_| Event::synchronization());
        let all: Vec<&dyn Waitable> = events.iter().map(|event| event as &dyn Waitable).collect();
        assert_eq!(wait_any(&all, Some(0)), STATUS_TIMEOUT);
        events[3].set();
        events[1].set();
        assert_eq!(wait_any(&all, None), STATUS_WAIT_0 + 1, "the first");
        assert_eq!(wait_any(&all, None), STATUS_WAIT_0 + 3);
        let last = events[4];
        let thread = Thread::spawn(move || _ = last.set());
        assert_eq!(wait_any(&all, None), STATUS_WAIT_0 + 4);
        assert_eq!(wait_any(&all, Some(ONE)), STATUS_TIMEOUT);
        thread.join();
        events.into_iter().for_each(Event::free);
    });
}

#[test]
fn a_wait_for_all_changes_nothing_until_all_are_signalled() {
    every_seed(2, || {
        let (event, semaphore, mutex) = (Event::synchronization(), Semaphore::new(0, 1), Mutex::new());
        let done = Rc::new(Cell::new(false));
        let flag = Rc::clone(&done);
        let thread = Thread::spawn(move || {
            assert_eq!(wait_all(&[&event, &semaphore, &mutex], None), STATUS_SUCCESS);
            flag.set(true);
            mutex.release();
        });
        event.set();
        delay(ONE);
        assert_eq!((event.state(), mutex.state(), done.get()), (1, 1, false));
        semaphore.release(1);
        thread.join();
        assert_eq!((event.state(), semaphore.state(), mutex.state()), (0, 0, 1));
        assert_eq!(wait_all(&[&event, &semaphore], Some(ONE)), STATUS_TIMEOUT);
        event.free();
        semaphore.free();
        mutex.free();
    });
}

#[test]
fn too_many_objects_are_refused() {
    let wait_for_events = |count: usize, with_blocks: bool| {
        move || {
            let event = Event::new(_EVENT_TYPE::NotificationEvent, true);
            let mut objects = vec![event.pointer(); count];
            let mut blocks = vec![KWAIT_BLOCK::default(); count];
            let blocks = if with_blocks { blocks.as_mut_ptr() } else { null_mut() };
            assert_eq!(wait_with_blocks(_WAIT_TYPE::WaitAny, &mut objects, None, blocks), STATUS_SUCCESS);
            event.free();
        }
    };
    fine(wait_for_events(3, false));
    assert_eq!(bug(wait_for_events(4, false)).code, 0x0C);
    fine(wait_for_events(64, true));
    assert_eq!(bug(wait_for_events(65, true)).code, 0x0C);
}

#[test]
fn wait_blocks_are_not_paged_and_not_freed() {
    let blocks_in = |flags: POOL_FLAGS, freed: bool| {
        bug(move || {
            let blocks = pool(flags, 48 * 4, TAG);
            if freed {
                free(blocks);
            }
            let mut objects = [Event::notification().pointer(); 4];
            wait_with_blocks(_WAIT_TYPE::WaitAny, &mut objects, Some(0), blocks.cast());
        })
    };
    assert_eq!(blocks_in(POOL_FLAG_PAGED, false).code, 0xD1);
    assert_eq!(blocks_in(POOL_FLAG_NON_PAGED, true).code, 0xD1);
}

#[test]
fn a_thread_does_not_wait_at_dispatch_level_but_may_test() {
    let wait_at_dispatch = |timeout: Option<i64>| {
        move || {
            let event = Event::new(_EVENT_TYPE::NotificationEvent, true);
            let before = raise_to_dpc_level();
            assert_eq!(wait(&event, timeout), STATUS_SUCCESS);
            lower(before);
            event.free();
        }
    };
    assert_eq!(code(wait_at_dispatch(None)), (0xC4, 0x3B));
    assert_eq!(code(wait_at_dispatch(Some(ONE))), (0xC4, 0x3B));
    fine(wait_at_dispatch(Some(0)));
    assert_eq!(code(|| _ = (raise(3), wait_at(null_mut(), Some(0)))), (0xC4, 0x3B));
    assert_eq!(code(|| _ = (raise_to_dpc_level(), delay(ONE))), (0xC4, 0x3B));
    fine(|| _ = (raise(1), delay(ONE), lower(0)));
}

#[test]
fn a_dpc_routine_does_not_wait_but_may_test() {
    let in_a_dpc = |timeout: Option<i64>| {
        move || {
            let event = Event::new(_EVENT_TYPE::NotificationEvent, true);
            let dpc = Dpc::new(move || assert_eq!(wait(&event, timeout), STATUS_SUCCESS));
            dpc.insert();
            dpc.free();
            event.free();
        }
    };
    assert_eq!(bug(in_a_dpc(None)).code, 0xB8);
    assert_eq!(bug(in_a_dpc(Some(ONE))).code, 0xB8);
    fine(in_a_dpc(Some(0)));
    assert_eq!(bug(|| _ = Dpc::new(|| _ = delay(ONE)).insert()).code, 0xB8);
}

#[test]
fn what_is_not_supported_of_waits_is_refused() {
    let refused = |f: fn(Event)| {
        let stop = alone(move || f(Event::new(_EVENT_TYPE::NotificationEvent, true))).unwrap_err();
        assert!(matches!(stop, Stop::Failure { oracle: "not supported", .. }), "{stop}");
    };
    refused(|event| _ = wait_with(event.pointer(), None, 0, 2, 0));
    refused(|event| _ = wait_with(event.pointer(), None, 99, 0, 0));
    refused(|event| _ = wait_for(2, &[&event], None));
    refused(|event| _ = wait_all(&[&event, &event], None));
    refused(|_| _ = wait_any(&[], None));
    refused(|event| event.initialize(2, false));
    refused(|_| _ = Semaphore::new(3, 2));
    assert!(alone(|| _ = wait_with(Event::new(0, true).pointer(), None, 6, 0, 0)).is_ok());
}

#[test]
fn two_mutexes_in_opposite_order_deadlock_and_the_report_names_the_holders() {
    let mut ended = [0; 2];
    for seed in 0..100 {
        let mut kernel = Simulation::new(processors(1), Schedule::seed(seed));
        let run = kernel.run_on(0, || {
            let (first, second) = (Mutex::new(), Mutex::new());
            let both = |one: Mutex, other: Mutex| {
                Thread::spawn(move || {
                    wait(&one, None);
                    ntsim::preemption_point();
                    wait(&other, None);
                    other.release();
                    one.release();
                })
            };
            [both(first, second), both(second, first)].into_iter().for_each(Thread::join);
        });
        match run {
            Ok(()) => ended[0] += 1,
            Err(Stop::Deadlock { waits }) => {
                ended[1] += 1;
                assert_eq!(waits.len(), 3);
                let text = Stop::Deadlock { waits }.to_string();
                for needle in [
                    "waits for mutex block1, which thread 2 holds",
                    "waits for mutex block0, which thread 1 holds",
                    "program 0 waits for the end of thread 1",
                ] {
                    assert!(text.contains(needle), "{needle} is not in {text}");
                }
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(ended[0] > 0 && ended[1] > 0, "{ended:?}");
}

#[test]
fn a_program_that_waits_for_ever_is_a_deadlock() {
    let stop = alone(|| _ = wait(&Event::notification(), None)).unwrap_err();
    assert_eq!(stop.to_string(), "deadlock: program 0 waits for event block0");
    let both = alone(|| _ = wait_any(&[&Event::notification(), &Semaphore::new(0, 1)], None)).unwrap_err();
    assert_eq!(both.to_string(), "deadlock: program 0 waits for event block0 or semaphore block1");
}

#[test]
fn a_waiting_thread_takes_no_steps() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    kernel.run_on(0, || _ = delay(-36_000_000_000)).unwrap();
    assert!(kernel.counters().steps < 10);
    assert!(kernel.virtual_time() >= 36_000_000_000 - TICK);
}
