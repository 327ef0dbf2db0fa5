//! Tests of objects that are statics, on the simulated kernel.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

mod common;
#[path = "common/unknown.rs"]
mod unknown;

use core::{
    ffi::c_void,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

use common::in_kernel;
use ntcom::{
    AsyncBody, AsyncStatus, ComRc, ComStatic, GUID, GlobalAllocator, IUnknown, IUnknownRaw, InitBox,
    Interface as _, NTSTATUS, This, declare_com_interface, try_finally,
};
use unknown::{add_ref, query, release};

declare_com_interface! {
    trait IClock: IUnknown {
        const IID: GUID = GUID::from_u128(0xd0);
        fn ticks(&self) -> u32;
    }
}
declare_com_interface! {
    trait IAlarm: IClock {
        const IID: GUID = GUID::from_u128(0xd1);
        #[opaque]
        async fn ring(&self, n: u32) -> u32;
        #[opaque]
        async fn rings_when_cancelled(&self);
    }
}
declare_com_interface! {
    trait IPlace: IUnknown {
        const IID: GUID = GUID::from_u128(0xd2);
        fn place(&self) -> usize;
    }
}

#[repr(align(128))]
struct Clock {
    ticks: AtomicU32,
}

impl IClock for Clock {
    fn ticks(&self) -> u32 {
        self.ticks.load(SeqCst)
    }
}

// SAFETY: the bodies touch only the image's data.
unsafe impl IAlarm for Clock {
    type Allocator = GlobalAllocator;
    fn ring(&self, n: u32) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, move |this: This<Self>| async move {
            this.ticks.fetch_add(n, SeqCst) + n
        })
    }
    fn rings_when_cancelled(&self) -> impl AsyncBody<(), GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, |this: This<Self>| async move {
            let ring = async {
                this.ticks.fetch_add(100, SeqCst);
            };
            try_finally(core::future::pending::<()>(), ring).await;
        })
    }
}

impl IPlace for Clock {
    fn place(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
}

type Both = (IAlarmRaw, IPlaceRaw);

const fn clock() -> ComStatic<Clock, Both> {
    ComStatic::new(Clock { ticks: AtomicU32::new(5) })
}

#[test]
fn its_interfaces_are_there_without_memory_and_count_nothing() {
    static CLOCK: ComStatic<Clock, Both> = clock();
    in_kernel(|| {
        let before = ntsim::counters();
        let alarm = CLOCK.get();
        let place: ComRc<IPlaceRaw> = alarm.query().unwrap();
        assert_eq!(alarm.ticks(), Ok(5));
        assert_eq!(place.place(), Ok(core::ptr::from_ref(CLOCK.value()).addr()));
        assert_eq!(place.place().unwrap() % 128, 0);
        for this in [alarm.as_ptr().cast::<c_void>(), place.as_ptr().cast()] {
            assert_eq!([add_ref(this), release(this), release(this), release(this)], [1; 4]);
        }
        let after = ntsim::counters();
        assert_eq!((after.allocations, after.rmw), (before.allocations, before.rmw));
    });
}

/// All its interfaces have one identity `[C2]`.
#[test]
fn it_has_one_identity() {
    static CLOCK: ComStatic<Clock, Both> = clock();
    in_kernel(|| {
        let alarm: *mut c_void = CLOCK.get().as_ptr().cast();
        let place = query(alarm, IPlaceRaw::IID);
        assert_eq!(place.addr() - alarm.addr(), size_of::<usize>());
        for this in [alarm, place] {
            assert_eq!(query(this, IUnknownRaw::IID), alarm);
            assert_eq!(query(this, IAlarmRaw::IID), alarm);
            assert_eq!(query(this, IClockRaw::IID), alarm);
            assert_eq!(query(this, IPlaceRaw::IID), place);
            assert_eq!(query(this, GUID::from_u128(0xd3)), core::ptr::null_mut());
        }
    });
}

#[test]
fn its_interfaces_lead_to_its_value() {
    static CLOCK: ComStatic<Clock, Both> = clock();
    in_kernel(|| {
        let place: ComRc<IPlaceRaw> = CLOCK.get().query().unwrap();
        let this = This::<Clock>::of(&place).unwrap();
        assert_eq!(core::ptr::from_ref::<Clock>(&this), core::ptr::from_ref(CLOCK.value()));
    });
}

/// Its async methods work as those of any object, and their bodies release what they count.
#[test]
fn its_async_methods_run_and_are_cancelled() {
    static CLOCK: ComStatic<Clock, Both> = clock();
    in_kernel(|| {
        assert_eq!(CLOCK.get().ring(2).unwrap().result(), Ok(7));
        let operation = CLOCK.get().rings_when_cancelled().unwrap();
        assert_eq!(operation.status(), Ok(AsyncStatus::Started));
        operation.control().unwrap().cancel().unwrap();
        assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
        assert_eq!(CLOCK.value().ticks(), 107);
    });
}
