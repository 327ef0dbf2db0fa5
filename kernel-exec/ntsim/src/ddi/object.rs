//! Objects with references, which are threads and devices.
//!
//! Threads have handles too (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-obreferenceobjectbyhandle`, `nf-wdm-obfreferenceobject`, `nf-wdm-obdereferenceobject`,
//! `nf-wdm-zwclose`).
#![expect(non_snake_case, non_upper_case_globals, reason = "the names are the kernel's")]

use crate::{
    engine::{entry::enter, machine::Machine},
    subsystem::{object, objects},
    trace::Value,
    types::{
        ACCESS_MASK, HANDLE, KPROCESSOR_MODE, LONG_PTR, NTSTATUS, POBJECT_HANDLE_INFORMATION, POBJECT_TYPE,
        PVOID, STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS,
    },
    verifier::irql::Ddi,
};

/// A type of objects, identified by its address.
struct Type(u8);

static THREADS: Type = Type(0);
static PROCESSES: Type = Type(1);
static EVENTS: Type = Type(2);
static SEMAPHORES: Type = Type(3);
static FILES: Type = Type(4);

const fn object_type(of: &'static Type) -> POBJECT_TYPE {
    (&raw const of.0).cast_mut().cast()
}

macro_rules! object_types {
    ($($(#[$meta:meta])* $name:ident: $of:ident in $place:ident,)*) => {
        $(
            static mut $place: POBJECT_TYPE = object_type(&$of);
            $(#[$meta])*
            pub static mut $name: *mut POBJECT_TYPE = &raw mut $place;
        )*
    };
}

object_types! {
    /// The type of threads, as an argument of [`ObReferenceObjectByHandle`].
    PsThreadType: THREADS in THREAD_TYPE,
    /// The type of processes. ntsim has no handles of them.
    PsProcessType: PROCESSES in PROCESS_TYPE,
    /// The type of named events. ntsim has no handles of them.
    ExEventObjectType: EVENTS in EVENT_TYPE,
    /// The type of named semaphores. ntsim has no handles of them.
    ExSemaphoreObjectType: SEMAPHORES in SEMAPHORE_TYPE,
    /// The type of files. ntsim has no handles of them.
    IoFileObjectType: FILES in FILE_TYPE,
}

/// Returns a pointer to the object of a handle, with a new reference. PASSIVE_LEVEL. Bug check
/// 0xC4/0x3C if the handle is not open.
///
/// Only threads have handles here, so an `ObjectType` that is neither null nor `*PsThreadType` is
/// STATUS_OBJECT_TYPE_MISMATCH. `HandleInformation`, if it is not null, gets no attributes, and
/// the access that the thread was created with. A generic access there, and UserMode, end the run
/// as not supported (`nf-wdm-obreferenceobjectbyhandle`).
///
/// # Safety
/// `Object` is valid for a write, `HandleInformation` too or null.
pub unsafe extern "C" fn ObReferenceObjectByHandle(
    Handle: HANDLE,
    DesiredAccess: ACCESS_MASK,
    ObjectType: POBJECT_TYPE,
    AccessMode: KPROCESSOR_MODE,
    Object: *mut PVOID,
    HandleInformation: POBJECT_HANDLE_INFORMATION,
) -> NTSTATUS {
    let ddi = Ddi::ObReferenceObjectByHandle;
    let machine = &*enter(ddi);
    object::refuse_user_mode(machine, AccessMode);
    let thread = machine.checked(object::thread_of(machine, Handle, ddi));
    let trace = |result: &dyn Fn() -> Value| {
        let arguments = [Value::Bits(Handle as u64), Value::Bits(DesiredAccess.into())];
        machine.called(ddi, |_| (arguments, Some(result())));
    };
    if !ObjectType.is_null() && ObjectType != object_type(&THREADS) {
        trace(&|| Value::Bits(STATUS_OBJECT_TYPE_MISMATCH.cast_unsigned().into()));
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    let address = machine.checked(object::reference_thread(machine, thread));
    // SAFETY: the caller promises that `Object` is valid for a write.
    unsafe { Object.write_unaligned(core::ptr::with_exposed_provenance_mut(address)) };
    if !HandleInformation.is_null() {
        let information = object::handle_information(machine, thread, ddi);
        // SAFETY: not null, and the caller promises that it is valid for a write.
        unsafe { HandleInformation.write_unaligned(information) };
    }
    trace(&|| machine.pointer(address));
    STATUS_SUCCESS
}

fn change(machine: &Machine, ddi: Ddi, object: PVOID, more: bool) -> LONG_PTR {
    let count = machine.checked(object::reference(machine, objects::address(object), more));
    machine.called(ddi, |machine| ([machine.pointer(object as usize)], Some(Value::Number(count as u64))));
    count as LONG_PTR
}

/// Adds a reference to an object.
///
/// In C, ObReferenceObject is this function. IRQL ≤ DISPATCH_LEVEL. Bug check 0xC4/0x3F if there is
/// no object, or its references are all gone (`nf-wdm-obfreferenceobject`).
///
/// # Safety
/// None beyond being called in a simulation run, because the call checks that `Object` is an
/// object.
pub unsafe extern "C" fn ObfReferenceObject(Object: PVOID) -> LONG_PTR {
    let ddi = Ddi::ObfReferenceObject;
    change(&enter(ddi), ddi, Object, true)
}

/// Removes a reference from an object, which is freed with its last. In C, ObDereferenceObject is
/// this function.
///
/// A thread has a reference to itself until it has ended, and another of its open handle. This call
/// removes neither (bug check 0xC4/0x3F). Otherwise like [`ObfReferenceObject`]
/// (`nf-wdm-obdereferenceobject`).
///
/// # Safety
/// The same as for [`ObfReferenceObject`].
pub unsafe extern "C" fn ObfDereferenceObject(Object: PVOID) -> LONG_PTR {
    let ddi = Ddi::ObfDereferenceObject;
    change(&enter(ddi), ddi, Object, false)
}

/// Closes a handle, and removes its reference to the object. PASSIVE_LEVEL. Bug check 0xC4/0x3C if
/// the handle is not open, where NT returns STATUS_INVALID_HANDLE (`nf-wdm-zwclose`).
///
/// # Safety
/// The same as for [`ObfReferenceObject`].
pub unsafe extern "C" fn ZwClose(Handle: HANDLE) -> NTSTATUS {
    let ddi = Ddi::ZwClose;
    let machine = &*enter(ddi);
    machine.called(ddi, |_| ([Value::Bits(Handle as u64)], Some(Value::Bits(0))));
    machine.checked(object::close(machine, Handle));
    STATUS_SUCCESS
}
