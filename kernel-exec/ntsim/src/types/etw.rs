//! Event tracing.
//!
//! Documented at learn.microsoft.com/windows/win32/api/evntprov/, pages
//! `ns-evntprov-event_descriptor`, `ns-evntprov-event_data_descriptor` and
//! `ns-evntprov-event_filter_descriptor`; also `nc-wdm-etwenablecallback`.

use core::fmt::{self, Display, Formatter};

use super::{PVOID, UCHAR, ULONG, USHORT};

/// 64 bits, unsigned.
pub type ULONGLONG = u64;

/// A globally unique identifier.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct _GUID {
    /// The first group of digits.
    pub Data1: ULONG,
    /// The second group.
    pub Data2: USHORT,
    /// The third group.
    pub Data3: USHORT,
    /// The rest, byte by byte.
    pub Data4: [UCHAR; 8],
}
/// A globally unique identifier.
pub type GUID = _GUID;
/// A pointer to a GUID for reading only.
pub type LPCGUID = *const GUID;

impl _GUID {
    /// The GUID with these digits.
    ///
    /// ```
    /// let guid = ntsim::types::GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7d01);
    /// assert_eq!(guid.to_string(), "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d01");
    /// ```
    pub const fn from_u128(digits: u128) -> Self {
        Self {
            Data1: (digits >> 96) as ULONG,
            Data2: (digits >> 80) as USHORT,
            Data3: (digits >> 64) as USHORT,
            Data4: (digits as u64).to_be_bytes(),
        }
    }
}

/// Writes the usual form, without braces.
impl Display for _GUID {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [a, b, rest @ ..] = self.Data4;
        write!(f, "{:08x}-{:04x}-{:04x}-{a:02x}{b:02x}-", self.Data1, self.Data2, self.Data3)?;
        rest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A handle of a registered provider. 0 is not a handle.
pub type REGHANDLE = ULONGLONG;
/// A pointer to a provider's handle.
pub type PREGHANDLE = *mut REGHANDLE;

/// The description of an event.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct _EVENT_DESCRIPTOR {
    /// The event's number.
    pub Id: USHORT,
    /// The version of its layout.
    pub Version: UCHAR,
    /// The event's audience.
    pub Channel: UCHAR,
    /// The event's severity, from 1 (critical) to 5 (verbose); higher ones are the provider's own.
    /// 0 passes every filter.
    pub Level: UCHAR,
    /// The action that the event reports.
    pub Opcode: UCHAR,
    /// The task to which the event belongs.
    pub Task: USHORT,
    /// The event's subjects, a bit each. 0 passes every filter.
    pub Keyword: ULONGLONG,
}
/// The description of an event.
pub type EVENT_DESCRIPTOR = _EVENT_DESCRIPTOR;
/// A pointer to an event's description.
pub type PCEVENT_DESCRIPTOR = *const EVENT_DESCRIPTOR;

/// A part of an event's data.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct _EVENT_DATA_DESCRIPTOR {
    /// The part's address.
    pub Ptr: ULONGLONG,
    /// The part's size in bytes.
    pub Size: ULONG,
    /// 0, which means data.
    pub Reserved: ULONG,
}
/// A part of an event's data.
pub type EVENT_DATA_DESCRIPTOR = _EVENT_DATA_DESCRIPTOR;
/// A pointer to the parts of an event's data.
pub type PEVENT_DATA_DESCRIPTOR = *mut EVENT_DATA_DESCRIPTOR;

/// A further filter of a session for a provider. ntsim never passes one.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct _EVENT_FILTER_DESCRIPTOR {
    /// The filter's address.
    pub Ptr: ULONGLONG,
    /// The filter's size in bytes.
    pub Size: ULONG,
    /// The filter's kind.
    pub Type: ULONG,
}
/// A further filter of a session for a provider.
pub type EVENT_FILTER_DESCRIPTOR = _EVENT_FILTER_DESCRIPTOR;
/// A pointer to a filter.
pub type PEVENT_FILTER_DESCRIPTOR = *mut EVENT_FILTER_DESCRIPTOR;

/// A routine that tells a provider that a session listens, or no longer listens.
///
/// Its arguments are the session's source, a control code, the highest level, the two sets of
/// keywords (any of the first, all of the second), a filter, and the context of the registration.
/// Called at PASSIVE_LEVEL.
pub type PETWENABLECALLBACK = Option<
    unsafe extern "C" fn(
        SourceId: LPCGUID,
        ControlCode: ULONG,
        Level: UCHAR,
        MatchAnyKeyword: ULONGLONG,
        MatchAllKeyword: ULONGLONG,
        FilterData: PEVENT_FILTER_DESCRIPTOR,
        CallbackContext: PVOID,
    ),
>;

/// A session does not listen any more.
pub const EVENT_CONTROL_CODE_DISABLE_PROVIDER: ULONG = 0;
/// A session listens.
pub const EVENT_CONTROL_CODE_ENABLE_PROVIDER: ULONG = 1;
/// The most parts of an event's data.
pub const MAX_EVENT_DATA_DESCRIPTORS: ULONG = 128;

const _: () = {
    assert!(size_of::<GUID>() == 16 && align_of::<GUID>() == 4);
    assert!(size_of::<EVENT_DESCRIPTOR>() == 16 && align_of::<EVENT_DESCRIPTOR>() == 8);
    assert!(core::mem::offset_of!(EVENT_DESCRIPTOR, Level) == 4);
    assert!(core::mem::offset_of!(EVENT_DESCRIPTOR, Keyword) == 8);
    assert!(size_of::<EVENT_DATA_DESCRIPTOR>() == 16 && align_of::<EVENT_DATA_DESCRIPTOR>() == 8);
    assert!(core::mem::offset_of!(EVENT_DATA_DESCRIPTOR, Size) == 8);
};
