//! The queue of tasks that are to run, and a run.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use ntcom_kit_table::{Recipe, poll};

use crate::task::{End, Hold, Task, status};

static QUEUE: Mutex<VecDeque<Hold>> = Mutex::new(VecDeque::new());

pub(crate) fn enqueue(hold: Hold) {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner).push_back(hold);
}

fn next() -> Option<Hold> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Starts a task: its body is queued to be polled.
pub(crate) fn start(recipe: Recipe) -> Hold {
    let hold = Hold::new(recipe.kind, Some(recipe), None);
    wake(&hold);
    hold
}

/// The body is polled soon, or once more after the poll that goes on.
pub(crate) fn wake(hold: &Hold) {
    let mut state = hold.task().state();
    if state.end.is_some() || state.queued {
        return;
    }
    if state.running {
        state.woken = true;
        return;
    }
    state.queued = true;
    drop(state);
    enqueue(hold.clone());
}

pub(crate) unsafe extern "C" fn advance() {
    while let Some(hold) = next() {
        let task = hold.task();
        if let Some(recipe) = &task.recipe {
            run(task, recipe, &hold);
        }
    }
}

/// What a poll left.
enum Poll {
    Ended(End),
    Again,
    Waits,
}

/// Polls the body until it has not been woken meanwhile.
fn run(task: &Task, recipe: &Recipe, hold: &Hold) {
    let doomed = {
        let mut state = task.state();
        state.queued = false;
        state.running = true;
        state.doomed
    };
    loop {
        let left = if doomed { Poll::Ended(End::Canceled) } else { poll_once(task, recipe, hold) };
        match left {
            Poll::Again => {}
            Poll::Waits => return,
            Poll::Ended(end) => {
                // [C8]: the body has gone before the end is visible.
                // SAFETY: the recipe's own function and context, once.
                unsafe { (recipe.drop)(recipe.context) };
                task.state().end = Some(end);
                return;
            }
        }
    }
}

fn poll_once(task: &Task, recipe: &Recipe, hold: &Hold) -> Poll {
    {
        let mut state = task.state();
        state.woken = false;
        state.shown = state.requested;
    }
    // SAFETY: the recipe's own function and context.
    unsafe { (recipe.begin)(recipe.context) };
    let this = core::ptr::from_ref(hold).cast_mut().cast();
    // SAFETY: the recipe's own function and context; the task is this poll's.
    if unsafe { (recipe.poll)(recipe.context, 0, this) } == poll::READY {
        let mut value = vec![0; size(task.kind)];
        // SAFETY: the recipe's own function and context; `value` has room for the kind's value.
        let why = unsafe { (recipe.finish)(recipe.context, value.as_mut_ptr().cast()) };
        if why != status::SUCCESS {
            return Poll::Ended(End::Error(why));
        }
        // [C5]: what the body leaves in the padding of struct ntcom_kit_padded is no client's
        // business.
        if let (PADDED, Some(padding)) = (task.kind, value.get_mut(1..4)) {
            padding.fill(0);
        }
        task.state().value = value;
        return Poll::Ended(End::Completed);
    }
    let mut state = task.state();
    if state.shown && state.requested {
        // [C10]: it was shown the request, and goes on waiting.
        return Poll::Ended(End::Canceled);
    }
    state.running = state.woken;
    if state.woken { Poll::Again } else { Poll::Waits }
}

/// The kind with padding in its value, after the first byte.
const PADDED: u32 = 3;

/// The size of a kind's value.
pub(crate) fn size(kind: u32) -> usize {
    [0, 1, 8, 8, 64, 4096].get(kind as usize).copied().unwrap_or(0)
}
