//! Cancel-safe queues.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/kernel/cancel-safe-irp-queues and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-iocsqinitialize`,
//! `nf-wdm-iocsqinsertirp`, `nf-wdm-iocsqremoveirp`, `nf-wdm-iocsqremovenextirp`.
//!
//! The driver owns the queue and its lock and reaches them through its own routines. This module
//! implements the protocol with IoCancelIrp by the calls that a driver would otherwise make itself.
//! The checks of those calls apply here too.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use core::ptr::null_mut;

use super::{IoMarkIrpPending, IoReleaseCancelSpinLock, IoSetCancelRoutine};
use crate::{
    engine::{
        entry::{enter, here, mine},
        machine::Machine,
    },
    subsystem::{anywhere, irp},
    trace::Value,
    types::{
        IO_CSQ, IO_CSQ_IRP_CONTEXT, IRP, KIRQL, NTSTATUS, PDEVICE_OBJECT, PIO_CSQ, PIO_CSQ_ACQUIRE_LOCK,
        PIO_CSQ_COMPLETE_CANCELED_IRP, PIO_CSQ_INSERT_IRP, PIO_CSQ_IRP_CONTEXT, PIO_CSQ_PEEK_NEXT_IRP,
        PIO_CSQ_RELEASE_LOCK, PIO_CSQ_REMOVE_IRP, PIRP, PVOID, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
    },
    verifier::{bugcheck::irp::IrpUse, irql::Ddi},
};

/// The `Type` values of a queue and of a context, as in NT.
const QUEUE: u32 = 2;
const CONTEXT: u32 = 1;

/// Reads a queue. The run ends as not supported if its `Type` is not that of a queue.
fn load(machine: &Machine, csq: PIO_CSQ) -> IO_CSQ {
    // SAFETY: the driver promised the DDI that `csq` is valid; otherwise this read faults.
    let value = unsafe { anywhere::read(csq) };
    if value.Type != QUEUE {
        let name = machine.name(csq as usize);
        machine.fail(
            "not supported",
            alloc::format!("{name} is used as a cancel-safe queue, but IoCsqInitialize has not made it one"),
        );
    }
    value
}

/// Calls a routine of the driver's queue. The driver's code runs in it, not the kernel call.
fn call_out<R>(routine: impl FnOnce() -> R) -> R {
    match mine() {
        Some(machine) => machine.call_out(routine),
        None => routine(),
    }
}

fn lock(csq: PIO_CSQ, value: &IO_CSQ) -> KIRQL {
    let mut irql = 0;
    if let Some(acquire) = value.CsqAcquireLock {
        // SAFETY: the driver's own routine gets its own queue; no borrow of the machine is open
        // [M1].
        call_out(|| unsafe { acquire(csq, &raw mut irql) });
    }
    irql
}

fn unlock(csq: PIO_CSQ, value: &IO_CSQ, irql: KIRQL) {
    if let Some(release) = value.CsqReleaseLock {
        // SAFETY: the driver's own routine gets its own queue; no borrow of the machine is open
        // [M1].
        call_out(|| unsafe { release(csq, irql) });
    }
}

/// Removes an IRP from the locked queue. Its cancel routine has been withdrawn.
fn take(csq: PIO_CSQ, value: &IO_CSQ, packet: PIRP) {
    if let Some(remove) = value.CsqRemoveIrp {
        // SAFETY: the driver's own routine gets its own queue and an IRP that is in it; no borrow
        // of the machine is open [M1].
        call_out(|| unsafe { remove(csq, packet) });
    }
    let mut content = irp::read(packet);
    let [.., last] = &mut content.DriverContext;
    let context: PIO_CSQ_IRP_CONTEXT = last.cast();
    *last = null_mut();
    irp::write(packet, content);
    if !context.is_null() && context.cast() != csq {
        let gone = IO_CSQ_IRP_CONTEXT { Type: CONTEXT, Irp: null_mut(), Csq: csq };
        // SAFETY: the driver gave this context with the IRP and promised to keep it while the IRP
        // is in the queue.
        unsafe { context.write_unaligned(gone) };
    }
}

fn complete(csq: PIO_CSQ, value: &IO_CSQ, packet: PIRP) {
    if let Some(complete) = value.CsqCompleteCanceledIrp {
        // SAFETY: the driver's own routine gets its own queue and an IRP that is in no queue; no
        // borrow of the machine is open [M1].
        call_out(|| unsafe { complete(csq, packet) });
    }
}

/// Returns the queue that an IRP is in.
fn queue_of(packet: PIRP) -> PIO_CSQ {
    let IRP { DriverContext: [.., last], .. } = irp::read(packet);
    // SAFETY: `IoCsqInsertIrp` stored a queue or a context here, and both begin with their `Type`.
    match unsafe { last.cast::<u32>().read_unaligned() } {
        CONTEXT => {
            // SAFETY: its `Type` says that it is a context, which the driver keeps while the IRP is
            // queued.
            unsafe { last.cast::<IO_CSQ_IRP_CONTEXT>().read_unaligned() }.Csq
        }
        _ => last.cast(),
    }
}

/// The cancel routine of every IRP in a queue.
unsafe extern "C" fn cancel(_device: PDEVICE_OBJECT, packet: PIRP) {
    let Some(machine) = here() else { return };
    let csq = queue_of(packet);
    let value = load(&machine, csq);
    // SAFETY: `IoCancelIrp` calls a cancel routine with the cancel spin lock held.
    unsafe { IoReleaseCancelSpinLock(irp::read(packet).CancelIrql) };
    let irql = lock(csq, &value);
    take(csq, &value, packet);
    unlock(csq, &value, irql);
    complete(csq, &value, packet);
}

/// Withdraws an IRP's cancel routine. Returns true if it was set, in which case it will not be
/// called.
fn withdraw(packet: PIRP) -> bool {
    // SAFETY: no routine is set, so none can be called later.
    unsafe { IoSetCancelRoutine(packet, None) }.is_some()
}

fn has_all_routines(csq: &IO_CSQ) -> bool {
    csq.CsqInsertIrp.is_some()
        && csq.CsqRemoveIrp.is_some()
        && csq.CsqPeekNextIrp.is_some()
        && csq.CsqAcquireLock.is_some()
        && csq.CsqReleaseLock.is_some()
        && csq.CsqCompleteCanceledIrp.is_some()
}

/// Stores the queue of an IRP in the IRP, by its context if the driver gave one.
fn link(csq: PIO_CSQ, packet: PIRP, context: PIO_CSQ_IRP_CONTEXT) {
    if !context.is_null() {
        let filled = IO_CSQ_IRP_CONTEXT { Type: CONTEXT, Irp: packet, Csq: csq };
        // SAFETY: the caller promises the DDI that a context that is not null is valid for writes.
        unsafe { context.write_unaligned(filled) };
    }
    let mut content = irp::read(packet);
    let [.., last] = &mut content.DriverContext;
    *last = if context.is_null() { csq.cast() } else { context.cast() };
    irp::write(packet, content);
}

/// Inserts an IRP into the locked queue, with a cancel routine. Returns whether it was cancelled
/// before, in which case it is not in the queue any more.
fn insert(csq: PIO_CSQ, value: &IO_CSQ, packet: PIRP) -> bool {
    if let Some(insert) = value.CsqInsertIrp {
        // SAFETY: the driver's own routine gets its own queue and an IRP; no borrow of the machine
        // is open [M1].
        call_out(|| unsafe { insert(csq, packet) });
    }
    // SAFETY: the call itself checks that `packet` is an IRP.
    unsafe { IoMarkIrpPending(packet) };
    // SAFETY: `cancel` may be called until it is withdrawn, because the IRP is in the queue until
    // then.
    unsafe { IoSetCancelRoutine(packet, Some(cancel)) };
    let canceled = irp::read(packet).Cancel != 0 && withdraw(packet);
    if canceled {
        take(csq, value, packet);
    }
    canceled
}

/// Initialises a cancel-safe queue with the driver's routines.
///
/// Returns STATUS_SUCCESS, or STATUS_INVALID_PARAMETER if a routine is missing. Any IRQL
/// (`nf-wdm-iocsqinitialize`).
///
/// # Safety
/// `Csq` is valid for writes and stays so while it is used; the routines may be called with it.
pub unsafe extern "C" fn IoCsqInitialize(
    Csq: PIO_CSQ,
    CsqInsertIrp: PIO_CSQ_INSERT_IRP,
    CsqRemoveIrp: PIO_CSQ_REMOVE_IRP,
    CsqPeekNextIrp: PIO_CSQ_PEEK_NEXT_IRP,
    CsqAcquireLock: PIO_CSQ_ACQUIRE_LOCK,
    CsqReleaseLock: PIO_CSQ_RELEASE_LOCK,
    CsqCompleteCanceledIrp: PIO_CSQ_COMPLETE_CANCELED_IRP,
) -> NTSTATUS {
    let machine = &*enter(Ddi::IoCsqInitialize);
    let fresh = IO_CSQ {
        Type: QUEUE,
        CsqInsertIrp,
        CsqRemoveIrp,
        CsqPeekNextIrp,
        CsqAcquireLock,
        CsqReleaseLock,
        CsqCompleteCanceledIrp,
        ReservePointer: null_mut(),
    };
    let complete = has_all_routines(&fresh);
    let status = if complete { STATUS_SUCCESS } else { STATUS_INVALID_PARAMETER };
    if complete {
        // SAFETY: the caller promises that `Csq` is valid for writes.
        unsafe { anywhere::write(Csq, fresh) };
    }
    machine.called(Ddi::IoCsqInitialize, |machine| {
        ([machine.pointer(Csq as usize)], Some(Value::Bits(status.cast_unsigned().into())))
    });
    status
}

/// Marks an IRP pending and inserts it into the queue, from which IoCancelIrp removes it.
///
/// An IRP that has been cancelled already is completed at once by the driver's routine. With a
/// `Context`, [`IoCsqRemoveIrp`] finds the IRP again. IRQL ≤ DISPATCH_LEVEL. Bug check 0x44 if no
/// driver has the IRP. The run ends as not supported if `Csq` is not a queue
/// (`nf-wdm-iocsqinsertirp`).
///
/// # Safety
/// `Csq` was initialised; `Context` is null or valid for writes while the IRP is in the queue. The
/// driver does not touch the IRP any more without the queue's lock.
pub unsafe extern "C" fn IoCsqInsertIrp(Csq: PIO_CSQ, Irp: PIRP, Context: PIO_CSQ_IRP_CONTEXT) {
    let machine = &*enter(Ddi::IoCsqInsertIrp);
    machine.called(Ddi::IoCsqInsertIrp, |machine| {
        let arguments = [Csq as usize, Irp as usize, Context as usize];
        (arguments.map(|argument| machine.pointer(argument)), None)
    });
    let value = load(machine, Csq);
    machine.checked(irp::serial(machine, Irp, IrpUse::Owned, Ddi::IoCsqInsertIrp.name()));
    link(Csq, Irp, Context);
    let irql = lock(Csq, &value);
    let canceled = insert(Csq, &value, Irp);
    unlock(Csq, &value, irql);
    if canceled {
        complete(Csq, &value, Irp);
    }
}

/// Removes and returns the first IRP that matches `PeekContext` and is not being cancelled, or null
/// if there is none. IRQL ≤ DISPATCH_LEVEL (`nf-wdm-iocsqremovenextirp`).
///
/// # Safety
/// `Csq` was initialised; the driver's routine takes `PeekContext`.
pub unsafe extern "C" fn IoCsqRemoveNextIrp(Csq: PIO_CSQ, PeekContext: PVOID) -> PIRP {
    let machine = &*enter(Ddi::IoCsqRemoveNextIrp);
    let value = load(machine, Csq);
    let irql = lock(Csq, &value);
    let mut found = null_mut();
    if let Some(peek) = value.CsqPeekNextIrp {
        loop {
            // SAFETY: the driver's own routine gets its own locked queue and null or an IRP of that
            // queue; no borrow of the machine is open [M1].
            found = call_out(|| unsafe { peek(Csq, found, PeekContext) });
            if found.is_null() || withdraw(found) {
                break;
            }
        }
    }
    if !found.is_null() {
        take(Csq, &value, found);
    }
    unlock(Csq, &value, irql);
    machine.called(Ddi::IoCsqRemoveNextIrp, |machine| {
        ([machine.pointer(Csq as usize)], Some(machine.pointer(found as usize)))
    });
    found
}

/// Removes and returns the IRP of a context, or null if it has been removed or is being cancelled.
/// IRQL ≤ DISPATCH_LEVEL (`nf-wdm-iocsqremoveirp`).
///
/// # Safety
/// `Csq` was initialised; `Context` was given to [`IoCsqInsertIrp`] for this queue.
pub unsafe extern "C" fn IoCsqRemoveIrp(Csq: PIO_CSQ, Context: PIO_CSQ_IRP_CONTEXT) -> PIRP {
    let machine = &*enter(Ddi::IoCsqRemoveIrp);
    let value = load(machine, Csq);
    let irql = lock(Csq, &value);
    // SAFETY: the caller promises that `Context` is valid; otherwise this read faults.
    let mut found = unsafe { anywhere::read(Context) }.Irp;
    if !found.is_null() && !withdraw(found) {
        found = null_mut();
    }
    if !found.is_null() {
        take(Csq, &value, found);
    }
    unlock(Csq, &value, irql);
    machine.called(Ddi::IoCsqRemoveIrp, |machine| {
        let arguments = [machine.pointer(Csq as usize), machine.pointer(Context as usize)];
        (arguments, Some(machine.pointer(found as usize)))
    });
    found
}
