//! Features of a step on an operation. They combine the operation's state with the steps that other
//! processors are doing.

use super::world::OperationWorld;
use crate::harness::coverage::hit;

/// Reports each combination of this processor's step with the steps that other processors are
/// doing.
pub fn meet(world: &OperationWorld, processor: usize, what: u32, on: Option<usize>) {
    let state = on.map_or(0, |operation| situation(world, operation));
    hit(what, state);
    if world.alone.get() {
        return;
    }
    for (other, doing) in world.doing.iter().enumerate() {
        let (theirs, target) = doing.get();
        if other != processor && theirs != 0 {
            let same = on == Some(target.into());
            hit(what | 0x200 | u32::from(same) << 10, u32::from(theirs) | if same { state << 8 } else { 0 });
        }
    }
}

/// The state of an operation, in a few bits.
#[must_use]
pub fn situation(world: &OperationWorld, operation: usize) -> u32 {
    let slot = world.slot(operation);
    let body = &slot.body;
    u32::from(body.polls.get() > 0)
        | u32::from(body.drops.get() > 0) << 1
        | (body.waiting.get() as u32).min(3) << 2
        | u32::from(body.polling.get().is_some()) << 4
        | u32::from(slot.bodyless.get()) << 5
        | u32::from(slot.handled.get() > 0) << 6
}
