//! Counts references of threads and devices, and knows the open handles of threads.

extern crate alloc;

use super::device;
use crate::{
    engine::machine::Machine,
    kernel::thread::{SYSTEM, State, Thread},
    types::{_MODE, ACCESS_MASK, HANDLE, KPROCESSOR_MODE, OBJECT_HANDLE_INFORMATION, THREAD_ALL_ACCESS},
    verifier::{
        Checked,
        bugcheck::driver_verifier::{objects as violated, objects::Change},
        irql::Ddi,
    },
};

/// The base above which the kernel's handles lie, on x64.
const KERNEL_HANDLES: usize = 0xFFFF_FFFF_8000_0000;

/// Returns the handle of a thread.
pub(crate) fn handle(thread: usize) -> HANDLE {
    core::ptr::without_provenance_mut(KERNEL_HANDLES + 4 * (thread + 1 - SYSTEM))
}

/// Returns the thread of an open handle.
fn find(machine: &Machine, handle: HANDLE) -> Option<usize> {
    let number = (handle as usize).checked_sub(KERNEL_HANDLES)?;
    let thread = (number / 4 + SYSTEM).checked_sub(1)?;
    let open = number.is_multiple_of(4) && machine.kernel.borrow().threads.get(thread).open;
    (open && thread >= SYSTEM).then_some(thread)
}

/// The access of a thread's handle. A generic access, which NT maps, ends the run.
fn granted_access(machine: &Machine, thread: usize, ddi: Ddi) -> ACCESS_MASK {
    let access = machine.kernel.borrow().threads.get(thread).access;
    if access & !THREAD_ALL_ACCESS != 0 {
        let name = ddi.name();
        let message = alloc::format!(
            "{name} with HandleInformation, for a handle with DesiredAccess {access:#x}: generic"
        );
        machine.fail("not supported", message);
    }
    access
}

/// Adds or removes a reference of the object at an address and returns the new count.
pub(crate) fn reference(machine: &Machine, address: usize, more: bool) -> Checked<usize> {
    let Some(thread) = machine.kernel.borrow().threads.find(address) else {
        return if more {
            device::reference(machine, address)
        } else {
            device::dereference(machine, address)
        };
    };
    let Thread { references: count, state, open, .. } = machine.kernel.borrow().threads.get(thread);
    // A pointer cannot give up the thread's own reference, held until it has ended, or the
    // handle's.
    let others = usize::from(state != State::Ended) + usize::from(open);
    if count == 0 || (!more && count <= others) {
        let change = if more { Change::Reference } else { Change::Dereference };
        return Err(violated::no_reference(change, address, machine.name(address)));
    }
    let after = if more { count + 1 } else { count - 1 };
    machine.kernel.borrow_mut().threads.update(thread, |thread| thread.references = after);
    Ok(after)
}

/// Returns the thread of an open handle, or a violation if the handle is not open.
pub(crate) fn thread_of(machine: &Machine, handle: HANDLE, ddi: Ddi) -> Checked<usize> {
    find(machine, handle).ok_or_else(|| violated::bad_handle(handle as usize, ddi.name()))
}

/// Ends the run if a handle is a user's.
pub(crate) fn refuse_user_mode(machine: &Machine, mode: KPROCESSOR_MODE) {
    if i32::from(mode) != _MODE::KernelMode {
        let message = "ObReferenceObjectByHandle with UserMode: ntsim has no handles of users";
        machine.fail("not supported", alloc::string::String::from(message));
    }
}

/// Closes a handle, and removes its reference to the thread.
pub(crate) fn close(machine: &Machine, handle: HANDLE) -> Checked<()> {
    let thread = thread_of(machine, handle, Ddi::ZwClose)?;
    let address = machine.thread_address(thread);
    machine.kernel.borrow_mut().threads.update(thread, |thread| thread.open = false);
    reference(machine, address, false)?;
    Ok(())
}

/// Returns the attributes and the access of a thread's handle.
pub(crate) fn handle_information(machine: &Machine, thread: usize, ddi: Ddi) -> OBJECT_HANDLE_INFORMATION {
    let access = granted_access(machine, thread, ddi);
    OBJECT_HANDLE_INFORMATION { HandleAttributes: 0, GrantedAccess: access }
}

/// Adds a reference to a thread and returns the thread's address.
pub(crate) fn reference_thread(machine: &Machine, thread: usize) -> Checked<usize> {
    let address = machine.thread_address(thread);
    reference(machine, address, true)?;
    Ok(address)
}
