//! Checking the bytes of a value before it is read as its type `[C17]`.

use core::mem::MaybeUninit;

use bytemuck::{AnyBitPattern, CheckedBitPattern, Pod, Zeroable};

use super::GUID;

/// Memory of the size and alignment of a `T`, with any bytes.
///
/// The `Bits` of a struct, which checks its fields one by one.
#[repr(transparent)]
pub struct BitsOf<T>(MaybeUninit<T>);

impl<T: Copy> Clone for BitsOf<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Copy> Copy for BitsOf<T> {}

// SAFETY: any bytes are a `MaybeUninit`, zeros too.
unsafe impl<T> Zeroable for BitsOf<T> {}
// SAFETY: any bytes are a `MaybeUninit`; the field is private, so nothing is read as a `T`.
unsafe impl<T: Copy + 'static> AnyBitPattern for BitsOf<T> {}

/// Tells whether the bytes of a field are a value of its type, or for an array, values of the
/// elements' type `F`.
///
/// # Safety
/// A `T` has a field of `size` bytes at `offset`, which is an `F` or an array of `F`, and those
/// bytes are initialised.
#[must_use]
pub unsafe fn holds<T, F: CheckedBitPattern>(bits: &BitsOf<T>, offset: usize, size: usize) -> bool {
    let mut at = 0;
    while at < size {
        // SAFETY: the element lies within the field, and the field within the struct.
        let element = unsafe { bits.0.as_ptr().byte_add(offset + at) };
        // SAFETY: the bytes are initialised, and any bytes are an `F::Bits`, which has `F`'s size.
        let element = unsafe { element.cast::<F::Bits>().read_unaligned() };
        if !F::is_valid_bit_pattern(&element) {
            return false;
        }
        at += size_of::<F>();
    }
    true
}

/// Reads a value from zeroed memory that the other side has written to. Returns `None` if it is not
/// a `T`.
///
/// The bytes of a foreign object count as initialised. Our objects write initialised bytes only, by
/// [`AsyncValueType`](super::value::AsyncValueType).
#[cfg(feature = "async-com")]
pub(crate) fn checked_value<T: CheckedBitPattern>(value: &MaybeUninit<T>) -> Option<T> {
    // SAFETY: `T::Bits` has `T`'s layout, by `CheckedBitPattern`; any bytes are one.
    let bits = unsafe { &*value.as_ptr().cast::<T::Bits>() };
    // SAFETY: the bytes are a valid `T`, by `CheckedBitPattern`.
    T::is_valid_bit_pattern(bits).then(|| unsafe { value.assume_init() })
}

// SAFETY: zeros are a GUID.
unsafe impl Zeroable for GUID {}
// SAFETY: `repr(C)`, integers without padding between them.
unsafe impl Pod for GUID {}
