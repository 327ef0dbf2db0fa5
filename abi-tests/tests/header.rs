//! The numbers of `ntcom.h`, as compilers measure them, against numbers that are written by hand.
//!
//! The header's own static asserts have the numbers for 32-bit too, and every available compiler
//! checks them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::ffi::{CStr, c_char, c_void};
use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use ntcom_abi_tests::{CC, CXX, Numbers, abi_c_numbers, abi_cpp_numbers};

/// The numbers on which C and C++ must agree. Each has a name, the number on 64-bit, and the number
/// on 32-bit.
const NUMBERS: &[(&str, u64, u64)] = &[
    ("sizeof NTSTATUS", 4, 4),
    ("sizeof LONG", 4, 4),
    ("sizeof ULONG", 4, 4),
    ("sizeof LONGLONG", 8, 8),
    ("sizeof ntcom_AsyncStatus", 4, 4),
    ("sizeof ntcom_CompletedHandler", 8, 4),
    ("sizeof GUID", 16, 16),
    ("GUID.Data1", 0, 0),
    ("GUID.Data2", 4, 4),
    ("GUID.Data3", 6, 6),
    ("GUID.Data4", 8, 8),
    ("ntcom_IUnknownVtbl.QueryInterface", 0, 0),
    ("ntcom_IUnknownVtbl.AddRef", 8, 4),
    ("ntcom_IUnknownVtbl.Release", 16, 8),
    ("sizeof ntcom_IUnknownVtbl", 24, 12),
    ("ntcom_IUnknown.lpVtbl", 0, 0),
    ("sizeof ntcom_IUnknown", 8, 4),
    ("ntcom_IAsyncOperationVtbl.QueryInterface", 0, 0),
    ("ntcom_IAsyncOperationVtbl.AddRef", 8, 4),
    ("ntcom_IAsyncOperationVtbl.Release", 16, 8),
    ("ntcom_IAsyncOperationVtbl.get_status", 24, 12),
    ("ntcom_IAsyncOperationVtbl.get_result", 32, 16),
    ("sizeof ntcom_IAsyncOperationVtbl", 40, 20),
    ("ntcom_IAsyncOperation.lpVtbl", 0, 0),
    ("sizeof ntcom_IAsyncOperation", 8, 4),
    ("IAsyncOperationPaddedVtbl.QueryInterface", 0, 0),
    ("IAsyncOperationPaddedVtbl.AddRef", 8, 4),
    ("IAsyncOperationPaddedVtbl.Release", 16, 8),
    ("IAsyncOperationPaddedVtbl.get_status", 24, 12),
    ("IAsyncOperationPaddedVtbl.get_result", 32, 16),
    ("sizeof IAsyncOperationPaddedVtbl", 40, 20),
    ("IAsyncOperationPadded.lpVtbl", 0, 0),
    ("sizeof IAsyncOperationPadded", 8, 4),
    ("ntcom_IAsyncControlVtbl.QueryInterface", 0, 0),
    ("ntcom_IAsyncControlVtbl.AddRef", 8, 4),
    ("ntcom_IAsyncControlVtbl.Release", 16, 8),
    ("ntcom_IAsyncControlVtbl.cancel", 24, 12),
    ("ntcom_IAsyncControlVtbl.get_error", 32, 16),
    ("ntcom_IAsyncControlVtbl.set_completed", 40, 20),
    ("ntcom_IAsyncControlVtbl.wait", 48, 24),
    ("ntcom_IAsyncControlVtbl.get_result_size", 56, 28),
    ("sizeof ntcom_IAsyncControlVtbl", 64, 32),
    ("ntcom_IAsyncControl.lpVtbl", 0, 0),
    ("sizeof ntcom_IAsyncControl", 8, 4),
    ("NTCOM_STARTED", 0, 0),
    ("NTCOM_COMPLETED", 1, 1),
    ("NTCOM_CANCELED", 2, 2),
    ("NTCOM_ERROR", 3, 3),
    ("NTCOM_STATUS_SUCCESS", 0, 0),
    ("NTCOM_STATUS_TIMEOUT", 0x102, 0x102),
    ("NTCOM_STATUS_PENDING", 0x103, 0x103),
    ("NTCOM_STATUS_UNSUCCESSFUL", 0xC000_0001, 0xC000_0001),
    ("NTCOM_STATUS_INVALID_PARAMETER", 0xC000_000D, 0xC000_000D),
    ("NTCOM_STATUS_BUFFER_TOO_SMALL", 0xC000_0023, 0xC000_0023),
    ("NTCOM_STATUS_DELETE_PENDING", 0xC000_0056, 0xC000_0056),
    ("NTCOM_STATUS_INSUFFICIENT_RESOURCES", 0xC000_009A, 0xC000_009A),
    ("NTCOM_STATUS_IO_TIMEOUT", 0xC000_00B5, 0xC000_00B5),
    ("NTCOM_STATUS_NOT_SUPPORTED", 0xC000_00BB, 0xC000_00BB),
    ("NTCOM_STATUS_NAME_TOO_LONG", 0xC000_0106, 0xC000_0106),
    ("NTCOM_STATUS_CANCELLED", 0xC000_0120, 0xC000_0120),
    ("NTCOM_STATUS_PIPE_BROKEN", 0xC000_014B, 0xC000_014B),
    ("NTCOM_STATUS_DRIVER_INTERNAL_ERROR", 0xC000_0183, 0xC000_0183),
    ("NTCOM_STATUS_INVALID_DEVICE_STATE", 0xC000_0184, 0xC000_0184),
    ("NTCOM_STATUS_POSSIBLE_DEADLOCK", 0xC000_0194, 0xC000_0194),
    ("NTCOM_STATUS_NOINTERFACE", 0xC000_02B9, 0xC000_02B9),
    ("ntcom_IID_IUnknown, first half", 0x0000_0000_0000_0000, 0x0000_0000_0000_0000),
    ("ntcom_IID_IUnknown, second half", 0xC000_0000_0000_0046, 0xC000_0000_0000_0046),
    ("ntcom_IID_IAsyncOperation, first half", 0xE18C_01F5_0ED4_455B, 0xE18C_01F5_0ED4_455B),
    ("ntcom_IID_IAsyncOperation, second half", 0x9038_9D69_1621_387B, 0x9038_9D69_1621_387B),
    ("ntcom_IID_IAsyncControl, first half", 0xD0D7_CFEE_CE81_4CA0, 0xD0D7_CFEE_CE81_4CA0),
    ("ntcom_IID_IAsyncControl, second half", 0x965E_49CF_F7A6_D598, 0x965E_49CF_F7A6_D598),
    ("ntcom_checked_answer(NTCOM_STATUS_SUCCESS)", 0, 0),
    ("ntcom_checked_answer(NTCOM_STATUS_PENDING)", 0x103, 0x103),
    ("ntcom_checked_answer(NTCOM_STATUS_TIMEOUT)", 0xC000_0183, 0xC000_0183),
    ("ntcom_checked_answer(NTCOM_STATUS_CANCELLED)", 0xC000_0120, 0xC000_0120),
    ("ntcom_is_terminal(-1)", 0, 0),
    ("ntcom_is_terminal(4)", 0, 0),
    ("ntcom_is_equal_guid(&ntcom_IID_IUnknown, &ntcom_IID_IUnknown)", 1, 1),
    ("ntcom_is_equal_guid(&ntcom_IID_IAsyncOperation, &ntcom_IID_IAsyncControl)", 0, 0),
];

/// The numbers of C++ alone.
const CLASSES: &[(&str, u64, u64)] = &[
    ("sizeof ntcom::AsyncStatus", 4, 4),
    ("sizeof ntcom::IUnknown", 8, 4),
    ("sizeof ntcom::IAsyncOperation<void>", 8, 4),
    ("sizeof ntcom::IAsyncOperation<abi_padded>", 8, 4),
    ("sizeof ntcom::IAsyncControl", 8, 4),
    ("ntcom::IUnknown::iid, first half", 0x0000_0000_0000_0000, 0x0000_0000_0000_0000),
    ("ntcom::IUnknown::iid, second half", 0xC000_0000_0000_0046, 0xC000_0000_0000_0046),
    ("ntcom::IAsyncOperation<abi_padded>::iid, first half", 0xE18C_01F5_0ED4_455B, 0xE18C_01F5_0ED4_455B),
    ("ntcom::IAsyncOperation<abi_padded>::iid, second half", 0x9038_9D69_1621_387B, 0x9038_9D69_1621_387B),
    ("ntcom::IAsyncControl::iid, first half", 0xD0D7_CFEE_CE81_4CA0, 0xD0D7_CFEE_CE81_4CA0),
    ("ntcom::IAsyncControl::iid, second half", 0x965E_49CF_F7A6_D598, 0x965E_49CF_F7A6_D598),
];

unsafe extern "C" fn collect(context: *mut c_void, name: *const c_char, value: u64) {
    // SAFETY: the other side passes a string literal.
    let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap().to_owned();
    // SAFETY: `context` is the vector of `measured`, which has no other user during the call.
    unsafe { &mut *context.cast::<Vec<(String, u64)>>() }.push((name, value));
}

fn measured(numbers: Numbers) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    // SAFETY: `collect` gets the vector that it expects.
    unsafe { numbers(collect, (&raw mut found).cast()) };
    found
}

/// Checks that exactly the expected numbers were found.
fn compare(found: &[(String, u64)], expected: &[(&str, u64, u64)]) {
    let print = |name: &str, number: u64| format!("{name}: {number:#x}");
    for ((name, number), (pinned, on_64, on_32)) in found.iter().zip(expected) {
        let by_hand = if cfg!(target_pointer_width = "64") { *on_64 } else { *on_32 };
        assert_eq!(print(name, *number), print(pinned, by_hand), "measured number, and number by hand");
    }
    assert_eq!(found.len(), expected.len(), "{:?} is not pinned", found.get(expected.len()));
}

#[test]
fn the_c_compiler_finds_the_contracts_numbers() {
    compare(&measured(abi_c_numbers), NUMBERS);
}

#[test]
fn the_cpp_compiler_finds_the_contracts_numbers() {
    compare(&measured(abi_cpp_numbers), &[NUMBERS, CLASSES].concat());
}

/// A program in both languages that uses the header.
const PROGRAM: &str = r"
#include <ntcom.h>
NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU32, uint32_t);
int use(IAsyncOperationU32 *operation, uint32_t *value, NTSTATUS *why);
int use(IAsyncOperationU32 *operation, uint32_t *value, NTSTATUS *why) {
    return IAsyncOperationU32_try_get(operation, value, why);
}
";

const C: &[&str] = &["-xc", "-std=c11"];
const CPP: &[&str] = &["-xc++", "-std=c++17", "-fno-exceptions", "-fno-rtti"];
const PEDANTIC: &[&str] = &["-Wall", "-Wextra", "-Werror", "-pedantic"];

fn run(compiler: &str, arguments: &[&[&str]], program: &str) -> Option<Output> {
    let mut child = Command::new(compiler)
        .args(arguments.concat())
        .args(["-fsyntax-only", "-I", concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/include"), "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    // A compiler that refuses its arguments does not read its input.
    drop(child.stdin.take().unwrap().write_all(program.as_bytes()));
    Some(child.wait_with_output().unwrap())
}

fn accepts(compiler: &str, arguments: &[&[&str]], program: &str) {
    let output = run(compiler, arguments, program).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} {}:\n{said}", arguments.concat().join(" "));
}

/// Whether the compiler exists and knows language and target. Reports it if not.
fn can(compiler: &str, language: &[&str], target: &[&str]) -> bool {
    let arguments = [language, target];
    let there = run(compiler, &arguments, "int x;\n").is_some_and(|output| output.status.success());
    if !there {
        println!("skipped: {compiler} {}: this machine has no such compiler", arguments.concat().join(" "));
    }
    there
}

#[test]
fn no_warning_comes_from_the_header() {
    let more = ["-Wshadow", "-Wconversion", "-Wundef", "-Wcast-qual", "-Wcast-align", "-Wredundant-decls"];
    accepts(CC, &[C, PEDANTIC, &more, &["-Wstrict-prototypes", "-Wmissing-prototypes"]], PROGRAM);
    accepts(CXX, &[CPP, PEDANTIC, &more, &["-Wnon-virtual-dtor", "-Woverloaded-virtual"]], PROGRAM);
}

#[test]
fn older_languages_are_refused() {
    for (compiler, language) in [(CC, ["-xc", "-std=c99"]), (CXX, ["-xc++", "-std=c++14"])] {
        let output = run(compiler, &[&language], PROGRAM).unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("#error \"ntcom.h is C"));
    }
}

/// The header has the 32-bit numbers in static asserts, which need no 32-bit library.
#[test]
fn the_header_has_the_32_bit_layout() {
    let target: &[&str] = &["-m32", "-ffreestanding"];
    for (compiler, language) in [(CC, C), (CXX, CPP)] {
        if can(compiler, language, target) {
            accepts(compiler, &[language, PEDANTIC, target], PROGRAM);
            let wrong = format!("{PROGRAM}NTCOM_STATIC_ASSERT(sizeof(void *) == 8, \"64-bit\");");
            assert!(!run(compiler, &[language, target], &wrong).unwrap().status.success(), "it is 32-bit");
        }
    }
}

/// The declarations of Windows's headers may come before or after `ntcom.h`, because the types are
/// the same. On 32-bit this platform's `long` is the same as theirs.
#[test]
fn windows_declarations_go_before_or_after() {
    const WINDOWS: &str = r"
#ifndef GUID_DEFINED
#define GUID_DEFINED
typedef struct _GUID {
    unsigned long Data1;
    unsigned short Data2;
    unsigned short Data3;
    unsigned char Data4[8];
} GUID;
#endif
typedef long LONG;
typedef unsigned long ULONG;
typedef long long LONGLONG;
typedef LONG NTSTATUS;
#define NT_SUCCESS(Status) (((NTSTATUS)(Status)) >= 0)
#define STATUS_SUCCESS ((NTSTATUS)0x00000000L)
#define STATUS_PENDING ((NTSTATUS)0x00000103L)
typedef struct IUnknown IUnknown;
typedef enum AsyncStatus { Started, Completed, Canceled, Error } AsyncStatus;
";
    let target: &[&str] = &["-m32", "-ffreestanding", "-D_WIN32", "-D__stdcall=__attribute__((stdcall))"];
    for (compiler, language) in [(CC, C), (CXX, CPP)] {
        if can(compiler, language, target) {
            for program in [format!("{WINDOWS}{PROGRAM}"), format!("{PROGRAM}{WINDOWS}")] {
                accepts(compiler, &[language, PEDANTIC, target], &program);
            }
            let theirs = &["-DNTCOM_HAVE_NT_TYPES"];
            accepts(compiler, &[language, PEDANTIC, target, theirs], &format!("{WINDOWS}{PROGRAM}"));
        }
    }
}

/// The other compilers of this machine accept the header.
#[test]
fn other_compilers_accept_the_header() {
    let mut judges = Vec::new();
    for compiler in
        ["gcc", "clang", "x86_64-w64-mingw32-gcc", "i686-w64-mingw32-gcc", "aarch64-linux-gnu-gcc"]
    {
        judges.push((compiler, vec!["-ffreestanding"]));
    }
    for target in [
        "--target=x86_64-pc-windows-msvc",
        "--target=aarch64-pc-windows-msvc",
        "--target=i686-pc-windows-msvc",
    ] {
        judges.push(("clang", vec!["-ffreestanding", target]));
    }
    for (compiler, target) in &judges {
        for language in [C, CPP] {
            if can(compiler, language, target) {
                accepts(compiler, &[language, PEDANTIC, target], PROGRAM);
            }
        }
    }
}
