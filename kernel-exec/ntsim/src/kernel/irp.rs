//! Which IRPs there are, and the calls of dispatch routines that have them.

extern crate alloc;

use alloc::vec::Vec;

/// An IRP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Irp {
    address: usize,
    /// Counts IRPs, so that one that is gone is not mistaken for another at its address.
    serial: u64,
}

/// What became of an IRP in a dispatch routine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fate {
    /// Nothing yet.
    #[default]
    Kept,
    /// It was sent on to a driver below.
    Forwarded,
    /// It was completed with this status.
    Completed(i32),
}

/// A dispatch routine that was called and has not returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    number: u64,
    serial: u64,
    location: i8,
    /// The driver has marked the IRP pending.
    pub(crate) marked: bool,
    pub(crate) fate: Fate,
    /// The IRP has gone on to the driver above since. One that comes here again is another call's.
    over: bool,
}

/// All IRPs and calls.
#[derive(Debug, Default)]
pub(crate) struct Irps {
    irps: Vec<Irp>,
    calls: Vec<Call>,
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

    /// The serial number of the IRP at an address; none: there is no IRP.
    pub(crate) fn serial(&self, address: usize) -> Option<u64> {
        self.irps.iter().find(|irp| irp.address == address).map(|irp| irp.serial)
    }

    /// A dispatch routine is called for an IRP with this current location; the call's number.
    pub(crate) fn begin_call(&mut self, serial: u64, location: i8) -> u64 {
        self.count += 1;
        let number = self.count;
        self.calls.push(Call { number, serial, location, marked: false, fate: Fate::Kept, over: false });
        number
    }

    /// A dispatch routine has returned: what became of the IRP in it.
    pub(crate) fn end_call(&mut self, number: u64) -> Option<Call> {
        let position = self.calls.iter().position(|call| call.number == number)?;
        Some(self.calls.remove(position))
    }

    /// Notes something in the latest call that has the IRP at this location.
    pub(crate) fn note(&mut self, serial: u64, location: i8, change: impl FnOnce(&mut Call)) {
        let has = |call: &&mut Call| call.serial == serial && call.location == location && !call.over;
        if let Some(call) = self.calls.iter_mut().rev().find(has) {
            change(call);
        }
    }

    /// Notes a completion in all calls that have the IRP at this location, which it leaves.
    pub(crate) fn complete(&mut self, serial: u64, location: i8, status: i32) {
        for call in self.calls.iter_mut().filter(|call| call.serial == serial && call.location == location) {
            if call.fate == Fate::Kept {
                call.fate = Fate::Completed(status);
            }
            call.over = true;
        }
    }
}
