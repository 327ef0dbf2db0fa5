//! The deterministic engine. Each thread is a coroutine, one coroutine runs at a time, and a
//! schedule chooses which.
//!
//! - `schedule`, `pct`, `explore`, `recording` and `replay` make decisions. `choice` has decisions
//!   as data, and `ask` asks the machine's schedule for them.
//! - `order` and `follow` carry a run over to another build, by the order of its events and
//!   decisions.
//! - `guide` makes a run like a recorded one with fewer preemptions.
//! - `machine` is the simulated machine, and `entry` the way a DDI finds the machine that it runs
//!   in.
//! - `point` holds preemption points, switches, and waits for spin locks.
//! - `thread` chooses the thread that a processor runs, and handles waits and the end of a thread.
//! - `dispatch` handles DPC interrupts and drains DPC queues.
//! - `expiry` handles clock ticks and timers.
//! - `halt` ends a run by a bug check or otherwise.
//! - `worker` runs work items on threads of its own.
//! - `identity` and `identify` hash which atomics were used, for recordings.
//! - `between` handles kernel calls between two runs.
//! - `run_state` records what a coroutine is executing, and `stack_depth` how much of its stack the
//!   driver uses.
//! - `run` is the loop outside all coroutines, and `serve` the body of each coroutine, which
//!   executes a `job`.

pub(crate) mod ask;
pub(crate) mod between;
pub(crate) mod choice;
pub(crate) mod control;
pub(crate) mod dispatch;
pub(crate) mod entry;
pub(crate) mod expiry;
pub(crate) mod explore;
pub(crate) mod follow;
pub(crate) mod free;
pub(crate) mod guide;
pub(crate) mod halt;
pub(crate) mod identify;
pub(crate) mod identity;
pub(crate) mod job;
pub(crate) mod machine;
pub(crate) mod order;
pub(crate) mod pct;
pub(crate) mod point;
pub(crate) mod recording;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod run_state;
pub(crate) mod schedule;
pub(crate) mod scheduling;
pub(crate) mod serve;
pub(crate) mod stack_depth;
pub(crate) mod thread;
pub(crate) mod worker;
