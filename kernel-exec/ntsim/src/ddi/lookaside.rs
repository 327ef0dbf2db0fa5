//! Lookaside lists.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-exinitializelookasidelistex`, `nf-wdm-exallocatefromlookasidelistex`,
//! `nf-wdm-exfreetolookasidelistex`, `nf-wdm-exflushlookasidelistex`,
//! `nf-wdm-exdeletelookasidelistex`.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::lookaside,
    trace::Value,
    types::{
        NTSTATUS, PALLOCATE_FUNCTION_EX, PFREE_FUNCTION_EX, PLOOKASIDE_LIST_EX, POOL_TYPE, PVOID, SIZE_T,
        STATUS_SUCCESS, ULONG, USHORT,
    },
    verifier::irql::Ddi,
};

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
    let plain = Allocate.is_none() && Free.is_none() && Flags == 0 && Depth == 0;
    let size = lookaside::check_arguments(machine, plain, PoolType, Size, Tag);
    machine.checked(lookaside::initialize(machine, Lookaside, PoolType, size, Tag));
    machine.called(ddi, |machine| {
        ([machine.pointer(Lookaside as usize), Value::Number(Size), Value::Tag(Tag)], Some(Value::Bits(0)))
    });
    STATUS_SUCCESS
}

/// Allocates an entry, not zeroed.
///
/// Returns null if memory is low. IRQL ≤ DISPATCH_LEVEL, of paged pool ≤ APC_LEVEL, otherwise bug
/// check 0xC4/0x1 or 0x2. Bug check 0xCC if `Lookaside` is not a list
/// (`nf-wdm-exallocatefromlookasidelistex`).
///
/// # Safety
/// `Lookaside` was initialised and is valid.
pub unsafe extern "C" fn ExAllocateFromLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) -> PVOID {
    let ddi = Ddi::ExAllocateFromLookasideListEx;
    let machine = &*enter(ddi);
    let entry = machine.checked(lookaside::allocate(machine, Lookaside, ddi));
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
    machine.checked(lookaside::free(machine, Lookaside, Entry as usize));
}

/// Frees the entries that the list keeps. Here it keeps none. IRQL ≤ DISPATCH_LEVEL. Bug check 0xCC
/// if `Lookaside` is not a list (`nf-wdm-exflushlookasidelistex`).
///
/// # Safety
/// The same as for [`ExAllocateFromLookasideListEx`].
pub unsafe extern "C" fn ExFlushLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) {
    let machine = &*enter(Ddi::ExFlushLookasideListEx);
    machine.called(Ddi::ExFlushLookasideListEx, |machine| ([machine.pointer(Lookaside as usize)], None));
    machine.checked(lookaside::load(machine, Lookaside));
}

/// Deletes a list. All its entries must have been freed, otherwise bug check 0xCC. IRQL ≤
/// DISPATCH_LEVEL (`nf-wdm-exdeletelookasidelistex`).
///
/// # Safety
/// The same as for [`ExAllocateFromLookasideListEx`].
pub unsafe extern "C" fn ExDeleteLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) {
    let machine = &*enter(Ddi::ExDeleteLookasideListEx);
    machine.called(Ddi::ExDeleteLookasideListEx, |machine| ([machine.pointer(Lookaside as usize)], None));
    machine.checked(lookaside::delete(machine, Lookaside));
}
