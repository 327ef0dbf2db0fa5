//! Runs that reach no preemption point any more, because of loops and of locks of the host.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "sanitizer")))]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{
    hint::{black_box, spin_loop},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::{
    sync::{Arc, Mutex, mpsc},
    time::Instant,
};

use common::{waiting::*, *};
use ntsim::{Config, Program, Schedule, Simulation, Stop};

/// Returns a configuration with a limit that is short enough for a test.
fn config(count: usize) -> Config {
    Config { hang: Duration::from_millis(40), ..processors(count) }
}

fn failure(count: usize, programs: Vec<(usize, Program)>) -> (&'static str, String) {
    match Simulation::new(config(count), Schedule::round_robin()).run(programs) {
        Err(Stop::Failure { oracle, message, backtrace }) => {
            (oracle, format!("{message}\n{}", backtrace.join("\n")))
        }
        other => panic!("no failure, but {other:?}"),
    }
}

fn spin() {
    // The host's atomic is not a preemption point.
    static NEVER: AtomicBool = AtomicBool::new(false);
    while !NEVER.load(Ordering::Relaxed) {
        spin_loop();
    }
}

#[test]
fn a_loop_without_a_kernel_call_ends_the_run() {
    let (oracle, message) = failure(2, vec![(0, program(|| _ = current_irql())), (1, program(spin))]);
    assert_eq!(oracle, "hang");
    assert!(message.contains("processor 1 has spent 40ms of processor time (Config::hang)"), "{message}");
    assert!(message.contains("no schedule's finding"), "{message}");
    assert!(message.contains("processor 0 at IRQL 0"), "{message}");
    assert!(message.contains("spin (hangs.rs:"), "{message}");
}

#[test]
fn a_loop_in_a_dpc_or_a_thread_ends_the_run() {
    let (oracle, message) = failure(1, vec![(0, program(|| _ = Dpc::new(spin).insert()))]);
    assert_eq!(oracle, "hang");
    assert!(message.contains("in a DPC routine"), "{message}");
    assert!(message.contains("its last kernel call is KeInsertQueueDpc"), "{message}");
    let (oracle, message) = failure(1, vec![(0, program(|| Thread::spawn(spin).join()))]);
    assert_eq!(oracle, "hang");
    assert!(message.contains("processor 0 at IRQL 0 (PASSIVE_LEVEL) runs thread 1"), "{message}");
    assert!(message.contains("spin (hangs.rs:"), "{message}");
    assert!(!message.contains("corosensei"), "{message}");
}

#[test]
fn a_loop_that_calls_the_hosts_library_ends_the_run() {
    let (oracle, _) = failure(
        1,
        vec![(
            0,
            program(|| {
                loop {
                    black_box(vec![0_u8; 5_000]);
                }
            }),
        )],
    );
    assert_eq!(oracle, "hang");
    let (oracle, _) = failure(
        1,
        vec![(
            0,
            program(|| {
                loop {
                    black_box(Instant::now());
                }
            }),
        )],
    );
    assert_eq!(oracle, "hang");
}

/// Spends processor time.
fn spend(time: Duration) {
    let spent = || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is valid for a write.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let end = spent() + time;
    while spent() < end {}
}

/// Processor time that is spent between preemption points does not add up.
#[test]
fn work_between_preemption_points_is_no_hang() {
    let patient = Config { hang: Duration::from_millis(200), ..processors(1) };
    let mut kernel = Simulation::new(patient, Schedule::round_robin());
    let work = || {
        for _ in 0..4 {
            spend(Duration::from_millis(110));
            ntsim::preemption_point();
        }
    };
    kernel.run_on(0, work).unwrap();
    kernel.reset(Config { hang: Duration::ZERO, ..config(1) }, Schedule::round_robin());
    let spent = || {
        for number in 0..20_000_000_u32 {
            black_box(number);
        }
    };
    kernel.run_on(0, spent).unwrap();
}

#[test]
fn a_simulation_that_has_hung_can_be_reset() {
    let mut kernel = Simulation::new(config(1), Schedule::round_robin());
    for _ in 0..3 {
        kernel.run_on(0, spin).unwrap_err();
        kernel.reset(config(1), Schedule::round_robin());
    }
    kernel.run_on(0, || free(allocate(10))).unwrap();
    kernel.unload().unwrap();
}

#[test]
fn a_lock_of_the_host_that_is_held_across_a_kernel_call_ends_the_run() {
    let lock = Arc::new(Mutex::new(0));
    let body = |lock: &Arc<Mutex<u32>>| {
        let lock = Arc::clone(lock);
        program(move || {
            let mut count = lock.lock().unwrap();
            for _ in 0..40 {
                *count += u32::from(current_irql());
            }
        })
    };
    let (oracle, message) = failure(2, vec![(0, body(&lock)), (1, body(&lock))]);
    assert_eq!(oracle, "host lock");
    assert!(message.contains(" waits in the host"), "{message}");
    assert!(message.contains("runs program 0;") && message.contains("runs program 1;"), "{message}");
    assert!(message.contains("its last kernel call is KeGetCurrentIrql"), "{message}");
    assert!(message.contains("(hangs.rs:"), "{message}");
}

#[test]
fn a_lock_of_the_host_that_is_held_across_a_wake_ends_the_run() {
    let lock = Arc::new(Mutex::new(()));
    let other = Arc::clone(&lock);
    let (oracle, message) = failure(
        1,
        vec![(
            0,
            program(move || {
                let dpc = Dpc::new(move || drop(other.lock().unwrap()));
                let _held = lock.lock().unwrap();
                dpc.insert();
            }),
        )],
    );
    assert_eq!(oracle, "host lock");
    assert!(message.contains("in a DPC routine"), "{message}");
    assert!(message.contains("its last kernel call is KeInsertQueueDpc"), "{message}");
}

#[test]
fn a_lock_of_the_host_that_a_waiting_thread_holds_ends_the_run() {
    let lock = Arc::new(Mutex::new(()));
    let other = Arc::clone(&lock);
    let (oracle, message) = failure(
        1,
        vec![(
            0,
            program(move || {
                Thread::spawn(move || {
                    let _held = other.lock().unwrap();
                    delay(-1_000_000);
                });
                delay(-500_000);
                drop(lock.lock().unwrap());
            }),
        )],
    );
    assert_eq!(oracle, "host lock");
    assert!(message.contains("thread 1 waits for the end of a delay"), "{message}");
}

/// The driver may wait for the host's own threads, for as long as it takes. No part of the
/// simulation may be in the middle of a change then.
#[test]
fn waiting_for_a_thread_of_the_host_is_no_hang() {
    let mut kernel = Simulation::new(config(1), Schedule::round_robin());
    kernel
        .run_on(0, || {
            let (send, receive) = mpsc::channel();
            let worker = std::thread::spawn(move || {
                for number in 0..30_000_000_u32 {
                    black_box(number);
                }
                send.send(()).unwrap();
            });
            receive.recv().unwrap();
            worker.join().unwrap();
        })
        .unwrap();
}
