//! Stack locations after a completion, and the ways in which drivers pass them on
//! (learn.microsoft.com/windows-hardware/drivers/kernel/reusing-irps,
//! `nf-wdm-ioskipcurrentirpstacklocation`, `nf-wdm-iocopycurrentirpstacklocationtonext`,
//! `nf-wdm-ioreuseirp`).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::Cell;
use std::rc::Rc;

use common::{io::*, irps::*, *};
use ntsim::types::*;

/// The state of the tests' drivers.
#[derive(Default)]
struct State {
    /// The request that the driver below has kept.
    kept: Cell<Option<Irp>>,
    /// How many requests the driver below has received.
    requests: Cell<u32>,
    /// How often the completion routine of the driver above has been called.
    completions: Cell<u32>,
}

fn state() -> &'static State {
    // SAFETY: image state lives until the simulation is reset, which no test's run outlives.
    unsafe { &*ntsim::image_state::<State>() }
}

fn count(counter: &Cell<u32>) -> u32 {
    counter.set(counter.get() + 1);
    counter.get()
}

/// The dispatch routine of a driver below that keeps its first request, and completes every other
/// one at once.
unsafe extern "C" fn keeps_the_first(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let irp = Irp(irp);
    if count(&state().requests) > 1 {
        return irp.complete(STATUS_SUCCESS);
    }
    irp.mark_pending();
    state().kept.set(Some(irp));
    STATUS_PENDING
}

/// The dispatch routine of a filter that keeps the request when it is completed below. The first
/// device's extension has the device below.
unsafe extern "C" fn filters(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let extension = Device(device).extension().cast::<PDEVICE_OBJECT>();
    // SAFETY: the extension has room for a pointer.
    let below = unsafe { extension.read() };
    let irp = Irp(irp);
    if below.is_null() {
        // SAFETY: the arguments are those of a dispatch routine.
        return unsafe { keeps_the_first(device, irp.0) };
    }
    irp.mark_pending();
    irp.copy_to_next();
    irp.on_completion(|irp| {
        count(&state().completions);
        state().kept.set(Some(irp));
        STATUS_MORE_PROCESSING_REQUIRED
    });
    irp.send(Device(below));
    STATUS_PENDING
}

/// Creates two devices. The first has a pointer to the second.
fn stack() -> (Device, Device) {
    let (above, below) = (Device::try_new(8).unwrap(), Device::try_new(8).unwrap());
    // SAFETY: the extension has room for a pointer.
    unsafe { above.extension().cast::<PDEVICE_OBJECT>().write(below.0) };
    (above, below)
}

#[test]
fn a_request_that_is_sent_again_has_neither_the_routine_nor_the_mark_of_the_first_time() {
    fine(|| {
        let (above, below) = stack();
        dispatch_reads(filters);
        let heard = Rc::new(Cell::new(0));
        let hears = Rc::clone(&heard);
        let irp = Irp::try_new(2).unwrap();
        irp.set_next_major(IRP_MJ_READ as u8);
        irp.on_completion(move |_| {
            count(&hears);
            STATUS_MORE_PROCESSING_REQUIRED
        });
        assert_eq!(irp.send(above), STATUS_PENDING);
        state().kept.take().unwrap().complete(STATUS_SUCCESS);
        assert_eq!((state().completions.get(), heard.get()), (1, 0));
        // The filter sends its kept request again, without a routine. The driver below has marked
        // it the first time only.
        assert_eq!(state().kept.take().unwrap().send(below), STATUS_SUCCESS);
        assert_eq!((state().requests.get(), state().completions.get(), heard.get()), (2, 1, 1));
        assert!(irp.pending_returned(), "the filter has marked it");
        irp.free();
        above.delete();
        below.delete();
    });
}

#[test]
fn a_location_that_the_request_leaves_is_zeroed_before_the_completion_routine() {
    fine(|| {
        let device = Device::new();
        dispatch_reads(keeps_the_first);
        let irp = Irp::new().on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED);
        let location = irp.next();
        // SAFETY: the location belongs to an IRP that is not freed.
        let before = unsafe { location.read() };
        let filled = IO_STACK_LOCATION {
            MinorFunction: 1,
            Flags: 2,
            Parameters: [3, 4, 5, 6],
            FileObject: core::ptr::without_provenance_mut(16),
            ..before
        };
        // SAFETY: the location belongs to an IRP that is not freed.
        unsafe { location.write(filled) };
        irp.send(device);
        state().kept.take().unwrap().complete(STATUS_SUCCESS);
        // SAFETY: the location belongs to an IRP that is not freed.
        let after = unsafe { location.read() };
        assert_eq!((after.MinorFunction, after.Flags, after.Control), (0, 0, 0));
        assert_eq!((after.Parameters, after.FileObject.is_null()), ([0; 4], true));
        assert_eq!((after.MajorFunction, after.DeviceObject), (IRP_MJ_READ as u8, device.0));
        assert_eq!((after.CompletionRoutine.is_some(), after.Context), (true, before.Context));
        irp.free();
        device.delete();
    });
}

#[test]
fn copying_a_location_leaves_the_routine_of_the_next_one_and_clears_when_it_is_called() {
    fine(|| {
        let (above, below) = stack();
        dispatch_reads(copies);
        let irp = Irp::try_new(2).unwrap();
        irp.set_next_major(IRP_MJ_READ as u8);
        irp.on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED);
        assert_eq!(irp.send(above), STATUS_SUCCESS);
        irp.free();
        above.delete();
        below.delete();
    });
}

unsafe extern "C" fn copies(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let irp = Irp(irp);
    irp.on_completion(|_| STATUS_SUCCESS);
    // SAFETY: the location belongs to an IRP that is not freed.
    let before = unsafe { irp.next().read() };
    irp.copy_to_next();
    // SAFETY: the location belongs to an IRP that is not freed.
    let after = unsafe { irp.next().read() };
    assert_eq!(after.CompletionRoutine.map(|it| it as usize), before.CompletionRoutine.map(|it| it as usize));
    assert_eq!((after.Context, after.Control), (before.Context, 0));
    assert_eq!(after.MajorFunction, IRP_MJ_READ as u8);
    irp.complete(STATUS_SUCCESS)
}

/// The dispatch routine of a filter that does not handle the end of its requests.
unsafe extern "C" fn skips(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let extension = Device(device).extension().cast::<PDEVICE_OBJECT>();
    // SAFETY: the extension has room for a pointer.
    let below = unsafe { extension.read() };
    if below.is_null() {
        assert_eq!(Irp(irp).current().Parameters, [1, 2, 3, 4]);
        // SAFETY: the arguments are those of a dispatch routine.
        return unsafe { keeps_the_first(device, irp) };
    }
    Irp(irp).skip();
    Irp(irp).send(Device(below))
}

#[test]
fn a_skipped_location_is_that_of_the_driver_below() {
    fine(|| {
        let (above, below) = stack();
        dispatch_reads(skips);
        for expected in [STATUS_PENDING, STATUS_SUCCESS] {
            let heard = Rc::new(Cell::new(0));
            let hears = Rc::clone(&heard);
            // One location is enough for two drivers.
            let irp = Irp::new().on_completion(move |_| {
                count(&hears);
                STATUS_MORE_PROCESSING_REQUIRED
            });
            // SAFETY: the location belongs to an IRP that is not freed.
            unsafe { (*irp.next()).Parameters = [1, 2, 3, 4] };
            assert_eq!(irp.send(above), expected);
            if let Some(kept) = state().kept.take() {
                kept.complete(STATUS_SUCCESS);
            }
            assert_eq!((heard.get(), irp.pending_returned()), (1, expected == STATUS_PENDING));
            irp.free();
        }
        above.delete();
        below.delete();
    });
}

/// The dispatch routine of a driver that skips its location like [`skips`], over a driver that
/// completes its request before it returns STATUS_PENDING.
unsafe extern "C" fn skips_over_a_fast_one(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let extension = Device(device).extension().cast::<PDEVICE_OBJECT>();
    // SAFETY: the extension has room for a pointer.
    let below = unsafe { extension.read() };
    let irp = Irp(irp);
    if below.is_null() {
        irp.mark_pending();
        irp.complete(STATUS_SUCCESS);
        return STATUS_PENDING;
    }
    irp.skip();
    irp.send(Device(below))
}

#[test]
fn a_driver_that_skips_returns_what_the_driver_below_has_returned() {
    fine(|| {
        let (above, below) = stack();
        dispatch_reads(skips_over_a_fast_one);
        let irp = Irp::new().on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED);
        assert_eq!(irp.send(above), STATUS_PENDING);
        assert!(irp.pending_returned());
        irp.free();
        above.delete();
        below.delete();
    });
}

#[test]
fn a_skipped_request_that_no_driver_was_sent_is_refused() {
    assert_eq!(bug(|| Irp::new().skip()).code, 0x44);
}

#[test]
fn a_request_that_is_used_again_is_as_new() {
    fine(|| {
        let device = Device::new();
        dispatch_reads(keeps_the_first);
        let irp = Irp::new().on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED);
        irp.send(device);
        state().kept.take().unwrap().complete(STATUS_CANCELLED);
        irp.cancel();
        irp.reuse(STATUS_SUCCESS);
        assert_eq!((irp.status(), irp.is_canceled(), irp.pending_returned()), (STATUS_SUCCESS, false, false));
        // SAFETY: the location belongs to an IRP that is not freed.
        let location = unsafe { irp.next().read() };
        assert_eq!((location.MajorFunction, location.CompletionRoutine.is_none()), (0, true));
        irp.set_next_major(IRP_MJ_READ as u8);
        irp.on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED);
        assert_eq!(irp.send(device), STATUS_SUCCESS);
        irp.free();
        device.delete();
    });
}

unsafe extern "C" fn uses_again(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).reuse(STATUS_SUCCESS);
    STATUS_SUCCESS
}

#[test]
fn a_request_that_a_driver_has_or_that_is_gone_is_not_used_again() {
    let has = || {
        dispatch_reads(uses_again);
        Irp::new().send(Device::new());
    };
    assert_eq!(code(has), (0xC9, 0x20B));
    let gone = || {
        let irp = Irp::new();
        irp.free();
        irp.reuse(STATUS_SUCCESS);
    };
    assert_eq!(code(gone), (0xC9, 1));
}
