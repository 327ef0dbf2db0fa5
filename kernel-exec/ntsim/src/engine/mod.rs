//! The deterministic engine: each processor is a coroutine, one runs at a time, and a schedule decides who goes on.
//!
//! - `schedule`, `pct`, `explore` and `recording`: decisions;
//! - `machine`: the simulated machine that the running coroutine is in, and how a DDI finds it;
//! - `point`: preemption points, switches, waits;
//! - `dispatch`: DPC interrupts and the drain of a DPC queue;
//! - `expiry`: clock ticks and timers;
//! - `halt`: bug checks and other ends;
//! - `run`: the loop outside all coroutines.

pub(crate) mod dispatch;
pub(crate) mod expiry;
pub(crate) mod explore;
pub(crate) mod halt;
pub(crate) mod machine;
pub(crate) mod pct;
pub(crate) mod point;
pub(crate) mod recording;
pub(crate) mod run;
pub(crate) mod schedule;
