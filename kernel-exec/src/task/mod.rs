//! A task: one body, one block, one word.
//!
//! # The protocol
//!
//! A block holds, in this order: the maker's prefix (for COM: the interface pointers), the [`Header`] with the
//! [state word](state), the executor's [`Port`] (its queue entry: KDPCs, or an IO_WORKITEM), the allocator, and the *stage*: first the
//! body, then its value.
//!
//! | bit of the word | set by | cleared by |
//! |---|---|---|
//! | SCHEDULED | wake, cancel, abandonment | the run that begins, or the poll that goes on |
//! | RUNNING | the run that begins | the end of the run |
//! | status (2 bits) | the end of the task | never |
//! | CANCEL | cancel, abandonment | taking it, unwinding, the end |
//! | UNWINDING | `try_finally` | never |
//! | ABANDONED, DOOMED | the first and second loss of the last reference | never |
//! | HANDLER_CLAIMED, HANDLER_READY | the completion handler's setter | never |
//! | WAITERS | the first thread that waits for the end | never |
//! | count | one for each reference | |
//!
//! Rules, cited by number in SAFETY comments:
//!
//! - **T1** A *reference* is one of: a COM reference, a waker, a cancel handle, "SCHEDULED or RUNNING" (one for both together).
//!   The block is allocated while the count is above zero, and an unfinished task's count never becomes zero: the step that
//!   gives up its last reference makes that reference the queue's.
//! - **T2** The *poller* is whoever set RUNNING. Only the poller touches the body, the cleanup count, and, until the end, value
//!   and stored status. SCHEDULED becomes RUNNING in one step, so there is never a second poller. How many parts of the body want PASSIVE_LEVEL
//!   is the poller's to write, too; whoever a step obliges to queue the task reads it, before the run that follows.
//! - **T3** SCHEDULED without RUNNING: the task stands in its executor's queue, exactly once. SCHEDULED with RUNNING: it does not;
//!   the poller goes on. So the port's queue entry is never inserted twice.
//! - **T4** The status becomes terminal last: the body is dropped, value and status are written, the tracker has forgotten the
//!   task. Nothing writes them afterwards, and whoever sees a terminal status may read them.
//! - **T5** After a step that gave up a reference nothing of the block is touched through it.
//! - **T6** Every wake is a successful read-modify-write with Release, also when it changes nothing; every run and every end of a
//!   poll is one with Acquire. Otherwise what the waker wrote before may be missed by the poll that its wake relies on.
//! - **T7** The completion handler is written by the one claimant, before HANDLER_READY; it is run by whoever takes the second of the
//!   two steps "ready" and "terminal".
//! - **T8** Pointers to a task carry the provenance of the whole block, and no `&mut` ever covers the word or the port.
//! - **T9** A thread that waits for the end stands in the list of waiters, on its own stack, before it sets WAITERS, and has a reference
//!   until it has left the list. Whoever ends the task with WAITERS set tells its waiters, under the list's lock, with the poller's
//!   reference still there: so what is told is that task's, and is there. (`wait.rs`)

mod block;
mod body;
mod cancel;
mod header;
pub(crate) mod passive;
mod report;
mod run;
mod share;
pub(crate) mod state;
mod wait;
mod waker;

#[cfg(all(test, loom))]
pub(crate) mod loom_tests;

pub use block::{Spawned, Task};
pub use body::{Fallible, Infallible, TaskBody};
pub(crate) use cancel::unwind;
pub use cancel::{CancelHandle, is_cancellation_requested, take_cancellation_request};
pub use header::{Completion, Header, Level, Port, TaskPtr};
pub use report::TaskReport;
pub use run::run;
#[cfg(kernel)]
pub(crate) use run::{run_deferred, run_in_thread};
pub use share::Share;
pub use state::Status;
