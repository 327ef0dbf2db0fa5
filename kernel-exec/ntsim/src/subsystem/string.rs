//! Copies, appends and compares counted strings.

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::cmp::Ordering;

use crate::{
    engine::machine::Machine,
    types::{PCUNICODE_STRING, PCWSTR, PUNICODE_STRING, UNICODE_STRING, USHORT},
    verifier::{Checked, memory::Use},
};

/// The most characters of a string. The length in bytes, including the final zero, must fit 16
/// bits.
const MAX_CHARACTERS: usize = 0x7FFE;

/// Reads a counted string.
pub(crate) fn load(string: PCUNICODE_STRING) -> UNICODE_STRING {
    // SAFETY: the caller promises the DDI that `string` is valid for reads.
    unsafe { string.read_unaligned() }
}

fn store(string: PUNICODE_STRING, value: UNICODE_STRING) {
    // SAFETY: the caller promises the DDI that `string` is valid for writes.
    unsafe { string.write_unaligned(value) }
}

/// Returns a violation if memory that a call is about to read or write is freed, or paged at
/// DISPATCH_LEVEL.
fn check_resident(machine: &Machine, address: usize, size: usize) -> Checked<()> {
    let Some(last) = size.checked_sub(1) else { return Ok(()) };
    machine.check_memory(address, Use::Text)?;
    machine.check_memory(address + last, Use::Text)
}

/// Loads a string of the driver's. `bytes` says how many bytes of its buffer are checked.
fn load_checked(
    machine: &Machine,
    string: PCUNICODE_STRING,
    bytes: impl FnOnce(&UNICODE_STRING) -> USHORT,
) -> UNICODE_STRING {
    machine.checked(check_resident(machine, string as usize, size_of::<UNICODE_STRING>()));
    let value = load(string);
    machine.checked(check_resident(machine, value.Buffer as usize, bytes(&value).into()));
    value
}

/// Loads a string that the call reads.
fn source(machine: &Machine, string: PCUNICODE_STRING) -> UNICODE_STRING {
    load_checked(machine, string, |string| string.Length)
}

/// Loads a string that the call writes, up to its maximum length.
fn destination(machine: &Machine, string: PUNICODE_STRING) -> UNICODE_STRING {
    load_checked(machine, string, |string| string.MaximumLength)
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

/// Compares two strings, and returns the difference with its sign.
pub(crate) fn compare(
    machine: &Machine,
    one: PCUNICODE_STRING,
    other: PCUNICODE_STRING,
    ignore_case: bool,
) -> (i32, Ordering) {
    let [one, other] = [one, other].map(|string| {
        let mut characters = characters(&source(machine, string));
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

/// Makes a string of characters that end with a zero, or an empty one of null.
pub(crate) fn initialize(machine: &Machine, string: PUNICODE_STRING, source: PCWSTR) -> Checked<()> {
    check_resident(machine, string as usize, size_of::<UNICODE_STRING>())?;
    if source.is_null() {
        store(string, UNICODE_STRING::default());
        return Ok(());
    }
    check_resident(machine, source as usize, size_of::<u16>())?;
    // SAFETY: the caller promises that `source` is valid up to its zero, and `find` stops there.
    let is_end = |index: &usize| unsafe { source.wrapping_add(*index).read_unaligned() } == 0;
    let Some(count) = (0..=MAX_CHARACTERS).find(is_end) else {
        machine.fail("not supported", String::from("RtlInitUnicodeString for more than 32,766 characters"))
    };
    let bytes = 2 * count as USHORT;
    store(string, UNICODE_STRING { Length: bytes, MaximumLength: bytes + 2, Buffer: source.cast_mut() });
    Ok(())
}

/// Copies as many characters as fit, or none from null.
pub(crate) fn copy(machine: &Machine, string: PUNICODE_STRING, from: PCUNICODE_STRING) {
    let from = if from.is_null() { Vec::new() } else { characters(&source(machine, from)) };
    let to = destination(machine, string);
    let count = put(&to, 0, &from);
    if count * 2 + 2 <= usize::from(to.MaximumLength) {
        put(&to, count, &[0]);
    }
    store(string, UNICODE_STRING { Length: 2 * count as USHORT, ..to });
}

/// Appends a string. Returns false, without any change, if there is no room for it.
pub(crate) fn append(machine: &Machine, string: PUNICODE_STRING, from: PCUNICODE_STRING) -> bool {
    let (to, from) = (destination(machine, string), source(machine, from));
    let length = usize::from(to.Length) + usize::from(from.Length);
    if length > usize::from(to.MaximumLength) {
        return false;
    }
    let end = usize::from(to.Length) / 2;
    let count = put(&to, end, &characters(&from));
    if length + 2 <= usize::from(to.MaximumLength) {
        put(&to, end + count, &[0]);
    }
    store(string, UNICODE_STRING { Length: length as USHORT, ..to });
    true
}

/// Returns a string's characters as text.
pub(crate) fn text(machine: &Machine, string: PUNICODE_STRING) -> String {
    String::from_utf16_lossy(&characters(&source(machine, string)))
}
