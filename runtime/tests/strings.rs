//! Tests of strings, compared with the simulated kernel's.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::fmt::Write as _;

use common::in_kernel;
use ntcom::{
    LocalUnicodeString, MAX_UNITS, NTSTATUS, OwnedUnicodeString, UnicodeStr, UnicodeString, ensure, kstr,
};
use ntsim::{ddi::RtlEqualUnicodeString, types::UNICODE_STRING};
use proptest::prelude::{any, prop_assert_eq, proptest};

/// Compares two strings with the kernel's own function.
fn equal(one: UnicodeStr<'_>, other: UnicodeStr<'_>) -> bool {
    let kernels = |string: &UnicodeStr<'_>| -> *const UNICODE_STRING { string.as_ptr().cast() };
    // SAFETY: both strings are alive, and do not change.
    unsafe { RtlEqualUnicodeString(kernels(&one), kernels(&other), 0) != 0 }
}

/// Returns the character after the end.
fn end(string: UnicodeStr<'_>) -> u16 {
    // SAFETY: the string is alive.
    let raw = unsafe { *string.as_ptr() };
    assert_eq!(raw.maximum_length, raw.length + 2);
    // SAFETY: the maximum length leaves room for one more character.
    let end = unsafe { raw.buffer.add(usize::from(raw.length / 2)) };
    // SAFETY: the character after the end is within the buffer, and initialised.
    unsafe { *end }
}

#[test]
fn the_layout_is_the_kernels() {
    use core::mem::offset_of;
    assert_eq!(size_of::<UnicodeStr<'_>>(), size_of::<UNICODE_STRING>());
    assert_eq!(offset_of!(UnicodeString, length), offset_of!(UNICODE_STRING, Length));
    assert_eq!(offset_of!(UnicodeString, maximum_length), offset_of!(UNICODE_STRING, MaximumLength));
    assert_eq!(offset_of!(UnicodeString, buffer), offset_of!(UNICODE_STRING, Buffer));
}

#[test]
fn three_ways_to_the_same_string() {
    in_kernel(|| {
        const TEXT: &str = r"\Device\Grüße 🦀\日本";
        let literal = kstr!(TEXT);
        let owned = OwnedUnicodeString::new(TEXT).unwrap();
        let mut local = LocalUnicodeString::<32>::new();
        local.push_str(r"\Device\").unwrap();
        local.push_unicode(kstr!("Grüße 🦀")).unwrap();
        let rest = "日本";
        write!(local, r"\{rest}").unwrap();
        let copied = OwnedUnicodeString::copy(local.as_unicode()).unwrap();
        for string in [literal, owned.as_unicode(), local.as_unicode(), copied.as_unicode()] {
            assert!(equal(string, literal));
            assert_eq!(string.to_string(), TEXT);
            assert_eq!(string, TEXT);
            assert_eq!(end(string), 0);
        }
        assert!(!equal(literal, kstr!("other")));
    });
}

#[test]
fn what_does_not_fit_leaves_everything_as_it_was() {
    let mut local = LocalUnicodeString::<4>::new();
    local.push_str("ab").unwrap();
    assert_eq!(local.push_str("cd"), Err(NTSTATUS::BUFFER_TOO_SMALL));
    assert_eq!(local.push_str("🦀"), Err(NTSTATUS::BUFFER_TOO_SMALL), "two characters of 16 bits");
    assert_eq!((local.as_unicode(), end(local.as_unicode())), (kstr!("ab"), 0));
    local.push_str("c").unwrap();
    assert!(write!(local, "d").is_err());
    assert_eq!(local.as_unicode(), "abc");
    local.clear();
    assert!(local.as_unicode().is_empty());
    assert_eq!(LocalUnicodeString::<1>::new().push_str("a"), Err(NTSTATUS::BUFFER_TOO_SMALL));
}

#[test]
fn the_longest_string_is_32766_characters() {
    in_kernel(|| {
        let longest = "x".repeat(MAX_UNITS);
        let owned = OwnedUnicodeString::new(&longest).unwrap();
        assert_eq!((owned.as_unicode().len(), end(owned.as_unicode())), (MAX_UNITS, 0));
        let too_long = format!("{longest}x");
        assert_eq!(OwnedUnicodeString::new(&too_long).err(), Some(NTSTATUS::NAME_TOO_LONG));
        let units = vec![0x78; MAX_UNITS + 1];
        assert_eq!(UnicodeStr::new(&units).err(), Some(NTSTATUS::NAME_TOO_LONG));
        assert!(UnicodeStr::new(&units[1..]).is_ok());
    });
}

#[test]
fn memory_is_given_back_and_its_want_is_an_error() {
    in_kernel(|| {
        drop(OwnedUnicodeString::new("").unwrap());
        ntsim::fail_allocation(0);
        assert_eq!(OwnedUnicodeString::new("a").err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

/// Foreign strings that contradict themselves are refused.
#[test]
fn a_string_that_contradicts_itself_is_refused() {
    let mut units = [0x41_u16; 4];
    let string = |length, maximum_length, buffer| {
        let raw = UnicodeString { length, maximum_length, buffer };
        // SAFETY: the buffer is null, or four characters.
        unsafe { UnicodeStr::from_ptr(&raw const raw) }.map(|string| string.len())
    };
    let buffer = units.as_mut_ptr();
    let null = core::ptr::null_mut();
    assert_eq!(string(8, 8, buffer), Ok(4));
    assert_eq!(string(0, 0, null), Ok(0));
    for (length, maximum, buffer) in [(7, 8, buffer), (8, 6, buffer), (2, 8, null)] {
        assert_eq!(string(length, maximum, buffer), Err(NTSTATUS::INVALID_PARAMETER));
    }
    // SAFETY: null is allowed.
    let none = unsafe { UnicodeStr::from_ptr(core::ptr::null()) };
    assert_eq!(none.err(), Some(NTSTATUS::INVALID_PARAMETER));
}

#[test]
fn what_is_no_utf_16_is_shown_and_kept() {
    let units = [0x41, 0xD800, 0x42];
    let string = UnicodeStr::new(&units).unwrap();
    assert_eq!(string.to_string(), "A\u{FFFD}B");
    assert_eq!(format!("{string:?}"), "\"A\u{FFFD}B\"");
    assert_eq!(string.units(), units);
}

#[test]
fn a_condition_that_does_not_hold_is_an_error_of_the_functions_own() {
    #[derive(Debug, PartialEq)]
    struct Own(u32);
    impl From<NTSTATUS> for Own {
        fn from(status: NTSTATUS) -> Self {
            Self(status.to_u32())
        }
    }
    fn checked(condition: bool) -> Result<u8, Own> {
        ensure!(condition, NTSTATUS::NOT_SUPPORTED);
        Ok(1)
    }
    assert_eq!((checked(true), checked(false)), (Ok(1), Err(Own(0xC000_00BB))));
}

proptest! {
    /// The length of a literal is that which std counts, and a written text reads back.
    #[test]
    fn texts_are_measured_and_converted_as_std_does(text in any::<String>()) {
        let expected: Vec<u16> = text.encode_utf16().collect();
        prop_assert_eq!(ntcom::string::length(&text), expected.len());
        let mut local = LocalUnicodeString::<64>::new();
        prop_assert_eq!(local.push_str(&text).is_ok(), expected.len() < 64);
        let kept = if expected.len() < 64 { &expected[..] } else { &[] };
        prop_assert_eq!(local.as_unicode().units(), kept);
    }
}

macro_rules! literals {
    ($($text:literal)*) => {
        /// Characters at the borders of the encodings' lengths in UTF-8 and UTF-16.
        #[test]
        fn literals_at_the_borders() {
            $(assert_eq!(kstr!($text).units(), $text.encode_utf16().collect::<Vec<_>>(), "{:?}", $text);)*
        }
    };
}

literals!("" "a" "\u{0}" "\u{7F}" "\u{80}" "\u{7FF}" "\u{800}" "\u{D7FF}" "\u{E000}" "\u{FFFF}" "\u{10000}" "\u{10FFFF}" "a\u{10000}\u{800}z");
