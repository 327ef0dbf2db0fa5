//! File objects, and the codes of requests for them.

use core::ptr::null_mut;

use super::{
    BOOLEAN, CSHORT, KEVENT, KSPIN_LOCK, LARGE_INTEGER, LIST_ENTRY, NTSTATUS, PDEVICE_OBJECT, PVOID, ULONG,
    UNICODE_STRING,
};

/// An open instance of a device.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct _FILE_OBJECT {
    /// The kind of object.
    pub Type: CSHORT,
    /// The object's size.
    pub Size: CSHORT,
    /// The device.
    pub DeviceObject: PDEVICE_OBJECT,
    pub(crate) Vpb: PVOID,
    /// A field for the driver.
    pub FsContext: PVOID,
    /// Another field for the driver.
    pub FsContext2: PVOID,
    pub(crate) SectionObjectPointer: PVOID,
    pub(crate) PrivateCacheMap: PVOID,
    /// The final status of a request for which its thread waits.
    pub FinalStatus: NTSTATUS,
    /// The file relative to which this one was opened.
    pub RelatedFileObject: PFILE_OBJECT,
    pub(crate) LockOperation: BOOLEAN,
    pub(crate) DeletePending: BOOLEAN,
    /// Whether it was opened for reading.
    pub ReadAccess: BOOLEAN,
    /// Whether it was opened for writing.
    pub WriteAccess: BOOLEAN,
    pub(crate) DeleteAccess: BOOLEAN,
    pub(crate) SharedRead: BOOLEAN,
    pub(crate) SharedWrite: BOOLEAN,
    pub(crate) SharedDelete: BOOLEAN,
    /// The flags of the I/O manager.
    pub Flags: ULONG,
    /// The part of the opened path behind the device's name.
    pub FileName: UNICODE_STRING,
    /// The position of a synchronous file.
    pub CurrentByteOffset: LARGE_INTEGER,
    pub(crate) Waiters: ULONG,
    pub(crate) Busy: ULONG,
    pub(crate) LastLock: PVOID,
    pub(crate) Lock: KEVENT,
    pub(crate) Event: KEVENT,
    pub(crate) CompletionContext: PVOID,
    pub(crate) IrpListLock: KSPIN_LOCK,
    pub(crate) IrpList: LIST_ENTRY,
    pub(crate) FileObjectExtension: PVOID,
}
/// An open instance of a device.
pub type FILE_OBJECT = _FILE_OBJECT;
/// A pointer to an open instance of a device.
pub type PFILE_OBJECT = *mut FILE_OBJECT;

impl Default for _FILE_OBJECT {
    /// A file of no device.
    fn default() -> Self {
        Self {
            Type: 5,
            Size: size_of::<Self>() as CSHORT,
            DeviceObject: null_mut(),
            Vpb: null_mut(),
            FsContext: null_mut(),
            FsContext2: null_mut(),
            SectionObjectPointer: null_mut(),
            PrivateCacheMap: null_mut(),
            FinalStatus: 0,
            RelatedFileObject: null_mut(),
            LockOperation: 0,
            DeletePending: 0,
            ReadAccess: 0,
            WriteAccess: 0,
            DeleteAccess: 0,
            SharedRead: 0,
            SharedWrite: 0,
            SharedDelete: 0,
            Flags: 0,
            FileName: UNICODE_STRING::default(),
            CurrentByteOffset: LARGE_INTEGER { QuadPart: 0 },
            Waiters: 0,
            Busy: 0,
            LastLock: null_mut(),
            Lock: KEVENT::default(),
            Event: KEVENT::default(),
            CompletionContext: null_mut(),
            IrpListLock: 0,
            IrpList: LIST_ENTRY::default(),
            FileObjectExtension: null_mut(),
        }
    }
}

/// Open a device.
pub const IRP_MJ_CREATE: usize = 0;
/// The last request for a file is over.
pub const IRP_MJ_CLOSE: usize = 2;
/// The last handle to a file is closed.
pub const IRP_MJ_CLEANUP: usize = 18;

/// The data of a control request is in the system buffer.
pub const METHOD_BUFFERED: ULONG = 0;
/// The input of a control request is in the system buffer, and a memory descriptor list describes a
/// buffer that is read.
pub const METHOD_IN_DIRECT: ULONG = 1;
/// The input of a control request is in the system buffer, and a memory descriptor list describes a
/// buffer that is written.
pub const METHOD_OUT_DIRECT: ULONG = 2;
/// A control request has the caller's buffers.
pub const METHOD_NEITHER: ULONG = 3;

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<FILE_OBJECT>() == 216 && offset_of!(FILE_OBJECT, FsContext) == 0x18);
    assert!(offset_of!(FILE_OBJECT, Flags) == 0x50 && offset_of!(FILE_OBJECT, FileName) == 0x58);
    assert!(offset_of!(FILE_OBJECT, Lock) == 0x80 && offset_of!(FILE_OBJECT, IrpList) == 0xC0);
};
