//! Writing every byte of a value to a client's memory, so that no byte shows the memory's earlier
//! contents.
//!
//! # Why bytes, and not a copy
//!
//! The padding of a struct has the earlier contents of the stack, even if the struct in the block
//! was zeroed first, because each move of a value may fill it. So the derive zeroes the client's
//! memory and writes the fields, unless the fields fill the struct. The constant `WHOLE` says so to
//! the compiler, and arrays and structs pass it on.

use core::ffi::c_void;

use super::{GUID, IUnknownRaw};
use crate::NTSTATUS;

/// The size in bytes of the largest value that an operation or a method yields, which is a page.
///
/// An operation hands such a value out by get_result, and a method writes it through a pointer.
///
/// Values travel by value, from a body to its block, and from the client's buffer to the client.
/// Each step may be a copy on a stack, and a kernel stack has 24 KiB. These are the bytes of stack
/// that spawning an operation took on x86-64 Linux, with a body that ends at once. A release build
/// took 5,535 for a page, and 1,835 for a byte; a debug build took 43,279 and 7,743. get_result
/// writes the value from where it lies, and its stack use for a page is within 16 bytes of that for
/// a byte.
///
/// A larger value is a compile error. Hand out an interface (`InterfacePtr`), or have the client
/// pass a pointer to its buffer.
///
/// ```compile_fail,E0080
/// let _ = ntcom::spawn_async_operation(async { [0_u8; ntcom::MAX_VALUE_SIZE + 1] });
/// ```
pub const MAX_VALUE_SIZE: usize = 4096;

/// Refuses a type with values that are larger than [`MAX_VALUE_SIZE`].
///
/// # Panics
/// If they are larger. It is called in constants only, where that is a compile error.
pub const fn fits_a_stack<T>() {
    assert!(
        size_of::<T>() <= MAX_VALUE_SIZE,
        "a value that is handed out has at most 4096 bytes (`ntcom::MAX_VALUE_SIZE`), because it travels over a kernel stack: \
         hand out an interface, or write through a pointer to the client's buffer"
    );
}

/// A type that can write every byte of its values.
///
/// The derives of `AbiType` and `AsyncValueType` implement it. It says nothing about threads, so a
/// raw pointer implements it, though no operation yields a bare one.
///
/// # Safety
/// `write_bytes` writes each of the `size_of::<Self>()` bytes, and none from uninitialised memory.
/// Where `WHOLE` is true, no byte of a value is ever uninitialised.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be handed out, because it may have bytes that nothing has written",
    label = "cannot be written byte by byte",
    note = "use numbers, `bool`, `char`, raw pointers, `Option` of an `extern` function, `NTSTATUS`, `GUID`, arrays of these, \
            or a `#[repr(C)]` struct with `#[derive(AbiType)]` or `#[derive(AsyncValueType)]`",
    note = "instead of a tuple, an `Option`, an enum or a `MaybeUninit` use such a struct"
)]
pub unsafe trait WriteBytes {
    /// True if a value has no padding, in itself and in its parts, so that its memory is copied as
    /// it is.
    const WHOLE: bool;

    /// Writes every byte of the value; padding is written as zeros.
    ///
    /// # Safety
    /// `out` is writable for the size of the type, and is not the value itself. It needs no
    /// alignment.
    unsafe fn write_bytes(&self, out: *mut u8);
}

/// Copies the bytes of a value without padding.
///
/// # Safety
/// No byte of the value is uninitialised; `out` is as for [`WriteBytes::write_bytes`].
pub unsafe fn copy_whole<T>(value: &T, out: *mut u8) {
    let bytes = core::ptr::from_ref(value).cast::<u8>();
    // SAFETY: the value is readable, the caller's `out` is writable, and the two are apart.
    unsafe { out.copy_from_nonoverlapping(bytes, size_of::<T>()) }
}

/// Zeroes the place for a `T`, before its fields are written to it.
///
/// # Safety
/// As for [`WriteBytes::write_bytes`].
pub unsafe fn zero<T>(out: *mut u8) {
    // SAFETY: the caller passes an `out` that is writable for a `T`.
    unsafe { out.write_bytes(0, size_of::<T>()) }
}

/// Writes a field to its place in a struct.
///
/// # Safety
/// `out` is as for [`WriteBytes::write_bytes`] of the struct, in which the field is at this offset.
pub unsafe fn write_field<F: WriteBytes>(field: &F, out: *mut u8, offset: usize) {
    // SAFETY: the caller passes the field's offset in the struct, so the result is within it.
    let place = unsafe { out.add(offset) };
    // SAFETY: the field lies within the struct, which the caller has room for.
    unsafe { field.write_bytes(place) }
}

/// Tells whether a struct has no padding, because its fields are whole and fill it.
///
/// `fields` gives the size of each field and whether it is whole.
#[must_use]
pub const fn is_whole(size: usize, mut fields: &[(usize, bool)]) -> bool {
    let mut filled = 0;
    while let [(field, whole), rest @ ..] = fields {
        if !*whole {
            return false;
        }
        filled += *field;
        fields = rest;
    }
    filled == size
}

/// Implements [`WriteBytes`] for types without padding.
macro_rules! whole {
    ($($(@[$($parameters:tt)*])? $found:ty),* $(,)?) => { $(
        // SAFETY: the type has no padding, so its bytes are all initialised and are copied.
        unsafe impl $(<$($parameters)*>)? $crate::com::write::WriteBytes for $found {
            const WHOLE: bool = true;

            unsafe fn write_bytes(&self, out: *mut u8) {
                // SAFETY: the type has no padding, and the caller has room for it at `out`.
                unsafe { $crate::com::write::copy_whole(self, out) }
            }
        }
    )* };
}
#[cfg(feature = "async-com")]
pub(crate) use whole;

whole! {
    u8, i8, u16, i16, u32, i32, u64, i64, u128, i128, usize, isize, f32, f64, bool, char, (), NTSTATUS, GUID, c_void,
    IUnknownRaw, @[T: ?Sized] *const T, @[T: ?Sized] *mut T,
}

/// Calls a macro for functions of up to six arguments, of each kind that may be a callback.
macro_rules! for_callbacks {
    ($implement:ident) => {
        $crate::com::write::for_callbacks!(@each $implement [] [A] [A B] [A B C] [A B C D] [A B C D E] [A B C D E F]);
    };
    (@each $implement:ident $([$($argument:ident)*])*) => { $(
        $implement!([$($argument)*] unsafe extern "system" fn($($argument),*) -> R);
        $implement!([$($argument)*] extern "system" fn($($argument),*) -> R);
        $implement!([$($argument)*] unsafe extern "C" fn($($argument),*) -> R);
        $implement!([$($argument)*] extern "C" fn($($argument),*) -> R);
    )* };
}
pub(crate) use for_callbacks;

macro_rules! whole_callback {
    ([$($argument:ident)*] $function:ty) => { whole!(@[R, $($argument),*] Option<$function>); };
}
for_callbacks!(whole_callback);

// SAFETY: the elements fill an array, and each writes all of its bytes.
unsafe impl<T: WriteBytes, const N: usize> WriteBytes for [T; N] {
    const WHOLE: bool = T::WHOLE;

    unsafe fn write_bytes(&self, out: *mut u8) {
        if Self::WHOLE {
            // SAFETY: no element has padding, and there is no padding between elements.
            return unsafe { copy_whole(self, out) };
        }
        for (index, element) in self.iter().enumerate() {
            // SAFETY: the element is at this offset in the array, for which the caller has room at
            // `out`.
            unsafe { write_field(element, out, index * size_of::<T>()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{WriteBytes, is_whole};

    /// The bytes that a value writes over garbage, at an odd address.
    fn written<T: WriteBytes>(value: T) -> Vec<u8> {
        let mut room = vec![0xA5; size_of::<T>() + 2];
        // SAFETY: there is room for the value after the first byte.
        unsafe { value.write_bytes(room.as_mut_ptr().wrapping_add(1)) };
        assert_eq!((room.first(), room.last()), (Some(&0xA5), Some(&0xA5)), "written beside its place");
        room[1..=size_of::<T>()].to_vec()
    }

    #[test]
    fn whole_values_are_copied() {
        assert_eq!(written(0x0102_0304_u32), 0x0102_0304_u32.to_ne_bytes());
        assert_eq!(written([1_u8, 2, 3]), [1, 2, 3]);
        assert!(written(()).is_empty() && written([(); 9]).is_empty());
        assert_eq!(written(None::<unsafe extern "system" fn(u8) -> u8>), [0; size_of::<usize>()]);
        assert_eq!((written(true), written('a')), (vec![1], 0x61_u32.to_ne_bytes().to_vec()));
    }

    #[test]
    fn a_struct_is_whole_if_its_fields_are_and_fill_it() {
        assert!(is_whole(8, &[(4, true), (4, true)]) && is_whole(0, &[]));
        assert!(!is_whole(8, &[(1, true), (4, true)]), "padding between them");
        assert!(!is_whole(8, &[(4, true), (4, false)]), "padding in one");
    }
}
