//! A small implementation of async COM in Rust that does not use `ntcom`. It is written from the
//! contract and `ntcom_kit.h` alone. The conformance kit judges it, and implementers can begin from
//! it.
//!
//! Where the contract leaves a choice, it differs from `ntcom`. Operations have no `IAsyncControl`,
//! and the object that clients count is separate from the task that runs the body.
//!
//! | module | contents |
//! |---|---|
//! | `task` | tasks, their states, and the holds that keep them |
//! | `executor` | the queue, and a run of a task |
//! | `object` | the clients' objects, which have `IAsyncOperation` |
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
    // SAFETY: the kit passes its program with the program's context.
    unsafe { program(context) };
    // SAFETY: `live` may be called at any time.
    if unsafe { live() } == 0 {
        return 0;
    }
    let mut said = Stop::EMPTY;
    let why = b"the program has ended, and tasks are left";
    said.text.iter_mut().take(TEXT - 1).zip(why).for_each(|(to, from)| *to = *from);
    // SAFETY: the kit passes a writable `stop`.
    unsafe { stop.write(said) };
    1
}

unsafe extern "C" fn spawn(recipe: *const Recipe, handle: *mut *mut c_void) -> *mut c_void {
    // SAFETY: the kit passes a readable recipe, which is copied here.
    let hold = executor::start(unsafe { recipe.read() });
    if !handle.is_null() {
        // SAFETY: the kit passes a writable `handle` if it is not null. This library makes no
        // handles.
        unsafe { handle.write(core::ptr::null_mut()) };
    }
    object::hand_out(hold)
}

unsafe extern "C" fn spawn_error(kind: u32, why: i32) -> *mut c_void {
    object::hand_out(Hold::failed(kind, if why < 0 { why } else { status::UNSUCCESSFUL }))
}

/// The [`Hold`] behind a body's task pointer, or behind a waker.
///
/// # Safety
/// `waker` is the task of the current poll, or a waker that has not been given up.
unsafe fn hold<'a>(waker: *mut c_void) -> &'a Hold {
    // SAFETY: the caller passes such a task or waker, and both point to a `Hold`.
    unsafe { &*waker.cast::<Hold>() }
}

/// # Safety
/// `waker` is a waker that its owner gives up.
unsafe fn taken(waker: *mut c_void) -> Hold {
    // SAFETY: the caller gives up the waker, which `clone_waker` made as a box.
    *unsafe { Box::from_raw(waker.cast::<Hold>()) }
}

unsafe extern "C" fn task_is_cancelled(task: *mut c_void) -> i32 {
    // SAFETY: the kit passes the task of this poll.
    unsafe { hold(task) }.task().state().requested.into()
}

unsafe extern "C" fn task_take_cancellation(task: *mut c_void) -> i32 {
    // SAFETY: the kit passes the task of this poll.
    let mut state = unsafe { hold(task) }.task().state();
    state.shown = false;
    core::mem::take(&mut state.requested).into()
}

unsafe extern "C" fn task_wake(waker: *mut c_void) {
    // SAFETY: the kit passes the task of this poll, or a waker.
    executor::wake(unsafe { hold(waker) });
}

unsafe extern "C" fn clone_waker(waker: *mut c_void) -> *mut c_void {
    // SAFETY: the kit passes the task of this poll, or a waker.
    let clone = unsafe { hold(waker) }.clone();
    Box::into_raw(Box::new(clone)).cast()
}

unsafe extern "C" fn waker_wake(waker: *mut c_void) {
    // SAFETY: the kit passes a waker and gives it up.
    executor::wake(&unsafe { taken(waker) });
}

unsafe extern "C" fn waker_drop(waker: *mut c_void) {
    // SAFETY: the kit passes a waker and gives it up.
    drop(unsafe { taken(waker) });
}
