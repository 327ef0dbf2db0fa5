//! IUnknown as a client in C calls it.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part; helpers of tests")]

use core::ffi::c_void;

use ntcom::{GUID, IUnknownVtbl, NTSTATUS};

fn table(this: *mut c_void) -> IUnknownVtbl {
    // SAFETY: a live object's interface begins with its table's pointer.
    let table = unsafe { *this.cast::<*const IUnknownVtbl>() };
    // SAFETY: as above.
    unsafe { *table }
}

pub(crate) fn add_ref(this: *mut c_void) -> u32 {
    // SAFETY: a live object.
    unsafe { table(this).AddRef.unwrap()(this) }
}

pub(crate) fn release(this: *mut c_void) -> u32 {
    // SAFETY: a live object, and a reference of the test's.
    unsafe { table(this).Release.unwrap()(this) }
}

/// What QueryInterface finds, or null; the reference has been given back.
pub(crate) fn query(this: *mut c_void, iid: GUID) -> *mut c_void {
    let mut out = this.wrapping_byte_add(1);
    // SAFETY: a live object, and good pointers.
    let status = unsafe { table(this).QueryInterface.unwrap()(this, &raw const iid, &raw mut out) };
    if status == NTSTATUS::SUCCESS {
        release(out);
    } else {
        assert_eq!((status, out), (NTSTATUS::NOINTERFACE, core::ptr::null_mut()));
    }
    out
}
