//! Aggregates: an outer object with inner ones, on the simulated kernel.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

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
    }
}
declare_com_interface! {
    trait ILight: IUnknown {
        const IID: GUID = GUID::from_u128(0xe4);
        fn place(&self) -> usize;
    }
}

/// In which order things go: a digit each.
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

#[repr(align(32))]
struct Clock(Ends);

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
            this.0.1
        })
    }
    fn sum(&self, n: u32) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, move |this: This<Self>| async move { this.power() + n })
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
            let clock = init_with(|| Ok(Clock(end(1))));
            // SAFETY: the device keeps it, and drops it with itself.
            let clock =
                unsafe { ComObject::<_, IClockRaw, _>::aggregated_in(outer, GlobalAllocator, clock) }?;
            let light = init_with(|| Ok(Light(end(2))));
            type Second = (IUnknownRaw, ILightRaw);
            // SAFETY: as above.
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
        // The fields of the outer value in their order, each inner object with its reference.
        assert_eq!(ends.load(SeqCst), 123);
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

/// `[C19]`: the body holds the inner object, and gives it back on its own.
#[test]
fn an_async_method_of_a_part_outlives_the_aggregate() {
    in_kernel(|| {
        let (device, ends) = device();
        let clock: ComRc<IClockRaw> = device.query().unwrap();
        assert_eq!(clock.sum(3).unwrap().result(), Ok(253));
        let operation = clock.never(1).unwrap();
        drop((device, clock));
        assert_eq!(ends.load(SeqCst), 23, "the part is still there");
        operation.control().unwrap().cancel().unwrap();
        assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
        assert_eq!(ends.load(SeqCst), 231);
    });
}

#[test]
fn an_aggregate_that_cannot_be_made_leaves_nothing_behind() {
    in_kernel(|| {
        for (refused, expected) in [(0, 0), (1, 0), (2, 1)] {
            let ends = Arc::default();
            ntsim::fail_allocation(refused);
            assert_eq!(try_device(&ends).err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
            // What has been made of it has been dropped.
            assert_eq!(ends.load(SeqCst), expected, "allocation {refused}");
            assert_eq!(ntsim::counters().live_blocks, 0);
        }
    });
}

/// An outer object without a table, or with a hole in it.
#[test]
fn a_broken_outer_object_is_refused() {
    in_kernel(|| {
        let hole = IUnknownVtbl { QueryInterface: None, AddRef: None, Release: None };
        for vtbl in [core::ptr::null(), &raw const hole] {
            let mut outer = IUnknownRaw { vtbl };
            let outer = NonNull::from(&mut outer);
            let value = init_with(|| Ok(Ends(Arc::default(), 0)));
            // SAFETY: there is no object, which is what it is to notice.
            let made =
                unsafe { ComObject::<_, IUnknownRaw, _>::aggregated_in(outer, GlobalAllocator, value) };
            assert_eq!(made.err(), Some(NTSTATUS::DRIVER_INTERNAL_ERROR));
        }
    });
}

/// `[C3]`: a part that counts its aggregate while that is being destroyed.
#[test]
fn an_aggregate_that_a_part_revives_fails_fast() {
    struct Clings(NonNull<IUnknownRaw>);
    // SAFETY: the test has one processor.
    unsafe impl Send for Clings {}
    // SAFETY: as above.
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
                // SAFETY: the outer object keeps it.
                let part =
                    unsafe { ComObject::<_, IUnknownRaw, _>::aggregated_in(outer, GlobalAllocator, value) }?;
                Ok(Whole { part })
            })
        };
        drop(ComObject::<Whole, Outer<IUnknownRaw>, _>::init_outer_in(GlobalAllocator, make).unwrap());
    };
    is_fail_fast(try_in_kernel(revive), 14);
}
