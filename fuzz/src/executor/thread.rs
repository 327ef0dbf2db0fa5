//! Threads, devices and IRQLs: what the driver of a run does with the kernel itself.

use core::ptr::null_mut;

use ntsim::{
    ddi,
    types::{_KWAIT_REASON, _MODE, FILE_DEVICE_UNKNOWN, PDEVICE_OBJECT, PVOID, STATUS_SUCCESS},
};

use super::world::World;

/// The thread that runs.
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
    /// Starts one; none where there is no memory. IRQL: PASSIVE_LEVEL.
    pub(crate) fn spawn(f: impl FnOnce() + 'static) -> Option<Self> {
        let main: Main = Box::new(f);
        let context = Box::into_raw(Box::new(main)).cast();
        let (mut handle, mut object, none) = (null_mut(), null_mut(), null_mut());
        let (main, mode) = (Some(call_main as _), _MODE::KernelMode as i8);
        // SAFETY: the routine's context is a main, for the one call that there is.
        let status = unsafe {
            ddi::PsCreateSystemThread(&raw mut handle, 0, null_mut(), null_mut(), null_mut(), main, context)
        };
        if status != STATUS_SUCCESS {
            // SAFETY: made above, and not given away.
            drop(unsafe { Box::from_raw(context.cast::<Main>()) });
            return None;
        }
        // SAFETY: the new thread's handle.
        unsafe { ddi::ObReferenceObjectByHandle(handle, 0, none, mode, &raw mut object, null_mut()) };
        // SAFETY: as above.
        unsafe { ddi::ZwClose(handle) };
        Some(Self(object))
    }

    /// Waits for its end. IRQL: PASSIVE_LEVEL.
    pub(crate) fn join(self) {
        let (reason, mode) = (_KWAIT_REASON::Executive, _MODE::KernelMode as i8);
        // SAFETY: the thread's object, which is referenced.
        unsafe { ddi::KeWaitForSingleObject(self.0, reason, mode, 0, null_mut()) };
        // SAFETY: the reference of `spawn`.
        unsafe { ddi::ObfDereferenceObject(self.0) };
    }
}

/// Makes the driver's devices, with a reference of the driver's to each: it may delete one and spawn for it still.
pub(super) fn make_devices(world: &World) {
    super::request::install();
    super::world::init_events();
    for place in &world.devices {
        let (driver, mut device): (_, PDEVICE_OBJECT) = (ntsim::driver_object(), null_mut());
        // SAFETY: the arguments are valid.
        let status =
            unsafe { ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
        if status == STATUS_SUCCESS {
            // SAFETY: a device.
            unsafe { ddi::ObfReferenceObject(device.cast()) };
            place.set(device);
        }
    }
}

/// Deletes a device, once. IRQL: PASSIVE_LEVEL.
pub(super) fn delete_device(world: &World, number: usize) -> Option<()> {
    let device = world.devices[number].get();
    if device.is_null() || world.deleted[number].replace(true) {
        return None;
    }
    // SAFETY: a device of the driver's, which is deleted once.
    unsafe { ddi::IoDeleteDevice(device) };
    Some(())
}

/// Deletes what is left of the devices: who does not hold one any more is told so, who leaks one is found out.
pub(super) fn delete_devices(world: &World) {
    for (number, place) in world.devices.iter().enumerate() {
        delete_device(world, number);
        let device = place.replace(null_mut());
        if !device.is_null() {
            // SAFETY: the reference of `make_devices`.
            unsafe { ddi::ObfDereferenceObject(device.cast()) };
        }
    }
}

/// To DISPATCH_LEVEL, if the actor is not there already.
pub(super) fn raise(world: &World, actor: usize) {
    let raised = &world.raised[actor];
    if raised.get().is_none() {
        // SAFETY: from below, by a program at PASSIVE_LEVEL.
        raised.set(Some(unsafe { ddi::KeRaiseIrqlToDpcLevel() }));
    }
}

/// Back to where it was.
pub(super) fn lower(world: &World, actor: usize) {
    if let Some(irql) = world.raised[actor].take() {
        // SAFETY: what the raise answered.
        unsafe { ddi::KeLowerIrql(irql) };
    }
}
