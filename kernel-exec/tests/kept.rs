//! Tests that a waker or handle that a test keeps beyond its simulation is refused with a message
//! and does not crash.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{
    cell::RefCell,
    mem::ManuallyDrop,
    panic::AssertUnwindSafe,
    task::{Poll, Waker},
};
use std::{panic::catch_unwind, rc::Rc};

use ntcom_exec::CancelHandle;
use ntsim::{Config, Schedule, Simulation};

type Kept<T> = Rc<RefCell<Option<T>>>;

struct Keeper {
    kernel: Simulation,
    waker: ManuallyDrop<Waker>,
    handle: ManuallyDrop<CancelHandle>,
}

/// Returns a waker and a handle of a task that never ends, with their simulation, after one of its
/// runs.
fn between_runs() -> Keeper {
    let (waker, handle): (Kept<Waker>, Kept<CancelHandle>) = Default::default();
    let (waker_out, handle_out) = (Rc::clone(&waker), Rc::clone(&handle));
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    kernel
        .run_on(0, move || {
            let (send, receive) = std::sync::mpsc::channel();
            let body = core::future::poll_fn(move |context| {
                send.send(context.waker().clone()).unwrap();
                Poll::<()>::Pending
            });
            *handle_out.borrow_mut() = Some(ntcom_exec::spawn_dpc_task_cancellable(body).unwrap());
            *waker_out.borrow_mut() = receive.try_recv().ok();
        })
        .unwrap();
    let (waker, handle) = (waker.take().unwrap(), handle.take().unwrap());
    Keeper { kernel, waker: ManuallyDrop::new(waker), handle: ManuallyDrop::new(handle) }
}

/// A waker and a handle of a task. Its simulation has ended.
fn keep() -> (ManuallyDrop<Waker>, ManuallyDrop<CancelHandle>) {
    let Keeper { kernel, waker, handle } = between_runs();
    drop(kernel);
    (waker, handle)
}

/// Returns the handle of a task that has run to its end. It is the last reference.
fn last_reference() -> (Simulation, ManuallyDrop<CancelHandle>) {
    let handle: Kept<CancelHandle> = Kept::default();
    let out = Rc::clone(&handle);
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let spawn = move || *out.borrow_mut() = Some(ntcom_exec::spawn_dpc_task_cancellable(async {}).unwrap());
    kernel.run_on(0, spawn).unwrap();
    let handle = handle.take().unwrap();
    assert_eq!(kernel.counters().live_blocks, 1);
    (kernel, ManuallyDrop::new(handle))
}

fn message(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    let text = panic.downcast_ref::<&str>().copied();
    text.map(String::from).or_else(|| panic.downcast_ref::<String>().cloned()).unwrap()
}

#[test]
fn a_kept_waker_is_refused() {
    let (waker, _handle) = keep();
    let said = message(|| waker.wake_by_ref());
    assert!(said.contains("the pool of a simulated kernel that has ended"), "{said}");
}

#[test]
fn a_kept_handle_is_refused() {
    let (_waker, handle) = keep();
    let said = message(|| handle.cancel());
    assert!(said.contains("the pool of a simulated kernel that has ended"), "{said}");
    let said = message(|| drop(ManuallyDrop::into_inner(handle)));
    assert!(said.contains("drop it in a program of the simulation that made it"), "{said}");
}

#[test]
fn a_later_kernel_stops_at_a_kept_waker() {
    let (waker, _handle) = keep();
    let waker = ManuallyDrop::into_inner(waker);
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let stop = kernel.run_on(0, move || waker.wake()).unwrap_err().to_string();
    assert!(stop.contains("atomic in the pool of a simulated kernel that has ended"), "{stop}");
}

#[test]
fn many_kernels_later_a_kept_waker_is_refused_still() {
    let (waker, handle) = keep();
    for _ in 0..600 {
        Simulation::new(Config::default(), Schedule::round_robin()).run(Vec::new()).unwrap();
    }
    let said = message(|| waker.wake_by_ref());
    assert!(said.contains("the pool of a simulated kernel that has ended"), "{said}");
    let said = message(|| handle.cancel());
    assert!(said.contains("the pool of a simulated kernel that has ended"), "{said}");
}

#[test]
fn the_last_reference_may_go_between_two_runs() {
    let (mut kernel, handle) = last_reference();
    drop(ManuallyDrop::into_inner(handle));
    assert_eq!(kernel.counters().live_blocks, 0);
    kernel.run(Vec::new()).unwrap();
    kernel.unload().unwrap();
}

#[test]
fn a_stopped_simulation_takes_its_references_back_silently() {
    let (mut kernel, handle) = last_reference();
    let stop = kernel.run_on(0, || ntsim::fail("test", String::from("on purpose")));
    assert!(stop.unwrap_err().to_string().contains("on purpose"));
    drop(ManuallyDrop::into_inner(handle));
}

#[test]
fn a_wake_between_two_runs_is_the_next_ones_finding() {
    let Keeper { mut kernel, waker, .. } = between_runs();
    waker.wake_by_ref();
    let stop = kernel.run(Vec::new()).unwrap_err().to_string();
    assert!(stop.contains("KeInsertQueueDpc called outside a simulation run, between two runs"), "{stop}");
    assert!(stop.contains("a_wake_between_two_runs_is_the_next_ones_finding (kept.rs:"), "{stop}");
    // The kernel has stopped, so dropping the waker does nothing now.
    drop(ManuallyDrop::into_inner(waker));
}

#[test]
fn what_runs_a_task_between_two_runs_is_the_next_ones_finding() {
    let Keeper { mut kernel, handle, .. } = between_runs();
    handle.cancel();
    let stop = kernel.run(Vec::new()).unwrap_err().to_string();
    assert!(stop.contains("KeInsertQueueDpc called outside a simulation run, between two runs"), "{stop}");
    assert!(stop.contains("use and drop it in a program of a run"), "{stop}");

    drop(kernel);
    let Keeper { mut kernel, handle, .. } = between_runs();
    handle.cancel();
    let stop = kernel.unload().unwrap_err().to_string();
    assert!(stop.contains("KeInsertQueueDpc called outside a simulation run"), "{stop}");
}

#[test]
fn what_no_run_is_told_the_end_of_the_simulation_is() {
    let Keeper { kernel, handle, .. } = between_runs();
    handle.cancel();
    let said = message(|| drop(kernel));
    assert!(said.contains("KeInsertQueueDpc called outside a simulation run"), "{said}");
    let Keeper { mut kernel, handle, .. } = between_runs();
    handle.cancel();
    let said = message(|| kernel.reset(Config::default(), Schedule::round_robin()));
    assert!(said.contains("KeInsertQueueDpc called outside a simulation run"), "{said}");
}

#[test]
fn what_is_kept_beyond_a_reset_is_refused() {
    let Keeper { mut kernel, waker, handle } = between_runs();
    kernel.reset(Config::default(), Schedule::round_robin());
    for said in [
        message(|| handle.cancel()),
        message(|| drop(ManuallyDrop::into_inner(handle))),
        message(|| drop(ManuallyDrop::into_inner(waker))),
    ] {
        assert!(said.contains("kept beyond the reset of its simulation"), "{said}");
    }
    kernel.run(Vec::new()).unwrap();
}
