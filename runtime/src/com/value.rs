//! `AsyncValueType`, for the values that an operation can yield.

use super::{
    GUID,
    write::{copy_whole, for_callbacks},
};
use crate::NTSTATUS;

/// A value that an operation can yield, which can write every byte of itself.
///
/// The type is `Copy + Send + Sync + 'static`.
///
/// get_result writes the value to the client's memory, on any processor. It writes padding as zeros
/// `[C5]`, because stale padding would show the client bytes of a kernel stack or of the pool.
///
/// `#[derive(AbiType)]` implements it for structs with a C layout that are `Copy`, `Send` and
/// `Sync`. `#[derive(AsyncValueType)]` implements it for other `#[repr(C)]` structs, such as one
/// with a `bool`. A value has at most [`MAX_VALUE_SIZE`](crate::MAX_VALUE_SIZE) bytes.
///
/// A client reads a value if its bytes are a [`CheckedBitPattern`](bytemuck::CheckedBitPattern)
/// `[C17]`, which both derives implement where the fields' types do.
///
/// # Safety
/// `write_to` writes each of the `size_of::<Self>()` bytes at `out`, and none from uninitialised
/// memory. A client may read them as any type without padding of this size.
///
/// ```
/// # #[cfg(not(feature = "async-com"))]
/// # fn main() {}
/// # #[cfg(feature = "async-com")]
/// # fn main() {
/// use ntcom::{AbiType, AsyncValueType};
///
/// #[repr(C)]
/// #[derive(Clone, Copy, AbiType)]
/// struct Sample { channel: u8, value: u32 }
///
/// #[repr(C)]
/// #[derive(Clone, Copy, AsyncValueType)]
/// struct Answer { is_known: bool, sample: Sample }
///
/// fn can_be_yielded<T: AsyncValueType>() {}
/// can_be_yielded::<[u32; 4]>();
/// can_be_yielded::<Answer>();
///
/// let mut out = [0xA5_u8; 8];
/// // SAFETY: there is room for the value.
/// unsafe { Sample { channel: 1, value: 0 }.write_to(out.as_mut_ptr()) };
/// assert_eq!(out, [1, 0, 0, 0, 0, 0, 0, 0]);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of an operation",
    label = "not an `AsyncValueType`",
    note = "a client reads every byte of a value, so none may be uninitialised: use numbers, `bool`, `char`, `NTSTATUS`, `GUID`, \
            arrays of these, or a `#[repr(C)]` struct with `#[derive(AbiType)]`, or `#[derive(AsyncValueType)]` if it is not an `AbiType`",
    note = "instead of a tuple, an `Option`, an enum or a `MaybeUninit` use such a struct"
)]
pub unsafe trait AsyncValueType: Copy + Send + Sync + 'static {
    /// True if a value has no padding, so that arrays are copied as they are. The derives set it.
    #[doc(hidden)]
    const __WHOLE: bool = false;

    /// Writes every byte of the value; padding is written as zeros. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `out` is writable for the size of the type, and is not the value itself. It needs no
    /// alignment.
    unsafe fn write_to(&self, out: *mut u8);
}

/// Implements [`AsyncValueType`] by [`WriteBytes`].
macro_rules! values {
    ($($(@[$($parameters:tt)*])? $found:ty),* $(,)?) => { $(
        // SAFETY: `WriteBytes` guarantees that it writes every byte.
        unsafe impl $(<$($parameters)*>)? $crate::com::value::AsyncValueType for $found {
            const __WHOLE: bool = <Self as $crate::com::write::WriteBytes>::WHOLE;

            unsafe fn write_to(&self, out: *mut u8) {
                // SAFETY: the caller passes an `out` that is writable for the type, and apart from
                // the value.
                unsafe { $crate::com::write::WriteBytes::write_bytes(self, out) }
            }
        }
    )* };
}
#[cfg(feature = "async-com")]
pub(crate) use values;

values! { u8, i8, u16, i16, u32, i32, u64, i64, u128, i128, usize, isize, f32, f64, bool, char, (), NTSTATUS, GUID }

macro_rules! callback {
    ([$($argument:ident)*] $function:ty) => { values!(@[R: 'static, $($argument: 'static),*] Option<$function>); };
}
for_callbacks!(callback);

// SAFETY: the elements fill an array, and each writes all of its bytes.
unsafe impl<T: AsyncValueType, const N: usize> AsyncValueType for [T; N] {
    const __WHOLE: bool = T::__WHOLE;

    unsafe fn write_to(&self, out: *mut u8) {
        if Self::__WHOLE {
            // SAFETY: no element has padding, and there is no padding between elements.
            return unsafe { copy_whole(self, out) };
        }
        for (index, element) in self.iter().enumerate() {
            // SAFETY: this offset is within the array, for which `out` has room.
            let place = unsafe { out.add(index * size_of::<T>()) };
            // SAFETY: the place is within the array, which `out` has room for.
            unsafe { element.write_to(place) };
        }
    }
}
