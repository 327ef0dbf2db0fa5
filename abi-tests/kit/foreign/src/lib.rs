//! A small implementation of async COM in Rust that is not built on `ntcom`: written from the
//! contract and `ntcom_kit.h` alone, to be judged by the conformance kit, and to begin from.
//!
//! It does what the contract leaves open differently than `ntcom` does: operations have no
//! `IAsyncControl`, and the object that clients count is apart from the task that runs the body.
//!
//! | module | what |
//! |---|---|
//! | `task` | tasks, their states, and the holds that keep them |
//! | `executor` | the queue, and a run of a task |
//! | `object` | what clients have: `IAsyncOperation` |
#![expect(clippy::std_instead_of_core, reason = "a program of the host: there is always std")]

mod executor;
mod object;
mod task;

use core::ffi::c_void;

use ntcom_kit_table::{Program, Recipe, Required, Stop, TEXT, Table, export_table};

use crate::task::{Hold, live, status};

const REQUIRED: Required = Required {
    run,
    advance: executor::advance,
    spawn,
    spawn_error,
    task_is_cancelled,
    task_take_cancellation,
    task_wake,
    task_waker: clone_waker,
    waker_clone: clone_waker,
    waker_wake,
    waker_wake_by_ref: task_wake,
    waker_drop,
};

export_table!(Table {
    threads: 1,
    live_operations: Some(live),
    ..Table::new(c"a small implementation in Rust", REQUIRED)
});

unsafe extern "C" fn run(program: Program, context: *mut c_void, stop: *mut Stop) -> i32 {
    // SAFETY: the header: the kit's program and its context.
    unsafe { program(context) };
    // SAFETY: the header: the kit may ask for the number at any time.
    if unsafe { live() } == 0 {
        return 0;
    }
    let mut said = Stop::EMPTY;
    let why = b"the program has ended, and tasks are left";
    said.text.iter_mut().take(TEXT - 1).zip(why).for_each(|(to, from)| *to = *from);
    // SAFETY: the header: a place for it.
    unsafe { stop.write(said) };
    1
}

unsafe extern "C" fn spawn(recipe: *const Recipe, handle: *mut *mut c_void) -> *mut c_void {
    // SAFETY: the header: a recipe, which is copied.
    let hold = executor::start(unsafe { recipe.read() });
    if !handle.is_null() {
        // SAFETY: the header: the caller passes a place for a handle. This library makes no
        // handles.
        unsafe { handle.write(core::ptr::null_mut()) };
    }
    object::hand_out(hold)
}

unsafe extern "C" fn spawn_error(kind: u32, why: i32) -> *mut c_void {
    object::hand_out(Hold::failed(kind, if why < 0 { why } else { status::UNSUCCESSFUL }))
}

/// A task as its body knows it, or a waker: each is a [`Hold`] in a box.
///
/// # Safety
/// The task of a poll that goes on, or a waker that has not been given up.
unsafe fn hold<'a>(waker: *mut c_void) -> &'a Hold {
    // SAFETY: this function's contract.
    unsafe { &*waker.cast::<Hold>() }
}

/// # Safety
/// A waker that its owner gives up.
unsafe fn taken(waker: *mut c_void) -> Hold {
    // SAFETY: this function's contract: `clone_waker` has made it.
    *unsafe { Box::from_raw(waker.cast::<Hold>()) }
}

unsafe extern "C" fn task_is_cancelled(task: *mut c_void) -> i32 {
    // SAFETY: the header: the task of this poll.
    unsafe { hold(task) }.task().state().requested.into()
}

unsafe extern "C" fn task_take_cancellation(task: *mut c_void) -> i32 {
    // SAFETY: the header: the task of this poll.
    let mut state = unsafe { hold(task) }.task().state();
    state.shown = false;
    core::mem::take(&mut state.requested).into()
}

unsafe extern "C" fn task_wake(waker: *mut c_void) {
    // SAFETY: the header: the task of this poll, or a waker.
    executor::wake(unsafe { hold(waker) });
}

unsafe extern "C" fn clone_waker(waker: *mut c_void) -> *mut c_void {
    // SAFETY: the header: the task of this poll, or a waker.
    let clone = unsafe { hold(waker) }.clone();
    Box::into_raw(Box::new(clone)).cast()
}

unsafe extern "C" fn waker_wake(waker: *mut c_void) {
    // SAFETY: the header: a waker, which its owner gives up.
    executor::wake(&unsafe { taken(waker) });
}

unsafe extern "C" fn waker_drop(waker: *mut c_void) {
    // SAFETY: the header: a waker, which its owner gives up.
    drop(unsafe { taken(waker) });
}
