//! The type `NTSTATUS`, which is the result of every NT call.

/// An NTSTATUS value, the result of every NT call.
///
/// It has 32 bits. The top two are the severity, which is 0 for success, 1 for informational, 2 for
/// warning and 3 for error.
///
/// It is transparent over `i32`, the type that `wdk-sys` gives it. Every bit pattern is valid, so a
/// value that came from the other side of an interface can be held as it is.
///
/// ```
/// use ntcom_exec::NTSTATUS;
/// assert!(NTSTATUS::PENDING.is_success()); // compare with SUCCESS to test for "done"
/// assert!(!NTSTATUS::CANCELLED.is_success());
/// ```
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NTSTATUS(pub i32);

// SAFETY: the type is transparent over `i32`, and zero is an `i32`.
unsafe impl bytemuck::Zeroable for NTSTATUS {}
// SAFETY: transparent over `i32`.
unsafe impl bytemuck::Pod for NTSTATUS {}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident, $platform:literal, $value:literal;)*) => {
        impl NTSTATUS {
            $($(#[$doc])* pub const $name: Self = Self::from_u32($value);)*

            /// Returns the platform's name of the value (`"STATUS_PENDING"`), for the values that
            /// this crate knows.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($platform),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The operation completed.
    SUCCESS, "STATUS_SUCCESS", 0;
    /// A wait ended because its time ran out. It is a success code, so `NT_SUCCESS` is true for it.
    TIMEOUT, "STATUS_TIMEOUT", 0x0000_0102;
    /// The operation has not ended yet. It is a success code, so `NT_SUCCESS` is true for it.
    PENDING, "STATUS_PENDING", 0x0000_0103;
    /// The operation failed, without a better reason.
    UNSUCCESSFUL, "STATUS_UNSUCCESSFUL", 0xC000_0001;
    /// An argument is wrong, mostly a null pointer.
    INVALID_PARAMETER, "STATUS_INVALID_PARAMETER", 0xC000_000D;
    /// The buffer is too small for the data.
    BUFFER_TOO_SMALL, "STATUS_BUFFER_TOO_SMALL", 0xC000_0023;
    /// The driver is going away and takes no new work.
    DELETE_PENDING, "STATUS_DELETE_PENDING", 0xC000_0056;
    /// Memory is exhausted.
    INSUFFICIENT_RESOURCES, "STATUS_INSUFFICIENT_RESOURCES", 0xC000_009A;
    /// The time was over before the end. It is an error, unlike [`TIMEOUT`](Self::TIMEOUT).
    IO_TIMEOUT, "STATUS_IO_TIMEOUT", 0xC000_00B5;
    /// The call is not offered here.
    NOT_SUPPORTED, "STATUS_NOT_SUPPORTED", 0xC000_00BB;
    /// A string is longer than the kernel's strings can be.
    NAME_TOO_LONG, "STATUS_NAME_TOO_LONG", 0xC000_0106;
    /// The operation was cancelled.
    CANCELLED, "STATUS_CANCELLED", 0xC000_0120;
    /// The other end has gone.
    PIPE_BROKEN, "STATUS_PIPE_BROKEN", 0xC000_014B;
    /// The other side broke the contract.
    DRIVER_INTERNAL_ERROR, "STATUS_DRIVER_INTERNAL_ERROR", 0xC000_0183;
    /// The call is wrong in this state, for example a second completion handler.
    INVALID_DEVICE_STATE, "STATUS_INVALID_DEVICE_STATE", 0xC000_0184;
    /// The caller would wait for itself.
    POSSIBLE_DEADLOCK, "STATUS_POSSIBLE_DEADLOCK", 0xC000_0194;
    /// The object has no such interface.
    NOINTERFACE, "STATUS_NOINTERFACE", 0xC000_02B9;
}

impl NTSTATUS {
    /// Returns the value with these 32 bits.
    #[must_use]
    pub const fn from_u32(bits: u32) -> Self {
        Self(bits.cast_signed())
    }

    /// Returns the 32 bits, as the documentation prints them.
    #[must_use]
    pub const fn to_u32(self) -> u32 {
        self.0.cast_unsigned()
    }

    /// Tells whether `NT_SUCCESS` holds, because the value is success or informational.
    ///
    /// It is true for [`PENDING`](Self::PENDING) and [`TIMEOUT`](Self::TIMEOUT) too.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 >= 0
    }

    /// Returns the status that an operation in state Error stores when it is given this one `[C7]`.
    ///
    /// Failures and warnings stay as they are, and a success or informational code becomes
    /// [`UNSUCCESSFUL`](Self::UNSUCCESSFUL).
    #[must_use]
    pub const fn as_failure(self) -> Self {
        if self.is_success() { Self::UNSUCCESSFUL } else { self }
    }
}

impl core::fmt::Debug for NTSTATUS {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "NTSTATUS({:#010x})", self.to_u32()),
        }
    }
}

impl core::fmt::Display for NTSTATUS {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({:#010x})", self.to_u32()),
            None => write!(f, "{:#010x}", self.to_u32()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::NTSTATUS;

    #[test]
    fn a_success_code_is_no_failure() {
        assert_eq!(NTSTATUS::SUCCESS.as_failure(), NTSTATUS::UNSUCCESSFUL);
        assert_eq!(NTSTATUS::PENDING.as_failure(), NTSTATUS::UNSUCCESSFUL);
        let warning = NTSTATUS::from_u32(0x8000_0005);
        assert_eq!(warning.as_failure(), warning, "warnings count as failures and are kept");
    }

    #[test]
    fn prints_its_name_and_value() {
        assert_eq!(format!("{}", NTSTATUS::CANCELLED), "STATUS_CANCELLED (0xc0000120)");
        assert_eq!(format!("{:?}", NTSTATUS(0x1234)), "NTSTATUS(0x00001234)");
    }
}
