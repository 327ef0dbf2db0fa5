//! Simulations: phases, ends, reset, and threads of the host.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{cell::Cell, panic::AssertUnwindSafe};
use std::{panic::catch_unwind, rc::Rc};

use common::*;
use ntsim::{
    BugCheck, Config, Schedule, Simulation, Stop,
    types::_KDPC_IMPORTANCE::{HighImportance, LowImportance},
};

fn kernel() -> Simulation {
    Simulation::new(processors(2), Schedule::round_robin())
}

fn panic_text(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}

#[test]
fn a_bug_check_ends_the_run_and_a_reset_begins_anew() {
    let mut kernel = kernel();
    for round in 0..3 {
        let reached = Rc::new(Cell::new(false));
        let after = Rc::clone(&reached);
        let broken = program(move || {
            allocate(10);
            raise(5);
            raise(0);
            after.set(true);
        });
        let bystander = program(|| {
            loop {
                ntsim::preemption_point();
            }
        });
        let stop = kernel.programs().on(0, broken).on(1, bystander).run().unwrap_err();
        assert_eq!(stop.bug_check().unwrap().processor, 0);
        assert!(!reached.get());
        assert!(!ntsim::is_active());
        let refused = panic_text(|| drop(kernel.run(vec![])));
        assert!(refused.contains("reset it first"), "{refused}");
        kernel.reset(processors(2), Schedule::seed(round));
        assert_eq!(kernel.counters(), ntsim::Counters::default());
        assert!(kernel.trace().events().is_empty());
        let fine = program(|| free(allocate(10)));
        kernel.run_on(1, fine).unwrap();
        kernel.unload().unwrap();
        kernel.reset(processors(2), Schedule::round_robin());
    }
}

#[test]
fn the_text_of_a_bug_check_tells_everything() {
    let stop = alone(|| bug_check(0xDEAD, [1, 2, 3, 4])).unwrap_err();
    let text = stop.to_string();
    for needle in ["0xdead", "KeBugCheckEx", "parameter 4: 0x4", "processor 0 at IRQL 0 (PASSIVE_LEVEL)"] {
        assert!(text.contains(needle), "{needle} is not in {text}");
    }
    let text = alone(|| lower(3)).unwrap_err().to_string();
    let (functions, lines): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("  in "));
    assert!(functions[0].starts_with("  in simulation::common::lower (mod.rs:"), "{text}");
    assert!(functions[1].contains("the_text_of_a_bug_check_tells_everything"), "{text}");
    assert!(functions[1].contains("(simulation.rs:"), "{text}");
    assert_eq!(
        lines.join("\n"),
        "bug check 0xc4 DRIVER_VERIFIER_DETECTED_VIOLATION: IRQL was to be lowered from 0 (PASSIVE_LEVEL) to 3 (a device's IRQL), \
         which is higher\n  processor 0 at IRQL 0 (PASSIVE_LEVEL)\n  \
         parameter 1: 0x31 (0x31: lower to a higher IRQL, or not to an IRQL)\n  \
         parameter 2: 0x0 (current IRQL)\n  parameter 3: 0x3 (requested IRQL)\n  \
         parameter 4: 0x0 (1: not allowed in a DPC routine)\n  see \
         learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-0xc4--driver-verifier-detected-violation"
    );
}

#[test]
fn a_failure_ends_the_run() {
    let stop = alone(|| {
        let dpc = Dpc::new(|| ntsim::fail("my oracle", "saw something".into()));
        dpc.insert();
    });
    let Err(Stop::Failure { oracle, message, backtrace, .. }) = stop else { panic!("{stop:?}") };
    assert_eq!((oracle, message.as_str()), ("my oracle", "saw something"));
    assert!(backtrace.iter().any(|line| line.contains("simulation.rs:")), "{backtrace:?}");
    assert_eq!(panic_text(|| ntsim::fail("my oracle", "outside".into())), "my oracle: outside");
}

#[test]
fn a_panic_in_a_program_ends_the_run_and_a_reset_begins_anew() {
    let mut kernel = kernel();
    let unwound = Rc::new(Cell::new(false));
    struct OnDrop(Rc<Cell<bool>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let guard = OnDrop(Rc::clone(&unwound));
    let panics = program(move || {
        let _guard = guard;
        ntsim::preemption_point();
        panic!("on purpose")
    });
    let bystander = program(|| {
        loop {
            ntsim::preemption_point();
        }
    });
    let stop = kernel.programs().on(0, panics).on(1, bystander).run().unwrap_err();
    assert!(matches!(&stop, Stop::Panic { message, .. } if message == "on purpose"), "{stop}");
    assert!(!unwound.get(), "a driver's panic stops the machine");
    assert!(!ntsim::is_active());
    kernel.reset(processors(1), Schedule::round_robin());
    kernel.run_on(0, || free(allocate(1))).unwrap();
}

#[test]
fn later_phases_go_on_in_the_same_kernel() {
    let mut kernel = kernel();
    let slot = Rc::new(Cell::new(core::ptr::null_mut()));
    let (give, take) = (Rc::clone(&slot), slot);
    kernel.run_on(0, move || give.set(allocate(8))).unwrap();
    let time = kernel.virtual_time();
    assert!(time > 0);
    kernel.run_on(1, move || free(take.get())).unwrap();
    assert!(kernel.virtual_time() > time);
    kernel.run(vec![]).unwrap();
    kernel.unload().unwrap();
}

#[test]
fn spinning_for_ever_meets_the_step_limit() {
    let config = Config { step_limit: 1_000, ..processors(2) };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let spin = || loop {
        ntsim::preemption_point();
    };
    let stop = kernel.programs().on(0, spin).on(1, spin).run().unwrap_err();
    assert!(matches!(stop, Stop::StepLimit { steps: 1_000, irql: 0, in_dpc: false, .. }), "{stop}");
    assert_eq!(kernel.counters().steps, 1_001);
}

#[test]
fn no_step_is_lost_or_counted_twice() {
    let counters = (0..200).map(|seed| {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let walk = |points: usize| {
            for _ in 0..points {
                ntsim::preemption_point();
            }
        };
        let interrupt = move || {
            let (dpc, timer) = (Dpc::new(move || walk(50)), Timer::new());
            let by_timer = Dpc::new(move || walk(30));
            dpc.importance(HighImportance).target(0).insert();
            timer.set(-1, Some(by_timer));
            ntsim::advance_time(TICK);
            walk(20);
        };
        kernel.programs().on(0, move || walk(100)).on(1, interrupt).run().unwrap();
        let counters = kernel.counters();
        assert_eq!(kernel.virtual_time(), counters.steps + TICK, "seed {seed}");
        (counters.steps, counters.dpcs_run)
    });
    let distinct: std::collections::BTreeSet<_> = counters.collect();
    assert_eq!(distinct.len(), 1, "{distinct:?}");
}

#[test]
fn the_clock_goes_on_by_the_step_time() {
    let config = Config { step_time: 7, ..processors(1) };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let walk = || {
        let start = interrupt_time();
        for _ in 0..10 {
            ntsim::preemption_point();
        }
        assert_eq!(interrupt_time() - start, 11 * 7);
    };
    kernel.run_on(0, walk).unwrap();
}

#[test]
fn kernels_of_two_threads_do_not_see_one_another() {
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(2));
    let threads: Vec<_> = (1..=2_usize)
        .map(|number| {
            let barrier = std::sync::Arc::clone(&barrier);
            std::thread::spawn(move || {
                let mut kernel = Simulation::new(processors(number), Schedule::round_robin());
                barrier.wait();
                let leak = move || {
                    for _ in 0..number {
                        allocate(16);
                    }
                    barrier.wait();
                    assert_eq!(ntsim::counters().live_blocks, number as u64);
                    let state = ntsim::image_state::<Cell<usize>>();
                    // SAFETY: the state belongs to this kernel, on this thread.
                    assert_eq!(unsafe { &*state }.replace(number), 0);
                };
                kernel.run_on(number - 1, leak).unwrap();
                kernel.trace().to_string()
            })
        })
        .collect();
    let traces: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(traces[0].contains("block0") && !traces[0].contains("block1"), "{}", traces[0]);
    assert!(traces[1].contains("block1") && !traces[1].contains("block2"), "{}", traces[1]);
}

#[test]
fn a_thread_has_one_simulation_at_a_time() {
    let first = kernel();
    assert!(panic_text(|| drop(kernel())).contains("has a simulation already"));
    drop(first);
    drop(kernel());
}

#[test]
fn programs_must_fit_the_processors() {
    let mut kernel = kernel();
    assert!(panic_text(|| drop(kernel.run_on(2, || ()))).contains("processor 2 does not exist"));
    let twice = || vec![(1, program(|| ())), (1, program(|| ()))];
    assert!(panic_text(|| drop(kernel.run(twice()))).contains("processor 1 has two programs"));
    kernel.run_on(1, || ()).unwrap();
    for processors in [0, 65] {
        let config = Config { processors, ..Config::default() };
        assert!(panic_text(|| kernel.reset(config, Schedule::round_robin())).contains("1 to 64"));
    }
}

#[test]
fn image_state_lives_until_the_reset() {
    #[derive(Default)]
    struct Image(Cell<u32>);
    let mut kernel = kernel();
    let add = |expected: u32| {
        program(move || {
            let image = ntsim::image_state::<Image>();
            assert_eq!(image, ntsim::image_state::<Image>());
            // SAFETY: the state belongs to the kernel until its reset.
            let image = unsafe { &*image };
            image.0.set(image.0.get() + 1);
            assert_eq!(image.0.get(), expected);
        })
    };
    kernel.run_on(0, add(1)).unwrap();
    kernel.run_on(1, add(2)).unwrap();
    kernel.reset(processors(1), Schedule::round_robin());
    kernel.run_on(0, add(1)).unwrap();
}

#[test]
fn outside_a_run_there_is_nothing() {
    assert!(!ntsim::is_active());
    assert_eq!((ntsim::irql(), ntsim::current_processor(), ntsim::in_dpc()), (0, 0, false));
    ntsim::preemption_point();
    ntsim::fail_allocation(0);
    assert_eq!(ntsim::counters(), ntsim::Counters::default());
    assert!(panic_text(|| ntsim::advance_time(1)).contains("advance_time called outside a simulation run"));
}

#[test]
fn a_ddi_outside_a_run_aborts_and_names_itself() {
    const CHILD: &str = "NTSIM_TEST_OUTSIDE";
    if std::env::var_os(CHILD).is_some() {
        current_irql();
        return;
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_ddi_outside_a_run_aborts_and_names_itself", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.code().is_none(), "{:?}", child.status);
    assert!(said.contains("ntsim: KeGetCurrentIrql called outside a simulation run"), "{said}");
}

fn unload_code(stop: Result<(), Stop>) -> (u32, String) {
    let Err(Stop::BugCheck(BugCheck { code, rule, .. })) = stop else { panic!("{stop:?}") };
    (code, rule)
}

#[test]
fn unload_must_not_leave_a_timer() {
    let mut kernel = kernel();
    let unload = program(|| _ = Timer::new().set(-100, None));
    let (code, rule) = unload_code(kernel.unload_with(0, unload));
    assert_eq!((code, rule.as_str()), (0xCE, "the driver was unloaded while the timer block0 was set"));
    kernel.reset(processors(2), Schedule::round_robin());
    let unload = program(|| {
        let timer = Timer::new();
        timer.set(-100, None);
        timer.cancel();
        timer.free();
    });
    kernel.unload_with(0, unload).unwrap();
}

#[test]
fn unload_must_not_leave_a_dpc_in_a_queue_or_running() {
    let mut queued = false;
    let mut running = false;
    for seed in 0..100 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let unload = program(|| {
            let dpc = Dpc::new(|| {
                for _ in 0..20 {
                    ntsim::preemption_point();
                }
            });
            dpc.importance(HighImportance).target(1).insert();
            ntsim::preemption_point();
        });
        let (code, rule) = unload_code(kernel.unload_with(0, unload));
        queued |= code == 0xCE && rule.contains("in processor 1's queue");
        running |= code == 0xCE && rule.contains("processor 1 was in a DPC routine");
    }
    assert!(queued && running);
}

#[test]
fn unload_must_not_leave_a_late_dpc() {
    let mut kernel = Simulation::new(processors(1), Schedule::bytes(vec![0]));
    let unload = program(|| _ = Dpc::new(|| ()).importance(LowImportance).insert());
    assert_eq!(unload_code(kernel.unload_with(0, unload)).0, 0xCE);
}

#[test]
fn unload_must_not_leave_a_spin_lock_held() {
    let mut kernel = kernel();
    let keep = program(|| {
        let lock = Lock::new();
        let before = raise_to_dpc_level();
        lock.acquire_at_dpc_level();
        lower(before);
    });
    kernel.run_on(0, keep).unwrap();
    let (code, rule) = unload_code(kernel.unload());
    assert_eq!(code, 0xC4);
    assert!(rule.contains("processor 0 held the spin lock block0"), "{rule}");
}
