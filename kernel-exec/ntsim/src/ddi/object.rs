//! Objects with references, which are threads and devices. Threads have handles too
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-obreferenceobjectbyhandle`,
//! `nf-wdm-obfreferenceobject`, `nf-wdm-obdereferenceobject`, `nf-wdm-zwclose`).
#![expect(non_snake_case, non_upper_case_globals, reason = "the names are the kernel's")]

extern crate alloc;

use super::objects;
use crate::{
    engine::{entry::enter, machine::Machine},
    kernel::thread::{SYSTEM, State, Thread},
    trace::Value,
    types::{
        _MODE, ACCESS_MASK, HANDLE, KPROCESSOR_MODE, LONG_PTR, NTSTATUS, OBJECT_HANDLE_INFORMATION,
        POBJECT_HANDLE_INFORMATION, POBJECT_TYPE, PVOID, STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS,
        THREAD_ALL_ACCESS,
    },
    verifier::{
        Checked,
        bugcheck::driver_verifier::objects::{self as violated, Change},
        irql::Ddi,
    },
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

/// The base above which the kernel's handles lie, on x64.
const KERNEL_HANDLES: usize = 0xFFFF_FFFF_8000_0000;

/// Returns the handle of a thread.
pub(crate) fn handle(thread: usize) -> HANDLE {
    core::ptr::without_provenance_mut(KERNEL_HANDLES + 4 * (thread + 1 - SYSTEM))
}

impl Machine {
    /// Returns the thread of an open handle.
    fn thread_of(&self, handle: HANDLE) -> Option<usize> {
        let number = (handle as usize).checked_sub(KERNEL_HANDLES)?;
        let thread = (number / 4 + SYSTEM).checked_sub(1)?;
        let open = number.is_multiple_of(4) && self.kernel.borrow().threads.get(thread).open;
        (open && thread >= SYSTEM).then_some(thread)
    }

    /// The access of a thread's handle. A generic access, which NT maps, ends the run.
    fn granted_access(&self, thread: usize, ddi: Ddi) -> ACCESS_MASK {
        let access = self.kernel.borrow().threads.get(thread).access;
        if access & !THREAD_ALL_ACCESS != 0 {
            let name = ddi.name();
            let message = alloc::format!(
                "{name} with HandleInformation, for a handle with DesiredAccess {access:#x}: generic"
            );
            self.fail("not supported", message);
        }
        access
    }

    /// Adds or removes a reference of the object at an address and returns the new count.
    fn reference(&self, address: usize, more: bool) -> Checked<usize> {
        let Some(thread) = self.kernel.borrow().threads.find(address) else {
            return if more {
                self.reference_io_object(address)
            } else {
                self.dereference_io_object(address)
            };
        };
        let Thread { references: count, state, open, .. } = self.kernel.borrow().threads.get(thread);
        // A pointer cannot give up the thread's own reference, held until it has ended, or the
        // handle's.
        let others = usize::from(state != State::Ended) + usize::from(open);
        if count == 0 || (!more && count <= others) {
            let change = if more { Change::Reference } else { Change::Dereference };
            return Err(violated::no_reference(change, address, self.name(address)));
        }
        let after = if more { count + 1 } else { count - 1 };
        self.kernel.borrow_mut().threads.update(thread, |thread| thread.references = after);
        Ok(after)
    }

    fn bad_handle(&self, handle: HANDLE, name: &str) -> ! {
        self.bug_check(violated::bad_handle(handle as usize, name))
    }
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
    if i32::from(AccessMode) != _MODE::KernelMode {
        let message = "ObReferenceObjectByHandle with UserMode: ntsim has no handles of users";
        machine.fail("not supported", alloc::string::String::from(message));
    }
    let Some(thread) = machine.thread_of(Handle) else { machine.bad_handle(Handle, ddi.name()) };
    if !ObjectType.is_null() && ObjectType != object_type(&THREADS) {
        machine.called(ddi, |_| {
            let arguments = [Value::Bits(Handle as u64), Value::Bits(DesiredAccess.into())];
            (arguments, Some(Value::Bits(STATUS_OBJECT_TYPE_MISMATCH.cast_unsigned().into())))
        });
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    let address = machine.thread_address(thread);
    machine.checked(machine.reference(address, true));
    // SAFETY: the caller promises that `Object` is valid for a write.
    unsafe { Object.write_unaligned(core::ptr::with_exposed_provenance_mut(address)) };
    if !HandleInformation.is_null() {
        let access = machine.granted_access(thread, ddi);
        let information = OBJECT_HANDLE_INFORMATION { HandleAttributes: 0, GrantedAccess: access };
        // SAFETY: not null, and by the caller's promise.
        unsafe { HandleInformation.write_unaligned(information) };
    }
    machine.called(ddi, |machine| {
        let arguments = [Value::Bits(Handle as u64), Value::Bits(DesiredAccess.into())];
        (arguments, Some(machine.pointer(address)))
    });
    STATUS_SUCCESS
}

fn change(machine: &Machine, ddi: Ddi, object: PVOID, more: bool) -> LONG_PTR {
    let count = machine.checked(machine.reference(objects::address(object), more));
    machine.called(ddi, |machine| ([machine.pointer(object as usize)], Some(Value::Number(count as u64))));
    count as LONG_PTR
}

/// Adds a reference to an object. In C, ObReferenceObject is this function. IRQL ≤ DISPATCH_LEVEL.
/// Bug check 0xC4/0x3F if there is no object, or its references are all gone
/// (`nf-wdm-obfreferenceobject`).
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
    let Some(thread) = machine.thread_of(Handle) else { machine.bad_handle(Handle, ddi.name()) };
    let address = machine.thread_address(thread);
    machine.kernel.borrow_mut().threads.update(thread, |thread| thread.open = false);
    machine.checked(machine.reference(address, false));
    STATUS_SUCCESS
}
