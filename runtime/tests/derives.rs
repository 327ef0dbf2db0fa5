//! Tests that the output of the derives compiles wherever the struct does, among names that could
//! clash, and without `unsafe` in the user's code.
#![forbid(unsafe_code)]
#![deny(warnings)]
#![allow(dead_code, reason = "what is tested is that it compiles")]

use ntcom::{AbiType, AbiValue, AsyncValueType};

fn is_abi_type<T: AbiType>() {}
fn is_value<T: AsyncValueType>() {}

/// A linked list, as in C.
#[repr(C)]
#[derive(AbiType)]
struct Node {
    next: *mut Self,
    both: [*const Self; 2],
    value: u32,
}

/// A pointer to its own type.
#[repr(transparent)]
#[derive(Clone, Copy, AbiType, AbiValue)]
struct Link(*mut Self);

#[test]
fn a_struct_may_point_to_itself() {
    is_abi_type::<Node>();
    is_abi_type::<Link>();
}

/// Names that an expansion could pick up instead of its own.
#[allow(non_camel_case_types, non_upper_case_globals, reason = "they are to clash")]
mod clashes {
    use ::ntcom::{AbiType as Derived, AsyncValueType as DerivedValue};

    pub(crate) struct u8;
    pub(crate) struct bool;
    pub(crate) struct AbiType;
    pub(crate) struct Copy;
    pub(crate) struct Send;
    pub(crate) mod core {}
    pub(crate) mod ntcom {}
    const crosses: usize = 2;
    const is_abi_type: usize = 2;
    const out: usize = 1;
    const this: usize = 1;
    type Result = u32;
    type Option = u32;
    type Some = u32;

    #[repr(C)]
    #[derive(Clone, ::core::marker::Copy, Derived)]
    pub(crate) struct Struct {
        out: [u32; crosses],
        this: [u32; out],
        write_to: [u16; is_abi_type],
        write_bytes: [u16; this],
        r#type: Result,
        size_of: Option,
        r#self_: Some,
    }

    #[repr(C)]
    #[derive(Clone, ::core::marker::Copy, DerivedValue)]
    pub(crate) struct Value {
        out: [u32; crosses],
        r#fn: Struct,
    }
}

#[test]
fn names_of_the_user_do_not_clash() {
    is_abi_type::<clashes::Struct>();
    is_value::<clashes::Struct>();
    is_value::<clashes::Value>();
}

/// Fields that depend on the build's configuration.
#[repr(C)]
#[derive(Clone, Copy, AbiType)]
struct Configured {
    first: u32,
    #[cfg(not(test))]
    never: String,
    #[cfg(test)]
    always: u8,
    #[cfg_attr(test, cfg(not(test)))]
    neither: String,
}

#[cfg_attr(test, repr(C))]
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(AbiType))]
struct ConfiguredAsAWhole(u32);

#[test]
fn fields_may_be_configured() {
    is_value::<Configured>();
    is_value::<ConfiguredAsAWhole>();
    assert_eq!(size_of::<Configured>(), 8);
}

#[repr(C)]
#[derive(Clone, Copy, AbiType)]
struct Empty;

#[repr(C)]
#[derive(Clone, Copy, AbiType)]
struct EmptyToo {}

#[repr(C, align(4096))]
#[derive(Clone, Copy, AbiType)]
struct OverAligned {
    nothing: (),
    none: [u64; 0],
    empty: Empty,
    byte: u8,
}

#[repr(C)]
#[derive(AbiType)]
struct Huge([u8; 1 << 30]);

#[test]
fn sizes_may_be_anything_behind_a_pointer() {
    is_value::<Empty>();
    is_value::<EmptyToo>();
    is_value::<OverAligned>();
    is_abi_type::<*const Huge>();
}

/// Structs from a macro, with types and names of its caller.
macro_rules! structs {
    ($($name:ident { $($field:ident: $found:ty),* })*) => { $(
        #[repr(C)]
        #[derive(Clone, Copy, AbiType)]
        struct $name { $($field: $found),* }
    )* };
}

structs! {
    FromAMacro { out: u32, value: [*mut core::ffi::c_void; 2] }
    OfAnother { inner: FromAMacro }
}

#[repr(C)]
#[derive(Clone, Copy, AbiType)]
#[deprecated]
struct Old {
    #[deprecated]
    field: u32,
    padded: u8,
}

#[test]
fn a_macro_may_write_the_struct_and_it_may_be_old() {
    is_abi_type::<OfAnother>();
    #[allow(deprecated, reason = "that is the test")]
    is_value::<Old>();
}

/// A struct with private fields, in a public one.
pub mod public {
    /// A private struct.
    #[repr(C)]
    #[derive(Clone, Copy, ntcom::AbiType)]
    struct Inner(u32, u8);

    /// A public struct.
    #[repr(C)]
    #[derive(Clone, Copy, ntcom::AbiType)]
    pub struct Outer {
        inner: Inner,
    }
}

#[test]
fn a_local_struct_may_be_derived() {
    #[repr(C)]
    #[derive(Clone, Copy, AbiType)]
    struct Local(u16, u32);
    is_value::<Local>();
    is_value::<public::Outer>();
}
