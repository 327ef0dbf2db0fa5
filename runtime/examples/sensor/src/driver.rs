//! DriverEntry, Unload, the device and its read requests.

use core::{ffi::c_void, ptr::null_mut, time::Duration};

use ntcom::{
    ComObject, ComRc, NTSTATUS, log,
    trace::{Level, set_sink},
};
use ntcom_exec::{
    DpcOptions, DrainError, IrpOutcome, Migrating, TaskBuilder, TaskTracker, default_tracker, spawn_irp_task,
};

use crate::{
    calibration::calibrate,
    kernel::{
        DEVICE_OBJECT, DO_BUFFERED_IO, DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, IRP, IRP_MJ_CLEANUP, IRP_MJ_CLOSE,
        IRP_MJ_CREATE, IRP_MJ_READ, IoCreateDevice, IoDeleteDevice, IoGetCurrentIrpStackLocation,
        IofCompleteRequest, UNICODE_STRING, read_length, set_dispatch, set_status, system_buffer,
    },
    sensor::{CHANNELS, ISensorRaw, Sensor},
    trace::{BOTH, PROVIDER},
};

/// `STATUS_BUFFER_TOO_SMALL`.
const BUFFER_TOO_SMALL: NTSTATUS = NTSTATUS::from_u32(0xC000_0023);

/// The interval after which Unload logs the tasks that it still waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// `STATUS_DEVICE_NOT_READY`.
const DEVICE_NOT_READY: NTSTATUS = NTSTATUS::from_u32(0xC000_00A3);

/// The device extension, which the system allocates with the device and fills with zeros: `None`.
/// From `load` to `unload` it holds one reference to the sensor.
type Extension = Option<ComRc<ISensorRaw>>;

/// The driver's DriverEntry.
///
/// # Safety
/// Only the system may call it.
pub unsafe fn entry(driver: *mut DRIVER_OBJECT, _registry_path: *const UNICODE_STRING) -> NTSTATUS {
    // SAFETY: the system passes the driver's own object.
    let driver = unsafe { &mut *driver };
    match load(driver) {
        Ok(()) => NTSTATUS::SUCCESS,
        Err(status) => status,
    }
}

/// Loads the driver. If it fails, it leaves nothing behind, because the system does not call Unload
/// then.
fn load(driver: &mut DRIVER_OBJECT) -> Result<(), NTSTATUS> {
    // If a later step fails, dropping `events` unregisters the provider. The driver also works
    // without a provider, but its events are lost.
    let events = PROVIDER.register().ok();
    set_sink(&BOTH);
    let sensor = ComObject::<_, ISensorRaw>::new(Sensor::default())?;
    let device = create_device(driver)?;
    // SAFETY: no other code has the new device yet, and the task keeps a reference to it.
    let placement = unsafe { Migrating::new(DpcOptions::new(), device) };
    let task = TaskBuilder::new().on(placement).spawn(calibrate());
    if let Err(refused) = task {
        // SAFETY: the device is new and not used elsewhere.
        unsafe { IoDeleteDevice(device) };
        return Err(refused);
    }
    // SAFETY: this driver has just made the device.
    let place = unsafe { extension(device) };
    // SAFETY: the place is the device's extension, which has the size of an `Extension`.
    unsafe { place.write(Some(sensor)) };
    for major in [IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE] {
        set_dispatch(driver, major, succeed);
    }
    set_dispatch(driver, IRP_MJ_READ, read);
    driver.DriverUnload = Some(unload);
    log!(Level::Info, "loaded, {CHANNELS} channels");
    // The provider stays registered until Unload unregisters it.
    if let Some(events) = events {
        events.keep();
    }
    Ok(())
}

fn create_device(driver: &mut DRIVER_OBJECT) -> Result<*mut DEVICE_OBJECT, NTSTATUS> {
    let mut device = null_mut();
    let size = size_of::<Extension>() as u32;
    // SAFETY: this runs at PASSIVE_LEVEL, and the arguments are valid.
    let status =
        unsafe { IoCreateDevice(driver, size, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
    if !NTSTATUS(status).is_success() {
        return Err(NTSTATUS(status));
    }
    // SAFETY: IoCreateDevice succeeded, so `device` is the new device.
    unsafe { (*device).Flags |= DO_BUFFERED_IO };
    Ok(device)
}

/// # Safety
/// `device` is a device of this driver.
unsafe fn extension(device: *mut DEVICE_OBJECT) -> *mut Extension {
    // SAFETY: the caller passes a device of this driver, which is alive.
    unsafe { (*device).DeviceExtension }.cast()
}

/// Unload. The system calls it when no handle to the device is open any more, and frees the image
/// after it.
unsafe extern "C" fn unload(driver: *mut DRIVER_OBJECT) {
    default_tracker(TaskTracker::close);
    default_tracker(TaskTracker::cancel_all);
    while let Err(DrainError::Stuck { .. }) = default_tracker(|tracker| tracker.drain(Some(PATIENCE))) {
        log_what_is_left();
    }
    // SAFETY: the system passes the driver's own object.
    let device = unsafe { (*driver).DeviceObject };
    // SAFETY: `device` is the driver's own device.
    let place = unsafe { extension(device) };
    // SAFETY: the device is not open and no task is left, so nothing else uses the extension.
    drop(unsafe { place.replace(None) });
    // SAFETY: no handle to the device is open, and no task of this driver is left.
    unsafe { IoDeleteDevice(device) };
    log!(Level::Info, "unloaded");
    PROVIDER.unregister();
}

/// Logs the tasks that Unload waits for.
fn log_what_is_left() {
    let mut tasks = [None; 8];
    let count = default_tracker(|tracker| tracker.report(&mut tasks));
    log!(Level::Warn, "Unload waits for {count} tasks");
    for task in tasks.into_iter().flatten() {
        log!(Level::Warn, "{task:?}");
    }
}

/// Returns a new reference to the sensor of a device, with which a driver answers
/// IRP_MN_QUERY_INTERFACE.
///
/// # Errors
/// `STATUS_DEVICE_NOT_READY`: the device has no sensor.
///
/// # Safety
/// `device` is a device of this driver, and open.
pub unsafe fn sensor_of(device: *mut DEVICE_OBJECT) -> Result<ComRc<ISensorRaw>, NTSTATUS> {
    // SAFETY: the caller passes a device of this driver.
    let place = unsafe { extension(device) };
    // SAFETY: only `load` and `unload` write to the extension, and the device is open.
    let sensor = unsafe { &*place };
    sensor.clone().ok_or(DEVICE_NOT_READY)
}

/// IRP_MJ_CREATE, IRP_MJ_CLEANUP and IRP_MJ_CLOSE need no work. Without these routines the system
/// refuses to open the device.
unsafe extern "C" fn succeed(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> i32 {
    // SAFETY: the system passes a request that this driver owns now.
    set_status(unsafe { &mut *irp }, NTSTATUS::SUCCESS.0);
    // SAFETY: as above, and the request is not used after this.
    unsafe { IofCompleteRequest(irp, 0) };
    NTSTATUS::SUCCESS.0
}

/// A request's buffer, which is valid until the request is completed.
struct Buffer(*mut u8);

// SAFETY: the buffer is non-paged memory, and only the task that serves the request uses it.
unsafe impl Send for Buffer {}

/// IRP_MJ_READ returns a sample of channel 0, as four bytes. The request is pending meanwhile, and
/// cancelling it cancels the conversion.
unsafe extern "C" fn read(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> i32 {
    // SAFETY: the system passes a request that this driver owns now.
    let location = unsafe { IoGetCurrentIrpStackLocation(irp) };
    // SAFETY: `location` is this driver's location of the request.
    let length = read_length(unsafe { &*location });
    // SAFETY: the system passes a request that this driver owns now.
    let buffer = Buffer(system_buffer(unsafe { &*irp }));
    // SAFETY: `device` is a device of this driver, and the request holds it open.
    let sensor = unsafe { sensor_of(device) };
    let body = async move {
        match sample_to(sensor, buffer, length).await {
            Ok(information) => IrpOutcome { status: NTSTATUS::SUCCESS, information },
            Err(status) => status.into(),
        }
    };
    // SAFETY: the request is new, and this routine does not use it again. Its buffer belongs to the
    // body until the body has ended.
    unsafe { spawn_irp_task(irp, body, |task| TaskBuilder::new().spawn(task)) }.0
}

async fn sample_to(
    sensor: Result<ComRc<ISensorRaw>, NTSTATUS>,
    buffer: Buffer,
    length: usize,
) -> Result<usize, NTSTATUS> {
    if length < size_of::<u32>() {
        return Err(BUFFER_TOO_SMALL);
    }
    let operation = sensor?.sample(0)?;
    let value = operation.into_future().cancel_on_drop().await?;
    let place: *mut c_void = buffer.0.cast();
    // SAFETY: the request has room for four bytes, and its buffer belongs to this body.
    unsafe { place.cast::<u32>().write_unaligned(value) };
    Ok(size_of::<u32>())
}
