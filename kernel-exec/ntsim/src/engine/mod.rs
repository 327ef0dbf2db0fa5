//! The deterministic engine: each thread is a coroutine, one runs at a time, and a schedule decides who goes on.
//!
//! - `schedule`, `pct`, `explore`, `recording` and `replay`: decisions;
//! - `order` and `follow`: what a run did and decided, for another build;
//! - `machine`: the simulated machine that the running coroutine is in, and how a DDI finds it;
//! - `point`: preemption points, switches, waits for spin locks;
//! - `thread`: which thread a processor runs, waits, the end of a thread;
//! - `dispatch`: DPC interrupts and the drain of a DPC queue;
//! - `expiry`: clock ticks and timers;
//! - `halt`: bug checks and other ends;
//! - `worker`: the threads that run work items;
//! - `identity`: which atomics were used, for recordings;
//! - `between`: kernel calls between two runs;
//! - `run_state`: what a coroutine is at, and how much of its stack the driver uses;
//! - `run`: the loop outside all coroutines.

pub(crate) mod between;
pub(crate) mod dispatch;
pub(crate) mod expiry;
pub(crate) mod explore;
pub(crate) mod follow;
pub(crate) mod free;
pub(crate) mod halt;
pub(crate) mod identity;
pub(crate) mod machine;
pub(crate) mod order;
pub(crate) mod pct;
pub(crate) mod point;
pub(crate) mod recording;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod run_state;
pub(crate) mod schedule;
pub(crate) mod thread;
pub(crate) mod worker;
