//! Allocates and frees entries of lookaside lists.
//!
//! Each allocation of an entry is an allocation of pool, and each free frees the pool at once. NT
//! may behave so too, and a use after the free is seen.

extern crate alloc;

use super::{objects, pool};
use crate::{
    engine::machine::Machine,
    types::{
        LOOKASIDE_LIST_EX, PLOOKASIDE_LIST_EX, POOL_FLAG_UNINITIALIZED, POOL_TYPE, SIZE_T, ULONG, USHORT,
    },
    verifier::{
        Checked,
        bugcheck::{self, freed_memory},
        irql::Ddi,
        memory::Use,
    },
};

/// The number of entries that NT lets a new list keep, and the most that it lets a list keep. Here
/// a list keeps none.
const DEPTH: USHORT = 4;
const MAX_DEPTH: USHORT = 256;

/// Initialises a lookaside list.
pub(crate) fn initialize(
    machine: &Machine,
    list: PLOOKASIDE_LIST_EX,
    kind: POOL_TYPE,
    size: ULONG,
    tag: ULONG,
) -> Checked<()> {
    let address = objects::address(list);
    machine.check_memory(address, Use::Lookaside)?;
    if machine.kernel.borrow().lookaside.contains(address) {
        return Err(freed_memory::lookaside_list_initialised_again(address, machine.name(address)));
    }
    let fresh = LOOKASIDE_LIST_EX {
        Depth: DEPTH,
        MaximumDepth: MAX_DEPTH,
        Type: kind,
        Size: size,
        Tag: tag,
        ..LOOKASIDE_LIST_EX::default()
    };
    // SAFETY: pool memory was checked; for other memory the caller promises that `list` is
    // valid for writes.
    unsafe { list.write_unaligned(fresh) };
    machine.kernel.borrow_mut().lookaside.add(address);
    Ok(())
}

/// Loads a lookaside list, or returns a violation if it is not one.
pub(crate) fn load(machine: &Machine, list: PLOOKASIDE_LIST_EX) -> Checked<LOOKASIDE_LIST_EX> {
    machine.check_memory(list as usize, Use::Lookaside)?;
    if !machine.kernel.borrow().lookaside.contains(list as usize) {
        return Err(freed_memory::not_a_lookaside_list(list as usize, machine.name(list as usize)));
    }
    // SAFETY: pool memory was checked; for other memory the caller promises that `list` is
    // valid.
    Ok(unsafe { list.read_unaligned() })
}

/// Allocates an entry. Null if memory is low.
pub(crate) fn allocate(machine: &Machine, list: PLOOKASIDE_LIST_EX, ddi: Ddi) -> Checked<*mut u8> {
    let value = load(machine, list)?;
    let flags = pool::flags(machine, ddi, value.Type) | POOL_FLAG_UNINITIALIZED;
    let request = pool::request(machine, ddi, flags, value.Size.into(), value.Tag)?;
    let entry = match request {
        Some(request) => pool::allocate(machine, request)?,
        None => core::ptr::null_mut(),
    };
    if !entry.is_null() {
        machine.kernel.borrow_mut().lookaside.allocate(entry as usize, list as usize);
    }
    Ok(entry)
}

/// Frees an entry of this list.
pub(crate) fn free(machine: &Machine, list: PLOOKASIDE_LIST_EX, entry: usize) -> Checked<()> {
    let value = load(machine, list)?;
    if !machine.kernel.borrow_mut().lookaside.free(entry, list as usize) {
        let (name, list) = (machine.name(entry), machine.name(list as usize));
        return Err(bugcheck::pool::not_a_lookaside_entry(entry, name, list));
    }
    pool::free(machine, entry, Some(value.Tag))
}

/// Deletes a lookaside list without entries in use.
pub(crate) fn delete(machine: &Machine, list: PLOOKASIDE_LIST_EX) -> Checked<()> {
    load(machine, list)?;
    let in_use = machine.kernel.borrow().lookaside.in_use(list as usize);
    if in_use != 0 {
        let name = machine.name(list as usize);
        return Err(freed_memory::lookaside_list_deleted_in_use(list as usize, name));
    }
    machine.kernel.borrow_mut().lookaside.remove(list as usize);
    Ok(())
}

/// Returns the size of a new list's entries. Ends the run unless the list is `plain`, with pool
/// that drivers have, and with a size and a tag.
pub(crate) fn check_arguments(
    machine: &Machine,
    plain: bool,
    kind: POOL_TYPE,
    size: SIZE_T,
    tag: ULONG,
) -> ULONG {
    let size = ULONG::try_from(size).unwrap_or(0);
    if !plain || size == 0 || tag == 0 {
        let message = "ExInitializeLookasideListEx with functions, flags, a depth, or a size or tag of zero";
        machine.fail("not supported", alloc::string::String::from(message));
    }
    pool::flags(machine, Ddi::ExInitializeLookasideListEx, kind);
    size
}
