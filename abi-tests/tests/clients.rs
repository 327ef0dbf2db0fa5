//! Operations of ours in the hands of clients that no Rust compiler built, on the simulated kernel: pending, completed, failed, cancelled,
//! and the one that there is no memory for, each with values of seven types whose bytes say where they belong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{ffi::c_void, future::pending};

use ntcom::{
    AsyncOperationRaw, AsyncStatus, AsyncValueType, NTSTATUS, spawn_async_operation_error_raw,
    spawn_async_operation_raw, spawn_async_operation_raw_cancellable,
};
use ntcom_abi_tests::{Client, Expected, Finding, abi_c_client, abi_cpp_client};
use ntsim::{Config, Schedule, Simulation};

/// A type of value that the clients know, and one value of it.
trait Value: AsyncValueType {
    /// What `abi_kind` calls it.
    const KIND: i32;
    /// For each byte whether it is a part of the value: all but the padding.
    const PARTS: &'static [u8];
    fn graffiti() -> Self;
}

impl Value for () {
    const KIND: i32 = 0;
    const PARTS: &'static [u8] = &[];
    fn graffiti() -> Self {}
}

impl Value for u8 {
    const KIND: i32 = 1;
    const PARTS: &'static [u8] = &[1; 1];
    fn graffiti() -> Self {
        0x81
    }
}

impl Value for u32 {
    const KIND: i32 = 2;
    const PARTS: &'static [u8] = &[1; 4];
    fn graffiti() -> Self {
        0x3332_3130
    }
}

impl Value for u64 {
    const KIND: i32 = 3;
    const PARTS: &'static [u8] = &[1; 8];
    fn graffiti() -> Self {
        0x6766_6564_6362_6160
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Padded {
    tag: u8,
    number: u64,
    half: u16,
}

impl Value for Padded {
    const KIND: i32 = 4;
    const PARTS: &'static [u8] = &[1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0];
    fn graffiti() -> Self {
        Self { tag: 0x40, number: 0x4F4E_4D4C_4B4A_4948, half: 0x5150 }
    }
}

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Aligned([u8; 64]);

impl Value for Aligned {
    const KIND: i32 = 5;
    const PARTS: &'static [u8] = &[1; 64];
    fn graffiti() -> Self {
        Self(core::array::from_fn(|index| 0x80 + index as u8))
    }
}

/// 4 KiB.
impl Value for [u32; 1024] {
    const KIND: i32 = 6;
    const PARTS: &'static [u8] = &[1; 4096];
    fn graffiti() -> Self {
        core::array::from_fn(|index| 0x5047_0000 | index as u32)
    }
}

fn in_kernel(program: impl FnOnce() + 'static) {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    kernel.run(vec![(0, Box::new(program))]).unwrap_or_else(|stop| panic!("{stop}"));
    kernel.unload().unwrap_or_else(|stop| panic!("{stop}"));
}

/// Gives a client an operation, and says what it is to find.
fn hand<T: Value>(client: Client, raw: *mut AsyncOperationRaw<T>, status: AsyncStatus, result: NTSTATUS) {
    let value = T::graffiti();
    let expected = Expected {
        value: (&raw const value).cast(),
        part: T::PARTS.as_ptr(),
        size: u32::try_from(T::PARTS.len()).unwrap(),
        kind: T::KIND,
        status: status.0,
        result: result.0,
        constant: i32::from(result == NTSTATUS::INSUFFICIENT_RESOURCES),
    };
    let mut finding = Finding::NONE;
    // SAFETY: the client gets the one reference, and the value's type is the kind's.
    unsafe { client(raw.cast::<c_void>(), &raw const expected, &raw mut finding) };
    // SAFETY: a client has made it.
    if let Some(text) = unsafe { finding.text() } {
        panic!("{} in state {status:?} with {result:?}: {text}", core::any::type_name::<T>());
    }
}

/// A client with operations of all kinds.
fn every_operation_of<T: Value>(client: Client) {
    in_kernel(move || {
        assert_eq!(T::PARTS.len(), size_of::<T>());
        let completed = spawn_async_operation_raw(async { T::graffiti() });
        hand(client, completed, AsyncStatus::Completed, NTSTATUS::SUCCESS);

        hand(client, spawn_async_operation_raw(pending::<T>()), AsyncStatus::Started, NTSTATUS::PENDING);

        let (cancelled, handle) = spawn_async_operation_raw_cancellable(pending::<T>());
        handle.cancel();
        drop(handle);
        hand(client, cancelled, AsyncStatus::Canceled, NTSTATUS::CANCELLED);

        for (given, stored) in [
            (NTSTATUS::from_u32(0xC000_009D), NTSTATUS::from_u32(0xC000_009D)),
            (NTSTATUS::from_u32(0x8000_0011), NTSTATUS::from_u32(0x8000_0011)),
            (NTSTATUS::PENDING, NTSTATUS::UNSUCCESSFUL),
        ] {
            let failed = spawn_async_operation_error_raw::<T>(given);
            hand(client, failed, AsyncStatus::Error, stored);
        }

        ntsim::fail_allocation(0);
        let constant = spawn_async_operation_raw(async { T::graffiti() });
        hand(client, constant, AsyncStatus::Error, NTSTATUS::INSUFFICIENT_RESOURCES);
        assert_eq!(ntsim::counters().live_blocks, 0, "every client has released what it had");
    });
}

fn every_operation(client: Client) {
    every_operation_of::<()>(client);
    every_operation_of::<u8>(client);
    every_operation_of::<u32>(client);
    every_operation_of::<u64>(client);
    every_operation_of::<Padded>(client);
    every_operation_of::<Aligned>(client);
    every_operation_of::<[u32; 1024]>(client);
}

#[test]
fn a_client_in_c_finds_every_operation_as_promised() {
    every_operation(abi_c_client);
}

#[test]
fn a_client_in_cpp_finds_every_operation_as_promised() {
    every_operation(abi_cpp_client);
}

/// The clients are no yes-men: what is expected wrongly they report, by file, line and text.
#[test]
fn a_client_says_which_check_failed() {
    for (client, file) in [(abi_c_client as Client, "client.c:"), (abi_cpp_client, "client.cpp:")] {
        in_kernel(move || {
            let raw = spawn_async_operation_raw(async { u32::graffiti() });
            static WRONG: [u8; 4] = [0x30, 0x31, 0x32, 0x34];
            let expected = Expected {
                value: WRONG.as_ptr(),
                part: u32::PARTS.as_ptr(),
                size: 4,
                kind: u32::KIND,
                status: AsyncStatus::Completed.0,
                result: NTSTATUS::SUCCESS.0,
                constant: 0,
            };
            let mut finding = Finding::NONE;
            // SAFETY: the client gets the one reference.
            unsafe { client(raw.cast(), &raw const expected, &raw mut finding) };
            // SAFETY: a client has made it.
            let text = unsafe { finding.text() }.unwrap();
            assert!(text.contains(file) && text.contains(": is_expected("), "{text}");
            // It gave up at once, and keeps the references that it had: the operation's and its control's.
            for _ in 0..2 {
                // SAFETY: the client's references.
                drop(unsafe { ntcom::ComRc::from_raw(raw) });
            }
        });
    }
}

/// `[C2]`: the first interface is where the object begins, and the other one behind it, as C++ compilers lay out a class with the two as
/// its bases.
#[test]
fn an_operations_interfaces_are_side_by_side() {
    in_kernel(|| {
        let raw = spawn_async_operation_raw(pending::<u64>());
        // SAFETY: the operation's one reference.
        let operation = unsafe { ntcom::ComRc::from_raw(raw) }.unwrap();
        let control = operation.control().unwrap();
        assert_eq!(control.as_ptr().addr() - raw.addr(), size_of::<*const ()>());
        let unknown: ntcom::ComRc<ntcom::IUnknownRaw> = control.query().unwrap();
        assert_eq!(unknown.as_ptr().addr(), raw.addr());
        control.cancel().unwrap();
    });
}

/// The operation lives on between the calls: it is ended by somebody else, at DISPATCH_LEVEL, in a DPC.
#[test]
fn the_example_of_the_documentation_reads_is_cancelled_and_fails() {
    use ntcom_abi_tests::{SensorRead, sensor_read_begin, sensor_read_cancel, sensor_read_end};
    fn read(raw: *mut AsyncOperationRaw<u32>, cancel: bool) -> (NTSTATUS, u32) {
        let mut read = SensorRead::EMPTY;
        // SAFETY: the operation's one reference, and `read` stays here until it is over.
        let begun = unsafe { sensor_read_begin(&raw mut read, raw.cast()) };
        assert_eq!(NTSTATUS(begun), NTSTATUS::SUCCESS);
        if cancel {
            assert_eq!(NTSTATUS(read.status), NTSTATUS::PENDING);
            // SAFETY: begun, and not ended.
            unsafe { sensor_read_cancel(&raw mut read) };
        }
        assert_ne!(NTSTATUS(read.status), NTSTATUS::PENDING);
        // SAFETY: begun, and over.
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

/// The same in C++.
#[test]
fn the_example_in_cpp_reads_is_cancelled_and_fails() {
    use ntcom_abi_tests::{Reading, abi_cpp_example};
    fn read(raw: *mut AsyncOperationRaw<u32>, cancel: bool) -> Reading {
        let mut reading = Reading::default();
        // SAFETY: the operation's one reference.
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
