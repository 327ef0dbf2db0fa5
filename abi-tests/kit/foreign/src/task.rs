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

/// The end of an operation. It determines the status that get_status writes and the answer of
/// get_result.
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

/// The mutable state of a task.
#[derive(Default)]
pub(crate) struct State {
    /// The end of the operation, if it has ended. Its value is written before.
    pub(crate) end: Option<End>,
    pub(crate) value: Vec<u8>,
    /// Whether the task is in the queue.
    pub(crate) queued: bool,
    /// Whether the body is being polled.
    pub(crate) running: bool,
    /// Whether the task has been woken during this poll.
    pub(crate) woken: bool,
    /// Whether a request for its cancellation is set that the body has not taken.
    pub(crate) requested: bool,
    /// Whether this poll shows the request to the body.
    pub(crate) shown: bool,
    /// The number of holds, which are all that can still wake it [C9].
    holds: usize,
    /// Whether the task was cancelled because no hold was left.
    abandoned: bool,
    /// Whether the last hold went a second time, so that the body is dropped unpolled.
    pub(crate) doomed: bool,
}

/// A task. The executor owns its body while it runs.
pub(crate) struct Task {
    pub(crate) kind: u32,
    /// The recipe. `None` if the operation failed before it began.
    pub(crate) recipe: Option<Recipe>,
    state: Mutex<State>,
}

// SAFETY: the kit lets any thread that runs the body call the recipe's functions, one thread at a
// time.
unsafe impl Send for Task {}
// SAFETY: one thread at a time calls the recipe's functions, and the state is behind a lock.
unsafe impl Sync for Task {}

impl Task {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static LIVE: AtomicU64 = AtomicU64::new(0);

/// The number of tasks.
pub(crate) unsafe extern "C" fn live() -> u64 {
    LIVE.load(SeqCst)
}

impl Drop for Task {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, SeqCst);
    }
}

/// A reference that keeps a task. A waker, a client's object and a place in the queue have one.
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
        // [C9] No hold is left that could wake it.
        state.doomed = core::mem::replace(&mut state.abandoned, true);
        state.requested = true;
        state.queued = true;
        drop(state);
        executor::enqueue(self.clone());
    }
}
