//! Counted strings, and routines by name (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-rtlinitunicodestring`, `nf-wdm-rtlcopyunicodestring`, `nf-wdm-rtlequalunicodestring`,
//! `nf-wdm-rtlcompareunicodestring`, `nf-wdm-rtlappendunicodestringtostring`,
//! `nf-wdm-mmgetsystemroutineaddress`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::cmp::Ordering;

use super::routines;
use crate::{
    engine::{entry::enter, machine::Machine},
    trace::Value,
    types::{
        BOOLEAN, LONG, NTSTATUS, PCUNICODE_STRING, PCWSTR, PUNICODE_STRING, PVOID, STATUS_BUFFER_TOO_SMALL,
        STATUS_SUCCESS, UNICODE_STRING, USHORT,
    },
    verifier::{Checked, irql::Ddi, memory::Use},
};

/// The most characters of a string. The length in bytes, including the final zero, must fit 16
/// bits.
const MOST: usize = 0x7FFE;

pub(crate) fn load(string: PCUNICODE_STRING) -> UNICODE_STRING {
    // SAFETY: the caller promises the DDI that `string` is valid for reads.
    unsafe { string.read_unaligned() }
}

fn store(string: PUNICODE_STRING, value: UNICODE_STRING) {
    // SAFETY: the caller promises the DDI that `string` is valid for writes.
    unsafe { string.write_unaligned(value) }
}

impl Machine {
    /// Returns a violation if memory that a call is about to read or write is freed, or paged at
    /// DISPATCH_LEVEL.
    fn check_resident(&self, address: usize, size: usize) -> Checked<()> {
        let Some(last) = size.checked_sub(1) else { return Ok(()) };
        self.check_memory(address, Use::Text)?;
        self.check_memory(address + last, Use::Text)
    }

    /// Loads a string of the driver's. `bytes` says how many bytes of its buffer are checked.
    fn string(
        &self,
        string: PCUNICODE_STRING,
        bytes: impl FnOnce(&UNICODE_STRING) -> USHORT,
    ) -> UNICODE_STRING {
        self.checked(self.check_resident(string as usize, size_of::<UNICODE_STRING>()));
        let value = load(string);
        self.checked(self.check_resident(value.Buffer as usize, bytes(&value).into()));
        value
    }

    /// Loads a string that the call reads.
    fn source(&self, string: PCUNICODE_STRING) -> UNICODE_STRING {
        self.string(string, |string| string.Length)
    }

    /// Loads a string that the call writes, up to its maximum length.
    fn destination(&self, string: PUNICODE_STRING) -> UNICODE_STRING {
        self.string(string, |string| string.MaximumLength)
    }
}

/// Returns the characters of a string.
pub(crate) fn characters(string: &UNICODE_STRING) -> Vec<u16> {
    let count = usize::from(string.Length) / 2;
    // SAFETY: the caller promises that the buffer has `Length` bytes.
    (0..count).map(|index| unsafe { string.Buffer.wrapping_add(index).read_unaligned() }).collect()
}

/// Writes characters into a string's buffer from index `from` on, as many as fit, and returns how
/// many.
fn put(string: &UNICODE_STRING, from: usize, characters: &[u16]) -> usize {
    let room = (usize::from(string.MaximumLength) / 2).saturating_sub(from);
    for (index, character) in characters.iter().take(room).enumerate() {
        // SAFETY: the caller promises that the buffer has `MaximumLength` bytes.
        unsafe { string.Buffer.wrapping_add(from + index).write_unaligned(*character) };
    }
    characters.len().min(room)
}

/// Returns a character's uppercase for comparisons that ignore case, if that is one character of 16
/// bits, and otherwise the character.
pub(crate) fn upcase(character: u16) -> u16 {
    let mut upper = char::from_u32(character.into()).into_iter().flat_map(char::to_uppercase);
    match (upper.next(), upper.next()) {
        (Some(upper), None) => u16::try_from(u32::from(upper)).unwrap_or(character),
        _ => character,
    }
}

fn compare(
    machine: &Machine,
    one: PCUNICODE_STRING,
    other: PCUNICODE_STRING,
    ignore_case: bool,
) -> (i32, Ordering) {
    let [one, other] = [one, other].map(|string| {
        let mut characters = characters(&machine.source(string));
        if ignore_case {
            characters.iter_mut().for_each(|character| *character = upcase(*character));
        }
        characters
    });
    let differs = one.iter().zip(&other).find(|(one, other)| one != other);
    let difference = match differs {
        Some((one, other)) => i32::from(*one) - i32::from(*other),
        None => (one.len() as i32 - other.len() as i32) * 2,
    };
    (difference, difference.cmp(&0))
}

/// Initialises a string with characters that end with a zero, without copying them. From null it
/// makes an empty string. IRQL ≤ DISPATCH_LEVEL, where both are resident, otherwise bug check 0xD1.
/// More than 32,766 characters end the run as not supported (`nf-wdm-rtlinitunicodestring`).
///
/// # Safety
/// `DestinationString` is valid for a write; `SourceString` is null or valid up to its zero, as
/// long as the string is used.
pub unsafe extern "C" fn RtlInitUnicodeString(DestinationString: PUNICODE_STRING, SourceString: PCWSTR) {
    let machine = &*enter(Ddi::RtlInitUnicodeString);
    machine.called(Ddi::RtlInitUnicodeString, |machine| {
        ([machine.pointer(DestinationString as usize), machine.pointer(SourceString as usize)], None)
    });
    machine.checked(machine.check_resident(DestinationString as usize, size_of::<UNICODE_STRING>()));
    if SourceString.is_null() {
        return store(DestinationString, UNICODE_STRING::default());
    }
    machine.checked(machine.check_resident(SourceString as usize, size_of::<u16>()));
    // SAFETY: the caller promises that `SourceString` is valid up to its zero, and `find` stops
    // there.
    let is_end = |index: &usize| unsafe { SourceString.wrapping_add(*index).read_unaligned() } == 0;
    let Some(count) = (0..=MOST).find(is_end) else {
        machine.fail("not supported", String::from("RtlInitUnicodeString for more than 32,766 characters"))
    };
    let bytes = 2 * count as USHORT;
    store(
        DestinationString,
        UNICODE_STRING { Length: bytes, MaximumLength: bytes + 2, Buffer: SourceString.cast_mut() },
    );
}

/// Copies as many characters as fit, or none from null. Any IRQL. At DISPATCH_LEVEL and above both
/// strings and their buffers are resident, otherwise bug check 0xD1, as for freed memory
/// (`nf-wdm-rtlcopyunicodestring`).
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
    let source = if SourceString.is_null() { Vec::new() } else { characters(&machine.source(SourceString)) };
    let destination = machine.destination(DestinationString);
    let count = put(&destination, 0, &source);
    if count * 2 + 2 <= usize::from(destination.MaximumLength) {
        put(&destination, count, &[0]);
    }
    store(DestinationString, UNICODE_STRING { Length: 2 * count as USHORT, ..destination });
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
    let equal = compare(machine, String1, String2, CaseInSensitive != 0).1 == Ordering::Equal;
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
    let (difference, _) = compare(machine, String1, String2, CaseInSensitive != 0);
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
    let (destination, source) = (machine.destination(Destination), machine.source(Source));
    let length = usize::from(destination.Length) + usize::from(source.Length);
    let fits = length <= usize::from(destination.MaximumLength);
    let status = if fits { STATUS_SUCCESS } else { STATUS_BUFFER_TOO_SMALL };
    if fits {
        let from = usize::from(destination.Length) / 2;
        let count = put(&destination, from, &characters(&source));
        if length + 2 <= usize::from(destination.MaximumLength) {
            put(&destination, from + count, &[0]);
        }
        store(Destination, UNICODE_STRING { Length: length as USHORT, ..destination });
    }
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
    let name = String::from_utf16_lossy(&characters(&machine.source(SystemRoutineName)));
    let routine = routines::find(&name);
    machine.called(Ddi::MmGetSystemRoutineAddress, |machine| {
        ([machine.pointer(SystemRoutineName as usize)], Some(machine.pointer(routine as usize)))
    });
    routine
}
