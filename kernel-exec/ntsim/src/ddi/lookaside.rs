//! Lookaside lists (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-exinitializelookasidelistex`, `nf-wdm-exallocatefromlookasidelistex`,
//! `nf-wdm-exfreetolookasidelistex`, `nf-wdm-exflushlookasidelistex`,
//! `nf-wdm-exdeletelookasidelistex`).
//!
//! Each allocation of an entry is an allocation of pool, and each free frees the pool at once. NT
//! may behave so too, and a use after the free is seen.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use super::objects;
use crate::{
    engine::{entry::enter, machine::Machine},
    trace::Value,
    types::{
        LOOKASIDE_LIST_EX, NTSTATUS, PALLOCATE_FUNCTION_EX, PFREE_FUNCTION_EX, PLOOKASIDE_LIST_EX,
        POOL_FLAG_UNINITIALIZED, POOL_TYPE, PVOID, SIZE_T, STATUS_SUCCESS, ULONG, USHORT,
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
const MOST: USHORT = 256;

impl Machine {
    fn initialize_lookaside(
        &self,
        list: PLOOKASIDE_LIST_EX,
        kind: POOL_TYPE,
        size: ULONG,
        tag: ULONG,
    ) -> Checked<()> {
        let address = objects::address(list);
        self.check_memory(address, Use::Lookaside)?;
        if self.kernel.borrow().lookaside.contains(address) {
            return Err(freed_memory::lookaside_list_initialised_again(address, self.name(address)));
        }
        let fresh = LOOKASIDE_LIST_EX {
            Depth: DEPTH,
            MaximumDepth: MOST,
            Type: kind,
            Size: size,
            Tag: tag,
            ..LOOKASIDE_LIST_EX::default()
        };
        // SAFETY: pool memory was checked; for other memory the caller promises that `list` is
        // valid for writes.
        unsafe { list.write_unaligned(fresh) };
        self.kernel.borrow_mut().lookaside.add(address);
        Ok(())
    }

    fn load_lookaside(&self, list: PLOOKASIDE_LIST_EX) -> Checked<LOOKASIDE_LIST_EX> {
        self.check_memory(list as usize, Use::Lookaside)?;
        if !self.kernel.borrow().lookaside.contains(list as usize) {
            return Err(freed_memory::not_a_lookaside_list(list as usize, self.name(list as usize)));
        }
        // SAFETY: pool memory was checked; for other memory the caller promises that `list` is
        // valid.
        Ok(unsafe { list.read_unaligned() })
    }

    fn take_entry(&self, list: PLOOKASIDE_LIST_EX, ddi: Ddi) -> Checked<*mut u8> {
        let value = self.load_lookaside(list)?;
        let flags = self.pool_flags(ddi, value.Type) | POOL_FLAG_UNINITIALIZED;
        let request = self.pool_request(ddi, flags, value.Size.into(), value.Tag)?;
        let entry = match request {
            Some(request) => self.allocate(request)?,
            None => core::ptr::null_mut(),
        };
        if !entry.is_null() {
            self.kernel.borrow_mut().lookaside.allocate(entry as usize, list as usize);
        }
        Ok(entry)
    }

    fn give_entry(&self, list: PLOOKASIDE_LIST_EX, entry: usize) -> Checked<()> {
        let value = self.load_lookaside(list)?;
        if !self.kernel.borrow_mut().lookaside.free(entry, list as usize) {
            let (name, list) = (self.name(entry), self.name(list as usize));
            return Err(bugcheck::pool::not_a_lookaside_entry(entry, name, list));
        }
        self.free(entry, Some(value.Tag))
    }

    fn delete_lookaside(&self, list: PLOOKASIDE_LIST_EX) -> Checked<()> {
        self.load_lookaside(list)?;
        let in_use = self.kernel.borrow().lookaside.in_use(list as usize);
        if in_use != 0 {
            let name = self.name(list as usize);
            return Err(freed_memory::lookaside_list_deleted_in_use(list as usize, name));
        }
        self.kernel.borrow_mut().lookaside.remove(list as usize);
        Ok(())
    }
}

/// Initialises a lookaside list of entries of `Size` bytes. IRQL ≤ DISPATCH_LEVEL.
///
/// Bug check 0xD1 if the storage is pageable; 0xCC if a list is there already. The driver deletes
/// the list before unload (otherwise 0xCE) and before it frees the list's memory (otherwise 0xCC).
/// Functions of the driver's own, flags, and a size or tag of zero end the run as not supported
/// (`nf-wdm-exinitializelookasidelistex`).
///
/// # Safety
/// `Lookaside` is valid for writes, and stays valid and where it is until the list is deleted.
pub unsafe extern "C" fn ExInitializeLookasideListEx(
    Lookaside: PLOOKASIDE_LIST_EX,
    Allocate: PALLOCATE_FUNCTION_EX,
    Free: PFREE_FUNCTION_EX,
    PoolType: POOL_TYPE,
    Flags: ULONG,
    Size: SIZE_T,
    Tag: ULONG,
    Depth: USHORT,
) -> NTSTATUS {
    let ddi = Ddi::ExInitializeLookasideListEx;
    let machine = &*enter(ddi);
    let size = ULONG::try_from(Size).unwrap_or(0);
    if Allocate.is_some() || Free.is_some() || Flags != 0 || Depth != 0 || size == 0 || Tag == 0 {
        let message = "ExInitializeLookasideListEx with functions, flags, a depth, or a size or tag of zero";
        machine.fail("not supported", alloc::string::String::from(message));
    }
    machine.pool_flags(ddi, PoolType);
    machine.checked(machine.initialize_lookaside(Lookaside, PoolType, size, Tag));
    machine.called(ddi, |machine| {
        ([machine.pointer(Lookaside as usize), Value::Number(Size), Value::Tag(Tag)], Some(Value::Bits(0)))
    });
    STATUS_SUCCESS
}

/// Allocates an entry, not zeroed. Returns null if memory is low. IRQL ≤ DISPATCH_LEVEL, of paged
/// pool ≤ APC_LEVEL, otherwise bug check 0xC4/0x1 or 0x2. Bug check 0xCC if `Lookaside` is not a
/// list (`nf-wdm-exallocatefromlookasidelistex`).
///
/// # Safety
/// `Lookaside` was initialised and is valid.
pub unsafe extern "C" fn ExAllocateFromLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) -> PVOID {
    let ddi = Ddi::ExAllocateFromLookasideListEx;
    let machine = &*enter(ddi);
    let entry = machine.checked(machine.take_entry(Lookaside, ddi));
    machine.called(ddi, |machine| {
        ([machine.pointer(Lookaside as usize)], Some(machine.pointer(entry as usize)))
    });
    entry.cast()
}

/// Frees an entry. IRQL as for [`ExAllocateFromLookasideListEx`]. Bug check 0xC2 if `Entry` is not
/// an entry of this list in use (`nf-wdm-exfreetolookasidelistex`).
///
/// # Safety
/// The same as for [`ExAllocateFromLookasideListEx`]; the entry is not used any more.
pub unsafe extern "C" fn ExFreeToLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX, Entry: PVOID) {
    let ddi = Ddi::ExFreeToLookasideListEx;
    let machine = &*enter(ddi);
    machine.called(ddi, |machine| {
        ([machine.pointer(Lookaside as usize), machine.pointer(Entry as usize)], None)
    });
    machine.checked(machine.give_entry(Lookaside, Entry as usize));
}

/// Frees the entries that the list keeps. Here it keeps none. IRQL ≤ DISPATCH_LEVEL. Bug check 0xCC
/// if `Lookaside` is not a list (`nf-wdm-exflushlookasidelistex`).
///
/// # Safety
/// The same as for [`ExAllocateFromLookasideListEx`].
pub unsafe extern "C" fn ExFlushLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) {
    let machine = &*enter(Ddi::ExFlushLookasideListEx);
    machine.called(Ddi::ExFlushLookasideListEx, |machine| ([machine.pointer(Lookaside as usize)], None));
    machine.checked(machine.load_lookaside(Lookaside));
}

/// Deletes a list. All its entries must have been freed, otherwise bug check 0xCC. IRQL ≤
/// DISPATCH_LEVEL (`nf-wdm-exdeletelookasidelistex`).
///
/// # Safety
/// The same as for [`ExAllocateFromLookasideListEx`].
pub unsafe extern "C" fn ExDeleteLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) {
    let machine = &*enter(Ddi::ExDeleteLookasideListEx);
    machine.called(Ddi::ExDeleteLookasideListEx, |machine| ([machine.pointer(Lookaside as usize)], None));
    machine.checked(machine.delete_lookaside(Lookaside));
}
