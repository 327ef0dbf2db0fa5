//! Work items (learn.microsoft.com/windows-hardware/drivers/kernel/system-worker-threads and the
//! pages of the calls).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{cell::Cell, ptr::null_mut};
use std::rc::Rc;

use common::{io::*, waiting::*, *};
use ntsim::{
    Config, Schedule, Simulation, Stop, ddi,
    types::{_WORK_QUEUE_TYPE::*, *},
};

#[test]
fn a_routine_runs_at_passive_level_in_a_thread_of_the_system() {
    every_seed(2, || {
        let (device, done, me) = (Device::new(), Event::notification(), current_thread());
        let item = WorkItem::new(device);
        item.queue(move |item| {
            assert_eq!(current_irql(), 0);
            assert_ne!(current_thread(), me);
            item.free();
            done.set();
        });
        wait(&done, None);
        device.delete();
        done.free();
    });
}

#[test]
fn an_item_can_be_queued_at_dispatch_level_and_by_a_dpc() {
    every_seed(2, || {
        let (device, done) = (Device::new(), Event::notification());
        let item = WorkItem::new(device);
        let dpc = Dpc::new(move || item.queue(move |_| _ = done.set()));
        dpc.insert();
        wait(&done, None);
        item.free();
        device.delete();
        done.free();
        dpc.free();
    });
}

#[test]
fn the_routine_may_queue_its_item_again() {
    every_seed(1, || {
        let (device, done, count) = (Device::new(), Event::notification(), Rc::new(Cell::new(0)));
        fn again(item: WorkItem, done: Event, count: Rc<Cell<u32>>) {
            count.set(count.get() + 1);
            if count.get() == 3 {
                done.set();
            } else {
                item.queue(move |item| again(item, done, Rc::clone(&count)));
            }
        }
        let (item, counted) = (WorkItem::new(device), Rc::clone(&count));
        item.queue(move |item| again(item, done, Rc::clone(&counted)));
        wait(&done, None);
        assert_eq!(count.get(), 3);
        item.free();
        device.delete();
        done.free();
    });
}

#[test]
fn an_item_in_the_drivers_own_block_is_initialised_and_given_up() {
    every_seed(1, || {
        let (device, done) = (Device::new(), Event::notification());
        let item = WorkItem::in_block(device);
        item.queue(move |_| _ = done.set());
        wait(&done, None);
        item.uninitialize();
        item.free_block();
        device.delete();
        done.free();
    });
}

unsafe extern "C" fn count(parameter: PVOID) {
    // SAFETY: the parameter is a semaphore that outlives its waits.
    unsafe { ddi::KeReleaseSemaphore(parameter.cast(), 0, 1, 0) };
}

unsafe extern "C" fn count_for_device(device: PDEVICE_OBJECT, context: PVOID) {
    assert!(!device.is_null());
    // SAFETY: the context is a semaphore that outlives its waits.
    unsafe { count(context) };
}

#[test]
fn the_older_calls_run_their_routines_too() {
    every_seed(2, || {
        let (device, counted) = (Device::new(), Semaphore::new(0, 2));
        let (item, work): (_, PWORK_QUEUE_ITEM) = (WorkItem::new(device), object());
        // SAFETY: the routines may be called with the semaphore.
        unsafe {
            ddi::IoQueueWorkItem(item.0, Some(count_for_device), CriticalWorkQueue, counted.0.cast());
        }
        // SAFETY: `object` has allocated the storage.
        unsafe { ddi::ExInitializeWorkItem(work, Some(count), counted.0.cast()) };
        // SAFETY: the object is initialised.
        unsafe { ddi::ExQueueWorkItem(work, NormalWorkQueue) };
        wait(&counted, None);
        wait(&counted, None);
        item.free();
        free(work);
        device.delete();
        counted.free();
    });
}

#[test]
fn workers_are_few_and_while_their_routines_wait_nothing_else_of_the_queue_runs() {
    let run = |workers: usize, queue: WORK_QUEUE_TYPE| {
        let config = Config { workers, ..processors(1) };
        let mut kernel = Simulation::new(config, Schedule::round_robin());
        kernel.run_on(0, move || {
            let (device, event) = (Device::new(), Event::notification());
            for _ in 0..2 {
                WorkItem::new(device).queue(move |_| _ = wait(&event, None));
            }
            let last = WorkItem::new(device);
            last.queue_to(queue, move |_| _ = event.set());
            wait(&event, None);
        })
    };
    let stop = run(2, DelayedWorkQueue).unwrap_err();
    assert!(matches!(stop, Stop::Deadlock { ref waits } if waits.len() == 3), "{stop}");
    run(3, DelayedWorkQueue).unwrap();
    run(2, CriticalWorkQueue).unwrap();
}

#[test]
fn a_queued_item_must_not_be_queued_again() {
    let bug = bug(|| {
        let item = WorkItem::new(Device::new());
        raise_to_dpc_level();
        item.queue(|_| ());
        item.queue(|_| ());
    });
    assert_eq!((bug.code, bug.parameters[0]), (0xE4, 1));
}

#[test]
fn a_queued_item_must_not_be_freed() {
    let queued = |f: fn(WorkItem)| {
        code(move || {
            let device = Device::new();
            let item = WorkItem::in_block(device);
            raise_to_dpc_level();
            item.queue(|_| ());
            f(item);
        })
    };
    assert_eq!(queued(WorkItem::uninitialize), (0xE4, 2));
    assert_eq!(queued(WorkItem::free_block), (0xE4, 0));
    let allocated = || {
        let item = WorkItem::new(Device::new());
        raise_to_dpc_level();
        item.queue(|_| ());
        item.free();
    };
    assert_eq!(code(allocated), (0xE4, 2));
}

#[test]
fn a_queued_item_must_not_be_initialised() {
    let bug = bug(|| {
        let device = Device::new();
        let item = WorkItem::in_block(device);
        raise_to_dpc_level();
        item.queue(|_| ());
        item.initialize(device);
    });
    assert_eq!((bug.code, bug.parameters[0]), (0xE4, 1));
}

#[test]
fn an_item_is_given_up_the_way_it_was_made() {
    assert_eq!(code(|| WorkItem::new(Device::new()).uninitialize()), (0xE4, 3));
    assert_eq!(code(|| WorkItem::in_block(Device::new()).free()), (0xE4, 3));
    assert_eq!(code(|| free(WorkItem::new(Device::new()).0)), (0xC2, 0x46), "the kernel's own pool");
    let twice = || {
        let item = WorkItem::new(Device::new());
        item.free();
        item.free();
    };
    assert_eq!(bug(twice).code, 0xD1);
}

#[test]
fn what_is_no_item_is_not_queued() {
    assert_eq!(code(|| WorkItem(object()).queue(|_| ())), (0xE4, 7));
    let given_up = || {
        let item = WorkItem::in_block(Device::new());
        item.uninitialize();
        item.queue(|_| ());
    };
    assert_eq!(code(given_up), (0xE4, 7));
    let without_routine = || {
        let item = WorkItem::new(Device::new());
        // SAFETY: the item is initialised, and there is no routine to call.
        unsafe { ddi::IoQueueWorkItemEx(item.0, None, DelayedWorkQueue, null_mut()) };
    };
    assert_eq!(code(without_routine), (0xE4, 7));
}

#[test]
fn queues_that_are_none_or_the_systems_are_refused() {
    assert_eq!(code(|| WorkItem::new(Device::new()).queue_to(99, |_| ())), (0xE4, 6));
    assert_eq!(code(|| WorkItem::new(Device::new()).queue_to(-1, |_| ())), (0xE4, 6));
    let stop = alone(|| WorkItem::new(Device::new()).queue_to(HyperCriticalWorkQueue, |_| ())).unwrap_err();
    assert!(matches!(stop, Stop::Failure { oracle: "not supported", .. }), "{stop}");
}

#[test]
fn an_item_is_made_for_an_object() {
    assert_eq!(code(|| _ = WorkItem::try_new(null_mut())), (0xE4, 3));
    let deleted = || {
        let device = Device::new();
        device.delete();
        WorkItem::try_new(device.0);
    };
    assert_eq!(code(deleted), (0xE4, 3));
    fine(|| WorkItem::in_block(Device(ntsim::driver_object().cast())).free_block());
}

#[test]
fn an_item_is_null_where_memory_is_low() {
    fine(|| {
        let device = Device::new();
        ntsim::fail_allocation(0);
        assert!(WorkItem::try_new(device.0).0.is_null());
        device.delete();
    });
}

#[test]
fn a_routine_must_return_at_passive_level() {
    let returns = |restore: bool| {
        move || {
            let (device, done) = (Device::new(), Event::notification());
            WorkItem::new(device).queue(move |item| {
                let before = raise(1);
                done.set();
                if restore {
                    lower(before);
                    item.free();
                }
            });
            wait(&done, None);
            delay(-1);
            device.delete();
            done.free();
        }
    };
    let bug = bug(returns(false));
    assert_eq!((bug.code, bug.parameters[1]), (0xE1, 1));
    fine(returns(true));
}

#[test]
fn a_routine_must_not_keep_a_mutex_or_terminate_the_systems_thread() {
    let keeps = || {
        let mutex = Mutex::new();
        WorkItem::new(Device::new()).queue(move |_| _ = wait(&mutex, None));
    };
    assert_eq!(bug(keeps).code, 0x4000_008A);
    let terminates = || WorkItem::new(Device::new()).queue(|_| _ = terminate(STATUS_SUCCESS));
    assert!(matches!(alone(terminates), Err(Stop::Failure { oracle: "not supported", .. })));
}

#[test]
fn the_device_stays_until_the_routine_has_returned() {
    every_seed(2, || {
        let (device, done) = (Device::try_new(16).unwrap(), Event::notification());
        WorkItem::new(device).queue(move |item| {
            delay(-1);
            assert_eq!(peek(device.extension(), 0), 0, "still there");
            item.free();
            done.set();
        });
        device.delete();
        wait(&done, None);
        delay(-1);
        done.free();
    });
}

#[test]
fn unload_with_an_item_pending_is_refused() {
    let unload = |wait_for_it: bool| {
        let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
        let slot = Rc::new(Cell::new(None::<Device>));
        let made = Rc::clone(&slot);
        kernel.run_on(0, move || made.set(Some(Device::new()))).unwrap();
        let device = slot.get().unwrap();
        kernel.unload_with(
            0,
            program(move || {
                let (done, item) = (Event::notification(), WorkItem::new(device));
                let before = raise_to_dpc_level();
                item.queue(move |item| {
                    item.free();
                    done.set();
                });
                lower(before);
                if wait_for_it {
                    device.delete();
                    wait(&done, None);
                    delay(-1);
                    done.free();
                }
            }),
        )
    };
    let stop = unload(false).unwrap_err();
    let bug = stop.bug_check().unwrap();
    assert_eq!(bug.code, 0xCE);
    assert!(bug.rule.contains("the work item block2 was queued"), "{}", bug.rule);
    unload(true).unwrap();
}

#[test]
fn a_routine_that_waits_for_what_nothing_does_is_a_deadlock() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let run = kernel.run_on(0, || {
        let event = Event::notification();
        WorkItem::new(Device::new()).queue(move |_| _ = wait(&event, None));
    });
    let Err(Stop::Deadlock { waits }) = run else { panic!("{run:?}") };
    assert_eq!(waits.len(), 1, "{waits:?}");
}

#[test]
fn unload_while_a_routine_runs_is_refused() {
    let config = Config { linger: 0, ..processors(1) };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let run = kernel.run_on(0, || {
        let event = Event::notification();
        WorkItem::new(Device::new()).queue(move |_| _ = wait(&event, Some(-1_000_000_000)));
    });
    run.unwrap();
    let stop = kernel.unload().unwrap_err();
    let bug = stop.bug_check().unwrap();
    assert_eq!(bug.code, 0xCE);
    assert!(bug.rule.contains("was running in thread 1"), "{}", bug.rule);
}

/// The device, and through it the image, is referenced until the routine has returned
/// (`nf-wdm-ioqueueworkitem`).
#[test]
fn the_image_stays_until_a_routine_of_its_device_has_returned() {
    let unload = |stays: bool, leaves: bool| {
        let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
        let returned = Rc::new(Cell::new(false));
        let at_the_end = Rc::clone(&returned);
        let run = kernel.unload_with(
            0,
            program(move || {
                let (device, event) = (Device::new(), Event::notification());
                let item = WorkItem::in_block(device);
                item.queue(move |_| {
                    event.set();
                    delay(-1);
                    item.uninitialize();
                    item.free_block();
                    if stays {
                        wait(&Event::notification(), None);
                    }
                    returned.set(true);
                });
                wait(&event, None);
                event.free();
                device.delete();
                if leaves {
                    Timer::new().set(-1, None);
                }
            }),
        );
        (run, at_the_end.get())
    };
    assert_eq!(unload(false, false), (Ok(()), true));
    let rule = |run: Result<(), Stop>| run.unwrap_err().bug_check().unwrap().rule.clone();
    let (timer, returned) = unload(false, true);
    assert!(
        rule(timer).contains("while the timer") && !returned,
        "what Unload leaves is found when it returns"
    );
    let (stays, returned) = unload(true, false);
    assert!(rule(stays).contains("was running in thread 1") && !returned);
}

#[test]
fn leaked_items_are_found_at_unload() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let leak = program(|| {
        let device = Device::new();
        WorkItem::new(device);
        device.delete();
    });
    kernel.run_on(0, leak).unwrap();
    let stop = kernel.unload().unwrap_err();
    assert!(stop.to_string().contains("'IoWi'"), "{stop}");
}

#[test]
fn the_trace_names_work_items() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    kernel.run_on(0, || WorkItem::new(Device::new()).queue(|_| ())).unwrap();
    let text = kernel.trace().to_string();
    for needle in
        ["IoQueueWorkItemEx(block1", "work item block1 starts", "work item block1 ends", "waits for work"]
    {
        assert!(text.contains(needle), "{needle} is not in\n{text}");
    }
}
