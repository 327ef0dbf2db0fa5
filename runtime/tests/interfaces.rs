//! Tests of declared interfaces and their objects, on the simulated kernel.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    ffi::c_void,
    future::pending,
    ptr::null_mut,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};
use std::sync::Arc;

use common::in_kernel;
use ntcom::{
    AbiType, AsyncBody, AsyncStatus, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, IUnknownRaw, InitBox,
    InitBoxTrait, Interface, NTSTATUS, RawAsyncStatus, This, declare_com_interface, pin_init, try_finally,
};

/// The design's example, word for word except for the GUID's fields.
mod example {
    use super::{
        GUID, GlobalAllocator, IUnknown, InitBox, InitBoxTrait, NTSTATUS, declare_com_interface, pin_init,
    };

    declare_com_interface! {
        pub trait IMyAsync: IUnknown {
            const IID: GUID = GUID { data1: 1, data2: 2, data3: 3, data4: [4; 8] };
            async fn get_status(&self) -> i32;
        }
    }
    pub(super) struct MyImpl;
    // SAFETY: the body touches no memory but its own.
    unsafe impl IMyAsync for MyImpl {
        type GetStatusFuture = core::future::Ready<i32>;
        type Allocator = GlobalAllocator;
        fn get_status(&self) -> impl InitBoxTrait<Self::GetStatusFuture, Self::Allocator, NTSTATUS> {
            InitBox::new(GlobalAllocator, pin_init!(core::future::ready(1)))
        }
    }
}

#[test]
fn the_designs_example_works_through_its_table() {
    in_kernel(|| {
        let object = ComObject::<_, example::IMyAsyncRaw>::new(example::MyImpl).unwrap();
        // SAFETY: the test's reference keeps the object alive.
        let table = unsafe { (*object.as_ptr()).vtbl };
        // SAFETY: the object's table pointer points to its table.
        let table = unsafe { &*table };
        // SAFETY: the slot takes the object, which is alive.
        let raw = unsafe { table.get_status.unwrap()(object.as_ptr().cast()) };
        // SAFETY: an async method's result is never null, and owns a reference.
        let operation = unsafe { ComRc::from_raw(raw) }.unwrap();
        assert_eq!(operation.result(), Ok(1));
    });
}

declare_com_interface! {
    /// The root of the three interfaces.
    pub trait IRoot: IUnknown {
        const IID: GUID = GUID::from_u128(0xa0);
        /// Returns a number.
        fn root(&self) -> u32;
        /// Yields an operation that never ends.
        async fn started(&self) -> u8;
    }
}
declare_com_interface! {
    /// The interface in the middle.
    pub trait IMiddle: IRoot {
        const IID: GUID = GUID::from_u128(0xa1);
        /// Adds its arguments.
        fn middle(&self, a: u32, b: *const c_void) -> u64;
    }
}
declare_com_interface! {
    /// The most derived interface.
    trait ILeaf: IMiddle {
        const IID: GUID = GUID::from_u128(0xa2);
        #[opaque]
        async fn sum(&self, a: u32, b: u64) -> u64;
        #[opaque]
        async fn nothing(&self);
        #[opaque]
        async fn fails(&self, status: NTSTATUS, waits: u8) -> Result<u64, NTSTATUS>;
        #[opaque]
        async fn addressed(&self) -> u64;
        fn leaf(&self);
        unsafe fn write(&self, out: *mut u32) -> NTSTATUS;
    }
}

/// Counts its drops.
struct Tracked(Arc<AtomicU32>, u32);

impl Drop for Tracked {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

// SAFETY: the body touches no memory but its own.
unsafe impl IRoot for Tracked {
    type Allocator = GlobalAllocator;
    type StartedFuture = core::future::Pending<u8>;
    fn root(&self) -> u32 {
        self.1
    }
    fn started(&self) -> impl InitBoxTrait<Self::StartedFuture, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(pending()))
    }
}

impl IMiddle for Tracked {
    fn middle(&self, a: u32, b: *const c_void) -> u64 {
        u64::from(a) + b.addr() as u64 + u64::from(self.1)
    }
}

// SAFETY: the bodies touch nothing but the object, which is in non-paged pool.
unsafe impl ILeaf for Tracked {
    type Allocator = GlobalAllocator;
    fn sum(&self, a: u32, b: u64) -> impl AsyncBody<u64, GlobalAllocator, NTSTATUS> {
        // This borrows the object, because the recipe is used before the call returns.
        InitBox::new(
            GlobalAllocator,
            pin_init!({
                let mine = self.1;
                async move { u64::from(a) + b + u64::from(mine) }
            }),
        )
    }
    fn nothing(&self) -> impl AsyncBody<(), GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(async {}))
    }
    fn fails(
        &self,
        status: NTSTATUS,
        waits: u8,
    ) -> impl AsyncBody<Result<u64, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        InitBox::new(
            GlobalAllocator,
            pin_init!(async move {
                if waits != 0 {
                    // The body ends with the failure, whether it is cancelled or not.
                    try_finally(pending::<()>(), async {}).await;
                }
                if status == NTSTATUS::SUCCESS { Ok(5) } else { Err(status) }
            }),
        )
    }
    fn addressed(&self) -> impl AsyncBody<u64, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, |this: This<Self>| async move {
            core::ptr::from_ref(&*this).addr() as u64
        })
    }
    fn leaf(&self) {}
    unsafe fn write(&self, out: *mut u32) -> NTSTATUS {
        // SAFETY: the declaration requires a writable `out`.
        unsafe { out.write(self.1) };
        NTSTATUS::SUCCESS
    }
}

fn leaf() -> (ComRc<ILeafRaw>, Arc<AtomicU32>) {
    let drops = Arc::new(AtomicU32::new(0));
    let object = ComObject::<_, ILeafRaw>::new(Tracked(Arc::clone(&drops), 30)).unwrap();
    (object, drops)
}

#[test]
fn every_level_of_an_interface_is_called_through_one_pointer() {
    in_kernel(|| {
        let (object, drops) = leaf();
        assert_eq!(object.root(), Ok(30));
        assert_eq!(object.middle(4, core::ptr::without_provenance(3)), Ok(37));
        assert_eq!(object.sum(4, 8).unwrap().result(), Ok(42));
        assert_eq!(object.nothing().unwrap().status(), Ok(AsyncStatus::Completed));
        assert_eq!(object.leaf(), Ok(()));
        let mut out = 0;
        // SAFETY: `out` is writable.
        assert_eq!(unsafe { object.write(&raw mut out) }, Ok(NTSTATUS::SUCCESS));
        assert_eq!(out, 30);
        drop(object);
        assert_eq!(drops.load(SeqCst), 1);
    });
}

#[test]
fn query_interface_is_reflexive_symmetric_and_transitive_over_bases() {
    in_kernel(|| {
        let (object, drops) = leaf();
        let unknown: ComRc<IUnknownRaw> = object.query().unwrap();
        let root: ComRc<IRootRaw> = unknown.query().unwrap();
        let middle: ComRc<IMiddleRaw> = root.query().unwrap();
        let again: ComRc<ILeafRaw> = middle.query().unwrap();
        assert_eq!(again.as_ptr(), object.as_ptr());
        assert_eq!(middle.middle(1, core::ptr::null()), Ok(31));
        let none = root.query::<example::IMyAsyncRaw>();
        assert!(matches!(none, Err(NTSTATUS::NOINTERFACE)));
        drop((object, unknown, root, middle));
        assert_eq!(drops.load(SeqCst), 0);
        drop(again);
        assert_eq!(drops.load(SeqCst), 1);
    });
}

#[test]
fn query_interface_tolerates_nulls_and_leaves_null_on_failure() {
    in_kernel(|| {
        let (object, _drops) = leaf();
        // SAFETY: the test's reference keeps the object alive.
        let table = unsafe { (*object.as_ptr()).vtbl };
        // SAFETY: the object's table pointer points to its table.
        let table = unsafe { (*table).base.base.base };
        let query = table.QueryInterface.unwrap();
        let this = object.as_ptr().cast();
        let mut out: *mut c_void = this;
        // SAFETY: nulls are allowed.
        assert_eq!(unsafe { query(this, core::ptr::null(), &raw mut out) }, NTSTATUS::INVALID_PARAMETER);
        assert!(out.is_null());
        // SAFETY: nulls are allowed.
        assert_eq!(unsafe { query(this, &IUnknownRaw::IID, null_mut()) }, NTSTATUS::INVALID_PARAMETER);
        out = this;
        // SAFETY: the IID belongs to no interface, and the pointers are valid.
        assert_eq!(unsafe { query(this, &GUID::from_u128(0xdead), &raw mut out) }, NTSTATUS::NOINTERFACE);
        assert!(out.is_null());
    });
}

/// A body keeps its object until the operation's end is visible `[C19]`.
#[test]
fn a_body_keeps_its_object_and_lets_go_before_the_end_is_visible() {
    in_kernel(|| {
        let (object, drops) = leaf();
        let operation = object.started().unwrap();
        drop(object);
        assert_eq!(drops.load(SeqCst), 0, "the body holds the object");
        static DROPS_AT_END: AtomicU32 = AtomicU32::new(9);
        unsafe extern "system" fn handler(context: *mut c_void, _status: RawAsyncStatus) {
            // SAFETY: the context is the test's counter, which is alive.
            DROPS_AT_END.store(unsafe { &*context.cast::<AtomicU32>() }.load(SeqCst), SeqCst);
        }
        let control = operation.control().unwrap();
        // SAFETY: the counter outlives the operation.
        unsafe { control.set_completed(handler, Arc::as_ptr(&drops).cast_mut().cast()) }.unwrap();
        control.cancel().unwrap();
        assert_eq!(DROPS_AT_END.load(SeqCst), 1, "the object was gone when the handler ran");
    });
}

#[test]
fn a_finished_operation_does_not_keep_its_object() {
    in_kernel(|| {
        let (object, drops) = leaf();
        let operation = object.sum(1, 1).unwrap();
        drop(object);
        assert_eq!(drops.load(SeqCst), 1);
        assert_eq!(operation.result(), Ok(32));
    });
}

/// A fallible body ends with its value or its error `[C20]`.
#[test]
fn a_fallible_body_ends_with_its_value_or_its_reason() {
    in_kernel(|| {
        let (object, _drops) = leaf();
        let end = |status, waits| {
            let operation = object.fails(status, waits).unwrap();
            if waits != 0 {
                operation.control().unwrap().cancel().unwrap();
            }
            (operation.status().unwrap(), operation.result())
        };
        let denied = NTSTATUS::from_u32(0xC000_0022);
        let warning = NTSTATUS::from_u32(0x8000_0005);
        assert_eq!(end(NTSTATUS::SUCCESS, 0), (AsyncStatus::Completed, Ok(5)));
        assert_eq!(end(denied, 0), (AsyncStatus::Error, Err(denied)));
        assert_eq!(end(warning, 0), (AsyncStatus::Error, Err(warning)));
        let replaced = (AsyncStatus::Error, Err(NTSTATUS::UNSUCCESSFUL));
        assert_eq!(end(NTSTATUS::PENDING, 0), replaced, "a success code is no failure [C7]");
        let unasked = (AsyncStatus::Error, Err(NTSTATUS::CANCELLED));
        assert_eq!(end(NTSTATUS::CANCELLED, 0), unasked, "no client asked for it");
        assert_eq!(end(NTSTATUS::CANCELLED, 1), (AsyncStatus::Canceled, Err(NTSTATUS::CANCELLED)));
        assert_eq!(end(denied, 1), (AsyncStatus::Error, Err(denied)), "it failed of itself");
        assert_eq!(end(NTSTATUS::SUCCESS, 1), (AsyncStatus::Canceled, Err(NTSTATUS::CANCELLED)));
    });
}

#[test]
fn a_body_reaches_its_own_object() {
    in_kernel(|| {
        let (object, drops) = leaf();
        let address = object.addressed().unwrap().result().unwrap();
        let block = object.as_ptr().addr() as u64;
        assert!((block..block + 128).contains(&address));
        drop(object);
        assert_eq!(drops.load(SeqCst), 1);
    });
}

#[test]
fn an_interface_that_is_written_by_hand_may_have_methods_and_leads_to_its_base() {
    #[repr(C)]
    struct IClockRaw(*const ntcom::IUnknownVtbl);
    // SAFETY: the layout is as required, and this is the interface's IID.
    unsafe impl ntcom::Interface for IClockRaw {
        const IID: GUID = ntcom::iid!("0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fb008");
    }
    // SAFETY: the table is IUnknown's.
    unsafe impl ntcom::Derived for IClockRaw {
        type Base = IUnknownRaw;
    }
    #[repr(transparent)]
    struct IClockRef(ComRc<IClockRaw>);
    // SAFETY: the type is transparent over this `ComRc`.
    unsafe impl ntcom::Callable for IClockRaw {
        type Ref = IClockRef;
    }
    impl IClockRef {
        fn ticks(&self) -> usize {
            self.0.as_ptr().addr()
        }
    }
    in_kernel(|| {
        let object = ComObject::<_, IUnknownRaw>::new(5_u32).unwrap().into_raw();
        // SAFETY: the pointer owns a reference, and both tables are IUnknown's.
        let clock: ComRc<IClockRaw> = unsafe { ComRc::from_raw(object.cast()) }.unwrap();
        assert_eq!(clock.ticks(), object.addr());
        let unknown = clock.base().clone();
        drop(clock);
        assert_eq!(*This::<u32>::of(&unknown).unwrap(), 5);
    });
}

/// Objects of foreign implementations `[C17]`.
mod foreign {
    use super::{ComRc, IRootRaw, IRootVtbl, Interface as _, NTSTATUS, c_void, in_kernel};
    use ntcom::{AsyncOperationRaw, GUID, IUnknownVtbl};

    unsafe extern "system" fn one(_this: *mut c_void) -> u32 {
        1
    }
    unsafe extern "system" fn none(_: *mut c_void, _: *const GUID, _: *mut *mut c_void) -> NTSTATUS {
        NTSTATUS::NOINTERFACE
    }
    unsafe extern "system" fn null(_this: *mut c_void) -> *mut AsyncOperationRaw<u8> {
        core::ptr::null_mut()
    }
    const UNKNOWN: IUnknownVtbl =
        IUnknownVtbl { QueryInterface: Some(none), AddRef: Some(one), Release: Some(one) };

    #[test]
    fn a_table_that_is_taken_away_is_an_error() {
        let table = IRootVtbl { base: UNKNOWN, root: None, started: None };
        let mut object = IRootRaw { vtbl: &raw const table };
        let raw = &raw mut object;
        // SAFETY: the object counts no references and outlives the client.
        let client = unsafe { ComRc::from_raw(raw) }.unwrap();
        // SAFETY: `object` is alive, and `raw` points to it.
        unsafe { raw.write(IRootRaw { vtbl: core::ptr::null() }) };
        assert_eq!(client.root(), Err(NTSTATUS::DRIVER_INTERNAL_ERROR));
        assert_eq!(client.query::<ntcom::IUnknownRaw>().err(), Some(NTSTATUS::DRIVER_INTERNAL_ERROR));
    }

    #[test]
    fn a_missing_slot_and_a_null_operation_are_errors() {
        in_kernel(|| {
            let table = IRootVtbl { base: UNKNOWN, root: None, started: Some(null) };
            let mut raw = IRootRaw { vtbl: &raw const table };
            // SAFETY: the object counts no references and outlives the client.
            let object = unsafe { ComRc::from_raw(&raw mut raw) }.unwrap();
            assert_eq!(object.root(), Err(NTSTATUS::DRIVER_INTERNAL_ERROR));
            assert_eq!(object.started().err(), Some(NTSTATUS::DRIVER_INTERNAL_ERROR));
            assert_eq!(IRootRaw::IID, GUID::from_u128(0xa0));
        });
    }
}

/// The offsets of an interface's slots, written by hand, are those of a C compiler.
#[test]
fn slots_are_in_the_order_of_their_declaration_after_the_bases() {
    use core::mem::offset_of;
    assert_eq!(offset_of!(ILeafVtbl, base), 0);
    assert_eq!((offset_of!(IRootVtbl, root), offset_of!(IRootVtbl, started)), (24, 32));
    assert_eq!(offset_of!(IMiddleVtbl, middle), 40);
    let leaf = [
        offset_of!(ILeafVtbl, sum),
        offset_of!(ILeafVtbl, nothing),
        offset_of!(ILeafVtbl, fails),
        offset_of!(ILeafVtbl, addressed),
        offset_of!(ILeafVtbl, leaf),
        offset_of!(ILeafVtbl, write),
    ];
    assert_eq!(leaf, [48, 56, 64, 72, 80, 88]);
    assert_eq!(size_of::<ILeafVtbl>(), 96);
    assert_eq!(size_of::<ILeafRaw>(), 8);
}

/// Structs and callbacks that may cross an interface.
mod types {
    use super::{AbiType, GUID, IUnknown, NTSTATUS, c_void, declare_com_interface};
    use ntcom::AbiValue;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, AbiType)]
    pub(super) struct Sample {
        pub(super) channel: u32,
        pub(super) values: [i16; 3],
    }

    #[repr(transparent)]
    #[derive(Clone, Copy, AbiType, AbiValue)]
    pub(super) struct Channel(pub(super) u32);

    pub(super) type Callback = Option<unsafe extern "system" fn(*mut c_void, u32) -> NTSTATUS>;

    declare_com_interface! {
        pub(super) trait ISamples: IUnknown {
            const IID: GUID = GUID::from_u128(0xb2);
            fn configure(&self, channel: Channel, callback: Callback, table: *const [Sample; 4]) -> Channel;
            async fn sample(&self, channel: Channel) -> Sample;
        }
    }
}

#[test]
fn structs_callbacks_and_transparent_values_cross() {
    use types::{Callback, Channel, ISamples, ISamplesRaw, Sample};
    struct Sampler;
    // SAFETY: the body touches no memory but its own.
    unsafe impl ISamples for Sampler {
        type Allocator = GlobalAllocator;
        type SampleFuture = core::future::Ready<Sample>;
        fn configure(&self, channel: Channel, callback: Callback, table: *const [Sample; 4]) -> Channel {
            Channel(channel.0 + u32::from(callback.is_none()) + u32::from(table.is_null()))
        }
        fn sample(
            &self,
            channel: Channel,
        ) -> impl InitBoxTrait<Self::SampleFuture, GlobalAllocator, NTSTATUS> {
            let sample = Sample { channel: channel.0, values: [1, 2, 3] };
            InitBox::new(GlobalAllocator, pin_init!(core::future::ready(sample)))
        }
    }
    in_kernel(|| {
        let object = ComObject::<_, ISamplesRaw>::new(Sampler).unwrap();
        let answer = object.configure(Channel(5), None, core::ptr::null()).unwrap();
        assert_eq!(answer.0, 7);
        let operation = object.sample(answer).unwrap();
        // SAFETY: the operation is ours, so every value that it writes is a `Sample`.
        let sample = unsafe { operation.result_trusted() };
        assert_eq!(sample, Ok(Sample { channel: 7, values: [1, 2, 3] }));
    });
}

#[test]
fn an_object_without_memory_is_an_error_and_its_value_is_dropped() {
    in_kernel(|| {
        let drops = Arc::new(AtomicU32::new(0));
        ntsim::fail_allocation(0);
        let object = ComObject::<_, ILeafRaw>::new(Tracked(Arc::clone(&drops), 1));
        assert_eq!(object.err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
        assert_eq!(drops.load(SeqCst), 1);
        let refused = ComObject::<Tracked, ILeafRaw, _>::init_in(
            GlobalAllocator,
            ntcom::alloc::init_with(|| Err(NTSTATUS::NOT_SUPPORTED)),
        );
        assert_eq!(refused.err(), Some(NTSTATUS::NOT_SUPPORTED));
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}
