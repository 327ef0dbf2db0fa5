//! A port without an executor, which refuses every spawn `[C21]`.

use core::ptr::NonNull;

use crate::{
    fail::{FailFast, fail_fast},
    status::NTSTATUS,
    task::{Port, TaskPtr},
};

/// An executor that refuses every task with `STATUS_NOT_SUPPORTED`.
///
/// It is for builds without a kernel, and for interfaces without an executor.
#[derive(Debug)]
pub struct NoExecutor(());

// SAFETY: no task is ever accepted, so none ever has to be run.
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

#[cfg(all(test, kernel = "sim"))]
mod tests {
    use core::future::Ready;

    use super::NoExecutor;
    use crate::{
        alloc::GlobalAllocator,
        status::NTSTATUS,
        task::{Infallible, Status, Task},
    };
    use ntsim::{Config, Schedule, Simulation};

    /// Rule `[C21]`.
    #[test]
    fn without_an_executor_a_task_is_refused_as_not_supported() {
        let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
        let run = kernel.run_on(0, || {
            type Refused = Task<(), Infallible<Ready<u8>>, GlobalAllocator, NoExecutor>;
            let init = |place: *mut Infallible<Ready<u8>>| {
                // SAFETY: `place` is the place for the body, which is transparent over the
                // future.
                unsafe { place.cast::<Ready<u8>>().write(core::future::ready(1)) };
                Ok(())
            };
            // SAFETY: `init` writes the body.
            let spawned = unsafe { Refused::spawn((), GlobalAllocator, 1, init) };
            let spawned = spawned.unwrap_or_else(|status| panic!("{status}"));
            assert_eq!(spawned.refused, Some(NTSTATUS::NOT_SUPPORTED));
            // SAFETY: the one reference that was asked for keeps the block.
            let task = unsafe { Refused::task(spawned.block) };
            // SAFETY: the one reference keeps the block.
            assert_eq!(unsafe { task.status() }, Status::Error);
            // SAFETY: the one reference keeps the block, and the task has ended.
            assert_eq!(unsafe { task.stored_status() }, NTSTATUS::NOT_SUPPORTED);
            // SAFETY: this gives up the one reference, which is not used afterwards.
            assert_eq!(unsafe { task.release() }, 0);
        });
        assert!(run.is_ok(), "{run:?}");
    }
}
