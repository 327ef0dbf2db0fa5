//! Which device objects there are, and how often each is referenced.

extern crate alloc;

use alloc::vec::Vec;

/// A device object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) address: usize,
    /// One of the driver's until IoDeleteDevice, and those of pointers and of work items.
    pub(crate) references: usize,
    /// IoDeleteDevice has been called: it goes with the last reference.
    pub(crate) deleted: bool,
}

/// All device objects.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    devices: Vec<Device>,
}

impl Devices {
    pub(crate) fn reset(&mut self) {
        if !self.devices.is_empty() {
            self.devices.clear();
        }
    }

    pub(crate) fn add(&mut self, address: usize) {
        self.devices.push(Device { address, references: 1, deleted: false });
    }

    /// The device at an address.
    pub(crate) fn get(&self, address: usize) -> Option<Device> {
        self.devices.iter().find(|device| device.address == address).copied()
    }

    /// Changes the device at an address; as it is then. One without references is gone.
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
