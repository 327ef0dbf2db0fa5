//! Kernel stacks, and the parts of them that a thread and a DPC may use.
#![cfg(not(any(feature = "sanitizer", fuzzing)))]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::hint::black_box;

use common::{io::*, irps::*, waiting::*, *};
use ntsim::{BugCheck, Config, Program, Schedule, Simulation, Stop, types::*};

/// Half of the smallest stack, so that two such frames are too many, whatever the build multiplies
/// it by.
const HALF: usize = 12 << 10;
const MULTIPLE: usize = if cfg!(debug_assertions) { 8 } else { 1 };

/// Calls `f` below a frame of half a stack.
#[inline(never)]
fn deep(f: &dyn Fn()) {
    let frame = [0_u8; HALF * MULTIPLE];
    black_box(&frame);
    f();
    black_box(&frame);
}

fn overrun(bug: &BugCheck) {
    assert_eq!((bug.code, bug.parameters[0]), (0x7F, 8), "{bug}");
    assert!(bug.rule.contains("its kernel stack"), "{bug}");
}

fn run(programs: Vec<(usize, Program)>) -> (Result<(), Stop>, u64) {
    let mut kernel = Simulation::new(processors(2), Schedule::seed(1));
    let outcome = kernel.run(programs);
    (outcome, kernel.counters().stack)
}

#[test]
fn a_kernel_call_below_too_many_frames_is_0x7f() {
    fine(|| deep(&|| ntsim::note(String::new)));
    fine(|| deep(&|| _ = current_irql()));
    let bug = bug(|| deep(&|| deep(&|| _ = current_irql())));
    overrun(&bug);
    assert!(bug.rule.starts_with("program 0 has used"), "{bug}");
    assert!(bug.backtrace.iter().filter(|line| line.contains("deep (stacks.rs:")).count() == 2, "{bug}");
}

#[test]
fn an_atomic_below_too_many_frames_is_0x7f() {
    let load = || deep(&|| deep(&|| _ = ntsim::sync::AtomicU32::new(1).load(ntsim::sync::Ordering::Relaxed)));
    overrun(&bug(load));
}

#[test]
fn a_future_of_200_002_bytes_has_no_room() {
    #[inline(never)]
    fn spawn(future: [u8; 200_002]) {
        black_box(&future);
        free(allocate(64));
        black_box(&future);
    }
    overrun(&bug(|| spawn(black_box([1; 200_002]))));
}

#[test]
fn the_segments_of_a_thread_count_together() {
    // The driver's dispatch routine runs on its caller's stack.
    unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        deep(&|| _ = current_irql());
        Irp(irp).complete(STATUS_SUCCESS)
    }
    let send = || {
        dispatch_reads(dispatch);
        let (irp, device) = (Irp::new(), Device::new());
        irp.on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED);
        irp.send(device);
        irp.free();
        device.delete();
    };
    fine(send);
    overrun(&bug(move || deep(&send)));
}

#[test]
fn a_dpc_and_a_new_thread_have_stacks_of_their_own() {
    fine(|| {
        let dpc = Dpc::new(|| deep(&|| _ = current_irql()));
        deep(&|| _ = dpc.insert());
        Thread::spawn(|| deep(&|| _ = current_irql())).join();
        dpc.free();
    });
    let in_dpc = bug(|| _ = Dpc::new(|| deep(&|| deep(&|| _ = current_irql()))).insert());
    overrun(&in_dpc);
    assert!(in_dpc.rule.starts_with("a DPC routine on processor 0 has used"), "{in_dpc}");
    let in_thread = bug(|| Thread::spawn(|| deep(&|| deep(&|| _ = current_irql()))).join());
    assert!(in_thread.rule.starts_with("thread 1 has used"), "{in_thread}");
}

#[test]
fn a_thread_that_goes_on_goes_on_at_its_depth() {
    let programs = |count: usize| -> Vec<(usize, Program)> {
        (0..2)
            .map(|processor| {
                let body = move || {
                    let calls = || (0..20).for_each(|_| _ = current_irql());
                    if count == 1 { deep(&calls) } else { deep(&|| deep(&calls)) }
                };
                (processor, program(body))
            })
            .collect()
    };
    let (outcome, stack) = run(programs(1));
    outcome.unwrap();
    assert!((HALF * MULTIPLE..2 * HALF * MULTIPLE).contains(&(stack as usize)), "{stack}");
    overrun(run(programs(2)).0.unwrap_err().bug_check().unwrap());
}

/// A frame that is larger than the stack, and below which nothing is called.
#[cfg(unix)]
#[inline(never)]
fn too_deep() {
    let frame = [1_u8; 3 * HALF * MULTIPLE];
    black_box(&frame);
}

#[cfg(unix)]
#[test]
fn a_routine_that_went_deep_without_a_call_is_0x7f_at_its_return() {
    unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
        too_deep();
        Irp(irp).complete(STATUS_SUCCESS)
    }
    fn found(bug: &BugCheck) {
        overrun(bug);
        assert!(bug.rule.contains("in a routine that made no kernel call there"), "{bug}");
    }
    let programs = bug(too_deep);
    found(&programs);
    assert!(programs.rule.starts_with("program 0 has used more than the"), "{programs}");
    found(&bug(|| _ = Dpc::new(too_deep).insert()));
    found(&bug(|| Thread::spawn(too_deep).join()));
    found(&bug(|| WorkItem::new(Device::new()).queue(|_| too_deep())));
    found(&bug(|| {
        dispatch_reads(dispatch);
        let (irp, device) = (Irp::new(), Device::new());
        irp.on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED);
        irp.send(device);
    }));
    // Before and behind a kernel call, and before a DPC comes in between.
    found(&bug(|| {
        _ = current_irql();
        too_deep();
        _ = current_irql();
    }));
    found(&bug(|| {
        too_deep();
        let dpc = Dpc::new(|| {});
        dpc.insert();
        dpc.free();
    }));
}

#[cfg(unix)]
#[test]
fn the_frames_of_the_kernel_and_of_panics_are_not_the_routines() {
    // As deep as may be, with a kernel call that interrupts it by a DPC that is as deep.
    fine(|| {
        let dpc = Dpc::new(|| deep(&|| _ = current_irql()));
        deep(&|| {
            _ = dpc.insert();
            Thread::spawn(|| {}).join();
            ntsim::note(|| "x".repeat(100));
        });
        dpc.free();
    });
    // So near the limit that the kernel's frames reach beyond it.
    const LEFT: usize = if cfg!(debug_assertions) { 2800 } else { 700 };
    fine(|| {
        let frame = [0_u8; 2 * HALF * MULTIPLE - LEFT];
        black_box(&frame);
        free(allocate(64));
        black_box(&frame);
    });
    // The frames of a panic reach beyond the limit.
    let stop = run(vec![(0, program(|| deep(&|| panic!("on purpose"))))]).0.unwrap_err();
    assert!(matches!(stop, ntsim::Stop::Panic { .. }), "{stop}");
}

#[test]
fn the_high_water_mark_is_that_of_the_deepest() {
    let (outcome, shallow) = run(vec![(0, program(|| _ = current_irql()))]);
    outcome.unwrap();
    assert!((1..(4 * MULTIPLE as u64) << 10).contains(&shallow), "{shallow}");
    let (outcome, deeper) = run(vec![(
        0,
        program(|| {
            deep(&|| _ = current_irql());
            _ = current_irql();
        }),
    )]);
    outcome.unwrap();
    assert!(deeper >= (HALF * MULTIPLE) as u64, "{deeper}");
}

#[test]
fn a_simulation_may_have_larger_stacks() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let deeper = || deep(&|| deep(&|| deep(&|| _ = current_irql())));
    for (kib, fits) in [(24, false), (40, true), (24, false), (64, true), (8, false)] {
        kernel.reset(Config { stack: kib << 10, ..processors(1) }, Schedule::round_robin());
        let outcome = kernel.run_on(0, deeper);
        assert_eq!(outcome.is_ok(), fits, "{kib} KiB: {outcome:?}");
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_recursion_without_a_call_runs_into_the_guard() {
    #[inline(never)]
    fn recurse(depth: u64) -> u64 {
        let frame = black_box([depth; 64]);
        if depth == 0 { 0 } else { recurse(depth - 1) + frame[1] }
    }
    #[inline(never)]
    fn large() {
        black_box([1_u8; 900 << 10]);
    }
    let endless = bug(|| _ = black_box(recurse(black_box(u64::MAX))));
    overrun(&endless);
    assert!(endless.backtrace[0].contains("recurse"), "{endless}");
    overrun(&bug(|| _ = Dpc::new(|| _ = black_box(recurse(black_box(u64::MAX)))).insert()));
    overrun(&bug(large));
    // The process continues.
    fine(|| free(allocate(10)));
}
