//! Panics of the driver and of programs end the run and not the process.
#![cfg(all(target_os = "linux", target_arch = "x86_64", panic = "unwind"))]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::hint::black_box;
use std::panic::{catch_unwind, panic_any};

use common::{io::*, irps::*, waiting::*, *};
use ntsim::{Limits, Schedule, Simulation, Stop, explore, types::*};

const FILE: &str = "kernel-exec/ntsim/tests/panics.rs:";

/// The function of the driver that panics.
#[inline(never)]
fn broken() {
    if black_box(true) {
        panic!("the driver's words");
    }
}

struct BrokenDrop;

impl Drop for BrokenDrop {
    fn drop(&mut self) {
        broken();
    }
}

unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, _irp: PIRP) -> NTSTATUS {
    broken();
    STATUS_SUCCESS
}

unsafe extern "C" fn pend(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).mark_pending();
    Irp(irp).set_cancel_routine(Some(on_cancel));
    STATUS_PENDING
}

unsafe extern "C" fn on_cancel(_device: PDEVICE_OBJECT, _irp: PIRP) {
    broken();
}

unsafe extern "C" fn complete(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).complete(STATUS_SUCCESS)
}

fn send(routine: unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS) -> Irp {
    dispatch_reads(routine);
    let irp = Irp::new().on_completion(|_| {
        broken();
        STATUS_MORE_PROCESSING_REQUIRED
    });
    irp.send(Device::new());
    irp
}

/// Every kind of code that the kernel calls, with the IRQL of its panic.
const PLACES: [(&str, u8, fn()); 11] = [
    ("a program", 0, broken),
    ("a program at DISPATCH_LEVEL", 2, || {
        raise_to_dpc_level();
        broken();
    }),
    ("a drop", 0, || drop(BrokenDrop)),
    ("a DPC", 2, || _ = Dpc::new(broken).insert()),
    ("a timer's DPC", 2, || _ = Timer::new().set(-10, Some(Dpc::new(broken)))),
    ("a work item", 0, || WorkItem::new(Device::new()).queue(|_| broken())),
    ("a thread", 0, || Thread::spawn(broken).join()),
    ("a dispatch routine", 0, || _ = send(dispatch)),
    ("a completion routine", 0, || _ = send(complete)),
    ("a cancel routine", 2, || _ = send(pend).cancel()),
    ("a nested call-out", 2, || _ = Dpc::new(|| _ = Dpc::new(broken).insert()).insert()),
];

#[test]
fn a_panic_ends_the_run_and_says_where_it_was() {
    for _ in 0..3 {
        for (what, level, f) in PLACES {
            let stop = alone(f).unwrap_err();
            let Stop::Panic { message, place, irql, backtrace, .. } = &stop else { panic!("{what}: {stop}") };
            assert_eq!((message.as_str(), *irql), ("the driver's words", level), "{what}");
            assert!(place.as_ref().is_some_and(|place| place.starts_with(FILE)), "{what}: {stop}");
            let first = backtrace.first().map_or("", String::as_str);
            assert!(first.contains("broken (panics.rs:"), "{what}: {stop}");
            let strange = |line: &&String| line.starts_with("core::") || line.contains("ntsim::engine");
            assert_eq!(backtrace.iter().find(strange), None, "{what}");
            assert!(stop.to_string().starts_with(&format!("panic at {FILE}")), "{stop}");
            assert_eq!(format!("{stop:?}"), stop.to_string());
            assert!(!std::thread::panicking(), "{what}");
        }
    }
}

/// The panic of a test's own assertion depends on the order, and `explore` finds that order.
#[test]
fn exploring_finds_a_panic_and_its_recording_repeats_it() {
    let programs = |kernel: &mut Simulation| {
        let turn = std::rc::Rc::new(core::cell::Cell::new(0));
        let (first, second) = (std::rc::Rc::clone(&turn), turn);
        let sets = move || {
            ntsim::preemption_point();
            first.set(1);
            ntsim::preemption_point();
        };
        let asserts = move || {
            ntsim::preemption_point();
            assert_eq!(second.get(), 0, "the other one was first");
        };
        kernel.programs().on(0, asserts).on(1, sets).run()
    };
    let finding = explore(processors(2), Limits::default(), programs).finding.unwrap();
    assert!(matches!(finding.stop, Stop::Panic { .. }), "{}", finding.stop);
    let mut kernel = Simulation::new(processors(2), Schedule::replay(finding.recording.clone()));
    let again = programs(&mut kernel).unwrap_err();
    assert_eq!(again, finding.stop);
}

#[test]
fn a_panic_without_a_text_is_told_too() {
    let stop = alone(|| panic_any(5_u32)).unwrap_err();
    assert!(matches!(&stop, Stop::Panic { message, .. } if message == "a value that is no text"), "{stop}");
}

#[test]
fn a_panic_outside_of_a_run_unwinds_as_ever() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    kernel.run_on(0, broken).unwrap_err();
    kernel.reset(processors(1), Schedule::round_robin());
    assert!(catch_unwind(broken).is_err());
    kernel.run_on(0, || free(allocate(1))).unwrap();
    kernel.unload().unwrap();
    assert!(catch_unwind(broken).is_err());
}

#[test]
fn every_thread_of_the_host_may_panic_in_its_run() {
    let runs = || (0..5).all(|_| matches!(alone(broken), Err(Stop::Panic { .. })));
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(runs)).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

/// Run by a test below, in a process of its own.
#[test]
#[ignore = "changes the hook of its process"]
fn panics_with_a_hook_of_the_program() {
    alone(broken).unwrap_err();
    std::panic::set_hook(Box::new(|_| ()));
    // ntsim's hook is gone, so the panic unwinds out of the run.
    assert!(catch_unwind(|| alone(broken)).is_err());
    println!("all is well");
}

#[test]
fn a_hook_of_the_program_replaces_ntsims() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", "panics_with_a_hook_of_the_program", "--ignored", "--nocapture"]);
    let output = child.output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("all is well"));
}
