//! Operations of the objects' async methods, and the checks of their results.

use core::{ffi::c_void, ptr::null_mut};

use ntcom::{
    AsyncControlRaw, AsyncOperationRaw, AsyncStatus, IUnknownVtbl, Interface as _, NTSTATUS, RawAsyncStatus,
};

use super::{
    body::Work,
    interfaces::{A, D, IDVtbl, U, answer},
    shape::Shape,
    tables::{give_back, release, table},
    world::{ComWorld, Operation, Reference, Yields},
};
use crate::harness::slots::slot;

/// Calls an async method. It returns an operation, never null `[C11]`.
pub(super) fn start(
    world: &ComWorld,
    processor: usize,
    held: Reference,
    shape: Shape,
    opaque: bool,
    work: u8,
    starved: bool,
) {
    if starved {
        world.starved.set(true);
        ntsim::fail_allocation(0);
    }
    let (table, n) = (table::<IDVtbl>(held.this), work);
    let work = u32::from(work);
    let method = if opaque { table.opaque } else { table.named };
    // SAFETY: the caller has a reference.
    let raw = unsafe { slot(method, "an async method")(held.this, work, n) };
    if raw.is_null() {
        held.fail("C11", "an async method returns null".into());
    }
    let number = held.object + shape.answers(D);
    let fails = !opaque && Work::of(work) == Work::Fails;
    let value = answer(number, if opaque { 4 } else { 3 }, n.into());
    let may_fail = fails.then_some(NTSTATUS::NOT_SUPPORTED);
    let yields = Yields::Value(value);
    world.operations[processor].borrow_mut().push(Operation { raw, yields, may_fail, cancelled: false });
}

/// Calls an async method that yields an interface.
pub(super) fn open(world: &ComWorld, processor: usize, held: Reference, work: u8, starved: bool) -> bool {
    let Some(number) = world.number(Shape::Pair) else { return false };
    if starved {
        world.starved.set(true);
        ntsim::fail_allocation(0);
    }
    let opens = slot(table::<IDVtbl>(held.this).opens, "opens");
    // SAFETY: the caller has a reference.
    let raw = unsafe { opens(held.this, work.into(), number as u32) };
    if raw.is_null() {
        held.fail("C11", "an async method returns null".into());
    }
    let may_fail = (Work::of(work.into()) == Work::Fails).then_some(NTSTATUS::NOT_SUPPORTED);
    let operation =
        Operation { raw: raw.cast(), yields: Yields::Interface(number), may_fail, cancelled: false };
    world.operations[processor].borrow_mut().push(operation);
    true
}

/// Asks an operation for its status and result.
pub(super) fn status(world: &ComWorld, processor: usize, n: u8) -> bool {
    let Some((_, operation)) = world.operation(processor, n) else { return false };
    judge(world, processor, operation);
    true
}

/// Records an interface that an operation has handed out with a reference. It must be the same each
/// time.
fn keep(world: &ComWorld, processor: usize, object: usize, this: *mut c_void) {
    let record = world.record(object);
    let reference = Reference { object, iface: A, this };
    let known = record.this.replace(this);
    record.found[U].set(this);
    record.found[A].set(this);
    if this.is_null() || !known.is_null() && known != this {
        reference.fail("C5", format!("an operation yields {this:?}, and yielded {known:?} before"));
    }
    world.take(processor, reference);
    if !world.room(processor) {
        let last = world.hands[processor].borrow().len() - 1;
        give_back(world, processor, last);
    }
}

/// Checks that an operation's status and result fit its method.
fn judge(world: &ComWorld, processor: usize, operation: Operation) {
    let this: *mut c_void = operation.raw.cast();
    let table = table::<ntcom::AsyncOperationVtbl<u64>>(this);
    let mut status = RawAsyncStatus(-1);
    // SAFETY: the caller has a reference.
    unsafe { slot(table.get_status, "get_status")(this, &raw mut status) };
    let mut out = u64::MAX;
    // SAFETY: the caller has a reference.
    let result = unsafe { slot(table.get_result, "get_result")(this, &raw mut out) };
    // It may have ended between the two calls.
    let success = result == NTSTATUS::SUCCESS;
    let right = match operation.yields {
        Yields::Value(value) => out == value,
        Yields::Interface(object) if success => {
            keep(world, processor, object, core::ptr::with_exposed_provenance_mut(out as usize));
            true
        }
        Yields::Interface(_) => false,
    };
    let completed = success && right && operation.may_fail.is_none();
    let canceled = result == NTSTATUS::CANCELLED && operation.cancelled;
    let short = result == NTSTATUS::INSUFFICIENT_RESOURCES && world.starved.get();
    let failed = short || operation.may_fail == Some(result);
    let fits = match AsyncStatus::try_from(status) {
        Ok(AsyncStatus::Started) => result == NTSTATUS::PENDING || completed || canceled || failed,
        Ok(AsyncStatus::Completed) => completed,
        Ok(AsyncStatus::Canceled) => canceled,
        Ok(AsyncStatus::Error) => failed,
        Err(_) => false,
    };
    if !fits || !success && out != 0 {
        let RawAsyncStatus(status) = status;
        ntsim::fail(
            "C5",
            format!(
                "an operation has the status {status}, and get_result answers {result} and writes {out:#x}"
            ),
        );
    }
}

/// Cancels an operation.
pub(super) fn cancel(world: &ComWorld, processor: usize, n: u8) -> bool {
    let Some((index, operation)) = world.operation(processor, n) else { return false };
    world.operations[processor].borrow_mut()[index].cancelled = true;
    cancel_raw(operation.raw);
    true
}

/// Cancels through IAsyncControl.
fn cancel_raw(raw: *mut AsyncOperationRaw<u64>) {
    let this: *mut c_void = raw.cast();
    let (iid, mut out) = (AsyncControlRaw::IID, null_mut());
    let query = slot(table::<IUnknownVtbl>(this).QueryInterface, "QueryInterface");
    // SAFETY: the caller has a reference. Both pointers are valid.
    let status = unsafe { query(this, &raw const iid, &raw mut out) };
    if status != NTSTATUS::SUCCESS {
        ntsim::fail("C2", format!("QueryInterface of an operation for IAsyncControl answers {status}"));
    }
    // SAFETY: `out` is a reference to this interface, which the query gave.
    unsafe { slot(table::<ntcom::AsyncControlVtbl>(out).cancel, "cancel")(out) };
    release(out);
}

/// Releases an operation.
pub(super) fn let_go(world: &ComWorld, processor: usize, n: u8) -> bool {
    let Some((index, operation)) = world.operation(processor, n) else { return false };
    world.operations[processor].borrow_mut().swap_remove(index);
    release(operation.raw.cast());
    true
}

/// Judges, cancels and releases the operations of a processor.
pub(super) fn release_operations(world: &ComWorld, processor: usize) {
    while let Some((_, operation)) = world.operation(processor, 0) {
        judge(world, processor, operation);
        world.operations[processor].borrow_mut()[0].cancelled = true;
        cancel_raw(operation.raw);
        judge(world, processor, Operation { cancelled: true, ..operation });
        let_go(world, processor, 0);
    }
}
