//! Calls through the tables of objects.

use core::ffi::c_void;

use ntcom::IUnknownVtbl;

use super::world::{ComWorld, STATIC};
use crate::harness::slots::{self, slot};

/// The table of an interface.
pub(super) fn table<V>(this: *mut c_void) -> &'static V {
    // SAFETY: the caller has a reference to the object, so it is alive. Its interface begins with
    // the table's pointer.
    unsafe { slots::table(this, "layout", "an interface") }
}

/// `AddRef`.
pub(super) fn add_ref(this: *mut c_void) -> u32 {
    // SAFETY: the caller has a reference.
    unsafe { slot(table::<IUnknownVtbl>(this).AddRef, "AddRef")(this) }
}

/// `Release`.
pub(super) fn release(this: *mut c_void) -> u32 {
    // SAFETY: the call consumes the caller's reference.
    unsafe { slot(table::<IUnknownVtbl>(this).Release, "Release")(this) }
}

/// Releases a reference of a hand.
pub(super) fn give_back(world: &ComWorld, processor: usize, index: usize) {
    let reference = world.give_up(processor, index);
    let gone = release(reference.this) == 0;
    let left = world.record(reference.object).ledger.get();
    if gone && (left > 0 || reference.object == STATIC) {
        reference.fail("C3", format!("Release answers 0 with {left} references left"));
    }
}
