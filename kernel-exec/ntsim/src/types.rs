//! The kernel's types and constants as drivers see them on x64, with wdk-sys's names.
//!
//! Their layout is the real one as far as it is public
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/, `ns-wdm-_kdpc` and the pages of the
//! others). Sizes and offsets are asserted below. Fields are private, because a driver treats them
//! as opaque, too.
#![expect(non_camel_case_types, non_snake_case, reason = "the names are the kernel's")]

use core::{ffi::c_void, ptr::null_mut};

mod csq;
mod dispatcher;
mod etw;
mod extension;
mod file;
mod io;
mod irp;
mod lock;
mod pool;

pub use csq::{
    _IO_CSQ, _IO_CSQ_IRP_CONTEXT, IO_CSQ, IO_CSQ_IRP_CONTEXT, PIO_CSQ, PIO_CSQ_ACQUIRE_LOCK,
    PIO_CSQ_COMPLETE_CANCELED_IRP, PIO_CSQ_INSERT_IRP, PIO_CSQ_IRP_CONTEXT, PIO_CSQ_PEEK_NEXT_IRP,
    PIO_CSQ_RELEASE_LOCK, PIO_CSQ_REMOVE_IRP,
};
pub use dispatcher::{
    _CLIENT_ID, _DISPATCHER_HEADER, _EVENT_TYPE, _KEVENT, _KMUTANT, _KSEMAPHORE, _KTHREAD, _KWAIT_BLOCK,
    _KWAIT_REASON, _LIST_ENTRY, _MODE, _OBJECT_ATTRIBUTES, _OBJECT_HANDLE_INFORMATION, _OBJECT_TYPE,
    _WAIT_TYPE, ACCESS_MASK, CLIENT_ID, DISPATCHER_HEADER, EVENT_TYPE, KEVENT, KMUTANT, KMUTEX, KPRIORITY,
    KPROCESSOR_MODE, KSEMAPHORE, KTHREAD, KWAIT_BLOCK, KWAIT_REASON, LIST_ENTRY, MAXIMUM_WAIT_OBJECTS,
    OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, OBJECT_HANDLE_INFORMATION, PCLIENT_ID, PHANDLE, PKEVENT,
    PKSTART_ROUTINE, PKTHREAD, PKWAIT_BLOCK, PLIST_ENTRY, POBJECT_ATTRIBUTES, POBJECT_HANDLE_INFORMATION,
    POBJECT_TYPE, PRKEVENT, PRKMUTEX, PRKSEMAPHORE, THREAD_ALL_ACCESS, THREAD_WAIT_OBJECTS, WAIT_TYPE,
};
pub use etw::{
    _EVENT_DATA_DESCRIPTOR, _EVENT_DESCRIPTOR, _EVENT_FILTER_DESCRIPTOR, _GUID,
    EVENT_CONTROL_CODE_DISABLE_PROVIDER, EVENT_CONTROL_CODE_ENABLE_PROVIDER, EVENT_DATA_DESCRIPTOR,
    EVENT_DESCRIPTOR, EVENT_FILTER_DESCRIPTOR, GUID, LPCGUID, MAX_EVENT_DATA_DESCRIPTORS, PCEVENT_DESCRIPTOR,
    PETWENABLECALLBACK, PEVENT_DATA_DESCRIPTOR, PEVENT_FILTER_DESCRIPTOR, PREGHANDLE, REGHANDLE, ULONGLONG,
};
pub use extension::{
    _DEVOBJ_EXTENSION, _DRIVER_EXTENSION, DEVOBJ_EXTENSION, DRIVER_EXTENSION, DRVO_INITIALIZED,
    DRVO_LEGACY_DRIVER, DRVO_UNLOAD_INVOKED, PDEVOBJ_EXTENSION, PDRIVER_ADD_DEVICE, PDRIVER_EXTENSION,
};
pub use file::{
    _FILE_OBJECT, FILE_OBJECT, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, METHOD_BUFFERED,
    METHOD_IN_DIRECT, METHOD_NEITHER, METHOD_OUT_DIRECT, PFILE_OBJECT,
};
pub use io::{
    _DEVICE_OBJECT, _DRIVER_OBJECT, _IO_WORKITEM, _STRING, _UNICODE_STRING, _WORK_QUEUE_ITEM,
    _WORK_QUEUE_TYPE, ANSI_STRING, DEVICE_OBJECT, DO_BUFFERED_IO, DO_DEVICE_HAS_NAME, DO_DEVICE_INITIALIZING,
    DO_DIRECT_IO, DO_EXCLUSIVE, DRIVER_OBJECT, FILE_DEVICE_SECURE_OPEN, FILE_DEVICE_UNKNOWN, IO_WORKITEM,
    PCUNICODE_STRING, PDEVICE_OBJECT, PDRIVER_INITIALIZE, PDRIVER_OBJECT, PDRIVER_UNLOAD, PIO_WORKITEM,
    PIO_WORKITEM_ROUTINE, PIO_WORKITEM_ROUTINE_EX, PUNICODE_STRING, PWORK_QUEUE_ITEM, PWORKER_THREAD_ROUTINE,
    UNICODE_STRING, WORK_QUEUE_ITEM, WORK_QUEUE_TYPE,
};
pub use irp::{
    _IO_STACK_LOCATION, _IO_STATUS_BLOCK, _IRP, IO_STACK_LOCATION, IO_STATUS_BLOCK, IRP,
    IRP_MJ_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_WRITE, PDRIVER_CANCEL, PDRIVER_DISPATCH,
    PIO_COMPLETION_ROUTINE, PIO_STACK_LOCATION, PIRP, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR,
    SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED,
};
pub use lock::{
    _EX_RUNDOWN_REF, _FAST_MUTEX, _IO_REMOVE_LOCK, _IO_REMOVE_LOCK_COMMON_BLOCK, _KLOCK_QUEUE_HANDLE,
    _KSPIN_LOCK_QUEUE, EX_RUNDOWN_REF, FAST_MUTEX, IO_REMOVE_LOCK, IO_REMOVE_LOCK_COMMON_BLOCK,
    KLOCK_QUEUE_HANDLE, KSPIN_LOCK_QUEUE, PEX_RUNDOWN_REF, PFAST_MUTEX, PIO_REMOVE_LOCK, PKLOCK_QUEUE_HANDLE,
};
pub use pool::{
    _LOOKASIDE_LIST_EX, _POOL_TYPE, LOOKASIDE_LIST_EX, PALLOCATE_FUNCTION_EX, PCPOOL_EXTENDED_PARAMETER,
    PFREE_FUNCTION_EX, PLOOKASIDE_LIST_EX, POOL_TYPE,
};

/// A pointer to characters of 8 bits, which end with a zero.
pub type PCSTR = *const core::ffi::c_char;
/// The component of drivers of hardware vendors.
pub const DPFLTR_IHVDRIVER_ID: ULONG = 77;
/// The component of DbgPrint.
pub const DPFLTR_DEFAULT_ID: ULONG = 101;
/// The level of DbgPrint.
pub const DPFLTR_INFO_LEVEL: ULONG = 3;
/// An untyped pointer.
pub type PVOID = *mut c_void;
/// A driver's reference to an object without a pointer to it.
pub type HANDLE = PVOID;
/// A signed number as wide as a pointer.
pub type LONG_PTR = i64;
/// An interrupt request level.
pub type KIRQL = u8;
/// A truth value; TRUE is 1, FALSE is 0.
pub type BOOLEAN = u8;
/// 8 bits, unsigned.
pub type UCHAR = u8;
/// 16 bits, unsigned.
pub type USHORT = u16;
/// 8 bits, signed.
pub type CCHAR = i8;
/// 16 bits, signed.
pub type CSHORT = i16;
/// A 16-bit character.
pub type WCHAR = u16;
/// A pointer to 16-bit characters.
pub type PWSTR = *mut WCHAR;
/// A pointer to 16-bit characters, which end with a zero.
pub type PCWSTR = *const WCHAR;
/// 32 bits, unsigned, on every platform.
pub type ULONG = u32;
/// 32 bits, signed, on every platform.
pub type LONG = i32;
/// A truth value of 32 bits, 0 or 1.
pub type LOGICAL = u32;
/// 64 bits, signed.
pub type LONGLONG = i64;
/// 64 bits, unsigned.
pub type ULONG64 = u64;
/// A pointer to an unsigned number of 64 bits.
pub type PULONG64 = *mut ULONG64;
/// An unsigned number as wide as a pointer.
pub type ULONG_PTR = u64;
/// A size in bytes.
pub type SIZE_T = u64;
/// A status code. Success is ≥ 0.
pub type NTSTATUS = i32;
/// The `POOL_FLAG_*` bits.
pub type POOL_FLAGS = ULONG64;
/// A spin lock, which is 0 while it is free.
pub type KSPIN_LOCK = ULONG_PTR;
/// A pointer to a spin lock.
pub type PKSPIN_LOCK = *mut KSPIN_LOCK;
/// A pointer to a deferred procedure call.
pub type PKDPC = *mut KDPC;
/// A pointer to a deferred procedure call that is not freed while it is used.
pub type PRKDPC = *mut KDPC;
/// A pointer to a timer.
pub type PKTIMER = *mut KTIMER;
/// A pointer to a [`LARGE_INTEGER`].
pub type PLARGE_INTEGER = *mut LARGE_INTEGER;
/// A pointer to a [`PROCESSOR_NUMBER`].
pub type PPROCESSOR_NUMBER = *mut PROCESSOR_NUMBER;
/// A DPC's routine. It is called at DISPATCH_LEVEL with the DPC, its context, and the two arguments
/// of the insertion.
pub type PKDEFERRED_ROUTINE = Option<
    unsafe extern "C" fn(
        Dpc: *mut KDPC,
        DeferredContext: PVOID,
        SystemArgument1: PVOID,
        SystemArgument2: PVOID,
    ),
>;

/// wdk-sys's module of the enumeration `KDPC_IMPORTANCE`.
pub mod _KDPC_IMPORTANCE {
    #![expect(non_upper_case_globals, reason = "the names are the kernel's")]
    /// The type of the values.
    pub type Type = i32;
    /// To the tail. The DPC may be delayed even on the own processor.
    pub const LowImportance: Type = 0;
    /// To the tail. KeInitializeDpc sets this importance.
    pub const MediumImportance: Type = 1;
    /// To the head, with an interrupt for another processor.
    pub const HighImportance: Type = 2;
    /// To the tail, with an interrupt for another processor.
    pub const MediumHighImportance: Type = 3;
}
/// The time at which a DPC runs and its place in the queue.
pub type KDPC_IMPORTANCE = _KDPC_IMPORTANCE::Type;

/// wdk-sys's module of the enumeration `TIMER_TYPE`.
pub mod _TIMER_TYPE {
    #![expect(non_upper_case_globals, reason = "the names are the kernel's")]
    /// The type of the values.
    pub type Type = i32;
    /// Expiry releases every waiter.
    pub const NotificationTimer: Type = 0;
    /// Expiry releases one waiter.
    pub const SynchronizationTimer: Type = 1;
}
/// Notification or synchronization.
pub type TIMER_TYPE = _TIMER_TYPE::Type;

/// The lowest IRQL, at which threads run.
pub const PASSIVE_LEVEL: u32 = 0;
/// Asynchronous procedure calls.
pub const APC_LEVEL: u32 = 1;
/// DPCs and spin locks.
pub const DISPATCH_LEVEL: u32 = 2;
/// The highest IRQL on x64.
pub const HIGH_LEVEL: u32 = 15;

/// Charge the current process.
pub const POOL_FLAG_USE_QUOTA: POOL_FLAGS = 0x1;
/// Do not zero the memory.
pub const POOL_FLAG_UNINITIALIZED: POOL_FLAGS = 0x2;
/// For the session space. ntsim refuses it.
pub const POOL_FLAG_SESSION: POOL_FLAGS = 0x4;
/// Aligned to a cache line (64 bytes).
pub const POOL_FLAG_CACHE_ALIGNED: POOL_FLAGS = 0x8;
/// Raise an exception on failure, which no handler catches here.
pub const POOL_FLAG_RAISE_ON_FAILURE: POOL_FLAGS = 0x20;
/// Non-paged, not executable.
pub const POOL_FLAG_NON_PAGED: POOL_FLAGS = 0x40;
/// Non-paged, executable.
pub const POOL_FLAG_NON_PAGED_EXECUTE: POOL_FLAGS = 0x80;
/// Paged, only to be accessed at ≤ APC_LEVEL.
pub const POOL_FLAG_PAGED: POOL_FLAGS = 0x100;

/// Success.
pub const STATUS_SUCCESS: NTSTATUS = 0;
/// The wait was satisfied. With several objects, the index of the one that satisfied it is added.
pub const STATUS_WAIT_0: NTSTATUS = 0;
/// The request is not completed yet.
pub const STATUS_PENDING: NTSTATUS = 0x103;
/// There is not enough room.
pub const STATUS_BUFFER_TOO_SMALL: NTSTATUS = 0xC000_0023_u32.cast_signed();
/// A completion routine keeps the request.
pub const STATUS_MORE_PROCESSING_REQUIRED: NTSTATUS = 0xC000_0016_u32.cast_signed();
/// The driver has no dispatch routine for the request.
pub const STATUS_INVALID_DEVICE_REQUEST: NTSTATUS = 0xC000_0010_u32.cast_signed();
/// The driver has called, read or written an address without memory.
pub const STATUS_ACCESS_VIOLATION: NTSTATUS = 0xC000_0005_u32.cast_signed();
/// An object has this name already.
pub const STATUS_OBJECT_NAME_COLLISION: NTSTATUS = 0xC000_0035_u32.cast_signed();
/// No device has this name.
pub const STATUS_OBJECT_NAME_NOT_FOUND: NTSTATUS = 0xC000_0034_u32.cast_signed();
/// The directory of objects does not exist.
pub const STATUS_OBJECT_PATH_NOT_FOUND: NTSTATUS = 0xC000_003A_u32.cast_signed();
/// A name is not a full path.
pub const STATUS_OBJECT_PATH_SYNTAX_BAD: NTSTATUS = 0xC000_003B_u32.cast_signed();
/// A handle's object is of another type.
pub const STATUS_OBJECT_TYPE_MISMATCH: NTSTATUS = 0xC000_0024_u32.cast_signed();
/// There is no such device.
pub const STATUS_NO_SUCH_DEVICE: NTSTATUS = 0xC000_000E_u32.cast_signed();
/// The device is open already.
pub const STATUS_ACCESS_DENIED: NTSTATUS = 0xC000_0022_u32.cast_signed();
/// The request was cancelled.
pub const STATUS_CANCELLED: NTSTATUS = 0xC000_0120_u32.cast_signed();
/// The time of a wait is over.
pub const STATUS_TIMEOUT: NTSTATUS = 0x102;
/// The handle does not exist.
pub const STATUS_INVALID_HANDLE: NTSTATUS = 0xC000_0008_u32.cast_signed();
/// A mutex belongs to another thread.
pub const STATUS_MUTANT_NOT_OWNED: NTSTATUS = 0xC000_0046_u32.cast_signed();
/// A semaphore would count further than its limit.
pub const STATUS_SEMAPHORE_LIMIT_EXCEEDED: NTSTATUS = 0xC000_0047_u32.cast_signed();
/// A mutex was acquired too often.
pub const STATUS_MUTANT_LIMIT_EXCEEDED: NTSTATUS = 0xC000_0191_u32.cast_signed();
/// The object is about to be deleted.
pub const STATUS_DELETE_PENDING: NTSTATUS = 0xC000_0056_u32.cast_signed();
/// Memory is low.
pub const STATUS_INSUFFICIENT_RESOURCES: NTSTATUS = 0xC000_009A_u32.cast_signed();
/// A session's buffers are smaller than an event.
pub const STATUS_BUFFER_OVERFLOW: NTSTATUS = 0x8000_0005_u32.cast_signed();
/// There is no memory, or no free buffer.
pub const STATUS_NO_MEMORY: NTSTATUS = 0xC000_0017_u32.cast_signed();
/// An event is too large.
pub const STATUS_INTEGER_OVERFLOW: NTSTATUS = 0xC000_0095_u32.cast_signed();
/// A session's file is full.
pub const STATUS_LOG_FILE_FULL: NTSTATUS = 0xC000_0188_u32.cast_signed();
/// The call has failed without a specific reason.
pub const STATUS_UNSUCCESSFUL: NTSTATUS = 0xC000_0001_u32.cast_signed();
/// An argument is wrong.
pub const STATUS_INVALID_PARAMETER: NTSTATUS = 0xC000_000D_u32.cast_signed();

/// All processor groups, as an argument of KeQueryActiveProcessorCountEx.
pub const ALL_PROCESSOR_GROUPS: USHORT = 0xFFFF;
/// No processor.
pub const INVALID_PROCESSOR_INDEX: ULONG = 0xFFFF_FFFF;

/// A deferred procedure call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _KDPC {
    pub(crate) Type: u8,
    pub(crate) Importance: u8,
    pub(crate) Number: u16,
    pub(crate) DpcListEntry: PVOID,
    pub(crate) ProcessorHistory: usize,
    pub(crate) DeferredRoutine: PKDEFERRED_ROUTINE,
    pub(crate) DeferredContext: PVOID,
    pub(crate) SystemArgument1: PVOID,
    pub(crate) SystemArgument2: PVOID,
    pub(crate) DpcData: usize,
}
/// A deferred procedure call.
pub type KDPC = _KDPC;

impl Default for _KDPC {
    /// All zero, which is not initialised.
    fn default() -> Self {
        Self {
            Type: 0,
            Importance: 0,
            Number: 0,
            DpcListEntry: null_mut(),
            ProcessorHistory: 0,
            DeferredRoutine: None,
            DeferredContext: null_mut(),
            SystemArgument1: null_mut(),
            SystemArgument2: null_mut(),
            DpcData: 0,
        }
    }
}

/// A timer.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _KTIMER {
    pub(crate) Type: u8,
    pub(crate) Inserted: u8,
    pub(crate) Reserved: [u8; 2],
    pub(crate) SignalState: LONG,
    pub(crate) WaitListHead: [PVOID; 2],
    pub(crate) DueTime: u64,
    pub(crate) TimerListEntry: [usize; 2],
    pub(crate) Dpc: *mut KDPC,
    pub(crate) Processor: u16,
    pub(crate) TimerType: u16,
    pub(crate) Period: ULONG,
}
/// A timer.
pub type KTIMER = _KTIMER;

impl Default for _KTIMER {
    /// All zero, which is not initialised.
    fn default() -> Self {
        Self {
            Type: 0,
            Inserted: 0,
            Reserved: [0; 2],
            SignalState: 0,
            WaitListHead: [null_mut(); 2],
            DueTime: 0,
            TimerListEntry: [0; 2],
            Dpc: null_mut(),
            Processor: 0,
            TimerType: 0,
            Period: 0,
        }
    }
}

/// A signed number of 64 bits. wdk-sys's union has more fields of the same bits.
#[repr(C)]
#[derive(Clone, Copy)]
pub union LARGE_INTEGER {
    /// The value.
    pub QuadPart: LONGLONG,
}

impl Default for LARGE_INTEGER {
    fn default() -> Self {
        Self { QuadPart: 0 }
    }
}

impl core::fmt::Debug for LARGE_INTEGER {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // SAFETY: this is the only field, and any bits are a value.
        let value = unsafe { self.QuadPart };
        f.debug_struct("LARGE_INTEGER").field("QuadPart", &value).finish()
    }
}

/// A processor, as a group and a number in it.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PROCESSOR_NUMBER {
    /// The group.
    pub Group: USHORT,
    /// The number in the group.
    pub Number: UCHAR,
    /// Reserved, 0.
    pub Reserved: UCHAR,
}

/// The limits of the DPC watchdog, and the time that remains, as numbers without a unit.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct KDPC_WATCHDOG_INFORMATION {
    /// The limit for one DPC; 0 means no limit.
    pub DpcTimeLimit: ULONG,
    /// The time left for the running DPC.
    pub DpcTimeCount: ULONG,
    /// The limit for DPCs in a row; 0 means no limit.
    pub DpcWatchdogLimit: ULONG,
    /// The time left for the DPCs that run in a row.
    pub DpcWatchdogCount: ULONG,
    /// Reserved, 0.
    pub Reserved: ULONG,
}
/// A pointer to the DPC watchdog's limits.
pub type PKDPC_WATCHDOG_INFORMATION = *mut KDPC_WATCHDOG_INFORMATION;

const _: () = {
    assert!(size_of::<KDPC_WATCHDOG_INFORMATION>() == 20);
    assert!(size_of::<KDPC>() == 64 && align_of::<KDPC>() == 8);
    assert!(core::mem::offset_of!(KDPC, DeferredRoutine) == 24);
    assert!(core::mem::offset_of!(KDPC, DeferredContext) == 32);
    assert!(core::mem::offset_of!(KDPC, DpcData) == 56);
    assert!(size_of::<KTIMER>() == 64 && align_of::<KTIMER>() == 8);
    assert!(core::mem::offset_of!(KTIMER, SignalState) == 4);
    assert!(core::mem::offset_of!(KTIMER, DueTime) == 24);
    assert!(core::mem::offset_of!(KTIMER, Dpc) == 48);
    assert!(core::mem::offset_of!(KTIMER, Period) == 60);
    assert!(size_of::<KSPIN_LOCK>() == 8);
    assert!(size_of::<LARGE_INTEGER>() == 8);
    assert!(size_of::<PROCESSOR_NUMBER>() == 4);
};
