//! IRPs, and the running calls of dispatch routines for them.

extern crate alloc;

use alloc::vec::Vec;

/// An IRP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Irp {
    address: usize,
    /// A number that no other IRP has, so that a freed IRP is not mistaken for another at its
    /// address.
    serial: u64,
}

/// The treatment of an IRP by a dispatch routine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum IrpDisposition {
    /// The routine has done nothing with it yet.
    #[default]
    Kept,
    /// The routine has sent it on to a driver below.
    Forwarded,
    /// The routine has completed it with this status.
    Completed(i32),
}

/// A running call of a dispatch routine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DispatchCall {
    number: u64,
    serial: u64,
    location: i8,
    /// Whether the driver has marked the IRP pending.
    pub(crate) marked: bool,
    pub(crate) disposition: IrpDisposition,
    /// Whether the IRP has gone on to the driver above since. An IRP that comes to this location
    /// again belongs to another call.
    over: bool,
}

/// All IRPs and calls.
#[derive(Debug, Default)]
pub(crate) struct Irps {
    irps: Vec<Irp>,
    calls: Vec<DispatchCall>,
    count: u64,
}

impl Irps {
    pub(crate) fn reset(&mut self) {
        if self.count != 0 {
            self.irps.clear();
            self.calls.clear();
            self.count = 0;
        }
    }

    pub(crate) fn add(&mut self, address: usize) {
        self.count += 1;
        self.irps.push(Irp { address, serial: self.count });
    }

    pub(crate) fn remove(&mut self, address: usize) {
        self.irps.retain(|irp| irp.address != address);
    }

    /// Returns the serial number of the IRP at an address, or none if there is no IRP.
    pub(crate) fn serial(&self, address: usize) -> Option<u64> {
        self.irps.iter().find(|irp| irp.address == address).map(|irp| irp.serial)
    }

    /// Begins the call of a dispatch routine for an IRP with this current location, and returns the
    /// call's number.
    pub(crate) fn begin_call(&mut self, serial: u64, location: i8) -> u64 {
        self.count += 1;
        let number = self.count;
        self.calls.push(DispatchCall {
            number,
            serial,
            location,
            marked: false,
            disposition: IrpDisposition::Kept,
            over: false,
        });
        number
    }

    /// Ends the call of a dispatch routine and returns what it has done with the IRP.
    pub(crate) fn end_call(&mut self, number: u64) -> Option<DispatchCall> {
        let position = self.calls.iter().position(|call| call.number == number)?;
        Some(self.calls.remove(position))
    }

    /// Changes the latest call that has the IRP at this location.
    pub(crate) fn note(&mut self, serial: u64, location: i8, change: impl FnOnce(&mut DispatchCall)) {
        let has = |call: &&mut DispatchCall| call.serial == serial && call.location == location && !call.over;
        if let Some(call) = self.calls.iter_mut().rev().find(has) {
            change(call);
        }
    }

    /// Notes a completion in all calls that have the IRP at this location, which it leaves.
    pub(crate) fn complete(&mut self, serial: u64, location: i8, status: i32) {
        for call in self.calls.iter_mut().filter(|call| call.serial == serial && call.location == location) {
            if call.disposition == IrpDisposition::Kept {
                call.disposition = IrpDisposition::Completed(status);
            }
            call.over = true;
        }
    }
}
