//! Types for which `AbiType` and `AbiValue` cannot be derived.
use ntcom::{AbiType, AbiValue};

#[derive(AbiType)]
struct NoRepr(u32);

#[repr(C)]
#[derive(AbiType)]
enum Choice {
    One,
}

#[repr(C)]
#[derive(AbiType)]
struct Generic<T>(T);

#[repr(C)]
#[derive(AbiType)]
struct Boolean {
    on: bool,
}

#[repr(C, packed)]
#[derive(AbiType)]
struct Packed(u8, u32);

#[repr(C)]
#[derive(Clone, Copy, AbiType, AbiValue)]
struct ByValue(u32);

#[repr(C)]
#[derive(AbiType)]
union Union {
    a: u32,
}

fn main() {}
