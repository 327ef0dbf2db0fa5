//! Tests that no `out` and no `iid` needs alignment, because every slot takes odd addresses.
//!
//! x86 reads and writes odd addresses without a fault. In a build with debug assertions rustc
//! checks each access through a place such as `*out` or `&mut *out`, and core checks
//! `copy_nonoverlapping`, `replace`, `swap` and `write_volatile`, so a slot with such an access
//! ends the process here. A `write` or `read` of the pointer is the same instruction on x86 as the
//! unaligned one, and core as rustup ships it does not check it (seen with Rust 1.95). So the last
//! test reads the source.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{ffi::c_void, future::pending};

use common::in_kernel;
use ntcom::{
    AsyncControlRaw, AsyncOperationRaw, AsyncStatus, ComObject, ComRc, GUID, IUnknown, IUnknownRaw,
    IUnknownVtbl, Interface as _, NTSTATUS, declare_com_interface, spawn_async_operation,
    spawn_async_operation_error,
};

/// Room for a value at an odd address.
struct Odd([u8; 40]);

impl Odd {
    fn new() -> Self {
        Self([0xA5; 40])
    }

    /// Returns an odd address, that of the first or of the second byte.
    fn place<T>(&mut self) -> *mut T {
        let start: *mut u8 = self.0.as_mut_ptr();
        start.wrapping_add(1 - start.addr() % 2).cast()
    }

    fn value<T: Copy>(&mut self) -> T {
        // SAFETY: a slot has written a value of this type there.
        unsafe { self.place::<T>().read_unaligned() }
    }
}

/// Calls QueryInterface with an odd `iid` and an odd `out`.
fn query(this: *mut c_void, iid: GUID) -> (NTSTATUS, *mut c_void) {
    // SAFETY: an interface of a live object begins with its table's pointer.
    let table = unsafe { this.cast::<*const IUnknownVtbl>().read() };
    // SAFETY: a live object has a complete table.
    let query_interface = unsafe { (*table).QueryInterface }.unwrap();
    let (mut wanted, mut out) = (Odd::new(), Odd::new());
    // SAFETY: there is room for a GUID.
    unsafe { wanted.place::<GUID>().write_unaligned(iid) };
    // SAFETY: the object is alive. `iid` is readable and `out` writable, at odd addresses.
    let status = unsafe { query_interface(this, wanted.place(), out.place()) };
    (status, out.value())
}

/// Calls every slot of an operation that has an out-parameter.
fn look(operation: &ComRc<AsyncOperationRaw<u64>>) -> (AsyncStatus, NTSTATUS, u64, NTSTATUS, u32) {
    let this: *mut c_void = operation.as_ptr().cast();
    // SAFETY: the test's reference keeps the operation alive.
    let table = unsafe { (*operation.as_ptr()).vtbl };
    let (mut status, mut result, mut error, mut size) = (Odd::new(), Odd::new(), Odd::new(), Odd::new());
    // SAFETY: the object's table pointer points to its table.
    let get_status = unsafe { (*table).get_status }.unwrap();
    // SAFETY: the operation is alive, and there is room at the odd address.
    assert_eq!(unsafe { get_status(this, status.place()) }, NTSTATUS::SUCCESS);
    // SAFETY: the object's table pointer points to its table.
    let get_result = unsafe { (*table).get_result }.unwrap();
    // SAFETY: the operation is alive, and there is room at the odd address.
    let answer = unsafe { get_result(this, result.place()) };

    let control: ComRc<AsyncControlRaw> = operation.control().unwrap();
    let this: *mut c_void = control.as_ptr().cast();
    // SAFETY: the test's reference keeps the operation alive.
    let table = unsafe { (*control.as_ptr()).vtbl };
    // SAFETY: the object's table pointer points to its table.
    let get_error = unsafe { (*table).get_error }.unwrap();
    // SAFETY: the operation is alive, and there is room at the odd address.
    assert_eq!(unsafe { get_error(this, error.place()) }, NTSTATUS::SUCCESS);
    // SAFETY: the object's table pointer points to its table.
    let get_result_size = unsafe { (*table).get_result_size }.unwrap();
    // SAFETY: the operation is alive, and there is room at the odd address.
    assert_eq!(unsafe { get_result_size(this, size.place()) }, NTSTATUS::SUCCESS);
    (status.value(), answer, result.value(), error.value(), size.value())
}

#[test]
fn every_slot_of_an_operation_takes_odd_addresses() {
    in_kernel(|| {
        let pending_one = spawn_async_operation(pending::<u64>());
        let completed = spawn_async_operation(async { u64::MAX });
        let failed: ComRc<AsyncOperationRaw<u64>> = spawn_async_operation_error(NTSTATUS::CANCELLED);
        ntsim::fail_allocation(0);
        let immortal = spawn_async_operation(async { 1_u64 });
        let expected = [
            (&pending_one, AsyncStatus::Started, NTSTATUS::PENDING, 0, NTSTATUS::PENDING),
            (&completed, AsyncStatus::Completed, NTSTATUS::SUCCESS, u64::MAX, NTSTATUS::SUCCESS),
            (&failed, AsyncStatus::Error, NTSTATUS::CANCELLED, 0, NTSTATUS::CANCELLED),
            (
                &immortal,
                AsyncStatus::Error,
                NTSTATUS::INSUFFICIENT_RESOURCES,
                0,
                NTSTATUS::INSUFFICIENT_RESOURCES,
            ),
        ];
        for (operation, status, answer, value, error) in expected {
            assert_eq!(look(operation), (status, answer, value, error, 8));
            let this = operation.as_ptr().cast();
            let (answer, found) = query(this, AsyncControlRaw::IID);
            assert_eq!(answer, NTSTATUS::SUCCESS);
            // SAFETY: `found` is an interface with a reference.
            drop(unsafe { ComRc::<AsyncControlRaw>::from_raw(found.cast()) }.unwrap());
            assert_eq!(query(this, GUID::from_u128(1)), (NTSTATUS::NOINTERFACE, core::ptr::null_mut()));
        }
        pending_one.control().unwrap().cancel().unwrap();
    });
}

declare_com_interface! {
    trait IWide: IUnknown {
        const IID: GUID = GUID::from_u128(0x2f5a9d0e_7b1c_4c7e_9a44_4d7d3a5c0e01);
        fn wide(&self, fails: u8) -> Result<u64, NTSTATUS>;
    }
}

struct Wide;

impl IWide for Wide {
    fn wide(&self, fails: u8) -> Result<u64, NTSTATUS> {
        if fails == 0 { Ok(u64::MAX) } else { Err(NTSTATUS::UNSUCCESSFUL) }
    }
}

#[test]
fn every_slot_of_an_object_takes_odd_addresses() {
    in_kernel(|| {
        let wide = ComObject::<_, IWideRaw>::new(Wide).unwrap();
        let this: *mut c_void = wide.as_ptr().cast();
        for iid in [IWideRaw::IID, IUnknownRaw::IID] {
            let (answer, found) = query(this, iid);
            assert_eq!((answer, found), (NTSTATUS::SUCCESS, this));
            // SAFETY: `found` is an interface with a reference.
            drop(unsafe { ComRc::<IUnknownRaw>::from_raw(found.cast()) }.unwrap());
        }
        assert_eq!(query(this, GUID::from_u128(1)), (NTSTATUS::NOINTERFACE, core::ptr::null_mut()));
        // SAFETY: the test's reference keeps the object alive.
        let table = unsafe { (*wide.as_ptr()).vtbl };
        // SAFETY: the object's table pointer points to its table.
        let slot = unsafe { (*table).wide }.unwrap();
        for (fails, answer, value) in [(0, NTSTATUS::SUCCESS, u64::MAX), (1, NTSTATUS::UNSUCCESSFUL, 0)] {
            let mut out = Odd::new();
            // SAFETY: the object is alive, and there is room at the odd address.
            assert_eq!(unsafe { slot(this, fails, out.place()) }, answer);
            assert_eq!(out.value::<u64>(), value);
        }
    });
}

/// The places of a caller's memory in the slots' functions.
const PLACES: [&str; 4] = ["out", "iid", "size", "timeout"];

/// Returns the accesses of a source text to a caller's memory, in order.
fn accesses(text: &str) -> Vec<&str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let of_line = |line| {
        PLACES.iter().flat_map(move |place| {
            let uses = ["write", "read"].map(|access| format!("{place}.{access}"));
            let found = |name: String| line_matches(line, &name);
            uses.into_iter().flat_map(found).collect::<Vec<_>>()
        })
    };
    code.flat_map(of_line).collect()
}

/// Returns the calls in a line that begin with `name`, without their arguments.
fn line_matches<'a>(line: &'a str, name: &str) -> Vec<&'a str> {
    let starts = line.match_indices(name).filter(|(at, _)| {
        let before = line.get(..*at).and_then(|before| before.chars().next_back());
        before.is_none_or(|before| !before.is_alphanumeric() && !"_.".contains(before))
    });
    starts.filter_map(|(at, _)| line.get(at..)?.split('(').next()).collect()
}

/// x86 reads and writes an odd address by the same instruction, so no test that runs can see a
/// `write` for a `write_unaligned`. The source shows it.
#[test]
fn slots_reach_the_memory_of_callers_by_unaligned_accesses_only() {
    assert_eq!(accesses("unsafe { out.write(1) } // iid.read()"), ["out.write"]);
    assert_eq!(accesses("about.write(1); self.out.read(); iid.read_unaligned()"), ["iid.read_unaligned"]);
    let mut unaligned = 0;
    for folder in ["src/com", "src/async_com"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            let text = std::fs::read_to_string(&file).unwrap();
            for access in accesses(&text) {
                let right = access.ends_with("_unaligned") || access.ends_with("write_bytes");
                assert!(right, "{}: {access} needs an aligned address", file.display());
                unaligned += 1;
            }
        }
    }
    assert!(unaligned >= 8, "only {unaligned} accesses were found");
}
