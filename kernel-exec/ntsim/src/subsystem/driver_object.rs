//! The driver object and what it points to.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/ddi/wdm/ns-wdm-_driver_object,
//! learn.microsoft.com/windows-hardware/drivers/kernel/introduction-to-driver-objects.

use core::{cell::Cell, ptr::NonNull};

use super::{device, irp, irp_completion};
use crate::{
    engine::{
        entry::{here, outside},
        machine::Machine,
    },
    kernel::pool::PAGE,
    types::{
        DO_DEVICE_INITIALIZING, DRIVER_EXTENSION, DRIVER_OBJECT, DRVO_INITIALIZED, DRVO_LEGACY_DRIVER,
        DRVO_UNLOAD_INVOKED, NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT, PIRP, PUNICODE_STRING,
        STATUS_INVALID_DEVICE_REQUEST, ULONG, UNICODE_STRING, USHORT,
    },
    verifier::bugcheck::irp::IrpUse,
};

/// A driver's first routine.
pub type DriverEntry =
    unsafe extern "C" fn(driver: PDRIVER_OBJECT, registry_path: PUNICODE_STRING) -> NTSTATUS;

const NAME: &str = r"\Driver\driver";
const KEY: &str = "driver";
const HARDWARE: &str = r"\REGISTRY\MACHINE\HARDWARE\DESCRIPTION\SYSTEM";

/// The characters of a counted string, stored in place.
type Characters<const N: usize> = [u16; N];

/// Converts an ASCII text of length `N` to UTF-16 characters.
const fn wide<const N: usize>(text: &str) -> Characters<N> {
    let (mut characters, mut rest, mut index) = ([0; N], text.as_bytes(), 0);
    while let Some((first, others)) = rest.split_first() {
        let (_, after) = characters.split_at_mut(index);
        if let Some(character) = after.first_mut() {
            *character = *first as u16;
        }
        (rest, index) = (others, index + 1);
    }
    characters
}

/// The driver object with the data that it points to. It is a driver's static, created anew for
/// every kernel.
#[repr(C)]
struct Driver {
    object: DRIVER_OBJECT,
    extension: DRIVER_EXTENSION,
    hardware: UNICODE_STRING,
    name: Characters<{ NAME.len() }>,
    key: Characters<{ KEY.len() }>,
    path: Characters<{ HARDWARE.len() }>,
    /// Whether [`link`] has set the pointers.
    linked: Cell<bool>,
}

impl Default for Driver {
    fn default() -> Self {
        Self {
            object: DRIVER_OBJECT::default(),
            extension: DRIVER_EXTENSION::default(),
            hardware: UNICODE_STRING::default(),
            name: wide(NAME),
            key: wide(KEY),
            path: wide(HARDWARE),
            linked: Cell::new(false),
        }
    }
}

fn string<const N: usize>(characters: *mut Characters<N>) -> UNICODE_STRING {
    let bytes = size_of::<Characters<N>>() as USHORT;
    UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: characters.cast() }
}

/// Sets the pointers of a driver at its final address.
#[cold]
fn link(driver: NonNull<Driver>) {
    let place = driver.as_ptr();
    // SAFETY: image state lives as long as the simulation, and no other reference to it is made.
    let driver = unsafe { &mut *place };
    let object: PDRIVER_OBJECT = &raw mut driver.object;
    driver.hardware = string(&raw mut driver.path);
    driver.extension = DRIVER_EXTENSION {
        DriverObject: object,
        ServiceKeyName: string(&raw mut driver.key),
        ..DRIVER_EXTENSION::default()
    };
    driver.object.DriverName = string(&raw mut driver.name);
    driver.object.HardwareDatabase = &raw mut driver.hardware;
    driver.object.DriverExtension = &raw mut driver.extension;
    driver.object.MajorFunction = [invalid_device_request as *mut _; 28];
    driver.linked.set(true);
}

/// The dispatch routine in the table for every major function that DriverEntry sets no routine for,
/// as in NT.
unsafe extern "C" fn invalid_device_request(_device: PDEVICE_OBJECT, packet: PIRP) -> NTSTATUS {
    let Some(machine) = here() else { outside("a dispatch routine") };
    machine.checked(irp::serial(&machine, packet, IrpUse::Sent, "the default dispatch routine"));
    let mut value = irp::read(packet);
    value.IoStatus.Status = STATUS_INVALID_DEVICE_REQUEST;
    irp::write(packet, value);
    machine.checked(irp_completion::complete(&machine, packet));
    STATUS_INVALID_DEVICE_REQUEST
}

/// Returns the driver object. The machine has only one.
pub(crate) fn address(machine: &Machine) -> PDRIVER_OBJECT {
    let driver = machine.image_state::<Driver>().cast_mut();
    // SAFETY: image state lives as long as the simulation; no reference is made.
    let linked = unsafe { &raw const (*driver).linked };
    // SAFETY: image state lives as long as the simulation; a cell is used through shared
    // references only.
    if !unsafe { &*linked }.get()
        && let Some(driver) = NonNull::new(driver)
    {
        link(driver);
    }
    driver.cast()
}

/// Applies `change` to the driver object.
fn update(machine: &Machine, change: impl FnOnce(&mut DRIVER_OBJECT)) {
    let driver = address(machine);
    // SAFETY: the machine's driver object lives as long as the simulation; no reference is
    // made.
    let mut object = unsafe { driver.read() };
    change(&mut object);
    // SAFETY: the machine's driver object lives as long as the simulation; no reference is
    // made.
    unsafe { driver.write(object) }
}

/// Prepares the driver object for a load by this DriverEntry routine. The driver's image is the
/// page that contains the routine, because the simulation knows no more of it.
pub(crate) fn begin_load(machine: &Machine, entry: DriverEntry) {
    let start = entry as usize / PAGE * PAGE;
    update(machine, |driver| {
        driver.DriverInit = Some(entry);
        driver.DriverStart = core::ptr::without_provenance_mut(start);
        driver.DriverSize = PAGE as ULONG;
    });
}

/// Marks the driver as initialised and its devices as ready, after DriverEntry has succeeded.
pub(crate) fn end_load(machine: &Machine) {
    update(machine, |driver| {
        // SAFETY: the pointer is the driver's extension, or a value that the driver has put
        // there.
        let extension = unsafe { driver.DriverExtension.as_ref() };
        let legacy = extension.is_none_or(|extension| extension.AddDevice.is_none());
        driver.Flags |= DRVO_INITIALIZED | if legacy { DRVO_LEGACY_DRIVER } else { 0 };
    });
    device::update_all(machine, |device| device.Flags &= !DO_DEVICE_INITIALIZING);
}

/// Marks the driver before its Unload routine is called.
pub(crate) fn begin_unload(machine: &Machine) {
    update(machine, |driver| driver.Flags |= DRVO_UNLOAD_INVOKED);
}

const _: () = assert!(core::mem::offset_of!(Driver, object) == 0);
