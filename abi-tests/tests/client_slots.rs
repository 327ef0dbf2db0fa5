//! The runtime's own client calls the right slots, through tables that are laid out by hand.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

use core::{cell::RefCell, ffi::c_void, time::Duration};

use ntcom::{AsyncControlRaw, AsyncOperationRaw, AsyncStatus, ComRc, NTSTATUS, RawAsyncStatus};
use ntcom_abi_tests::canary;

thread_local! {
    static CALLED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    static ARGUMENTS: RefCell<Vec<[*const c_void; 2]>> = const { RefCell::new(Vec::new()) };
}

fn called(slot: usize, a: *const c_void, b: *const c_void) -> u32 {
    CALLED.with_borrow_mut(|slots| slots.push(slot));
    ARGUMENTS.with_borrow_mut(|arguments| arguments.push([a, b]));
    NTSTATUS::SUCCESS.to_u32()
}

extern "system" fn none<const SLOT: usize>(_this: *const c_void) -> u32 {
    called(SLOT, core::ptr::null(), core::ptr::null())
}
extern "system" fn one<const SLOT: usize>(_this: *const c_void, a: *const c_void) -> u32 {
    called(SLOT, a, core::ptr::null())
}
extern "system" fn two<const SLOT: usize>(_this: *const c_void, a: *const c_void, b: *const c_void) -> u32 {
    called(SLOT, a, b)
}
/// A slot that writes four bytes.
extern "system" fn writes<const SLOT: usize, const VALUE: u32>(_this: *const c_void, out: *mut u32) -> u32 {
    // SAFETY: the client's `out` is writable.
    unsafe { out.write(VALUE) };
    called(SLOT, out.cast(), core::ptr::null())
}
unsafe extern "system" fn handler(_context: *mut c_void, _status: RawAsyncStatus) {}

/// The slots that were called, in order.
fn slots() -> Vec<usize> {
    CALLED.take()
}

#[test]
fn of_iasyncoperation() {
    let table = [
        two::<0> as *const c_void,
        none::<1> as *const c_void,
        none::<2> as *const c_void,
        writes::<3, 1> as *const c_void,
        writes::<4, 0x4443_4241> as *const c_void,
    ];
    let mut object = table.as_ptr();
    let raw = (&raw mut object).cast::<AsyncOperationRaw<u32>>();
    // SAFETY: the object does not count references, and outlives its pointer.
    let operation = unsafe { ComRc::from_raw(raw) }.unwrap();
    assert_eq!(operation.status(), Ok(AsyncStatus::Completed));
    assert_eq!(slots(), [3]);
    assert_eq!(operation.result(), Ok(0x4443_4241));
    assert_eq!(slots(), [3, 4]);
    assert_eq!(operation.get_status(), Ok(AsyncStatus::Completed));
    assert_eq!(slots(), [3]);
    assert_eq!(operation.get_result(), Ok(0x4443_4241));
    assert_eq!(slots(), [4]);
    // SAFETY: an object that counts nothing and outlives the calls.
    assert_eq!(unsafe { AsyncOperationRaw::get_status(raw) }, Ok(AsyncStatus::Completed));
    assert_eq!(slots(), [3]);
    // SAFETY: an object that counts nothing and outlives the calls.
    assert_eq!(unsafe { AsyncOperationRaw::get_result(raw) }, Ok(0x4443_4241));
    assert_eq!(slots(), [4]);
    drop(operation.clone());
    assert_eq!(slots(), [1, 2]);
    drop(operation);
    assert_eq!(slots(), [2]);
}

#[test]
fn of_iasynccontrol() {
    let table = [
        two::<0> as *const c_void,
        none::<1> as *const c_void,
        none::<2> as *const c_void,
        none::<3> as *const c_void,
        writes::<4, 0xC4C3_C2C1> as *const c_void,
        two::<5> as *const c_void,
        one::<6> as *const c_void,
        writes::<7, 0x4443_4241> as *const c_void,
    ];
    let mut object = table.as_ptr();
    let raw = (&raw mut object).cast::<AsyncControlRaw>();
    // SAFETY: the object does not count references, and outlives its pointer.
    let control = unsafe { ComRc::from_raw(raw) }.unwrap();
    assert_eq!(control.cancel(), Ok(()));
    assert_eq!(control.error(), Ok(NTSTATUS::from_u32(0xC4C3_C2C1)));
    assert_eq!(control.result_size(), Ok(0x4443_4241));
    assert_eq!(slots(), [3, 4, 7]);
    assert_eq!(control.wait(Some(Duration::ZERO)), Ok(()));
    assert_eq!(slots(), [6]);
    ARGUMENTS.take();
    let context = canary(0x70);
    // SAFETY: the handler may be called with anything, and no slot calls it.
    assert_eq!(unsafe { control.set_completed(handler, context) }, Ok(()));
    assert_eq!(slots(), [5]);
    assert_eq!(ARGUMENTS.take(), [[handler as *const c_void, context.cast_const()]]);
    drop(control);
    assert_eq!(slots(), [2]);
}
