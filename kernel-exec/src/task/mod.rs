//! A task is one body in one block, and one state word drives it.
//!
//! # The protocol
//!
//! A block holds the following parts, in this order:
//!
//! - the maker's prefix (in COM, the interface pointers),
//! - the [`Header`] with the [state word](state),
//! - the executor's [`Port`] with its queue entry (KDPCs, or an IO_WORKITEM),
//! - the allocator,
//! - the *stage*, which holds first the body and then its value.
//!
//! | bit of the word | set by | cleared by |
//! |---|---|---|
//! | SCHEDULED | wake, cancel, abandonment | the run that begins, or the next poll of the same run |
//! | RUNNING | the run that begins | the end of the run |
//! | status (2 bits) | the end of the task | never |
//! | CANCEL | cancel, abandonment | taking it, unwinding, the end |
//! | UNWINDING | `try_finally` | never |
//! | ABANDONED, DOOMED | the release of the last reference, the first and the second time | never |
//! | HANDLER_CLAIMED, HANDLER_READY | the completion handler's setter | never |
//! | WAITERS | the first thread that waits for the end | never |
//! | count | one for each reference | |
//!
//! Rules, cited by number in SAFETY comments:
//!
//! - **T1** A *reference* is a COM reference, a waker, a cancel handle, or "SCHEDULED or RUNNING"
//!   (one reference for both together). The block is allocated while the count is above zero. The
//!   count of an unfinished task never becomes zero, because the step that gives up the last
//!   reference hands that reference to the queue.
//! - **T2** The *poller* is the run that set RUNNING. Only the poller touches the body, the cleanup
//!   count, and, until the end, the value and the stored status. SCHEDULED becomes RUNNING in one
//!   step, so there is never a second poller. Only the poller writes the number of body parts that
//!   want PASSIVE_LEVEL. A caller that a step obliges to queue the task reads that number, before
//!   the run that follows.
//! - **T3** SCHEDULED without RUNNING means that the task stands in its executor's queue, exactly
//!   once. SCHEDULED with RUNNING means that the task is in no queue and that the poller polls
//!   again. So the port's queue entry is never inserted twice.
//! - **T4** The status becomes terminal last. Before that, the body is dropped, value and status
//!   are written, and the tracker has forgotten the task. No code writes them afterwards, and any
//!   code that sees a terminal status may read them.
//! - **T5** After a step that gave up a reference, the caller touches nothing of the block through
//!   that reference.
//! - **T6** Every wake is a successful read-modify-write with Release, even when it changes
//!   nothing. Every start of a run and every end of a poll is one with Acquire. Without this, a
//!   poll may miss the data that the waker wrote before the wake.
//! - **T7** The completion handler is written by its one claimant, before HANDLER_READY. The
//!   handler is run by the party that takes the second of the two steps "ready" and "terminal".
//! - **T8** Pointers to a task carry the provenance of the whole block, and no `&mut` ever covers
//!   the word or the port.
//! - **T9** A thread that waits for the end stands in the list of waiters, on its own stack, before
//!   it sets WAITERS. It holds a reference until it has left the list. The poller that ends the
//!   task with WAITERS set tells the waiters under the list's lock, while it still holds its
//!   reference. So every waiter that it tells belongs to this task and still stands in the list.
//!   (`wait.rs`)
//!
//! # Why the protocol is so
//!
//! A DPC leaves its queue before its routine runs. Without RUNNING, a wake during a poll could
//! start the body on a second processor. A wake that finds RUNNING only sets SCHEDULED, and the
//! poller continues.
//!
//! A wake that changes nothing is a read-modify-write all the same. The poll that it relies on must
//! see what the waker wrote before it, and a wake that skips the write is lost on real processors.
//! The test `loom_a_wake_that_finds_already_notified_still_publishes` shows it.
//!
//! The step that gives up the last reference of an unfinished task makes it the queue's, with a
//! cancel request. So an operation that no waker can reach ends in its executor's context, and not
//! on the stack of a Release.

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
#[cfg(any(kernel, all(test, loom)))]
pub(crate) use share::polling_task;
pub use state::Status;
