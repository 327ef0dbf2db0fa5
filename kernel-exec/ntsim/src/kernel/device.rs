//! Device objects and the references to each.

extern crate alloc;

use alloc::{boxed::Box, string::String, vec::Vec};

use crate::types::{DEVOBJ_EXTENSION, PDEVICE_OBJECT, PDEVOBJ_EXTENSION};

/// A device object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) address: usize,
    /// The driver's reference until IoDeleteDevice, and the references of pointers and of work
    /// items.
    pub(crate) references: usize,
    /// Whether IoDeleteDevice has been called. The device is freed with its last reference.
    pub(crate) deleted: bool,
}

/// All device objects.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    devices: Vec<Device>,
    /// The names of devices, in uppercase, by address.
    names: Vec<(usize, String)>,
    /// The system's parts of all devices that ever existed. They live as long as the simulation.
    #[expect(clippy::vec_box, reason = "devices have their addresses")]
    extensions: Vec<Box<DEVOBJ_EXTENSION>>,
}

impl Devices {
    pub(crate) fn reset(&mut self) {
        if !self.devices.is_empty() {
            self.devices.clear();
        }
        self.names.clear();
        self.extensions.clear();
    }

    pub(crate) fn add(&mut self, address: usize) {
        self.devices.push(Device { address, references: 1, deleted: false });
    }

    /// Allocates the system's part of a new device.
    pub(crate) fn extension(&mut self, device: PDEVICE_OBJECT) -> PDEVOBJ_EXTENSION {
        let extension = DEVOBJ_EXTENSION { DeviceObject: device, ..DEVOBJ_EXTENSION::default() };
        self.extensions.push(Box::new(extension));
        self.extensions.last_mut().map_or(core::ptr::null_mut(), |extension| &raw mut **extension)
    }

    /// Returns whether a device has this name.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|(_, other)| other == name)
    }

    /// Gives a device a name.
    pub(crate) fn set_name(&mut self, address: usize, name: &[u16]) {
        self.names.push((address, String::from_utf16_lossy(name)));
    }

    /// Returns the device that a path begins with, and the rest of the path.
    pub(crate) fn named<'a>(&self, path: &'a str) -> Option<(usize, &'a str)> {
        self.names.iter().find_map(|(device, name)| {
            let rest = path.get(name.len()..)?;
            let is_same = path.get(..name.len())?.to_uppercase() == *name;
            (is_same && (rest.is_empty() || rest.starts_with('\\'))).then_some((*device, rest))
        })
    }

    /// Removes a device's name, if it has one.
    pub(crate) fn forget_name(&mut self, address: usize) {
        self.names.retain(|(device, _)| *device != address);
    }

    /// Returns the device at an address.
    pub(crate) fn get(&self, address: usize) -> Option<Device> {
        self.devices.iter().find(|device| device.address == address).copied()
    }

    /// Changes the device at an address and returns it with the change. Without references it is
    /// removed.
    pub(crate) fn update(&mut self, address: usize, change: impl FnOnce(&mut Device)) -> Option<Device> {
        let position = self.devices.iter().position(|device| device.address == address)?;
        let device = self.devices.get_mut(position)?;
        change(device);
        let after = *device;
        if after.references == 0 {
            self.devices.remove(position);
        }
        Some(after)
    }
}
