//! Calls of IUnknown as a C client makes them.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part; helpers of tests")]

use core::ffi::c_void;

use ntcom::{GUID, IUnknownVtbl, NTSTATUS};

fn table(this: *mut c_void) -> IUnknownVtbl {
    // SAFETY: the test passes a live object's interface, which begins with its table's pointer.
    let table = unsafe { *this.cast::<*const IUnknownVtbl>() };
    // SAFETY: the table of a live object is valid.
    unsafe { *table }
}

pub(crate) fn add_ref(this: *mut c_void) -> u32 {
    // SAFETY: the test passes a live object.
    unsafe { table(this).AddRef.unwrap()(this) }
}

pub(crate) fn release(this: *mut c_void) -> u32 {
    // SAFETY: the object is alive, and the test gives up its reference.
    unsafe { table(this).Release.unwrap()(this) }
}

/// Asks QueryInterface, gives the reference back, and returns the pointer, or null.
pub(crate) fn query(this: *mut c_void, iid: GUID) -> *mut c_void {
    let mut out = this.wrapping_byte_add(1);
    // SAFETY: the object is alive, and both pointers are valid.
    let status = unsafe { table(this).QueryInterface.unwrap()(this, &raw const iid, &raw mut out) };
    if status == NTSTATUS::SUCCESS {
        release(out);
    } else {
        assert_eq!((status, out), (NTSTATUS::NOINTERFACE, core::ptr::null_mut()));
    }
    out
}
