//! Event tracing (learn.microsoft.com/windows/win32/api/evntprov/: `ns-evntprov-event_descriptor`,
//! `ns-evntprov-event_data_descriptor`, `ns-evntprov-event_filter_descriptor`; `nc-wdm-etwenablecallback`).

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
    /// The second.
    pub Data2: USHORT,
    /// The third.
    pub Data3: USHORT,
    /// The rest, byte by byte.
    pub Data4: [UCHAR; 8],
}
/// A globally unique identifier.
pub type GUID = _GUID;
/// A pointer to a GUID that is only read.
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

/// As it is mostly written, without braces.
impl Display for _GUID {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [a, b, rest @ ..] = self.Data4;
        write!(f, "{:08x}-{:04x}-{:04x}-{a:02x}{b:02x}-", self.Data1, self.Data2, self.Data3)?;
        rest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A registered provider; 0 is none.
pub type REGHANDLE = ULONGLONG;
/// Where a provider's handle goes.
pub type PREGHANDLE = *mut REGHANDLE;

/// What an event is.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct _EVENT_DESCRIPTOR {
    /// Its number.
    pub Id: USHORT,
    /// The version of its layout.
    pub Version: UCHAR,
    /// Its audience.
    pub Channel: UCHAR,
    /// How much it matters: 1, critical, to 5, verbose, and the provider's own beyond; 0 passes every filter.
    pub Level: UCHAR,
    /// What it does.
    pub Opcode: UCHAR,
    /// What it is a part of.
    pub Task: USHORT,
    /// What it is about, a bit each; 0 passes every filter.
    pub Keyword: ULONGLONG,
}
/// What an event is.
pub type EVENT_DESCRIPTOR = _EVENT_DESCRIPTOR;
/// A pointer to an event's description.
pub type PCEVENT_DESCRIPTOR = *const EVENT_DESCRIPTOR;

/// A part of an event's data.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct _EVENT_DATA_DESCRIPTOR {
    /// Its address.
    pub Ptr: ULONGLONG,
    /// Its size in bytes.
    pub Size: ULONG,
    /// 0, for data.
    pub Reserved: ULONG,
}
/// A part of an event's data.
pub type EVENT_DATA_DESCRIPTOR = _EVENT_DATA_DESCRIPTOR;
/// A pointer to the parts of an event's data.
pub type PEVENT_DATA_DESCRIPTOR = *mut EVENT_DATA_DESCRIPTOR;

/// What a session asks of a provider besides: never there in ntsim.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct _EVENT_FILTER_DESCRIPTOR {
    /// Its address.
    pub Ptr: ULONGLONG,
    /// Its size in bytes.
    pub Size: ULONG,
    /// Its kind.
    pub Type: ULONG,
}
/// What a session asks of a provider besides.
pub type EVENT_FILTER_DESCRIPTOR = _EVENT_FILTER_DESCRIPTOR;
/// A pointer to it.
pub type PEVENT_FILTER_DESCRIPTOR = *mut EVENT_FILTER_DESCRIPTOR;

/// Tells a provider that a session listens, or no longer: the session's source, a control code, the highest level, the keywords
/// of which any and all are asked for, a filter, and the context of the registration. Called at PASSIVE_LEVEL.
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
/// Most parts of an event's data.
pub const MAX_EVENT_DATA_DESCRIPTORS: ULONG = 128;

const _: () = {
    assert!(size_of::<GUID>() == 16 && align_of::<GUID>() == 4);
    assert!(size_of::<EVENT_DESCRIPTOR>() == 16 && align_of::<EVENT_DESCRIPTOR>() == 8);
    assert!(core::mem::offset_of!(EVENT_DESCRIPTOR, Level) == 4);
    assert!(core::mem::offset_of!(EVENT_DESCRIPTOR, Keyword) == 8);
    assert!(size_of::<EVENT_DATA_DESCRIPTOR>() == 16 && align_of::<EVENT_DATA_DESCRIPTOR>() == 8);
    assert!(core::mem::offset_of!(EVENT_DATA_DESCRIPTOR, Size) == 8);
};
