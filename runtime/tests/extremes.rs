//! Tests of objects of every size and alignment, and of the pointers that may go to another
//! processor.
#![allow(clippy::unwrap_used, reason = "tests say what they mean")]

use core::{cell::Cell, marker::PhantomData, mem::MaybeUninit};

use ntcom::{
    AsyncOperation, AsyncOperationRaw, ComObject, ComRc, ComStatic, GUID, GlobalAllocator, IUnknown,
    IUnknownRaw, IUnknownVtbl, Inner, Interface, KBox, NTSTATUS, This, alloc::from_pin_init,
    declare_com_interface,
};
use ntsim::{Config, Schedule, Simulation};
use pin_init::{PinUninit, init_from_closure};

declare_com_interface! {
    /// An interface that tells the address of the object's value.
    trait IWhere: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fb101";
        fn address(&self) -> usize;
    }
}

impl<T: Send + Sync + 'static> IWhere for Shape<T> {
    fn address(&self) -> usize {
        core::ptr::from_ref(&self.0).addr()
    }
}

struct Shape<T>(T);

#[repr(align(64))]
struct Line;
#[repr(align(4096))]
#[expect(dead_code, reason = "its size is what matters")]
struct Page([u8; 4096]);
const MEGABYTE: usize = 1 << 20;

fn in_kernel(program: fn()) {
    run_in(Config::default(), program);
}

fn run_in(config: Config, program: fn()) {
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    kernel.run_on(0, program).unwrap();
    assert_eq!(ntsim::counters().live_blocks, 0);
}

/// Makes an object with two interfaces, and checks the value's address.
fn stands<T: Send + Sync + 'static>(value: T) {
    let object = ComObject::<_, (IUnknownRaw, IWhereRaw)>::new(Shape(value)).unwrap();
    let place: ComRc<IWhereRaw> = object.query().unwrap();
    let address = place.address().unwrap();
    assert_eq!(address % align_of::<T>(), 0);
    assert!(address > place.as_ptr().addr());
}

#[test]
fn values_of_no_size_and_of_every_alignment_stand_where_they_should() {
    in_kernel(|| {
        stands(());
        stands([0_u128; 0]);
        stands(Line);
        stands(7_u8);
    });
    // A page passes over the stack by value. A build without optimisation copies it at each call,
    // and each copy is aligned to a page.
    run_in(Config { stack: 2 * Config::default().stack, ..Config::default() }, || stands(Page([3; 4096])));
}

/// With `pin_init!` the value would pass over the stack, which is smaller than the value.
#[test]
fn a_megabyte_is_built_in_place() {
    in_kernel(|| {
        let zeros = || {
            from_pin_init::<Shape<[u8; MEGABYTE]>, NTSTATUS>(init_from_closure(
                |mut place: PinUninit<'_, Shape<[u8; MEGABYTE]>>| {
                    let bytes: *mut MaybeUninit<Shape<[u8; MEGABYTE]>> = place.get_mut();
                    // SAFETY: the place is writable for one value.
                    unsafe { bytes.write_bytes(0, 1) };
                    // SAFETY: zeros are a valid value of this type, and the place has just been
                    // zeroed.
                    Ok::<_, pin_init::InitErr<'_, NTSTATUS>>(unsafe { place.init_ok() })
                },
            ))
        };
        let object = ComObject::<_, IWhereRaw, _>::init_in(GlobalAllocator, zeros()).unwrap();
        assert!(object.address().is_ok());
        let boxed = KBox::init_in(GlobalAllocator, zeros()).unwrap();
        assert_eq!(boxed.0.last(), Some(&0));
    });
}

/// A handwritten interface for use on one processor only.
#[repr(C)]
struct ILocalRaw {
    vtbl: *const IUnknownVtbl,
}
// SAFETY: the type is `repr(C)`, and its table is IUnknown's.
unsafe impl Interface for ILocalRaw {
    const IID: GUID = ntcom::iid!("0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fb102");
}

/// Whether a type is `Send`, and whether it is `Sync`. The inherent constant applies if it is, and
/// otherwise the trait's.
struct Sends<T: ?Sized>(PhantomData<T>);
struct Syncs<T: ?Sized>(PhantomData<T>);
impl<T: ?Sized + Send> Sends<T> {
    const SEND: bool = true;
}
impl<T: ?Sized + Sync> Syncs<T> {
    const SYNC: bool = true;
}
trait Not {
    const SEND: bool = false;
    const SYNC: bool = false;
}
impl<T: ?Sized> Not for Sends<T> {}
impl<T: ?Sized> Not for Syncs<T> {}

macro_rules! auto {
    ($($type:ty: $send:literal $sync:literal),* $(,)?) => {
        $(assert_eq!((<Sends<$type>>::SEND, <Syncs<$type>>::SYNC), ($send, $sync), stringify!($type));)*
    };
}

#[test]
fn pointers_go_to_another_processor_where_what_they_point_to_may() {
    auto! {
        ComRc<IUnknownRaw>: false false,
        ComRc<IWhereRaw>: true true,
        ComRc<ILocalRaw>: false false,
        ComRc<AsyncOperationRaw<u32>>: true true,
        ComRc<AsyncOperationRaw<Cell<u32>>>: false false,
        ComRc<AsyncOperationRaw<*const u8>>: false false,
        AsyncOperation<u32>: true true,
        This<u32>: true true,
        This<Cell<u32>>: false false,
        This<*const u8>: false false,
        Inner: true true,
        KBox<u32, GlobalAllocator>: true true,
        KBox<Cell<u32>, GlobalAllocator>: true false,
        KBox<*const u8, GlobalAllocator>: false false,
        ComStatic<u32, IUnknownRaw>: false true,
    }
}
