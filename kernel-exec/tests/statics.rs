//! Tests that a driver's static belongs to one simulated kernel, whichever test runs beside it.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::{sync::Barrier, thread};

use ntcom_exec::{ImageStatic, NTSTATUS, Signal, TaskBuilder, TaskStorage, driver_static};
use ntsim::{Config, Schedule, Simulation};

static SIGNAL: Signal = Signal::new();
static STORAGE: TaskStorage<1024> = TaskStorage::new();
driver_static! {
    static COUNT: AtomicU32 = AtomicU32::new(7);
}

fn simulate(seed: u64, program: impl FnOnce() + 'static) {
    let mut kernel = Simulation::new(Config { processors: 2, ..Config::default() }, Schedule::seed(seed));
    kernel.run_on(0, program).unwrap();
}

/// A driver that wakes a task by its signal, and leaves the signal set.
fn driver() {
    assert!(!SIGNAL.is_set(), "in a new kernel the signal is not set");
    ntcom_exec::spawn_dpc_task(async {
        SIGNAL.wait().await;
        SIGNAL.set();
    })
    .unwrap();
    SIGNAL.set();
}

#[test]
fn a_later_kernel_finds_a_static_signal_as_it_was_declared() {
    for seed in 0..4 {
        simulate(seed, driver);
    }
}

#[test]
fn kernels_that_run_at_once_do_not_share_a_static_signal() {
    let together = Barrier::new(4);
    thread::scope(|scope| {
        for number in 0..4 {
            let together = &together;
            scope.spawn(move || {
                together.wait();
                for seed in 0..50 {
                    simulate(number * 50 + seed, driver);
                }
            });
        }
    });
}

#[test]
fn a_waiter_of_a_kernel_that_is_gone_is_not_woken() {
    // The first run ends with a task that waits in the static.
    simulate(1, || {
        ntcom_exec::spawn_dpc_task(async { SIGNAL.wait().await }).unwrap();
    });
    simulate(2, || SIGNAL.set());
}

#[test]
fn code_outside_of_simulations_has_a_static_of_its_own() {
    thread::spawn(|| {
        SIGNAL.set();
        assert!(SIGNAL.is_set());
        simulate(1, || assert!(!SIGNAL.is_set()));
        assert!(SIGNAL.take());
    })
    .join()
    .unwrap();
}

#[test]
fn a_reset_kernel_begins_with_the_declared_value() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    for _ in 0..3 {
        kernel
            .run_on(0, || {
                assert_eq!(COUNT.fetch_add(1, SeqCst), 7);
                assert_eq!(COUNT.load(SeqCst), 8);
            })
            .unwrap();
        kernel.reset(Config::default(), Schedule::round_robin());
    }
}

#[test]
fn an_image_static_that_is_no_static_is_a_plain_value() {
    // SAFETY: the value is never in a static.
    let count = unsafe { ImageStatic::new(AtomicU32::new(1)) };
    count.fetch_add(1, SeqCst);
    simulate(1, move || assert_eq!(count.load(SeqCst), 2));
}

#[test]
fn kernels_that_run_at_once_do_not_share_a_static_storage() {
    let together = Barrier::new(2);
    thread::scope(|scope| {
        for number in 0..2 {
            let together = &together;
            scope.spawn(move || {
                together.wait();
                for seed in 0..50 {
                    simulate(number * 50 + seed, || {
                        // There is room for one task, so a kernel that shared the storage would be
                        // refused.
                        let spawn = || TaskBuilder::new().allocator(&STORAGE).spawn(SIGNAL.wait());
                        let handle = spawn().unwrap();
                        assert_eq!(spawn().err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
                        SIGNAL.set();
                        drop(handle);
                        assert!(STORAGE.is_free());
                    });
                }
            });
        }
    });
}

/// Safe code cannot put a value that was made while the program ran into an `ImageStatic`, because
/// each kernel would own the same resources.
///
/// The macro takes the same values as a static.
#[test]
fn each_kernel_makes_the_contents_of_a_static() {
    driver_static! {
        static NAMES: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    }
    for seed in 0..3 {
        simulate(seed, || {
            let mut names = NAMES.lock().unwrap();
            names.push("first".to_owned());
            assert_eq!(core::mem::take(&mut *names), ["first"]);
        });
    }
}
