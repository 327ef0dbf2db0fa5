//! DriverEntry, Unload, the device and its read requests.

use core::{ffi::c_void, ptr::null_mut, time::Duration};

use ntcom::{
    ComObject, ComRc, NTSTATUS, log,
    trace::{Level, set_sink},
};
use ntcom_exec::{
    DpcOptions, DrainError, IrpOutcome, OnDevice, TaskBuilder, TaskTracker, default_tracker, spawn_irp_task,
};

use crate::{
    calibration::calibrate,
    kernel::{
        DEVICE_OBJECT, DO_BUFFERED_IO, DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, IRP, IRP_MJ_READ, IoCreateDevice,
        IoDeleteDevice, IoGetCurrentIrpStackLocation, UNICODE_STRING, read_length, set_dispatch,
        system_buffer,
    },
    sensor::{CHANNELS, ISensorClient as _, ISensorRaw, Sensor},
    trace::{BOTH, PROVIDER},
};

/// `STATUS_BUFFER_TOO_SMALL`.
const BUFFER_TOO_SMALL: NTSTATUS = NTSTATUS::from_u32(0xC000_0023);

/// How long Unload waits before it says what it waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the system allocates with the device: one reference to the sensor.
type Extension = *mut ISensorRaw;

/// DriverEntry.
///
/// # Safety
/// For the system to call.
pub unsafe fn entry(driver: *mut DRIVER_OBJECT, _registry_path: *const UNICODE_STRING) -> NTSTATUS {
    // SAFETY: the system's driver object.
    let driver = unsafe { &mut *driver };
    match load(driver) {
        Ok(()) => NTSTATUS::SUCCESS,
        Err(status) => status,
    }
}

/// Where it fails, nothing is left: Unload is not called then.
fn load(driver: &mut DRIVER_OBJECT) -> Result<(), NTSTATUS> {
    // Where something fails below, this ends with it. Without it nobody hears the driver, which works all the same.
    let events = PROVIDER.register().ok();
    set_sink(&BOTH);
    let sensor = ComObject::<_, ISensorRaw>::new(Sensor::default())?;
    let device = create_device(driver)?;
    // SAFETY: the new device, which nobody else has yet; the task keeps a reference to it.
    let placement = unsafe { OnDevice::new(DpcOptions::new(), device) };
    let task = TaskBuilder::new().on(placement).spawn(calibrate());
    if let Err(refused) = task {
        // SAFETY: as above.
        unsafe { IoDeleteDevice(device) };
        return Err(refused);
    }
    // SAFETY: the new device.
    let place = unsafe { extension(device) };
    // SAFETY: its extension, which is as large as this.
    unsafe { place.write(sensor.into_raw()) };
    set_dispatch(driver, IRP_MJ_READ, read);
    driver.DriverUnload = Some(unload);
    log!(Level::Info, "loaded, {CHANNELS} channels");
    // Unload ends it.
    if let Some(events) = events {
        events.keep();
    }
    Ok(())
}

fn create_device(driver: &mut DRIVER_OBJECT) -> Result<*mut DEVICE_OBJECT, NTSTATUS> {
    let mut device = null_mut();
    let size = size_of::<Extension>() as u32;
    // SAFETY: PASSIVE_LEVEL; the arguments are valid.
    let status =
        unsafe { IoCreateDevice(driver, size, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
    if !NTSTATUS(status).is_success() {
        return Err(NTSTATUS(status));
    }
    // SAFETY: the new device.
    unsafe { (*device).Flags |= DO_BUFFERED_IO };
    Ok(device)
}

/// # Safety
/// A device of this driver.
unsafe fn extension(device: *mut DEVICE_OBJECT) -> *mut Extension {
    // SAFETY: by this function's contract.
    unsafe { (*device).DeviceExtension }.cast()
}

/// Unload. The system calls it when nobody has the device open any more, and frees the image after it.
unsafe extern "C" fn unload(driver: *mut DRIVER_OBJECT) {
    default_tracker(TaskTracker::close);
    default_tracker(TaskTracker::cancel_all);
    while let Err(DrainError::Stuck { .. }) = default_tracker(|tracker| tracker.drain(Some(PATIENCE))) {
        log_what_is_left();
    }
    // SAFETY: the driver's own object, and device.
    let device = unsafe { (*driver).DeviceObject };
    // SAFETY: the driver's device.
    let place = unsafe { extension(device) };
    // SAFETY: written by `load`, and the reference is the device's.
    let sensor = unsafe { place.read() };
    // SAFETY: as above.
    drop(unsafe { ComRc::from_raw(sensor) });
    // SAFETY: nobody uses it any more.
    unsafe { IoDeleteDevice(device) };
    log!(Level::Info, "unloaded");
    PROVIDER.unregister();
}

/// Says which tasks Unload waits for.
fn log_what_is_left() {
    let mut tasks = [None; 8];
    let count = default_tracker(|tracker| tracker.report(&mut tasks));
    log!(Level::Warn, "Unload waits for {count} tasks");
    for task in tasks.into_iter().flatten() {
        log!(Level::Warn, "{task:?}");
    }
}

/// One more reference to the sensor of a device: what a driver answers IRP_MN_QUERY_INTERFACE with.
///
/// # Errors
/// None of this driver's.
///
/// # Safety
/// A device of this driver, which is open.
pub unsafe fn sensor_of(device: *mut DEVICE_OBJECT) -> Result<ComRc<ISensorRaw>, NTSTATUS> {
    // SAFETY: a device of this driver.
    let place = unsafe { extension(device) };
    // SAFETY: written by `load`.
    let sensor = unsafe { place.read() };
    // SAFETY: the reference is the device's, and stays its own.
    let borrowed = core::mem::ManuallyDrop::new(unsafe { ComRc::from_raw(sensor) }?);
    Ok(ComRc::clone(&borrowed))
}

/// A buffer that a request has until it is completed.
struct Buffer(*mut u8);

// SAFETY: it is non-paged memory, and the task's that serves the request.
unsafe impl Send for Buffer {}

/// IRP_MJ_READ: a sample of channel 0, as four bytes. The request is pending meanwhile, and cancelling it cancels the conversion.
unsafe extern "C" fn read(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> i32 {
    // SAFETY: the system's request.
    let location = unsafe { IoGetCurrentIrpStackLocation(irp) };
    // SAFETY: this driver's location of the request.
    let length = read_length(unsafe { &*location });
    // SAFETY: the system's request.
    let buffer = Buffer(system_buffer(unsafe { &*irp }));
    // SAFETY: a device of this driver, which the request holds.
    let sensor = unsafe { sensor_of(device) };
    let body = async move {
        match sample_to(sensor, buffer, length).await {
            Ok(information) => IrpOutcome { status: NTSTATUS::SUCCESS, information },
            Err(status) => status.into(),
        }
    };
    // SAFETY: a new request, of which this is the last use but for its buffer, which is the body's until it has ended.
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
    // SAFETY: the request has room for so much, and is this body's.
    unsafe { place.cast::<u32>().write_unaligned(value) };
    Ok(size_of::<u32>())
}
