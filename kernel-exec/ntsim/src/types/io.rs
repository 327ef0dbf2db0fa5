//! Drivers, devices and work items.

use core::ptr::null_mut;

use super::{
    CSHORT, KDPC, KEVENT, LIST_ENTRY, LONG, NTSTATUS, PDEVOBJ_EXTENSION, PDRIVER_EXTENSION, PVOID, PWSTR,
    ULONG, ULONG_PTR, USHORT,
};

/// wdk-sys's module of the enumeration `WORK_QUEUE_TYPE`.
pub mod _WORK_QUEUE_TYPE {
    #![expect(non_upper_case_globals, reason = "the names are the kernel's")]
    /// The type of the values.
    pub type Type = i32;
    /// For work that others wait for.
    pub const CriticalWorkQueue: Type = 0;
    /// For everything else.
    pub const DelayedWorkQueue: Type = 1;
    /// For the system itself. ntsim refuses it.
    pub const HyperCriticalWorkQueue: Type = 2;
    /// Like DelayedWorkQueue, and a little more urgent.
    pub const NormalWorkQueue: Type = 3;
    /// For work without urgency.
    pub const BackgroundWorkQueue: Type = 4;
}
/// The worker threads that run a work item.
pub type WORK_QUEUE_TYPE = _WORK_QUEUE_TYPE::Type;

/// A counted string of 16-bit characters.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _UNICODE_STRING {
    /// Bytes in use.
    pub Length: USHORT,
    /// Bytes of the buffer.
    pub MaximumLength: USHORT,
    /// The characters.
    pub Buffer: PWSTR,
}
/// A counted string of 16-bit characters.
pub type UNICODE_STRING = _UNICODE_STRING;
/// A pointer to a counted string.
pub type PUNICODE_STRING = *mut UNICODE_STRING;
/// A pointer to a counted string that is not changed.
pub type PCUNICODE_STRING = *const UNICODE_STRING;

/// A counted string of characters of 8 bits.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _STRING {
    /// Bytes in use.
    pub Length: USHORT,
    /// Bytes of the buffer.
    pub MaximumLength: USHORT,
    /// The characters.
    pub Buffer: *mut core::ffi::c_char,
}
/// A counted string of characters of 8 bits.
pub type ANSI_STRING = _STRING;

impl Default for _UNICODE_STRING {
    fn default() -> Self {
        Self { Length: 0, MaximumLength: 0, Buffer: null_mut() }
    }
}

/// A work item's routine, with its parameter. Called at PASSIVE_LEVEL.
pub type PWORKER_THREAD_ROUTINE = Option<unsafe extern "C" fn(Parameter: PVOID)>;
/// A routine of IoQueueWorkItem, with the device and the context. Called at PASSIVE_LEVEL.
pub type PIO_WORKITEM_ROUTINE = Option<unsafe extern "C" fn(DeviceObject: PDEVICE_OBJECT, Context: PVOID)>;
/// A routine of IoQueueWorkItemEx, with the device or driver, the context, and the work item.
/// Called at PASSIVE_LEVEL.
pub type PIO_WORKITEM_ROUTINE_EX =
    Option<unsafe extern "C" fn(IoObject: PVOID, Context: PVOID, IoWorkItem: PIO_WORKITEM)>;
/// A driver's first routine. Called at PASSIVE_LEVEL.
pub type PDRIVER_INITIALIZE =
    Option<unsafe extern "C" fn(DriverObject: PDRIVER_OBJECT, RegistryPath: PUNICODE_STRING) -> NTSTATUS>;
/// A driver's last routine. Called at PASSIVE_LEVEL.
pub type PDRIVER_UNLOAD = Option<unsafe extern "C" fn(DriverObject: PDRIVER_OBJECT)>;

/// A work item of the executive.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _WORK_QUEUE_ITEM {
    /// The kernel's list entry.
    pub List: LIST_ENTRY,
    /// The routine.
    pub WorkerRoutine: PWORKER_THREAD_ROUTINE,
    /// The routine's argument.
    pub Parameter: PVOID,
}
/// A work item of the executive.
pub type WORK_QUEUE_ITEM = _WORK_QUEUE_ITEM;
/// A pointer to a work item of the executive.
pub type PWORK_QUEUE_ITEM = *mut WORK_QUEUE_ITEM;

impl Default for _WORK_QUEUE_ITEM {
    /// All zero, which is not initialised.
    fn default() -> Self {
        Self { List: LIST_ENTRY::default(), WorkerRoutine: None, Parameter: null_mut() }
    }
}

/// A work item of the I/O manager. It is opaque, and IoSizeofWorkItem returns its size.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _IO_WORKITEM {
    pub(crate) Item: WORK_QUEUE_ITEM,
    pub(crate) IoObject: PVOID,
    pub(crate) Context: PVOID,
    pub(crate) Routine: usize,
    pub(crate) Mark: ULONG_PTR,
    pub(crate) Flags: ULONG_PTR,
}
/// A work item of the I/O manager.
pub type IO_WORKITEM = _IO_WORKITEM;
/// A pointer to a work item of the I/O manager.
pub type PIO_WORKITEM = *mut IO_WORKITEM;

impl Default for _IO_WORKITEM {
    /// All zero, which is not initialised.
    fn default() -> Self {
        Self {
            Item: WORK_QUEUE_ITEM::default(),
            IoObject: null_mut(),
            Context: null_mut(),
            Routine: 0,
            Mark: 0,
            Flags: 0,
        }
    }
}

/// A driver.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _DRIVER_OBJECT {
    /// The kind of object.
    pub Type: CSHORT,
    /// The object's size.
    pub Size: CSHORT,
    /// The first of the driver's devices.
    pub DeviceObject: PDEVICE_OBJECT,
    /// The `DRVO_*` bits.
    pub Flags: ULONG,
    /// The image.
    pub DriverStart: PVOID,
    /// The image's size.
    pub DriverSize: ULONG,
    /// The kernel's section of the image.
    pub DriverSection: PVOID,
    /// The driver's extension, with AddDevice.
    pub DriverExtension: PDRIVER_EXTENSION,
    /// The driver's name.
    pub DriverName: UNICODE_STRING,
    /// The registry path of the hardware's key.
    pub HardwareDatabase: PUNICODE_STRING,
    /// The table of fast I/O routines.
    pub FastIoDispatch: PVOID,
    /// The DriverEntry routine.
    pub DriverInit: PDRIVER_INITIALIZE,
    /// The StartIo routine.
    pub DriverStartIo: PVOID,
    /// The Unload routine.
    pub DriverUnload: PDRIVER_UNLOAD,
    /// The dispatch routines, by major function code.
    pub MajorFunction: [PVOID; 28],
}
/// A driver.
pub type DRIVER_OBJECT = _DRIVER_OBJECT;
/// A pointer to a driver.
pub type PDRIVER_OBJECT = *mut DRIVER_OBJECT;

impl Default for _DRIVER_OBJECT {
    /// A driver without devices and routines.
    fn default() -> Self {
        Self {
            Type: 4,
            Size: size_of::<Self>() as CSHORT,
            DeviceObject: null_mut(),
            Flags: 0,
            DriverStart: null_mut(),
            DriverSize: 0,
            DriverSection: null_mut(),
            DriverExtension: null_mut(),
            DriverName: UNICODE_STRING::default(),
            HardwareDatabase: null_mut(),
            FastIoDispatch: null_mut(),
            DriverInit: None,
            DriverStartIo: null_mut(),
            DriverUnload: None,
            MajorFunction: [null_mut(); 28],
        }
    }
}

/// A device.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy)]
pub struct _DEVICE_OBJECT {
    /// The kind of object.
    pub Type: CSHORT,
    /// The object's size, with the extension.
    pub Size: USHORT,
    /// The I/O manager's reference count.
    pub ReferenceCount: LONG,
    /// The device's driver.
    pub DriverObject: PDRIVER_OBJECT,
    /// The driver's next device.
    pub NextDevice: PDEVICE_OBJECT,
    /// The device that is attached on top.
    pub AttachedDevice: PDEVICE_OBJECT,
    /// The IRP that StartIo works on.
    pub CurrentIrp: PVOID,
    /// The I/O timer.
    pub Timer: PVOID,
    /// The `DO_*` bits.
    pub Flags: ULONG,
    /// The `FILE_*` characteristics.
    pub Characteristics: ULONG,
    pub(crate) Vpb: PVOID,
    /// The driver's own memory.
    pub DeviceExtension: PVOID,
    /// A `FILE_DEVICE_*` number.
    pub DeviceType: ULONG,
    /// The number of stack locations of an IRP for the device.
    pub StackSize: i8,
    pub(crate) Queue: [u64; 9],
    /// The alignment of buffers.
    pub AlignmentRequirement: ULONG,
    pub(crate) DeviceQueue: [u64; 5],
    pub(crate) Dpc: KDPC,
    pub(crate) ActiveThreadCount: ULONG,
    pub(crate) SecurityDescriptor: PVOID,
    pub(crate) DeviceLock: KEVENT,
    pub(crate) SectorSize: USHORT,
    pub(crate) Spare1: USHORT,
    /// The system's part of the device.
    pub DeviceObjectExtension: PDEVOBJ_EXTENSION,
    pub(crate) Reserved: PVOID,
}
/// A device.
pub type DEVICE_OBJECT = _DEVICE_OBJECT;
/// A pointer to a device.
pub type PDEVICE_OBJECT = *mut DEVICE_OBJECT;

impl Default for _DEVICE_OBJECT {
    /// A device of no driver.
    fn default() -> Self {
        Self {
            Type: 3,
            Size: size_of::<Self>() as USHORT,
            ReferenceCount: 0,
            DriverObject: null_mut(),
            NextDevice: null_mut(),
            AttachedDevice: null_mut(),
            CurrentIrp: null_mut(),
            Timer: null_mut(),
            Flags: 0,
            Characteristics: 0,
            Vpb: null_mut(),
            DeviceExtension: null_mut(),
            DeviceType: 0,
            StackSize: 1,
            Queue: [0; 9],
            AlignmentRequirement: 0,
            DeviceQueue: [0; 5],
            Dpc: KDPC::default(),
            ActiveThreadCount: 0,
            SecurityDescriptor: null_mut(),
            DeviceLock: KEVENT::default(),
            SectorSize: 0,
            Spare1: 0,
            DeviceObjectExtension: null_mut(),
            Reserved: null_mut(),
        }
    }
}

/// Reads and writes have a buffer in non-paged memory.
pub const DO_BUFFERED_IO: ULONG = 0x04;
/// Reads and writes have memory descriptor lists.
pub const DO_DIRECT_IO: ULONG = 0x10;
/// Only one handle to the device may be open.
pub const DO_EXCLUSIVE: ULONG = 0x08;
/// The device has a name.
pub const DO_DEVICE_HAS_NAME: ULONG = 0x40;
/// The device is being initialised. The system clears the flag after DriverEntry, a driver after
/// AddDevice.
pub const DO_DEVICE_INITIALIZING: ULONG = 0x80;
/// A device that no other type fits.
pub const FILE_DEVICE_UNKNOWN: ULONG = 0x22;
/// Handles to the device are opened with security checks.
pub const FILE_DEVICE_SECURE_OPEN: ULONG = 0x100;

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<UNICODE_STRING>() == 16 && offset_of!(UNICODE_STRING, Buffer) == 8);
    assert!(size_of::<WORK_QUEUE_ITEM>() == 32 && offset_of!(WORK_QUEUE_ITEM, WorkerRoutine) == 16);
    assert!(size_of::<DRIVER_OBJECT>() == 336 && offset_of!(DRIVER_OBJECT, DriverName) == 0x38);
    assert!(offset_of!(DRIVER_OBJECT, DriverUnload) == 0x68);
    assert!(offset_of!(DRIVER_OBJECT, MajorFunction) == 0x70);
    assert!(size_of::<DEVICE_OBJECT>() == 336 && offset_of!(DEVICE_OBJECT, Flags) == 0x30);
    assert!(
        offset_of!(DEVICE_OBJECT, DeviceExtension) == 0x40 && offset_of!(DEVICE_OBJECT, StackSize) == 0x4C
    );
    assert!(
        offset_of!(DEVICE_OBJECT, AlignmentRequirement) == 0x98 && offset_of!(DEVICE_OBJECT, Dpc) == 0xC8
    );
    assert!(offset_of!(DEVICE_OBJECT, DeviceLock) == 0x118);
    assert!(offset_of!(DEVICE_OBJECT, DeviceObjectExtension) == 0x138);
};
