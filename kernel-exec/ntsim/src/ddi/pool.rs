//! Pool (learn.microsoft.com/windows-hardware/drivers/ddi/: `wdm/nf-wdm-exallocatepool2`, `ntddk/nf-ntddk-exfreepool`,
//! `wdm/nf-wdm-exfreepoolwithtag`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use core::ptr::null_mut;

use crate::{
    engine::machine::{Machine, enter},
    trace::Value,
    types::{POOL_FLAGS, PVOID, SIZE_T, ULONG},
    verifier::{Checked, irql::Ddi},
};

/// Memory of `NumberOfBytes` bytes, zeroed unless POOL_FLAG_UNINITIALIZED is set, aligned to 16 bytes, and to a page from 4096
/// bytes on; NULL where there is none, or where `Tag` is 0.
///
/// IRQL ≤ DISPATCH_LEVEL, paged pool ≤ APC_LEVEL: else bug check 0xC4/0x1 or 0x2. Zero bytes: 0xC4/0x0. Flags beyond
/// NON_PAGED, NON_PAGED_EXECUTE, PAGED, USE_QUOTA, UNINITIALIZED and CACHE_ALIGNED end the run as not supported
/// (`nf-wdm-exallocatepool2`).
///
/// # Safety
/// None beyond being called in a simulation run. The memory is valid until it is freed or the simulation is reset.
pub unsafe extern "C" fn ExAllocatePool2(Flags: POOL_FLAGS, NumberOfBytes: SIZE_T, Tag: ULONG) -> PVOID {
    let machine = enter(Ddi::ExAllocatePool2);
    let allocated = machine.pool_request(Flags, NumberOfBytes, Tag).and_then(|request| match request {
        Some(request) => machine.allocate(request),
        None => Ok(null_mut()),
    });
    let memory = match allocated {
        Ok(memory) => memory,
        Err(violation) => machine.bug_check(violation),
    };
    machine.called(Ddi::ExAllocatePool2, |machine| {
        let arguments = [Value::Bits(Flags), Value::Number(NumberOfBytes), Value::Tag(Tag)];
        (arguments, Some(Value::Pointer(machine.name(memory as usize))))
    });
    memory.cast()
}

fn free(machine: &Machine, memory: PVOID, tag: Option<ULONG>) {
    let freed: Checked<()> = machine.free(memory as usize, tag);
    if let Err(violation) = freed {
        machine.bug_check(violation);
    }
}

/// Frees a block of pool, whose tag must be `Tag`; a `Tag` of 0 fits every block.
///
/// IRQL ≤ DISPATCH_LEVEL, paged pool ≤ APC_LEVEL: else bug check 0xC4/0x11 or 0x12. Not a block, freed twice, wrong tag: 0xC2.
/// A block that holds a queued DPC or a set timer: 0xC7. Bytes around it overwritten: 0xC1 (`nf-wdm-exfreepoolwithtag`).
///
/// # Safety
/// Nobody uses the memory any more.
pub unsafe extern "C" fn ExFreePoolWithTag(P: PVOID, Tag: ULONG) {
    let machine = enter(Ddi::ExFreePoolWithTag);
    machine.called(Ddi::ExFreePoolWithTag, |machine| ([machine.pointer(P as usize), Value::Tag(Tag)], None));
    free(machine, P, (Tag != 0).then_some(Tag));
}

/// Frees a block of pool, whatever its tag. Else as [`ExFreePoolWithTag`] (`nf-ntddk-exfreepool`).
///
/// # Safety
/// As for [`ExFreePoolWithTag`].
pub unsafe extern "C" fn ExFreePool(P: PVOID) {
    let machine = enter(Ddi::ExFreePool);
    machine.called(Ddi::ExFreePool, |machine| ([machine.pointer(P as usize)], None));
    free(machine, P, None);
}
