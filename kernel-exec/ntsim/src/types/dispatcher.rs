//! Dispatcher objects, for which threads wait, and threads themselves.

use core::{marker::PhantomPinned, ptr::null_mut};

use super::{BOOLEAN, HANDLE, LONG, PVOID, UCHAR, ULONG};

/// wdk-sys's module of the enumeration `EVENT_TYPE`.
pub mod _EVENT_TYPE {
    #![expect(non_upper_case_globals, reason = "the names are the kernel's")]
    /// The type of the values.
    pub type Type = i32;
    /// A set event releases every waiter and stays set.
    pub const NotificationEvent: Type = 0;
    /// A set event releases one waiter, which resets it.
    pub const SynchronizationEvent: Type = 1;
}
/// Notification or synchronization.
pub type EVENT_TYPE = _EVENT_TYPE::Type;

/// wdk-sys's module of the enumeration `WAIT_TYPE`.
pub mod _WAIT_TYPE {
    #![expect(non_upper_case_globals, reason = "the names are the kernel's")]
    /// The type of the values.
    pub type Type = i32;
    /// The wait lasts until all objects are signalled at the same time.
    pub const WaitAll: Type = 0;
    /// The wait lasts until one of the objects is signalled.
    pub const WaitAny: Type = 1;
}
/// All or any.
pub type WAIT_TYPE = _WAIT_TYPE::Type;

/// wdk-sys's module of the enumeration `KWAIT_REASON`, as far as drivers use it.
pub mod _KWAIT_REASON {
    #![expect(non_upper_case_globals, reason = "the names are the kernel's")]
    /// The type of the values.
    pub type Type = i32;
    /// A driver's own reasons.
    pub const Executive: Type = 0;
    /// On behalf of a user.
    pub const UserRequest: Type = 6;
}
/// The reason of a thread's wait.
pub type KWAIT_REASON = _KWAIT_REASON::Type;

/// wdk-sys's module of the enumeration `MODE`.
pub mod _MODE {
    #![expect(non_upper_case_globals, reason = "the names are the kernel's")]
    /// The type of the values.
    pub type Type = i32;
    /// The kernel's own wait.
    pub const KernelMode: Type = 0;
    /// A user's wait, which is like the kernel's, because ntsim has no alerts.
    pub const UserMode: Type = 1;
}
/// Kernel or user, in the type of arguments.
pub type KPROCESSOR_MODE = i8;

/// A priority increment. ntsim has no priorities, and any ready thread may be next.
pub type KPRIORITY = LONG;
/// The requested access to an object.
pub type ACCESS_MASK = ULONG;
/// A pointer to a handle.
pub type PHANDLE = *mut HANDLE;
/// The type of objects that a handle may stand for.
pub type POBJECT_TYPE = *mut _OBJECT_TYPE;
/// The contents of a handle's table entry.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct _OBJECT_HANDLE_INFORMATION {
    /// Whether it is inherited, protected or audited.
    pub HandleAttributes: ULONG,
    /// The access that was requested when the handle was created.
    pub GrantedAccess: ACCESS_MASK,
}
/// The contents of a handle's table entry.
pub type OBJECT_HANDLE_INFORMATION = _OBJECT_HANDLE_INFORMATION;
/// A pointer to the contents of a handle's table entry.
pub type POBJECT_HANDLE_INFORMATION = *mut OBJECT_HANDLE_INFORMATION;
/// A thread's routine, with its context. Called at PASSIVE_LEVEL.
pub type PKSTART_ROUTINE = Option<unsafe extern "C" fn(StartContext: PVOID)>;

/// An object type, which is opaque.
#[repr(C)]
#[derive(Debug)]
pub struct _OBJECT_TYPE {
    opaque: [u8; 0],
    pinned: PhantomPinned,
}

/// A thread, which is opaque and identified by its address.
#[repr(C)]
#[derive(Debug)]
pub struct _KTHREAD {
    opaque: [u8; 0],
    pinned: PhantomPinned,
}
/// A thread.
pub type KTHREAD = _KTHREAD;
/// A pointer to a thread.
pub type PKTHREAD = *mut _KTHREAD;

/// A doubly linked list's head or entry.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _LIST_ENTRY {
    /// The next entry.
    pub Flink: *mut LIST_ENTRY,
    /// The entry before.
    pub Blink: *mut LIST_ENTRY,
}
/// A doubly linked list's head or entry.
pub type LIST_ENTRY = _LIST_ENTRY;
/// A pointer to a list's head or entry.
pub type PLIST_ENTRY = *mut LIST_ENTRY;

impl Default for _LIST_ENTRY {
    fn default() -> Self {
        Self { Flink: null_mut(), Blink: null_mut() }
    }
}

/// The header of every dispatcher object.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct _DISPATCHER_HEADER {
    pub(crate) Type: UCHAR,
    pub(crate) Signalling: UCHAR,
    pub(crate) Size: UCHAR,
    pub(crate) Reserved1: UCHAR,
    pub(crate) SignalState: LONG,
    pub(crate) WaitListHead: LIST_ENTRY,
}
/// The header of every dispatcher object.
pub type DISPATCHER_HEADER = _DISPATCHER_HEADER;

/// An event.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct _KEVENT {
    pub(crate) Header: DISPATCHER_HEADER,
}
/// An event.
pub type KEVENT = _KEVENT;
/// A pointer to an event.
pub type PKEVENT = *mut KEVENT;
/// A pointer to an event that is not freed while it is used.
pub type PRKEVENT = *mut KEVENT;

/// A semaphore.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct _KSEMAPHORE {
    pub(crate) Header: DISPATCHER_HEADER,
    pub(crate) Limit: LONG,
}
/// A semaphore.
pub type KSEMAPHORE = _KSEMAPHORE;
/// A pointer to a semaphore that is not freed while it is used.
pub type PRKSEMAPHORE = *mut KSEMAPHORE;

/// A mutex.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _KMUTANT {
    pub(crate) Header: DISPATCHER_HEADER,
    pub(crate) MutantListEntry: LIST_ENTRY,
    pub(crate) OwnerThread: PKTHREAD,
    pub(crate) Abandoned: BOOLEAN,
    pub(crate) ApcDisable: UCHAR,
}
/// A mutex.
pub type KMUTANT = _KMUTANT;
/// A mutex.
pub type KMUTEX = _KMUTANT;
/// A pointer to a mutex that is not freed while it is used.
pub type PRKMUTEX = *mut KMUTEX;

impl Default for _KMUTANT {
    /// All zero, which is not initialised.
    fn default() -> Self {
        Self {
            Header: DISPATCHER_HEADER::default(),
            MutantListEntry: LIST_ENTRY::default(),
            OwnerThread: null_mut(),
            Abandoned: 0,
            ApcDisable: 0,
        }
    }
}

/// Storage for the kernel's state of one object, in a wait for several.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct _KWAIT_BLOCK {
    opaque: [u64; 6],
}
/// Storage for the kernel's state of one object of a wait.
pub type KWAIT_BLOCK = _KWAIT_BLOCK;
/// A pointer to the first of several wait blocks.
pub type PKWAIT_BLOCK = *mut KWAIT_BLOCK;

/// The attributes of a new object.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _OBJECT_ATTRIBUTES {
    /// The structure's size, 48.
    pub Length: ULONG,
    /// The directory in which the name begins.
    pub RootDirectory: HANDLE,
    /// The object's name.
    pub ObjectName: PVOID,
    /// The `OBJ_*` bits.
    pub Attributes: ULONG,
    /// The access rights to the object.
    pub SecurityDescriptor: PVOID,
    /// The ways in which the server may act for the client.
    pub SecurityQualityOfService: PVOID,
}
/// The attributes of a new object.
pub type OBJECT_ATTRIBUTES = _OBJECT_ATTRIBUTES;
/// A pointer to object attributes.
pub type POBJECT_ATTRIBUTES = *mut OBJECT_ATTRIBUTES;

/// A thread's identifiers.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _CLIENT_ID {
    /// The process's identifier.
    pub UniqueProcess: HANDLE,
    /// The thread's identifier.
    pub UniqueThread: HANDLE,
}
/// A thread's identifiers.
pub type CLIENT_ID = _CLIENT_ID;
/// A pointer to a thread's identifiers.
pub type PCLIENT_ID = *mut CLIENT_ID;

/// The most objects of one wait.
pub const MAXIMUM_WAIT_OBJECTS: ULONG = 64;
/// The most objects of one wait without an array of wait blocks.
pub const THREAD_WAIT_OBJECTS: ULONG = 3;
/// The handle belongs to the kernel.
pub const OBJ_KERNEL_HANDLE: ULONG = 0x200;
/// Every access to a thread.
pub const THREAD_ALL_ACCESS: ULONG = 0x1F_FFFF;

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<LIST_ENTRY>() == 16);
    assert!(size_of::<DISPATCHER_HEADER>() == 24 && offset_of!(DISPATCHER_HEADER, SignalState) == 4);
    assert!(offset_of!(DISPATCHER_HEADER, WaitListHead) == 8);
    assert!(size_of::<KEVENT>() == 24 && align_of::<KEVENT>() == 8);
    assert!(size_of::<KSEMAPHORE>() == 32 && offset_of!(KSEMAPHORE, Limit) == 24);
    assert!(size_of::<KMUTANT>() == 56 && offset_of!(KMUTANT, OwnerThread) == 40);
    assert!(offset_of!(KMUTANT, Abandoned) == 48 && offset_of!(KMUTANT, ApcDisable) == 49);
    assert!(size_of::<KWAIT_BLOCK>() == 48);
    assert!(size_of::<OBJECT_HANDLE_INFORMATION>() == 8);
    assert!(size_of::<OBJECT_ATTRIBUTES>() == 48 && size_of::<CLIENT_ID>() == 16);
};
