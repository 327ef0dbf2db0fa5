//! `#[abi_type(crate = …)]` tells a derive the path of ntcom, and takes nothing else.
use ntcom::AbiType;

#[repr(C)]
#[derive(AbiType)]
#[abi_type(krate = ntcom)]
struct Misspelt(u32);

#[repr(C)]
#[derive(AbiType)]
#[abi_type(crate = ntcom, crate = ntcom)]
struct Twice(u32);

#[repr(C)]
#[derive(AbiType)]
#[abi_type]
struct Empty(u32);

fn main() {}
