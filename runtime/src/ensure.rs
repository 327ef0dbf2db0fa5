//! `ensure!`, which returns an error unless a condition holds.

/// Returns from the function with an error unless a condition holds.
///
/// The error is anything that converts to the function's own error type, such as an
/// [`NTSTATUS`](crate::NTSTATUS). IRQL: any.
///
/// ```
/// use ntcom::{NTSTATUS, ensure};
///
/// fn half(n: u32) -> Result<u32, NTSTATUS> {
///     ensure!(n % 2 == 0, NTSTATUS::INVALID_PARAMETER);
///     Ok(n / 2)
/// }
/// assert_eq!(half(8), Ok(4));
/// assert_eq!(half(7), Err(NTSTATUS::INVALID_PARAMETER));
/// ```
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $error:expr $(,)?) => {
        if !$condition {
            return ::core::result::Result::Err(::core::convert::From::from($error));
        }
    };
}
