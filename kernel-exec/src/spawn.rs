//! The code that all spawn functions share.

use core::future::Future;

use crate::{
    alloc::Allocator,
    status::NTSTATUS,
    task::{Infallible, Port, Task, TaskPtr},
};

/// A task that a driver spawns, without a prefix before its header.
pub(crate) type Spawn<F, A, X> = Task<(), Infallible<F>, A, X>;

/// Makes a new task of this future, with one reference, which is the caller's.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`, or the reason why the port refuses the task. The future has
/// been dropped.
pub(crate) fn spawn<F, A, X>(port: X, allocator: A, future: F) -> Result<TaskPtr, NTSTATUS>
where
    F: Future<Output = ()> + Send + 'static,
    A: Allocator + Send + 'static,
    X: Port,
{
    let init = |body: *mut Infallible<F>| {
        // SAFETY: `body` is the place for the body, which is transparent over the future.
        unsafe { body.cast::<F>().write(future) };
        Ok(())
    };
    // SAFETY: `init` writes the body.
    let spawned = unsafe { Spawn::<F, A, X>::spawn_on(port, (), allocator, 1, init) }?;
    // SAFETY: the reference that was asked for keeps the block.
    let task = unsafe { Spawn::<F, A, X>::task(spawned.block) };
    let Some(reason) = spawned.refused else { return Ok(task) };
    // SAFETY: this is the one reference that was asked for.
    unsafe { task.release() };
    Err(reason)
}
