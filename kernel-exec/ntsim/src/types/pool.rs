//! Pool types and lookaside lists.

use super::{PVOID, SIZE_T, ULONG, USHORT};

/// wdk-sys's module of the enumeration `POOL_TYPE`, as far as drivers use it.
pub mod _POOL_TYPE {
    #![expect(non_upper_case_globals, reason = "the names are the kernel's")]
    /// The type of the values.
    pub type Type = i32;
    /// Non-paged, executable.
    pub const NonPagedPool: Type = 0;
    /// Paged.
    pub const PagedPool: Type = 1;
    /// Non-paged, executable, aligned to a cache line.
    pub const NonPagedPoolCacheAligned: Type = 4;
    /// Paged, aligned to a cache line.
    pub const PagedPoolCacheAligned: Type = 5;
    /// Non-paged, not executable.
    pub const NonPagedPoolNx: Type = 512;
    /// Non-paged, not executable, aligned to a cache line.
    pub const NonPagedPoolNxCacheAligned: Type = 516;
}
/// The kind of pool.
pub type POOL_TYPE = _POOL_TYPE::Type;

/// The further parameters of ExAllocatePool3, which ntsim refuses.
pub type PCPOOL_EXTENDED_PARAMETER = *const core::ffi::c_void;
/// A lookaside list's own allocation routine, which ntsim refuses.
pub type PALLOCATE_FUNCTION_EX = Option<
    unsafe extern "C" fn(
        PoolType: POOL_TYPE,
        NumberOfBytes: SIZE_T,
        Tag: ULONG,
        Lookaside: PLOOKASIDE_LIST_EX,
    ) -> PVOID,
>;
/// A lookaside list's own free routine, which ntsim refuses.
pub type PFREE_FUNCTION_EX = Option<unsafe extern "C" fn(Buffer: PVOID, Lookaside: PLOOKASIDE_LIST_EX)>;

/// A lookaside list.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, Default)]
pub struct _LOOKASIDE_LIST_EX {
    pub(crate) ListHead: [u64; 2],
    pub(crate) Depth: USHORT,
    pub(crate) MaximumDepth: USHORT,
    pub(crate) TotalAllocates: ULONG,
    pub(crate) AllocateMisses: ULONG,
    pub(crate) TotalFrees: ULONG,
    pub(crate) FreeMisses: ULONG,
    pub(crate) Type: POOL_TYPE,
    pub(crate) Tag: ULONG,
    pub(crate) Size: ULONG,
    pub(crate) Functions: [usize; 2],
    pub(crate) ListEntry: [usize; 2],
    pub(crate) Last: [ULONG; 2],
    pub(crate) Future: [ULONG; 2],
}
/// A lookaside list.
pub type LOOKASIDE_LIST_EX = _LOOKASIDE_LIST_EX;
/// A pointer to a lookaside list.
pub type PLOOKASIDE_LIST_EX = *mut LOOKASIDE_LIST_EX;

const _: () = {
    assert!(size_of::<LOOKASIDE_LIST_EX>() == 96);
    assert!(core::mem::offset_of!(LOOKASIDE_LIST_EX, Size) == 44);
    assert!(core::mem::offset_of!(LOOKASIDE_LIST_EX, ListEntry) == 64);
};
