//! Registers ETW providers, calls their enable callbacks, and delivers events to sessions.
//!
//! The rules for the events that a session gets are documented at `EnableTraceEx2`. The statuses of
//! a failing write are documented at `EventWrite`, the user-mode form of EtwWrite
//! (learn.microsoft.com/windows/win32/api/: `evntrace/nf-evntrace-enabletraceex2`,
//! `evntprov/nf-evntprov-eventwrite`).

extern crate alloc;

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use super::{driver_object, pool};
use crate::{
    engine::machine::Machine,
    etw::{Data, Event},
    kernel::{
        etw::{EnabledEvents, Registration},
        pool::Request,
        wait::{Wait, WaitKind},
    },
    trace::event::What,
    types::{
        EVENT_CONTROL_CODE_ENABLE_PROVIDER, EVENT_DESCRIPTOR, GUID, LPCGUID, MAX_EVENT_DATA_DESCRIPTORS,
        NTSTATUS, PCEVENT_DESCRIPTOR, PCWSTR, PETWENABLECALLBACK, PEVENT_DATA_DESCRIPTOR, PREGHANDLE, PVOID,
        REGHANDLE, STATUS_INTEGER_OVERFLOW, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER,
        STATUS_NO_MEMORY, STATUS_SUCCESS, UCHAR, ULONG, ULONGLONG,
    },
    verifier::{
        Checked,
        bugcheck::{access, driver_verifier::objects, irql_unexpected},
        irql::Ddi,
        memory::Use,
    },
};

/// The tag of registrations.
const TAG: [u8; 4] = *b"EtwR";
/// The size of the kernel's block for a registration.
const REGISTRATION: usize = 112;
/// The size of an event's header, an `EVENT_HEADER`.
const HEADER: usize = 80;
/// The largest size of an event's data, because an event with its header is smaller than 64 KiB.
const MAX_DATA: usize = 0xFFFF - HEADER;
/// The object of EtwUnregister's wait, and of the wait of another caller of the callback.
const CALLBACK: &str = "an ETW enable callback to return";

/// Returns the provider of a handle, or none for handle 0. Any other handle without a provider
/// is a pointer to memory that has been freed.
fn provider(machine: &Machine, handle: REGHANDLE, ddi: Ddi) -> Checked<Option<Registration>> {
    let thread = machine.thread();
    // EtwUnregister waits for a running callback, which may write until it returns.
    let usable = |found: &Registration| !found.leaving || found.called_in == Some(thread);
    let found = machine.kernel.borrow().etw.get(handle as usize).filter(usable);
    if found.is_none() && handle != 0 {
        let (name, irql) = (machine.name(handle as usize), machine.irql());
        return Err(access::no_registered_provider(handle, irql, ddi.name(), name));
    }
    Ok(found)
}

/// Reads `size` bytes that the driver passes to the kernel.
fn read_bytes(machine: &Machine, address: usize, size: usize) -> Checked<Vec<u8>> {
    (0..size)
        .map(|distance| {
            let address = address.wrapping_add(distance);
            machine.check_memory(address, Use::Text)?;
            let byte: *const u8 = core::ptr::with_exposed_provenance(address);
            // SAFETY: `check_memory` found that pool may be read; other memory is readable by
            // the caller's promise to the DDI.
            Ok(unsafe { byte.read() })
        })
        .collect()
}

/// Reads a value that the driver passes to the kernel.
///
/// # Safety
/// Any bits are a `T`.
unsafe fn read_value<T: Copy>(machine: &Machine, place: *const T) -> Checked<T> {
    let bytes = read_bytes(machine, place as usize, size_of::<T>())?;
    // SAFETY: `bytes` has the size of `T`, and the caller promises that any bits are a `T`.
    Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

fn read_guid(machine: &Machine, place: LPCGUID) -> Checked<Option<GUID>> {
    if place.is_null() {
        return Ok(None);
    }
    // SAFETY: the value consists of numbers, so any bits are valid.
    unsafe { read_value(machine, place) }.map(Some)
}

/// Reads an event's descriptor.
pub(crate) fn read_event(machine: &Machine, place: PCEVENT_DESCRIPTOR) -> Checked<EVENT_DESCRIPTOR> {
    // SAFETY: the value consists of numbers, so any bits are valid.
    unsafe { read_value(machine, place) }
}

/// Reads the parts of an event's data and returns them with their total size. Parts beyond the
/// limit are counted, but not read.
fn read_data(machine: &Machine, count: ULONG, parts: PEVENT_DATA_DESCRIPTOR) -> Checked<(Vec<u8>, usize)> {
    let (mut data, mut size) = (Vec::new(), 0);
    for number in 0..count as usize {
        // SAFETY: a data descriptor consists of numbers, so any bits are valid.
        let part = unsafe { read_value(machine, parts.wrapping_add(number)) }?;
        size += part.Size as usize;
        if size <= MAX_DATA {
            data.extend(read_bytes(machine, part.Ptr as usize, part.Size as usize)?);
        }
    }
    Ok((data, size))
}

/// Reads a string that ends with a zero, and returns it with its size including the zero.
/// Characters beyond the limit are not read.
fn read_text(machine: &Machine, text: PCWSTR) -> Checked<(String, usize)> {
    let mut units = Vec::new();
    loop {
        // SAFETY: any bits are a number.
        let unit = unsafe { read_value(machine, text.wrapping_add(units.len())) }?;
        let size = 2 * (units.len() + 1);
        if unit == 0 || size > MAX_DATA {
            return Ok((String::from_utf16_lossy(&units), size));
        }
        units.push(unit);
    }
}

/// Delivers an event to the sessions that ask for it.
fn publish(machine: &Machine, provider: GUID, event: &Event, size: usize) -> NTSTATUS {
    if !machine.kernel.borrow().etw.is_enabled(provider, event.level, event.keyword) {
        return STATUS_SUCCESS;
    }
    if size > MAX_DATA {
        return STATUS_INTEGER_OVERFLOW;
    }
    let (sessions, failure) = machine.kernel.borrow_mut().etw.write(provider, event, HEADER + size);
    if machine.tracing.get() && !sessions.is_empty() {
        machine.record(What::Etw { sessions, event: event.clone() });
    }
    failure.unwrap_or(STATUS_SUCCESS)
}

/// Waits until a provider's callback is not running. PASSIVE_LEVEL.
fn await_callback(machine: &Machine, handle: usize, ddi: Option<Ddi>) -> Checked<()> {
    loop {
        let called_in = machine.kernel.borrow().etw.get(handle).and_then(|found| found.called_in);
        let Some(caller) = called_in else { return Ok(()) };
        let thread = machine.thread();
        if caller == thread {
            let what = "EtwUnregister, or a new session, in the provider's own enable callback";
            machine.fail("not supported", String::from(what));
        }
        let wait = Wait { thread, kind: WaitKind::Kernel(CALLBACK), objects: Vec::new(), timeout: None };
        machine.block(wait, ddi);
    }
}

/// Calls a provider's enable callback with the demands of the sessions. PASSIVE_LEVEL; calls of
/// one provider's callback never overlap.
pub(crate) fn call_enable_callback(
    machine: &Machine,
    handle: usize,
    source: GUID,
    code: ULONG,
) -> Checked<()> {
    await_callback(machine, handle, None)?;
    let registration = machine.kernel.borrow().etw.get(handle).filter(|found| !found.leaving);
    let Some(Registration { provider, callback: Some(callback), context, .. }) = registration else {
        return Ok(());
    };
    let enabled = machine.kernel.borrow().etw.enabled(provider);
    let EnabledEvents { level, any, all } = enabled.unwrap_or(EnabledEvents { level: 0, any: 0, all: 0 });
    let thread = machine.thread();
    machine.kernel.borrow_mut().etw.update(handle, |found| found.called_in = Some(thread));
    // SAFETY: the driver's callback gets the context that was registered with it, at
    // PASSIVE_LEVEL; no borrow of the machine is open [M1].
    machine.call_out(|| unsafe {
        let context = core::ptr::with_exposed_provenance_mut(context);
        callback(&raw const source, code, level, any, all, core::ptr::null_mut(), context);
    });
    let irql = machine.irql();
    if irql != 0 {
        return Err(irql_unexpected::enable_callback(irql));
    }
    machine.kernel.borrow_mut().etw.update(handle, |found| found.called_in = None);
    let waiting = machine.kernel.borrow().waits.kernel(CALLBACK);
    for thread in waiting {
        machine.end_wait(thread, STATUS_SUCCESS);
    }
    Ok(())
}

/// Registers a provider and writes its handle. Returns the status of EtwRegister.
pub(crate) fn register(
    machine: &Machine,
    provider: LPCGUID,
    callback: PETWENABLECALLBACK,
    context: PVOID,
    place: PREGHANDLE,
) -> Checked<NTSTATUS> {
    let Some(provider) = read_guid(machine, provider)?.filter(|_| !place.is_null()) else {
        return Ok(STATUS_INVALID_PARAMETER);
    };
    let address = pool::allocate(machine, Request::kernel(REGISTRATION, TAG))? as usize;
    if address == 0 {
        return Ok(STATUS_NO_MEMORY);
    }
    let context = context.expose_provenance();
    let registration = Registration { address, provider, callback, context, called_in: None, leaving: false };
    machine.kernel.borrow_mut().etw.register(registration);
    if machine.kernel.borrow().etw.enabled(provider).is_some() {
        let no_source = GUID::default();
        call_enable_callback(machine, address, no_source, EVENT_CONTROL_CODE_ENABLE_PROVIDER)?;
    }
    // SAFETY: the caller promises that a `RegHandle` that is not null is valid for a write.
    unsafe { place.write_unaligned(address as REGHANDLE) };
    Ok(STATUS_SUCCESS)
}

/// Unregisters a provider after its callback has returned.
pub(crate) fn unregister(machine: &Machine, handle: REGHANDLE) -> Checked<()> {
    let address = handle as usize;
    let found = machine.kernel.borrow().etw.get(address).filter(|found| !found.leaving);
    if found.is_none() {
        return Err(objects::provider_not_registered(machine.name(address)));
    }
    machine.kernel.borrow_mut().etw.update(address, |found| found.leaving = true);
    await_callback(machine, address, Some(Ddi::EtwUnregister))?;
    machine.kernel.borrow_mut().etw.unregister(address);
    pool::free_kernel(machine, address)
}

/// Returns Driver Verifier's violation if a provider is still registered at unload.
pub(crate) fn check_all_unregistered(machine: &Machine) -> Checked<()> {
    let Some(registration) = machine.kernel.borrow().etw.any() else { return Ok(()) };
    let (name, provider) = (machine.name(registration.address), registration.provider);
    let driver = driver_object::address(machine) as usize;
    Err(objects::provider_still_registered(driver, registration.address, name, provider))
}

/// Writes an event of several parts. Returns the status of EtwWrite.
pub(crate) fn write_event(
    machine: &Machine,
    handle: REGHANDLE,
    descriptor: PCEVENT_DESCRIPTOR,
    activity: LPCGUID,
    count: ULONG,
    parts: PEVENT_DATA_DESCRIPTOR,
) -> Checked<NTSTATUS> {
    let Some(Registration { provider, .. }) = provider(machine, handle, Ddi::EtwWrite)? else {
        return Ok(STATUS_INVALID_HANDLE);
    };
    if count > MAX_EVENT_DATA_DESCRIPTORS {
        return Ok(STATUS_INVALID_PARAMETER);
    }
    let descriptor = read_event(machine, descriptor)?;
    let activity = read_guid(machine, activity)?;
    let (data, size) = read_data(machine, count, parts)?;
    let event = event(provider, descriptor, activity, Data::Bytes(data));
    Ok(publish(machine, provider, &event, size))
}

/// Writes a string as an event. Returns the status of EtwWriteString.
pub(crate) fn write_text(
    machine: &Machine,
    handle: REGHANDLE,
    level: UCHAR,
    keyword: ULONGLONG,
    activity: LPCGUID,
    text: PCWSTR,
) -> Checked<NTSTATUS> {
    let Some(Registration { provider, .. }) = provider(machine, handle, Ddi::EtwWriteString)? else {
        return Ok(STATUS_INVALID_HANDLE);
    };
    let activity = read_guid(machine, activity)?;
    let (text, size) = read_text(machine, text)?;
    let descriptor = EVENT_DESCRIPTOR { Level: level, Keyword: keyword, ..EVENT_DESCRIPTOR::default() };
    let event = event(provider, descriptor, activity, Data::Text(text));
    Ok(publish(machine, provider, &event, size))
}

/// Whether a session asks for events of this level with this keyword.
pub(crate) fn is_enabled(
    machine: &Machine,
    handle: REGHANDLE,
    ddi: Ddi,
    level: u8,
    keyword: u64,
) -> Checked<bool> {
    let Some(Registration { provider, .. }) = provider(machine, handle, ddi)? else { return Ok(false) };
    Ok(machine.kernel.borrow().etw.is_enabled(provider, level, keyword))
}

fn event(provider: GUID, descriptor: EVENT_DESCRIPTOR, activity: Option<GUID>, data: Data) -> Event {
    Event {
        provider: provider.to_string(),
        id: descriptor.Id,
        version: descriptor.Version,
        channel: descriptor.Channel,
        opcode: descriptor.Opcode,
        task: descriptor.Task,
        level: descriptor.Level,
        keyword: descriptor.Keyword,
        activity: activity.map(|activity| activity.to_string()),
        data,
    }
}
