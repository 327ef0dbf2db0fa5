//! Makes operations, with values of several sizes, with errors, and with bodies that suspend, wake
//! themselves and clean up.
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

/// A value that does not fit into a register.
type Big = [u8; 4096];

/// Makes an operation with a value that is ready at once.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_u64(value: u64) -> *mut AsyncOperationRaw<u64> {
    spawn_async_operation_raw(async move { value })
}

/// Makes an operation that keeps a large value over a suspension.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_big(byte: u8) -> *mut AsyncOperationRaw<Big> {
    spawn_async_operation_raw(async move {
        let mut value = [byte; 4096];
        yield_now().await;
        value.fill(byte.wrapping_add(1));
        value
    })
}

/// Makes an operation without a value.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_unit() -> *mut AsyncOperationRaw<()> {
    spawn_async_operation_raw(ready(()))
}

/// Spawns, uses and releases an operation through the owner's types.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_and_release(value: u32) -> u32 {
    spawn_async_operation(async move { value }).result().unwrap_or(0)
}

/// Makes an operation that only cancellation ends, with its handle.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_cancellable() -> *mut AsyncOperationRaw<u64> {
    let (raw, handle) = spawn_async_operation_raw_cancellable(pending::<u64>());
    cancel(&handle);
    raw
}

/// Makes a cancellable operation through the owner's types.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_cancellable_owned() -> bool {
    let (operation, handle) = spawn_async_operation_cancellable(pending::<Big>());
    cancel(&handle);
    operation.status().is_ok()
}

fn cancel(handle: &CancelHandle) {
    handle.cancel();
}

/// Makes an operation with a body that has a cleanup and looks for cancellation.
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

/// Makes an operation that is woken through a clone of its waker.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_waker() -> *mut AsyncOperationRaw<u64> {
    spawn_async_operation_raw(Wakes(false))
}

/// Makes operations that failed before they began.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_error() -> *mut AsyncOperationRaw<Big> {
    spawn_async_operation_error_raw(NTSTATUS::NOT_SUPPORTED)
}

/// Makes a failed operation through the owner's types.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_error_owned() -> bool {
    let operation: ComRc<AsyncOperationRaw<u64>> = spawn_async_operation_error(NTSTATUS::INVALID_PARAMETER);
    operation.result().is_err()
}

/// A driver's own allocator with state.
struct Tagged(u32);

// SAFETY: `GlobalAllocator` provides the memory, which is resident, and does not unwind.
unsafe impl Allocator for Tagged {
    const NON_PAGED: bool = GlobalAllocator::NON_PAGED;

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        if self.0 == 0 { None } else { GlobalAllocator.allocate(layout) }
    }

    unsafe fn free(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller promises for `memory` and `layout` what `GlobalAllocator::free` asks.
        unsafe { GlobalAllocator.free(memory, layout) }
    }
}

/// Makes an operation from that allocator, with a body that is made in place and may fail to be
/// made.
#[unsafe(no_mangle)]
pub extern "C" fn probe_spawn_in_place(tag: u32) -> *mut AsyncOperationRaw<u64> {
    let init = init_with(move || if tag == 1 { Err(NTSTATUS::INVALID_PARAMETER) } else { Ok(Wakes(false)) });
    TaskBuilder::new().allocator(Tagged(tag)).spawn_operation::<Wakes>(init).into_raw()
}
