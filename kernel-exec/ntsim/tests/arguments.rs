//! Arguments that drivers pass and that ntsim accepts, such as `Wait` and `Alertable`, object
//! types, and quota (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-kesetevent`,
//! `nf-wdm-kewaitforsingleobject`, `nf-wdm-obreferenceobjectbyhandle`, `nf-wdm-ioallocateirp`).
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
use ntsim::{Config, Schedule, Simulation, ddi, types::*};

const NO_WAIT: u64 = 0x4E53_0004;

fn set_and_say_wait(event: Event) -> i32 {
    // SAFETY: the object is initialised.
    unsafe { ddi::KeSetEvent(event.pointer().cast(), 0, 1) }
}

#[test]
fn a_release_that_is_joined_with_a_wait_returns_at_dispatch_level_and_the_wait_restores_irql() {
    for irql in [0, 1] {
        fine(move || {
            let (event, semaphore, mutex) = (Event::synchronization(), Semaphore::new(0, 2), Mutex::new());
            let before = raise(irql);
            assert_eq!((set_and_say_wait(event), current_irql()), (0, DISPATCH));
            assert_eq!((wait(&event, None), current_irql()), (STATUS_SUCCESS, irql));
            // SAFETY: the object is initialised.
            unsafe { ddi::KeReleaseSemaphore(semaphore.pointer().cast(), 0, 1, 1) };
            assert_eq!((wait_any(&[&event, &semaphore], None), current_irql()), (1, irql));
            wait(&mutex, None);
            // SAFETY: this thread holds the mutex.
            unsafe { ddi::KeReleaseMutex(mutex.pointer().cast(), 1) };
            assert_eq!((wait(&mutex, Some(-1)), current_irql()), (STATUS_SUCCESS, irql));
            mutex.release();
            lower(before);
            event.free();
            semaphore.free();
            mutex.free();
        });
    }
}

#[test]
fn two_threads_hand_over_by_joined_calls_on_every_schedule() {
    for seed in 0..50 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let turns = Rc::new(Cell::new(0));
        let count = Rc::clone(&turns);
        let run = kernel.run_on(0, move || {
            let (mine, other) = (Event::synchronization(), Event::synchronization());
            let thread = Thread::spawn(move || {
                for _ in 0..5 {
                    wait(&other, None);
                    mine.set();
                }
            });
            for _ in 0..5 {
                set_and_say_wait(other);
                wait(&mine, None);
                count.set(count.get() + 1);
            }
            thread.join();
            mine.free();
            other.free();
        });
        run.and_then(|()| kernel.unload()).unwrap_or_else(|stop| panic!("{seed}: {stop}"));
        assert_eq!(turns.get(), 5);
    }
}

#[test]
fn a_release_that_says_that_a_wait_is_next_is_followed_by_one() {
    let lowers = || {
        set_and_say_wait(Event::notification());
        lower(0);
    };
    assert_eq!(code(lowers), (0xC4, NO_WAIT));
    let releases = || {
        set_and_say_wait(Event::notification());
        Event::notification().set();
    };
    assert_eq!(code(releases), (0xC4, NO_WAIT));
    let raised = || {
        raise(2);
        set_and_say_wait(Event::notification());
    };
    assert_eq!(code(raised), (0xC4, 0x4E53_0002));
    assert_eq!(bug(|| _ = set_and_say_wait(Event::notification())).code, 0xC8, "it ends at raised IRQL");
    let config = Config { documented_rules: false, ..processors(1) };
    Simulation::new(config, Schedule::round_robin()).run_on(0, lowers).unwrap();
}

#[test]
fn a_wait_that_is_alertable_is_as_any_other() {
    fine(|| {
        let event = Event::new(_EVENT_TYPE::NotificationEvent, true);
        assert_eq!(wait_with(event.pointer(), None, 0, 0, 1), STATUS_SUCCESS);
        event.reset();
        assert_eq!(wait_with(event.pointer(), Some(-1), 0, 0, 1), STATUS_TIMEOUT);
        let mut interval = LARGE_INTEGER { QuadPart: -1 };
        // SAFETY: the argument is valid.
        assert_eq!(unsafe { ddi::KeDelayExecutionThread(0, 1, &raw mut interval) }, STATUS_SUCCESS);
        event.free();
    });
}

unsafe extern "C" fn nothing(_context: PVOID) {}

/// Returns the status of ObReferenceObjectByHandle for a thread's handle with a type.
fn reference_as(kind: POBJECT_TYPE) -> NTSTATUS {
    let (mut handle, mut object, none) = (null_mut(), null_mut(), null_mut());
    // SAFETY: the arguments are valid, and the routine may be called with anything.
    unsafe {
        ddi::PsCreateSystemThread(&raw mut handle, 0, none, null_mut(), null_mut(), Some(nothing), null_mut())
    };
    // SAFETY: PsCreateSystemThread returned the handle.
    let status = unsafe { ddi::ObReferenceObjectByHandle(handle, 0, kind, 0, &raw mut object, null_mut()) };
    // SAFETY: PsCreateSystemThread returned the handle, and it is closed once.
    unsafe { ddi::ZwClose(handle) };
    if status == STATUS_SUCCESS {
        wait_at(object, None);
        // SAFETY: ObReferenceObjectByHandle has referenced the object.
        unsafe { ddi::ObfDereferenceObject(object) };
    }
    status
}

#[test]
fn a_handle_is_of_the_type_of_its_object() {
    fine(|| {
        let types = [
            &raw const ddi::PsThreadType,
            &raw const ddi::PsProcessType,
            &raw const ddi::ExEventObjectType,
            &raw const ddi::IoFileObjectType,
        ];
        let [threads, others @ ..] = types.map(|variable| {
            // SAFETY: the kernel's variable is a static that does not change.
            let kind = unsafe { variable.read() };
            // SAFETY: the variable points to another static, the type.
            unsafe { kind.read() }
        });
        assert_eq!(reference_as(threads), STATUS_SUCCESS);
        assert_eq!(reference_as(null_mut()), STATUS_SUCCESS);
        for other in others {
            assert_eq!(reference_as(other), STATUS_OBJECT_TYPE_MISMATCH);
        }
    });
}

#[test]
fn a_request_may_be_charged_and_is_in_no_threads_list() {
    fine(|| {
        for quota in [0, 1] {
            // SAFETY: this runs inside a simulation run.
            let irp = unsafe { ddi::IoAllocateIrp(2, quota) };
            // SAFETY: IoAllocateIrp returned the IRP, and it is not freed yet.
            let value = unsafe { irp.read() };
            assert_eq!(value.AllocationFlags, if quota == 0 { 4 } else { 4 | 8 });
            // SAFETY: the IRP is not freed yet; no reference is made.
            let entry = unsafe { &raw mut (*irp).ThreadListEntry };
            assert_eq!((value.ThreadListEntry.Flink, value.ThreadListEntry.Blink), (entry, entry));
            // SAFETY: IoAllocateIrp returned the IRP, and it is freed once.
            unsafe { ddi::IoFreeIrp(irp) };
        }
    });
}
