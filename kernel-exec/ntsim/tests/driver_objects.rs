//! Fields of a driver object and of device objects that drivers and debuggers read
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/ns-wdm-_driver_object,
//! `ns-wdm-_device_object`, `nf-wdm-iocreatedevice`,
//! learn.microsoft.com/windows-hardware/drivers/kernel/initializing-a-device-object).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{cell::Cell, ptr::null_mut};

use common::{io::*, irps::*, *};
use ntsim::{DriverEntry, Schedule, Simulation, ddi, types::*};

fn loaded(entry: DriverEntry) -> Simulation {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    // SAFETY: the drivers of these tests keep their promises.
    assert_eq!(unsafe { kernel.load_driver(0, entry) }.unwrap(), STATUS_SUCCESS);
    kernel
}

fn run(kernel: &mut Simulation, f: impl FnOnce() + 'static) {
    kernel.run_on(0, f).unwrap_or_else(|stop| panic!("{stop}"));
}

fn driver() -> DRIVER_OBJECT {
    // SAFETY: the driver object lives as long as the simulation.
    unsafe { ntsim::driver_object().read() }
}

fn device_object(device: Device) -> DEVICE_OBJECT {
    // SAFETY: the device has not been deleted.
    unsafe { device.0.read() }
}

fn text(string: UNICODE_STRING) -> String {
    let count = usize::from(string.Length) / 2;
    // SAFETY: the kernel's string has `Length` bytes of characters.
    let characters = unsafe { core::slice::from_raw_parts(string.Buffer, count) };
    String::from_utf16(characters).unwrap()
}

unsafe extern "C" fn unload(driver: PDRIVER_OBJECT) {
    // SAFETY: the driver object lives as long as the simulation.
    let flags = unsafe { (*driver).Flags };
    assert_eq!(flags & DRVO_UNLOAD_INVOKED, DRVO_UNLOAD_INVOKED);
    // SAFETY: the driver object lives as long as the simulation.
    while let device = unsafe { (*driver).DeviceObject }
        && !device.is_null()
    {
        Device(device).delete();
    }
}

unsafe extern "C" fn add_device(_driver: PDRIVER_OBJECT, _below: PDEVICE_OBJECT) -> NTSTATUS {
    Device::new();
    STATUS_SUCCESS
}

unsafe extern "C" fn two_devices(driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    let devices = [Device::new(), Device::new()];
    assert_eq!(devices.map(Device::flags), [DO_DEVICE_INITIALIZING; 2]);
    // SAFETY: the driver object lives as long as the simulation.
    unsafe { (*driver).DriverUnload = Some(unload) };
    STATUS_SUCCESS
}

unsafe extern "C" fn with_add_device(driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    // SAFETY: the driver object lives as long as the simulation.
    let extension = unsafe { (*driver).DriverExtension };
    // SAFETY: the extension lives as long as the driver object.
    unsafe { (*extension).AddDevice = Some(add_device) };
    // SAFETY: the extension lives as long as the driver object.
    assert_eq!(unsafe { (*extension).DriverObject }, driver);
    // SAFETY: the driver object lives as long as the simulation.
    unsafe { (*driver).DriverUnload = Some(unload) };
    STATUS_SUCCESS
}

#[test]
fn devices_of_driver_entry_are_ready_when_it_has_returned_and_later_ones_are_the_drivers() {
    let mut kernel = loaded(two_devices);
    run(&mut kernel, || {
        let first = Device(driver().DeviceObject);
        let second = Device(device_object(first).NextDevice);
        assert_eq!((first.flags(), second.flags()), (0, 0));
        let later = Device::new();
        assert_eq!(later.flags(), DO_DEVICE_INITIALIZING);
        later.delete();
    });
    // SAFETY: the Unload routine keeps its promises.
    unsafe { kernel.unload_driver(0) }.unwrap();
}

#[test]
fn add_device_is_set_through_the_extension() {
    let mut kernel = loaded(with_add_device);
    assert_eq!(driver().Flags, DRVO_INITIALIZED);
    run(&mut kernel, || {
        // SAFETY: the extension lives as long as the driver object.
        let extension = unsafe { driver().DriverExtension.read() };
        // SAFETY: the driver's AddDevice routine gets the arguments that the system would pass.
        let status = unsafe { extension.AddDevice.unwrap()(ntsim::driver_object(), null_mut()) };
        assert_eq!(status, STATUS_SUCCESS);
    });
    // SAFETY: the Unload routine keeps its promises.
    unsafe { kernel.unload_driver(0) }.unwrap();
}

#[test]
fn a_driver_object_says_which_driver_it_is() {
    let mut kernel = loaded(two_devices);
    let object = driver();
    assert_eq!((object.Type, object.Size), (4, 336));
    assert_eq!(object.Flags, DRVO_INITIALIZED | DRVO_LEGACY_DRIVER);
    assert_eq!(text(object.DriverName), r"\Driver\driver");
    // SAFETY: the driver object points to a string that lives as long as it.
    let hardware = unsafe { object.HardwareDatabase.read() };
    assert_eq!(text(hardware), r"\REGISTRY\MACHINE\HARDWARE\DESCRIPTION\SYSTEM");
    // SAFETY: the extension lives as long as the driver object.
    assert_eq!(text(unsafe { (*object.DriverExtension).ServiceKeyName }), "driver");
    let entry = object.DriverInit.unwrap() as usize;
    assert_eq!(entry, two_devices as *const () as usize);
    let start = object.DriverStart as usize;
    assert!((start..start + object.DriverSize as usize).contains(&entry));
    kernel.reset(processors(1), Schedule::round_robin());
    assert!(driver().DriverInit.is_none() && driver().Flags == 0 && driver().DeviceObject.is_null());
    assert_eq!(text(driver().DriverName), r"\Driver\driver");
}

/// The routine that the tests' own dispatch routine calls.
#[derive(Default)]
struct Chained(Cell<Option<PVOID>>);

fn chained() -> &'static Cell<Option<PVOID>> {
    // SAFETY: image state lives until the simulation is reset, which no test's run outlives.
    unsafe { &(*ntsim::image_state::<Chained>()).0 }
}

unsafe extern "C" fn chains(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let routine = chained().get().unwrap();
    // SAFETY: the table held this routine before, so it is a dispatch routine.
    let routine: unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS =
        unsafe { core::mem::transmute(routine) };
    // SAFETY: the arguments are those of a dispatch routine.
    unsafe { routine(device, irp) }
}

#[test]
fn every_major_function_has_a_routine_that_a_driver_may_call() {
    fine(|| {
        assert!(driver().MajorFunction.iter().all(|routine| !routine.is_null()));
        chained().set(Some(driver().MajorFunction[IRP_MJ_READ]));
        dispatch_reads(chains);
        let device = Device::new();
        let irp = Irp::new().on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED);
        assert_eq!(irp.send(device), STATUS_INVALID_DEVICE_REQUEST);
        assert_eq!(irp.status(), STATUS_INVALID_DEVICE_REQUEST);
        irp.free();
        device.delete();
    });
}

#[test]
fn a_null_dispatch_routine_is_an_access_violation() {
    let send = |irql: u8| {
        move || {
            // SAFETY: the driver object lives as long as the simulation.
            unsafe { (*ntsim::driver_object()).MajorFunction[IRP_MJ_READ] = null_mut() };
            let (irp, device) = (Irp::new(), Device::new());
            raise(irql);
            irp.send(device);
        }
    };
    assert_eq!(code(send(0)), (0x1E, 0xC000_0005));
    assert_eq!(bug(send(2)).parameters, [0, 2, 8, 0]);
}

fn create(name: &str, exclusive: bool) -> Result<Device, NTSTATUS> {
    let mut characters: Vec<u16> = name.encode_utf16().collect();
    let bytes = 2 * characters.len() as u16;
    let mut name = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: characters.as_mut_ptr() };
    let mut device = null_mut();
    // SAFETY: the arguments are valid.
    let status = unsafe {
        ddi::IoCreateDevice(
            ntsim::driver_object(),
            0,
            &raw mut name,
            FILE_DEVICE_UNKNOWN,
            0,
            exclusive.into(),
            &raw mut device,
        )
    };
    if status == STATUS_SUCCESS { Ok(Device(device)) } else { Err(status) }
}

#[test]
fn a_device_may_have_a_name_that_no_other_has_and_be_exclusive() {
    fine(|| {
        let named = create(r"\Device\Sensor0", false).unwrap();
        assert_eq!(named.flags(), DO_DEVICE_INITIALIZING | DO_DEVICE_HAS_NAME);
        let other = create(r"\Device\Sensor1", true).unwrap();
        assert_eq!(other.flags(), DO_DEVICE_INITIALIZING | DO_DEVICE_HAS_NAME | DO_EXCLUSIVE);
        assert_eq!(create(r"\device\SENSOR0", false).err(), Some(STATUS_OBJECT_NAME_COLLISION));
        assert_eq!(create("Sensor0", false).err(), Some(STATUS_OBJECT_PATH_SYNTAX_BAD));
        assert_eq!(create(r"\Nowhere\Sensor0", false).err(), Some(STATUS_OBJECT_PATH_NOT_FOUND));
        named.delete();
        create(r"\Device\Sensor0", false).unwrap().delete();
        other.delete();
        let unnamed = create("", true).unwrap();
        assert_eq!(unnamed.flags(), DO_DEVICE_INITIALIZING | DO_EXCLUSIVE);
        unnamed.delete();
    });
}

#[test]
fn a_name_goes_back_while_the_device_is_still_referenced() {
    fine(|| {
        let device = create(r"\Device\Sensor0", false).unwrap();
        // SAFETY: the device has not been deleted.
        unsafe { ddi::ObfReferenceObject(device.0.cast()) };
        device.delete();
        let next = create(r"\Device\Sensor0", false).unwrap();
        // SAFETY: ObfReferenceObject has referenced the device.
        unsafe { ddi::ObfDereferenceObject(device.0.cast()) };
        assert_eq!(create(r"\Device\Sensor0", false).err(), Some(STATUS_OBJECT_NAME_COLLISION));
        next.delete();
    });
}

#[test]
fn a_device_object_has_what_the_system_puts_there() {
    fine(|| {
        let device = Device::try_new(24).unwrap();
        let object = device_object(device);
        assert_eq!((object.Type, object.Size, object.StackSize), (3, 336 + 24, 1));
        assert_eq!(object.DriverObject, ntsim::driver_object());
        // SAFETY: the device has not been deleted, so its extension is alive.
        let extension = unsafe { object.DeviceObjectExtension.read() };
        assert_eq!((extension.Type, extension.DeviceObject), (13, device.0));
        // The device's lock is an event that is set, for one thread at a time.
        // SAFETY: the device has not been deleted.
        let lock = unsafe { device.0.byte_add(0x118) }.cast::<KEVENT>();
        let test = || {
            let mut now = LARGE_INTEGER { QuadPart: 0 };
            // SAFETY: the system has initialised the event in the device.
            unsafe { ddi::KeWaitForSingleObject(lock.cast(), 0, 0, 0, &raw mut now) }
        };
        assert_eq!((test(), test()), (STATUS_SUCCESS, STATUS_TIMEOUT));
        device.delete();
    });
}
