//! Clients that no Rust compiler built use operations of ours on the simulated kernel.
//!
//! The operations are pending, completed, failed or cancelled, or the constant one for which there
//! is no memory. Each is of seven types, with values that can be recognised by their bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::future::pending;

use ntcom::{AsyncOperationRaw, NTSTATUS, spawn_async_operation_error_raw, spawn_async_operation_raw};
use ntcom_abi_factories::{
    kernel,
    operations::{State, expected, spawn},
    values::Value,
};
use ntcom_abi_tests::{
    Client, Expected, Finding, abi_c_client, abi_c_program, abi_cpp_client, abi_cpp_program,
};

fn in_kernel(program: impl FnOnce() + 'static) {
    kernel::in_kernel(program).unwrap();
}

/// Runs the program that `cargo xtask windows` compiles for Windows. It prints its reports to
/// standard output.
#[test]
fn a_program_in_c_finds_every_operation_as_promised() {
    // SAFETY: this thread is not inside a simulated kernel.
    assert_eq!(unsafe { abi_c_program() }, 0);
}

#[test]
fn a_program_in_cpp_finds_every_operation_as_promised() {
    // SAFETY: this thread is not inside a simulated kernel.
    assert_eq!(unsafe { abi_cpp_program() }, 0);
}

/// The clients report a wrong expectation with file, line and text.
#[test]
fn a_client_says_which_check_failed() {
    for (client, file) in [(abi_c_client as Client, "client.c:"), (abi_cpp_client, "client.cpp:")] {
        in_kernel(move || {
            let raw = spawn::<u32>(State::Completed);
            static WRONG: [u8; 4] = [0x30, 0x31, 0x32, 0x34];
            assert_ne!(WRONG, u32::GRAFFITI.to_ne_bytes());
            let expected = Expected { value: WRONG.as_ptr(), ..expected::<u32>(State::Completed) };
            let mut finding = Finding::NONE;
            // SAFETY: the client takes over the one reference.
            unsafe { client(raw.cast(), &raw const expected, &raw mut finding) };
            // SAFETY: a client has filled the finding.
            let text = unsafe { finding.text() }.unwrap();
            assert!(text.contains(file) && text.contains(": is_expected("), "{text}");
            // The client stopped at once, and still has its references, one of the operation and
            // one of its control.
            for _ in 0..2 {
                // SAFETY: the reference is one of the two that the client has kept.
                drop(unsafe { ntcom::ComRc::from_raw(raw) });
            }
        });
    }
}

/// `[C2]` The first interface is at the start of the object, and the other one behind it. C++
/// compilers lay out a class with these two bases in the same way.
#[test]
fn an_operations_interfaces_are_side_by_side() {
    in_kernel(|| {
        let raw = spawn_async_operation_raw(pending::<u64>());
        // SAFETY: `raw` has the operation's one reference.
        let operation = unsafe { ntcom::ComRc::from_raw(raw) }.unwrap();
        let control = operation.control().unwrap();
        assert_eq!(control.as_ptr().addr() - raw.addr(), size_of::<*const ()>());
        let unknown: ntcom::ComRc<ntcom::IUnknownRaw> = control.query().unwrap();
        assert_eq!(unknown.as_ptr().addr(), raw.addr());
        control.cancel().unwrap();
    });
}

/// The operation lives on between the calls. A DPC at DISPATCH_LEVEL ends it.
#[test]
fn the_example_of_the_documentation_reads_is_cancelled_and_fails() {
    use ntcom_abi_tests::{SensorRead, sensor_read_begin, sensor_read_cancel, sensor_read_end};
    fn read(raw: *mut AsyncOperationRaw<u32>, cancel: bool) -> (NTSTATUS, u32) {
        let mut read = SensorRead::EMPTY;
        // SAFETY: `raw` has the operation's one reference, and `read` stays here until the reading
        // is over.
        let begun = unsafe { sensor_read_begin(&raw mut read, raw.cast()) };
        assert_eq!(NTSTATUS(begun), NTSTATUS::SUCCESS);
        if cancel {
            assert_eq!(NTSTATUS(read.status), NTSTATUS::PENDING);
            // SAFETY: the reading has begun and not ended.
            unsafe { sensor_read_cancel(&raw mut read) };
        }
        assert_ne!(NTSTATUS(read.status), NTSTATUS::PENDING);
        // SAFETY: the reading has begun and is over.
        unsafe { sensor_read_end(&raw mut read) };
        (NTSTATUS(read.status), read.reading)
    }
    in_kernel(|| {
        assert_eq!(read(spawn_async_operation_raw(async { 77_u32 }), false), (NTSTATUS::SUCCESS, 77));
        assert_eq!(read(spawn_async_operation_raw(pending::<u32>()), true), (NTSTATUS::CANCELLED, 0));
        let failed = spawn_async_operation_error_raw::<u32>(NTSTATUS::DELETE_PENDING);
        assert_eq!(read(failed, false), (NTSTATUS::DELETE_PENDING, 0));
        ntsim::fail_allocation(0);
        let constant = spawn_async_operation_raw(async { 77_u32 });
        assert_eq!(read(constant, false), (NTSTATUS::INSUFFICIENT_RESOURCES, 0));
    });
}

/// The example of the documentation in C++.
#[test]
fn the_example_in_cpp_reads_is_cancelled_and_fails() {
    use ntcom_abi_tests::{Reading, abi_cpp_example};
    fn read(raw: *mut AsyncOperationRaw<u32>, cancel: bool) -> Reading {
        let mut reading = Reading::default();
        // SAFETY: `raw` has the operation's one reference.
        unsafe { abi_cpp_example(raw.cast(), cancel.into(), &raw mut reading) };
        reading
    }
    let expected = |status: NTSTATUS, value| Reading { status: status.0, value, ..Reading::default() };
    in_kernel(move || {
        let completed = read(spawn_async_operation_raw(async { 77_u32 }), false);
        assert_eq!(completed, expected(NTSTATUS::SUCCESS, 77));
        let cancelled = read(spawn_async_operation_raw(pending::<u32>()), true);
        let pending = Reading { before: NTSTATUS::PENDING.0, ..expected(NTSTATUS::CANCELLED, 0) };
        assert_eq!(cancelled, pending);
        let failed = spawn_async_operation_error_raw::<u32>(NTSTATUS::DELETE_PENDING);
        assert_eq!(read(failed, false), expected(NTSTATUS::DELETE_PENDING, 0));
        ntsim::fail_allocation(0);
        let constant = spawn_async_operation_raw(async { 77_u32 });
        assert_eq!(read(constant, false), expected(NTSTATUS::INSUFFICIENT_RESOURCES, 0));
        assert_eq!(ntsim::counters().live_blocks, 0, "every reference is given up");
    });
}
