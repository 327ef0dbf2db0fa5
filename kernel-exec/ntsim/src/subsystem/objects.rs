//! KDPC and KTIMER in the driver's memory. Only this code reads and writes them.
//!
//! Safe functions that take an address rely on the driver's promise to the DDI that first got it:
//! the object is valid memory until it is in no queue `[O1]`. Before every access the address is
//! checked if it is in pool. Freed memory is a bug check and is not accessed.

extern crate alloc;

use alloc::boxed::Box;
use core::{ffi::c_void, mem::offset_of};

use crate::{
    engine::machine::Machine,
    kernel::{dpc::QueuedDpc, timer::Key},
    types::{_KDPC_IMPORTANCE, KDPC, KTIMER, PKDEFERRED_ROUTINE, PVOID},
    verifier::{
        Checked, Violation,
        bugcheck::timer_or_dpc::{self, Object},
        memory::Use,
    },
};

/// The `Type` of an initialised KDPC, as in NT.
pub(crate) const DPC_OBJECT: u8 = 19;
/// The `Type` of an initialised notification timer, as in NT. A synchronization timer has one more.
pub(crate) const TIMER_OBJECT: u8 = 8;
/// The offset of a target processor in a KDPC's `Number`, which is 0 for the current processor.
pub(crate) const TARGET_BASE: u16 = 0x800;

/// Marks a DPC that has been queued by hand since its initialisation (in `ProcessorHistory`).
pub(crate) const USED_BY_HAND: usize = 1;
/// Marks a DPC that has been used with a timer since its initialisation.
pub(crate) const USED_BY_TIMER: usize = 2;

type Routine = unsafe extern "C" fn(*mut KDPC, PVOID, PVOID, PVOID);

/// The data for a call of a DPC's routine.
pub(crate) struct DpcCall {
    pub(crate) routine: Routine,
    pub(crate) dpc: *mut KDPC,
    pub(crate) context: PVOID,
    pub(crate) arguments: (PVOID, PVOID),
}

/// The data for queueing a timer's DPC.
pub(crate) struct TimerDpc {
    /// The processor that the DPC targets.
    pub(crate) target: Option<usize>,
    /// Whether the DPC goes to the queue's head.
    pub(crate) high: bool,
}

fn read_dpc(dpc: *mut KDPC) -> KDPC {
    // SAFETY: pool memory was checked before; other memory is valid by [O1]. Any bits are a KDPC
    // except for the routine, which is the driver's or zero.
    unsafe { dpc.read_unaligned() }
}

fn read_timer(timer: *mut KTIMER) -> KTIMER {
    // SAFETY: pool memory was checked before; other memory is valid by [O1]. Any bits are a KTIMER.
    unsafe { timer.read_unaligned() }
}

/// Writes a KDPC back.
pub(crate) fn write_dpc(dpc: *mut KDPC, value: KDPC) {
    // SAFETY: pool memory was checked before; other memory is valid by [O1].
    unsafe { dpc.write_unaligned(value) }
}

/// Writes a KTIMER back.
pub(crate) fn write_timer(timer: *mut KTIMER, value: KTIMER) {
    // SAFETY: pool memory was checked before; other memory is valid by [O1].
    unsafe { timer.write_unaligned(value) }
}

/// Initialises a KDPC of medium importance, for the processor that inserts it. The fields of the
/// insertion's arguments keep their bytes, as in NT.
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
    // SAFETY: pool memory was checked before; other memory is valid by [O1]. This is the part
    // before the arguments.
    unsafe { to.copy_from_nonoverlapping(from, before) };
    let (from, to) = (from.wrapping_add(after), to.wrapping_add(after));
    // SAFETY: pool memory was checked before; other memory is valid by [O1]. This is the part after
    // the arguments.
    unsafe { to.copy_from_nonoverlapping(from, size_of::<KDPC>() - after) };
}

/// Returns the target processor of a KDPC.
pub(crate) fn target(dpc: &KDPC) -> Option<usize> {
    dpc.Number.checked_sub(TARGET_BASE).map(usize::from)
}

/// Returns whether a KDPC goes to its queue's head.
pub(crate) fn is_high(dpc: &KDPC) -> bool {
    i32::from(dpc.Importance) == _KDPC_IMPORTANCE::HighImportance
}

/// Loads the KDPC at an address, or returns a violation if it is not initialised.
pub(crate) fn load_dpc(machine: &Machine, dpc: *mut KDPC) -> Checked<KDPC> {
    machine.check_memory(dpc as usize, Use::Dpc)?;
    let value = read_dpc(dpc);
    if value.Type == DPC_OBJECT {
        return Ok(value);
    }
    Err(timer_or_dpc::not_a_dpc(dpc as usize, machine.name(dpc as usize)))
}

/// Loads the KTIMER at an address, or returns a violation if it is not initialised.
pub(crate) fn load_timer(machine: &Machine, timer: *mut KTIMER) -> Checked<KTIMER> {
    machine.check_memory(timer as usize, Use::Timer)?;
    let value = read_timer(timer);
    if value.Type == TIMER_OBJECT || value.Type == TIMER_OBJECT + 1 {
        return Ok(value);
    }
    Err(timer_or_dpc::not_a_timer(timer as usize, machine.name(timer as usize)))
}

/// Returns the violation for a queued object that its owner has overwritten.
pub(crate) fn changed(machine: &Machine, kind: Object, address: usize) -> Box<Violation> {
    timer_or_dpc::overwritten_while_queued(kind, address, machine.name(address))
}

/// Marks a DPC that has left its queue as not queued, and returns the call to make.
pub(crate) fn take_dpc(machine: &Machine, entry: QueuedDpc) -> Checked<DpcCall> {
    let dpc: *mut KDPC = core::ptr::with_exposed_provenance_mut(entry.address);
    let mut value = load_dpc(machine, dpc)?;
    if !entry.in_flight {
        if value.DpcData == 0 {
            return Err(changed(machine, Object::Dpc, entry.address));
        }
        value.DpcData = 0;
        write_dpc(dpc, value);
    }
    let Some(routine) = value.DeferredRoutine else {
        return Err(changed(machine, Object::Dpc, entry.address));
    };
    let arguments = (value.SystemArgument1, value.SystemArgument2);
    Ok(DpcCall { routine, dpc, context: value.DeferredContext, arguments })
}

/// Returns a timer's DPC at expiry, or none if it is still queued from an earlier expiry.
pub(crate) fn timer_dpc(machine: &Machine, address: usize) -> Checked<Option<TimerDpc>> {
    let value = load_dpc(machine, core::ptr::with_exposed_provenance_mut(address))?;
    let queued = value.DpcData != 0;
    Ok((!queued).then(|| TimerDpc { target: target(&value), high: is_high(&value) }))
}

/// Marks a DPC that [`timer_dpc`] returned as queued on a processor.
pub(crate) fn mark_queued(address: usize, processor: usize) {
    let dpc: *mut KDPC = core::ptr::with_exposed_provenance_mut(address);
    let value = read_dpc(dpc);
    write_dpc(dpc, KDPC { DpcData: processor + 1, ..value });
}

/// Marks a timer that has left the timer queue as not queued, and signals it.
pub(crate) fn expire_timer(machine: &Machine, address: usize, key: Key) -> Checked<()> {
    let timer: *mut KTIMER = core::ptr::with_exposed_provenance_mut(address);
    let value = load_timer(machine, timer)?;
    if value.Inserted == 0 || self::key(&value) != key {
        return Err(changed(machine, Object::Timer, address));
    }
    write_timer(timer, KTIMER { Inserted: 0, SignalState: 1, ..value });
    Ok(())
}

/// Returns the due time of a timer that is in the timer queue or has just left it.
pub(crate) fn due_time(address: usize) -> u64 {
    read_timer(core::ptr::with_exposed_provenance_mut(address)).DueTime
}

/// Marks a timer as queued at this place in the timer queue.
pub(crate) fn mark_timer_queued(address: usize, due_time: u64, key: Key) {
    let timer: *mut KTIMER = core::ptr::with_exposed_provenance_mut(address);
    let queued = KTIMER {
        Inserted: 1,
        DueTime: due_time,
        TimerListEntry: [key.tick as usize, key.sequence as usize],
        ..read_timer(timer)
    };
    write_timer(timer, queued);
}

/// Returns a set timer's place in the timer queue, which is stored in fields that belong to the
/// kernel.
pub(crate) fn key(timer: &KTIMER) -> Key {
    let [tick, sequence] = timer.TimerListEntry;
    Key { tick: tick as u64, sequence: sequence as u64 }
}

/// Returns the address of a pointer argument, with its provenance exposed, so that the queues may
/// keep it.
pub(crate) fn address<T>(pointer: *mut T) -> usize {
    pointer.expose_provenance()
}

/// Returns the address of a pointer argument, for the trace.
pub(crate) fn untyped(pointer: *mut c_void) -> usize {
    pointer as usize
}
