//! The events of bodies.

use core::{cell::Cell, task::Waker};

/// Why a body is not being polled.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Waiting {
    /// It has not been polled, or is not waiting.
    #[default]
    Nothing,
    /// For a gate.
    Gate,
    /// It is parked and has kept no waker.
    Parked,
    /// For its own wake.
    Itself,
    /// For a timer.
    Timer,
    /// For a signal.
    Signal,
    /// For a value.
    Value,
    /// For PASSIVE_LEVEL, or for something that it does there.
    Passive,
}

/// The events of one body, recorded while it is polled and dropped.
#[derive(Default)]
pub struct BodyRecord {
    /// Number of polls.
    pub polls: Cell<u32>,
    /// Number of drops.
    pub drops: Cell<u32>,
    /// The processor that polls it now, or has begun to.
    pub polling: Cell<Option<usize>>,
    /// Whether it has returned Ready.
    pub ready: Cell<bool>,
    /// The reason for its last Pending.
    pub waiting: Cell<Waiting>,
    /// The body's own waker, if it keeps one.
    pub kept: Cell<Option<Waker>>,
    /// A client or a body has asked for its cancellation, and since then it has neither been polled
    /// nor acted on a request.
    pub asked: Cell<bool>,
    /// A client or a body has asked for its cancellation at some time.
    pub ever_asked: Cell<bool>,
    /// A request to all tasks may have reached the body, because it was perhaps there at the time.
    pub maybe_asked: Cell<bool>,
    /// Whether the body has taken a request.
    pub took: Cell<bool>,
    /// Whether a `try_finally` or an `on_cancel` of the body has yielded `None`.
    pub unwound: Cell<bool>,
    /// A bit for each part that has been polled, and, four bits up, for each that has ended.
    pub parts: Cell<u8>,
}

impl BodyRecord {
    /// Records that a request for the body's cancellation is about to come.
    pub fn ask(&self) {
        self.asked.set(true);
        self.ever_asked.set(true);
    }

    /// Whether no request for the body's cancellation can have come.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        !self.ever_asked.get() && !self.maybe_asked.get()
    }
}
