//! Threads as objects, and calls that a thread must not make
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-pscreatesystemthread,
//! `nf-wdm-psterminatesystemthread`, `nf-wdm-kegetcurrentthread`,
//! `nf-wdm-obreferenceobjectbyhandle`).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::ptr::null_mut;

use common::{waiting::*, *};
use ntsim::{Schedule, Simulation, Stop, ddi, types::*};

#[test]
fn references_to_a_thread_are_counted() {
    fine(|| {
        let event = Event::notification();
        let handle = spawn_with_handle(move || _ = wait(&event, None));
        let thread = thread_object(handle);
        assert_eq!(reference(thread), 4, "its own, the handle's, and two");
        close(handle);
        assert_eq!(dereference(thread), 2);
        event.set();
        Thread(thread).join();
        event.free();
    });
}

#[test]
fn a_thread_without_references_is_gone() {
    let gone = || {
        let thread = Thread::spawn(|| ());
        thread.join();
        thread
    };
    assert_eq!(code(move || _ = dereference(gone().0)), (0xC4, 0x3F));
    assert_eq!(code(move || _ = reference(gone().0)), (0xC4, 0x3F));
    assert_eq!(bug(move || _ = wait(&gone(), None)).code, 0xCC);
}

#[test]
fn a_threads_own_reference_and_its_handles_are_not_given_up_by_a_pointer() {
    let too_often = |closed: bool| {
        move || {
            let event = Event::notification();
            let handle = spawn_with_handle(move || _ = wait(&event, None));
            let thread = thread_object(handle);
            if closed {
                close(handle);
            }
            dereference(thread);
            dereference(thread);
            event.set();
            delay(-1);
        }
    };
    assert_eq!(code(too_often(true)), (0xC4, 0x3F));
    assert_eq!(code(too_often(false)), (0xC4, 0x3F));
    assert_eq!(code(|| _ = dereference(current_thread().cast())), (0xC4, 0x3F), "a program's");
    fine(|| {
        assert_eq!(reference(current_thread().cast()), 2);
        assert_eq!(dereference(current_thread().cast()), 1);
    });
}

#[test]
fn the_program_of_a_later_run_has_not_ended_with_the_one_before() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let asks = || program(|| assert_eq!(wait_at(current_thread().cast(), Some(0)), STATUS_TIMEOUT));
    kernel.run_on(0, asks()).unwrap();
    kernel.run_on(0, asks()).unwrap();
}

#[test]
fn a_handle_is_closed_once_and_then_is_none() {
    let closed = || {
        let handle = spawn_with_handle(|| ());
        close(handle);
        handle
    };
    assert_eq!(code(move || close(closed())), (0xC4, 0x3C));
    assert_eq!(code(move || _ = thread_object(closed())), (0xC4, 0x3C));
    assert_eq!(code(|| close(core::ptr::without_provenance_mut(4))), (0xC4, 0x3C));
}

#[test]
fn a_thread_must_return_at_passive_level() {
    let stop = bug(|| Thread::spawn(|| _ = raise(1)).join());
    assert_eq!((stop.code, stop.parameters[0]), (0xC8, 1 << 16 | 2));
    fine(|| Thread::spawn(|| lower(raise(1))).join());
}

#[test]
fn threads_are_made_at_passive_level() {
    assert_eq!(code(|| _ = (raise(1), spawn_with_handle(|| ())).1), (0xC4, 0xE5));
}

#[test]
fn a_thread_cannot_be_made_where_memory_is_low() {
    fine(|| {
        ntsim::fail_allocation(0);
        assert!(spawn_with_handle(|| ()).is_null());
        Thread::spawn(|| ()).join();
    });
}

unsafe extern "C" fn nothing(_context: PVOID) {}

#[test]
fn what_is_not_supported_of_threads_is_refused() {
    let refused = |attributes: Option<OBJECT_ATTRIBUTES>, process: usize| {
        alone(move || {
            let mut attributes = attributes;
            let attributes = attributes.as_mut().map_or(null_mut(), core::ptr::from_mut);
            let mut handle = null_mut();
            let process = core::ptr::without_provenance_mut(process);
            // SAFETY: the arguments are valid, and the routine may be called with anything.
            unsafe {
                ddi::PsCreateSystemThread(
                    &raw mut handle,
                    0,
                    attributes,
                    process,
                    null_mut(),
                    Some(nothing),
                    null_mut(),
                )
            };
        })
    };
    let attributes = |bits: u32| OBJECT_ATTRIBUTES {
        Length: 48,
        RootDirectory: null_mut(),
        ObjectName: null_mut(),
        Attributes: bits,
        SecurityDescriptor: null_mut(),
        SecurityQualityOfService: null_mut(),
    };
    assert!(refused(Some(attributes(OBJ_KERNEL_HANDLE)), 0).is_ok());
    for stop in [refused(Some(attributes(0x10)), 0), refused(None, 4)] {
        assert!(matches!(stop, Err(Stop::Failure { oracle: "not supported", .. })), "{stop:?}");
    }
}
