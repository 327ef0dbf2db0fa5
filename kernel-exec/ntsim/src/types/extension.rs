//! The parts of drivers and devices outside of their objects.

use core::ptr::null_mut;

use super::{CSHORT, LONG, NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT, PVOID, ULONG, UNICODE_STRING, USHORT};

/// A routine that adds a device of the driver for a device that was found. Called at PASSIVE_LEVEL.
pub type PDRIVER_ADD_DEVICE = Option<
    unsafe extern "C" fn(DriverObject: PDRIVER_OBJECT, PhysicalDeviceObject: PDEVICE_OBJECT) -> NTSTATUS,
>;

/// A driver's extension.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _DRIVER_EXTENSION {
    /// The driver.
    pub DriverObject: PDRIVER_OBJECT,
    /// The AddDevice routine.
    pub AddDevice: PDRIVER_ADD_DEVICE,
    /// How often the driver's reinitialisation routine was called.
    pub Count: ULONG,
    /// The name of the driver's key in the registry.
    pub ServiceKeyName: UNICODE_STRING,
}
/// A driver's extension.
pub type DRIVER_EXTENSION = _DRIVER_EXTENSION;
/// A pointer to a driver's extension.
pub type PDRIVER_EXTENSION = *mut DRIVER_EXTENSION;

impl Default for _DRIVER_EXTENSION {
    /// An extension without a driver.
    fn default() -> Self {
        Self {
            DriverObject: null_mut(),
            AddDevice: None,
            Count: 0,
            ServiceKeyName: UNICODE_STRING::default(),
        }
    }
}

/// The system's part of a device, as far as its header declares it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _DEVOBJ_EXTENSION {
    /// The kind of object, 13.
    pub Type: CSHORT,
    /// The size of the extension, 0 as in NT.
    pub Size: USHORT,
    /// The device.
    pub DeviceObject: PDEVICE_OBJECT,
    pub(crate) PowerFlags: ULONG,
    pub(crate) Dope: PVOID,
    pub(crate) ExtensionFlags: ULONG,
    pub(crate) DeviceNode: PVOID,
    pub(crate) AttachedTo: PDEVICE_OBJECT,
    pub(crate) StartIoCount: LONG,
    pub(crate) StartIoKey: LONG,
    pub(crate) StartIoFlags: ULONG,
    pub(crate) Vpb: PVOID,
}
/// The system's part of a device.
pub type DEVOBJ_EXTENSION = _DEVOBJ_EXTENSION;
/// A pointer to the system's part of a device.
pub type PDEVOBJ_EXTENSION = *mut DEVOBJ_EXTENSION;

impl Default for _DEVOBJ_EXTENSION {
    /// An extension without a device.
    fn default() -> Self {
        Self {
            Type: 13,
            Size: 0,
            DeviceObject: null_mut(),
            PowerFlags: 0,
            Dope: null_mut(),
            ExtensionFlags: 0,
            DeviceNode: null_mut(),
            AttachedTo: null_mut(),
            StartIoCount: 0,
            StartIoKey: 0,
            StartIoFlags: 0,
            Vpb: null_mut(),
        }
    }
}

/// The driver's Unload routine was called.
pub const DRVO_UNLOAD_INVOKED: ULONG = 0x01;
/// The driver has no AddDevice routine.
pub const DRVO_LEGACY_DRIVER: ULONG = 0x02;
/// The driver's DriverEntry has succeeded.
pub const DRVO_INITIALIZED: ULONG = 0x10;

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<DRIVER_EXTENSION>() == 40 && offset_of!(DRIVER_EXTENSION, AddDevice) == 8);
    assert!(offset_of!(DRIVER_EXTENSION, ServiceKeyName) == 24);
    assert!(
        offset_of!(DEVOBJ_EXTENSION, DeviceObject) == 8 && offset_of!(DEVOBJ_EXTENSION, AttachedTo) == 48
    );
};
