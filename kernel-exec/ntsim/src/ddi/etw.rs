//! Event tracing (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-etwregister`,
//! `nf-wdm-etwunregister`, `nf-wdm-etwproviderenabled`, `nf-wdm-etweventenabled`,
//! `nf-wdm-etwwrite`, `nf-wdm-etwwritestring`, `nc-wdm-etwenablecallback`).
//!
//! The rules for the events that a session gets are documented at `EnableTraceEx2`. The statuses of
//! a failing write are documented at `EventWrite`, the user-mode form of EtwWrite
//! (learn.microsoft.com/windows/win32/api/: `evntrace/nf-evntrace-enabletraceex2`,
//! `evntprov/nf-evntprov-eventwrite`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    engine::{entry::enter, machine::Machine},
    etw::{Data, Event},
    kernel::{
        etw::{Demand, Registration},
        pool::Request,
        wait::{Kind, Wait},
    },
    trace::{Value, event::What},
    types::{
        BOOLEAN, EVENT_CONTROL_CODE_ENABLE_PROVIDER, EVENT_DESCRIPTOR, GUID, LPCGUID,
        MAX_EVENT_DATA_DESCRIPTORS, NTSTATUS, PCEVENT_DESCRIPTOR, PCWSTR, PETWENABLECALLBACK,
        PEVENT_DATA_DESCRIPTOR, PREGHANDLE, PVOID, REGHANDLE, STATUS_INTEGER_OVERFLOW, STATUS_INVALID_HANDLE,
        STATUS_INVALID_PARAMETER, STATUS_NO_MEMORY, STATUS_SUCCESS, UCHAR, ULONG, ULONGLONG,
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
const MOST: usize = 0xFFFF - HEADER;
/// The object of EtwUnregister's wait, and of the wait of another caller of the callback.
const CALLBACK: &str = "an ETW enable callback to return";

impl Machine {
    /// Returns the provider of a handle, or none for handle 0. Any other handle without a provider
    /// is a pointer to memory that has been freed.
    fn provider(&self, handle: REGHANDLE, ddi: Ddi) -> Checked<Option<Registration>> {
        let thread = self.thread();
        // EtwUnregister waits for a running callback, which may write until it returns.
        let usable = |found: &Registration| !found.leaving || found.called_in == Some(thread);
        let found = self.kernel.borrow().etw.get(handle as usize).filter(usable);
        if found.is_none() && handle != 0 {
            let (name, irql) = (self.name(handle as usize), self.irql());
            return Err(access::no_registered_provider(handle, irql, ddi.name(), name));
        }
        Ok(found)
    }

    /// Reads `size` bytes that the driver passes to the kernel.
    fn given_bytes(&self, address: usize, size: usize) -> Checked<Vec<u8>> {
        (0..size)
            .map(|distance| {
                let address = address.wrapping_add(distance);
                self.check_memory(address, Use::Text)?;
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
    unsafe fn given<T: Copy>(&self, place: *const T) -> Checked<T> {
        let bytes = self.given_bytes(place as usize, size_of::<T>())?;
        // SAFETY: `bytes` has the size of `T`, and the caller promises that any bits are a `T`.
        Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    fn given_guid(&self, place: LPCGUID) -> Checked<Option<GUID>> {
        if place.is_null() {
            return Ok(None);
        }
        // SAFETY: the value consists of numbers, so any bits are valid.
        unsafe { self.given(place) }.map(Some)
    }

    fn given_event(&self, place: PCEVENT_DESCRIPTOR) -> Checked<EVENT_DESCRIPTOR> {
        // SAFETY: the value consists of numbers, so any bits are valid.
        unsafe { self.given(place) }
    }

    /// Reads the parts of an event's data and returns them with their total size. Parts beyond the
    /// limit are counted, but not read.
    fn given_data(&self, count: ULONG, parts: PEVENT_DATA_DESCRIPTOR) -> Checked<(Vec<u8>, usize)> {
        let (mut data, mut size) = (Vec::new(), 0);
        for number in 0..count as usize {
            // SAFETY: a data descriptor consists of numbers, so any bits are valid.
            let part = unsafe { self.given(parts.wrapping_add(number)) }?;
            size += part.Size as usize;
            if size <= MOST {
                data.extend(self.given_bytes(part.Ptr as usize, part.Size as usize)?);
            }
        }
        Ok((data, size))
    }

    /// Reads a string that ends with a zero, and returns it with its size including the zero.
    /// Characters beyond the limit are not read.
    fn given_text(&self, text: PCWSTR) -> Checked<(String, usize)> {
        let mut units = Vec::new();
        loop {
            // SAFETY: any bits are a number.
            let unit = unsafe { self.given(text.wrapping_add(units.len())) }?;
            let size = 2 * (units.len() + 1);
            if unit == 0 || size > MOST {
                return Ok((String::from_utf16_lossy(&units), size));
            }
            units.push(unit);
        }
    }

    /// Delivers an event to the sessions that ask for it.
    fn publish(&self, provider: GUID, event: &Event, size: usize) -> NTSTATUS {
        if !self.kernel.borrow().etw.is_enabled(provider, event.level, event.keyword) {
            return STATUS_SUCCESS;
        }
        if size > MOST {
            return STATUS_INTEGER_OVERFLOW;
        }
        let (sessions, failure) = self.kernel.borrow_mut().etw.write(provider, event, HEADER + size);
        if self.tracing.get() && !sessions.is_empty() {
            self.record(What::Etw { sessions, event: event.clone() });
        }
        failure.unwrap_or(STATUS_SUCCESS)
    }

    /// Waits until a provider's callback is not running. PASSIVE_LEVEL.
    fn await_callback(&self, handle: usize, ddi: Option<Ddi>) -> Checked<()> {
        loop {
            let called_in = self.kernel.borrow().etw.get(handle).and_then(|found| found.called_in);
            let Some(caller) = called_in else { return Ok(()) };
            let thread = self.thread();
            if caller == thread {
                let what = "EtwUnregister, or a new session, in the provider's own enable callback";
                self.fail("not supported", String::from(what));
            }
            let wait = Wait { thread, kind: Kind::Kernel(CALLBACK), objects: Vec::new(), timeout: None };
            self.block(wait, ddi);
        }
    }

    /// Calls a provider's enable callback with the demands of the sessions. PASSIVE_LEVEL; calls of
    /// one provider's callback never overlap.
    pub(crate) fn call_enable_callback(&self, handle: usize, source: GUID, code: ULONG) -> Checked<()> {
        self.await_callback(handle, None)?;
        let registration = self.kernel.borrow().etw.get(handle).filter(|found| !found.leaving);
        let Some(Registration { provider, callback: Some(callback), context, .. }) = registration else {
            return Ok(());
        };
        let demand = self.kernel.borrow().etw.demand(provider);
        let Demand { level, any, all } = demand.unwrap_or(Demand { level: 0, any: 0, all: 0 });
        let thread = self.thread();
        self.kernel.borrow_mut().etw.update(handle, |found| found.called_in = Some(thread));
        // SAFETY: the driver's callback gets the context that was registered with it, at
        // PASSIVE_LEVEL; no borrow of the machine is open [M1].
        self.call_out(|| unsafe {
            let context = core::ptr::with_exposed_provenance_mut(context);
            callback(&raw const source, code, level, any, all, core::ptr::null_mut(), context);
        });
        let irql = self.irql();
        if irql != 0 {
            return Err(irql_unexpected::enable_callback(irql));
        }
        self.kernel.borrow_mut().etw.update(handle, |found| found.called_in = None);
        let waiting = self.kernel.borrow().waits.kernel(CALLBACK);
        for thread in waiting {
            self.end_wait(thread, STATUS_SUCCESS);
        }
        Ok(())
    }

    fn register_provider(
        &self,
        provider: LPCGUID,
        callback: PETWENABLECALLBACK,
        context: PVOID,
        place: PREGHANDLE,
    ) -> Checked<NTSTATUS> {
        let Some(provider) = self.given_guid(provider)?.filter(|_| !place.is_null()) else {
            return Ok(STATUS_INVALID_PARAMETER);
        };
        let address = self.allocate(Request::kernel(REGISTRATION, TAG))? as usize;
        if address == 0 {
            return Ok(STATUS_NO_MEMORY);
        }
        let context = context.expose_provenance();
        let registration =
            Registration { address, provider, callback, context, called_in: None, leaving: false };
        self.kernel.borrow_mut().etw.register(registration);
        if self.kernel.borrow().etw.demand(provider).is_some() {
            let nobody = GUID::default();
            self.call_enable_callback(address, nobody, EVENT_CONTROL_CODE_ENABLE_PROVIDER)?;
        }
        // SAFETY: the caller promises that a `RegHandle` that is not null is valid for a write.
        unsafe { place.write_unaligned(address as REGHANDLE) };
        Ok(STATUS_SUCCESS)
    }

    fn unregister_provider(&self, handle: REGHANDLE) -> Checked<()> {
        let address = handle as usize;
        let found = self.kernel.borrow().etw.get(address).filter(|found| !found.leaving);
        if found.is_none() {
            return Err(objects::provider_not_registered(self.name(address)));
        }
        self.kernel.borrow_mut().etw.update(address, |found| found.leaving = true);
        self.await_callback(address, Some(Ddi::EtwUnregister))?;
        self.kernel.borrow_mut().etw.unregister(address);
        self.free_kernel(address)
    }

    /// Returns Driver Verifier's violation if a provider is still registered at unload.
    pub(crate) fn check_providers(&self) -> Checked<()> {
        let Some(registration) = self.kernel.borrow().etw.any() else { return Ok(()) };
        let (name, provider) = (self.name(registration.address), registration.provider);
        let driver = self.driver_object() as usize;
        Err(objects::provider_still_registered(driver, registration.address, name, provider))
    }

    fn write_event(
        &self,
        handle: REGHANDLE,
        descriptor: PCEVENT_DESCRIPTOR,
        activity: LPCGUID,
        count: ULONG,
        parts: PEVENT_DATA_DESCRIPTOR,
    ) -> Checked<NTSTATUS> {
        let Some(Registration { provider, .. }) = self.provider(handle, Ddi::EtwWrite)? else {
            return Ok(STATUS_INVALID_HANDLE);
        };
        if count > MAX_EVENT_DATA_DESCRIPTORS {
            return Ok(STATUS_INVALID_PARAMETER);
        }
        let descriptor = self.given_event(descriptor)?;
        let activity = self.given_guid(activity)?;
        let (data, size) = self.given_data(count, parts)?;
        let event = event(provider, descriptor, activity, Data::Bytes(data));
        Ok(self.publish(provider, &event, size))
    }

    fn write_text(
        &self,
        handle: REGHANDLE,
        level: UCHAR,
        keyword: ULONGLONG,
        activity: LPCGUID,
        text: PCWSTR,
    ) -> Checked<NTSTATUS> {
        let Some(Registration { provider, .. }) = self.provider(handle, Ddi::EtwWriteString)? else {
            return Ok(STATUS_INVALID_HANDLE);
        };
        let activity = self.given_guid(activity)?;
        let (text, size) = self.given_text(text)?;
        let descriptor = EVENT_DESCRIPTOR { Level: level, Keyword: keyword, ..EVENT_DESCRIPTOR::default() };
        let event = event(provider, descriptor, activity, Data::Text(text));
        Ok(self.publish(provider, &event, size))
    }

    fn is_provider_enabled(&self, handle: REGHANDLE, ddi: Ddi, level: u8, keyword: u64) -> Checked<bool> {
        let Some(Registration { provider, .. }) = self.provider(handle, ddi)? else { return Ok(false) };
        Ok(self.kernel.borrow().etw.is_enabled(provider, level, keyword))
    }
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
        machine.checked(machine.register_provider(ProviderId, EnableCallback, CallbackContext, RegHandle));
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
    machine.checked(machine.unregister_provider(RegHandle));
    STATUS_SUCCESS
}

/// Returns whether a session asks for a provider's events of this level with this keyword. Zeros
/// ask whether there is a session. Any IRQL. FALSE for handle 0; bug check 0xD1 after the provider
/// of the handle has been unregistered (`nf-wdm-etwproviderenabled`).
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
    let enabled = machine.checked(machine.is_provider_enabled(RegHandle, ddi, Level, Keyword));
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
    let event = machine.checked(machine.given_event(EventDescriptor));
    let enabled = machine.checked(machine.is_provider_enabled(RegHandle, ddi, event.Level, event.Keyword));
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
    let status =
        machine.checked(machine.write_event(RegHandle, EventDescriptor, ActivityId, UserDataCount, UserData));
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
    let status = machine.checked(machine.write_text(RegHandle, Level, Keyword, ActivityId, String));
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
