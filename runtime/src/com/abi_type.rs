//! Types that may cross an interface: their layout is C's, in every compiler.

use core::ffi::c_void;

use super::{GUID, IUnknownRaw};
use crate::NTSTATUS;

/// A type whose layout is C's: it may stand behind a pointer that crosses an interface, or be the value of an async method.
///
/// `#[derive(AbiType)]` implements it for `#[repr(C)]` and `#[repr(transparent)]` structs of such types. Bytes that come from the other
/// side never become a Rust `bool`, `char`, enum, reference or non-null pointer, so none of these is one: use an integer of
/// the same size, a `#[repr(transparent)]` struct with constants, a raw pointer, or an `Option` of a function.
///
/// The derive also says how a value is written to a client's memory, with zeros for its padding. So
/// a `Copy` struct can be the value of a method of `Result`, and, if it is `Send` and `Sync`, of an
/// operation (`AsyncValueType`). Where any bytes are a value of each field, the derive implements
/// `bytemuck`'s `Zeroable` and `AnyBitPattern`, too. It finds ntcom by the package's manifest; where that has no
/// dependency on ntcom, `#[abi_type(crate = path::to::ntcom)]` names it.
///
/// # Safety
/// The layout is the same for every compiler of C, and every pattern of bits that a client may write is a value.
///
/// ```
/// use ntcom::AbiType;
///
/// #[repr(C)]
/// #[derive(Clone, Copy, AbiType)]
/// struct Sample {
///     channel: u32,
///     value: i64,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no C layout that an interface may rely on",
    label = "cannot cross an interface",
    note = "use integers, raw pointers, `NTSTATUS`, `GUID`, or a `#[repr(C)]` struct with `#[derive(AbiType)]`",
    note = "instead of `bool` use `u8`, instead of an enum a `#[repr(transparent)]` struct around an integer"
)]
pub unsafe trait AbiType {}

/// An [`AbiType`] that may be passed by value: a number, a pointer, or a `#[repr(transparent)]` struct around one
/// (`#[derive(AbiType, AbiValue)]`). Other structs cross behind pointers: compilers disagree about passing them.
///
/// # Safety
/// Every compiler of C passes it as it passes a number or a pointer of its size.
///
/// ```
/// use ntcom::{AbiType, AbiValue};
///
/// #[repr(transparent)]
/// #[derive(Clone, Copy, PartialEq, Eq, AbiType, AbiValue)]
/// struct Channel(u32);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be passed through an interface by value",
    label = "cannot be passed by value",
    note = "use integers, raw pointers, `NTSTATUS`, or a `#[repr(transparent)]` struct with `#[derive(AbiType, AbiValue)]`",
    note = "instead of `bool` use `u8`, instead of a struct or an array a pointer to it"
)]
pub unsafe trait AbiValue: AbiType + Copy {}

macro_rules! numbers {
    ($($number:ty),*) => { $(
        // SAFETY: a number of C's.
        unsafe impl AbiType for $number {}
        // SAFETY: as above.
        unsafe impl AbiValue for $number {}
    )* };
}

numbers!(u8, i8, u16, i16, u32, i32, u64, i64, usize, isize, f32, f64);

// SAFETY: nothing is ever read or written: what `void` points to.
unsafe impl AbiType for c_void {}
// SAFETY: no bytes.
unsafe impl AbiType for () {}
// SAFETY: transparent over `i32`.
unsafe impl AbiType for NTSTATUS {}
// SAFETY: as above.
unsafe impl AbiValue for NTSTATUS {}
// SAFETY: `repr(C)`, of numbers.
unsafe impl AbiType for GUID {}
// SAFETY: `repr(C)`, one pointer.
unsafe impl AbiType for IUnknownRaw {}
// SAFETY: an array of C's.
unsafe impl<T: AbiType, const N: usize> AbiType for [T; N] {}
// SAFETY: a pointer, which may be null.
unsafe impl<T: AbiType> AbiType for *const T {}
// SAFETY: as above.
unsafe impl<T: AbiType> AbiValue for *const T {}
// SAFETY: as above.
unsafe impl<T: AbiType> AbiType for *mut T {}
// SAFETY: as above.
unsafe impl<T: AbiType> AbiValue for *mut T {}

/// Callbacks: functions of up to six values, which may be null.
macro_rules! callbacks {
    ($($argument:ident)*) => {
        // SAFETY: a pointer to a function, which may be null.
        unsafe impl<R, $($argument),*> AbiType for Option<unsafe extern "system" fn($($argument),*) -> R> {}
        // SAFETY: as above.
        unsafe impl<R, $($argument: AbiValue),*> AbiValue
            for Option<unsafe extern "system" fn($($argument),*) -> R>
        where
            R: AbiReturn,
        {
        }
    };
}

/// What a callback returns: a value or nothing.
trait AbiReturn {}
impl AbiReturn for () {}
impl<T: AbiValue> AbiReturn for T {}

callbacks!();
callbacks!(A);
callbacks!(A B);
callbacks!(A B C);
callbacks!(A B C D);
callbacks!(A B C D E);
callbacks!(A B C D E F);
