//! Prepares DPCs for their queues and takes them out again.

extern crate alloc;

use super::{
    objects::{self, USED_BY_HAND, USED_BY_TIMER},
    processor,
};
use crate::{
    engine::machine::Machine,
    kernel::{dpc::QueuedDpc, processor::Activity},
    types::{
        _KDPC_IMPORTANCE, DISPATCH_LEVEL, KDPC, KDPC_IMPORTANCE, PKDEFERRED_ROUTINE, PROCESSOR_NUMBER, PVOID,
    },
    verifier::{
        Checked,
        bugcheck::timer_or_dpc::{self, Object},
        memory::Use,
    },
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;
/// The queue length from which on another processor is interrupted whatever the importance of the
/// DPC.
const DEPTH_LIMIT: usize = 4;

/// Initialises a DPC that is in no queue and that no set timer uses.
pub(crate) fn initialize(
    machine: &Machine,
    dpc: *mut KDPC,
    routine: PKDEFERRED_ROUTINE,
    context: PVOID,
) -> Checked<()> {
    let address = objects::address(dpc);
    machine.check_memory(address, Use::Dpc)?;
    if routine.is_none() {
        return Err(timer_or_dpc::dpc_without_routine(address, machine.name(address)));
    }
    forbid_queued(machine, address, "a DPC was initialised")?;
    objects::initialize_dpc(dpc, routine, context);
    Ok(())
}

/// Returns a violation if the DPC is in a queue or a set timer will use it.
fn forbid_queued(machine: &Machine, address: usize, what: &str) -> Checked<()> {
    let kernel = machine.kernel.borrow();
    if let Some((processor, _)) = kernel.dpcs.find_in(address..address + 1) {
        drop(kernel);
        return Err(timer_or_dpc::dpc_in_queue(what, processor, address, machine.name(address)));
    }
    if let Some(timer) = kernel.timers.find_in(address..address + 1) {
        drop(kernel);
        return Err(timer_or_dpc::dpc_of_set_timer(what, address, machine.name(timer.address)));
    }
    Ok(())
}

/// Prepares a DPC for its queue and stores the arguments. Returns none if it is queued already.
pub(crate) fn insert(machine: &Machine, dpc: *mut KDPC, arguments: (PVOID, PVOID)) -> Checked<Option<KDPC>> {
    let value = objects::load_dpc(machine, dpc)?;
    let address = objects::address(dpc);
    if value.ProcessorHistory == USED_BY_TIMER {
        return Err(timer_or_dpc::timer_dpc_queued_by_hand(address, machine.name(address)));
    }
    if value.DpcData != 0 {
        return Ok(None);
    }
    let target = objects::target(&value).unwrap_or(machine.current.get());
    let queued = KDPC {
        ProcessorHistory: USED_BY_HAND,
        SystemArgument1: arguments.0,
        SystemArgument2: arguments.1,
        DpcData: target + 1,
        ..value
    };
    objects::write_dpc(dpc, queued);
    Ok(Some(queued))
}

/// Queues a DPC that [`insert`] has marked, and runs it or interrupts its
/// processor when NT would.
pub(crate) fn deliver(machine: &Machine, dpc: *mut KDPC, value: &KDPC) {
    let target = value.DpcData - 1;
    let importance = KDPC_IMPORTANCE::from(value.Importance);
    let entry = QueuedDpc { address: objects::address(dpc), in_flight: false };
    let depth = machine.enqueue(target, entry, importance == _KDPC_IMPORTANCE::HighImportance);
    let now = if target == machine.current.get() {
        importance != _KDPC_IMPORTANCE::LowImportance || machine.irql() >= DISPATCH || machine.choose(2) == 1
    } else {
        machine.processor(target).activity.get() == Activity::Idle
            || depth >= DEPTH_LIMIT
            || matches!(importance, _KDPC_IMPORTANCE::HighImportance | _KDPC_IMPORTANCE::MediumHighImportance)
            || machine.choose(2) == 1
    };
    if now {
        machine.request_interrupt(target);
        if target == machine.current.get() {
            machine.take_interrupts();
        }
    } else {
        machine.regrant();
    }
}

/// Removes a DPC from its queue. Returns false if it is in none.
pub(crate) fn remove(machine: &Machine, dpc: *mut KDPC) -> Checked<bool> {
    let value = objects::load_dpc(machine, dpc)?;
    let Some(processor) = value.DpcData.checked_sub(1) else { return Ok(false) };
    let removed = machine.kernel.borrow_mut().dpcs.remove(processor, dpc as usize);
    if !removed {
        return Err(objects::changed(machine, Object::Dpc, dpc as usize));
    }
    unqueue(machine, processor);
    objects::write_dpc(dpc, KDPC { DpcData: 0, ..value });
    Ok(true)
}

/// Updates a processor after a DPC that did not run has left its queue.
fn unqueue(machine: &Machine, processor: usize) {
    let cpu = machine.processor(processor);
    cpu.queued.set(cpu.queued.get() - 1);
    if cpu.queued.get() == 0 {
        cpu.interrupt.set(false);
        if cpu.activity.get() == Activity::Idle && cpu.ready.get() == 0 {
            machine.make_unrunnable(processor);
        }
    }
    if machine.flushers.get() != 0 {
        machine.wake_flushers();
    }
}

/// Sets the importance of a DPC. A value beyond KDPC_IMPORTANCE ends the run.
pub(crate) fn set_importance(machine: &Machine, dpc: *mut KDPC, importance: KDPC_IMPORTANCE) -> Checked<()> {
    if !(0..=3).contains(&importance) {
        machine.fail(
            "not supported",
            alloc::format!("KeSetImportanceDpc with {importance}, which is not a KDPC_IMPORTANCE"),
        );
    }
    let value = objects::load_dpc(machine, dpc)?;
    objects::write_dpc(dpc, KDPC { Importance: importance as u8, ..value });
    Ok(())
}

/// Sets the target of a DPC that was loaded. Returns false, without any change, if there is no such
/// processor.
pub(crate) fn set_target(machine: &Machine, dpc: *mut KDPC, value: KDPC, target: PROCESSOR_NUMBER) -> bool {
    let Some(processor) = processor::index(machine, target) else { return false };
    objects::write_dpc(dpc, KDPC { Number: objects::TARGET_BASE + processor as u16, ..value });
    true
}
