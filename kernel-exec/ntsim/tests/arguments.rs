//! Arguments that drivers pass and that ntsim accepts, such as `Wait`, `Alertable` and `WaitMode`,
//! object types, handle information, client identifiers, and quota
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-kesetevent`,
//! `nf-wdm-kewaitforsingleobject`, `nf-wdm-obreferenceobjectbyhandle`,
//! `nf-wdm-pscreatesystemthread`, `nf-wdm-ioallocateirp`).
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
const USER_WAIT: u64 = 0x4E53_0005;
const USER: i8 = _MODE::UserMode as i8;

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

#[test]
fn a_wait_in_user_mode_is_as_any_other() {
    fine(|| {
        let event = Event::new(_EVENT_TYPE::NotificationEvent, true);
        assert_eq!(wait_with(event.pointer(), None, 0, USER, 1), STATUS_SUCCESS);
        event.reset();
        assert_eq!(wait_with(event.pointer(), Some(-1), 6, USER, 0), STATUS_TIMEOUT);
        let other = Event::new(_EVENT_TYPE::SynchronizationEvent, true);
        let mut objects = [event.pointer(), other.pointer()];
        let (count, objects) = (2, objects.as_mut_ptr());
        let any = _WAIT_TYPE::WaitAny;
        // SAFETY: two objects.
        let status =
            unsafe { ddi::KeWaitForMultipleObjects(count, objects, any, 6, USER, 1, null_mut(), null_mut()) };
        assert_eq!(status, 1);
        let mut interval = LARGE_INTEGER { QuadPart: -1 };
        // SAFETY: the argument is valid.
        assert_eq!(unsafe { ddi::KeDelayExecutionThread(USER, 1, &raw mut interval) }, STATUS_SUCCESS);
        event.free();
        other.free();
    });
    let refused = alone(|| _ = wait_with(Event::notification().pointer(), Some(0), 0, 2, 0)).unwrap_err();
    assert!(refused.to_string().contains("neither KernelMode nor UserMode"), "{refused}");
}

/// The page of KeWaitForSingleObject: a mutex takes KernelMode, and so does what is on the stack,
/// because that may be swapped out.
#[test]
fn a_wait_in_user_mode_has_neither_mutexes_nor_objects_on_the_stack() {
    let mutex = || _ = wait_with(Mutex::new().pointer(), Some(0), 0, USER, 0);
    let on_stack = || {
        let mut event = core::mem::MaybeUninit::<KEVENT>::uninit();
        // SAFETY: room for an event, which stays.
        unsafe { ddi::KeInitializeEvent(event.as_mut_ptr(), _EVENT_TYPE::NotificationEvent, 1) };
        wait_with(event.as_mut_ptr().cast(), None, 0, USER, 0);
    };
    let blocks = || {
        let event = Event::new(_EVENT_TYPE::NotificationEvent, true);
        let (mut objects, mut blocks) = ([event.pointer()], [KWAIT_BLOCK::default()]);
        let (objects, blocks, any) = (objects.as_mut_ptr(), blocks.as_mut_ptr(), _WAIT_TYPE::WaitAny);
        // SAFETY: an object, and a wait block.
        unsafe { ddi::KeWaitForMultipleObjects(1, objects, any, 0, USER, 0, null_mut(), blocks) };
        event.free();
    };
    assert_eq!(code(mutex), (0xC4, USER_WAIT));
    assert_eq!(code(on_stack), (0xC4, USER_WAIT));
    assert_eq!(code(blocks), (0xC4, USER_WAIT));
    let config = Config { documented_rules: false, ..processors(1) };
    Simulation::new(config, Schedule::round_robin()).run_on(0, on_stack).unwrap();
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

/// A thread's identifiers and what its handle says, which was made with this access.
fn made_with(access: ACCESS_MASK) -> (CLIENT_ID, OBJECT_HANDLE_INFORMATION) {
    let (mut handle, mut object, none) = (null_mut(), null_mut(), null_mut());
    let mut client = CLIENT_ID { UniqueProcess: null_mut(), UniqueThread: null_mut() };
    let mut information = OBJECT_HANDLE_INFORMATION { HandleAttributes: 7, GrantedAccess: 7 };
    let (of_thread, of_handle) = (&raw mut client, &raw mut information);
    // SAFETY: the arguments are valid, and the routine may be called with anything.
    let made = unsafe {
        ddi::PsCreateSystemThread(
            &raw mut handle,
            access,
            none,
            null_mut(),
            of_thread,
            Some(nothing),
            null_mut(),
        )
    };
    assert_eq!(made, STATUS_SUCCESS);
    // SAFETY: the thread's handle, and places.
    unsafe { ddi::ObReferenceObjectByHandle(handle, 0, null_mut(), 0, &raw mut object, of_handle) };
    // SAFETY: the thread's handle.
    unsafe { ddi::ZwClose(handle) };
    wait_at(object, None);
    // SAFETY: the reference from above.
    unsafe { ddi::ObfDereferenceObject(object) };
    (client, information)
}

#[test]
fn a_thread_has_identifiers_and_its_handle_the_access_that_was_asked_for() {
    fine(|| {
        let (first, all) = made_with(THREAD_ALL_ACCESS);
        let (second, none) = made_with(0);
        assert_eq!((all.HandleAttributes, all.GrantedAccess), (0, THREAD_ALL_ACCESS));
        assert_eq!((none.HandleAttributes, none.GrantedAccess), (0, 0));
        assert_eq!([first.UniqueProcess.addr(), second.UniqueProcess.addr()], [4, 4]);
        let threads = [first.UniqueThread.addr(), second.UniqueThread.addr()];
        assert!(threads.iter().all(|number| *number > 4 && number.is_multiple_of(4)), "{threads:?}");
        assert_ne!(threads[0], threads[1]);
    });
    let generic = alone(|| _ = made_with(0x8000_0000)).unwrap_err();
    assert!(generic.to_string().contains("generic"), "{generic}");
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
