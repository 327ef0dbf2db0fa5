//! Bug checks of the I/O manager about an IRP: 0x35 NO_MORE_IRP_STACK_LOCATIONS, 0x44
//! MULTIPLE_IRP_COMPLETE_REQUESTS and 0xC9 DRIVER_VERIFIER_IOMANAGER_VIOLATION.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/debugger/, the page of each one.

extern crate alloc;

use alloc::{boxed::Box, format, string::String};
use core::fmt::Display;

use super::violation;
use crate::verifier::Violation;

const NO_MORE_IRP_STACK_LOCATIONS: u32 = 0x35;
const MULTIPLE_IRP_COMPLETE_REQUESTS: u32 = 0x44;
const IOMANAGER_VIOLATION: u32 = 0xC9;

/// What a call does with its IRP, which decides the bug check for an address that is not an IRP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IrpUse {
    /// The call is for the driver that has the IRP.
    Owned,
    /// The call sends the IRP on, or prepares that.
    Sent,
    /// The call frees the IRP, or initialises it again.
    Freed,
}

/// A violation with one of the first parameters up to 0x10.
fn io_manager(kind: u64, second: u64, third: u64, fourth: u64, rule: String) -> Box<Violation> {
    violation(IOMANAGER_VIOLATION, [kind, second, third, fourth], rule)
}

/// A violation with one of the first parameters from 0x200 on.
fn by_irp(kind: u64, irp: usize, name: impl Display, what: &str) -> Box<Violation> {
    io_manager(kind, 0, irp as u64, 0, format!("IRP {name} {what}"))
}

/// The driver gave a call something that is not an IRP.
pub(crate) fn not_an_irp(used: IrpUse, irp: usize, caller: &str, given: impl Display) -> Box<Violation> {
    let rule = format!("{caller}: {given} is not an IRP");
    match used {
        IrpUse::Owned => violation(MULTIPLE_IRP_COMPLETE_REQUESTS, [irp as u64, 0, 0, 0], rule),
        IrpUse::Sent => io_manager(3, irp as u64, 0, 0, rule),
        IrpUse::Freed => io_manager(1, irp as u64, 0, 0, rule),
    }
}

/// The driver used an IRP that no driver has, such as after its completion.
pub(crate) fn no_driver_has_it(irp: usize, name: impl Display, caller: &str) -> Box<Violation> {
    let rule = format!("IRP {name} was passed to {caller}, but no driver has it");
    violation(MULTIPLE_IRP_COMPLETE_REQUESTS, [irp as u64, 0, 0, 0], rule)
}

/// The driver sent an IRP on that has no stack location for another driver.
pub(crate) fn no_stack_location_left(irp: usize, name: impl Display, caller: &str) -> Box<Violation> {
    let rule = format!("IRP {name} has no stack location left for {caller}");
    violation(NO_MORE_IRP_STACK_LOCATIONS, [irp as u64, 0, 0, 0], rule)
}

/// The driver freed an IRP while a driver had it.
pub(crate) fn freed_while_owned(irp: usize, name: impl Display) -> Box<Violation> {
    by_irp(0x20B, irp, name, "was freed while a driver had it")
}

/// The driver initialised an IRP again while a driver had it.
pub(crate) fn reused_while_owned(irp: usize, name: impl Display) -> Box<Violation> {
    by_irp(0x20B, irp, name, "was passed to IoReuseIrp while a driver had it")
}

/// The driver sent an IRP on above DISPATCH_LEVEL.
pub(crate) fn sent_above_dispatch(irql: u8) -> Box<Violation> {
    let rule = format!("IofCallDriver was called at IRQL {irql}, above DISPATCH_LEVEL");
    io_manager(0x10, irql.into(), 0, 0, rule)
}

/// The driver sent an IRP to something that is not a device.
pub(crate) fn sent_to_no_device(device: usize, name: impl Display) -> Box<Violation> {
    io_manager(4, device as u64, 0, 0, format!("IofCallDriver: {name} is not a device"))
}

/// The driver sent an IRP on with its own cancel routine.
pub(crate) fn sent_with_cancel_routine(irp: usize, name: impl Display) -> Box<Violation> {
    by_irp(0x203, irp, name, "was sent on without clearing its cancel routine first")
}

/// A dispatch routine returned at another IRQL than it was called at.
pub(crate) fn dispatch_changed_irql(device: usize, before: u8, after: u8) -> Box<Violation> {
    let rule = format!("a dispatch routine was called at IRQL {before} and returned at {after}");
    io_manager(5, device as u64, before.into(), after.into(), rule)
}

/// A dispatch routine marked an IRP pending and returned another status.
pub(crate) fn marked_pending_only(irp: usize, name: impl Display) -> Box<Violation> {
    let what = "was marked pending, but the dispatch routine did not return STATUS_PENDING";
    by_irp(0x23E, irp, name, what)
}

/// A dispatch routine returned STATUS_PENDING for an IRP that was not marked.
pub(crate) fn returned_pending_only(irp: usize, name: impl Display) -> Box<Violation> {
    let what = "was not marked pending, but the dispatch routine returned STATUS_PENDING";
    by_irp(0x23D, irp, name, what)
}

/// A dispatch routine kept an IRP and returned a final status.
pub(crate) fn kept_but_not_pending(irp: usize, name: impl Display) -> Box<Violation> {
    let what = "was neither sent on nor completed, but the dispatch routine did not return STATUS_PENDING";
    by_irp(0x226, irp, name, what)
}

/// A dispatch routine returned another status than it completed the IRP with.
pub(crate) fn completed_with_another_status(irp: usize, name: impl Display) -> Box<Violation> {
    by_irp(0x224, irp, name, "was completed with another status than the dispatch routine returned")
}

/// The driver completed an IRP above DISPATCH_LEVEL.
pub(crate) fn completed_above_dispatch(irp: usize, name: impl Display, irql: u8) -> Box<Violation> {
    io_manager(0x0E, irql.into(), irp as u64, 0, format!("IRP {name} was completed at IRQL {irql}"))
}

/// The driver completed an IRP with a status that is not final.
pub(crate) fn completed_with_no_final_status(irp: usize, name: impl Display, status: i32) -> Box<Violation> {
    let rule = format!("IRP {name} was completed with {status:#x}, which is not a final status");
    io_manager(6, status.cast_unsigned().into(), irp as u64, 0, rule)
}

/// The driver completed an IRP that still had its cancel routine.
pub(crate) fn completed_with_cancel_routine(
    irp: usize,
    name: impl Display,
    routine: usize,
) -> Box<Violation> {
    let rule = format!("IRP {name} was completed without clearing its cancel routine first");
    io_manager(7, routine as u64, irp as u64, 0, rule)
}
