//! A driver with routines that tests put together, for the tests of `ntsim::io`.

use core::cell::{Cell, RefCell};

use ntsim::{Stop, io, types::*};

use super::{Dpc, alone, io::Device, irps::*};

pub(crate) type Dispatch = unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS;

/// The log of the tests' driver, and the IRPs that it keeps.
#[derive(Default)]
pub(crate) struct Driver {
    pub(crate) log: RefCell<Vec<String>>,
    pub(crate) kept: RefCell<Vec<Irp>>,
    pub(crate) dpc: Cell<Option<Dpc>>,
    pub(crate) information: Cell<u64>,
}

pub(crate) fn driver() -> &'static Driver {
    // SAFETY: image state lives until the simulation is reset, which no test's run outlives.
    unsafe { &*ntsim::image_state::<Driver>() }
}

pub(crate) fn log(line: impl Into<String>) {
    driver().log.borrow_mut().push(line.into());
}

pub(crate) fn logged() -> Vec<String> {
    driver().log.take()
}

/// Sets the dispatch routine of a function.
pub(crate) fn set(major: usize, routine: Dispatch) {
    // SAFETY: the driver object lives as long as the simulation, and no other reference is used.
    let driver = unsafe { &mut *ntsim::driver_object() };
    *driver.MajorFunction.get_mut(major).unwrap() = routine as *mut core::ffi::c_void;
}

/// Sets the dispatch routine of all functions but control requests.
pub(crate) fn set_all(routine: Dispatch) {
    for major in [IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_READ, IRP_MJ_WRITE] {
        set(major, routine);
    }
}

/// The name of the function of an IRP.
pub(crate) fn name(irp: Irp) -> &'static str {
    match usize::from(irp.current().MajorFunction) {
        IRP_MJ_CREATE => "create",
        IRP_MJ_CLEANUP => "cleanup",
        IRP_MJ_CLOSE => "close",
        IRP_MJ_READ => "read",
        IRP_MJ_WRITE => "write",
        _ => "control",
    }
}

/// Logs the request and succeeds.
pub(crate) unsafe extern "C" fn succeeds(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    log(name(Irp(irp)));
    Irp(irp).complete(STATUS_SUCCESS)
}

pub(crate) unsafe extern "C" fn fails(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    log(name(Irp(irp)));
    Irp(irp).complete(STATUS_UNSUCCESSFUL)
}

pub(crate) unsafe extern "C" fn on_cancel(_device: PDEVICE_OBJECT, irp: PIRP) {
    let irp = Irp(irp);
    driver().kept.borrow_mut().retain(|kept| kept.0 != irp.0);
    release_cancel_lock(irp.cancel_irql());
    irp.complete(STATUS_CANCELLED);
}

/// Keeps the request, until it is cancelled or [`complete_kept`].
pub(crate) unsafe extern "C" fn keeps(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    log(name(Irp(irp)));
    let irp = Irp(irp);
    irp.mark_pending();
    let irql = acquire_cancel_lock();
    irp.set_cancel_routine(Some(on_cancel));
    if irp.is_canceled() && irp.set_cancel_routine(None) {
        release_cancel_lock(irql);
        irp.complete(STATUS_CANCELLED);
    } else {
        driver().kept.borrow_mut().push(irp);
        release_cancel_lock(irql);
    }
    STATUS_PENDING
}

/// Completes the first request that [`keeps`] has kept. False without one.
pub(crate) fn complete_kept() -> bool {
    let irql = acquire_cancel_lock();
    let first = driver().kept.borrow().first().copied();
    let mine = first.filter(|irp| irp.set_cancel_routine(None));
    if mine.is_some() {
        driver().kept.borrow_mut().remove(0);
    }
    release_cancel_lock(irql);
    mine.is_some_and(|irp| irp.complete(STATUS_SUCCESS) == STATUS_SUCCESS)
}

/// The fields of an IRP that the driver has.
pub(crate) fn fields<'a>(irp: Irp) -> &'a mut IRP {
    // SAFETY: the driver has the IRP, and no other reference is used.
    unsafe { &mut *irp.0 }
}

pub(crate) fn information(irp: Irp, information: u64) {
    fields(irp).IoStatus.Information = information;
}

pub(crate) fn system_buffer(irp: Irp) -> *mut u8 {
    fields(irp).AssociatedIrp.cast()
}

/// The fields of a device that exists.
pub(crate) fn device_fields<'a>(device: PDEVICE_OBJECT) -> &'a mut DEVICE_OBJECT {
    // SAFETY: the device exists, and no other reference is used.
    unsafe { &mut *device }
}

/// The first device of the driver.
pub(crate) fn first() -> Device {
    // SAFETY: the driver object lives as long as the simulation.
    Device(unsafe { (*ntsim::driver_object()).DeviceObject })
}

/// Adds one to each byte of the system buffer, and claims the information that the test wants.
pub(crate) unsafe extern "C" fn adds_one(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let irp = Irp(irp);
    let [first, second, ..] = irp.current().Parameters;
    for index in 0..first.max(second) as usize {
        let byte = system_buffer(irp).wrapping_add(index);
        // SAFETY: the buffer has this length.
        let byte = unsafe { &mut *byte };
        *byte = byte.wrapping_add(1);
    }
    information(irp, driver().information.get());
    irp.complete(STATUS_SUCCESS)
}

/// A device that can be opened, with these flags.
pub(crate) fn device(flags: u32) -> Device {
    let device = Device::new();
    device_fields(device.0).Flags = device.flags() & !DO_DEVICE_INITIALIZING | flags;
    set_all(succeeds);
    device
}

pub(crate) fn buffered() -> (Device, io::File) {
    let device = device(DO_BUFFERED_IO);
    (device, io::File::open(device.0).unwrap())
}

pub(crate) fn failure(f: impl FnOnce() + 'static) -> String {
    match alone(f) {
        Err(Stop::Failure { oracle, message, .. }) => format!("{oracle}: {message}"),
        other => panic!("no failure, but {other:?}"),
    }
}

/// The control code of the tests, for each method of buffering.
pub(crate) const CODE: u32 = FILE_DEVICE_UNKNOWN << 16 | 0x800 << 2;
