//! Declared interfaces and their objects, on the simulated kernel.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{
    ffi::c_void,
    future::{Future, pending},
    pin::Pin,
    ptr::null_mut,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    task::{Context, Poll},
};
use std::sync::Arc;

use ntcom::{
    AbiType, AsyncBody, AsyncStatus, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, IUnknownRaw, InitBox,
    InitBoxTrait, Interface, InterfaceOf, KBox, NTSTATUS, This, declare_com_interface, pin_init, try_finally,
};
use ntsim::{Config, Schedule, Simulation, Stop};

fn try_in_kernel(program: impl FnOnce() + 'static) -> Result<(), Stop> {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    kernel.run(vec![(0, Box::new(program))])?;
    kernel.unload()
}

fn in_kernel(program: impl FnOnce() + 'static) {
    try_in_kernel(program).unwrap_or_else(|stop| panic!("{stop}"));
}

/// The design's example, word for word but for the GUID's fields.
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
    // SAFETY: the body touches nothing.
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
        // SAFETY: a live object.
        let table = unsafe { (*object.as_ptr()).vtbl };
        // SAFETY: its table.
        let table = unsafe { &*table };
        // SAFETY: the slot takes the object.
        let raw = unsafe { table.get_status.unwrap()(object.as_ptr().cast()) };
        // SAFETY: never null, and owns a reference.
        let operation = unsafe { ComRc::from_raw(raw) }.unwrap();
        assert_eq!(operation.result(), Ok(1));
    });
}

declare_com_interface! {
    /// The root.
    pub trait IRoot: IUnknown {
        const IID: GUID = GUID::from_u128(0xa0);
        /// A number.
        fn root(&self) -> u32;
        /// Never ends.
        async fn started(&self) -> u8;
    }
}
declare_com_interface! {
    /// In the middle.
    pub trait IMiddle: IRoot {
        const IID: GUID = GUID::from_u128(0xa1);
        /// Adds.
        fn middle(&self, a: u32, b: *const c_void) -> u64;
    }
}
declare_com_interface! {
    /// The most derived one.
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

/// Counts what is left of it.
struct Tracked(Arc<AtomicU32>, u32);

impl Drop for Tracked {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

// SAFETY: the body touches nothing.
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
        // Borrows the object: the recipe is followed before the call returns.
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
                    // Ends with the failure whether it is cancelled or not.
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
        // SAFETY: the declaration's contract.
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
        // SAFETY: a live object.
        let table = unsafe { (*object.as_ptr()).vtbl };
        // SAFETY: its table.
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
        // SAFETY: an IID of nobody's.
        assert_eq!(unsafe { query(this, &GUID::from_u128(0xdead), &raw mut out) }, NTSTATUS::NOINTERFACE);
        assert!(out.is_null());
    });
}

/// `[C19]`
#[test]
fn a_body_keeps_its_object_and_lets_go_before_the_end_is_visible() {
    in_kernel(|| {
        let (object, drops) = leaf();
        let operation = object.started().unwrap();
        drop(object);
        assert_eq!(drops.load(SeqCst), 0, "the body holds the object");
        static DROPS_AT_END: AtomicU32 = AtomicU32::new(9);
        unsafe extern "system" fn handler(context: *mut c_void, _status: AsyncStatus) {
            // SAFETY: the test's counter.
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

/// `[C20]`
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
        assert_eq!(end(NTSTATUS::CANCELLED, 0), unasked, "nobody asked for it");
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

declare_com_interface! {
    trait IFails: IUnknown {
        const IID: GUID = GUID::from_u128(0xb0);
        async fn refused(&self, status: NTSTATUS) -> u64;
        async fn aligned(&self) -> u64;
        async fn large(&self) -> u64;
        async fn panics(&self) -> u64;
        async fn recipe_panics(&self) -> u64;
        fn method_panics(&self);
        #[opaque]
        async fn strangers(&self) -> u64;
        #[opaque]
        async fn boxed(&self, n: u32) -> u64;
    }
}

/// A body that checks where it is.
#[repr(align(256))]
struct Aligned(u64);

impl Future for Aligned {
    type Output = u64;
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<u64> {
        Poll::Ready(core::ptr::from_ref(&*self).addr() as u64 % 256 + self.0)
    }
}

struct Large([u64; 2048]);

impl Future for Large {
    type Output = u64;
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<u64> {
        Poll::Ready(self.0.iter().sum())
    }
}

struct Failing;

/// A recipe of a driver's own, which panics when it is taken apart.
struct PanickingRecipe;

impl<F> InitBoxTrait<F, GlobalAllocator, NTSTATUS> for PanickingRecipe {
    type Init = ntcom::alloc::InitWith<fn() -> Result<F, NTSTATUS>>;
    fn into_parts(self) -> (GlobalAllocator, Self::Init) {
        panic!("in a recipe");
    }
}

fn refuse(status: NTSTATUS) -> Result<u64, NTSTATUS> {
    if status == NTSTATUS::SUCCESS { Ok(1) } else { Err(status) }
}

fn panics() -> u64 {
    panic!("in an initialiser");
}

// SAFETY: the bodies touch nothing.
unsafe impl IFails for Failing {
    type Allocator = GlobalAllocator;
    type RefusedFuture = core::future::Ready<u64>;
    type AlignedFuture = Aligned;
    type LargeFuture = Large;
    type PanicsFuture = core::future::Ready<u64>;
    type RecipePanicsFuture = core::future::Ready<u64>;
    fn refused(&self, status: NTSTATUS) -> impl InitBoxTrait<Self::RefusedFuture, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(core::future::ready(refuse(status)?)))
    }
    fn aligned(&self) -> impl InitBoxTrait<Aligned, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(Aligned(7)))
    }
    fn large(&self) -> impl InitBoxTrait<Large, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(Large([1; 2048])))
    }
    fn panics(&self) -> impl InitBoxTrait<Self::PanicsFuture, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(core::future::ready(panics())))
    }
    fn recipe_panics(&self) -> impl InitBoxTrait<Self::RecipePanicsFuture, GlobalAllocator, NTSTATUS> {
        PanickingRecipe
    }
    fn method_panics(&self) {
        panic!("in a method");
    }
    fn strangers(&self) -> impl AsyncBody<u64, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, |this: This<u64>| async move { *this })
    }
    fn boxed(&self, n: u32) -> impl AsyncBody<u64, GlobalAllocator, NTSTATUS> {
        InitBox::new(
            GlobalAllocator,
            pin_init!({
                let boxed = KBox::new(u64::from(n))?;
                async move { *boxed }
            }),
        )
    }
}

fn failing() -> ComRc<IFailsRaw> {
    ComObject::<_, IFailsRaw>::new(Failing).unwrap()
}

#[test]
fn the_status_of_a_failing_initialiser_reaches_the_client_in_the_block_that_is_there() {
    in_kernel(|| {
        let object = failing();
        let before = ntsim::counters().allocations;
        let denied = NTSTATUS::from_u32(0xC000_0022);
        let operation = object.refused(denied).unwrap();
        assert_eq!(ntsim::counters().allocations, before + 1);
        assert_eq!((operation.status(), operation.result()), (Ok(AsyncStatus::Error), Err(denied)));
        assert_eq!(object.refused(NTSTATUS::PENDING).unwrap().result(), Err(NTSTATUS::UNSUCCESSFUL));
        assert_eq!(object.refused(NTSTATUS::SUCCESS).unwrap().result(), Ok(1));
        drop(object);
        assert_eq!(ntsim::counters().live_blocks, 1, "the object is gone: a failed body holds no reference");
        drop(operation);
    });
}

#[test]
fn without_memory_an_async_method_answers_the_constant_operation() {
    in_kernel(|| {
        let object = failing();
        ntsim::fail_allocation(0);
        let operation = object.refused(NTSTATUS::NOT_SUPPORTED).unwrap();
        assert_eq!(
            operation.result(),
            Err(NTSTATUS::INSUFFICIENT_RESOURCES),
            "the initialiser was not called"
        );
        ntsim::fail_allocation(1);
        assert_eq!(object.boxed(1).unwrap().result(), Err(NTSTATUS::INSUFFICIENT_RESOURCES), "nor its box");
        assert_eq!(object.boxed(7).unwrap().result(), Ok(7));
    });
}

#[test]
fn large_and_over_aligned_bodies_are_where_they_belong() {
    in_kernel(|| {
        let object = failing();
        assert_eq!(object.aligned().unwrap().result(), Ok(7));
        assert_eq!(object.large().unwrap().result(), Ok(2048));
    });
}

#[test]
fn a_recipe_for_another_object_is_an_error() {
    in_kernel(|| {
        assert_eq!(failing().strangers().unwrap().result(), Err(NTSTATUS::DRIVER_INTERNAL_ERROR));
    });
}

fn is_fail_fast(stop: Result<(), Stop>, reason: u64) {
    match stop {
        Err(Stop::BugCheck(bug_check)) => {
            assert_eq!((bug_check.code, bug_check.parameters[0]), (0x139, reason), "{bug_check:?}");
        }
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("the machine did not stop"),
    }
}

/// `[C12]`. In a process of its own: the thread that panics cannot go on, and the simulated kernel ends it.
fn panics_are_fail_fast(test: &str, said: &str, program: impl FnOnce() + 'static) {
    const CHILD: &str = "NTCOM_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        return in_kernel(program);
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.code().is_none(), "{:?}: {printed}", child.status);
    assert!(printed.contains(said), "{printed}");
    // KERNEL_SECURITY_CHECK_FAILURE, FAST_FAIL_FATAL_APP_EXIT.
    assert!(printed.contains("0x139") && printed.contains("parameter 1: 0x7 "), "{printed}");
}

#[test]
fn a_panic_in_an_initialiser_fails_fast() {
    let program = || drop(failing().panics());
    panics_are_fail_fast("a_panic_in_an_initialiser_fails_fast", "in an initialiser", program);
}

#[test]
fn a_panic_in_a_recipe_fails_fast() {
    let program = || drop(failing().recipe_panics());
    panics_are_fail_fast("a_panic_in_a_recipe_fails_fast", "in a recipe", program);
}

#[test]
fn a_panic_in_a_method_fails_fast() {
    let program = || assert_eq!(failing().method_panics(), Ok(()));
    panics_are_fail_fast("a_panic_in_a_method_fails_fast", "in a method", program);
}

/// `[C3]`
mod revived {
    use super::{
        AtomicU32, ComObject, ComRc, GUID, IUnknown, Interface, InterfaceOf, SeqCst, c_void,
        declare_com_interface, is_fail_fast, try_in_kernel,
    };

    declare_com_interface! {
        trait IRevived: IUnknown {
            const IID: GUID = GUID::from_u128(0xb1);
            fn nothing(&self);
        }
    }

    struct Revives {
        this: AtomicU32,
        also_releases: bool,
        address: core::sync::atomic::AtomicPtr<c_void>,
    }

    impl IRevived for Revives {
        fn nothing(&self) {}
    }

    impl Drop for Revives {
        fn drop(&mut self) {
            assert_eq!(self.this.fetch_add(1, SeqCst), 0, "dropped once");
            let this = self.address.load(SeqCst);
            // SAFETY: what every object begins with.
            let table = unsafe { *this.cast::<*const ntcom::IUnknownVtbl>() };
            // SAFETY: its table.
            let table = unsafe { &*table };
            // SAFETY: a breach of the contract, which is to stop the machine.
            unsafe { table.AddRef.unwrap()(this) };
            if self.also_releases {
                // SAFETY: as above.
                unsafe { table.Release.unwrap()(this) };
            }
        }
    }

    fn revive(also_releases: bool) {
        let value = Revives {
            this: AtomicU32::new(0),
            also_releases,
            address: core::sync::atomic::AtomicPtr::default(),
        };
        let object: ComRc<IRevivedRaw> = ComObject::<_, IRevivedRaw>::new(value).unwrap();
        // SAFETY: a test of its own object: the value stands behind pointer, count and function.
        let value = unsafe { object.as_ptr().byte_add(24) };
        // SAFETY: as above.
        let value = unsafe { &*value.cast::<Revives>() };
        value.address.store(object.as_ptr().cast(), SeqCst);
        fn same<I: InterfaceOf<Revives> + Interface>() {}
        same::<IRevivedRaw>();
        drop(object);
    }

    #[test]
    fn by_add_ref_fails_fast() {
        is_fail_fast(try_in_kernel(|| revive(false)), 14);
    }

    #[test]
    fn by_add_ref_and_release_fails_fast() {
        is_fail_fast(try_in_kernel(|| revive(true)), 14);
    }
}

/// `[C17]`: objects of others.
mod foreign {
    use super::{ComRc, IRootClient as _, IRootRaw, IRootVtbl, Interface as _, NTSTATUS, c_void, in_kernel};
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
        // SAFETY: it counts nothing, and lives longer than the client.
        let client = unsafe { ComRc::from_raw(raw) }.unwrap();
        // SAFETY: the object is there.
        unsafe { raw.write(IRootRaw { vtbl: core::ptr::null() }) };
        assert_eq!(client.root(), Err(NTSTATUS::DRIVER_INTERNAL_ERROR));
        assert_eq!(client.query::<ntcom::IUnknownRaw>().err(), Some(NTSTATUS::DRIVER_INTERNAL_ERROR));
    }

    #[test]
    fn a_missing_slot_and_a_null_operation_are_errors() {
        in_kernel(|| {
            let table = IRootVtbl { base: UNKNOWN, root: None, started: Some(null) };
            let mut raw = IRootRaw { vtbl: &raw const table };
            // SAFETY: it counts nothing and lives long enough.
            let object = unsafe { ComRc::from_raw(&raw mut raw) }.unwrap();
            assert_eq!(object.root(), Err(NTSTATUS::DRIVER_INTERNAL_ERROR));
            assert_eq!(object.started().err(), Some(NTSTATUS::DRIVER_INTERNAL_ERROR));
            assert_eq!(IRootRaw::IID, GUID::from_u128(0xa0));
        });
    }
}

/// A method's table stands where a C compiler puts it: pinned by hand.
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

/// Structs and callbacks cross where they may.
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
    use types::{Callback, Channel, ISamples, ISamplesClient as _, ISamplesRaw, Sample};
    struct Sampler;
    // SAFETY: the body touches nothing.
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
        // SAFETY: an operation of our own.
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

/// Memory goes back to the allocator, with the layout, that it came from: of operations, objects and boxes.
mod allocators {
    use core::{alloc::Layout, ptr::NonNull};
    use std::sync::Mutex;

    use super::{Arc, AsyncBody, in_kernel};
    use ntcom::{
        Allocator, ComObject, GUID, GlobalAllocator, IUnknown, InitBox, InitBoxTrait, KBox, NTSTATUS,
        NonPaged, declare_com_interface, pin_init,
    };

    /// What each of its clones has handed out and not got back.
    #[derive(Clone, Default)]
    struct Ledger(Arc<Mutex<Vec<(usize, Layout)>>>);

    // SAFETY: memory, residency and unwinding are `GlobalAllocator`'s.
    unsafe impl Allocator for Ledger {
        const NON_PAGED: bool = true;
        fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
            let memory = GlobalAllocator.allocate(layout)?;
            self.0.lock().unwrap().push((memory.addr().get(), layout));
            Some(memory)
        }
        unsafe fn free(&self, memory: NonNull<u8>, layout: Layout) {
            let mut out = self.0.lock().unwrap();
            let entry = (memory.addr().get(), layout);
            let index = out.iter().position(|known| *known == entry).unwrap();
            out.remove(index);
            // SAFETY: the caller keeps the same promise.
            unsafe { GlobalAllocator.free(memory, layout) }
        }
    }

    // SAFETY: it is.
    unsafe impl NonPaged for Ledger {}

    impl Ledger {
        fn out(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }

    declare_com_interface! {
        trait ILedger: IUnknown {
            const IID: GUID = GUID::from_u128(0xb3);
            async fn named(&self) -> u64;
            #[opaque]
            async fn opaque(&self) -> u8;
            async fn fails(&self) -> u64;
        }
    }

    #[repr(align(128))]
    struct Owner(Ledger);

    // SAFETY: the bodies touch nothing.
    unsafe impl ILedger for Owner {
        type Allocator = Ledger;
        type NamedFuture = core::future::Ready<u64>;
        type FailsFuture = core::future::Pending<u64>;
        fn named(&self) -> impl InitBoxTrait<Self::NamedFuture, Ledger, NTSTATUS> {
            InitBox::new(self.0.clone(), pin_init!(core::future::ready(1)))
        }
        fn opaque(&self) -> impl AsyncBody<u8, Ledger, NTSTATUS> {
            InitBox::new(self.0.clone(), pin_init!(async { 2 }))
        }
        fn fails(&self) -> impl InitBoxTrait<Self::FailsFuture, Ledger, NTSTATUS> {
            InitBox::new(self.0.clone(), ntcom::alloc::init_with(|| Err(NTSTATUS::NOT_SUPPORTED)))
        }
    }

    #[test]
    fn every_block_goes_back_where_it_came_from() {
        in_kernel(|| {
            let ledger = Ledger::default();
            let owner = Owner(ledger.clone());
            let object = ComObject::<_, ILedgerRaw, _>::new_in(owner, ledger.clone()).unwrap();
            let operations = (object.named().unwrap(), object.opaque().unwrap(), object.fails().unwrap());
            assert_eq!(ledger.out(), 4);
            assert_eq!((operations.0.result(), operations.1.result()), (Ok(1), Ok(2)));
            assert_eq!(operations.2.result(), Err(NTSTATUS::NOT_SUPPORTED));
            drop(object);
            assert_eq!(ledger.out(), 3);
            drop(operations);
            let boxed = KBox::new_in([0_u64; 9], ledger.clone()).unwrap();
            let refused: Result<KBox<u8, _>, NTSTATUS> =
                KBox::init_in(ledger.clone(), ntcom::alloc::init_with(|| Err(NTSTATUS::NOT_SUPPORTED)));
            assert_eq!(refused.err(), Some(NTSTATUS::NOT_SUPPORTED));
            assert_eq!(ledger.out(), 1);
            drop(boxed);
            assert_eq!(ledger.out(), 0);
        });
    }
}
