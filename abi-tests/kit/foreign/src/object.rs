//! The clients' objects, which have `IAsyncOperation`. An object counts clients alone, and the task
//! goes on without it.

use core::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

use crate::{
    executor::size,
    task::{Hold, status},
};

type Iid = [u8; 16];

const IUNKNOWN: Iid = [0, 0, 0, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46];
const OPERATION: Iid =
    [0xF5, 0x01, 0x8C, 0xE1, 0xD4, 0x0E, 0x5B, 0x45, 0x90, 0x38, 0x9D, 0x69, 0x16, 0x21, 0x38, 0x7B];

#[repr(C)]
struct Table {
    query: unsafe extern "system" fn(*mut c_void, *const Iid, *mut *mut c_void) -> i32,
    add_ref: unsafe extern "system" fn(*mut c_void) -> u32,
    release: unsafe extern "system" fn(*mut c_void) -> u32,
    get_status: unsafe extern "system" fn(*mut c_void, *mut i32) -> i32,
    get_result: unsafe extern "system" fn(*mut c_void, *mut u8) -> i32,
}

static TABLE: Table = Table { query, add_ref, release, get_status, get_result };

#[repr(C)]
struct Object {
    table: &'static Table,
    references: AtomicU32,
    hold: Hold,
}

/// Creates an object with one reference.
pub(crate) fn hand_out(hold: Hold) -> *mut c_void {
    Box::into_raw(Box::new(Object { table: &TABLE, references: AtomicU32::new(1), hold })).cast()
}

/// # Safety
/// The caller has a reference to the object `this`.
unsafe fn object<'a>(this: *mut c_void) -> &'a Object {
    // SAFETY: the caller has a reference, so the object is alive.
    unsafe { &*this.cast::<Object>() }
}

unsafe extern "system" fn query(this: *mut c_void, iid: *const Iid, out: *mut *mut c_void) -> i32 {
    if out.is_null() {
        return status::INVALID_PARAMETER;
    }
    // SAFETY: `iid` is null or the caller's IID, which needs no alignment.
    let wanted = unsafe { iid.as_ref() }.copied();
    let (answer, found) = match wanted {
        None => (status::INVALID_PARAMETER, ptr::null_mut()),
        Some(IUNKNOWN | OPERATION) => (status::SUCCESS, this),
        Some(_) => (status::NOINTERFACE, ptr::null_mut()),
    };
    // SAFETY: the caller passes a writable `out`, which needs no alignment.
    unsafe { out.write_unaligned(found) };
    if answer == status::SUCCESS {
        // SAFETY: a client that calls a slot has a reference.
        unsafe { add_ref(this) };
    }
    answer
}

unsafe extern "system" fn add_ref(this: *mut c_void) -> u32 {
    // SAFETY: a client that calls a slot has a reference.
    let before = unsafe { object(this) }.references.fetch_add(1, SeqCst);
    if before >= u32::MAX / 2 {
        std::process::abort();
    }
    before + 1
}

unsafe extern "system" fn release(this: *mut c_void) -> u32 {
    // SAFETY: a client that calls a slot has a reference.
    let left = unsafe { object(this) }.references.fetch_sub(1, SeqCst) - 1;
    if left == 0 {
        // SAFETY: `hand_out` made the box, and this was the last reference to it.
        drop(unsafe { Box::from_raw(this.cast::<Object>()) });
    }
    left
}

unsafe extern "system" fn get_status(this: *mut c_void, out: *mut i32) -> i32 {
    if out.is_null() {
        return status::INVALID_PARAMETER;
    }
    // SAFETY: a client that calls a slot has a reference.
    let end = unsafe { object(this) }.hold.task().state().end;
    // SAFETY: the caller passes a writable `out`, which needs no alignment.
    unsafe { out.write_unaligned(end.map_or(0, |end| end.number())) };
    status::SUCCESS
}

unsafe extern "system" fn get_result(this: *mut c_void, out: *mut u8) -> i32 {
    if out.is_null() {
        return status::INVALID_PARAMETER;
    }
    // SAFETY: a client that calls a slot has a reference.
    let task = unsafe { object(this) }.hold.task();
    let state = task.state();
    let answer = state.end.map_or(status::PENDING, |end| end.stored());
    let length = size(task.kind);
    if answer == status::SUCCESS {
        // SAFETY: the caller has room for the value, which has `length` bytes.
        unsafe { out.copy_from_nonoverlapping(state.value.as_ptr(), length) };
    } else {
        // SAFETY: the caller has room for the value, which has `length` bytes.
        unsafe { out.write_bytes(0, length) };
    }
    answer
}
