//! Calls with an out-parameter, as a client in C makes them. Bytes around the out-parameter must
//! not change.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use crate::{
    answer::{Answer, OutValue},
    ops::{Out, Via},
    status,
    value::{Bytes, LARGEST, UNTOUCHED, ValueKind},
};

/// The contents of a number before a call.
const UNTOUCHED_WORD: u32 = u32::from_ne_bytes([UNTOUCHED; 4]);
/// The address of a pointer before a call.
const UNTOUCHED_ADDRESS: usize = usize::from_ne_bytes([UNTOUCHED; size_of::<usize>()]);

/// Makes a call with an out-parameter that is a number of four bytes. The call returns its status.
pub fn number<N>(out: Out, call: impl FnOnce(*mut N) -> u32) -> Answer {
    let (status, found) = small(out, call);
    let out = match found.map(u32::from_ne_bytes) {
        None => OutValue::Stranger,
        Some(UNTOUCHED_WORD) => OutValue::Untouched,
        Some(number) => OutValue::Number(number),
    };
    Answer { status, out }
}

/// Makes a call with an out-parameter that is one of two interfaces of an operation.
pub fn interface(
    out: Out,
    [operation, control]: [*mut c_void; 2],
    call: impl FnOnce(*mut *mut c_void) -> u32,
) -> Answer {
    let (status, found) = small(out, call);
    let out = match found.map(usize::from_ne_bytes) {
        _ if out == Out::Null => OutValue::None,
        Some(0) => OutValue::Null,
        Some(found) if found == operation.addr() => OutValue::Interface(Via::Operation),
        Some(found) if found == control.addr() => OutValue::Interface(Via::Control),
        Some(UNTOUCHED_ADDRESS) => OutValue::Untouched,
        _ => OutValue::Stranger,
    };
    Answer { status, out }
}

/// Makes a call with an out-parameter of up to eight bytes. Returns its status and the `N` bytes of
/// the out-parameter, or `None` if bytes around them have changed.
fn small<T, const N: usize>(out: Out, call: impl FnOnce(*mut T) -> u32) -> (u32, Option<[u8; N]>) {
    #[repr(align(8))]
    struct Place([u8; ROOM]);
    const ROOM: usize = 32;
    const FRESH: [u8; ROOM] = [UNTOUCHED; ROOM];
    let mut place = Place(FRESH);
    let at = if out == Out::Misaligned { 9 } else { 8 };
    let pointer = place.0.as_mut_ptr().wrapping_add(at).cast();
    let status = call(if out == Out::Null { ptr::null_mut() } else { pointer });
    let (before, rest) = place.0.split_at(at);
    let found = rest
        .split_first_chunk()
        .filter(|(_, after)| *before == FRESH[..at] && after.iter().eq(&FRESH[at + N..]));
    (status, found.map(|(inside, _)| *inside))
}

/// Makes a call with an out-parameter that is the value of an operation. The value of a call that
/// fails is zeros. On each side of the value, at most `around` bytes are checked.
pub fn value(
    out: Out,
    (operation, kind): (usize, ValueKind),
    around: usize,
    call: impl FnOnce(*mut u8) -> u32,
) -> Answer {
    /// Space for the largest value, with room before and after it.
    #[repr(align(64))]
    struct Place {
        _bytes: [u8; SIZE],
    }
    const SIZE: usize = LARGEST + 192;
    if out == Out::Null {
        return Answer { status: call(ptr::null_mut()), out: OutValue::None };
    }
    let at = if out == Out::Misaligned { 65 } else { 64 };
    let end = at + kind.size();
    let (from, to) = (at.saturating_sub(around), end.saturating_add(around).min(SIZE));
    // Only the part of the place that is checked is written or read.
    let mut place = MaybeUninit::<Place>::uninit();
    // SAFETY: `from` is inside the place.
    let bytes = unsafe { place.as_mut_ptr().cast::<u8>().add(from) };
    // SAFETY: `to` is inside the place.
    unsafe { bytes.write_bytes(UNTOUCHED, to - from) };
    // SAFETY: the bytes were just written, and no other reference to them exists.
    let bytes = unsafe { core::slice::from_raw_parts_mut(bytes, to - from) };
    let status = call(bytes[at - from..].as_mut_ptr());
    let (before, rest) = bytes.split_at(at - from);
    let (inside, after) = rest.split_at(end - at);
    let found = if before.iter().chain(after).all(|byte| *byte == UNTOUCHED) {
        let expected = if status == status::SUCCESS { Bytes::Value } else { Bytes::Zeroed };
        kind.recognise(operation, inside, expected)
    } else {
        Bytes::Garbage
    };
    Answer { status, out: OutValue::Bytes(found) }
}

#[cfg(test)]
mod tests {
    use super::{number, value};
    use crate::{
        answer::OutValue,
        ops::Out,
        status::SUCCESS,
        value::{Bytes, LARGEST, ValueKind},
    };

    /// Writes a byte beside an out-parameter, as a broken library does.
    fn write(out: *mut u8, offset: isize) -> u32 {
        // SAFETY: each test stays inside the space around its out-parameter.
        unsafe { out.wrapping_offset(offset).write(0) };
        SUCCESS
    }

    #[test]
    fn a_write_beside_a_number_is_seen() {
        for out in [Out::Given, Out::Misaligned] {
            assert_eq!(number(out, |_: *mut u32| SUCCESS).out, OutValue::Untouched);
            for offset in [-8, -1, 4, 22] {
                let answer = number(out, |out| write(out, offset));
                assert_eq!(answer.out, OutValue::Stranger, "{out:?}, {offset}");
            }
        }
    }

    #[test]
    fn a_write_beside_a_value_is_seen_as_far_as_is_asked() {
        let found =
            |around, offset| value(Out::Given, (0, ValueKind::U8), around, |out| write(out, offset)).out;
        assert_eq!(found(8, 0), OutValue::Bytes(Bytes::Zeroed));
        for offset in [-8, -1, 1, 8] {
            assert_eq!(found(8, offset), OutValue::Bytes(Bytes::Garbage), "{offset}");
        }
        for offset in [-64, -9, 9, LARGEST as isize] {
            assert_eq!(found(usize::MAX, offset), OutValue::Bytes(Bytes::Garbage), "{offset}");
        }
    }
}
