//! Pool.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/ddi/: `wdm/nf-wdm-exallocatepool2`,
//! `wdm/nf-wdm-exallocatepool3`, `wdm/nf-wdm-exallocatepoolwithtag`, `wdm/nf-wdm-exfreepool2`,
//! `ntddk/nf-ntddk-exfreepool`, `wdm/nf-wdm-exfreepoolwithtag`.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use crate::{
    engine::{
        between::free_between_runs,
        entry::{enter, here},
        machine::Machine,
    },
    subsystem::pool,
    trace::Value,
    types::{PCPOOL_EXTENDED_PARAMETER, POOL_FLAGS, POOL_TYPE, PVOID, SIZE_T, ULONG},
    verifier::irql::Ddi,
};

/// Allocates for a DDI. A `tag` of 0 returns null, as in ExAllocatePool2.
fn allocate(machine: &Machine, ddi: Ddi, flags: POOL_FLAGS, size: SIZE_T, tag: ULONG) -> PVOID {
    let memory = machine.checked(pool::allocate_for_driver(machine, ddi, flags, size, tag));
    machine.called(ddi, |machine| {
        let arguments = [Value::Bits(flags), Value::Number(size), Value::Tag(tag)];
        (arguments, Some(Value::Pointer(machine.name(memory as usize))))
    });
    memory.cast()
}

fn refuse_parameters(machine: &Machine, ddi: Ddi, parameters: PCPOOL_EXTENDED_PARAMETER, count: ULONG) {
    if count != 0 || !parameters.is_null() {
        machine.fail("not supported", alloc::format!("{} with extended parameters", ddi.name()));
    }
}

/// Allocates `NumberOfBytes` bytes, zeroed unless POOL_FLAG_UNINITIALIZED is set.
///
/// The block is aligned to 16 bytes, and to a page from 4096 bytes on. Returns NULL if there is no
/// memory, or if `Tag` is 0.
///
/// POOL_FLAG_USE_QUOTA has no effect, because the system process, in which everything runs here,
/// has no quota. With POOL_FLAG_RAISE_ON_FAILURE, the exception STATUS_INSUFFICIENT_RESOURCES is
/// raised in place of NULL. It is bug check 0x1E, because there are no handlers.
///
/// IRQL ≤ DISPATCH_LEVEL, paged pool ≤ APC_LEVEL, otherwise bug check 0xC4/0x1 or 0x2. Bug check
/// 0xC4/0x0 for zero bytes; 0xC4/0x4E530003 without exactly one of NON_PAGED, NON_PAGED_EXECUTE and
/// PAGED, or with a flag below bit 32 that NT does not know. POOL_FLAG_SESSION and the flags that
/// are reserved for the system end the run as not supported. NT ignores unknown flags from bit 32
/// on (`nf-wdm-exallocatepool2`, learn.microsoft.com/windows-hardware/drivers/kernel/pool_flags).
///
/// # Safety
/// None beyond being called in a simulation run. The memory is valid until it is freed or the
/// simulation is reset.
pub unsafe extern "C" fn ExAllocatePool2(Flags: POOL_FLAGS, NumberOfBytes: SIZE_T, Tag: ULONG) -> PVOID {
    allocate(&enter(Ddi::ExAllocatePool2), Ddi::ExAllocatePool2, Flags, NumberOfBytes, Tag)
}

/// Allocates like [`ExAllocatePool2`]. Extended parameters end the run as not supported
/// (`nf-wdm-exallocatepool3`).
///
/// # Safety
/// The same as for [`ExAllocatePool2`].
pub unsafe extern "C" fn ExAllocatePool3(
    Flags: POOL_FLAGS,
    NumberOfBytes: SIZE_T,
    Tag: ULONG,
    ExtendedParameters: PCPOOL_EXTENDED_PARAMETER,
    ExtendedParametersCount: ULONG,
) -> PVOID {
    let ddi = Ddi::ExAllocatePool3;
    let machine = &*enter(ddi);
    refuse_parameters(machine, ddi, ExtendedParameters, ExtendedParametersCount);
    allocate(machine, ddi, Flags, NumberOfBytes, Tag)
}

/// Allocates memory of a POOL_TYPE, not zeroed.
///
/// Rules and bug checks are those of [`ExAllocatePool2`]. Bug check 0xC2 (0x9B) for a tag of 0.
/// Pool types beyond the six of [`_POOL_TYPE`](crate::types::_POOL_TYPE) end the run as not
/// supported (`nf-wdm-exallocatepoolwithtag`).
///
/// # Safety
/// The same as for [`ExAllocatePool2`].
pub unsafe extern "C" fn ExAllocatePoolWithTag(
    PoolType: POOL_TYPE,
    NumberOfBytes: SIZE_T,
    Tag: ULONG,
) -> PVOID {
    let ddi = Ddi::ExAllocatePoolWithTag;
    let machine = &*enter(ddi);
    let flags = machine.checked(pool::flags_with_tag(machine, PoolType, NumberOfBytes, Tag));
    allocate(machine, ddi, flags, NumberOfBytes, Tag)
}

/// Frees for a DDI, with the arguments that the trace shows. A `tag` of 0 fits every block.
fn free(ddi: Ddi, memory: PVOID, tag: ULONG, arguments: impl FnOnce(&Machine)) {
    let tag = (tag != 0).then_some(tag);
    match here() {
        Some(machine) => {
            let machine = &*machine.begin_call(ddi);
            arguments(machine);
            machine.checked(pool::free(machine, memory as usize, tag));
        }
        None => free_between_runs(ddi, memory as usize, tag),
    }
}

/// Frees a block of pool. The block's tag must be `Tag`; a `Tag` of 0 fits every block.
///
/// IRQL ≤ DISPATCH_LEVEL, paged pool ≤ APC_LEVEL, otherwise bug check 0xC4/0x11 or 0x12. Bug check
/// 0xC2 if `P` is not a block, was freed before, or has another tag; 0xC7 if the block holds a
/// queued DPC or a set timer; 0xC1 if bytes around the block are overwritten
/// (`nf-wdm-exfreepoolwithtag`).
///
/// # Safety
/// The memory is not used any more.
pub unsafe extern "C" fn ExFreePoolWithTag(P: PVOID, Tag: ULONG) {
    let ddi = Ddi::ExFreePoolWithTag;
    free(ddi, P, Tag, |machine| {
        machine.called(ddi, |machine| ([machine.pointer(P as usize), Value::Tag(Tag)], None));
    });
}

/// Frees a block of pool, whatever its tag, otherwise like [`ExFreePoolWithTag`]
/// (`nf-ntddk-exfreepool`).
///
/// # Safety
/// The same as for [`ExFreePoolWithTag`].
pub unsafe extern "C" fn ExFreePool(P: PVOID) {
    let ddi = Ddi::ExFreePool;
    free(ddi, P, 0, |machine| machine.called(ddi, |machine| ([machine.pointer(P as usize)], None)));
}

/// Frees a block of pool like [`ExFreePoolWithTag`]. Extended parameters end the run as not
/// supported (`nf-wdm-exfreepool2`).
///
/// # Safety
/// The same as for [`ExFreePoolWithTag`].
pub unsafe extern "C" fn ExFreePool2(
    P: PVOID,
    Tag: ULONG,
    ExtendedParameters: PCPOOL_EXTENDED_PARAMETER,
    ExtendedParametersCount: ULONG,
) {
    let ddi = Ddi::ExFreePool2;
    free(ddi, P, Tag, |machine| {
        refuse_parameters(machine, ddi, ExtendedParameters, ExtendedParametersCount);
        machine.called(ddi, |machine| ([machine.pointer(P as usize), Value::Tag(Tag)], None));
    });
}
