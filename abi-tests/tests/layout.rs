//! Offsets, sizes and values against the numbers of the contract's tables.

use core::ffi::c_void;

use memoffset::offset_of;
use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, AsyncStatus, GUID, IUnknownRaw,
    IUnknownVtbl, Interface, NTSTATUS, RawAsyncStatus, async_com::CompletedHandler,
};

/// Compares an offset or size with the pair of its numbers on 64-bit and on 32-bit.
fn pin(name: &str, found: usize, expected: (usize, usize)) {
    let expected = if cfg!(target_pointer_width = "64") { expected.0 } else { expected.1 };
    assert_eq!(found, expected, "{name}");
}

#[test]
fn iunknown() {
    pin("QueryInterface", offset_of!(IUnknownVtbl, QueryInterface), (0, 0));
    pin("AddRef", offset_of!(IUnknownVtbl, AddRef), (8, 4));
    pin("Release", offset_of!(IUnknownVtbl, Release), (16, 8));
    pin("size", size_of::<IUnknownVtbl>(), (24, 12));
    pin("alignment", align_of::<IUnknownVtbl>(), (8, 4));
    pin("the object", size_of::<IUnknownRaw>(), (8, 4));
    pin("its table's pointer", offset_of!(IUnknownRaw, vtbl), (0, 0));
}

#[test]
fn iasyncoperation_of_any_value() {
    fn check<T>() {
        pin("IUnknown", offset_of!(AsyncOperationVtbl<T>, base), (0, 0));
        pin("get_status", offset_of!(AsyncOperationVtbl<T>, get_status), (24, 12));
        pin("get_result", offset_of!(AsyncOperationVtbl<T>, get_result), (32, 16));
        pin("size", size_of::<AsyncOperationVtbl<T>>(), (40, 20));
        pin("alignment", align_of::<AsyncOperationVtbl<T>>(), (8, 4));
        pin("the object", size_of::<AsyncOperationRaw<T>>(), (8, 4));
        pin("its table's pointer", offset_of!(AsyncOperationRaw<T>, vtbl), (0, 0));
    }
    check::<()>();
    check::<u8>();
    check::<u64>();
    check::<[u8; 4096]>();
    check::<Aligned>();
}

/// A value's alignment does not affect its interface.
#[repr(align(64))]
struct Aligned;

#[test]
fn iasynccontrol() {
    pin("IUnknown", offset_of!(AsyncControlVtbl, base), (0, 0));
    pin("cancel", offset_of!(AsyncControlVtbl, cancel), (24, 12));
    pin("get_error", offset_of!(AsyncControlVtbl, get_error), (32, 16));
    pin("set_completed", offset_of!(AsyncControlVtbl, set_completed), (40, 20));
    pin("wait", offset_of!(AsyncControlVtbl, wait), (48, 24));
    pin("get_result_size", offset_of!(AsyncControlVtbl, get_result_size), (56, 28));
    pin("size", size_of::<AsyncControlVtbl>(), (64, 32));
    pin("alignment", align_of::<AsyncControlVtbl>(), (8, 4));
    pin("the object", size_of::<AsyncControlRaw>(), (8, 4));
    pin("its table's pointer", offset_of!(AsyncControlRaw, vtbl), (0, 0));
    pin("a handler", size_of::<CompletedHandler>(), (8, 4));
}

type Slot<F> = Option<F>;
type Query = unsafe extern "system" fn(*mut c_void, *const GUID, *mut *mut c_void) -> NTSTATUS;
type Count = unsafe extern "system" fn(*mut c_void) -> u32;
type Handler = unsafe extern "system" fn(*mut c_void, RawAsyncStatus);

/// The types of the slots, as the contract's table spells them.
///
/// The compiler does the test. A widened parameter, another calling convention or a Rust type that
/// is not allowed here does not compile.
#[test]
fn signatures() {
    fn unknown(table: &IUnknownVtbl) -> (Slot<Query>, Slot<Count>, Slot<Count>) {
        (table.QueryInterface, table.AddRef, table.Release)
    }
    type Operation<T> = (
        Slot<unsafe extern "system" fn(*mut c_void, *mut RawAsyncStatus) -> NTSTATUS>,
        Slot<unsafe extern "system" fn(*mut c_void, *mut T) -> NTSTATUS>,
    );
    fn operation<T>(table: &AsyncOperationVtbl<T>) -> Operation<T> {
        (table.get_status, table.get_result)
    }
    type Control = (
        Slot<unsafe extern "system" fn(*mut c_void) -> NTSTATUS>,
        Slot<unsafe extern "system" fn(*mut c_void, *mut NTSTATUS) -> NTSTATUS>,
        Slot<unsafe extern "system" fn(*mut c_void, Option<Handler>, *mut c_void) -> NTSTATUS>,
        Slot<unsafe extern "system" fn(*mut c_void, *const i64) -> NTSTATUS>,
        Slot<unsafe extern "system" fn(*mut c_void, *mut u32) -> NTSTATUS>,
    );
    fn control(table: &AsyncControlVtbl) -> Control {
        (table.cancel, table.get_error, table.set_completed, table.wait, table.get_result_size)
    }
    let none = IUnknownVtbl { QueryInterface: None, AddRef: None, Release: None };
    assert!(matches!(unknown(&none), (None, None, None)));
    let table = AsyncOperationVtbl::<u64> { base: none, get_status: None, get_result: None };
    assert!(matches!(operation(&table), (None, None)));
    let table = AsyncControlVtbl {
        base: none,
        cancel: None,
        get_error: None,
        set_completed: None,
        wait: None,
        get_result_size: None,
    };
    assert!(matches!(control(&table), (None, None, None, None, None)));
}

#[test]
fn statuses() {
    assert_eq!((size_of::<RawAsyncStatus>(), align_of::<RawAsyncStatus>()), (4, 4));
    assert!(RawAsyncStatus(-1).0 < 0, "signed");
    assert_eq!(AsyncStatus::Started as i32, 0);
    assert_eq!(AsyncStatus::Completed as i32, 1);
    assert_eq!(AsyncStatus::Canceled as i32, 2);
    assert_eq!(AsyncStatus::Error as i32, 3);
}

#[test]
fn ntstatus_values() {
    let values = [
        (NTSTATUS::SUCCESS, 0),
        (NTSTATUS::TIMEOUT, 0x102),
        (NTSTATUS::PENDING, 0x103),
        (NTSTATUS::UNSUCCESSFUL, 0xC000_0001),
        (NTSTATUS::INVALID_PARAMETER, 0xC000_000D),
        (NTSTATUS::BUFFER_TOO_SMALL, 0xC000_0023),
        (NTSTATUS::DELETE_PENDING, 0xC000_0056),
        (NTSTATUS::INSUFFICIENT_RESOURCES, 0xC000_009A),
        (NTSTATUS::IO_TIMEOUT, 0xC000_00B5),
        (NTSTATUS::NOT_SUPPORTED, 0xC000_00BB),
        (NTSTATUS::NAME_TOO_LONG, 0xC000_0106),
        (NTSTATUS::CANCELLED, 0xC000_0120),
        (NTSTATUS::PIPE_BROKEN, 0xC000_014B),
        (NTSTATUS::DRIVER_INTERNAL_ERROR, 0xC000_0183),
        (NTSTATUS::INVALID_DEVICE_STATE, 0xC000_0184),
        (NTSTATUS::POSSIBLE_DEADLOCK, 0xC000_0194),
        (NTSTATUS::NOINTERFACE, 0xC000_02B9),
    ];
    for (status, value) in values {
        assert_eq!(status.to_u32(), value, "{status}");
    }
    assert_eq!((size_of::<NTSTATUS>(), align_of::<NTSTATUS>()), (4, 4));
    assert_eq!(NTSTATUS::CANCELLED.0, -1_073_741_536, "signed");
    assert_eq!(ntcom::com::E_NOINTERFACE.to_u32(), 0x8000_4002);
}

#[test]
fn iids() {
    assert_eq!(IUnknownRaw::IID.to_string(), "00000000-0000-0000-c000-000000000046");
    assert_eq!(AsyncOperationRaw::<u64>::IID.to_string(), "e18c01f5-0ed4-455b-9038-9d691621387b");
    assert_eq!(AsyncControlRaw::IID.to_string(), "d0d7cfee-ce81-4ca0-965e-49cff7a6d598");
    pin("a GUID", size_of::<GUID>(), (16, 16));
    pin("its alignment", align_of::<GUID>(), (4, 4));
    pin("data1", offset_of!(GUID, data1), (0, 0));
    pin("data2", offset_of!(GUID, data2), (4, 4));
    pin("data3", offset_of!(GUID, data3), (6, 6));
    pin("data4", offset_of!(GUID, data4), (8, 8));
    let bytes =
        GUID { data1: 0x0403_0201, data2: 0x0605, data3: 0x0807, data4: [9, 10, 11, 12, 13, 14, 15, 16] };
    // SAFETY: `GUID` has sixteen bytes without padding.
    let bytes: [u8; 16] = unsafe { core::mem::transmute(bytes) };
    assert_eq!(bytes, core::array::from_fn(|index| index as u8 + 1), "little-endian fields, then bytes");
}
