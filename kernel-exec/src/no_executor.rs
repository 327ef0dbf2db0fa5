//! The executor that is none: every spawn is refused `[C21]`.

use core::ptr::NonNull;

use crate::{
    NTSTATUS,
    fail::{FailFast, fail_fast},
    task::{Port, TaskPtr},
};

/// Refuses every task with `STATUS_NOT_SUPPORTED`: for builds without a kernel, and for interfaces without an executor.
#[derive(Debug)]
pub struct NoExecutor(());

// SAFETY: nothing is ever accepted, so nothing is ever to be run.
unsafe impl Port for NoExecutor {
    fn new() -> Self {
        Self(())
    }

    unsafe fn launch(_task: TaskPtr, _port: NonNull<Self>) -> Result<(), NTSTATUS> {
        Err(NTSTATUS::NOT_SUPPORTED)
    }

    unsafe fn schedule(_task: TaskPtr, _port: NonNull<Self>) {
        fail_fast(FailFast::Protocol)
    }

    unsafe fn defer(_task: TaskPtr, _port: NonNull<Self>) {
        fail_fast(FailFast::Protocol)
    }

    unsafe fn ended(_task: TaskPtr, _port: NonNull<Self>) {
        fail_fast(FailFast::Protocol)
    }
}
