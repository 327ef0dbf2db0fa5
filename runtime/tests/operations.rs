//! Tests of operations through the Rust client, on the simulated kernel.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    ffi::c_void,
    future::{pending, poll_fn},
    sync::atomic::{AtomicI32, Ordering::SeqCst},
    task::Poll,
};

use common::in_kernel;
use ntcom::{
    AsyncControlRaw, AsyncOperationRaw, AsyncStatus, ComRc, IUnknownRaw, NTSTATUS, RawAsyncStatus,
    SpawnOperation as _, TaskBuilder, alloc::init_with, spawn_async_operation,
    spawn_async_operation_cancellable, spawn_async_operation_error, try_finally,
};

#[test]
fn a_completed_operation_gives_its_value_as_often_as_asked() {
    in_kernel(|| {
        let operation = spawn_async_operation(async { [1_u64, 2, 3] });
        assert_eq!(operation.status(), Ok(AsyncStatus::Completed));
        assert_eq!(operation.result(), Ok([1, 2, 3]));
        assert_eq!(operation.result(), Ok([1, 2, 3]));
        let control = operation.control().unwrap();
        assert_eq!(control.error(), Ok(NTSTATUS::SUCCESS));
        assert_eq!(control.result_size(), Ok(24));
    });
}

#[test]
fn a_started_operation_is_pending_until_it_is_cancelled() {
    in_kernel(|| {
        let operation = spawn_async_operation(pending::<u32>());
        assert_eq!(operation.status(), Ok(AsyncStatus::Started));
        assert_eq!(operation.result(), Err(NTSTATUS::PENDING));
        let control = operation.control().unwrap();
        assert_eq!(control.error(), Ok(NTSTATUS::PENDING));
        control.cancel().unwrap();
        assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
        assert_eq!(operation.result(), Err(NTSTATUS::CANCELLED));
        control.cancel().unwrap();
        assert_eq!(operation.status(), Ok(AsyncStatus::Canceled), "terminal states are final");
    });
}

#[test]
fn a_body_that_unwound_is_canceled_whatever_it_returns() {
    in_kernel(|| {
        let (operation, handle) = spawn_async_operation_cancellable(async {
            try_finally(pending::<u32>(), async {}).await.unwrap_or(9)
        });
        handle.cancel();
        assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
        assert_eq!(operation.result(), Err(NTSTATUS::CANCELLED));
    });
}

#[test]
fn an_error_operation_never_stores_success() {
    in_kernel(|| {
        for (given, stored) in [
            (NTSTATUS::SUCCESS, NTSTATUS::UNSUCCESSFUL),
            (NTSTATUS::PENDING, NTSTATUS::UNSUCCESSFUL),
            (NTSTATUS::from_u32(0x8000_0005), NTSTATUS::from_u32(0x8000_0005)),
            (NTSTATUS::DELETE_PENDING, NTSTATUS::DELETE_PENDING),
        ] {
            let operation = spawn_async_operation_error::<u8>(given);
            assert_eq!(operation.status(), Ok(AsyncStatus::Error));
            assert_eq!(operation.result(), Err(stored));
        }
    });
}

#[test]
fn a_failing_initialiser_keeps_its_reason_in_the_same_block() {
    in_kernel(|| {
        let init = init_with(|| Err(NTSTATUS::from_u32(0xC000_0022)));
        let operation = TaskBuilder::new().spawn_operation::<core::future::Pending<u8>>(init);
        assert_eq!(ntsim::counters().allocations, 1);
        assert_eq!(operation.result(), Err(NTSTATUS::from_u32(0xC000_0022)));
        drop(operation);
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

#[test]
fn without_memory_there_is_the_constant_operation() {
    in_kernel(|| {
        ntsim::fail_allocation(0);
        let (operation, handle) = spawn_async_operation_cancellable(async { 1_u8 });
        assert_eq!(operation.result(), Err(NTSTATUS::INSUFFICIENT_RESOURCES));
        handle.cancel();
        let control = operation.control().unwrap();
        control.cancel().unwrap();
        assert_eq!(control.error(), Ok(NTSTATUS::INSUFFICIENT_RESOURCES));
        let unknown: ComRc<IUnknownRaw> = control.query().unwrap();
        assert_eq!(unknown.as_ptr().cast(), operation.as_ptr());
        assert!(matches!(operation.query::<Nobodys>(), Err(NTSTATUS::NOINTERFACE)));
        static TOLD: AtomicI32 = AtomicI32::new(0);
        unsafe extern "system" fn handler(_context: *mut c_void, status: RawAsyncStatus) {
            TOLD.fetch_add(status.0, SeqCst);
        }
        for _ in 0..2 {
            // SAFETY: the handler accepts any context.
            unsafe { control.set_completed(handler, core::ptr::null_mut()) }.unwrap();
        }
        assert_eq!(TOLD.load(SeqCst), 2 * AsyncStatus::Error as i32, "each is told at once");
    });
}

#[repr(C)]
struct Nobodys(*const c_void);
// SAFETY: the type is `repr(C)` with its table's pointer first, and no object has this interface.
unsafe impl ntcom::Interface for Nobodys {
    const IID: ntcom::GUID = ntcom::GUID::from_u128(7);
}
// SAFETY: no object has this interface, so no query succeeds.
unsafe impl ntcom::Queryable for Nobodys {}

#[test]
fn identity_is_one_pointer_from_every_interface() {
    in_kernel(|| {
        let operation = spawn_async_operation(async { 1_u8 });
        let control: ComRc<AsyncControlRaw> = operation.query().unwrap();
        let from_control: ComRc<IUnknownRaw> = control.query().unwrap();
        let from_operation: ComRc<IUnknownRaw> = operation.query().unwrap();
        assert_eq!(from_control.as_ptr(), from_operation.as_ptr());
        let back: ComRc<AsyncOperationRaw<u8>> = from_control.query().unwrap();
        assert_eq!(back.as_ptr(), operation.as_ptr());
    });
}

/// A driver that is being unloaded makes operations that have failed `[C11]`, `[C18]`.
#[test]
fn a_driver_that_goes_away_makes_operations_that_have_failed() {
    in_kernel(|| {
        ntcom_exec::default_tracker(ntcom_exec::TaskTracker::close);
        let (operation, handle) = spawn_async_operation_cancellable(async { 1_u8 });
        assert_eq!(operation.status(), Ok(AsyncStatus::Error));
        assert_eq!(operation.result(), Err(NTSTATUS::DELETE_PENDING));
        handle.cancel();
        drop(operation);
        assert_eq!(ntsim::counters().live_blocks, 1, "the handle's");
        drop(handle);
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

/// All operations have one IID, and get_result writes as many bytes as the value has, so a query
/// checks the size.
#[test]
fn an_operation_is_not_found_as_one_with_values_of_another_size() {
    in_kernel(|| {
        for operation in
            [spawn_async_operation(async { 7_u64 }), spawn_async_operation_error(NTSTATUS::CANCELLED)]
        {
            let unknown: ComRc<IUnknownRaw> = operation.query().unwrap();
            assert!(matches!(unknown.query::<AsyncOperationRaw<u8>>(), Err(NTSTATUS::NOINTERFACE)));
            assert!(matches!(unknown.query::<AsyncOperationRaw<()>>(), Err(NTSTATUS::NOINTERFACE)));
            assert!(matches!(unknown.query::<AsyncOperationRaw<[u64; 2]>>(), Err(NTSTATUS::NOINTERFACE)));
            assert_eq!(unknown.query::<AsyncOperationRaw<u64>>().unwrap().result(), operation.result());
        }
    });
}

/// The handler runs once, at the end or when it is set `[C14]`.
#[test]
fn the_completion_handler_runs_once_early_or_late() {
    static STATUS: AtomicI32 = AtomicI32::new(-1);
    unsafe extern "system" fn handler(_context: *mut c_void, status: RawAsyncStatus) {
        assert_eq!(STATUS.swap(status.0, SeqCst), -1, "once");
    }
    in_kernel(|| {
        let operation = spawn_async_operation(pending::<u8>());
        let control = operation.control().unwrap();
        // SAFETY: the handler accepts any context.
        let set = || unsafe { control.set_completed(handler, core::ptr::null_mut()) };
        assert_eq!(set(), Ok(()));
        assert_eq!(set(), Err(NTSTATUS::INVALID_DEVICE_STATE));
        assert_eq!(STATUS.load(SeqCst), -1);
        control.cancel().unwrap();
        assert_eq!(STATUS.swap(-1, SeqCst), AsyncStatus::Canceled as i32);

        let operation = spawn_async_operation(async { 1_u8 });
        let control = operation.control().unwrap();
        // SAFETY: the handler accepts any context.
        unsafe { control.set_completed(handler, core::ptr::null_mut()) }.unwrap();
        assert_eq!(STATUS.swap(-1, SeqCst), AsyncStatus::Completed as i32);
    });
}

/// A handler may release the reference through which it was set, even if it is the last one, also
/// inside set_completed `[C14]`.
#[test]
fn a_handler_may_release_the_reference_that_it_was_set_through() {
    static RUNS: AtomicI32 = AtomicI32::new(0);
    unsafe extern "system" fn releases(context: *mut c_void, _status: RawAsyncStatus) {
        RUNS.fetch_add(1, SeqCst);
        // SAFETY: the pointer owns a reference.
        drop(unsafe { ComRc::<AsyncControlRaw>::from_raw(context.cast()) });
    }
    /// Sets the handler, and gives it the only reference to the operation.
    fn set(control: ComRc<AsyncControlRaw>) -> NTSTATUS {
        let this = control.into_raw();
        // SAFETY: the operation is ours, and alive.
        let table = unsafe { this.read() }.vtbl;
        // SAFETY: our operations have a complete table.
        let set_completed = unsafe { &*table }.set_completed.unwrap();
        // SAFETY: the operation is alive, and its reference belongs to the handler from here on.
        unsafe { set_completed(this.cast(), Some(releases), this.cast()) }
    }
    in_kernel(|| {
        let ended = spawn_async_operation(async { 1_u8 });
        let control = ended.control().unwrap();
        drop(ended);
        assert_eq!(set(control), NTSTATUS::SUCCESS);
        assert_eq!(RUNS.load(SeqCst), 1);
        assert_eq!(ntsim::counters().live_blocks, 0);

        let (started, handle) = spawn_async_operation_cancellable(pending::<u8>());
        let control = started.control().unwrap();
        drop(started);
        assert_eq!(set(control), NTSTATUS::SUCCESS);
        handle.cancel();
        assert_eq!(RUNS.load(SeqCst), 2);
        drop(handle);
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

#[test]
fn a_detached_operation_goes_on() {
    in_kernel(|| {
        let waker = std::sync::Arc::new(std::sync::Mutex::new(None::<core::task::Waker>));
        let stored = waker.clone();
        let done = std::sync::Arc::new(core::sync::atomic::AtomicBool::new(false));
        let flag = done.clone();
        let mut first = true;
        let operation = spawn_async_operation(poll_fn(move |context| {
            if core::mem::take(&mut first) {
                *stored.lock().unwrap() = Some(context.waker().clone());
                return Poll::Pending;
            }
            flag.store(true, SeqCst);
            Poll::Ready(1_u8)
        }));
        drop(operation);
        assert!(!done.load(SeqCst), "releasing is not cancelling");
        let waker = waker.lock().unwrap().take().unwrap();
        waker.wake();
        assert!(done.load(SeqCst));
    });
}

/// Objects that break the contract `[C17]`.
mod broken {
    use super::{AsyncOperationRaw, AsyncStatus, ComRc, NTSTATUS, RawAsyncStatus, c_void};
    use ntcom::{AsyncOperationVtbl, IUnknownVtbl};

    unsafe extern "system" fn one(_this: *mut c_void) -> u32 {
        1
    }
    unsafe extern "system" fn no_interface(
        _this: *mut c_void,
        _iid: *const ntcom::GUID,
        _out: *mut *mut c_void,
    ) -> NTSTATUS {
        ntcom::com::E_NOINTERFACE
    }
    unsafe extern "system" fn completed(_this: *mut c_void, out: *mut RawAsyncStatus) -> NTSTATUS {
        // SAFETY: clients pass a writable `out`.
        unsafe { out.write(AsyncStatus::Completed.into()) };
        NTSTATUS::SUCCESS
    }
    unsafe extern "system" fn seven(_this: *mut c_void, out: *mut RawAsyncStatus) -> NTSTATUS {
        // SAFETY: clients pass a writable `out`.
        unsafe { out.write(RawAsyncStatus(7)) };
        NTSTATUS::SUCCESS
    }
    unsafe extern "system" fn pending(_this: *mut c_void, _out: *mut u32) -> NTSTATUS {
        NTSTATUS::PENDING
    }
    unsafe extern "system" fn started(_this: *mut c_void, out: *mut RawAsyncStatus) -> NTSTATUS {
        // SAFETY: clients pass a writable `out`.
        unsafe { out.write(AsyncStatus::Started.into()) };
        NTSTATUS::SUCCESS
    }
    unsafe extern "system" fn five(_this: *mut c_void, out: *mut u32) -> NTSTATUS {
        // SAFETY: clients pass a writable `out`.
        unsafe { out.write(5) };
        NTSTATUS::SUCCESS
    }
    unsafe extern "system" fn canceled(_this: *mut c_void, _out: *mut u32) -> NTSTATUS {
        NTSTATUS::CANCELLED
    }
    unsafe extern "system" fn itself(
        this: *mut c_void,
        _iid: *const ntcom::GUID,
        out: *mut *mut c_void,
    ) -> NTSTATUS {
        // SAFETY: clients pass a writable `out`.
        unsafe { out.write(this) };
        NTSTATUS::PENDING
    }
    unsafe extern "system" fn not_released(_this: *mut c_void) -> u32 {
        panic!("an object without AddRef is released");
    }
    unsafe extern "system" fn timeout(_this: *mut c_void, _out: *mut u32) -> NTSTATUS {
        NTSTATUS::TIMEOUT
    }

    const UNKNOWN: IUnknownVtbl =
        IUnknownVtbl { QueryInterface: Some(no_interface), AddRef: Some(one), Release: Some(one) };

    fn object(vtbl: AsyncOperationVtbl<u32>) -> Result<ComRc<AsyncOperationRaw<u32>>, NTSTATUS> {
        let raw = Box::leak(Box::new(AsyncOperationRaw { vtbl: Box::leak(Box::new(vtbl)) }));
        // SAFETY: the object counts no references and lives for ever.
        unsafe { ComRc::from_raw(raw) }
    }

    const BROKEN: NTSTATUS = NTSTATUS::DRIVER_INTERNAL_ERROR;

    #[test]
    fn nulls_are_errors() {
        // SAFETY: null is allowed.
        let null = unsafe { ComRc::<AsyncOperationRaw<u32>>::from_raw(core::ptr::null_mut()) };
        assert_eq!(null.unwrap_err(), NTSTATUS::INVALID_PARAMETER);
        let mut raw = AsyncOperationRaw::<u32> { vtbl: core::ptr::null() };
        // SAFETY: a null table is allowed.
        let tableless = unsafe { ComRc::from_raw(&raw mut raw) };
        assert_eq!(tableless.unwrap_err(), BROKEN);
        let base = IUnknownVtbl { Release: None, ..UNKNOWN };
        assert_eq!(
            object(AsyncOperationVtbl { base, get_status: None, get_result: None }).unwrap_err(),
            BROKEN
        );
        let slotless =
            object(AsyncOperationVtbl { base: UNKNOWN, get_status: None, get_result: None }).unwrap();
        assert_eq!(slotless.status(), Err(BROKEN));
        assert_eq!(slotless.result(), Err(BROKEN));
    }

    #[test]
    fn contradictions_are_errors() {
        let unknown_status =
            AsyncOperationVtbl { base: UNKNOWN, get_status: Some(seven), get_result: Some(pending) };
        assert_eq!(object(unknown_status).unwrap().status(), Err(BROKEN));
        let pending_value =
            AsyncOperationVtbl { base: UNKNOWN, get_status: Some(completed), get_result: Some(pending) };
        assert_eq!(object(pending_value).unwrap().result(), Err(BROKEN));
        let odd_success =
            AsyncOperationVtbl { base: UNKNOWN, get_status: Some(completed), get_result: Some(timeout) };
        assert_eq!(object(odd_success).unwrap().result(), Err(BROKEN));
        let failed_value =
            AsyncOperationVtbl { base: UNKNOWN, get_status: Some(completed), get_result: Some(canceled) };
        assert_eq!(object(failed_value).unwrap().result(), Err(BROKEN));
    }

    /// The operation may end between the client's two calls.
    #[test]
    fn an_end_that_comes_between_two_calls_is_no_contradiction() {
        let ended = |get_result| {
            let table =
                AsyncOperationVtbl { base: UNKNOWN, get_status: Some(started), get_result: Some(get_result) };
            object(table).unwrap().result()
        };
        assert_eq!(ended(five), Ok(5));
        assert_eq!(ended(canceled), Err(NTSTATUS::CANCELLED));
        assert_eq!(ended(pending), Err(NTSTATUS::PENDING));
        assert_eq!(ended(timeout), Err(BROKEN));
    }

    #[test]
    fn a_query_that_answers_another_success_code_is_broken() {
        let base = IUnknownVtbl { QueryInterface: Some(itself), ..UNKNOWN };
        let table = AsyncOperationVtbl { base, get_status: Some(completed), get_result: Some(five) };
        assert!(matches!(object(table).unwrap().query::<super::IUnknownRaw>(), Err(BROKEN)));
    }

    #[test]
    fn no_slot_is_called_of_an_object_with_an_incomplete_unknown() {
        let base = IUnknownVtbl { AddRef: None, Release: Some(not_released), ..UNKNOWN };
        let table = AsyncOperationVtbl { base, get_status: Some(completed), get_result: Some(five) };
        assert_eq!(object(table).unwrap_err(), BROKEN);
    }

    /// The client's memory is zeroed before the call, so no stale bytes appear in the value.
    #[test]
    fn a_value_that_was_never_written_is_zeros() {
        type Large = [u64; 64];
        unsafe extern "system" fn nothing(_this: *mut c_void, _out: *mut Large) -> NTSTATUS {
            NTSTATUS::SUCCESS
        }
        #[inline(never)]
        fn dirty_the_stack() {
            core::hint::black_box([u64::MAX; 1024]);
        }
        let table =
            AsyncOperationVtbl { base: UNKNOWN, get_status: Some(completed), get_result: Some(nothing) };
        let raw = Box::leak(Box::new(AsyncOperationRaw::<Large> { vtbl: Box::leak(Box::new(table)) }));
        // SAFETY: the object counts no references and lives for ever.
        let object = unsafe { ComRc::from_raw(raw) }.unwrap();
        dirty_the_stack();
        assert_eq!(object.result(), Ok([0; 64]));
    }

    #[test]
    fn the_other_no_interface_is_ours() {
        let table =
            AsyncOperationVtbl { base: UNKNOWN, get_status: Some(completed), get_result: Some(pending) };
        assert!(matches!(object(table).unwrap().control(), Err(NTSTATUS::NOINTERFACE)));
    }
}

mod taken_in_its_poll {
    use core::{
        future::poll_fn,
        task::{Poll, Waker},
    };
    use std::sync::{Arc, Mutex};

    use super::in_kernel;
    use ntcom::{
        AsyncBody, AsyncStatus, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS,
        declare_com_interface, pin_init, take_cancellation_request,
    };

    declare_com_interface! {
        pub(crate) trait IStops: IUnknown {
            const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7b41);
            #[opaque]
            async fn run(&self) -> Result<u32, NTSTATUS>;
        }
    }

    type Control = ComRc<ntcom::AsyncControlRaw>;

    #[derive(Default)]
    struct Stops {
        control: Arc<Mutex<Option<Control>>>,
        waker: Arc<Mutex<Option<Waker>>>,
    }

    // SAFETY: the body touches nothing that is paged.
    unsafe impl IStops for Stops {
        type Allocator = GlobalAllocator;
        fn run(&self) -> impl AsyncBody<Result<u32, NTSTATUS>, GlobalAllocator, NTSTATUS> {
            let (control, waker) = (Arc::clone(&self.control), Arc::clone(&self.waker));
            let body = poll_fn(move |context| {
                let Some(control) = control.lock().unwrap().take() else {
                    *waker.lock().unwrap() = Some(context.waker().clone());
                    return Poll::Pending;
                };
                control.cancel().unwrap();
                assert!(take_cancellation_request(), "it came in this poll");
                Poll::Ready(Err(NTSTATUS::CANCELLED))
            });
            InitBox::new(GlobalAllocator, pin_init!(body))
        }
    }

    /// The cancel request has reached the body, though no poll began with it `[C20]`.
    #[test]
    fn a_request_that_is_taken_in_the_poll_that_it_came_in_makes_a_failure_canceled() {
        in_kernel(|| {
            let stops = Stops::default();
            let (control, waker) = (Arc::clone(&stops.control), Arc::clone(&stops.waker));
            let object = ComObject::<_, IStopsRaw>::new(stops).unwrap();
            let operation = object.run().unwrap();
            *control.lock().unwrap() = Some(operation.control().unwrap());
            let waker = waker.lock().unwrap().take().unwrap();
            waker.wake();
            assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
        });
    }
}
