//! Counted strings, and routines by name.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-rtlinitunicodestring`, `nf-wdm-rtlcopyunicodestring`, `nf-wdm-rtlequalunicodestring`,
//! `nf-wdm-rtlcompareunicodestring`, `nf-wdm-rtlappendunicodestringtostring`,
//! `nf-wdm-mmgetsystemroutineaddress`.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use core::cmp::Ordering;

use super::routines;
use crate::{
    engine::entry::enter,
    subsystem::string,
    trace::Value,
    types::{
        BOOLEAN, LONG, NTSTATUS, PCUNICODE_STRING, PCWSTR, PUNICODE_STRING, PVOID, STATUS_BUFFER_TOO_SMALL,
        STATUS_SUCCESS,
    },
    verifier::irql::Ddi,
};

/// Initialises a string with characters that end with a zero, without copying them.
///
/// From null it makes an empty string. IRQL ≤ DISPATCH_LEVEL, where both are resident, otherwise
/// bug check 0xD1. More than 32,766 characters end the run as not supported
/// (`nf-wdm-rtlinitunicodestring`).
///
/// # Safety
/// `DestinationString` is valid for a write; `SourceString` is null or valid up to its zero, as
/// long as the string is used.
pub unsafe extern "C" fn RtlInitUnicodeString(DestinationString: PUNICODE_STRING, SourceString: PCWSTR) {
    let machine = &*enter(Ddi::RtlInitUnicodeString);
    machine.called(Ddi::RtlInitUnicodeString, |machine| {
        ([machine.pointer(DestinationString as usize), machine.pointer(SourceString as usize)], None)
    });
    machine.checked(string::initialize(machine, DestinationString, SourceString));
}

/// Copies as many characters as fit, or none from null.
///
/// Any IRQL. At DISPATCH_LEVEL and above both strings and their buffers are resident, otherwise bug
/// check 0xD1, as for freed memory (`nf-wdm-rtlcopyunicodestring`).
///
/// # Safety
/// Both are strings with valid buffers; `SourceString` may be null.
pub unsafe extern "C" fn RtlCopyUnicodeString(
    DestinationString: PUNICODE_STRING,
    SourceString: PCUNICODE_STRING,
) {
    let machine = &*enter(Ddi::RtlCopyUnicodeString);
    machine.called(Ddi::RtlCopyUnicodeString, |machine| {
        ([machine.pointer(DestinationString as usize), machine.pointer(SourceString as usize)], None)
    });
    string::copy(machine, DestinationString, SourceString);
}

/// Returns whether two strings are the same. PASSIVE_LEVEL (`nf-wdm-rtlequalunicodestring`).
///
/// # Safety
/// Both are strings with valid buffers.
pub unsafe extern "C" fn RtlEqualUnicodeString(
    String1: PCUNICODE_STRING,
    String2: PCUNICODE_STRING,
    CaseInSensitive: BOOLEAN,
) -> BOOLEAN {
    let machine = &*enter(Ddi::RtlEqualUnicodeString);
    let equal = string::compare(machine, String1, String2, CaseInSensitive != 0).1 == Ordering::Equal;
    machine.called(Ddi::RtlEqualUnicodeString, |machine| {
        ([String1, String2].map(|string| machine.pointer(string as usize)), Some(Value::Boolean(equal)))
    });
    equal.into()
}

/// Compares two strings and returns a number below zero, zero, or a number above zero.
/// PASSIVE_LEVEL (`nf-wdm-rtlcompareunicodestring`).
///
/// # Safety
/// Both are strings with valid buffers.
pub unsafe extern "C" fn RtlCompareUnicodeString(
    String1: PCUNICODE_STRING,
    String2: PCUNICODE_STRING,
    CaseInSensitive: BOOLEAN,
) -> LONG {
    let machine = &*enter(Ddi::RtlCompareUnicodeString);
    let (difference, _) = string::compare(machine, String1, String2, CaseInSensitive != 0);
    machine.called(Ddi::RtlCompareUnicodeString, |machine| {
        let strings = [String1, String2].map(|string| machine.pointer(string as usize));
        (strings, Some(Value::Signed(difference.into())))
    });
    difference
}

/// Appends a string. Returns STATUS_SUCCESS, or STATUS_BUFFER_TOO_SMALL without any change. Any
/// IRQL, and resident strings, as for [`RtlCopyUnicodeString`]
/// (`nf-wdm-rtlappendunicodestringtostring`).
///
/// # Safety
/// Both are strings with valid buffers.
pub unsafe extern "C" fn RtlAppendUnicodeStringToString(
    Destination: PUNICODE_STRING,
    Source: PCUNICODE_STRING,
) -> NTSTATUS {
    let machine = &*enter(Ddi::RtlAppendUnicodeStringToString);
    let fits = string::append(machine, Destination, Source);
    let status = if fits { STATUS_SUCCESS } else { STATUS_BUFFER_TOO_SMALL };
    machine.called(Ddi::RtlAppendUnicodeStringToString, |machine| {
        let strings = [machine.pointer(Destination as usize), machine.pointer(Source as usize)];
        (strings, Some(Value::Bits(status.cast_unsigned().into())))
    });
    status
}

/// Returns the address of a routine that NT exports and ntsim has, or null for every other name.
/// PASSIVE_LEVEL (`nf-wdm-mmgetsystemroutineaddress`).
///
/// # Safety
/// `SystemRoutineName` is a string with a valid buffer.
pub unsafe extern "C" fn MmGetSystemRoutineAddress(SystemRoutineName: PUNICODE_STRING) -> PVOID {
    let machine = &*enter(Ddi::MmGetSystemRoutineAddress);
    let routine = routines::find(&string::text(machine, SystemRoutineName));
    machine.called(Ddi::MmGetSystemRoutineAddress, |machine| {
        ([machine.pointer(SystemRoutineName as usize)], Some(machine.pointer(routine as usize)))
    });
    routine
}
