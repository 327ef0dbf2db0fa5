//! DriverEntry, Unload, the device, its timer and its read requests.

use core::{ptr::null_mut, time::Duration};

use ntcom::NTSTATUS;
use ntcom_exec::{IrpOutcome, TaskBuilder, TaskTracker, default_tracker, interval, spawn_irp_task};

use crate::{
    items::QUEUE,
    kernel::{
        DEVICE_OBJECT, DO_BUFFERED_IO, DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, IRP, IRP_MJ_CLOSE,
        IRP_MJ_CREATE, IRP_MJ_READ, IoCreateDevice, IoDeleteDevice, UNICODE_STRING, complete,
        read_length, set_dispatch, system_buffer,
    },
};

/// The time in which the device makes an item.
const PERIOD: Duration = Duration::from_millis(20);

/// `STATUS_BUFFER_TOO_SMALL`.
const BUFFER_TOO_SMALL: NTSTATUS = NTSTATUS::from_u32(0xC000_0023);

/// DriverEntry. If it fails, it leaves nothing behind, because the system does not call Unload
/// then.
///
/// # Safety
/// Only the system calls it.
pub unsafe fn entry(driver: *mut DRIVER_OBJECT, _path: *const UNICODE_STRING) -> NTSTATUS {
    // SAFETY: the system passes the driver's own object.
    let driver = unsafe { &mut *driver };
    let mut device = null_mut();
    // SAFETY: this runs at PASSIVE_LEVEL, and the arguments are valid.
    let status = unsafe {
        IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device)
    };
    if status < 0 {
        return NTSTATUS(status);
    }
    // SAFETY: `device` is the new device.
    unsafe { (*device).Flags |= DO_BUFFERED_IO };
    if let Err(status) = TaskBuilder::new().spawn(make_items()) {
        // SAFETY: the device is new, and nothing else uses it.
        unsafe { IoDeleteDevice(device) };
        return status;
    }
    set_dispatch(driver, IRP_MJ_CREATE, open_or_close);
    set_dispatch(driver, IRP_MJ_CLOSE, open_or_close);
    set_dispatch(driver, IRP_MJ_READ, read);
    driver.DriverUnload = Some(unload);
    NTSTATUS::SUCCESS
}

/// Unload. The system calls it when no handle to the device is open, and frees the image after it.
unsafe extern "C" fn unload(driver: *mut DRIVER_OBJECT) {
    default_tracker(TaskTracker::close);
    default_tracker(TaskTracker::cancel_all);
    let drained = default_tracker(|tracker| tracker.drain(None));
    debug_assert_eq!(drained, Ok(()), "Unload runs at PASSIVE_LEVEL, and in no task");
    QUEUE.check();
    // SAFETY: the system passes the driver's own object, and the device is not used any more.
    unsafe { IoDeleteDevice((*driver).DeviceObject) };
}

/// Makes an item each period, until Unload cancels it. A timer's DPC wakes it.
async fn make_items() {
    let mut period = interval(PERIOD);
    loop {
        match period.tick().await {
            Ok(_) => QUEUE.make(),
            // There was no memory for the timer.
            Err(status) => return QUEUE.fail(status),
        }
    }
}

/// IRP_MJ_CREATE and IRP_MJ_CLOSE.
unsafe extern "C" fn open_or_close(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> i32 {
    // SAFETY: the system passes a request, which this driver owns now.
    unsafe { complete(irp, NTSTATUS::SUCCESS) }
}

/// A request's buffer.
struct Buffer(*mut u8);

// SAFETY: the buffer is non-paged memory, and only the request's task uses it.
unsafe impl Send for Buffer {}

/// IRP_MJ_READ returns the next item, as four bytes. The request is pending until there is one, and
/// may be cancelled meanwhile.
unsafe extern "C" fn read(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> i32 {
    // SAFETY: the system passes a request, which this driver owns now.
    let (length, buffer) = unsafe { (read_length(irp), Buffer(system_buffer(irp))) };
    let body = async move {
        match read_item(length, buffer).await {
            Ok(information) => IrpOutcome { status: NTSTATUS::SUCCESS, information },
            Err(status) => status.into(),
        }
    };
    // SAFETY: the request is new, and this routine does not use it again.
    unsafe { spawn_irp_task(irp, body, |task| TaskBuilder::new().spawn(task)) }.0
}

/// Writes the next item into a buffer of so many bytes. Returns the number of bytes written.
async fn read_item(length: usize, buffer: Buffer) -> Result<usize, NTSTATUS> {
    if length < size_of::<u32>() {
        return Err(BUFFER_TOO_SMALL);
    }
    let item = QUEUE.next().await?;
    // SAFETY: the buffer has room for four bytes, and belongs to this task.
    unsafe { buffer.0.cast::<u32>().write_unaligned(item) };
    Ok(size_of::<u32>())
}
