//! Event tracing.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-etwregister`,
//! `nf-wdm-etwunregister`, `nf-wdm-etwproviderenabled`, `nf-wdm-etweventenabled`,
//! `nf-wdm-etwwrite`, `nf-wdm-etwwritestring`, `nc-wdm-etwenablecallback`.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::etw,
    trace::Value,
    types::{
        BOOLEAN, LPCGUID, NTSTATUS, PCEVENT_DESCRIPTOR, PCWSTR, PETWENABLECALLBACK, PEVENT_DATA_DESCRIPTOR,
        PREGHANDLE, PVOID, REGHANDLE, STATUS_SUCCESS, UCHAR, ULONG, ULONGLONG,
    },
    verifier::irql::Ddi,
};

fn bits(status: NTSTATUS) -> Value {
    Value::Bits(status.cast_unsigned().into())
}

/// Registers a provider and writes its handle to `RegHandle`. PASSIVE_LEVEL.
///
/// If a session already listens to the provider, the callback is called before the handle is
/// written. Returns STATUS_SUCCESS; STATUS_INVALID_PARAMETER without a GUID or a place for the
/// handle; STATUS_NO_MEMORY if memory is low.
///
/// Bug check 0xC4/0xDD if the provider is still registered at unload, or when DriverEntry fails;
/// 0xC8 if the callback returns at another IRQL (`nf-wdm-etwregister`).
///
/// # Safety
/// `ProviderId` is null or valid, `RegHandle` null or valid for a write. The callback may be called
/// with its context until the provider has been unregistered.
pub unsafe extern "C" fn EtwRegister(
    ProviderId: LPCGUID,
    EnableCallback: PETWENABLECALLBACK,
    CallbackContext: PVOID,
    RegHandle: PREGHANDLE,
) -> NTSTATUS {
    let machine = &*enter(Ddi::EtwRegister);
    let status =
        machine.checked(etw::register(machine, ProviderId, EnableCallback, CallbackContext, RegHandle));
    machine.called(Ddi::EtwRegister, |machine| {
        let callback = EnableCallback.map_or(0, |callback| callback as usize);
        let arguments = [ProviderId as usize, callback, CallbackContext as usize, RegHandle as usize];
        (arguments.map(|argument| machine.pointer(argument)), Some(bits(status)))
    });
    status
}

/// Unregisters a provider. Its callback has then returned, and is not called again. PASSIVE_LEVEL.
///
/// A callback that runs during the call may use the handle until it returns; other callers may not.
/// Bug check 0xC4/0xDC for handle 0 and for a handle without a registered provider. In the
/// provider's own callback the call ends the run as not supported (`nf-wdm-etwunregister`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn EtwUnregister(RegHandle: REGHANDLE) -> NTSTATUS {
    let machine = &*enter(Ddi::EtwUnregister);
    machine.called(Ddi::EtwUnregister, |machine| ([machine.pointer(RegHandle as usize)], Some(bits(0))));
    machine.checked(etw::unregister(machine, RegHandle));
    STATUS_SUCCESS
}

/// Returns whether a session asks for a provider's events of this level with this keyword.
///
/// Zeros ask whether there is a session. Any IRQL. FALSE for handle 0; bug check 0xD1 after the
/// provider of the handle has been unregistered (`nf-wdm-etwproviderenabled`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn EtwProviderEnabled(
    RegHandle: REGHANDLE,
    Level: UCHAR,
    Keyword: ULONGLONG,
) -> BOOLEAN {
    let ddi = Ddi::EtwProviderEnabled;
    let machine = &*enter(ddi);
    let enabled = machine.checked(etw::is_enabled(machine, RegHandle, ddi, Level, Keyword));
    machine.called(ddi, |machine| {
        let arguments =
            [machine.pointer(RegHandle as usize), Value::Number(Level.into()), Value::Bits(Keyword)];
        (arguments, Some(Value::Boolean(enabled)))
    });
    enabled.into()
}

/// Returns whether a session asks for an event's level and keyword, like [`EtwProviderEnabled`].
/// Bug check 0xD1 if the memory of the descriptor cannot be read (`nf-wdm-etweventenabled`).
///
/// # Safety
/// `EventDescriptor` is valid.
pub unsafe extern "C" fn EtwEventEnabled(
    RegHandle: REGHANDLE,
    EventDescriptor: PCEVENT_DESCRIPTOR,
) -> BOOLEAN {
    let ddi = Ddi::EtwEventEnabled;
    let machine = &*enter(ddi);
    let event = machine.checked(etw::read_event(machine, EventDescriptor));
    let enabled = machine.checked(etw::is_enabled(machine, RegHandle, ddi, event.Level, event.Keyword));
    machine.called(ddi, |machine| {
        let arguments = [RegHandle as usize, EventDescriptor as usize].map(|value| machine.pointer(value));
        (arguments, Some(Value::Boolean(enabled)))
    });
    enabled.into()
}

/// Writes an event to the sessions that ask for it. Any IRQL.
///
/// A session asks for an event if its level is not below the event's and its keywords match. An
/// event without keywords always matches.
///
/// - STATUS_SUCCESS, also if no session listens.
/// - STATUS_INVALID_HANDLE for handle 0.
/// - STATUS_INVALID_PARAMETER for more than 128 parts.
/// - STATUS_INTEGER_OVERFLOW if the event with its header exceeds 64 KiB.
/// - STATUS_BUFFER_OVERFLOW if a session loses the event because its buffers are smaller, or the
///   status of a full session ([`Session`](crate::etw::Session)).
///
/// Bug check 0xD1 if the provider of the handle has been unregistered. Bug check 0xD1 if the data
/// to read is in freed pool, or in paged pool above APC_LEVEL. The data is checked whether or not a
/// session listens (`nf-wdm-etwwrite`).
///
/// # Safety
/// The descriptor and the parts are valid for reads; `ActivityId` is null or valid.
pub unsafe extern "C" fn EtwWrite(
    RegHandle: REGHANDLE,
    EventDescriptor: PCEVENT_DESCRIPTOR,
    ActivityId: LPCGUID,
    UserDataCount: ULONG,
    UserData: PEVENT_DATA_DESCRIPTOR,
) -> NTSTATUS {
    let machine = &*enter(Ddi::EtwWrite);
    let status = machine.checked(etw::write_event(
        machine,
        RegHandle,
        EventDescriptor,
        ActivityId,
        UserDataCount,
        UserData,
    ));
    machine.called(Ddi::EtwWrite, |machine| {
        let arguments = [
            machine.pointer(RegHandle as usize),
            machine.pointer(EventDescriptor as usize),
            machine.pointer(ActivityId as usize),
            Value::Number(UserDataCount.into()),
            machine.pointer(UserData as usize),
        ];
        (arguments, Some(bits(status)))
    });
    status
}

/// Writes a string as an event that has only a level and a keyword, otherwise like [`EtwWrite`]
/// (`nf-wdm-etwwritestring`).
///
/// # Safety
/// `String` is valid up to its zero; `ActivityId` is null or valid.
pub unsafe extern "C" fn EtwWriteString(
    RegHandle: REGHANDLE,
    Level: UCHAR,
    Keyword: ULONGLONG,
    ActivityId: LPCGUID,
    String: PCWSTR,
) -> NTSTATUS {
    let machine = &*enter(Ddi::EtwWriteString);
    let status = machine.checked(etw::write_text(machine, RegHandle, Level, Keyword, ActivityId, String));
    machine.called(Ddi::EtwWriteString, |machine| {
        let arguments = [
            machine.pointer(RegHandle as usize),
            Value::Number(Level.into()),
            Value::Bits(Keyword),
            machine.pointer(ActivityId as usize),
            machine.pointer(String as usize),
        ];
        (arguments, Some(bits(status)))
    });
    status
}
