//! Two independent implementations meet on Linux. `windows-core`'s clients use our objects, and our
//! client uses `windows-core`'s objects.
//!
//! `windows-core` has HRESULT where we have NTSTATUS. Both are 32 bits with the sign as their
//! failure bit, and cross unchanged. `docs/compatibility.md` describes the consequences, and each
//! line of its table has a test here.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]
#![allow(
    clippy::inline_always,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    clippy::missing_safety_doc,
    missing_docs,
    unreachable_pub,
    reason = "what the macros of windows-core write"
)]

use core::{
    ffi::c_void,
    future::{pending, poll_fn},
    sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering::SeqCst},
    task::Poll,
    time::Duration,
};
use std::sync::{Arc, Mutex};

use ntcom::{
    AsyncControlRaw, AsyncOperation, AsyncOperationRaw, AsyncStatus, ComRc, IUnknownRaw, IUnknownVtbl,
    NTSTATUS, spawn_async_operation,
};
use ntsim::{Config, Schedule, Simulation};
use windows_core::{HRESULT, IUnknown, Interface, implement, interface};

/// The interfaces as `windows-core` declares them, with the contract's slots in its types.
mod theirs {
    use super::{HRESULT, IUnknown, c_void, interface};

    pub type Handler = Option<unsafe extern "system" fn(context: *mut c_void, status: i32)>;

    #[interface("e18c01f5-0ed4-455b-9038-9d691621387b")]
    pub unsafe trait IAsyncOperation: IUnknown {
        pub unsafe fn get_status(&self, out: *mut i32) -> HRESULT;
        pub unsafe fn get_result(&self, out: *mut u32) -> HRESULT;
    }

    #[interface("d0d7cfee-ce81-4ca0-965e-49cff7a6d598")]
    pub unsafe trait IAsyncControl: IUnknown {
        pub unsafe fn cancel(&self) -> HRESULT;
        pub unsafe fn get_error(&self, out: *mut i32) -> HRESULT;
        pub unsafe fn set_completed(&self, handler: Handler, context: *mut c_void) -> HRESULT;
        pub unsafe fn wait(&self, timeout: *const i64) -> HRESULT;
        pub unsafe fn get_result_size(&self, size: *mut u32) -> HRESULT;
    }

    #[interface("0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e01")]
    pub unsafe trait ISensor: IUnknown {
        pub unsafe fn channels(&self) -> u32;
        pub unsafe fn sample(&self, channel: u32) -> *mut c_void;
    }

    /// An interface that no object here has.
    #[interface("0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7eff")]
    pub unsafe trait INobodys: IUnknown {
        pub unsafe fn nothing(&self) -> HRESULT;
    }
}

use theirs::{Handler, IAsyncControl, IAsyncControl_Impl, IAsyncOperation, IAsyncOperation_Impl, INobodys};

/// The same interfaces in our declarations.
mod ours {
    use ntcom::{AsyncBody, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS, This, declare_com_interface};

    declare_com_interface! {
        pub trait ISensor: IUnknown {
            const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7e01);
            fn channels(&self) -> u32;
            #[opaque]
            async fn sample(&self, channel: u32) -> Result<u32, NTSTATUS>;
        }
    }

    pub struct Sensor(pub u32);

    // SAFETY: the body touches only its object, which is resident.
    unsafe impl ISensor for Sensor {
        type Allocator = GlobalAllocator;
        fn channels(&self) -> u32 {
            self.0
        }
        fn sample(&self, channel: u32) -> impl AsyncBody<Result<u32, NTSTATUS>, GlobalAllocator, NTSTATUS> {
            InitBox::with_this(GlobalAllocator, move |this: This<Self>| async move {
                if channel < this.0 { Ok(channel + 40) } else { Err(NTSTATUS::INVALID_PARAMETER) }
            })
        }
    }
}

fn in_kernel(program: impl FnOnce() + 'static) {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    kernel.run_on(0, program).unwrap_or_else(|stop| panic!("{stop}"));
    kernel.unload().unwrap_or_else(|stop| panic!("{stop}"));
}

const fn hresult(status: NTSTATUS) -> HRESULT {
    HRESULT(status.0)
}

// Their client and our objects.

/// Our operation, as a pointer of theirs.
fn taken<T>(raw: *mut T) -> IAsyncOperation {
    // SAFETY: `raw` is an operation of `u32`, with one reference.
    unsafe { IAsyncOperation::from_raw(raw.cast()) }
}

fn status(operation: &IAsyncOperation) -> i32 {
    let mut status = -1;
    // SAFETY: `out` is writable.
    assert_eq!(unsafe { operation.get_status(&raw mut status) }, HRESULT(0));
    status
}

fn result(operation: &IAsyncOperation) -> (HRESULT, u32) {
    let mut value = u32::MAX;
    // SAFETY: `out` is writable.
    (unsafe { operation.get_result(&raw mut value) }, value)
}

unsafe extern "system" fn heard(context: *mut c_void, status: i32) {
    // SAFETY: the test passes an atomic that outlives the call.
    unsafe { &*context.cast::<AtomicI32>() }.store(status, SeqCst);
}

#[test]
fn their_client_drives_our_operation_to_its_end() {
    in_kernel(|| {
        let raw = ntcom::spawn_async_operation_raw(async {
            ntcom_exec::sleep(Duration::from_millis(20)).await.unwrap();
            7_u32
        });
        let operation = taken(raw);
        assert_eq!(status(&operation), 0);
        // The status is a success code, to HRESULT as to NT_SUCCESS. There is no value yet, and the
        // call writes zeros for it.
        let (pending, zero) = result(&operation);
        assert_eq!((pending, zero), (hresult(NTSTATUS::PENDING), 0));
        assert!(pending.is_ok());
        let control: IAsyncControl = operation.cast().unwrap();
        let place = AtomicI32::new(-1);
        let context = (&raw const place).cast_mut().cast();
        // SAFETY: `place` outlives the operation.
        unsafe {
            assert_eq!(control.set_completed(Some(heard), context), HRESULT(0));
            assert_eq!(control.set_completed(Some(heard), context), hresult(NTSTATUS::INVALID_DEVICE_STATE));
            assert_eq!(control.set_completed(None, context), hresult(NTSTATUS::INVALID_PARAMETER));
            assert_eq!(control.wait(&0), hresult(NTSTATUS::TIMEOUT));
            assert_eq!(control.wait(core::ptr::null()), HRESULT(0));
        }
        assert_eq!((status(&operation), place.load(SeqCst)), (1, 1));
        assert_eq!(result(&operation), (HRESULT(0), 7));
        let (mut size, mut error) = (0, -1);
        // SAFETY: both out-parameters are writable.
        unsafe {
            assert_eq!(control.get_result_size(&raw mut size), HRESULT(0));
            assert_eq!(control.get_error(&raw mut error), HRESULT(0));
        }
        assert_eq!((size, error), (4, 0));
        drop((operation, control));
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

#[test]
fn their_client_cancels_our_operation() {
    in_kernel(|| {
        let operation = taken(ntcom::spawn_async_operation_raw(pending::<u32>()));
        let control: IAsyncControl = operation.cast().unwrap();
        // SAFETY: the call has no arguments.
        assert_eq!(unsafe { control.cancel() }, HRESULT(0));
        assert_eq!(status(&operation), 2);
        assert_eq!(result(&operation), (hresult(NTSTATUS::CANCELLED), 0));
        let failed = taken(ntcom::spawn_async_operation_error_raw::<u32>(NTSTATUS::INVALID_PARAMETER));
        assert_eq!(result(&failed), (hresult(NTSTATUS::INVALID_PARAMETER), 0));
        drop((operation, control, failed));
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

#[test]
fn our_identity_is_what_their_client_expects() {
    in_kernel(|| {
        let operation = taken(ntcom::spawn_async_operation_raw(async { 7_u32 }));
        let control: IAsyncControl = operation.cast().unwrap();
        let (one, other): (IUnknown, IUnknown) = (operation.cast().unwrap(), control.cast().unwrap());
        assert_eq!(one.as_raw(), other.as_raw());
        let back: IAsyncOperation = control.cast().unwrap();
        assert_eq!(back, operation);
        // The status is not E_NOINTERFACE, but it is a failure too, so a client that tests for
        // failure sees it.
        let none = operation.cast::<INobodys>().unwrap_err();
        assert_eq!(none.code(), hresult(NTSTATUS::NOINTERFACE));
        // The operation is in no apartment, and has no marshaler.
        assert!(operation.cast::<windows_core::imp::IAgileObject>().is_err());
        drop((operation, control, one, other, back));
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

#[test]
fn their_client_calls_our_declared_interface() {
    in_kernel(|| {
        let object = ntcom::ComObject::<_, ours::ISensorRaw>::new(ours::Sensor(4)).unwrap();
        // SAFETY: the pointer is an interface with its reference.
        let sensor = unsafe { theirs::ISensor::from_raw(object.into_raw().cast()) };
        // SAFETY: the calls are the interface's own, with plain numbers.
        let (channels, good, bad) = unsafe { (sensor.channels(), sensor.sample(2), sensor.sample(4)) };
        assert_eq!(channels, 4);
        let (good, bad) = (taken(good), taken(bad));
        // The operations no longer need the object.
        drop(sensor);
        assert_eq!(result(&good), (HRESULT(0), 42));
        assert_eq!((status(&bad), result(&bad)), (3, (hresult(NTSTATUS::INVALID_PARAMETER), 0)));
        drop((good, bad));
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

// Our client and their object.

/// The number of their objects.
static ALIVE: AtomicU32 = AtomicU32::new(0);
/// Lets only one test at a time count them.
static COUNTING: Mutex<()> = Mutex::new(());

/// An operation in `windows-core`, which is agile by default. Its test sets its answers.
#[implement(IAsyncOperation, IAsyncControl)]
struct Theirs {
    status: AtomicI32,
    /// The status that get_result returns, also before the operation has completed.
    answer: AtomicI32,
    value: AtomicU32,
    handler: Mutex<(Handler, AtomicPtr<c_void>)>,
}

impl Theirs {
    fn started() -> windows_core::ComObject<Self> {
        ALIVE.fetch_add(1, SeqCst);
        windows_core::ComObject::new(Self {
            status: AtomicI32::new(0),
            answer: AtomicI32::new(NTSTATUS::PENDING.0),
            value: AtomicU32::new(0),
            handler: Mutex::new((None, AtomicPtr::default())),
        })
    }

    fn end(&self, status: i32, answer: i32, value: u32) {
        self.value.store(value, SeqCst);
        self.answer.store(answer, SeqCst);
        self.status.store(status, SeqCst);
        let (handler, context) = {
            let mut handler = self.handler.lock().unwrap();
            (handler.0.take(), handler.1.load(SeqCst))
        };
        if let Some(handler) = handler {
            // SAFETY: the client set this handler with this context.
            unsafe { handler(context, status) };
        }
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, SeqCst);
    }
}

impl IAsyncOperation_Impl for Theirs_Impl {
    unsafe fn get_status(&self, out: *mut i32) -> HRESULT {
        // SAFETY: a client's `out` is writable.
        unsafe { out.write(self.status.load(SeqCst)) };
        HRESULT(0)
    }

    unsafe fn get_result(&self, out: *mut u32) -> HRESULT {
        // SAFETY: a client's `out` is writable.
        unsafe { out.write(self.value.load(SeqCst)) };
        HRESULT(self.answer.load(SeqCst))
    }
}

impl IAsyncControl_Impl for Theirs_Impl {
    unsafe fn cancel(&self) -> HRESULT {
        self.end(2, NTSTATUS::CANCELLED.0, 0);
        HRESULT(0)
    }

    unsafe fn get_error(&self, out: *mut i32) -> HRESULT {
        // SAFETY: a client's `out` is writable.
        unsafe { out.write(self.answer.load(SeqCst)) };
        HRESULT(0)
    }

    unsafe fn set_completed(&self, handler: Handler, context: *mut c_void) -> HRESULT {
        let mut place = self.handler.lock().unwrap();
        if place.0.is_some() {
            return hresult(NTSTATUS::INVALID_DEVICE_STATE);
        }
        *place = (handler, AtomicPtr::new(context));
        HRESULT(0)
    }

    unsafe fn wait(&self, _timeout: *const i64) -> HRESULT {
        if self.status.load(SeqCst) == 0 { hresult(NTSTATUS::TIMEOUT) } else { HRESULT(0) }
    }

    unsafe fn get_result_size(&self, size: *mut u32) -> HRESULT {
        // SAFETY: a client's `size` is writable.
        unsafe { size.write(4) };
        HRESULT(0)
    }
}

/// Runs a test with one of their objects and our client of it, and checks that the object is gone
/// afterwards.
fn with_theirs(test: impl FnOnce(windows_core::ComObject<Theirs>, AsyncOperation<u32>) + 'static) {
    let _one = COUNTING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    in_kernel(|| {
        let object = Theirs::started();
        let raw = object.to_interface::<IAsyncOperation>().into_raw();
        // SAFETY: `raw` is an operation of `u32`, with one reference.
        let client = unsafe { AsyncOperation::from_raw(raw.cast()) }.unwrap();
        test(object, client);
        assert_eq!(ALIVE.load(SeqCst), 0, "references are left");
    });
}

#[test]
fn our_client_drives_their_operation_to_its_end() {
    with_theirs(|object, client| {
        assert_eq!(client.status(), Ok(AsyncStatus::Started));
        assert_eq!(client.result(), Err(NTSTATUS::PENDING));
        assert_eq!(client.error(), Ok(NTSTATUS::PENDING));
        assert_eq!(client.wait(Some(Duration::ZERO)), Err(NTSTATUS::TIMEOUT));
        assert_eq!(client.control().unwrap().result_size(), Ok(4));
        object.end(1, 0, 42);
        assert_eq!(client.wait(None), Ok(()));
        assert_eq!(client.result(), Ok(42));
        assert_eq!(client.error(), Ok(NTSTATUS::SUCCESS));
        drop((object, client));
    });
}

#[test]
fn our_client_awaits_their_operation() {
    with_theirs(|object, client| {
        let said = Arc::new(Mutex::new(None));
        let told = Arc::clone(&said);
        let task = spawn_async_operation(async move { *told.lock().unwrap() = Some(client.await) });
        assert_eq!(task.status(), Ok(AsyncStatus::Started));
        object.end(1, 0, 42);
        assert_eq!(task.status(), Ok(AsyncStatus::Completed));
        assert_eq!(*said.lock().unwrap(), Some(Ok(42)));
        drop((object, task));
    });
}

#[test]
fn our_client_cancels_their_operation_by_dropping_its_future() {
    with_theirs(|object, client| {
        let watched = client.clone();
        let future = core::future::IntoFuture::into_future(client).cancel_on_drop();
        let mut future = Some(Box::pin(future));
        let task = spawn_async_operation(poll_fn(move |context| {
            if let Some(future) = &mut future {
                let _pending = future.as_mut().poll(context);
            }
            Poll::<u8>::Pending
        }));
        assert_eq!(watched.status(), Ok(AsyncStatus::Started));
        // The task's body is dropped, and the future with it.
        task.control().unwrap().cancel().unwrap();
        assert_eq!(watched.result(), Err(NTSTATUS::CANCELLED));
        drop((object, watched, task));
    });
}

#[test]
fn their_words_are_ours() {
    const E_FAIL: i32 = NTSTATUS::from_u32(0x8000_4005).0;
    const S_FALSE: i32 = 1;
    with_theirs(|object, client| {
        let query = || client.query::<NobodysRaw>().unwrap_err();
        assert_eq!(query(), NTSTATUS::NOINTERFACE, "E_NOINTERFACE is mapped");
        object.end(3, E_FAIL, 0);
        assert_eq!(client.result(), Err(NTSTATUS(E_FAIL)), "every other failure is passed on unchanged");
        assert_eq!(client.error(), Ok(NTSTATUS(E_FAIL)));
        for status in [1, 3] {
            object.end(status, S_FALSE, 42);
            assert_eq!(
                client.result(),
                Err(NTSTATUS::DRIVER_INTERNAL_ERROR),
                "a success code other than STATUS_SUCCESS"
            );
            assert_eq!(client.error(), Err(NTSTATUS::DRIVER_INTERNAL_ERROR));
        }
        drop((object, client));
    });
}

/// An interface declared here with a foreign IID. It is one pointer to a table of IUnknown.
macro_rules! unknown {
    ($name:ident, $iid:literal) => {
        #[repr(C)]
        struct $name {
            vtbl: *const IUnknownVtbl,
        }
        // SAFETY: the struct is `repr(C)` and begins with the table's pointer.
        unsafe impl ntcom::Interface for $name {
            const IID: ntcom::GUID = ntcom::GUID::from_u128($iid);
        }
        // SAFETY: only IUnknown's slots are called.
        unsafe impl ntcom::Queryable for $name {}
    };
}

unknown!(NobodysRaw, 0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7eff);
unknown!(AgileRaw, 0x94ea2b94_e9cc_49e0_c0ff_ee64ca8f5b90);
unknown!(MarshalRaw, 0x00000003_0000_0000_c000_000000000046);
unknown!(InspectableRaw, 0xaf86e2e0_b12d_4c6a_9c5a_d7aa65101e90);

#[test]
fn what_they_answer_besides_breaks_no_identity() {
    with_theirs(|object, client| {
        let unknown: ComRc<IUnknownRaw> = client.query().unwrap();
        let control: ComRc<AsyncControlRaw> = unknown.query().unwrap();
        let again: ComRc<IUnknownRaw> = control.query().unwrap();
        assert_eq!(unknown.as_ptr(), again.as_ptr());
        let back: ComRc<AsyncOperationRaw<u32>> = control.query().unwrap();
        assert_eq!(back.as_ptr(), client.as_ptr());
        assert!(control.query::<AsyncOperationRaw<u64>>().is_err(), "values of another size");
        // The object is agile, and inspectable. It has a marshaler on Windows only. The pointers
        // are released like any other.
        let agile: ComRc<AgileRaw> = client.query().unwrap();
        let inspectable: ComRc<InspectableRaw> = agile.query().unwrap();
        assert_eq!(agile.as_ptr().addr(), inspectable.as_ptr().addr());
        let marshal = client.query::<MarshalRaw>();
        assert_eq!(marshal.is_ok(), cfg!(windows), "{marshal:?}");
        let same: ComRc<IUnknownRaw> = agile.query().unwrap();
        assert_eq!(same.as_ptr(), unknown.as_ptr());
        drop((object, client, unknown, control, again, back, agile, inspectable, same));
    });
}
