//! A client, which calls every slot through the tables and checks the bytes around out-parameters.
//! It knows only the contract, and nothing else of the library.

use core::{ffi::c_void, ptr};

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, AsyncStatus, GUID, IUnknownRaw,
    IUnknownVtbl, Interface, NTSTATUS, RawAsyncStatus, async_com::CompletedHandler,
};
use ntcom_fuzz_model::{
    answer::{Answer, OutValue},
    ops::{Handler, Iid, Out, Via},
    out,
};

use crate::{
    ensure,
    finding::Finding,
    rule::Rule,
    world::{self, CaseWorld, Slot},
};

/// An interface that no operation has.
pub(crate) const UNSUPPORTED: GUID = GUID::from_u128(0x0bad_c0de_dead_beef_0123_4567_89ab_cdef);

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
/// `this` is an interface of a library that keeps the contract, and its table begins with a `V`.
pub(crate) unsafe fn table<V>(this: *mut c_void, rule: Rule) -> Result<V, Finding> {
    if this.is_null() {
        return Err(Finding::new(rule, "an interface is null"));
    }
    // SAFETY: an interface begins with the pointer of its table.
    let table = unsafe { this.cast::<*const V>().read() };
    if table.is_null() {
        return Err(Finding::new(rule, "an interface has no table"));
    }
    // SAFETY: `table` is not null, so it is the table of this interface.
    Ok(unsafe { table.read() })
}

/// A slot, which must not be null.
pub(crate) fn slot<F>(slot: Option<F>, rule: Rule, name: &str) -> Result<F, Finding> {
    slot.ok_or_else(|| Finding::new(rule, format!("the slot {name} is null")))
}

/// Calls a slot. Records the call in the trail, and checks that it did not allocate [C13].
fn called<R>(world: &CaseWorld, what: String, call: impl FnOnce() -> R) -> R {
    let name = what.split([' ', '(']).next().unwrap_or_default().to_owned();
    world.trail.add(what);
    // SAFETY: `allocations` may be called at any time.
    let count = || world.table.get().allocations.map(|count| unsafe { count() });
    let before = count();
    let answer = world.during(&name, call);
    let after = count();
    if before != after {
        world.breach(Rule::C13, format!("{name} allocates memory"));
    }
    answer
}

/// The interface of an operation for a call. The second one is queried when it is first needed.
fn interface(world: &CaseWorld, operation: usize, via: Via) -> Result<*mut c_void, Finding> {
    let (this, control) = world.slot(operation, |slot| (slot.operation, slot.control));
    if via == Via::Operation {
        return Ok(this);
    }
    if control.is_null() {
        let control = asked_for(world, operation, AsyncControlRaw::IID, "IAsyncControl")?;
        world.slot(operation, |slot| slot.control = control);
        return Ok(control);
    }
    Ok(control)
}

/// The operation's IUnknown. Its pointer may differ from that of IAsyncOperation.
fn identity(world: &CaseWorld, operation: usize) -> Result<*mut c_void, Finding> {
    let known = world.slot(operation, |slot| slot.identity);
    if !known.is_null() {
        return Ok(known);
    }
    let identity = asked_for(world, operation, IUnknownRaw::IID, "IUnknown")?;
    world.slot(operation, |slot| slot.identity = identity);
    Ok(identity)
}

/// Queries an interface that an operation has, and releases the reference.
fn asked_for(world: &CaseWorld, operation: usize, iid: GUID, name: &str) -> Result<*mut c_void, Finding> {
    let this = world.slot(operation, |slot| slot.operation);
    // SAFETY: `this` is the first interface of a living operation.
    let unknown: IUnknownVtbl = unsafe { table(this, Rule::C1) }?;
    let query = slot(unknown.QueryInterface, Rule::C1, "QueryInterface")?;
    let mut out = ptr::null_mut();
    world.trail.add(format!("QueryInterface of operation {operation} for {name}"));
    // SAFETY: the caller has a reference.
    let status = world.during("QueryInterface", || unsafe { query(this, &raw const iid, &raw mut out) });
    ensure!(
        C1,
        status == NTSTATUS::SUCCESS && !out.is_null(),
        "QueryInterface for {name} answers {status} and leaves {}; operations of this library have that interface",
        if out.is_null() { "null" } else { "a pointer" }
    );
    let release = slot(unknown.Release, Rule::C3, "Release")?;
    world.trail.add(format!("Release of operation {operation}"));
    // SAFETY: the query above gave this reference.
    let left = world.during("Release", || unsafe { release(this) });
    ensure!(C1, left != 0, "what QueryInterface gave was no reference: a Release of it answers 0");
    Ok(out)
}

fn unknown(world: &CaseWorld, operation: usize, via: Via) -> Result<(*mut c_void, IUnknownVtbl), Finding> {
    let this = interface(world, operation, via)?;
    // SAFETY: every interface begins with these slots.
    Ok((this, unsafe { table(this, Rule::C1) }?))
}

fn operation_table(
    world: &CaseWorld,
    operation: usize,
) -> Result<(*mut c_void, AsyncOperationVtbl<u8>), Finding> {
    let this = interface(world, operation, Via::Operation)?;
    // SAFETY: `this` is the operation's first interface. Its table differs only in the type that
    // `get_result` writes.
    Ok((this, unsafe { table(this, Rule::C4) }?))
}

pub(crate) fn control_table(
    world: &CaseWorld,
    operation: usize,
) -> Result<(*mut c_void, AsyncControlVtbl), Finding> {
    let this = interface(world, operation, Via::Control)?;
    // SAFETY: `this` is the operation's second interface.
    Ok((this, unsafe { table(this, Rule::C10) }?))
}

/// `QueryInterface`.
///
/// A pointer that it yields owns a reference. IUnknown is always the same pointer [C2], which may
/// differ from that of IAsyncOperation. The answer shows both as the operation's first interface.
pub(crate) fn query(
    world: &CaseWorld,
    operation: usize,
    via: Via,
    which: Iid,
    out: Out,
) -> Result<Answer, Finding> {
    query_for(world, operation, via, (iid(which), &format!("{which:?}")), out)
}

/// `QueryInterface` for any IID, with its name, or for a null IID.
pub(crate) fn query_for(
    world: &CaseWorld,
    operation: usize,
    via: Via,
    (wanted, name): (Option<GUID>, &str),
    out: Out,
) -> Result<Answer, Finding> {
    let (this, table) = unknown(world, operation, via)?;
    // Query the expected pointers first, so that they can be recognised.
    let identity = identity(world, operation)?;
    let control =
        if world.controls.get() { interface(world, operation, Via::Control)? } else { ptr::null_mut() };
    let iid = wanted.as_ref().map_or(ptr::null(), ptr::from_ref);
    let asks_identity = wanted == Some(IUnknownRaw::IID);
    let first = if asks_identity { identity } else { world.slot(operation, |slot| slot.operation) };
    let query = slot(table.QueryInterface, Rule::C1, "QueryInterface")?;
    let what = format!("QueryInterface of operation {operation}, via {via:?}, for {name}, out {out:?}");
    // SAFETY: the caller has a reference. Both pointers are null or valid.
    let call = |out| called(world, what, || unsafe { query(this, iid, out) }).to_u32();
    let answer = out::interface(out, [first, control], call);
    if answer.status == NTSTATUS::SUCCESS.to_u32() {
        world.slot(operation, |slot| slot.references += 1);
    }
    Ok(mapped(world, answer))
}

/// `AddRef`. The status says whether the returned count is 0.
pub(crate) fn add_ref(world: &CaseWorld, operation: usize, via: Via) -> Result<Answer, Finding> {
    let (this, table) = unknown(world, operation, via)?;
    let add_ref = slot(table.AddRef, Rule::C3, "AddRef")?;
    // SAFETY: the caller has a reference.
    let count =
        called(world, format!("AddRef of operation {operation}, via {via:?}"), || unsafe { add_ref(this) });
    world.slot(operation, |slot| slot.references += 1);
    Ok(Answer { status: u32::from(count == 0), out: OutValue::None })
}

/// `Release`. The status says whether the returned count is 0.
pub(crate) fn release(world: &CaseWorld, operation: usize, via: Via) -> Result<Answer, Finding> {
    let (this, table) = unknown(world, operation, via)?;
    let release = slot(table.Release, Rule::C3, "Release")?;
    world.slot(operation, |slot| slot.references -= 1);
    // SAFETY: the call consumes the caller's reference.
    let count =
        called(world, format!("Release of operation {operation}, via {via:?}"), || unsafe { release(this) });
    Ok(Answer { status: u32::from(count == 0), out: OutValue::None })
}

/// `get_status`.
pub(crate) fn get_status(world: &CaseWorld, operation: usize, out: Out) -> Result<Answer, Finding> {
    let (this, table) = operation_table(world, operation)?;
    let get_status = slot(table.get_status, Rule::C4, "get_status")?;
    let what = format!("get_status of operation {operation}, out {out:?}");
    // SAFETY: the caller has a reference. `out` is null or writable.
    let call = |out| called(world, what, || unsafe { get_status(this, out) }).to_u32();
    let answer = out::number(out, call);
    if let Answer { status: 0, out: OutValue::Number(now @ 0..=3) } = answer {
        is_final(world, operation, now.cast_signed());
    }
    Ok(mapped(world, answer))
}

/// Checks that a terminal status does not change after a client has seen it [C6].
fn is_final(world: &CaseWorld, operation: usize, now: i32) {
    let before = world.slot(operation, |slot| core::mem::replace(&mut slot.ended, now));
    if before != 0 && before != now {
        let (before, now) = (RawAsyncStatus(before), RawAsyncStatus(now));
        world.breach(Rule::C6, format!("operation {operation} was {before:?}, and now is {now:?}"));
    }
}

/// `get_result`.
pub(crate) fn get_result(world: &CaseWorld, operation: usize, out: Out) -> Result<Answer, Finding> {
    let (this, table) = operation_table(world, operation)?;
    let get_result = slot(table.get_result, Rule::C5, "get_result")?;
    let what = format!("get_result of operation {operation}, out {out:?}");
    // SAFETY: the caller has a reference. `out` is null or has room for the value.
    let call = |out| called(world, what, || unsafe { get_result(this, out) }).to_u32();
    let kind = world.slot(operation, |slot| slot.kind);
    let answer = out::value(out, (operation, kind), usize::MAX, call);
    Ok(mapped(world, answer))
}

/// `cancel`.
pub(crate) fn cancel(world: &CaseWorld, operation: usize) -> Result<Answer, Finding> {
    let (this, table) = control_table(world, operation)?;
    let cancel = slot(table.cancel, Rule::C10, "cancel")?;
    world.slot(operation, |slot| slot.asked = true);
    // SAFETY: the caller has a reference.
    let status = called(world, format!("cancel of operation {operation}"), || unsafe { cancel(this) });
    Ok(Answer { status: answered(world, status).to_u32(), out: OutValue::None })
}

/// `get_error`.
pub(crate) fn get_error(world: &CaseWorld, operation: usize, out: Out) -> Result<Answer, Finding> {
    let (this, table) = control_table(world, operation)?;
    let get_error = slot(table.get_error, Rule::C16, "get_error")?;
    let what = format!("get_error of operation {operation}, out {out:?}");
    // SAFETY: the caller has a reference. `out` is null or writable.
    let call = |out| called(world, what, || unsafe { get_error(this, out) }).to_u32();
    let answer = out::number(out, call);
    Ok(mapped(world, answer))
}

/// `get_result_size`.
pub(crate) fn get_result_size(world: &CaseWorld, operation: usize, out: Out) -> Result<Answer, Finding> {
    let (this, table) = control_table(world, operation)?;
    let get_result_size = slot(table.get_result_size, Rule::C16, "get_result_size")?;
    let what = format!("get_result_size of operation {operation}, out {out:?}");
    // SAFETY: the caller has a reference. `out` is null or writable.
    let call = |out| called(world, what, || unsafe { get_result_size(this, out) }).to_u32();
    let answer = out::number(out, call);
    Ok(mapped(world, answer))
}

/// `wait`, with a timeout in units of 100 ns. `None` waits for ever.
pub(crate) fn wait(world: &CaseWorld, operation: usize, timeout: Option<i64>) -> Result<Answer, Finding> {
    let (this, table) = control_table(world, operation)?;
    let wait = slot(table.wait, Rule::C15, "wait")?;
    let time = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let what = format!("wait for operation {operation}, timeout {timeout:?}");
    // Unlike the other slots, `wait` may allocate [C13], and bodies may run in it.
    world.trail.add(what);
    // SAFETY: the caller has a reference. The timeout is null or valid.
    let status = world.during("wait", || unsafe { wait(this, time) });
    Ok(Answer { status: answered(world, status).to_u32(), out: OutValue::None })
}

/// `set_completed`. A handler that releases gets a reference of its own.
pub(crate) fn set_completed(
    world: &CaseWorld,
    operation: usize,
    handler: Handler,
) -> Result<Answer, Finding> {
    let lent = world.slot(operation, |slot| slot.lent);
    if handler == Handler::Releases {
        add_ref(world, operation, Via::Operation)?;
        world.slot(operation, |slot| slot.lent = true);
    }
    let (this, table) = control_table(world, operation)?;
    let set_completed = slot(table.set_completed, Rule::C14, "set_completed")?;
    let function: Option<CompletedHandler> = match handler {
        Handler::Records => Some(records),
        Handler::Releases => Some(releases),
        Handler::Null => None,
    };
    let context = ptr::without_provenance_mut(operation + 1);
    let what = format!("set_completed of operation {operation}, handler {handler:?}");
    // SAFETY: the caller has a reference. The library may call the handlers once, with an
    // operation's number plus 1.
    let status = called(world, what, || unsafe { set_completed(this, function, context) });
    if status == NTSTATUS::SUCCESS {
        world.slot(operation, |slot| slot.handler = true);
    } else if handler == Handler::Releases {
        world.slot(operation, |slot| slot.lent = lent);
        release(world, operation, Via::Operation)?;
    }
    Ok(Answer { status: answered(world, status).to_u32(), out: OutValue::None })
}

/// A completion handler that records that it ran, and checks the state that must be reached by
/// then.
unsafe extern "system" fn records(context: *mut c_void, status: RawAsyncStatus) {
    world::with(|world| {
        let operation = context.addr().wrapping_sub(1);
        world.trail.add(format!("  operation {operation}: its completion handler is told {status:?}"));
        let Some(slot) = world.try_slot(operation, |slot| {
            slot.record.handled += 1;
            slot.record.told = status.0;
            slot.clone()
        }) else {
            world::stray_call("a completion handler");
            world.breach(Rule::C14, "a completion handler is called with another context".to_owned());
            return;
        };
        if slot.record.handled > 1 && !slot.bodyless {
            world.breach(Rule::C14, format!("the completion handler of operation {operation} runs twice"));
        }
        if !AsyncStatus::try_from(status).is_ok_and(AsyncStatus::is_terminal) {
            world.breach(
                Rule::C14,
                format!("the completion handler of operation {operation} is told {status:?}"),
            );
        }
        if !slot.bodyless && slot.record.drops == 0 {
            world.breach(
                Rule::C8,
                format!("operation {operation} has ended, and its body has not been dropped"),
            );
        }
        if let Some(object) = slot.object
            && is_let_go(world, object)
        {
            world.breach(
                Rule::C19,
                format!("operation {operation} has ended, and still holds the object of its method"),
            );
        }
        if slot.references > 0 {
            check_ended(world, operation, status);
        }
    });
}

/// Whether no client and no living body has this object any more, and it has not been dropped.
fn is_let_go(world: &CaseWorld, object: usize) -> bool {
    let held =
        world.objects.borrow().get(object).is_none_or(|object| object.references > 0 || object.drops > 0);
    let lives = |slot: &Slot| slot.object == Some(object) && !slot.bodyless && slot.record.drops == 0;
    !held && !world.slots.borrow().iter().any(lives)
}

/// Checks that the terminal status is visible when the handler runs [C14].
fn check_ended(world: &CaseWorld, operation: usize, told: RawAsyncStatus) {
    match get_status(world, operation, Out::Given) {
        Ok(answer) if answer.out == OutValue::Number(told.0.cast_unsigned()) => {}
        Ok(answer) => world.breach(
            Rule::C14,
            format!(
                "the completion handler of operation {operation} is told {told:?} while get_status writes {:?}",
                answer.out
            ),
        ),
        Err(finding) => world.breach(finding.rule, finding.message),
    }
}

/// A completion handler that releases its reference, too.
pub(crate) unsafe extern "system" fn releases(context: *mut c_void, status: RawAsyncStatus) {
    // SAFETY: the caller passes the context and status that the library passed.
    unsafe { records(context, status) };
    world::with(|world| {
        let operation = context.addr().wrapping_sub(1);
        if world.try_slot(operation, |slot| core::mem::take(&mut slot.lent)) == Some(true)
            && let Err(finding) = release(world, operation, Via::Operation)
        {
            world.breach(finding.rule, finding.message);
        }
    });
}

/// The answer with its status mapped by [`answered`].
fn mapped(world: &CaseWorld, answer: Answer) -> Answer {
    Answer { status: answered(world, NTSTATUS::from_u32(answer.status)).to_u32(), ..answer }
}

/// Maps an answer that is an HRESULT to its NTSTATUS, if the options ask for that.
pub(crate) fn answered(world: &CaseWorld, status: NTSTATUS) -> NTSTATUS {
    const E_NOINTERFACE: u32 = 0x8000_4002;
    const E_POINTER: u32 = 0x8000_4003;
    match status.to_u32() {
        E_NOINTERFACE if world.hresults.get() => NTSTATUS::NOINTERFACE,
        E_POINTER if world.hresults.get() => NTSTATUS::INVALID_PARAMETER,
        _ => status,
    }
}
