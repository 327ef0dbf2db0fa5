//! Statics belong to one simulated kernel, as does pool memory.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

use core::panic::AssertUnwindSafe;
use std::{panic::catch_unwind, sync::Barrier, thread};

use ntsim::{
    Config, Schedule, Simulation, Stop,
    sync::{AtomicU8, AtomicU32, AtomicUsize, Ordering::SeqCst, UnsafeCell},
};

struct Shared {
    small: AtomicU8,
    count: AtomicU32,
    cell: UnsafeCell<u64>,
}

// SAFETY: in each test only one processor of a kernel uses the static.
unsafe impl Sync for Shared {}

static SHARED: Shared =
    Shared { small: AtomicU8::new(3), count: AtomicU32::new(0), cell: UnsafeCell::new(5) };

fn simulate(program: impl FnOnce() + 'static) -> Result<(), Stop> {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    kernel.run_on(0, program)
}

fn use_statics() {
    assert_eq!(SHARED.small.swap(4, SeqCst), 3);
    assert_eq!(SHARED.count.fetch_add(1, SeqCst), 0);
    SHARED.cell.with_mut(|value| {
        // SAFETY: the cell checks that this is the only access.
        let value = unsafe { &mut *value };
        assert_eq!(*value, 5);
        *value = 6;
    });
    // SAFETY: the cell checks that this is the only access.
    assert_eq!(SHARED.cell.with(|value| unsafe { *value }), 6);
    assert_eq!((SHARED.small.load(SeqCst), SHARED.count.load(SeqCst)), (4, 1));
}

#[test]
fn each_kernel_finds_statics_as_the_program_was_loaded() {
    for _ in 0..3 {
        simulate(use_statics).unwrap();
    }
}

#[test]
fn a_reset_kernel_finds_statics_as_the_program_was_loaded() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    for _ in 0..3 {
        kernel.run_on(0, use_statics).unwrap();
        kernel.reset(Config::default(), Schedule::round_robin());
    }
}

#[test]
fn kernels_of_several_threads_have_their_own_statics() {
    let together = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                together.wait();
                for _ in 0..100 {
                    simulate(use_statics).unwrap();
                }
            });
        }
    });
}

#[test]
fn a_part_of_an_aligned_static_keeps_its_alignment() {
    #[repr(align(64))]
    struct Aligned([core::sync::atomic::AtomicU8; 64]);
    static ALIGNED: Aligned = Aligned([const { core::sync::atomic::AtomicU8::new(7) }; 64]);
    simulate(|| {
        let [part, ..] = &ALIGNED.0;
        // SAFETY: nothing else uses the static.
        let own = unsafe { ntsim::own(part) };
        assert_ne!(core::ptr::from_ref(part), core::ptr::from_ref(own));
        assert_eq!((own.load(SeqCst), core::ptr::from_ref(own).addr() % 64), (7, 0));
    })
    .unwrap();
}

/// Returns the address of an atomic in the pool of a kernel.
fn in_pool(kernel: &mut Simulation) -> usize {
    use ntsim::ddi::ExAllocatePool2;
    let address = std::rc::Rc::new(core::cell::Cell::new(0));
    let out = std::rc::Rc::clone(&address);
    kernel
        .run_on(0, move || {
            // SAFETY: this runs inside a simulation run, at PASSIVE_LEVEL and with a tag.
            out.set(unsafe { ExAllocatePool2(0x40, 64, u32::from_ne_bytes(*b"test")) }.addr());
        })
        .unwrap();
    address.get()
}

fn atomic<'a>(address: usize) -> &'a AtomicUsize {
    // SAFETY: the address is aligned. Its memory stays mapped, though access may be closed, and the
    // atomic checks it first.
    unsafe { &*core::ptr::with_exposed_provenance(address) }
}

#[test]
fn an_atomic_of_an_ended_kernel_is_refused_outside_of_runs() {
    let address = in_pool(&mut Simulation::new(Config::default(), Schedule::round_robin()));
    let panic = catch_unwind(AssertUnwindSafe(|| atomic(address).load(SeqCst))).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("the pool of a simulated kernel that has ended"), "{message}");
}

#[test]
fn an_atomic_of_ones_own_kernel_may_be_looked_at_between_runs() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let address = in_pool(&mut kernel);
    assert_eq!(atomic(address).load(SeqCst), 0);
}

#[test]
fn an_atomic_of_another_kernel_stops_the_run() {
    let address = in_pool(&mut Simulation::new(Config::default(), Schedule::round_robin()));
    let stop = simulate(move || {
        atomic(address).load(SeqCst);
    })
    .unwrap_err();
    let text = stop.to_string();
    assert!(text.contains("0xd1") && text.contains("atomic in the pool of a simulated kernel"), "{text}");
}

#[test]
fn the_pools_of_many_ended_kernels_go_back_to_the_host() {
    for _ in 0..600 {
        drop(Simulation::new(Config::default(), Schedule::round_robin()));
    }
}
