//! Violations about objects with references, handles, and ETW registrations.

extern crate alloc;

use alloc::{boxed::Box, format, string::String};
use core::fmt::Display;

use super::detected;
use crate::verifier::Violation;

const BAD_HANDLE: u64 = 0x3C;
const REFERENCES: u64 = 0x3F;
const NOT_REGISTERED: u64 = 0xDC;
const STILL_REGISTERED: u64 = 0xDD;

/// The change of an object's count of references. The third parameter is the count after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Reference,
    Dereference,
}

impl Change {
    fn verb(self) -> &'static str {
        match self {
            Self::Reference => "referenced",
            Self::Dereference => "dereferenced",
        }
    }
}

fn references(change: Change, address: usize, rule: String) -> Box<Violation> {
    let count = match change {
        Change::Reference => 1,
        Change::Dereference => u64::MAX,
    };
    detected([REFERENCES, address as u64, count, 0], rule)
}

/// The driver changed the references of an object of which it has none.
pub(crate) fn no_reference(change: Change, address: usize, name: impl Display) -> Box<Violation> {
    let rule = format!("{name} was {} without a reference to it", change.verb());
    references(change, address, rule)
}

/// The driver changed the references of something that is not an object.
pub(crate) fn no_object(change: Change, address: usize, name: impl Display) -> Box<Violation> {
    let rule = format!("{name} was {}, but is not an object or was deleted", change.verb());
    references(change, address, rule)
}

/// The driver removed a reference of a device that it had not added.
pub(crate) fn device_dereferenced_too_often(address: usize, name: impl Display) -> Box<Violation> {
    let rule = format!("the device {name} was dereferenced more often than referenced");
    references(Change::Dereference, address, rule)
}

/// The driver deleted something that is not a device, or a device twice.
pub(crate) fn deleted_no_device(address: usize, name: impl Display) -> Box<Violation> {
    let rule = format!("IoDeleteDevice: {name} is not a device, or was deleted before");
    references(Change::Dereference, address, rule)
}

/// The driver used a handle that is not open.
pub(crate) fn bad_handle(handle: usize, caller: &str) -> Box<Violation> {
    let rule = format!("{caller} with {handle:#x}, which is not an open handle");
    detected([BAD_HANDLE, handle as u64, 0, 0], rule)
}

/// The driver unregistered a provider that is not registered.
pub(crate) fn provider_not_registered(handle: impl Display) -> Box<Violation> {
    let rule = format!("EtwUnregister: the handle {handle} belongs to no registered provider");
    detected([NOT_REGISTERED, 0, 0, 0], rule)
}

/// The driver was unloaded with a registered provider; `driver` is the driver object's address.
pub(crate) fn provider_still_registered(
    driver: usize,
    registration: usize,
    name: impl Display,
    provider: impl Display,
) -> Box<Violation> {
    let rule = format!("the driver was unloaded without unregistering the ETW provider {provider} ({name})");
    detected([STILL_REGISTERED, 0, driver as u64, registration as u64], rule)
}
