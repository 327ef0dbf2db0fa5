//! Tests of objects with several interfaces, on the simulated kernel.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

mod common;
#[path = "common/unknown.rs"]
mod unknown;

use core::{
    ffi::c_void,
    ptr::null_mut,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};
use std::sync::Arc;

use common::{in_kernel, is_fail_fast, try_in_kernel};
use ntcom::{
    AsyncBody, AsyncStatus, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, IUnknownRaw, IUnknownVtbl,
    InitBox, InitBoxTrait, Interface, NTSTATUS, This, declare_com_interface, pin_init, try_finally,
};
use unknown::query;

declare_com_interface! {
    /// The base of two of the other interfaces.
    trait IBase: IUnknown {
        const IID: GUID = GUID::from_u128(0xc0);
        fn number(&self) -> u32;
        async fn waits(&self, n: u32) -> u32;
    }
}
declare_com_interface! {
    trait IFirst: IBase {
        const IID: GUID = GUID::from_u128(0xc1);
        fn first(&self, a: u8, b: u64) -> u64;
    }
}
declare_com_interface! {
    trait ISecond: IUnknown {
        const IID: GUID = GUID::from_u128(0xc2);
        fn place(&self) -> usize;
        unsafe fn write(&self, out: *mut u32) -> NTSTATUS;
    }
}
declare_com_interface! {
    trait IThird: IBase {
        const IID: GUID = GUID::from_u128(0xc3);
        #[opaque]
        async fn third(&self, a: u8, b: u64, c: *const c_void) -> u64;
        #[opaque]
        async fn cleans_up(&self) -> Result<u64, NTSTATUS>;
    }
}

/// An over-aligned value, so that there is room between the interfaces and the core.
#[repr(align(64))]
struct Thing {
    drops: Arc<AtomicU32>,
    number: u32,
}

impl Thing {
    fn new(drops: &Arc<AtomicU32>) -> Self {
        Self { drops: Arc::clone(drops), number: 30 }
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
    }
}

// SAFETY: the body touches no memory but its own.
unsafe impl IBase for Thing {
    type Allocator = GlobalAllocator;
    type WaitsFuture = core::future::Ready<u32>;
    fn number(&self) -> u32 {
        self.number
    }
    fn waits(&self, n: u32) -> impl InitBoxTrait<Self::WaitsFuture, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(core::future::ready(self.number + n)))
    }
}

impl IFirst for Thing {
    fn first(&self, a: u8, b: u64) -> u64 {
        u64::from(self.number) + u64::from(a) + b
    }
}

impl ISecond for Thing {
    fn place(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
    unsafe fn write(&self, out: *mut u32) -> NTSTATUS {
        // SAFETY: the declaration requires a writable `out`.
        unsafe { out.write(self.number) };
        NTSTATUS::SUCCESS
    }
}

// SAFETY: the bodies touch the object, which is in non-paged pool.
unsafe impl IThird for Thing {
    type Allocator = GlobalAllocator;
    fn third(&self, a: u8, b: u64, c: *const c_void) -> impl AsyncBody<u64, GlobalAllocator, NTSTATUS> {
        let c = c.addr() as u64;
        InitBox::with_this(GlobalAllocator, move |this: This<Self>| async move {
            u64::from(this.number) + u64::from(a) + b + c
        })
    }
    fn cleans_up(&self) -> impl AsyncBody<Result<u64, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, |this: This<Self>| async move {
            let cleanup = async {
                this.drops.fetch_add(100, SeqCst);
            };
            try_finally(core::future::pending::<()>(), cleanup).await;
            Ok(u64::from(this.number))
        })
    }
}

type All = (IFirstRaw, ISecondRaw, IThirdRaw);

fn thing() -> (ComRc<IFirstRaw>, ComRc<ISecondRaw>, ComRc<IThirdRaw>, Arc<AtomicU32>) {
    let drops = Arc::new(AtomicU32::new(0));
    let first = ComObject::<_, All>::new(Thing::new(&drops)).unwrap();
    let second: ComRc<ISecondRaw> = first.query().unwrap();
    let third: ComRc<IThirdRaw> = second.query().unwrap();
    (first, second, third, drops)
}

#[test]
fn every_slot_of_every_interface_finds_the_object() {
    in_kernel(|| {
        let (first, second, third, drops) = thing();
        assert_eq!(first.first(2, 1 << 40), Ok((1 << 40) + 32));
        assert_eq!((first.number(), third.number()), (Ok(30), Ok(30)));
        let mut out = 0;
        // SAFETY: `out` is writable.
        assert_eq!(unsafe { second.write(&raw mut out) }, Ok(NTSTATUS::SUCCESS));
        assert_eq!(out, 30);
        assert_eq!(second.place().unwrap() % 64, 0);
        assert_eq!(first.waits(3).unwrap().result(), Ok(33));
        assert_eq!(third.waits(4).unwrap().result(), Ok(34));
        let sum = third.third(1, 2, core::ptr::without_provenance(4)).unwrap();
        assert_eq!(sum.result(), Ok(37));
        drop((first, second));
        assert_eq!(drops.load(SeqCst), 0);
        drop(third);
        assert_eq!(drops.load(SeqCst), 1);
    });
}

/// Each interface is asked for each interface `[C2]`.
#[test]
fn query_interface_answers_the_same_on_every_interface() {
    in_kernel(|| {
        let (first, second, third, _drops) = thing();
        let all: [*mut c_void; 3] = [first.as_ptr().cast(), second.as_ptr().cast(), third.as_ptr().cast()];
        assert_eq!(all[1].addr() - all[0].addr(), size_of::<usize>(), "side by side");
        assert_eq!(all[2].addr() - all[1].addr(), size_of::<usize>());
        for this in all {
            assert_eq!(query(this, IUnknownRaw::IID), all[0], "IUnknown is the primary one");
            assert_eq!(query(this, IFirstRaw::IID), all[0]);
            assert_eq!(query(this, ISecondRaw::IID), all[1]);
            assert_eq!(query(this, IThirdRaw::IID), all[2]);
            assert_eq!(query(this, IBaseRaw::IID), all[0], "the first one that has it");
            assert_eq!(query(this, GUID::from_u128(0xc4)), null_mut());
        }
    });
}

#[test]
fn query_interface_of_a_secondary_tolerates_nulls() {
    in_kernel(|| {
        let (_first, second, _third, _drops) = thing();
        let this: *mut c_void = second.as_ptr().cast();
        // SAFETY: the test's reference keeps the object alive.
        let table = unsafe { (*second.as_ptr()).vtbl };
        // SAFETY: the object's table pointer points to its table.
        let query = unsafe { (*table).base.QueryInterface }.unwrap();
        let mut out = this;
        // SAFETY: nulls are allowed [C1].
        let status = unsafe { query(this, core::ptr::null(), &raw mut out) };
        assert_eq!((status, out), (NTSTATUS::INVALID_PARAMETER, null_mut()));
        // SAFETY: a null `out` is allowed [C1].
        let status = unsafe { query(this, &ISecondRaw::IID, null_mut()) };
        assert_eq!(status, NTSTATUS::INVALID_PARAMETER);
    });
}

/// A body keeps its object through a secondary interface `[C19]`, and a cancel goes through the
/// operation's own control.
#[test]
fn a_body_of_a_secondarys_method_is_cancelled_and_keeps_its_object_until_it_has_cleaned_up() {
    in_kernel(|| {
        let (first, second, third, drops) = thing();
        let operation = third.cleans_up().unwrap();
        drop((first, second, third));
        assert_eq!(drops.load(SeqCst), 0, "the body holds it");
        assert_eq!(operation.status(), Ok(AsyncStatus::Started));
        operation.control().unwrap().cancel().unwrap();
        assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
        assert_eq!(drops.load(SeqCst), 101, "cleaned up, and then dropped");
    });
}

#[test]
fn one_count_serves_all_interfaces() {
    in_kernel(|| {
        let (first, second, third, drops) = thing();
        let this = This::<Thing>::of(&first).unwrap();
        assert_eq!(core::ptr::from_ref::<Thing>(&this).addr(), second.place().unwrap());
        drop((first, second.clone(), second, third));
        assert_eq!(drops.load(SeqCst), 0);
        drop(this);
        assert_eq!(drops.load(SeqCst), 1);
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

#[test]
fn every_interface_leads_to_the_object_and_another_type_is_refused() {
    in_kernel(|| {
        let (first, second, third, drops) = thing();
        let base: &IBaseRef = &third;
        let unknown = ComRc::<IUnknownRaw>::from_ref(base);
        let found = [This::<Thing>::of(&first), This::of(&second), This::of(&third), This::of(unknown)];
        let places = found.map(|this| core::ptr::from_ref::<Thing>(&this.unwrap()).addr());
        assert_eq!(places, [second.place().unwrap(); 4]);
        assert_eq!(This::<u32>::of(&first).err(), Some(NTSTATUS::NOINTERFACE));
        let of_others = ntcom::spawn_async_operation(async { 7_u32 });
        assert_eq!(This::<Thing>::of(&of_others).err(), Some(NTSTATUS::NOINTERFACE));
        drop((first, second, third));
        assert_eq!(drops.load(SeqCst), 1, "a refused call keeps no reference");
    });
}

/// Tables of two types with the same code may be one table, so the types are compared.
#[test]
fn types_with_the_same_code_are_told_apart() {
    #[derive(Debug)]
    struct One(u32);
    #[derive(Debug)]
    struct Other(u32);
    in_kernel(|| {
        let one = ComObject::<_, IUnknownRaw>::new(One(1)).unwrap();
        let other = ComObject::<_, IUnknownRaw>::new(Other(2)).unwrap();
        assert_eq!((This::<One>::of(&one).unwrap().0, This::<Other>::of(&other).unwrap().0), (1, 2));
        assert!(This::<Other>::of(&one).is_err() && This::<One>::of(&other).is_err());
    });
}

#[test]
fn an_object_with_several_interfaces_fails_without_a_trace() {
    in_kernel(|| {
        let drops = Arc::new(AtomicU32::new(0));
        ntsim::fail_allocation(0);
        let refused = ComObject::<_, All>::new(Thing::new(&drops));
        assert_eq!(refused.err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
        assert_eq!(drops.load(SeqCst), 1);
        let init = ntcom::alloc::init_with(|| Err(NTSTATUS::NOT_SUPPORTED));
        let refused = ComObject::<Thing, All, _>::init_in(GlobalAllocator, init);
        assert_eq!(refused.err(), Some(NTSTATUS::NOT_SUPPORTED));
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

/// A reference too few through a secondary interface fails fast `[C3]`.
#[test]
fn a_reference_too_few_fails_fast() {
    is_fail_fast(
        try_in_kernel(|| {
            struct Lets(core::sync::atomic::AtomicPtr<c_void>);
            impl ISecond for Lets {
                fn place(&self) -> usize {
                    0
                }
                unsafe fn write(&self, _out: *mut u32) -> NTSTATUS {
                    NTSTATUS::NOT_SUPPORTED
                }
            }
            impl Drop for Lets {
                fn drop(&mut self) {
                    let this = self.0.load(SeqCst);
                    // SAFETY: the block is there while its value is being dropped, and begins with
                    // its table's pointer.
                    let table = unsafe { *this.cast::<*const IUnknownVtbl>() };
                    // SAFETY: the object's table pointer points to its table.
                    let release = unsafe { *table }.Release.unwrap();
                    // SAFETY: this breaks the contract on purpose, and stops the machine.
                    unsafe { release(this) };
                }
            }
            type Both = (IUnknownRaw, ISecondRaw);
            let object = ComObject::<_, Both>::new(Lets(null_mut::<c_void>().into())).unwrap();
            let this = This::<Lets>::of(&object).unwrap();
            let second: ComRc<ISecondRaw> = object.query().unwrap();
            this.0.store(second.as_ptr().cast(), SeqCst);
        }),
        14,
    );
}
