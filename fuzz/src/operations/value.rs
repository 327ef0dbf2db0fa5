//! The types of operations' values, as the runtime under test sees them.

use ntcom_fuzz_model::value::{LARGEST, bytes};

/// A struct with three bytes of padding.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, ntcom::AbiType)]
pub struct Padded {
    byte: u8,
    word: u32,
}

/// A struct aligned beyond the pool's alignment.
#[repr(C, align(64))]
#[derive(Clone, Copy, ntcom::AbiType)]
pub struct Aligned([u8; 64]);

/// A large value.
#[repr(C)]
#[derive(Clone, Copy, ntcom::AbiType)]
pub struct Page([u8; 4096]);

/// A type in the list of [`ValueKind`](ntcom_fuzz_model::value::ValueKind)s.
pub trait OperationValue: ntcom::AsyncValueType {
    /// The value of an operation.
    fn of(operation: usize) -> Self;
}

impl OperationValue for () {
    fn of(_operation: usize) -> Self {}
}

impl OperationValue for u8 {
    fn of(operation: usize) -> Self {
        bytes(operation)[0]
    }
}

impl OperationValue for u64 {
    fn of(operation: usize) -> Self {
        bytes(operation).first_chunk().copied().map_or(0, Self::from_ne_bytes)
    }
}

impl OperationValue for Padded {
    /// Builds the value with dirty padding, as a value in reused memory has it.
    fn of(operation: usize) -> Self {
        let bytes: *const [u8; LARGEST] = bytes(operation);
        // SAFETY: the read is of `size_of::<Self>()` bytes of a page of initialised bytes, and any
        // bytes are a valid `Padded`.
        unsafe { bytes.cast::<Self>().read_unaligned() }
    }
}

impl OperationValue for Aligned {
    fn of(operation: usize) -> Self {
        Self(bytes(operation).first_chunk().copied().unwrap_or([0; 64]))
    }
}

impl OperationValue for Page {
    fn of(operation: usize) -> Self {
        Self(*bytes(operation))
    }
}

#[cfg(test)]
mod tests {
    use ntcom_fuzz_model::value::{ValueKind, bytes};

    use super::{Aligned, OperationValue, Padded, Page};

    #[test]
    fn the_sizes_are_the_types() {
        assert_eq!(ValueKind::Padded.size(), size_of::<Padded>());
        assert_eq!(ValueKind::Aligned.size(), size_of::<Aligned>());
        assert_eq!(ValueKind::Page.size(), size_of::<Page>());
        assert_eq!(align_of::<Aligned>(), 64);
        assert_eq!(u8::of(3), bytes(3)[0]);
    }
}
