//! Atomics and a cell for drivers: before and behind every operation is a preemption point of the
//! simulated kernel.
//!
//! Outside a simulation run they are core's types and nothing else. The simulation is sequentially consistent: orderings are
//! passed on, not explored.

mod atomic;
mod cell;

pub use atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, fence};
pub use cell::UnsafeCell;
pub use core::sync::atomic::Ordering;
