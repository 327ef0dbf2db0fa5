//! Tests that a client checks the bytes of a value before it reads them as a type `[C17]`. Some bit
//! patterns of these types are not values.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::fmt::Debug;
use std::sync::{Arc, Mutex};

use bytemuck::CheckedBitPattern;
use common::in_kernel;
use ntcom::{
    AbiType, AsyncOperation, AsyncOperationRaw, AsyncStatus, AsyncValueType, GUID, NTSTATUS, RawAsyncStatus,
    spawn_async_operation,
};

const BROKEN: NTSTATUS = NTSTATUS::DRIVER_INTERNAL_ERROR;

/// Returns the value that a client reads if it takes the operation of `bytes` for one of a `T`. The
/// client reads it in each way.
fn read<T>(bytes: impl AsyncValueType) -> Result<T, NTSTATUS>
where
    T: AsyncValueType + CheckedBitPattern + PartialEq + Debug,
{
    let operation = spawn_async_operation(async move { bytes });
    let taken: AsyncOperation<T> = operation.query::<AsyncOperationRaw<T>>().unwrap();
    let result = taken.result();
    assert_eq!(taken.get_result(), result);
    let awaited = Arc::new(Mutex::new(None));
    let place = Arc::clone(&awaited);
    let _task = spawn_async_operation(async move { *place.lock().unwrap() = Some(taken.await) });
    assert_eq!(awaited.lock().unwrap().take(), Some(result));
    result
}

#[test]
fn a_bool_is_zero_or_one() {
    in_kernel(|| {
        assert_eq!((read(0_u8), read(1_u8)), (Ok(false), Ok(true)));
        for byte in [2, 3, 0x80, u8::MAX] {
            assert_eq!(read::<bool>(byte), Err(BROKEN), "{byte}");
        }
    });
}

#[test]
fn a_char_is_a_unicode_scalar_value() {
    in_kernel(|| {
        assert_eq!((read(0x61_u32), read(0x10_FFFF_u32)), (Ok('a'), Ok('\u{10FFFF}')));
        for number in [0xD800, 0xDFFF, 0x11_0000, u32::MAX] {
            assert_eq!(read::<char>(number), Err(BROKEN), "{number:#x}");
        }
    });
}

#[test]
fn an_async_status_is_one_of_four() {
    in_kernel(|| {
        assert_eq!(read(2), Ok(AsyncStatus::Canceled));
        assert_eq!(read(RawAsyncStatus(3)), Ok(AsyncStatus::Error));
        for number in [-1, 4, i32::MIN] {
            assert_eq!(read::<AsyncStatus>(number), Err(BROKEN), "{number}");
            assert_eq!(read(number), Ok(RawAsyncStatus(number)));
        }
    });
}

#[test]
fn any_bytes_are_a_status_or_an_identifier() {
    in_kernel(|| {
        assert_eq!(read(NTSTATUS::CANCELLED.0), Ok(NTSTATUS::CANCELLED));
        let digits = u128::from_be_bytes([7; 16]);
        assert_eq!(read(digits), Ok(GUID::from_u128(digits)));
    });
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AbiType)]
struct Plain {
    known: u8,
    letter: u32,
    bits: [u8; 3],
    status: NTSTATUS,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsyncValueType)]
struct Checked {
    known: bool,
    letter: char,
    bits: [bool; 3],
    status: NTSTATUS,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsyncValueType)]
struct Outer {
    none: (),
    inner: Checked,
    known: [[bool; 2]; 2],
    empty: [bool; 0],
}

const PLAIN: Plain = Plain { known: 1, letter: 0x62, bits: [0, 1, 0], status: NTSTATUS::PENDING };
const CHECKED: Checked =
    Checked { known: true, letter: 'b', bits: [false, true, false], status: NTSTATUS::PENDING };

#[test]
fn each_field_of_a_struct_is_checked() {
    in_kernel(|| {
        assert_eq!(read(PLAIN), Ok(PLAIN), "with padding");
        assert_eq!(read(PLAIN), Ok(CHECKED));
        for wrong in [
            Plain { known: 2, ..PLAIN },
            Plain { letter: 0xD800, ..PLAIN },
            Plain { bits: [2, 0, 0], ..PLAIN },
            Plain { bits: [0, 0, 0xFF], ..PLAIN },
        ] {
            assert_eq!(read::<Checked>(wrong), Err(BROKEN), "{wrong:?}");
        }
    });
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AbiType)]
struct PlainOuter {
    inner: Plain,
    known: [[u8; 2]; 2],
}

#[test]
fn structs_and_arrays_in_a_struct_are_checked() {
    in_kernel(|| {
        let plain = PlainOuter { inner: PLAIN, known: [[1, 0], [0, 1]] };
        let outer = Outer { none: (), inner: CHECKED, known: [[true, false], [false, true]], empty: [] };
        assert_eq!(read(plain), Ok(plain));
        assert_eq!(read(plain), Ok(outer));
        let inner = Plain { known: 9, ..PLAIN };
        assert_eq!(read::<Outer>(PlainOuter { inner, ..plain }), Err(BROKEN));
        assert_eq!(read::<Outer>(PlainOuter { known: [[1, 0], [0, 2]], ..plain }), Err(BROKEN));
    });
}
