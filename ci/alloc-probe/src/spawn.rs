//! Making operations: values of several sizes, bodies that suspend, wake themselves and clean up, errors.
use core::{
    alloc::Layout,
    future::{Future, pending, ready},
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use ntcom::{
    Allocator, AsyncOperationRaw, CancelHandle, ComRc, GlobalAllocator, NTSTATUS, SpawnOperation as _,
    TaskBuilder, alloc::init_with, is_cancellation_requested, on_cancel, spawn_async_operation,
    spawn_async_operation_cancellable, spawn_async_operation_error, spawn_async_operation_error_raw,
    spawn_async_operation_raw, spawn_async_operation_raw_cancellable, take_cancellation_request, try_finally,
    yield_now,
};

/// A value that is not in one register.
type Big = [u8; 4096];

/// A value that is there at once.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_u64(value: u64) -> *mut AsyncOperationRaw<u64> {
    spawn_async_operation_raw(async move { value })
}

/// A large value, kept over a suspension.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_big(byte: u8) -> *mut AsyncOperationRaw<Big> {
    spawn_async_operation_raw(async move {
        let mut value = [byte; 4096];
        yield_now().await;
        value.fill(byte.wrapping_add(1));
        value
    })
}

/// No value.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_unit() -> *mut AsyncOperationRaw<()> {
    spawn_async_operation_raw(ready(()))
}

/// The owner's side: spawned, used, released.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_and_release(value: u32) -> u32 {
    spawn_async_operation(async move { value }).result().unwrap_or(0)
}

/// A body that never ends but by cancellation, and its handle.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_cancellable() -> *mut AsyncOperationRaw<u64> {
    let (raw, handle) = spawn_async_operation_raw_cancellable(pending::<u64>());
    cancel(&handle);
    raw
}

/// The same through the owner's types.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_cancellable_owned() -> bool {
    let (operation, handle) = spawn_async_operation_cancellable(pending::<Big>());
    cancel(&handle);
    operation.status().is_ok()
}

fn cancel(handle: &CancelHandle) {
    handle.cancel();
}

/// Bodies with clean-up, and with an eye on cancellation.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_with_cleanup(value: u64) -> *mut AsyncOperationRaw<u64> {
    spawn_async_operation_raw(async move {
        let main = async move {
            while !is_cancellation_requested() {
                yield_now().await;
            }
            u64::from(take_cancellation_request())
        };
        let main = try_finally(main, yield_now());
        on_cancel(main, async { yield_now().await }).await.flatten().unwrap_or(value)
    })
}

/// A body that keeps and clones its waker.
struct Wakes(bool);

impl Future for Wakes {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u64> {
        if self.0 {
            return Poll::Ready(1);
        }
        self.0 = true;
        let waker = context.waker().clone();
        waker.wake_by_ref();
        waker.wake();
        Poll::Pending
    }
}

/// A body that is woken through a clone of its waker.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_waker() -> *mut AsyncOperationRaw<u64> {
    spawn_async_operation_raw(Wakes(false))
}

/// Operations that failed before they began.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_error() -> *mut AsyncOperationRaw<Big> {
    spawn_async_operation_error_raw(NTSTATUS::NOT_SUPPORTED)
}

/// The same through the owner's types.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_error_owned() -> bool {
    let operation: ComRc<AsyncOperationRaw<u64>> = spawn_async_operation_error(NTSTATUS::INVALID_PARAMETER);
    operation.result().is_err()
}

/// A driver's own allocator, with state.
struct Tagged(u32);

// SAFETY: memory, residency and unwinding are `GlobalAllocator`'s.
unsafe impl Allocator for Tagged {
    const NON_PAGED: bool = GlobalAllocator::NON_PAGED;

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        if self.0 == 0 { None } else { GlobalAllocator.allocate(layout) }
    }

    unsafe fn free(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps the same promise.
        unsafe { GlobalAllocator.free(memory, layout) }
    }
}

/// An operation from that allocator, whose body is made in place and may fail to be.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_in_place(tag: u32) -> *mut AsyncOperationRaw<u64> {
    let init = init_with(move || if tag == 1 { Err(NTSTATUS::INVALID_PARAMETER) } else { Ok(Wakes(false)) });
    TaskBuilder::new().allocator(Tagged(tag)).spawn_operation::<Wakes>(init).into_raw()
}
