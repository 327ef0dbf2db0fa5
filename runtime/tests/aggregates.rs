//! Tests of aggregates on the simulated kernel, with an outer object and inner ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;
#[path = "common/unknown.rs"]
mod unknown;

use core::{
    ffi::c_void,
    ptr::{NonNull, null_mut},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};
use std::sync::Arc;

use common::{in_kernel, is_fail_fast, try_in_kernel};
use ntcom::{
    Aggregates, AsyncBody, AsyncStatus, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, IUnknownRaw,
    IUnknownVtbl, InitBox, Inner, Interface as _, NTSTATUS, Outer, This, alloc::init_with,
    declare_com_interface,
};
use ntsim::{Config, Program, Schedule, Simulation};
use parking_lot::Mutex;
use unknown::{add_ref, query, release};

declare_com_interface! {
    trait IDevice: IUnknown {
        const IID: GUID = GUID::from_u128(0xe0);
        fn number(&self) -> u32;
    }
}
declare_com_interface! {
    trait IName: IUnknown {
        const IID: GUID = GUID::from_u128(0xe1);
        fn letter(&self) -> u8;
    }
}
declare_com_interface! {
    trait IPower: IUnknown {
        const IID: GUID = GUID::from_u128(0xe2);
        fn power(&self) -> u32;
    }
}
declare_com_interface! {
    trait IClock: IPower {
        const IID: GUID = GUID::from_u128(0xe3);
        #[opaque]
        async fn never(&self, n: u32) -> u32;
        #[opaque]
        async fn sum(&self, n: u32) -> u32;
        #[opaque]
        async fn kept(&self) -> u32;
        #[opaque]
        async fn whole(&self) -> Result<u32, NTSTATUS>;
    }
}
declare_com_interface! {
    trait ILight: IUnknown {
        const IID: GUID = GUID::from_u128(0xe4);
        fn place(&self) -> usize;
    }
}

/// Records the order of drops, one digit for each drop.
struct Ends(Arc<AtomicU32>, u32);

impl Drop for Ends {
    fn drop(&mut self) {
        let before = self.0.load(SeqCst);
        self.0.store(before * 10 + self.1, SeqCst);
    }
}

struct Device {
    parts: [Inner; 2],
    _ends: Ends,
}

impl IDevice for Device {
    fn number(&self) -> u32 {
        7
    }
}
impl IName for Device {
    fn letter(&self) -> u8 {
        b'd'
    }
}
impl Aggregates for Device {
    fn inner(&self, iid: &GUID) -> Option<&Inner> {
        if *iid == ILightRaw::IID { self.parts.last() } else { self.parts.first() }
    }
}

/// A part that keeps its outer object's IUnknown without a reference, as parts do.
#[repr(align(32))]
struct Clock {
    outer: NonNull<IUnknownRaw>,
    ends: Ends,
}

// SAFETY: `outer` is an aggregate's IUnknown, which may be used on any processor.
unsafe impl Send for Clock {}
// SAFETY: `outer` is an aggregate's IUnknown, which may be used on any processor.
unsafe impl Sync for Clock {}

/// A pointer to a body's object that outlives the body.
static KEPT: Mutex<Option<This<Clock>>> = Mutex::new(None);

impl Clock {
    fn device(&self) -> Result<ComRc<IDeviceRaw>, NTSTATUS> {
        let outer = self.outer.as_ptr();
        // SAFETY: `outer` is the aggregate's IUnknown, which is alive while a client uses its part.
        unsafe { ComRc::from_raw_borrowed(&outer) }?.query()
    }
}

impl IPower for Clock {
    fn power(&self) -> u32 {
        250
    }
}
// SAFETY: the bodies touch the object, which is in non-paged pool.
unsafe impl IClock for Clock {
    type Allocator = GlobalAllocator;
    fn never(&self, _n: u32) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, |this: This<Self>| async move {
            core::future::pending::<()>().await;
            this.ends.1
        })
    }
    fn sum(&self, n: u32) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, move |this: This<Self>| async move { this.power() + n })
    }
    fn kept(&self) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, |this: This<Self>| async move {
            let power = this.power();
            *KEPT.lock() = Some(this);
            power
        })
    }
    fn whole(&self) -> impl AsyncBody<Result<u32, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, |this: This<Self>| async move { this.device()?.number() })
    }
}

struct Light(Ends);

impl ILight for Light {
    fn place(&self) -> usize {
        core::ptr::from_ref(&self.0).addr()
    }
}

type Own = Outer<(IDeviceRaw, INameRaw)>;

fn try_device(ends: &Arc<AtomicU32>) -> Result<ComRc<IDeviceRaw>, NTSTATUS> {
    let ends = Arc::clone(ends);
    let make = move |outer: NonNull<IUnknownRaw>| {
        init_with(move || {
            let end = |digit| Ends(Arc::clone(&ends), digit);
            let clock = init_with(|| Ok(Clock { outer, ends: end(1) }));
            // SAFETY: the device keeps `clock`, and drops it with itself.
            let clock =
                unsafe { ComObject::<_, IClockRaw, _>::aggregated_in(outer, GlobalAllocator, clock) }?;
            let light = init_with(|| Ok(Light(end(2))));
            type Second = (IUnknownRaw, ILightRaw);
            // SAFETY: the device keeps `light`, and drops it with itself.
            let light = unsafe { ComObject::<_, Second, _>::aggregated_in(outer, GlobalAllocator, light) }?;
            Ok(Device { parts: [clock, light], _ends: end(3) })
        })
    };
    ComObject::<Device, Own, _>::init_outer_in(GlobalAllocator, make)
}

fn device() -> (ComRc<IDeviceRaw>, Arc<AtomicU32>) {
    let ends = Arc::default();
    (try_device(&ends).unwrap(), ends)
}

#[test]
fn for_a_client_there_is_one_object() {
    in_kernel(|| {
        let (device, _ends) = device();
        let this: *mut c_void = device.as_ptr().cast();
        let iids = [IDeviceRaw::IID, INameRaw::IID, IPowerRaw::IID, IClockRaw::IID, ILightRaw::IID];
        let found = iids.map(|iid| query(this, iid));
        assert!(found.iter().all(|found| !found.is_null()));
        assert_eq!(found[2], found[3], "a base is where the interface is");
        for from in found {
            assert_eq!(query(from, IUnknownRaw::IID), this);
            assert_eq!(iids.map(|iid| query(from, iid)), found, "whomever one asks");
            assert_eq!(query(from, GUID::from_u128(0xe9)), null_mut());
        }
    });
}

#[test]
fn every_interface_counts_the_aggregate() {
    in_kernel(|| {
        let (device, ends) = device();
        let clock: ComRc<IClockRaw> = device.query().unwrap();
        let light: ComRc<ILightRaw> = clock.query().unwrap();
        let name: ComRc<INameRaw> = light.query().unwrap();
        let counts = [device.as_ptr().cast(), clock.as_ptr().cast(), light.as_ptr().cast::<c_void>()]
            .map(|this| (add_ref(this), release(this)));
        assert_eq!(counts, [(5, 4); 3]);
        assert_eq!((clock.power(), name.letter(), device.number()), (Ok(250), Ok(b'd'), Ok(7)));
        assert_ne!(light.place().unwrap(), 0);
        drop((device, name, clock));
        assert_eq!(ends.load(SeqCst), 0);
        drop(light);
        // The outer value's fields are dropped in their order, and each inner object with its
        // reference.
        assert_eq!(ends.load(SeqCst), 123);
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

#[test]
fn a_part_leads_to_the_outer_object() {
    in_kernel(|| {
        let (device, ends) = device();
        let light: ComRc<ILightRaw> = device.query().unwrap();
        let this = This::<Device>::of(&light).unwrap();
        assert_eq!(This::<Light>::of(&light).err(), Some(NTSTATUS::NOINTERFACE));
        drop((device, light));
        assert_eq!((this.number(), ends.load(SeqCst)), (7, 0));
        drop(this);
        assert_eq!(ends.load(SeqCst), 123);
    });
}

/// A client that calls a method of a part holds the aggregate `[C19]`.
#[test]
fn an_async_method_of_a_part_keeps_the_aggregate() {
    in_kernel(|| {
        let (device, ends) = device();
        let clock: ComRc<IClockRaw> = device.query().unwrap();
        assert_eq!(clock.sum(3).unwrap().result(), Ok(253));
        let operation = clock.never(1).unwrap();
        drop((device, clock));
        assert_eq!(ends.load(SeqCst), 0, "the aggregate is still there");
        operation.control().unwrap().cancel().unwrap();
        assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
        assert_eq!(ends.load(SeqCst), 123);
        assert_eq!(ntsim::counters().live_blocks, 1, "the operation");
    });
}

/// A body's pointer to its object counts the aggregate, and so do copies that outlive the body.
#[test]
fn a_pointer_to_a_part_keeps_the_aggregate() {
    in_kernel(|| {
        let (device, ends) = device();
        let clock: ComRc<IClockRaw> = device.query().unwrap();
        let count =
            |this: &ComRc<IDeviceRaw>| (add_ref(this.as_ptr().cast()), release(this.as_ptr().cast())).1;
        assert_eq!(count(&device), 2);
        let kept = clock.kept().unwrap();
        assert_eq!(kept.result(), Ok(250));
        assert_eq!(count(&device), 3);
        let this = KEPT.lock().take().unwrap();
        let again = this.clone();
        assert_eq!(count(&device), 4);
        drop((device, clock, kept, this));
        assert_eq!((ends.load(SeqCst), again.power()), (0, 250));
        drop(again);
        assert_eq!(ends.load(SeqCst), 123);
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

/// The last client has gone before the body begins. The body reaches the outer object, and destroys
/// it where the body runs.
#[test]
fn a_body_of_a_part_reaches_the_aggregate_that_no_client_holds() {
    in_kernel(|| {
        let (device, ends) = device();
        let clock: ComRc<IClockRaw> = device.query().unwrap();
        // SAFETY: this runs at PASSIVE_LEVEL, and the IRQL is lowered below.
        let irql = unsafe { ntsim::ddi::KeRaiseIrqlToDpcLevel() };
        let operation = clock.whole().unwrap();
        drop((device, clock));
        assert_eq!((operation.status(), ends.load(SeqCst)), (Ok(AsyncStatus::Started), 0));
        // SAFETY: `irql` is the level that the raise returned. The DPC runs now.
        unsafe { ntsim::ddi::KeLowerIrql(irql) };
        assert_eq!((operation.result(), ends.load(SeqCst)), (Ok(7), 123));
        assert_eq!(ntsim::counters().live_blocks, 1, "the operation");
    });
}

/// One processor gives up the last reference while another one runs the body, in any order.
#[test]
fn the_last_client_may_go_while_a_body_of_a_part_runs() {
    for seed in 0..200 {
        let mut kernel = Simulation::new(Config { processors: 2, ..Config::default() }, Schedule::seed(seed));
        let handed: Arc<Mutex<Option<ComRc<IDeviceRaw>>>> = Arc::default();
        let (given, ends) = (Arc::clone(&handed), Arc::default());
        let seen = Arc::clone(&ends);
        let calls: Program = Box::new(move || {
            let device = try_device(&ends).unwrap();
            let clock: ComRc<IClockRaw> = device.query().unwrap();
            *given.lock() = Some(device);
            // SAFETY: this runs at PASSIVE_LEVEL, and the IRQL is lowered below.
            let irql = unsafe { ntsim::ddi::KeRaiseIrqlToDpcLevel() };
            let operations = [clock.whole(), clock.sum(3)];
            drop(clock);
            // SAFETY: `irql` is the level that the raise returned. The bodies run now.
            unsafe { ntsim::ddi::KeLowerIrql(irql) };
            assert_eq!(operations.map(|operation| operation.unwrap().result()), [Ok(7), Ok(253)]);
        });
        let lets_go: Program = Box::new(move || {
            let device = handed.lock().take();
            drop(device);
        });
        kernel.programs().on(0, calls).on(1, lets_go).run().unwrap_or_else(|stop| panic!("{seed}: {stop}"));
        assert_eq!(seen.load(SeqCst), 123, "{seed}");
        kernel.unload().unwrap_or_else(|stop| panic!("{seed}: {stop}"));
    }
}

#[test]
fn an_aggregate_that_cannot_be_made_leaves_nothing_behind() {
    in_kernel(|| {
        for (refused, expected) in [(0, 0), (1, 0), (2, 1)] {
            let ends = Arc::default();
            ntsim::fail_allocation(refused);
            assert_eq!(try_device(&ends).err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
            // The parts that had been made are dropped.
            assert_eq!(ends.load(SeqCst), expected, "allocation {refused}");
            assert_eq!(ntsim::counters().live_blocks, 0);
        }
    });
}

/// The outer object has no table, or a table with null slots.
#[test]
fn a_broken_outer_object_is_refused() {
    in_kernel(|| {
        let hole = IUnknownVtbl { QueryInterface: None, AddRef: None, Release: None };
        for vtbl in [core::ptr::null(), &raw const hole] {
            let mut outer = IUnknownRaw { vtbl };
            let outer = NonNull::from(&mut outer);
            let value = init_with(|| Ok(Ends(Arc::default(), 0)));
            // SAFETY: the table is null or has null slots, which `aggregated_in` detects before it
            // calls a slot.
            let made =
                unsafe { ComObject::<_, IUnknownRaw, _>::aggregated_in(outer, GlobalAllocator, value) };
            assert_eq!(made.err(), Some(NTSTATUS::DRIVER_INTERNAL_ERROR));
        }
    });
}

/// A part takes a reference to its aggregate while that is being destroyed `[C3]`.
#[test]
fn an_aggregate_that_a_part_revives_fails_fast() {
    struct Clings(NonNull<IUnknownRaw>);
    // SAFETY: the test has one processor.
    unsafe impl Send for Clings {}
    // SAFETY: the test has one processor.
    unsafe impl Sync for Clings {}
    impl Drop for Clings {
        fn drop(&mut self) {
            let outer = self.0.as_ptr().cast();
            add_ref(outer);
            release(outer);
        }
    }
    struct Whole {
        part: Inner,
    }
    impl Aggregates for Whole {
        fn inner(&self, _iid: &GUID) -> Option<&Inner> {
            Some(&self.part)
        }
    }
    let revive = || {
        let make = |outer| {
            init_with(move || {
                let value = init_with(move || Ok(Clings(outer)));
                // SAFETY: the outer object keeps `part`.
                let part =
                    unsafe { ComObject::<_, IUnknownRaw, _>::aggregated_in(outer, GlobalAllocator, value) }?;
                Ok(Whole { part })
            })
        };
        drop(ComObject::<Whole, Outer<IUnknownRaw>, _>::init_outer_in(GlobalAllocator, make).unwrap());
    };
    is_fail_fast(try_in_kernel(revive), 14);
}

/// A foreign outer object gets the calls that it would get from clients of the part. It gets one
/// AddRef when the body is built, and one Release when the body is gone.
#[test]
fn a_body_counts_an_outer_object_that_is_not_ours() {
    #[repr(C)]
    struct Theirs {
        vtbl: *const IUnknownVtbl,
        count: AtomicU32,
        irql_of_release: AtomicU32,
    }
    /// # Safety
    /// `this` is a `Theirs`.
    unsafe fn theirs<'a>(this: *mut c_void) -> &'a Theirs {
        // SAFETY: the caller passes a `Theirs`, which the test keeps alive.
        unsafe { &*this.cast_const().cast() }
    }
    unsafe extern "system" fn add_ref(this: *mut c_void) -> u32 {
        // SAFETY: the caller of the slot passes this interface.
        unsafe { theirs(this) }.count.fetch_add(1, SeqCst) + 1
    }
    unsafe extern "system" fn release(this: *mut c_void) -> u32 {
        // SAFETY: the caller of the slot passes this interface.
        let theirs = unsafe { theirs(this) };
        theirs.irql_of_release.store(ntsim::irql().into(), SeqCst);
        theirs.count.fetch_sub(1, SeqCst) - 1
    }
    unsafe extern "system" fn query(_: *mut c_void, _: *const GUID, _: *mut *mut c_void) -> NTSTATUS {
        NTSTATUS::NOINTERFACE
    }
    static TABLE: IUnknownVtbl =
        IUnknownVtbl { QueryInterface: Some(query), AddRef: Some(add_ref), Release: Some(release) };

    in_kernel(|| {
        let mut theirs =
            Theirs { vtbl: &raw const TABLE, count: AtomicU32::new(1), irql_of_release: AtomicU32::new(0) };
        let outer = NonNull::from(&mut theirs).cast::<IUnknownRaw>();
        // SAFETY: `theirs` outlives its users, and only its atomics are used from here on.
        let theirs = unsafe { outer.cast::<Theirs>().as_ref() };
        let ends = Arc::default();
        let clock = init_with(|| Ok(Clock { outer, ends: Ends(Arc::clone(&ends), 1) }));
        // SAFETY: this function plays the outer object, and drops the part last.
        let inner = unsafe { ComObject::<_, IClockRaw, _>::aggregated_in(outer, GlobalAllocator, clock) };
        let inner = inner.unwrap().into_raw();
        // SAFETY: the pointer is the inner object's own IUnknown, with the outer object's
        // reference.
        let inner = unsafe { ComRc::from_raw(inner) }.unwrap();
        let clock: ComRc<IClockRaw> = inner.query().unwrap();
        assert_eq!(theirs.count.load(SeqCst), 2);
        let operation = clock.never(0).unwrap();
        // The references of the client, of the operation, and of the body's pointer to its object.
        assert_eq!(theirs.count.load(SeqCst), 4);
        assert_eq!(This::<Clock>::of(&clock).err(), Some(NTSTATUS::NOINTERFACE), "the outer object is asked");
        let this = This::<Clock>::of(&inner).unwrap();
        assert_eq!((this.power(), theirs.count.load(SeqCst)), (250, 5), "and keeps its part");
        drop((clock, this));
        operation.control().unwrap().cancel().unwrap();
        assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
        let ended = (theirs.count.load(SeqCst), theirs.irql_of_release.load(SeqCst), ends.load(SeqCst));
        assert_eq!(ended, (1, 2, 0), "counted, at DISPATCH_LEVEL, and the part is the outer object's");
        drop(inner);
        assert_eq!(ends.load(SeqCst), 1);
    });
}
