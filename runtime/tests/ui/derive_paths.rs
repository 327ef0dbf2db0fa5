//! `#[abi_type(crate = …)]` says where the code of a derive finds ntcom, and nothing else.
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
