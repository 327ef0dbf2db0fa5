//! DriverEntry, Unload, and devices
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nc-wdm-driver_initialize,
//! `nc-wdm-driver_unload`, `nf-wdm-iocreatedevice`, `nf-wdm-iodeletedevice`).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use common::{io::*, waiting::*, *};
use ntsim::{Config, DriverEntry, Schedule, Simulation, Stop, ddi, types::*};

fn kernel() -> Simulation {
    Simulation::new(processors(2), Schedule::seed(4))
}

fn load(kernel: &mut Simulation, entry: DriverEntry) -> Result<NTSTATUS, Stop> {
    // SAFETY: the drivers of these tests keep their promises.
    unsafe { kernel.load_driver(1, entry) }
}

fn unload(kernel: &mut Simulation) -> Result<(), Stop> {
    // SAFETY: the drivers of these tests keep their promises.
    unsafe { kernel.unload_driver(0) }
}

unsafe extern "C" fn delete_devices(driver: PDRIVER_OBJECT) {
    assert_eq!(current_irql(), 0);
    loop {
        // SAFETY: the driver object lives as long as the simulation.
        let device = unsafe { (*driver).DeviceObject };
        if device.is_null() {
            return;
        }
        Device(device).delete();
    }
}

unsafe extern "C" fn two_devices(driver: PDRIVER_OBJECT, path: PUNICODE_STRING) -> NTSTATUS {
    assert_eq!(current_irql(), 0);
    // SAFETY: DriverEntry's argument is a valid string.
    let path = unsafe { *path };
    assert!(path.Length > 0 && !path.Buffer.is_null());
    let (first, second) = (Device::try_new(8).unwrap(), Device::new());
    assert_eq!(first.flags(), DO_DEVICE_INITIALIZING);
    assert!(!first.extension().is_null() && second.extension().is_null());
    // SAFETY: the driver object lives as long as the simulation.
    unsafe { (*driver).DriverUnload = Some(delete_devices) };
    STATUS_SUCCESS
}

#[test]
fn a_driver_is_loaded_and_unloaded() {
    let mut kernel = kernel();
    for seed in 0..3 {
        assert_eq!(load(&mut kernel, two_devices).unwrap(), STATUS_SUCCESS);
        unload(&mut kernel).unwrap();
        kernel.reset(processors(2), Schedule::seed(seed));
    }
}

unsafe extern "C" fn fails_and_leaves_a_device(_driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    Device::new();
    STATUS_INSUFFICIENT_RESOURCES
}

unsafe extern "C" fn fails_cleanly(driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    let device = Device::new();
    // SAFETY: the driver object lives as long as the simulation.
    unsafe { (*driver).DriverUnload = Some(delete_devices) };
    device.delete();
    STATUS_INSUFFICIENT_RESOURCES
}

unsafe extern "C" fn fails_with_a_dpc_queued(_driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    let timer = Timer::new();
    timer.set(-1, Some(Dpc::new(move || ())));
    STATUS_INSUFFICIENT_RESOURCES
}

#[test]
fn a_driver_that_fails_to_load_is_freed_at_once_without_unload() {
    let stop = load(&mut kernel(), fails_and_leaves_a_device).unwrap_err();
    let bug = stop.bug_check().unwrap();
    assert_eq!((bug.code, bug.parameters[0]), (0xC4, 0x62));
    assert_eq!(load(&mut kernel(), fails_with_a_dpc_queued).unwrap_err().bug_check().unwrap().code, 0xCE);
    assert_eq!(load(&mut kernel(), fails_cleanly).unwrap(), STATUS_INSUFFICIENT_RESOURCES);
}

unsafe extern "C" fn leave_the_device(_driver: PDRIVER_OBJECT) {}

unsafe extern "C" fn a_device(driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    Device::new();
    // SAFETY: the driver object lives as long as the simulation.
    unsafe { (*driver).DriverUnload = Some(leave_the_device) };
    STATUS_SUCCESS
}

#[test]
fn a_stop_for_what_unload_has_left_names_the_routine_and_its_place() {
    let mut kernel = kernel();
    load(&mut kernel, a_device).unwrap();
    let stop = unload(&mut kernel).unwrap_err();
    let bug = stop.bug_check().unwrap();
    assert_eq!((bug.code, bug.parameters[0]), (0xC4, 0x62));
    let [routine] = &bug.backtrace[..] else { panic!("{stop}") };
    assert!(routine.contains("leave_the_device (drivers.rs:"), "{stop}");
}

unsafe extern "C" fn nothing(_driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    STATUS_SUCCESS
}

#[test]
fn a_driver_without_an_unload_routine_is_not_unloaded() {
    let mut kernel = kernel();
    load(&mut kernel, nothing).unwrap();
    let stop = unload(&mut kernel).unwrap_err();
    assert!(matches!(stop, Stop::Failure { oracle: "unload", .. }), "{stop}");
}

/// A wait that is longer than the run, which does not linger.
const FAR: i64 = -1_000_000_000;

unsafe extern "C" fn work_that_waits(driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    let event = Event::notification();
    WorkItem::new(Device::new()).queue(move |_| _ = wait(&event, Some(FAR)));
    // SAFETY: the driver object lives as long as the simulation.
    unsafe { (*driver).DriverUnload = Some(delete_devices) };
    STATUS_SUCCESS
}

#[test]
fn unload_is_not_called_while_a_work_item_holds_the_device() {
    let mut kernel = Simulation::new(Config { linger: 0, ..processors(2) }, Schedule::seed(4));
    load(&mut kernel, work_that_waits).unwrap();
    let stop = unload(&mut kernel).unwrap_err();
    let Stop::Failure { oracle: "unload", message, .. } = stop else { panic!("{stop}") };
    assert!(message.contains("holds the driver's device"), "{message}");
}

unsafe extern "C" fn wait_for_long(_parameter: PVOID) {
    wait(&Event::notification(), Some(FAR));
}

unsafe extern "C" fn work_behind_work_that_waits(driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    let first: PWORK_QUEUE_ITEM = object();
    // SAFETY: `object` has allocated the storage, which is never freed.
    unsafe { ddi::ExInitializeWorkItem(first, Some(wait_for_long), core::ptr::null_mut()) };
    // SAFETY: the object is initialised.
    unsafe { ddi::ExQueueWorkItem(first, _WORK_QUEUE_TYPE::DelayedWorkQueue) };
    WorkItem::new(Device::new()).queue(|_| ());
    // SAFETY: the driver object lives as long as the simulation.
    unsafe { (*driver).DriverUnload = Some(delete_devices) };
    STATUS_SUCCESS
}

#[test]
fn unload_is_not_called_while_a_queued_work_item_holds_the_device() {
    let mut kernel = Simulation::new(Config { workers: 1, linger: 0, ..processors(2) }, Schedule::seed(4));
    load(&mut kernel, work_behind_work_that_waits).unwrap();
    let stop = unload(&mut kernel).unwrap_err();
    let Stop::Failure { oracle: "unload", message, .. } = stop else { panic!("{stop}") };
    assert!(message.contains("holds the driver's device"), "{message}");
}

#[test]
fn a_device_lives_as_long_as_references_to_it() {
    fine(|| {
        let device = Device::try_new(8).unwrap();
        assert_eq!(reference(device.0.cast()), 2);
        device.delete();
        assert_eq!(peek(device.extension(), 7), 0);
        assert_eq!(dereference(device.0.cast()), 0);
    });
}

#[test]
fn a_device_is_deleted_once_and_not_dereferenced_too_often() {
    let twice = || {
        let device = Device::new();
        reference(device.0.cast());
        device.delete();
        device.delete();
    };
    assert_eq!(code(twice), (0xC4, 0x3F));
    assert_eq!(code(|| _ = dereference(Device::new().0.cast())), (0xC4, 0x3F));
    let gone = || {
        let device = Device::new();
        device.delete();
        reference(device.0.cast());
    };
    assert_eq!(code(gone), (0xC4, 0x3F));
    assert_eq!(code(|| free(Device::new().0)), (0xC2, 0x46), "the kernel's own pool");
}

#[test]
fn a_device_cannot_be_made_where_memory_is_low_or_irql_is_raised() {
    fine(|| {
        ntsim::fail_allocation(0);
        assert!(Device::try_new(8).is_none());
    });
    assert_eq!(code(|| _ = (raise_to_dpc_level(), Device::try_new(0))), (0xC4, 0xE5));
}

#[test]
fn what_is_not_supported_of_devices_is_refused() {
    let stop = alone(|| {
        let mut device = core::ptr::null_mut();
        let mut driver = DRIVER_OBJECT::default();
        // SAFETY: the arguments are valid.
        unsafe { ddi::IoCreateDevice(&raw mut driver, 0, core::ptr::null_mut(), 0, 0, 0, &raw mut device) };
    });
    assert!(matches!(stop, Err(Stop::Failure { oracle: "not supported", .. })), "{stop:?}");
}
