//! I/O request packets.

use core::ptr::null_mut;

use super::{
    BOOLEAN, CCHAR, CSHORT, KIRQL, LIST_ENTRY, NTSTATUS, PDEVICE_OBJECT, PFILE_OBJECT, PKTHREAD, PVOID,
    UCHAR, ULONG, ULONG_PTR, USHORT,
};

/// A cancel routine, with the device and the IRP. It is called at DISPATCH_LEVEL with the cancel
/// spin lock held, which it releases.
pub type PDRIVER_CANCEL = Option<unsafe extern "C" fn(DeviceObject: PDEVICE_OBJECT, Irp: PIRP)>;
/// A completion routine, with the device of its stack location, the IRP, and its context.
pub type PIO_COMPLETION_ROUTINE =
    Option<unsafe extern "C" fn(DeviceObject: PDEVICE_OBJECT, Irp: PIRP, Context: PVOID) -> NTSTATUS>;
/// A dispatch routine, with the device and the IRP.
pub type PDRIVER_DISPATCH = Option<unsafe extern "C" fn(DeviceObject: PDEVICE_OBJECT, Irp: PIRP) -> NTSTATUS>;

/// The result of a request. In C its first field is a union with a pointer.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct _IO_STATUS_BLOCK {
    /// The status.
    pub Status: NTSTATUS,
    pub(crate) Padding: u32,
    /// Further information about the result, such as a number of bytes.
    pub Information: ULONG_PTR,
}
/// The result of a request.
pub type IO_STATUS_BLOCK = _IO_STATUS_BLOCK;

/// A driver's part of a request.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _IO_STACK_LOCATION {
    /// The requested function, an `IRP_MJ_*` code.
    pub MajorFunction: UCHAR,
    /// The requested variant of the function.
    pub MinorFunction: UCHAR,
    /// The `SL_*` flags.
    pub Flags: UCHAR,
    /// SL_PENDING_RETURNED, and the outcomes for which the completion routine is called.
    pub Control: UCHAR,
    /// The parameters of the function.
    pub Parameters: [ULONG_PTR; 4],
    /// The device.
    pub DeviceObject: PDEVICE_OBJECT,
    /// The file.
    pub FileObject: PFILE_OBJECT,
    /// The routine to call when the driver below has completed the request.
    pub CompletionRoutine: PIO_COMPLETION_ROUTINE,
    /// The routine's context.
    pub Context: PVOID,
}
/// A driver's part of a request.
pub type IO_STACK_LOCATION = _IO_STACK_LOCATION;
/// A pointer to a driver's part of a request.
pub type PIO_STACK_LOCATION = *mut IO_STACK_LOCATION;

impl Default for _IO_STACK_LOCATION {
    fn default() -> Self {
        Self {
            MajorFunction: 0,
            MinorFunction: 0,
            Flags: 0,
            Control: 0,
            Parameters: [0; 4],
            DeviceObject: null_mut(),
            FileObject: null_mut(),
            CompletionRoutine: None,
            Context: null_mut(),
        }
    }
}

/// An I/O request packet. Its stack locations follow it in memory.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _IRP {
    /// The kind of object.
    pub Type: CSHORT,
    /// The packet's size, with the stack locations.
    pub Size: USHORT,
    pub(crate) AllocationProcessorNumber: USHORT,
    pub(crate) Reserved: USHORT,
    /// The memory of direct I/O.
    pub MdlAddress: PVOID,
    /// The `IRP_*` flags.
    pub Flags: ULONG,
    /// The system buffer, or the master IRP.
    pub AssociatedIrp: PVOID,
    /// The kernel's list of a thread's IRPs. An IRP of a driver's own is not in it.
    pub ThreadListEntry: LIST_ENTRY,
    /// The result of the request.
    pub IoStatus: IO_STATUS_BLOCK,
    /// The requestor's mode, kernel or user.
    pub RequestorMode: CCHAR,
    /// Whether a driver below has marked the request pending.
    pub PendingReturned: BOOLEAN,
    /// The number of stack locations.
    pub StackCount: CCHAR,
    /// The number of the current stack location, from 1. One more than `StackCount` means none.
    pub CurrentLocation: CCHAR,
    /// Whether the request's cancellation was attempted.
    pub Cancel: BOOLEAN,
    /// The IRQL before the cancel spin lock was acquired, for a cancel routine.
    pub CancelIrql: KIRQL,
    pub(crate) ApcEnvironment: CCHAR,
    /// The kernel's record of the packet's allocation.
    pub AllocationFlags: UCHAR,
    pub(crate) UserIosb: PVOID,
    pub(crate) UserEvent: PVOID,
    pub(crate) Overlay: [ULONG_PTR; 2],
    /// The cancel routine, which IoSetCancelRoutine changes.
    pub CancelRoutine: PDRIVER_CANCEL,
    /// The user's buffer.
    pub UserBuffer: PVOID,
    /// Fields for the driver that has the request.
    pub DriverContext: [PVOID; 4],
    /// The thread that created the request.
    pub Thread: PKTHREAD,
    pub(crate) AuxiliaryBuffer: PVOID,
    /// A field for the queues of the driver that has the request.
    pub ListEntry: LIST_ENTRY,
    pub(crate) CurrentStackLocation: PIO_STACK_LOCATION,
    pub(crate) OriginalFileObject: PFILE_OBJECT,
    pub(crate) IrpExtension: PVOID,
}
/// An I/O request packet.
pub type IRP = _IRP;
/// A pointer to an I/O request packet.
pub type PIRP = *mut IRP;

impl Default for _IRP {
    /// A request without stack locations.
    fn default() -> Self {
        Self {
            Type: 6,
            Size: size_of::<Self>() as USHORT,
            AllocationProcessorNumber: 0,
            Reserved: 0,
            MdlAddress: null_mut(),
            Flags: 0,
            AssociatedIrp: null_mut(),
            ThreadListEntry: LIST_ENTRY::default(),
            IoStatus: IO_STATUS_BLOCK::default(),
            RequestorMode: 0,
            PendingReturned: 0,
            StackCount: 0,
            CurrentLocation: 1,
            Cancel: 0,
            CancelIrql: 0,
            ApcEnvironment: 0,
            AllocationFlags: 0,
            UserIosb: null_mut(),
            UserEvent: null_mut(),
            Overlay: [0; 2],
            CancelRoutine: None,
            UserBuffer: null_mut(),
            DriverContext: [null_mut(); 4],
            Thread: null_mut(),
            AuxiliaryBuffer: null_mut(),
            ListEntry: LIST_ENTRY::default(),
            CurrentStackLocation: null_mut(),
            OriginalFileObject: null_mut(),
            IrpExtension: null_mut(),
        }
    }
}

/// Read from a device.
pub const IRP_MJ_READ: usize = 3;
/// Write to a device.
pub const IRP_MJ_WRITE: usize = 4;
/// Control a device.
pub const IRP_MJ_DEVICE_CONTROL: usize = 14;
/// A driver has returned STATUS_PENDING, or will do so.
pub const SL_PENDING_RETURNED: UCHAR = 0x01;
/// The completion routine is called for a request that was cancelled.
pub const SL_INVOKE_ON_CANCEL: UCHAR = 0x20;
/// The completion routine is called for a request that succeeded.
pub const SL_INVOKE_ON_SUCCESS: UCHAR = 0x40;
/// The completion routine is called for a request that failed.
pub const SL_INVOKE_ON_ERROR: UCHAR = 0x80;

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<IO_STATUS_BLOCK>() == 16);
    assert!(size_of::<IO_STACK_LOCATION>() == 72 && offset_of!(IO_STACK_LOCATION, Parameters) == 8);
    assert!(offset_of!(IO_STACK_LOCATION, DeviceObject) == 0x28);
    assert!(offset_of!(IO_STACK_LOCATION, CompletionRoutine) == 0x38);
    assert!(size_of::<IRP>() == 208 && offset_of!(IRP, IoStatus) == 0x30);
    assert!(offset_of!(IRP, Cancel) == 0x44 && offset_of!(IRP, CancelIrql) == 0x45);
    assert!(offset_of!(IRP, CancelRoutine) == 0x68 && offset_of!(IRP, DriverContext) == 0x78);
    assert!(offset_of!(IRP, ListEntry) == 0xA8 && offset_of!(IRP, CurrentStackLocation) == 0xB8);
};
