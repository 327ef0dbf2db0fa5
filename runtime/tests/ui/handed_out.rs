//! Clients read every byte of a value, so the derives refuse a type with bytes of unknown contents.
use core::mem::MaybeUninit;

use ntcom::{
    AbiType, AsyncValueType, GUID, IUnknown, NTSTATUS, declare_com_interface, spawn_async_operation,
    spawn_async_operation_error,
};

#[derive(Clone, Copy)]
struct Rusty {
    byte: u8,
    word: u32,
}

fn uninitialised() {
    let _ = spawn_async_operation(async { MaybeUninit::<u64>::uninit() });
}

fn an_option() {
    let _ = spawn_async_operation(async { None::<u32> });
}

fn a_tuple() {
    let _ = spawn_async_operation(async { (1_u8, 2_u32) });
}

fn of_rusts_layout() {
    let _ = spawn_async_operation(async { Rusty { byte: 1, word: 2 } });
}

fn in_an_array() {
    let _ = spawn_async_operation_error::<[Option<u32>; 2]>(NTSTATUS::CANCELLED);
}

#[repr(C)]
#[derive(Clone, Copy, AsyncValueType)]
struct Holds {
    place: MaybeUninit<u64>,
    option: Option<u32>,
}

#[derive(Clone, Copy, AsyncValueType)]
struct NoRepr(u32);

#[repr(C)]
#[derive(AsyncValueType)]
struct NotCopy(u32);

#[repr(C)]
#[derive(Clone, Copy, AsyncValueType)]
struct Generic<T>(T);

#[repr(C, packed)]
#[derive(Clone, Copy, AsyncValueType)]
struct Packed(u8, u32);

/// A type with a handwritten `AbiType`, so no trait says how to write it.
#[repr(C)]
#[derive(Clone, Copy)]
struct ByHand(u8, u32);

// SAFETY: the type is `repr(C)`, and its fields are numbers.
unsafe impl AbiType for ByHand {}

declare_com_interface! {
    pub trait IHandsOut: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e11";
        fn at_once(&self) -> Result<ByHand, NTSTATUS>;
        async fn later(&self) -> ByHand;
    }
}

fn main() {}
