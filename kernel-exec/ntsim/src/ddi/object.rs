//! Objects with references: threads, which have handles too, and devices (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-obreferenceobjectbyhandle`, `nf-wdm-obfreferenceobject`, `nf-wdm-obdereferenceobject`, `nf-wdm-zwclose`).
#![expect(non_snake_case, non_upper_case_globals, reason = "the names are the kernel's")]

extern crate alloc;

use super::objects;
use crate::{
    engine::machine::{Machine, enter},
    kernel::thread::{SYSTEM, State, Thread},
    trace::Value,
    types::{
        _MODE, ACCESS_MASK, HANDLE, KPROCESSOR_MODE, LONG_PTR, NTSTATUS, OBJECT_HANDLE_INFORMATION,
        POBJECT_HANDLE_INFORMATION, POBJECT_TYPE, PVOID, STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS,
        THREAD_ALL_ACCESS,
    },
    verifier::{Checked, irql::Ddi, violation},
};

/// A type of objects, known by its address.
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
    /// The type of processes, of which ntsim has no handles.
    PsProcessType: PROCESSES in PROCESS_TYPE,
    /// The type of named events, of which ntsim has no handles.
    ExEventObjectType: EVENTS in EVENT_TYPE,
    /// The type of named semaphores, of which ntsim has no handles.
    ExSemaphoreObjectType: SEMAPHORES in SEMAPHORE_TYPE,
    /// The type of files, of which ntsim has no handles.
    IoFileObjectType: FILES in FILE_TYPE,
}

/// Handles of the kernel are above this, on x64.
const KERNEL_HANDLES: usize = 0xFFFF_FFFF_8000_0000;

/// The handle of a thread.
pub(crate) fn handle(thread: usize) -> HANDLE {
    core::ptr::without_provenance_mut(KERNEL_HANDLES + 4 * (thread + 1 - SYSTEM))
}

impl Machine {
    /// The thread whose open handle this is.
    fn thread_of(&self, handle: HANDLE) -> Option<usize> {
        let number = (handle as usize).checked_sub(KERNEL_HANDLES)?;
        let thread = (number / 4 + SYSTEM).checked_sub(1)?;
        let open = number.is_multiple_of(4) && self.kernel.borrow().threads.get(thread).open;
        (open && thread >= SYSTEM).then_some(thread)
    }

    /// The access of a thread's handle. What is generic is mapped by NT, and not here.
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

    /// Adds to the references of the object at an address, or takes from them; how many there are then.
    fn reference(&self, address: usize, more: bool) -> Checked<usize> {
        let Some(thread) = self.kernel.borrow().threads.find(address) else {
            return if more {
                self.reference_io_object(address)
            } else {
                self.dereference_io_object(address)
            };
        };
        let Thread { references: count, state, open, .. } = self.kernel.borrow().threads.get(thread);
        // Its own, while it has not ended, and its handle's are nobody's to give up by a pointer.
        let others = usize::from(state != State::Ended) + usize::from(open);
        if count == 0 || (!more && count <= others) {
            let (new, verb) = if more { (1, "referenced") } else { (u64::MAX, "dereferenced") };
            let rule = alloc::format!("{} was {verb} without a reference to it", self.name(address));
            return Err(violation(0xC4, [0x3F, address as u64, new, 0], rule));
        }
        let after = if more { count + 1 } else { count - 1 };
        self.kernel.borrow_mut().threads.update(thread, |thread| thread.references = after);
        Ok(after)
    }

    fn bad_handle(&self, handle: HANDLE, name: &str) -> ! {
        let value = handle as usize;
        let rule = alloc::format!("{name} with {value:#x}, which is no open handle");
        self.bug_check(violation(0xC4, [0x3C, value as u64, 0, 0], rule))
    }
}

/// A pointer to the object of a handle, with a reference of its own. PASSIVE_LEVEL. No open handle: bug check 0xC4/0x3C. There are
/// handles of threads: an `ObjectType` that is neither null nor `*PsThreadType` is
/// STATUS_OBJECT_TYPE_MISMATCH. `HandleInformation`, where it is given, has no attributes, and the
/// access that the thread was created with; one that is generic, and UserMode, end the run as not
/// supported (`nf-wdm-obreferenceobjectbyhandle`).
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
    // SAFETY: by the caller's promise.
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

/// One more reference to an object: what ObReferenceObject is. IRQL ≤ DISPATCH_LEVEL. An object whose references are all gone: bug
/// check 0xC4/0x3F, and so too where there is no object (`nf-wdm-obfreferenceobject`).
///
/// # Safety
/// None beyond being called in a simulation run: what is no object is noticed.
pub unsafe extern "C" fn ObfReferenceObject(Object: PVOID) -> LONG_PTR {
    let ddi = Ddi::ObfReferenceObject;
    change(&enter(ddi), ddi, Object, true)
}

/// One reference less: what ObDereferenceObject is. With the last the object is gone. The reference that a thread has to itself until it has
/// ended, and that of its open handle, are not given up so: bug check 0xC4/0x3F. Else as [`ObfReferenceObject`]
/// (`nf-wdm-obdereferenceobject`).
///
/// # Safety
/// As for [`ObfReferenceObject`].
pub unsafe extern "C" fn ObfDereferenceObject(Object: PVOID) -> LONG_PTR {
    let ddi = Ddi::ObfDereferenceObject;
    change(&enter(ddi), ddi, Object, false)
}

/// Closes a handle, and with it a reference to its object. PASSIVE_LEVEL. No open handle: bug check 0xC4/0x3C, where NT returns
/// STATUS_INVALID_HANDLE (`nf-wdm-zwclose`).
///
/// # Safety
/// As for [`ObfReferenceObject`].
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
