//! Tasks, their states, and the holds that keep them.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use ntcom_kit_table::Recipe;

use crate::executor;

/// NTSTATUS values.
pub(crate) mod status {
    pub(crate) const SUCCESS: i32 = 0;
    pub(crate) const PENDING: i32 = 0x103;
    pub(crate) const UNSUCCESSFUL: i32 = 0xC000_0001_u32.cast_signed();
    pub(crate) const INVALID_PARAMETER: i32 = 0xC000_000D_u32.cast_signed();
    pub(crate) const CANCELLED: i32 = 0xC000_0120_u32.cast_signed();
    pub(crate) const NOINTERFACE: i32 = 0xC000_02B9_u32.cast_signed();
}

/// How an operation ended, as get_status writes it, and what get_result answers.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Completed,
    Canceled,
    Error(i32),
}

impl End {
    pub(crate) const fn number(self) -> i32 {
        match self {
            Self::Completed => 1,
            Self::Canceled => 2,
            Self::Error(_) => 3,
        }
    }

    pub(crate) const fn stored(self) -> i32 {
        match self {
            Self::Completed => status::SUCCESS,
            Self::Canceled => status::CANCELLED,
            Self::Error(why) => why,
        }
    }
}

/// What changes of a task.
#[derive(Default)]
pub(crate) struct State {
    /// How it ended. The value has been written by then.
    pub(crate) end: Option<End>,
    pub(crate) value: Vec<u8>,
    /// Whether the task is in the queue.
    pub(crate) queued: bool,
    /// Whether the body is being polled.
    pub(crate) running: bool,
    /// Whether the task has been woken during this poll.
    pub(crate) woken: bool,
    /// A request for its cancellation that the body has not taken.
    pub(crate) requested: bool,
    /// Whether this poll shows the request to the body.
    pub(crate) shown: bool,
    /// Holds: [C9] they are what can still wake it.
    holds: usize,
    /// The task was cancelled because no hold was left.
    abandoned: bool,
    /// For a second time: its body is dropped unpolled.
    pub(crate) doomed: bool,
}

/// A task. Its body is the executor's while it runs.
pub(crate) struct Task {
    pub(crate) kind: u32,
    /// None where it failed before it began.
    pub(crate) recipe: Option<Recipe>,
    state: Mutex<State>,
}

// SAFETY: the header: the recipe's functions may be called by whichever thread runs the body, one
// at a time.
unsafe impl Send for Task {}
// SAFETY: the header: one thread at a time calls the recipe's functions; the state is behind a
// lock.
unsafe impl Sync for Task {}

impl Task {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static LIVE: AtomicU64 = AtomicU64::new(0);

/// How many tasks there are.
pub(crate) unsafe extern "C" fn live() -> u64 {
    LIVE.load(SeqCst)
}

impl Drop for Task {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, SeqCst);
    }
}

/// What keeps a task: a waker, the object that clients have, a place in the queue.
pub(crate) struct Hold(Arc<Task>);

impl Hold {
    pub(crate) fn new(kind: u32, recipe: Option<Recipe>, end: Option<End>) -> Self {
        LIVE.fetch_add(1, SeqCst);
        let state = State { end, holds: 1, ..State::default() };
        Self(Arc::new(Task { kind, recipe, state: Mutex::new(state) }))
    }

    /// Makes a task that failed before it began.
    pub(crate) fn failed(kind: u32, why: i32) -> Self {
        Self::new(kind, None, Some(End::Error(why)))
    }

    pub(crate) fn task(&self) -> &Task {
        &self.0
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        self.task().state().holds += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.task().state();
        state.holds -= 1;
        if state.holds > 0 || state.end.is_some() {
            return;
        }
        // [C9]: no hold is left that could wake it.
        state.doomed = core::mem::replace(&mut state.abandoned, true);
        state.requested = true;
        state.queued = true;
        drop(state);
        executor::enqueue(self.clone());
    }
}
