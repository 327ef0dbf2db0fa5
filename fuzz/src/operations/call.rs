//! Calls through the vtables, as a client that knows nothing of Rust makes them. They pass pointers
//! and get statuses and bytes.
//!
//! Every function needs a reference to the operation that the caller owns. The tables of
//! [`OperationWorld`] provide one, and a ledger in this module checks each call for it. The types
//! of values are erased, because the tables of all types have the same ABI in each slot.

use core::{ffi::c_void, ptr};

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, AsyncStatus, GUID, IUnknownRaw,
    IUnknownVtbl, Interface, NTSTATUS, RawAsyncStatus,
};
use ntcom_fuzz_model::{
    answer::{Answer, OutValue},
    event::Event,
    ops::{Handler, Iid, Out, Timeout, Via},
    out,
    value::Bytes,
};
use ntsim::trace::MarkKind;

use super::{
    body::marked,
    world::{self, OperationWorld},
};
use crate::harness::slots::{self, slot};

const UNSUPPORTED: GUID = GUID::from_u128(0x0bad_c0de_dead_beef_0123_4567_89ab_cdef);

fn iid(which: Iid) -> Option<GUID> {
    match which {
        Iid::Unknown => Some(IUnknownRaw::IID),
        Iid::Operation => Some(AsyncOperationRaw::<()>::IID),
        Iid::Control => Some(AsyncControlRaw::IID),
        Iid::Unsupported => Some(UNSUPPORTED),
        Iid::Null => None,
    }
}

/// The table of an interface.
///
/// # Safety
/// `this` is a live interface with a table of type `V`.
unsafe fn table<V>(this: *mut c_void) -> &'static V {
    // SAFETY: the caller passes such an interface.
    unsafe { slots::table(this, "C11", "an interface") }
}

/// The oracle of the generator itself. A call without a reference, or above DISPATCH_LEVEL, is the
/// client's breach of the contract.
pub const ILLEGAL: &str = "illegal call";

fn legal(world: &OperationWorld, operation: usize) {
    world.steps.tried();
    world.steps.reached();
    if world.slot(operation).ledger.get() == 0 {
        ntsim::fail(ILLEGAL, format!("operation {operation} is called without a reference to it"));
    }
    if u32::from(ntsim::irql()) > ntsim::types::DISPATCH_LEVEL {
        ntsim::fail(ILLEGAL, format!("operation {operation} is called above DISPATCH_LEVEL"));
    }
}

fn ledger(world: &OperationWorld, operation: usize, by: i32) {
    let ledger = &world.slot(operation).ledger;
    ledger.set(ledger.get().saturating_add_signed(by));
}

/// Records that a spawn has handed out its one reference.
pub fn received(world: &OperationWorld, operation: usize) {
    ledger(world, operation, 1);
}

/// A pointer to one of the operation's interfaces. The second interface is queried when it is first
/// needed.
fn interface(world: &OperationWorld, operation: usize, via: Via) -> *mut c_void {
    let operation = world.slot(operation);
    let this = operation.operation.get();
    if via == Via::Operation {
        return this;
    }
    if operation.control.get().is_null() {
        // SAFETY: `this` is the first interface of a live operation.
        let unknown = unsafe { table::<IUnknownVtbl>(this) };
        let mut out = ptr::null_mut();
        // SAFETY: the caller has a reference, so `this` is alive. The IID and `out` are valid
        // pointers.
        let status = unsafe {
            slot(unknown.QueryInterface, "QueryInterface")(this, &AsyncControlRaw::IID, &raw mut out)
        };
        if status != NTSTATUS::SUCCESS || out.is_null() {
            ntsim::fail("C2", format!("QueryInterface of an operation for IAsyncControl answers {status}"));
        }
        // SAFETY: the query above gave this reference.
        unsafe { slot(unknown.Release, "Release")(this) };
        operation.control.set(out);
    }
    operation.control.get()
}

fn base(world: &OperationWorld, operation: usize, via: Via) -> (*mut c_void, &'static IUnknownVtbl) {
    legal(world, operation);
    let this = interface(world, operation, via);
    // SAFETY: every interface begins with these slots.
    (this, unsafe { table(this) })
}

fn operation_table(
    world: &OperationWorld,
    operation: usize,
) -> (*mut c_void, &'static AsyncOperationVtbl<u8>) {
    legal(world, operation);
    let this = interface(world, operation, Via::Operation);
    // SAFETY: `this` is the operation's interface. Its table differs only in the type that
    // `get_result` writes.
    (this, unsafe { table(this) })
}

fn control_table(world: &OperationWorld, operation: usize) -> (*mut c_void, &'static AsyncControlVtbl) {
    legal(world, operation);
    let this = interface(world, operation, Via::Control);
    // SAFETY: `this` is the operation's second interface.
    (this, unsafe { table(this) })
}

/// `QueryInterface`. A pointer that it yields owns a reference.
pub fn query(world: &OperationWorld, operation: usize, via: Via, which: Iid, out: Out) -> Answer {
    let (this, table) = base(world, operation, via);
    // Query the expected pointer first, so that it can be recognised.
    let control = interface(world, operation, Via::Control);
    let wanted = iid(which);
    let iid = wanted.as_ref().map_or(ptr::null(), ptr::from_ref);
    let query = slot(table.QueryInterface, "QueryInterface");
    let known = [world.slot(operation).operation.get(), control];
    // SAFETY: the caller has a reference. Both pointers are null or valid.
    let answer = out::interface(out, known, |out| unsafe { query(this, iid, out) }.to_u32());
    if answer.status == NTSTATUS::SUCCESS.to_u32() {
        ledger(world, operation, 1);
    }
    answer
}

/// `AddRef`.
pub fn add_ref(world: &OperationWorld, operation: usize, via: Via) -> Answer {
    let (this, table) = base(world, operation, via);
    // SAFETY: the caller has a reference.
    let count = unsafe { slot(table.AddRef, "AddRef")(this) };
    ledger(world, operation, 1);
    Answer { status: u32::from(count == 0), out: OutValue::None }
}

/// `Release`. It consumes the caller's reference.
pub fn release(world: &OperationWorld, operation: usize, via: Via) -> Answer {
    let (this, table) = base(world, operation, via);
    ledger(world, operation, -1);
    // SAFETY: the call consumes the caller's reference.
    let count = unsafe { slot(table.Release, "Release")(this) };
    Answer { status: u32::from(count == 0), out: OutValue::None }
}

/// `get_status`.
pub fn get_status(world: &OperationWorld, operation: usize, out: Out) -> Answer {
    let (this, table) = operation_table(world, operation);
    let get_status = slot(table.get_status, "get_status");
    // SAFETY: the caller has a reference. `out` is null or writable.
    out::number(out, |out| unsafe { get_status(this, out) }.to_u32())
}

/// `get_result`.
pub fn get_result(world: &OperationWorld, operation: usize, out: Out) -> Answer {
    let kind = world.slot(operation).kind.get();
    let (this, table) = operation_table(world, operation);
    let get_result = slot(table.get_result, "get_result");
    // SAFETY: the caller has a reference. `out` is null or has room for the value.
    out::value(out, (operation, kind), 8, |out| unsafe { get_result(this, out) }.to_u32())
}

/// `cancel`.
pub fn cancel(world: &OperationWorld, operation: usize) -> Answer {
    let (this, table) = control_table(world, operation);
    world.slot(operation).body.ask();
    marked(MarkKind::Cancel, operation, "");
    // SAFETY: the caller has a reference.
    let status = unsafe { slot(table.cancel, "cancel")(this) };
    Answer { status: status.to_u32(), out: OutValue::None }
}

/// `get_error`.
pub fn get_error(world: &OperationWorld, operation: usize, out: Out) -> Answer {
    let (this, table) = control_table(world, operation);
    let get_error = slot(table.get_error, "get_error");
    // SAFETY: the caller has a reference. `out` is null or writable.
    out::number(out, |out| unsafe { get_error(this, out) }.to_u32())
}

/// `get_result_size`.
pub fn get_result_size(world: &OperationWorld, operation: usize, out: Out) -> Answer {
    let (this, table) = control_table(world, operation);
    let get_result_size = slot(table.get_result_size, "get_result_size");
    // SAFETY: the caller has a reference. `out` is null or writable.
    out::number(out, |out| unsafe { get_result_size(this, out) }.to_u32())
}

/// `wait`. A wait without a limit gets one unless the operation has ended, because the operation
/// may never end.
pub fn wait(world: &OperationWorld, operation: usize, timeout: Timeout) -> Answer {
    let forever = timeout == Timeout::Forever && has_ended(world, operation);
    let (this, table) = control_table(world, operation);
    let time = if timeout == Timeout::Zero { 0 } else { -10_000 };
    let time = if forever { ptr::null() } else { &raw const time };
    let seen_before = world.slot(operation).ended.get() != 0;
    let tick = ntsim::last_tick();
    // SAFETY: the caller has a reference. The timeout is null or valid.
    let status = unsafe { slot(table.wait, "wait")(this, time) };
    if timeout != Timeout::Zero && status == NTSTATUS::TIMEOUT && ntsim::last_tick() == tick {
        // The end of another task must not wake this waiter.
        ntsim::fail(
            "C15",
            format!("wait for operation {operation} answers {status} before a clock tick has passed"),
        );
    }
    if seen_before && status == NTSTATUS::TIMEOUT {
        ntsim::fail("C15", format!("operation {operation} has ended, but wait answers {status}"));
    }
    Answer { status: status.to_u32(), out: OutValue::None }
}

/// Whether the operation's `get_status` answers a terminal state.
pub fn has_ended(world: &OperationWorld, operation: usize) -> bool {
    let answer = get_status(world, operation, Out::Given);
    matches!(answer.out, OutValue::Number(status) if status != 0)
}

/// `set_completed`. For [`Handler::Releases`] the caller gives the handler one of its references if
/// the call accepts it.
pub fn set_completed(world: &OperationWorld, operation: usize, handler: Handler) -> Answer {
    let (this, table) = control_table(world, operation);
    let function: Option<ntcom::async_com::CompletedHandler> = match handler {
        Handler::Records => Some(records),
        Handler::Releases => Some(releases),
        Handler::Null => None,
    };
    let context = ptr::without_provenance_mut(operation + 1);
    // SAFETY: the caller has a reference. The runtime may call the handlers once with an
    // operation's number plus one.
    let status = unsafe { slot(table.set_completed, "set_completed")(this, function, context) };
    Answer { status: status.to_u32(), out: OutValue::None }
}

/// A completion handler that records that it ran.
unsafe extern "system" fn records(context: *mut c_void, status: RawAsyncStatus) {
    world::with(|world| {
        let operation = context.addr() - 1;
        let slot = world.slot(operation);
        slot.handled.set(slot.handled.get() + 1);
        slot.told.set(status.0);
        world.happened(operation, Event::Handled(status.0));
        if slot.handled.get() > 1 && !slot.bodyless.get() {
            ntsim::fail("C14", format!("the completion handler of operation {operation} runs twice"));
        }
        if !AsyncStatus::try_from(status).is_ok_and(AsyncStatus::is_terminal) {
            ntsim::fail("C14", format!("the completion handler of operation {operation} is told {status:?}"));
        }
        if let Some(wrong) = outcome_mismatch(world, operation, status.0) {
            let why = format!("the completion handler of operation {operation} is told {status:?}: {wrong}");
            ntsim::fail("C10", why);
        }
        let seen = slot.ended.replace(status.0);
        if seen != 0 && seen != status.0 {
            let why =
                format!("the completion handler of operation {operation} is told {status:?} after {seen}");
            ntsim::fail("C6", why);
        }
        if !slot.bodyless.get() && slot.body.drops.get() == 0 {
            ntsim::fail("C8", format!("operation {operation} has ended, but its body is not dropped"));
        }
        if let Some(object) = slot.object.get()
            && world.objects[object].drops.get() == 0
            && world.is_let_go(object, operation)
        {
            ntsim::fail("C19", format!("operation {operation} has ended, but still holds object {object}"));
        }
    });
}

/// A completion handler that releases a reference too. On one processor it first checks the status
/// and result, because calls are not steps of a schedule there.
unsafe extern "system" fn releases(context: *mut c_void, status: RawAsyncStatus) {
    // SAFETY: the caller passes the context and status that `set_completed` promises to a handler.
    unsafe { records(context, status) };
    world::with(|world| {
        let operation = context.addr() - 1;
        if world.alone.get() {
            is_visible(world, operation, status);
        }
        release(world, operation, Via::Operation)
    });
}

/// Checks that the other slots show the status that a completion handler is told `[C14]`. The
/// handler holds a reference.
fn is_visible(world: &OperationWorld, operation: usize, told: RawAsyncStatus) {
    let Answer { out, .. } = get_status(world, operation, Out::Given);
    if out != OutValue::Number(told.0.cast_unsigned()) {
        let why = format!(
            "the completion handler of operation {operation} is told {told:?}, but get_status writes {out:?}"
        );
        ntsim::fail("C14", why);
    }
    let Answer { status, out } = get_result(world, operation, Out::Given);
    let (ended, completed) = (status != NTSTATUS::PENDING.to_u32(), told == AsyncStatus::Completed.into());
    let bytes = OutValue::Bytes(if completed { Bytes::Value } else { Bytes::Zeroed });
    if !ended || completed != (status == NTSTATUS::SUCCESS.to_u32()) || out != bytes {
        let why = format!(
            "in the completion handler of operation {operation} get_result answers {status:#x} and leaves {out:?}"
        );
        ntsim::fail("C14", why);
    }
}

/// The reason that a terminal status does not match the body's outcome by `[C10]` and `[C20]`, if
/// it does not.
#[must_use]
pub fn outcome_mismatch(world: &OperationWorld, operation: usize, status: i32) -> Option<&'static str> {
    let slot = world.slot(operation);
    let (ready, unwound) = (slot.body.ready.get(), slot.body.unwound.get());
    if slot.bodyless.get() {
        return None;
    }
    let cancelled = slot.may_fail.get() == Some(NTSTATUS::CANCELLED.to_u32());
    match (status, slot.may_fail.get()) {
        (1 | 3, _) if !ready => Some("its body has not returned"),
        (1 | 2, Some(_)) if ready && !(cancelled && status == 2) => Some("its body has failed"),
        (3, None) => Some("its body cannot fail"),
        (1, None) if unwound => Some("its body has unwound"),
        (2, None) if ready && !unwound => Some("its body has returned a value and has not unwound"),
        _ => None,
    }
}
