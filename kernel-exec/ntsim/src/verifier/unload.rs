//! The checks of a driver's unload.

extern crate alloc;

use super::{
    Checked,
    bugcheck::{
        driver_verifier::{locks, pool},
        unload,
    },
    memory::describe,
};
use crate::{
    engine::machine::Machine,
    kernel::{thread::ThreadName, work::WorkItem},
    protection::Page,
    subsystem::{self, etw},
    trace::places::{QUEUE_DPC, QUEUE_WORK, SET_TIMER},
};

/// The checks of an unload.
pub(crate) fn check(machine: &Machine) -> Checked<()> {
    check_pending(machine, false)?;
    etw::check_all_unregistered(machine)?;
    check_pool(machine)
}

/// Checks that nothing is pending. With `held`, the routine of a work item may run if it holds
/// a device, and by it the image.
pub(crate) fn check_pending(machine: &Machine, held: bool) -> Checked<()> {
    let pending = |address: usize, what: &str| Err(unload::pending(address, what));
    let alive = machine.kernel.borrow().threads.first_alive();
    if let Some(thread) = alive {
        let what = alloc::format!("{} had not ended", ThreadName::of(thread));
        return pending(machine.thread_address(thread), &what);
    }
    let kernel = machine.kernel.borrow();
    if let Some(list) = kernel.lookaside.find_in(0..usize::MAX) {
        return pending(list, &alloc::format!("the lookaside list {} was not deleted", machine.name(list)));
    }
    if let Some(item) = kernel.work.any() {
        let place = machine.place_of_call(QUEUE_WORK, item.address);
        let what = alloc::format!("the work item {} was queued{place}", machine.name(item.address));
        return pending(item.address, &what);
    }
    let free = |item: &WorkItem| !held || item.call.object().is_none();
    if let Some((thread, item)) = kernel.work.running().find(|(_, item)| free(item)) {
        let (name, worker) = (machine.name(item.address), ThreadName::of(thread));
        let what = alloc::format!("the routine of the work item {name} was running in {worker}");
        return pending(item.address, &what);
    }
    if let Some((processor, entry)) = kernel.dpcs.any() {
        let (name, place) = (machine.name(entry.address), machine.place_of_call(QUEUE_DPC, entry.address));
        let queued = if place.is_empty() { place } else { alloc::format!(", queued{place}") };
        let what = alloc::format!("the DPC {name} was in processor {processor}'s queue{queued}");
        return pending(entry.address, &what);
    }
    if let Some(timer) = kernel.timers.any() {
        let place = machine.place_of_call(SET_TIMER, timer.address);
        let what = alloc::format!("the timer {} was set{place}", machine.name(timer.address));
        return pending(timer.address, &what);
    }
    if let Some(processor) = machine.processors.iter().take(machine.count()).position(|cpu| cpu.in_dpc.get())
    {
        return pending(0, &alloc::format!("processor {processor} was in a DPC routine"));
    }
    if let Some(held) = kernel.locks.held().first() {
        let (name, by) = (machine.name(held.address), held.processor);
        return Err(locks::unloaded_with_spin_lock(held.address, name, by));
    }
    Ok(())
}

/// Checks that no pool is left.
fn check_pool(machine: &Machine) -> Checked<()> {
    let kernel = machine.kernel.borrow();
    for block in kernel.pool.blocks() {
        if block.own_pages && block.live {
            machine.arena.protect(block, Page::Open);
        }
        subsystem::pool::check_guards(machine, block)?;
        if !block.live {
            subsystem::pool::check_freed(machine, block)?;
        }
    }
    let mut leaked = kernel.pool.blocks().iter().filter(|block| block.live);
    if let Some(first) = leaked.next() {
        return Err(pool::leaked(1 + leaked.count(), describe(machine, first)));
    }
    Ok(())
}
