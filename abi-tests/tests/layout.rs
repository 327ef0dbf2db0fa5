//! Offsets, sizes and values against the numbers of the contract's tables.

use memoffset::offset_of;
use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, AsyncStatus, GUID, IUnknownRaw,
    IUnknownVtbl, Interface, NTSTATUS,
};

/// (offset on 64-bit, offset on 32-bit)
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
    pin("the object", size_of::<IUnknownRaw>(), (8, 4));
}

#[test]
fn iasyncoperation_of_any_value() {
    fn check<T>() {
        pin("IUnknown", offset_of!(AsyncOperationVtbl<T>, base), (0, 0));
        pin("get_status", offset_of!(AsyncOperationVtbl<T>, get_status), (24, 12));
        pin("get_result", offset_of!(AsyncOperationVtbl<T>, get_result), (32, 16));
        pin("size", size_of::<AsyncOperationVtbl<T>>(), (40, 20));
        pin("the object", size_of::<AsyncOperationRaw<T>>(), (8, 4));
        pin("its table's pointer", offset_of!(AsyncOperationRaw<T>, vtbl), (0, 0));
    }
    check::<()>();
    check::<u8>();
    check::<u64>();
    check::<[u8; 4096]>();
}

#[test]
fn iasynccontrol() {
    pin("IUnknown", offset_of!(AsyncControlVtbl, base), (0, 0));
    pin("cancel", offset_of!(AsyncControlVtbl, cancel), (24, 12));
    pin("get_error", offset_of!(AsyncControlVtbl, get_error), (32, 16));
    pin("set_completed", offset_of!(AsyncControlVtbl, set_completed), (40, 20));
    pin("wait", offset_of!(AsyncControlVtbl, wait), (48, 24));
    pin("get_result_size", offset_of!(AsyncControlVtbl, get_result_size), (56, 28));
    pin("size", size_of::<AsyncControlVtbl>(), (64, 32));
    pin("the object", size_of::<AsyncControlRaw>(), (8, 4));
}

#[test]
fn statuses() {
    assert_eq!(size_of::<AsyncStatus>(), 4);
    assert_eq!(AsyncStatus::Started.0, 0);
    assert_eq!(AsyncStatus::Completed.0, 1);
    assert_eq!(AsyncStatus::Canceled.0, 2);
    assert_eq!(AsyncStatus::Error.0, 3);
}

#[test]
fn ntstatus_values() {
    let values = [
        (NTSTATUS::SUCCESS, 0),
        (NTSTATUS::TIMEOUT, 0x102),
        (NTSTATUS::PENDING, 0x103),
        (NTSTATUS::UNSUCCESSFUL, 0xC000_0001),
        (NTSTATUS::INVALID_PARAMETER, 0xC000_000D),
        (NTSTATUS::DELETE_PENDING, 0xC000_0056),
        (NTSTATUS::INSUFFICIENT_RESOURCES, 0xC000_009A),
        (NTSTATUS::NOT_SUPPORTED, 0xC000_00BB),
        (NTSTATUS::CANCELLED, 0xC000_0120),
        (NTSTATUS::DRIVER_INTERNAL_ERROR, 0xC000_0183),
        (NTSTATUS::INVALID_DEVICE_STATE, 0xC000_0184),
        (NTSTATUS::NOINTERFACE, 0xC000_02B9),
    ];
    for (status, value) in values {
        assert_eq!(status.to_u32(), value, "{status}");
    }
    assert_eq!(size_of::<NTSTATUS>(), 4);
}

#[test]
fn iids() {
    assert_eq!(IUnknownRaw::IID.to_string(), "00000000-0000-0000-c000-000000000046");
    assert_eq!(AsyncOperationRaw::<u64>::IID.to_string(), "e18c01f5-0ed4-455b-9038-9d691621387b");
    assert_eq!(AsyncControlRaw::IID.to_string(), "d0d7cfee-ce81-4ca0-965e-49cff7a6d598");
    let bytes =
        GUID { data1: 0x0403_0201, data2: 0x0605, data3: 0x0807, data4: [9, 10, 11, 12, 13, 14, 15, 16] };
    // SAFETY: sixteen bytes without padding.
    let bytes: [u8; 16] = unsafe { core::mem::transmute(bytes) };
    assert_eq!(bytes, core::array::from_fn(|index| index as u8 + 1), "little-endian fields, then bytes");
}
