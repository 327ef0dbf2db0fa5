//! Safe wrappers of devices and work items.

use core::ptr::null_mut;

use ntsim::{ddi, types::*};

use super::{allocate, free};

/// A device of the simulation's driver.
#[derive(Clone, Copy)]
pub(crate) struct Device(pub(crate) PDEVICE_OBJECT);

impl Device {
    /// Creates a device. Returns none if memory is low.
    pub(crate) fn try_new(extension: u32) -> Option<Self> {
        let mut device = null_mut();
        // SAFETY: the arguments are valid.
        let status = unsafe {
            ddi::IoCreateDevice(
                ntsim::driver_object(),
                extension,
                null_mut(),
                FILE_DEVICE_UNKNOWN,
                FILE_DEVICE_SECURE_OPEN,
                0,
                &raw mut device,
            )
        };
        (status == STATUS_SUCCESS).then_some(Self(device))
    }

    pub(crate) fn new() -> Self {
        Self::try_new(0).unwrap()
    }

    pub(crate) fn delete(self) {
        // SAFETY: the device exists; otherwise the simulated kernel ends the run.
        unsafe { ddi::IoDeleteDevice(self.0) }
    }

    pub(crate) fn extension(self) -> *mut u8 {
        // SAFETY: the device has not been deleted.
        unsafe { &*self.0 }.DeviceExtension.cast()
    }

    pub(crate) fn flags(self) -> u32 {
        // SAFETY: the device has not been deleted.
        unsafe { &*self.0 }.Flags
    }
}

type Body = Box<dyn Fn(WorkItem)>;

unsafe extern "C" fn call_body(_device: PVOID, context: PVOID, item: PIO_WORKITEM) {
    // SAFETY: `WorkItem::queue` passed a body that is never freed.
    let body = unsafe { &*context.cast::<Body>() };
    body(WorkItem(item));
}

/// A work item for a device.
#[derive(Clone, Copy)]
pub(crate) struct WorkItem(pub(crate) PIO_WORKITEM);

impl WorkItem {
    pub(crate) fn try_new(device: PDEVICE_OBJECT) -> Self {
        // SAFETY: the device exists; otherwise the simulated kernel ends the run.
        Self(unsafe { ddi::IoAllocateWorkItem(device) })
    }

    pub(crate) fn new(device: Device) -> Self {
        let item = Self::try_new(device.0);
        assert!(!item.0.is_null());
        item
    }

    /// Initialises an item in a block of the driver's own.
    pub(crate) fn in_block(device: Device) -> Self {
        // SAFETY: this runs inside a simulation run.
        let size = unsafe { ddi::IoSizeofWorkItem() };
        let item = Self(allocate(size.into()).cast());
        item.initialize(device);
        item
    }

    pub(crate) fn initialize(self, device: Device) {
        // SAFETY: `in_block` has allocated the storage.
        unsafe { ddi::IoInitializeWorkItem(device.0.cast(), self.0) }
    }

    pub(crate) fn uninitialize(self) {
        // SAFETY: the item is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::IoUninitializeWorkItem(self.0) }
    }

    pub(crate) fn free_block(self) {
        free(self.0);
    }

    pub(crate) fn queue_to(self, queue: WORK_QUEUE_TYPE, f: impl Fn(Self) + 'static) {
        let body: Body = Box::new(f);
        // The body is leaked, because the routine may run at any time, or never.
        let context = Box::into_raw(Box::new(body));
        // SAFETY: the item is valid, otherwise the simulated kernel ends the run; the routine's
        // context is a body.
        unsafe { ddi::IoQueueWorkItemEx(self.0, Some(call_body), queue, context.cast()) }
    }

    pub(crate) fn queue(self, f: impl Fn(Self) + 'static) {
        self.queue_to(_WORK_QUEUE_TYPE::DelayedWorkQueue, f);
    }

    pub(crate) fn free(self) {
        // SAFETY: the item is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::IoFreeWorkItem(self.0) }
    }
}
