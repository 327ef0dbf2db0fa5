//! Tests that chains of operations leave the processor to other work.
//!
//! In one, a completion handler begins the next operation; in the other, a body awaits an ended
//! operation again and again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    ffi::c_void,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
};
use std::sync::Arc;

use ntcom::{AsyncStatus, RawAsyncStatus, spawn_async_operation};
use ntsim::{Config, Schedule, Simulation, ddi};

/// The longest time that a drain may take, in units of 100 ns (a millisecond).
const LONGEST: u64 = 10_000;
const LENGTH: usize = 400;

/// A chain of operations.
#[derive(Default)]
struct Chain {
    ended: AtomicUsize,
    longest: AtomicU64,
}

impl Chain {
    fn pass(&self) {
        self.longest.fetch_max(ntsim::drain().unwrap().time, SeqCst);
        self.ended.fetch_add(1, SeqCst);
    }
}

unsafe extern "system" fn handler(context: *mut c_void, status: RawAsyncStatus) {
    assert_eq!(status, AsyncStatus::Completed.into());
    // SAFETY: the context is the chain of `begin`, which the test keeps until the chain has ended.
    let chain = unsafe { &*context.cast::<Chain>() };
    chain.pass();
    if chain.ended.load(SeqCst) < LENGTH {
        begin(chain);
    }
}

fn begin(chain: &Chain) {
    let operation = spawn_async_operation(async { 7_u32 });
    let context = core::ptr::from_ref(chain).cast_mut().cast();
    // SAFETY: the handler may be called once with the chain, which the test keeps.
    unsafe { operation.control().unwrap().set_completed(handler, context) }.unwrap();
}

/// Runs a chain on each processor, which `begin` begins, and asserts that no drain is too long.
fn chains(processors: usize, seed: u64, begin: impl Fn(&Arc<Chain>) + Clone + 'static) {
    let chains: Vec<Arc<Chain>> = (0..processors).map(|_| Arc::default()).collect();
    let config = Config { processors, ..Config::default() };
    let mut kernel = Simulation::new(config, Schedule::seed(seed));
    let program = |(processor, chain): (usize, &Arc<Chain>)| -> (usize, ntsim::Program) {
        let (begin, chain) = (begin.clone(), Arc::clone(chain));
        let program = move || {
            // The calls do not nest, because each operation runs after the handler that has begun
            // it.
            // SAFETY: the IRQL is lowered below.
            let irql = unsafe { ddi::KeRaiseIrqlToDpcLevel() };
            begin(&chain);
            // SAFETY: `irql` is the level that the raise returned.
            unsafe { ddi::KeLowerIrql(irql) };
            assert!(chain.ended.load(SeqCst) < LENGTH, "the program goes on before the chain has ended");
        };
        (processor, Box::new(program))
    };
    let outcome = kernel.run(chains.iter().enumerate().map(program).collect());
    outcome.unwrap_or_else(|stop| panic!("{processors} processors, seed {seed}: {stop}"));
    kernel.unload().unwrap_or_else(|stop| panic!("{processors} processors, seed {seed}: {stop}"));
    for chain in chains {
        let longest = chain.longest.load(SeqCst);
        assert_eq!(chain.ended.load(SeqCst), LENGTH);
        assert!(longest <= LONGEST, "{processors} processors, seed {seed}: {longest} units of 100 ns");
    }
}

fn everywhere(begin: impl Fn(&Arc<Chain>) + Clone + 'static) {
    for processors in [1, 4] {
        for seed in 0..3 {
            chains(processors, seed, begin.clone());
        }
    }
}

#[test]
fn handlers_that_begin_the_next_operation_leave_the_drain() {
    everywhere(|chain| begin(chain));
}

#[test]
fn awaiting_what_has_ended_again_and_again_ends_the_poll() {
    everywhere(|chain| {
        let chain = Arc::clone(chain);
        let ended = spawn_async_operation(async { 7_u32 });
        drop(spawn_async_operation(async move {
            // The DPC of `ended` has run by then.
            for _ in 0..LENGTH {
                assert_eq!(ended.clone().await, Ok(7));
                chain.pass();
            }
        }));
    });
}
