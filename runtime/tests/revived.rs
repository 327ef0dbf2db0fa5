//! Tests of an object that gets a reference while its last one is being released `[C3]`.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    ffi::c_void,
    sync::atomic::{AtomicPtr, AtomicU32, Ordering::SeqCst},
};

use common::{is_fail_fast, try_in_kernel};
use ntcom::{ComObject, ComRc, GUID, IUnknown, Interface, InterfaceOf, declare_com_interface};

declare_com_interface! {
    trait IRevived: IUnknown {
        const IID: GUID = GUID::from_u128(0xb1);
        fn nothing(&self);
    }
}

struct Revives {
    this: AtomicU32,
    also_releases: bool,
    address: AtomicPtr<c_void>,
}

impl IRevived for Revives {
    fn nothing(&self) {}
}

impl Drop for Revives {
    fn drop(&mut self) {
        assert_eq!(self.this.fetch_add(1, SeqCst), 0, "dropped once");
        let this = self.address.load(SeqCst);
        // SAFETY: every object begins with its table's pointer.
        let table = unsafe { *this.cast::<*const ntcom::IUnknownVtbl>() };
        // SAFETY: the object's table pointer points to its table.
        let table = unsafe { &*table };
        // SAFETY: this breaks the contract on purpose, and stops the machine.
        unsafe { table.AddRef.unwrap()(this) };
        if self.also_releases {
            // SAFETY: this breaks the contract on purpose, and stops the machine.
            unsafe { table.Release.unwrap()(this) };
        }
    }
}

fn revive(also_releases: bool) {
    let value = Revives { this: AtomicU32::new(0), also_releases, address: AtomicPtr::default() };
    let object: ComRc<IRevivedRaw> = ComObject::<_, IRevivedRaw>::new(value).unwrap();
    // SAFETY: the test knows its own object, where the value stands after three words (table,
    // count, life).
    let value = unsafe { object.as_ptr().byte_add(24) };
    // SAFETY: the object is alive, and its value stands there.
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
