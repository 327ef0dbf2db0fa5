//! IRPs (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-iofcalldriver,
//! `nf-wdm-iofcompleterequest`, `nf-wdm-iocancelirp`,
//! learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-0xc9--driver-verifier-iomanager-violation).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::Cell;
use std::rc::Rc;

use common::{io::*, irps::*, waiting::*, *};
use ntsim::{Schedule, Simulation, Stop, ddi, types::*};

type Dispatch = unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS;

/// The IRP that the tests' driver keeps.
#[derive(Default)]
struct Kept(Cell<Option<Irp>>);

fn kept() -> &'static Cell<Option<Irp>> {
    // SAFETY: image state lives until the simulation is reset, which no test's run outlives.
    unsafe { &(*ntsim::image_state::<Kept>()).0 }
}

unsafe extern "C" fn succeeds(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).complete(STATUS_SUCCESS)
}

unsafe extern "C" fn on_cancel(_device: PDEVICE_OBJECT, irp: PIRP) {
    assert_eq!(current_irql(), DISPATCH);
    let irp = Irp(irp);
    kept().set(None);
    release_cancel_lock(irp.cancel_irql());
    irp.complete(STATUS_CANCELLED);
}

unsafe extern "C" fn pends(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let irp = Irp(irp);
    irp.mark_pending();
    kept().set(Some(irp));
    irp.set_cancel_routine(Some(on_cancel));
    if irp.is_canceled() && irp.set_cancel_routine(None) {
        kept().set(None);
        irp.complete(STATUS_CANCELLED);
    }
    STATUS_PENDING
}

/// Completes the IRP that [`pends`] has kept, unless it is being cancelled.
fn complete_kept() {
    if let Some(irp) = kept().take()
        && irp.set_cancel_routine(None)
    {
        irp.complete(STATUS_SUCCESS);
    }
}

/// Sends a read to a driver with this dispatch routine, waits for it, and returns its outcome.
fn read_with(dispatch: Dispatch) -> (NTSTATUS, NTSTATUS, bool) {
    let (device, done) = (Device::new(), Event::notification());
    dispatch_reads(dispatch);
    let outcome = Rc::new(Cell::new((0, false)));
    let result = Rc::clone(&outcome);
    let irp = Irp::new().on_completion(move |irp| {
        result.set((irp.status(), irp.pending_returned()));
        done.set();
        STATUS_MORE_PROCESSING_REQUIRED
    });
    let returned = irp.send(device);
    complete_kept();
    wait(&done, None);
    irp.free();
    device.delete();
    done.free();
    (returned, outcome.get().0, outcome.get().1)
}

#[test]
fn a_request_is_completed_in_the_dispatch_routine_or_later() {
    fine(|| {
        assert_eq!(read_with(succeeds), (STATUS_SUCCESS, STATUS_SUCCESS, false));
        assert_eq!(read_with(pends), (STATUS_PENDING, STATUS_SUCCESS, true));
    });
}

/// Marks an IRP pending like C's inline IoMarkIrpPending.
fn mark_by_hand(irp: Irp) {
    // SAFETY: a driver has the IRP.
    let location = unsafe { ddi::IoGetCurrentIrpStackLocation(irp.0) };
    // SAFETY: the location belongs to the IRP, which a driver has.
    unsafe { (*location).Control |= SL_PENDING_RETURNED };
}

unsafe extern "C" fn marks_by_hand(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    mark_by_hand(Irp(irp));
    kept().set(Some(Irp(irp)));
    STATUS_PENDING
}

unsafe extern "C" fn marks_by_hand_and_completes(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    mark_by_hand(Irp(irp));
    Irp(irp).complete(STATUS_SUCCESS);
    STATUS_PENDING
}

#[test]
fn a_mark_that_the_driver_writes_itself_counts() {
    fine(|| {
        dispatch_reads(marks_by_hand);
        let device = Device::new();
        let irp = Irp::new().on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED);
        assert_eq!(irp.send(device), STATUS_PENDING);
        kept().take().unwrap().complete(STATUS_SUCCESS);
        irp.free();
        device.delete();
        assert_eq!(read_with(marks_by_hand_and_completes), (STATUS_PENDING, STATUS_SUCCESS, true));
    });
}

/// How many requests the tests' driver has received.
#[derive(Default)]
struct Trips(Cell<u32>);

unsafe extern "C" fn completes_the_first_and_keeps_the_second(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: image state lives until the simulation is reset, which no test's run outlives.
    let trips = unsafe { &(*ntsim::image_state::<Trips>()).0 };
    trips.set(trips.get() + 1);
    let routine: Dispatch = if trips.get() == 1 { succeeds } else { pends };
    // SAFETY: the arguments are those of a dispatch routine.
    unsafe { routine(device, irp) }
}

#[test]
fn a_completion_routine_may_send_the_request_again() {
    fine(|| {
        dispatch_reads(completes_the_first_and_keeps_the_second);
        let (device, done) = (Device::new(), Event::notification());
        let irp = Irp::new().on_completion(move |irp| {
            irp.set_next_major(IRP_MJ_READ as u8);
            irp.on_completion(move |_| {
                done.set();
                STATUS_MORE_PROCESSING_REQUIRED
            });
            // The first call has not returned yet, and has nothing to do with the mark of this one.
            assert_eq!(irp.send(device), STATUS_PENDING);
            STATUS_MORE_PROCESSING_REQUIRED
        });
        assert_eq!(irp.send(device), STATUS_SUCCESS);
        assert_eq!(done.state(), 0);
        complete_kept();
        assert_eq!(done.state(), 1);
        irp.free();
        device.delete();
        done.free();
    });
}

#[test]
fn a_request_without_a_dispatch_routine_is_invalid() {
    fine(|| {
        let device = Device::new();
        let irp = Irp::new().on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED);
        assert_eq!(irp.send(device), STATUS_INVALID_DEVICE_REQUEST);
        assert_eq!(irp.status(), STATUS_INVALID_DEVICE_REQUEST);
        irp.free();
        device.delete();
    });
}

unsafe extern "C" fn sends_on(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let extension = Device(device).extension().cast::<PDEVICE_OBJECT>();
    // SAFETY: the driver's device keeps the device below in its extension.
    let below = unsafe { extension.read() };
    let irp = Irp(irp);
    if below.is_null() {
        return irp.complete(STATUS_SUCCESS);
    }
    irp.copy_to_next();
    irp.on_completion(|irp| {
        irp.set_status(STATUS_TIMEOUT);
        STATUS_SUCCESS
    });
    irp.send(Device(below));
    STATUS_TIMEOUT
}

#[test]
fn completion_routines_run_from_the_lowest_up() {
    fine(|| {
        let (above, below) = (Device::try_new(8).unwrap(), Device::try_new(8).unwrap());
        // SAFETY: the extension has room for a pointer.
        unsafe { above.extension().cast::<PDEVICE_OBJECT>().write(below.0) };
        dispatch_reads(sends_on);
        let irp = Irp::try_new(2).unwrap();
        irp.set_next_major(IRP_MJ_READ as u8);
        irp.on_completion(|irp| {
            assert_eq!(irp.status(), STATUS_TIMEOUT, "the driver above has changed it");
            STATUS_MORE_PROCESSING_REQUIRED
        });
        assert_eq!(irp.send(above), STATUS_TIMEOUT);
        irp.free();
        above.delete();
        below.delete();
    });
}

#[test]
fn a_canceled_request_is_completed_once_on_every_schedule() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let status = Rc::new(Cell::new(0));
        let result = Rc::clone(&status);
        let run = kernel.run_on(0, move || {
            let (device, done) = (Device::new(), Event::notification());
            dispatch_reads(pends);
            let irp = Irp::new().on_completion(move |irp| {
                result.set(irp.status());
                done.set();
                STATUS_MORE_PROCESSING_REQUIRED
            });
            let canceler = Thread::spawn(move || _ = irp.cancel());
            irp.send(device);
            complete_kept();
            wait(&done, None);
            canceler.join();
            irp.free();
            device.delete();
            done.free();
        });
        run.and_then(|()| kernel.unload())
            .unwrap_or_else(|stop| panic!("{seed}: {stop}\n{}", kernel.trace()));
        seen.insert(status.get());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [STATUS_CANCELLED, STATUS_SUCCESS]);
}

/// Returns the bug check when a read is sent to a driver with this dispatch routine.
fn sent_to(dispatch: Dispatch) -> (u32, u64) {
    code(move || _ = read_with(dispatch))
}

unsafe extern "C" fn completes_twice(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).complete(STATUS_SUCCESS);
    Irp(irp).complete(STATUS_SUCCESS)
}

unsafe extern "C" fn completes_as_pending(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).complete(STATUS_PENDING)
}

unsafe extern "C" fn completes_with_cancel_routine(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).set_cancel_routine(Some(on_cancel));
    Irp(irp).complete(STATUS_SUCCESS)
}

unsafe extern "C" fn forgets(_device: PDEVICE_OBJECT, _irp: PIRP) -> NTSTATUS {
    STATUS_SUCCESS
}

unsafe extern "C" fn forgets_to_mark(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    kept().set(Some(Irp(irp)));
    STATUS_PENDING
}

unsafe extern "C" fn marks_for_nothing(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).mark_pending();
    Irp(irp).complete(STATUS_SUCCESS)
}

unsafe extern "C" fn returns_another_status(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).complete(STATUS_CANCELLED);
    STATUS_SUCCESS
}

unsafe extern "C" fn stays_raised(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    raise_to_dpc_level();
    Irp(irp).complete(STATUS_SUCCESS)
}

unsafe extern "C" fn completes_too_high(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    raise(5);
    Irp(irp).complete(STATUS_SUCCESS)
}

unsafe extern "C" fn frees(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).free();
    STATUS_SUCCESS
}

unsafe extern "C" fn sends_without_a_location(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).send(Device(device))
}

#[test]
fn what_a_dispatch_routine_must_not_do_is_refused() {
    assert_eq!(sent_to(completes_twice).0, 0x44);
    assert_eq!(sent_to(completes_as_pending), (0xC9, 6));
    assert_eq!(sent_to(completes_with_cancel_routine), (0xC9, 7));
    assert_eq!(sent_to(forgets), (0xC9, 0x226));
    assert_eq!(sent_to(forgets_to_mark), (0xC9, 0x23D));
    assert_eq!(sent_to(marks_for_nothing), (0xC9, 0x23E));
    assert_eq!(sent_to(returns_another_status), (0xC9, 0x224));
    assert_eq!(sent_to(stays_raised), (0xC9, 5));
    assert_eq!(sent_to(completes_too_high), (0xC9, 0x0E));
    assert_eq!(sent_to(frees), (0xC9, 0x20B));
    assert_eq!(sent_to(sends_without_a_location).0, 0x35);
}

#[test]
fn what_a_sender_must_not_do_is_refused() {
    assert_eq!(code(|| _ = Irp::new().send(Device(allocate(400).cast()))), (0xC9, 4));
    let with_cancel_routine = || {
        let irp = Irp::new();
        irp.set_cancel_routine(Some(on_cancel));
        irp.send(Device::new());
    };
    assert_eq!(code(with_cancel_routine), (0xC9, 0x203));
    assert_eq!(bug(|| Irp::new().complete_as_is()).code, 0x44);
    let twice = || {
        let irp = Irp::new();
        irp.free();
        irp.free();
    };
    assert_eq!(code(twice), (0xC9, 1));
    assert_eq!(code(|| free(Irp::new().0)), (0xC2, 0x46), "the kernel's own pool");
    let gone = || {
        let irp = Irp::new();
        irp.free();
        irp.send(Device::new());
    };
    assert_eq!(code(gone), (0xC9, 3));
    let raised = || {
        let (irp, device) = (Irp::new(), Device::new());
        raise(5);
        irp.send(device);
    };
    assert_eq!(code(raised), (0xC9, 0x10));
}

unsafe extern "C" fn keeps_the_lock(_device: PDEVICE_OBJECT, _irp: PIRP) {}

unsafe extern "C" fn lowers_too_little(_device: PDEVICE_OBJECT, _irp: PIRP) {
    release_cancel_lock(1);
}

#[test]
fn a_cancel_routine_releases_the_lock_and_restores_irql() {
    let canceled_with = |routine: unsafe extern "C" fn(PDEVICE_OBJECT, PIRP)| {
        code(move || {
            let irp = Irp::new();
            irp.set_cancel_routine(Some(routine));
            irp.cancel();
        })
    };
    assert_eq!(canceled_with(keeps_the_lock), (0xC4, 0x1006));
    assert_eq!(canceled_with(lowers_too_little).0, 0xC8);
}

#[test]
fn canceling_without_a_routine_sets_the_flag_only() {
    fine(|| {
        let irp = Irp::new();
        assert!(!irp.cancel());
        assert!(irp.is_canceled());
        assert_eq!(current_irql(), 0);
        irp.free();
    });
}

#[test]
fn the_cancel_spin_lock_is_a_spin_lock() {
    fine(|| {
        let before = acquire_cancel_lock();
        assert_eq!((before, current_irql()), (0, DISPATCH));
        release_cancel_lock(before);
    });
    assert_eq!(code(|| _ = (acquire_cancel_lock(), acquire_cancel_lock())), (0xC4, 0x1000));
}

#[test]
fn a_request_that_is_completed_to_its_end_or_leaked_is_refused() {
    let stop = alone(|| {
        dispatch_reads(succeeds);
        Irp::new().send(Device::new());
    });
    assert!(matches!(stop, Err(Stop::Failure { oracle: "not supported", .. })), "{stop:?}");
    assert!(matches!(alone(|| _ = Irp::try_new(0)), Err(Stop::Failure { oracle: "not supported", .. })));
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    kernel.run_on(0, || _ = Irp::new()).unwrap();
    assert!(kernel.unload().unwrap_err().to_string().contains("'Irp '"));
}

#[test]
fn there_is_no_request_where_memory_is_low() {
    fine(|| {
        ntsim::fail_allocation(0);
        assert!(Irp::try_new(1).is_none());
    });
}
