//! Counted strings and routines by name (the pages of the calls under
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::ptr::null;

use common::*;
use ntsim::{ddi, types::*};

/// Returns a string with `room` bytes of buffer, in memory that is never freed.
fn string(text: &str, room: usize) -> UNICODE_STRING {
    let mut characters: Vec<u16> = text.encode_utf16().collect();
    let bytes = 2 * characters.len() as u16;
    characters.resize(room / 2, 0xAAAA);
    let buffer = characters.leak().as_mut_ptr();
    UNICODE_STRING { Length: bytes, MaximumLength: room as u16, Buffer: buffer }
}

fn full(text: &str) -> UNICODE_STRING {
    string(text, 2 * text.encode_utf16().count())
}

fn text(string: &UNICODE_STRING) -> String {
    // SAFETY: the strings of these tests have `Length` bytes of characters.
    let characters = unsafe { core::slice::from_raw_parts(string.Buffer, usize::from(string.Length) / 2) };
    String::from_utf16(characters).unwrap()
}

#[test]
fn a_string_is_made_of_characters_that_end_with_a_zero() {
    fine(|| {
        let source: Vec<u16> = "driver\0more".encode_utf16().collect();
        let mut string = UNICODE_STRING::default();
        // SAFETY: the arguments are valid.
        unsafe { ddi::RtlInitUnicodeString(&raw mut string, source.as_ptr()) };
        assert_eq!((text(&string), string.MaximumLength), ("driver".into(), 14));
        // SAFETY: the arguments are valid.
        unsafe { ddi::RtlInitUnicodeString(&raw mut string, null()) };
        assert_eq!((string.Length, string.MaximumLength, string.Buffer.is_null()), (0, 0, true));
    });
}

#[test]
fn copying_takes_what_there_is_room_for() {
    fine(|| {
        let copy = |from: &str, room: usize| {
            let (source, mut target) = (full(from), string("", room));
            // SAFETY: the arguments are valid.
            unsafe { ddi::RtlCopyUnicodeString(&raw mut target, &raw const source) };
            text(&target)
        };
        assert_eq!(copy("abc", 20), "abc");
        assert_eq!(copy("abc", 6), "abc");
        assert_eq!(copy("abc", 5), "ab");
        let mut target = full("abc");
        // SAFETY: the source may be null.
        unsafe { ddi::RtlCopyUnicodeString(&raw mut target, null()) };
        assert_eq!(target.Length, 0);
    });
}

#[test]
fn comparing_may_ignore_case() {
    fine(|| {
        let compare = |one: &str, other: &str, ignore: bool| {
            let (one, other) = (full(one), full(other));
            // SAFETY: the arguments are valid.
            let equal =
                unsafe { ddi::RtlEqualUnicodeString(&raw const one, &raw const other, ignore.into()) != 0 };
            // SAFETY: the arguments are valid.
            let order =
                unsafe { ddi::RtlCompareUnicodeString(&raw const one, &raw const other, ignore.into()) };
            assert_eq!(equal, order == 0);
            order.signum()
        };
        assert_eq!(compare("abc", "abc", false), 0);
        assert_eq!(compare("abc", "ABC", false), 1);
        assert_eq!(compare("abc\u{e4}", "ABC\u{c4}", true), 0);
        assert_eq!(compare("abc", "abcd", true), -1);
        assert_eq!(compare("b", "abcd", true), 1);
    });
}

#[test]
fn appending_needs_room_for_all() {
    fine(|| {
        let append = |room: usize| {
            let (mut target, source) = (string("ab", room), full("cd"));
            // SAFETY: the arguments are valid.
            let status = unsafe { ddi::RtlAppendUnicodeStringToString(&raw mut target, &raw const source) };
            (status, text(&target))
        };
        assert_eq!(append(8), (STATUS_SUCCESS, "abcd".into()));
        assert_eq!(append(10), (STATUS_SUCCESS, "abcd".into()));
        assert_eq!(append(7), (STATUS_BUFFER_TOO_SMALL, "ab".into()));
    });
}

/// Returns a string in pool of this kind, with its buffer behind it.
fn in_pool(kind: u64, text: &str, room: u16) -> *mut UNICODE_STRING {
    let string = pool(kind, 16 + u64::from(room), TAG).cast::<UNICODE_STRING>();
    let buffer = string.wrapping_add(1).cast::<u16>();
    for (index, character) in text.encode_utf16().enumerate() {
        // SAFETY: the address is in the block.
        unsafe { buffer.wrapping_add(index).write(character) };
    }
    let length = 2 * text.len() as u16;
    // SAFETY: the string is at the block's beginning.
    unsafe { string.write(UNICODE_STRING { Length: length, MaximumLength: room, Buffer: buffer }) };
    string
}

/// Copies a string over another and appends it, at an IRQL.
fn copied_and_appended_at(irql: u8, target: *mut UNICODE_STRING, source: *mut UNICODE_STRING) {
    let before = raise(irql);
    // SAFETY: the arguments are valid.
    unsafe { ddi::RtlCopyUnicodeString(target, source) };
    // SAFETY: the arguments are valid.
    let status = unsafe { ddi::RtlAppendUnicodeStringToString(target, source) };
    lower(before);
    assert_eq!(status, STATUS_SUCCESS);
    // SAFETY: the caller has initialised the string.
    assert_eq!(text(unsafe { &*target }), "abcabc");
}

#[test]
fn resident_strings_are_copied_and_appended_at_any_irql() {
    for irql in [0, 1, 2, 5, 15] {
        fine(move || {
            let [target, source] = [20, 6].map(|room| in_pool(POOL_FLAG_NON_PAGED, "abc", room));
            copied_and_appended_at(irql, target, source);
            free(target);
            free(source);
        });
    }
}

#[test]
fn paged_strings_are_for_apc_level_and_freed_ones_for_no_level() {
    let at = |irql: u8, target: u64, source: u64| {
        move || copied_and_appended_at(irql, in_pool(target, "", 20), in_pool(source, "abc", 6))
    };
    alone(at(1, POOL_FLAG_PAGED, POOL_FLAG_PAGED)).unwrap();
    assert_eq!(bug(at(2, POOL_FLAG_PAGED, POOL_FLAG_NON_PAGED)).code, 0xD1);
    assert_eq!(bug(at(2, POOL_FLAG_NON_PAGED, POOL_FLAG_PAGED)).code, 0xD1);
    let buffer_only = || {
        let (mut target, source) = (string("", 20), in_pool(POOL_FLAG_PAGED, "abc", 6));
        // SAFETY: `in_pool` has initialised the string.
        let mut source = unsafe { source.read() };
        copied_and_appended_at(2, &raw mut target, &raw mut source);
    };
    assert_eq!(bug(buffer_only).code, 0xD1);
    let freed = || {
        let [target, source] = [20, 6].map(|room| in_pool(POOL_FLAG_NON_PAGED, "abc", room));
        free(source);
        copied_and_appended_at(0, target, source);
    };
    assert_eq!(bug(freed).code, 0xD1);
}

#[test]
fn comparing_is_for_passive_level() {
    let raised = || {
        let one = full("a");
        raise(1);
        // SAFETY: the arguments are valid.
        unsafe { ddi::RtlEqualUnicodeString(&raw const one, &raw const one, 0) };
    };
    assert_eq!(code(raised), (0xC4, 0xE5));
}

#[test]
fn a_routine_that_nt_exports_is_found_by_its_name() {
    fine(|| {
        let find = |name: &str| {
            let mut name = full(name);
            // SAFETY: the argument is valid.
            unsafe { ddi::MmGetSystemRoutineAddress(&raw mut name) }
        };
        assert_eq!(find("KeSetEvent"), ddi::KeSetEvent as PVOID);
        assert!(find("keSetEvent").is_null(), "case matters");
        assert!(find("IoMarkIrpPending").is_null(), "inline in C");
        assert!(find("NoSuchRoutine").is_null());
        let current: unsafe extern "C" fn() -> KIRQL =
            // SAFETY: the routine with this name has this type.
            unsafe { core::mem::transmute(find("KeGetCurrentIrql")) };
        // SAFETY: this runs inside a simulation run.
        assert_eq!(unsafe { current() }, 0);
    });
    let raised = || {
        let mut name = full("KeSetEvent");
        raise(1);
        // SAFETY: the argument is valid.
        unsafe { ddi::MmGetSystemRoutineAddress(&raw mut name) };
    };
    assert_eq!(code(raised), (0xC4, 0xE5));
}
