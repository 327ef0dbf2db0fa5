//! KDPC and KTIMER in the driver's memory: the only code that reads and writes them.
//!
//! Safe functions that take an address rely on the driver's promise to the DDI that first got it: the object is valid memory
//! until it is in no queue `[O1]`. Before every access the address is checked as far as pool goes: freed memory is a bug check,
//! not an access.

extern crate alloc;

use core::{ffi::c_void, mem::offset_of};

use crate::{
    engine::machine::Machine,
    kernel::{dpc::Entry, timer::Key},
    types::{_KDPC_IMPORTANCE, KDPC, KTIMER, PKDEFERRED_ROUTINE, PVOID},
    verifier::{Checked, memory::Use, violation},
};

/// A KDPC's `Type` once it is initialised, as in NT.
pub(crate) const DPC_OBJECT: u8 = 19;
/// A KTIMER's `Type` once it is initialised, as in NT, for notification timers; one more for synchronization timers.
pub(crate) const TIMER_OBJECT: u8 = 8;
/// A KDPC's `Number` is 0 for the current processor, and this and more for a given one.
pub(crate) const TARGET_BASE: u16 = 0x800;

/// How a DPC has been used since its initialisation (in `ProcessorHistory`).
pub(crate) const USED_BY_HAND: usize = 1;
/// Used with a timer.
pub(crate) const USED_BY_TIMER: usize = 2;

type Routine = unsafe extern "C" fn(*mut KDPC, PVOID, PVOID, PVOID);

/// What is needed to call a DPC's routine.
pub(crate) struct Call {
    pub(crate) routine: Routine,
    pub(crate) dpc: *mut KDPC,
    pub(crate) context: PVOID,
    pub(crate) arguments: (PVOID, PVOID),
}

/// What is needed to queue a timer's DPC.
pub(crate) struct TimerDpc {
    /// The processor it targets.
    pub(crate) target: Option<usize>,
    /// It goes to the queue's head.
    pub(crate) high: bool,
}

fn read_dpc(dpc: *mut KDPC) -> KDPC {
    // SAFETY: checked before, else valid by [O1]; any bits are a KDPC but the routine's, which is the driver's or zero.
    unsafe { dpc.read_unaligned() }
}

fn read_timer(timer: *mut KTIMER) -> KTIMER {
    // SAFETY: checked before, else valid by [O1]; any bits are a KTIMER.
    unsafe { timer.read_unaligned() }
}

/// Writes a KDPC back.
pub(crate) fn write_dpc(dpc: *mut KDPC, value: KDPC) {
    // SAFETY: checked before, else valid by [O1].
    unsafe { dpc.write_unaligned(value) }
}

/// Writes a KTIMER back.
pub(crate) fn write_timer(timer: *mut KTIMER, value: KTIMER) {
    // SAFETY: checked before, else valid by [O1].
    unsafe { timer.write_unaligned(value) }
}

/// Makes a KDPC of medium importance, for the processor that inserts it. The arguments of an
/// insertion, which come later, stay as they are, as in NT.
pub(crate) fn initialize_dpc(dpc: *mut KDPC, routine: PKDEFERRED_ROUTINE, context: PVOID) {
    let fresh = KDPC {
        Type: DPC_OBJECT,
        Importance: _KDPC_IMPORTANCE::MediumImportance as u8,
        DeferredRoutine: routine,
        DeferredContext: context,
        ..KDPC::default()
    };
    let (before, after) = (offset_of!(KDPC, SystemArgument1), offset_of!(KDPC, DpcData));
    let (from, to) = ((&raw const fresh).cast::<u8>(), dpc.cast::<u8>());
    // SAFETY: checked before, else valid by [O1]: the part before the arguments.
    unsafe { to.copy_from_nonoverlapping(from, before) };
    let (from, to) = (from.wrapping_add(after), to.wrapping_add(after));
    // SAFETY: checked before, else valid by [O1]: the part behind the arguments.
    unsafe { to.copy_from_nonoverlapping(from, size_of::<KDPC>() - after) };
}

/// The target in a KDPC.
pub(crate) fn target(dpc: &KDPC) -> Option<usize> {
    dpc.Number.checked_sub(TARGET_BASE).map(usize::from)
}

/// Whether a KDPC goes to its queue's head.
pub(crate) fn is_high(dpc: &KDPC) -> bool {
    i32::from(dpc.Importance) == _KDPC_IMPORTANCE::HighImportance
}

/// The KDPC at an address, once it is known to be one.
pub(crate) fn load_dpc(machine: &Machine, dpc: *mut KDPC) -> Checked<KDPC> {
    machine.check_memory(dpc as usize, Use::Dpc)?;
    let value = read_dpc(dpc);
    if value.Type == DPC_OBJECT {
        return Ok(value);
    }
    let rule = alloc::format!(
        "{} is used as a DPC, but KeInitializeDpc has not made it one, or it was overwritten",
        machine.name(dpc as usize)
    );
    Err(violation(0xC7, [1, dpc as u64, dpc as u64, dpc as u64 + 64], rule))
}

/// The KTIMER at an address, once it is known to be one.
pub(crate) fn load_timer(machine: &Machine, timer: *mut KTIMER) -> Checked<KTIMER> {
    machine.check_memory(timer as usize, Use::Timer)?;
    let value = read_timer(timer);
    if value.Type == TIMER_OBJECT || value.Type == TIMER_OBJECT + 1 {
        return Ok(value);
    }
    let rule = alloc::format!(
        "{} is used as a timer, but KeInitializeTimer(Ex) has not made it one, or it was overwritten",
        machine.name(timer as usize)
    );
    Err(violation(0xC7, [0, timer as u64, timer as u64, timer as u64 + 64], rule))
}

/// Something about an object in a queue that its owner must not have changed.
pub(crate) fn changed(
    machine: &Machine,
    kind: u64,
    address: usize,
) -> alloc::boxed::Box<crate::verifier::Violation> {
    let what = if kind == 0 { "timer" } else { "DPC" };
    let rule = alloc::format!("the {what} {} was overwritten while it was queued", machine.name(address));
    violation(0xC7, [kind, address as u64, address as u64, address as u64 + 64], rule)
}

/// Notes in a DPC that has left its queue that it has, and says what to call.
pub(crate) fn take_dpc(machine: &Machine, entry: Entry) -> Checked<Call> {
    let dpc: *mut KDPC = core::ptr::with_exposed_provenance_mut(entry.address);
    let mut value = load_dpc(machine, dpc)?;
    if !entry.in_flight {
        if value.DpcData == 0 {
            return Err(changed(machine, 1, entry.address));
        }
        value.DpcData = 0;
        write_dpc(dpc, value);
    }
    let Some(routine) = value.DeferredRoutine else { return Err(changed(machine, 1, entry.address)) };
    let arguments = (value.SystemArgument1, value.SystemArgument2);
    Ok(Call { routine, dpc, context: value.DeferredContext, arguments })
}

/// A timer's DPC at expiry; none where it is still queued from an earlier one.
pub(crate) fn timer_dpc(machine: &Machine, address: usize) -> Checked<Option<TimerDpc>> {
    let value = load_dpc(machine, core::ptr::with_exposed_provenance_mut(address))?;
    let queued = value.DpcData != 0;
    Ok((!queued).then(|| TimerDpc { target: target(&value), high: is_high(&value) }))
}

/// Notes in a DPC which [`timer_dpc`] returned that it is in a processor's queue.
pub(crate) fn mark_queued(address: usize, processor: usize) {
    let dpc: *mut KDPC = core::ptr::with_exposed_provenance_mut(address);
    let value = read_dpc(dpc);
    write_dpc(dpc, KDPC { DpcData: processor + 1, ..value });
}

/// Notes in a timer that has left the timer queue that it has, and signals it.
pub(crate) fn expire_timer(machine: &Machine, address: usize, key: Key) -> Checked<()> {
    let timer: *mut KTIMER = core::ptr::with_exposed_provenance_mut(address);
    let value = load_timer(machine, timer)?;
    if value.Inserted == 0 || self::key(&value) != key {
        return Err(changed(machine, 0, address));
    }
    write_timer(timer, KTIMER { Inserted: 0, SignalState: 1, ..value });
    Ok(())
}

/// When a timer that is in the timer queue, or has just left it, is or was due.
pub(crate) fn due_time(address: usize) -> u64 {
    read_timer(core::ptr::with_exposed_provenance_mut(address)).DueTime
}

/// Notes in a timer that it is in the timer queue, there.
pub(crate) fn place_timer(address: usize, due_time: u64, key: Key) {
    let timer: *mut KTIMER = core::ptr::with_exposed_provenance_mut(address);
    let placed = KTIMER {
        Inserted: 1,
        DueTime: due_time,
        TimerListEntry: [key.tick as usize, key.sequence as usize],
        ..read_timer(timer)
    };
    write_timer(timer, placed);
}

/// A set timer's place in the timer queue, which it holds in fields of the kernel's own.
pub(crate) fn key(timer: &KTIMER) -> Key {
    let [tick, sequence] = timer.TimerListEntry;
    Key { tick: tick as u64, sequence: sequence as u64 }
}

/// The pointer of an argument, as an address that the queues may keep.
pub(crate) fn address<T>(pointer: *mut T) -> usize {
    pointer.expose_provenance()
}

/// A pointer argument's address, for the trace.
pub(crate) fn untyped(pointer: *mut c_void) -> usize {
    pointer as usize
}
