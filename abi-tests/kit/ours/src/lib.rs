//! This project's implementation, for the conformance kit.
//!
//! It is the shipping runtime on one simulated processor, at DISPATCH_LEVEL except while the
//! executor runs. In the cases of threads each thread has a processor. A bug check of the simulated
//! kernel stops the run, and the kit reports it.

mod body;
mod calls;
mod client;
mod kernel;
mod object;
mod spawn;
mod threads;
mod values;

use ntcom_kit_table::{Required, Table, export_table, shape};

const REQUIRED: Required = Required {
    run: kernel::run,
    advance: kernel::advance,
    spawn: spawn::spawn,
    spawn_error: spawn::spawn_error,
    task_is_cancelled: calls::task_is_cancelled,
    task_take_cancellation: calls::task_take_cancellation,
    task_wake: calls::task_wake,
    task_waker: calls::task_waker,
    waker_clone: calls::waker_clone,
    waker_wake: calls::waker_wake,
    waker_wake_by_ref: calls::waker_wake_by_ref,
    waker_drop: calls::waker_drop,
};

// `exhaust_references` is not offered, because nothing outside of the runtime can set a count.
// Neither is `yield_with`, because `run_in_turn` does its work.
export_table!(Table {
    shapes: shape::PLAIN | shape::TRY_FINALLY | shape::ON_CANCEL | shape::NESTED | shape::JOIN,
    fails: 1,
    raises: 1,
    level: 2,
    threads: 1,
    handle_cancel: Some(calls::handle_cancel),
    handle_clone: Some(calls::handle_clone),
    handle_drop: Some(calls::handle_drop),
    fail_next_allocation: Some(kernel::fail_next_allocation),
    live_operations: Some(kernel::live_operations),
    allocations: Some(kernel::allocations),
    irql: Some(kernel::irql),
    object: Some(object::object),
    object_spawn: Some(object::object_spawn),
    close: Some(kernel::close),
    cancel_all: Some(kernel::cancel_all),
    drain: Some(kernel::drain),
    client_result: Some(client::client_result),
    client_status: Some(client::client_status),
    client_query: Some(client::client_query),
    spawn_without_executor: Some(spawn::spawn_without_executor),
    at_passive_level: Some(kernel::at_passive_level),
    run_at_once: Some(threads::run_at_once),
    run_in_turn: Some(threads::run_in_turn),
    spawn_passive: Some(spawn::spawn_passive),
    drain_in_body: Some(kernel::drain_in_body),
    ..Table::new(c"ntcom on a simulated kernel", REQUIRED)
});
