//! The NT statuses that the contract names, with the values of `ntstatus.h`.

/// `STATUS_SUCCESS`.
pub const SUCCESS: u32 = 0;
/// `STATUS_TIMEOUT`.
pub const TIMEOUT: u32 = 0x0000_0102;
/// `STATUS_PENDING`.
pub const PENDING: u32 = 0x0000_0103;
/// `STATUS_UNSUCCESSFUL`.
pub const UNSUCCESSFUL: u32 = 0xC000_0001;
/// `STATUS_INVALID_PARAMETER`.
pub const INVALID_PARAMETER: u32 = 0xC000_000D;
/// `STATUS_INSUFFICIENT_RESOURCES`.
pub const INSUFFICIENT_RESOURCES: u32 = 0xC000_009A;
/// `STATUS_NOT_SUPPORTED`.
pub const NOT_SUPPORTED: u32 = 0xC000_00BB;
/// `STATUS_CANCELLED`.
pub const CANCELLED: u32 = 0xC000_0120;
/// `STATUS_INVALID_DEVICE_STATE`.
pub const INVALID_DEVICE_STATE: u32 = 0xC000_0184;
/// `STATUS_NOINTERFACE`.
pub const NOINTERFACE: u32 = 0xC000_02B9;

/// The statuses that error operations are made with. They are failures, a warning, and codes that
/// `[C7]` replaces.
pub const STATUSES: [u32; 6] = [0xC000_0001, 0xC000_0022, 0x8000_0005, 0, 0x103, 0x4000_0000];
