//! Panics below slots, polls and handlers end the run on the simulated kernel, and not the process.
#![cfg(all(target_os = "linux", target_arch = "x86_64", panic = "unwind"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    ffi::c_void,
    future::{pending, poll_fn},
    hint::black_box,
};

use common::try_in_kernel;
use ntcom::{
    AsyncBody, AsyncControlRaw, ComObject, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS,
    RawAsyncStatus, declare_com_interface, pin_init, spawn_async_operation,
    spawn_async_operation_cancellable, try_finally,
};
use ntsim::Stop;

declare_com_interface! {
    trait IBroken: IUnknown {
        const IID: GUID = "3f7c1a52-6f0e-4b38-9d0a-5f1de9c4a001";
        fn slot(&self);
        #[opaque]
        async fn starts(&self) -> u32;
    }
}

struct Broken;

// SAFETY: the bodies touch no memory but their own.
unsafe impl IBroken for Broken {
    type Allocator = GlobalAllocator;
    fn slot(&self) {
        broken();
    }
    fn starts(&self) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
        InitBox::new(
            GlobalAllocator,
            pin_init!({
                broken();
                async { 1 }
            }),
        )
    }
}

#[inline(never)]
fn broken() {
    if black_box(true) {
        panic!("the driver's words");
    }
}

struct BrokenDrop;

impl Drop for BrokenDrop {
    fn drop(&mut self) {
        broken();
    }
}

unsafe extern "system" fn handler(_context: *mut c_void, _status: RawAsyncStatus) {
    broken();
}

fn object() -> ntcom::ComRc<IBrokenRaw> {
    ComObject::<_, IBrokenRaw>::new(Broken).unwrap()
}

const PLACES: [(&str, fn()); 8] = [
    ("a slot", || _ = object().slot()),
    ("an initialiser", || drop(object().starts())),
    ("a body", || drop(spawn_async_operation(async { broken() }))),
    ("a body's second poll", || {
        let mut polls = 0;
        let body = poll_fn(move |context| {
            polls += 1;
            if polls == 2 {
                broken();
            }
            context.waker().wake_by_ref();
            core::task::Poll::<()>::Pending
        });
        drop(spawn_async_operation(body));
    }),
    ("a body's drop", || {
        let guard = BrokenDrop;
        drop(spawn_async_operation(async move { drop(guard) }));
    }),
    ("the drop of a cancelled body", || {
        let guard = BrokenDrop;
        let body = async move {
            pending::<()>().await;
            drop(guard);
        };
        let (_operation, handle) = spawn_async_operation_cancellable(body);
        handle.cancel();
    }),
    ("a cleanup", || {
        let body = try_finally(pending::<()>(), async { broken() });
        let (_operation, handle) = spawn_async_operation_cancellable(async { _ = body.await });
        handle.cancel();
    }),
    ("a handler", || {
        let operation = spawn_async_operation(async { 1_u32 });
        let control = operation.query::<AsyncControlRaw>().unwrap();
        // SAFETY: the handler takes any context.
        _ = unsafe { control.set_completed(handler, core::ptr::null_mut()) };
    }),
];

/// Rule `[C12]`.
#[test]
fn a_panic_ends_the_run_and_says_where_it_was() {
    for (what, f) in PLACES {
        let Err(stop) = try_in_kernel(f) else { panic!("{what}: no finding") };
        let Stop::Panic { message, place, backtrace, .. } = &stop else { panic!("{what}: {stop}") };
        assert_eq!(message, "the driver's words", "{what}");
        let here = |place: &String| place.starts_with("runtime/tests/panics.rs:");
        assert!(place.as_ref().is_some_and(here), "{what}: {stop}");
        assert!(backtrace[0].contains("broken (panics.rs:"), "{what}: {stop}");
        assert!(!std::thread::panicking(), "{what}");
    }
}
