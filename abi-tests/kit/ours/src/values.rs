//! The types of the header's kinds.

/// A type of value.
pub(crate) trait Value: ntcom::AsyncValueType {}

/// `struct ntcom_kit_padded`.
#[repr(C)]
#[derive(Clone, Copy, ntcom::AbiType)]
pub(crate) struct Padded {
    byte: u8,
    word: u32,
}

/// 64 bytes, aligned to 64.
#[repr(C, align(64))]
#[derive(Clone, Copy, ntcom::AbiType)]
pub(crate) struct Aligned([u8; 64]);

/// 4096 bytes.
#[repr(C)]
#[derive(Clone, Copy, ntcom::AbiType)]
pub(crate) struct Page([u8; 4096]);

impl Value for () {}
impl Value for u8 {}
impl Value for u64 {}
impl Value for Padded {}
impl Value for Aligned {}
impl Value for Page {}

/// Calls a generic function with the type of a kind. An unknown kind counts as `u8`.
macro_rules! for_kind {
    ($kind:expr, $function:ident($($argument:expr),*)) => {
        match $kind {
            0 => $function::<()>($($argument),*),
            2 => $function::<u64>($($argument),*),
            3 => $function::<$crate::values::Padded>($($argument),*),
            4 => $function::<$crate::values::Aligned>($($argument),*),
            5 => $function::<$crate::values::Page>($($argument),*),
            _ => $function::<u8>($($argument),*),
        }
    };
}
pub(crate) use for_kind;
