//! Atomics and a cell for drivers. There is a preemption point of the simulated kernel before and
//! behind every operation.
//!
//! Outside a simulation run they are core's types and nothing else. The simulation is sequentially
//! consistent, so orderings are passed on, not explored.

mod atomic;
mod cell;

pub use atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize, fence,
};
pub use cell::UnsafeCell;
pub use core::sync::atomic::{Ordering, compiler_fence};
