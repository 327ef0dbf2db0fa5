//! `[C14]` A client that begins one operation after the other needs the same stack for a hundred as
//! for a thousand, in C and in Rust.
#![allow(clippy::unwrap_used, reason = "tests say what they mean")]

use core::{
    ffi::c_void,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
};

use ntcom::{
    AsyncOperationRaw, AsyncStatus, ComRc, NTSTATUS, RawAsyncStatus, spawn_async_operation,
    spawn_async_operation_raw,
};
use ntcom_abi_factories::kernel;
use ntcom_abi_tests::{SensorChain, sensor_chain_begin};

/// Begins operations, and measures the stack that the chain has used.
struct Sensor {
    deepest: AtomicU64,
    measured: AtomicU32,
}

impl Sensor {
    const fn new() -> Self {
        Self { deepest: AtomicU64::new(0), measured: AtomicU32::new(0) }
    }

    /// Begins an operation. It has ended already if the caller is below DISPATCH_LEVEL.
    fn measure(&self) -> *mut AsyncOperationRaw<u32> {
        self.deepest.fetch_max(ntsim::counters().stack, SeqCst);
        self.measured.fetch_add(1, SeqCst);
        spawn_async_operation_raw(async { 2 })
    }

    /// The largest number of bytes in use on one stack, of a thread or of a DPC.
    fn depth(&self) -> u64 {
        self.deepest.load(SeqCst)
    }
}

/// Lengths of chains. Both are long enough that the chain lets the processor go from time to time.
const LONG: [u32; 2] = [100, 1_000];

unsafe extern "C" fn measure(sensor: *mut c_void) -> *mut c_void {
    // SAFETY: the context is a sensor that outlives the chain.
    unsafe { &*sensor.cast::<Sensor>() }.measure().cast()
}

/// Runs the chain of docs/c-clients.md. Returns its stack depth.
fn depth_in_c(count: u32, at_dispatch_level: bool) -> u64 {
    let sensor = &*Box::leak(Box::new(Sensor::new()));
    let chain: &'static mut SensorChain = Box::leak(Box::new(SensorChain::new()));
    let address = (&raw mut *chain).expose_provenance();
    kernel::in_kernel(move || {
        let begin = move || {
            let (chain, sensor) =
                (core::ptr::with_exposed_provenance_mut(address), core::ptr::from_ref(sensor));
            // SAFETY: the chain and the sensor are leaked, so they outlive the calls.
            unsafe { sensor_chain_begin(chain, measure, sensor.cast_mut().cast(), count) };
        };
        if at_dispatch_level {
            drop(spawn_async_operation(async move { begin() }));
        } else {
            begin();
        }
    })
    .unwrap();
    // A long chain lets the processor go from time to time, and ends after `begin` has returned.
    assert_eq!((NTSTATUS(chain.status), chain.sum), (NTSTATUS::SUCCESS, 2 * u64::from(count)));
    assert_eq!(sensor.measured.load(SeqCst), count);
    sensor.depth()
}

#[test]
fn a_chain_in_c_needs_no_more_stack_for_a_thousand_operations() {
    for at_dispatch_level in [false, true] {
        let [long, longer] = LONG.map(|count| depth_in_c(count, at_dispatch_level));
        assert!(long > 0 && longer == long, "{longer}, {long}; at DISPATCH_LEVEL: {at_dispatch_level}");
    }
}

/// The chain of docs/c-clients.md in Rust.
struct Chain {
    sensor: Sensor,
    turns: AtomicU32,
    left: AtomicU32,
    /// Whether the handler begins the next operation itself, which the contract warns of.
    nests: bool,
}

impl Chain {
    /// Begins the next operation.
    fn next(&'static self) {
        // SAFETY: the pointer is a new operation with its reference.
        let operation = unsafe { ComRc::from_raw(self.sensor.measure()) }.unwrap();
        let context = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the chain is leaked, and the handler accepts it as its context.
        unsafe { operation.control().unwrap().set_completed(on_measured, context) }.unwrap();
    }

    fn run(&'static self) {
        loop {
            if self.left.fetch_sub(1, SeqCst) == 1 {
                return;
            }
            self.next();
            if self.turns.fetch_sub(1, SeqCst) == 1 {
                return;
            }
        }
    }
}

unsafe extern "system" fn on_measured(context: *mut c_void, status: RawAsyncStatus) {
    // SAFETY: `next` set this handler with a leaked chain.
    let chain: &'static Chain = unsafe { &*context.cast() };
    assert_eq!(status, AsyncStatus::Completed.into());
    if chain.nests {
        if chain.left.fetch_sub(1, SeqCst) != 1 {
            chain.next();
        }
    } else if chain.turns.fetch_add(1, SeqCst) == 0 {
        chain.run();
    }
}

fn depth_in_rust(count: u32, nests: bool) -> u64 {
    let chain: &'static Chain = Box::leak(Box::new(Chain {
        sensor: Sensor::new(),
        turns: AtomicU32::new(1),
        left: AtomicU32::new(count),
        nests,
    }));
    kernel::in_kernel(move || {
        chain.next();
        if !nests && chain.turns.fetch_sub(1, SeqCst) != 1 {
            chain.run();
        }
    })
    .unwrap();
    assert_eq!(chain.sensor.measured.load(SeqCst), count);
    chain.sensor.depth()
}

#[test]
fn a_chain_in_rust_needs_no_more_stack_for_a_thousand_operations() {
    let [long, longer] = LONG.map(|count| depth_in_rust(count, false));
    assert!(long > 0 && longer == long, "{longer}, {long}");
}

/// The contract warns of this case. Each operation begins on the stack of the one before.
#[test]
fn a_handler_that_begins_the_next_operation_nests() {
    let [three, five, seven] = [3, 5, 7].map(|count| depth_in_rust(count, true));
    assert!(five > three && seven - five >= five - three, "{three}, {five}, {seven}");
}

#[test]
fn a_task_that_awaits_operations_needs_no_more_stack_for_a_thousand() {
    let depth = |count| {
        let sensor = &*Box::leak(Box::new(Sensor::new()));
        kernel::in_kernel(move || {
            let whole = spawn_async_operation(async move {
                let mut sum = 0;
                for _ in 0..count {
                    // SAFETY: the pointer is a new operation with its reference.
                    sum += unsafe { ComRc::from_raw(sensor.measure()) }.unwrap().await.unwrap();
                }
                sum
            });
            // A long chain lets the processor go from time to time.
            whole.control().unwrap().wait(None).unwrap();
            assert_eq!(whole.result(), Ok(2 * count));
        })
        .unwrap();
        sensor.depth()
    };
    let [long, longer] = LONG.map(depth);
    assert!(long > 0 && longer == long, "{longer}, {long}");
}
