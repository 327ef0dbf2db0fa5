//! Types that may cross an interface, because their layout is the same in every C compiler.
//!
//! # Why so few types
//!
//! A value from the other side never becomes a Rust reference, `bool` or enum. By value only
//! numbers and pointers cross. The macro and the traits refuse each misuse where it stands
//! (`runtime/tests/ui`).

use core::ffi::c_void;

use super::{GUID, IUnknownRaw};
use crate::NTSTATUS;

/// A type with a C layout, which may cross an interface behind a pointer.
///
/// It may also be the value of an async method.
///
/// `#[derive(AbiType)]` implements it for `#[repr(C)]` and `#[repr(transparent)]` structs of such
/// types. Bytes that come from the other side never become a Rust `bool`, `char`, enum, reference
/// or non-null pointer, so no such type is an `AbiType`. Use an integer of the same size, a
/// `#[repr(transparent)]` struct with constants, a raw pointer, or an `Option` of a function
/// instead.
///
/// The derive also implements how a value is written to a client's memory, with zeros for its
/// padding. So a `Copy` struct can be the value of a method of `Result`, and, if it is `Send` and
/// `Sync`, of an operation (`AsyncValueType`). Where any bytes are a value of each field, the
/// derive implements `bytemuck`'s `Zeroable` and `AnyBitPattern`, too. It finds ntcom in the
/// package's manifest. If the manifest has no dependency on ntcom,
/// `#[abi_type(crate = path::to::ntcom)]` names it.
///
/// # Safety
/// The layout is the same for every C compiler, and every bit pattern that a client may write is a
/// valid value.
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

/// An [`AbiType`] that may be passed by value.
///
/// It is a number, a pointer, or a `#[repr(transparent)]` struct around one (`#[derive(AbiType,
/// AbiValue)]`). Other structs cross behind pointers, because compilers disagree about how to pass
/// them.
///
/// # Safety
/// Every C compiler passes it as it passes a number or a pointer of its size.
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
        // SAFETY: `$number` is one of C's number types, and every bit pattern is a value.
        unsafe impl AbiType for $number {}
        // SAFETY: every C compiler passes a number by value in the same way.
        unsafe impl AbiValue for $number {}
    )* };
}

numbers!(u8, i8, u16, i16, u32, i32, u64, i64, usize, isize, f32, f64);

// SAFETY: `c_void` stands only behind pointers, so no value of it is ever read or written.
unsafe impl AbiType for c_void {}
// SAFETY: `()` has no bytes.
unsafe impl AbiType for () {}
// SAFETY: `NTSTATUS` is transparent over `i32`.
unsafe impl AbiType for NTSTATUS {}
// SAFETY: `NTSTATUS` is transparent over `i32`, which is an `AbiValue`.
unsafe impl AbiValue for NTSTATUS {}
// SAFETY: `GUID` is `repr(C)` and consists of numbers.
unsafe impl AbiType for GUID {}
// SAFETY: `IUnknownRaw` is `repr(C)` and consists of one pointer.
unsafe impl AbiType for IUnknownRaw {}
// SAFETY: an array of a type with a C layout is laid out as C's array.
unsafe impl<T: AbiType, const N: usize> AbiType for [T; N] {}
// SAFETY: a raw pointer has a C layout and may be null.
unsafe impl<T: AbiType> AbiType for *const T {}
// SAFETY: every C compiler passes a pointer by value in the same way.
unsafe impl<T: AbiType> AbiValue for *const T {}
// SAFETY: a raw pointer has a C layout and may be null.
unsafe impl<T: AbiType> AbiType for *mut T {}
// SAFETY: every C compiler passes a pointer by value in the same way.
unsafe impl<T: AbiType> AbiValue for *mut T {}

/// Implements the traits for callbacks, which are functions of up to six values and may be null.
macro_rules! callbacks {
    ($($argument:ident)*) => {
        // SAFETY: the type is a pointer to a function, which may be null.
        unsafe impl<R, $($argument),*> AbiType for Option<unsafe extern "system" fn($($argument),*) -> R> {}
        // SAFETY: every C compiler passes a pointer by value in the same way.
        unsafe impl<R, $($argument: AbiValue),*> AbiValue
            for Option<unsafe extern "system" fn($($argument),*) -> R>
        where
            R: AbiReturn,
        {
        }
    };
}

/// A type that a callback returns, which is a value or nothing.
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
