//! Features of a step on an operation. They combine the operation's state with the steps that other
//! processors are doing.

use super::world::OperationWorld;
use crate::harness::coverage::{self, hit};

/// Reports each combination of this processor's step with the steps that other processors are
/// doing.
pub fn meet(world: &OperationWorld, processor: usize, what: u32, on: Option<usize>) {
    let state = on.map_or(0, |operation| situation(world, operation));
    hit(what, state);
    if !world.alone.get() {
        coverage::meet(&world.doing, processor, what, on, state);
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
