//! The queue of tasks that are to be polled, and the run of a task.

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

/// Starts a task. Its body is queued to be polled.
pub(crate) fn start(recipe: Recipe) -> Hold {
    let hold = Hold::new(recipe.kind, Some(recipe), None);
    wake(&hold);
    hold
}

/// Makes the executor poll the body soon, or once more after the current poll.
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

/// The result of a poll.
enum Poll {
    Ended(End),
    Again,
    Waits,
}

/// Polls the body until it is not woken during a poll.
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
                // [C8] The body is dropped before the end is visible.
                //
                // SAFETY: this calls the recipe's function with the recipe's context, and drops the
                // body once.
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
    // SAFETY: this calls the recipe's function with the recipe's context.
    unsafe { (recipe.begin)(recipe.context) };
    let this = core::ptr::from_ref(hold).cast_mut().cast();
    // SAFETY: this calls the recipe's function with the recipe's context, and the task of this
    // poll.
    if unsafe { (recipe.poll)(recipe.context, 0, this) } == poll::READY {
        let mut value = vec![0; size(task.kind)];
        // SAFETY: this calls the recipe's function with the recipe's context. `value` has room for
        // the kind's value.
        let why = unsafe { (recipe.finish)(recipe.context, value.as_mut_ptr().cast()) };
        if why != status::SUCCESS {
            return Poll::Ended(End::Error(why));
        }
        // [C5] A client must not see what the body left in the padding of struct ntcom_kit_padded.
        if let (PADDED, Some(padding)) = (task.kind, value.get_mut(1..4)) {
            padding.fill(0);
        }
        task.state().value = value;
        return Poll::Ended(End::Completed);
    }
    let mut state = task.state();
    if state.shown && state.requested {
        // [C10] The body was shown the request, and goes on waiting.
        return Poll::Ended(End::Canceled);
    }
    state.running = state.woken;
    if state.woken { Poll::Again } else { Poll::Waits }
}

/// The kind with padding in its value. The padding is after the first byte.
const PADDED: u32 = 3;

/// The size of a kind's value.
pub(crate) fn size(kind: u32) -> usize {
    [0, 1, 8, 8, 64, 4096].get(kind as usize).copied().unwrap_or(0)
}
