//! The status of an operation, as Rust code handles it, and as it crosses the interface.

use bytemuck::{CheckedBitPattern, Pod, Zeroable};
use ntcom_exec::{NTSTATUS, Status};

use crate::com::{AbiType, AbiValue, value::values, write::whole};

/// The status of an operation, with WinRT's values.
///
/// Slots write a [`RawAsyncStatus`], and completion handlers receive one, because the other side
/// may send any integer.
///
/// ```
/// use ntcom::{AsyncStatus, RawAsyncStatus};
/// assert_eq!(RawAsyncStatus::from(AsyncStatus::Canceled), RawAsyncStatus(2));
/// assert_eq!(AsyncStatus::try_from(RawAsyncStatus(3)), Ok(AsyncStatus::Error));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i32)]
pub enum AsyncStatus {
    /// The operation has not ended.
    Started = 0,
    /// The operation ended with a value.
    Completed = 1,
    /// The operation was cancelled.
    Canceled = 2,
    /// The operation failed.
    Error = 3,
}

impl AsyncStatus {
    /// Tells whether the operation has ended `[C6]`.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Started)
    }
}

impl From<Status> for AsyncStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Started => Self::Started,
            Status::Completed => Self::Completed,
            Status::Canceled => Self::Canceled,
            Status::Error => Self::Error,
        }
    }
}

/// The status of an operation as it crosses the interface, a signed 32-bit integer.
///
/// An integer that is not an [`AsyncStatus`] breaks the contract `[C17]`. Converting it fails with
/// `STATUS_DRIVER_INTERNAL_ERROR`.
///
/// ```
/// use ntcom::{AsyncStatus, NTSTATUS, RawAsyncStatus};
/// let unknown = AsyncStatus::try_from(RawAsyncStatus(4));
/// assert_eq!(unknown, Err(NTSTATUS::DRIVER_INTERNAL_ERROR));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct RawAsyncStatus(pub i32);

impl From<AsyncStatus> for RawAsyncStatus {
    fn from(status: AsyncStatus) -> Self {
        Self(status as i32)
    }
}

impl TryFrom<RawAsyncStatus> for AsyncStatus {
    type Error = NTSTATUS;

    fn try_from(status: RawAsyncStatus) -> Result<Self, NTSTATUS> {
        match status.0 {
            0 => Ok(Self::Started),
            1 => Ok(Self::Completed),
            2 => Ok(Self::Canceled),
            3 => Ok(Self::Error),
            _ => Err(NTSTATUS::DRIVER_INTERNAL_ERROR),
        }
    }
}

// SAFETY: the discriminants are `i32`, and those of the four variants are valid.
unsafe impl CheckedBitPattern for AsyncStatus {
    type Bits = i32;

    fn is_valid_bit_pattern(bits: &i32) -> bool {
        Self::try_from(RawAsyncStatus(*bits)).is_ok()
    }
}

// SAFETY: the type is transparent over `i32`, and zero is an `i32`.
unsafe impl Zeroable for RawAsyncStatus {}
// SAFETY: the type is transparent over `i32`.
unsafe impl Pod for RawAsyncStatus {}
// SAFETY: the type is transparent over `i32`.
unsafe impl AbiType for RawAsyncStatus {}
// SAFETY: the type is transparent over `i32`.
unsafe impl AbiValue for RawAsyncStatus {}
whole! { AsyncStatus, RawAsyncStatus }
values! { AsyncStatus, RawAsyncStatus }

const _: () = assert!(size_of::<AsyncStatus>() == 4 && size_of::<RawAsyncStatus>() == 4);

#[cfg(test)]
mod tests {
    use super::{AsyncStatus, NTSTATUS, RawAsyncStatus};

    #[test]
    fn known_statuses_cross_and_come_back() {
        let known = [AsyncStatus::Started, AsyncStatus::Completed, AsyncStatus::Canceled, AsyncStatus::Error];
        for (number, status) in (0..).zip(known) {
            assert_eq!(RawAsyncStatus::from(status), RawAsyncStatus(number));
            assert_eq!(AsyncStatus::try_from(RawAsyncStatus(number)), Ok(status));
            assert_eq!(status.is_terminal(), number != 0);
        }
    }

    /// Rule `[C17]`.
    #[test]
    fn unknown_statuses_break_the_contract() {
        for number in [-1, 4, i32::MIN, i32::MAX] {
            let status = AsyncStatus::try_from(RawAsyncStatus(number));
            assert_eq!(status, Err(NTSTATUS::DRIVER_INTERNAL_ERROR), "{number}");
        }
    }
}
