//! Threads and devices. The driver of a run uses the kernel directly for these.

use core::ptr::null_mut;

use ntsim::{
    ddi,
    types::{_KWAIT_REASON, _MODE, FILE_DEVICE_UNKNOWN, PDEVICE_OBJECT, PVOID, STATUS_SUCCESS},
};

use super::world::ExecutorWorld;

/// The current thread.
pub(super) fn current() -> usize {
    // SAFETY: callable at any IRQL.
    unsafe { ddi::KeGetCurrentThread() }.addr()
}

type Main = Box<dyn FnOnce()>;

unsafe extern "C" fn call_main(context: PVOID) {
    // SAFETY: `Thread::spawn` passed a box, for one call.
    let main = unsafe { Box::from_raw(context.cast::<Main>()) };
    main();
}

/// A system thread of the driver.
pub(crate) struct Thread(PVOID);

impl Thread {
    /// Starts a thread. `None` if there is no memory. IRQL: PASSIVE_LEVEL.
    pub(crate) fn spawn(f: impl FnOnce() + 'static) -> Option<Self> {
        let main: Main = Box::new(f);
        let context = Box::into_raw(Box::new(main)).cast();
        let (mut handle, mut object, none) = (null_mut(), null_mut(), null_mut());
        let (main, mode) = (Some(call_main as _), _MODE::KernelMode as i8);
        // SAFETY: the context is a boxed main, and the routine is called once.
        let status = unsafe {
            ddi::PsCreateSystemThread(&raw mut handle, 0, null_mut(), null_mut(), null_mut(), main, context)
        };
        if status != STATUS_SUCCESS {
            // SAFETY: the box was made above, and no thread has taken it.
            drop(unsafe { Box::from_raw(context.cast::<Main>()) });
            return None;
        }
        // SAFETY: `handle` is the new thread's handle.
        unsafe { ddi::ObReferenceObjectByHandle(handle, 0, none, mode, &raw mut object, null_mut()) };
        // SAFETY: `handle` is the new thread's handle.
        unsafe { ddi::ZwClose(handle) };
        Some(Self(object))
    }

    /// Waits for the thread's end. IRQL: PASSIVE_LEVEL.
    pub(crate) fn join(self) {
        let (reason, mode) = (_KWAIT_REASON::Executive, _MODE::KernelMode as i8);
        // SAFETY: `self` holds a reference to the thread's object.
        unsafe { ddi::KeWaitForSingleObject(self.0, reason, mode, 0, null_mut()) };
        // SAFETY: this gives up the reference that `spawn` took.
        unsafe { ddi::ObfDereferenceObject(self.0) };
    }
}

/// Creates the driver's devices. The driver holds a reference to each, so that it may delete a
/// device and still spawn for it.
pub(super) fn make_devices(world: &ExecutorWorld) {
    for place in &world.devices {
        let (driver, mut device): (_, PDEVICE_OBJECT) = (ntsim::driver_object(), null_mut());
        // SAFETY: the arguments are valid.
        let status =
            unsafe { ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
        if status == STATUS_SUCCESS {
            // SAFETY: `device` is a new device.
            unsafe { ddi::ObfReferenceObject(device.cast()) };
            place.set(device);
        }
    }
}

/// Deletes a device, once. IRQL: PASSIVE_LEVEL.
pub(super) fn delete_device(world: &ExecutorWorld, number: usize) -> Option<()> {
    let device = world.devices[number].get();
    if device.is_null() || world.deleted[number].replace(true) {
        return None;
    }
    // SAFETY: the device is the driver's, and `deleted` makes this the only deletion.
    unsafe { ddi::IoDeleteDevice(device) };
    Some(())
}

/// Deletes the remaining devices and gives up the driver's references. The kernel then reports a
/// reference that is missing or leaked.
pub(super) fn delete_devices(world: &ExecutorWorld) {
    for (number, place) in world.devices.iter().enumerate() {
        delete_device(world, number);
        let device = place.replace(null_mut());
        if !device.is_null() {
            // SAFETY: this gives up the reference that `make_devices` took.
            unsafe { ddi::ObfDereferenceObject(device.cast()) };
        }
    }
}
