//! DbgPrint (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-dbgprint and
//! `nf-wdm-dbgprintex`).
#![cfg(all(unix, target_arch = "x86_64"))]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{
    ffi::{CStr, c_char, c_int},
    ptr::null,
};
use std::ffi::CString;

use common::*;
use ntsim::{
    Schedule, Simulation, Stop, ddi,
    trace::What,
    types::{_STRING, *},
};
use proptest::prelude::*;

/// Returns the text of the only message of a program.
fn printed(f: impl FnOnce() + 'static) -> String {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    kernel.run_on(0, f).unwrap_or_else(|stop| panic!("{stop}"));
    let mut texts = kernel.trace().events().iter().filter_map(|event| match &event.what {
        What::Print { text, .. } => Some(text.clone()),
        _ => None,
    });
    let text = texts.next().unwrap();
    assert!(texts.next().is_none());
    text
}

/// Prints, with arguments that fit the format.
macro_rules! print {
    ($format:expr $(, $argument:expr)*) => {{
        let format: &CStr = $format;
        // SAFETY: the arguments fit the format, or the run ends before they are used.
        assert_eq!(unsafe { ddi::DbgPrint(format.as_ptr() $(, $argument)*) }, 0);
    }};
}

macro_rules! is {
    ($text:literal, $($print:tt)*) => { assert_eq!(printed(|| print!($($print)*)), $text) };
}

fn wide(text: &str) -> *const u16 {
    text.encode_utf16().chain([0]).collect::<Vec<_>>().leak().as_ptr()
}

#[test]
fn plain_text_and_percent_signs() {
    is!("", c"");
    is!("100 %\n", c"100 %%\n");
}

#[test]
fn numbers_have_the_sizes_of_the_kernel() {
    is!("-1 4294967295 ffffffff FFFFFFFF", c"%d %u %x %X", -1, -1, -1, -1);
    is!("-1 ffffffff", c"%ld %lx", -1_i64, -1_i64);
    is!("-1 ffffffffffffffff 18446744073709551615", c"%I64d %I64x %llu", -1_i64, -1_i64, -1_i64);
    is!("1 ffffffff ffffffffffffffff", c"%I32d %I32x %Ix", 1_i64 << 32 | 1, -1_i64, -1_i64);
    is!("-1 65535 -1 255", c"%hd %hu %hhd %hhu", 0xFFFF, 0xFFFF, 0xFF, 0xFF);
    is!("0x1f 0X1F 037 0", c"%#x %#X %#o %#x", 31, 31, 31, 0);
}

#[test]
fn flags_widths_and_precisions() {
    is!("[   42][42   ][00042][  +42]", c"[%5d][%-5d][%05d][%+5d]", 42, 42, 42, 42);
    is!("[  042][-0042][ 42]", c"[%5.3d][%05d][% d]", 42, -42, 42);
    is!("[    7][7    ][007]", c"[%*d][%*d][%.*d]", 5, 7, -5, 7, 3, 7);
    is!("[ab][   ab][ab   ]", c"[%.2s][%5.2s][%-5.2s]", c"abc".as_ptr(), c"abc".as_ptr(), c"abc".as_ptr());
}

#[test]
fn pointers_have_all_their_digits() {
    is!("00000000DEADBEEF 0000000000000000", c"%p %p", 0xDEAD_BEEF_usize, null::<u8>());
}

#[test]
fn characters_and_strings_of_8_and_16_bits() {
    is!("a b c d", c"%c %wc %C %hC", i32::from(b'a'), i32::from(b'b'), i32::from(b'c'), i32::from(b'd'));
    is!(
        "ab Grüße Grüße Grüße cd",
        c"%s %ws %S %ls %hs",
        c"ab".as_ptr(),
        wide("Grüße"),
        wide("Grüße"),
        wide("Grüße"),
        c"cd".as_ptr()
    );
    is!(
        "(null) (null) (null) (null)",
        c"%s %ws %Z %wZ",
        null::<u8>(),
        null::<u16>(),
        null::<u8>(),
        null::<u8>()
    );
}

#[test]
fn counted_strings_need_no_zero() {
    let characters: Vec<u16> = "\\Device\\Rest".encode_utf16().collect();
    let buffer = characters.leak().as_mut_ptr();
    let unicode = UNICODE_STRING { Length: 14, MaximumLength: 24, Buffer: buffer };
    let bytes: *mut c_char = Vec::from("bytes and more").leak().as_mut_ptr().cast();
    let ansi: ANSI_STRING = _STRING { Length: 5, MaximumLength: 14, Buffer: bytes };
    let text = printed(move || print!(c"%wZ %Z %.3Z", &raw const unicode, &raw const ansi, &raw const ansi));
    assert_eq!(text, "\\Device bytes byt");
}

#[test]
fn arguments_beyond_the_registers() {
    is!("1 2 3 4 5 6 7 8 9", c"%d %d %d %d %d %d %I64d %d %d", 1, 2, 3, 4, 5, 6, 7_i64, 8, 9);
}

#[test]
fn a_message_has_512_bytes_at_most() {
    let long = CString::new("x".repeat(600)).unwrap();
    let text = printed(move || print!(c"%s", long.as_ptr()));
    assert_eq!(text.len(), 512);
    assert_eq!(printed(|| print!(c"%999999d%.999999d", 1, 1)).len(), 512);
}

#[test]
fn it_has_a_component_and_a_level() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let run = kernel.run_on(0, || {
        // SAFETY: the arguments fit the format.
        unsafe { ddi::DbgPrintEx(DPFLTR_IHVDRIVER_ID, 2, c"%d %d %d %d\n".as_ptr(), 1, 2, 3, 4) };
        print!(c"default");
    });
    run.unwrap();
    let text = kernel.trace().to_string();
    assert!(text.contains(r"prints (component 77, level 0x2): 1 2 3 4"), "{text}");
    assert!(text.contains("prints (component 101, level 0x3): default"), "{text}");
}

#[test]
fn characters_of_16_bits_are_for_passive_level() {
    let formats = [c"%wc", c"%C", c"%lc", c"%ws", c"%S", c"%ls", c"%wZ"];
    for format in formats {
        let at = |irql: u8| {
            alone(move || {
                let before = raise(irql);
                print!(format, 0_i64);
                lower(before);
            })
        };
        at(0).unwrap();
        match at(1) {
            Err(Stop::BugCheck(bug)) => assert_eq!((bug.code, bug.parameters[0]), (0xC4, 0xE5)),
            other => panic!("{format:?}: {other:?}"),
        }
    }
    fine(|| {
        let before = raise(12);
        print!(c"%d %s %c %p", 1, c"any IRQL".as_ptr(), 65, 0_i64);
        lower(before);
    });
}

#[test]
fn a_string_in_memory_that_cannot_be_read() {
    let text = |kind: POOL_FLAGS| {
        let memory = pool(kind, 16, TAG);
        poke(memory, 0);
        memory
    };
    fine(move || {
        let memory = text(POOL_FLAG_PAGED);
        print!(c"%s", memory);
        free(memory);
    });
    let freed = bug(move || {
        let memory = text(POOL_FLAG_NON_PAGED);
        free(memory);
        print!(c"%s", memory);
    });
    assert_eq!((freed.code, freed.parameters[2]), (0xD1, 0));
    let paged = bug(move || {
        let memory = text(POOL_FLAG_PAGED);
        raise_to_dpc_level();
        print!(c"%s", memory);
    });
    assert_eq!(paged.code, 0xD1);
    let endless = bug(move || {
        let memory = text(POOL_FLAG_NON_PAGED);
        (0..16).for_each(|distance| poke(memory, distance));
        print!(c"%s", memory);
    });
    assert_eq!(endless.code, 0xD1, "without a zero");
}

#[test]
fn what_the_kernel_does_not_format_is_said() {
    for (format, said) in [
        (c"%f", "%f"),
        (c"a %5.2e", "%5.2e"),
        (c"%n", "%n"),
        (c"%y", "%y"),
        (c"%I65d", "%I6"),
        (c"ends in %-5", "%-5"),
    ] {
        match alone(move || print!(format, 0_i64)) {
            Err(Stop::Failure { oracle: "not supported", message, .. }) => {
                assert!(message.contains(&format!("with {said:?}")), "{message}");
            }
            other => panic!("{format:?}: {other:?}"),
        }
    }
}

unsafe extern "C" {
    fn snprintf(buffer: *mut c_char, size: usize, format: *const c_char, ...) -> c_int;
}

proptest! {
    #[test]
    fn what_c_has_too_is_as_in_c(
        flags in "[-+ #0]{0,3}",
        width in proptest::option::of(0_u32..30),
        precision in proptest::option::of(0_u32..30),
        size in proptest::sample::select(vec!["", "h", "hh", "ll"]),
        conversion in proptest::sample::select(vec!["d", "i", "u", "x", "X", "o"]),
        argument in prop_oneof![-3_i64..=3, any::<i64>()],
    ) {
        let width = width.map_or(String::new(), |width| width.to_string());
        let precision = precision.map_or(String::new(), |precision| format!(".{precision}"));
        // `#` is undefined in C for the other conversions.
        let flags: String = flags.chars().filter(|flag| *flag != '#' || "xXo".contains(conversion)).collect();
        let format = CString::new(format!("[%{flags}{width}{precision}{size}{conversion}]")).unwrap();
        let mut expected = [0; 80];
        let buffer: *mut c_char = expected.as_mut_ptr();
        // SAFETY: the buffer has this length, and the argument is as wide as any of these sizes.
        unsafe { snprintf(buffer, expected.len(), format.as_ptr(), argument) };
        // SAFETY: `snprintf` has written a zero.
        let expected = unsafe { CStr::from_ptr(buffer) }.to_str().unwrap().to_owned();
        let shown = format.clone();
        let text = printed(move || print!(&format, argument));
        prop_assert_eq!(text, expected, "{:?} of {}", shown, argument);
    }
}
