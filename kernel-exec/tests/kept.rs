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

/// Returns a waker and a handle of a task after its simulation has ended.
fn keep() -> (ManuallyDrop<Waker>, ManuallyDrop<CancelHandle>) {
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
    drop(kernel);
    (ManuallyDrop::new(waker.take().unwrap()), ManuallyDrop::new(handle.take().unwrap()))
}

fn message(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
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
