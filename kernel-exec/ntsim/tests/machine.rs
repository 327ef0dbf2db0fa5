//! Groups of processors, threaded DPCs, and the diagnosis of a run that does not end.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::ptr::null_mut;

use common::{waiting::*, *};
use ntsim::{Config, Schedule, Simulation, Stop, ddi, trace::ThreadName, types::*};

fn number(group: u16, number: u8) -> PROCESSOR_NUMBER {
    PROCESSOR_NUMBER { Group: group, Number: number, Reserved: 0 }
}

#[test]
fn processors_have_a_group_and_a_number_in_it() {
    let config = Config { group_size: 2, ..processors(5) };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let look = |index: u32| {
        program(move || {
            let mut here = PROCESSOR_NUMBER::default();
            // SAFETY: the argument is valid.
            assert_eq!(unsafe { ddi::KeGetCurrentProcessorNumberEx(&raw mut here) }, index);
            assert_eq!(here, number(index as u16 / 2, index as u8 % 2));
            // SAFETY: the argument is valid.
            assert_eq!(unsafe { ddi::KeGetProcessorIndexFromNumber(&raw mut here) }, index);
            let mut again = PROCESSOR_NUMBER::default();
            // SAFETY: the argument is valid.
            assert_eq!(unsafe { ddi::KeGetProcessorNumberFromIndex(index, &raw mut again) }, STATUS_SUCCESS);
            assert_eq!(again, here);
        })
    };
    kernel.run((0..5).map(|index| (index as usize, look(index))).collect()).unwrap();
    let count = program(|| {
        let counts = [0, 1, 2, 3, ALL_PROCESSOR_GROUPS]
            // SAFETY: this runs inside a simulation run.
            .map(|group| unsafe { ddi::KeQueryActiveProcessorCountEx(group) });
        assert_eq!(counts, [2, 2, 1, 0, 5]);
        // SAFETY: this runs inside a simulation run.
        assert_eq!(unsafe { ddi::KeQueryActiveGroupCount() }, 3);
        for mut none in [number(2, 1), number(0, 2), number(9, 0)] {
            // SAFETY: the argument is valid.
            assert_eq!(unsafe { ddi::KeGetProcessorIndexFromNumber(&raw mut none) }, INVALID_PROCESSOR_INDEX);
        }
        let mut untouched = PROCESSOR_NUMBER::default();
        // SAFETY: the argument is valid.
        let status = unsafe { ddi::KeGetProcessorNumberFromIndex(5, &raw mut untouched) };
        assert_eq!(status, STATUS_INVALID_PARAMETER);
    });
    kernel.run_on(0, count).unwrap();
}

#[test]
fn a_dpc_targets_a_processor_of_a_group() {
    let config = Config { group_size: 2, ..processors(4) };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let target = program(|| {
        let log = Log::default();
        let shared = log.clone();
        let dpc = Dpc::new(move || shared.add(format!("on {}", processor_number())));
        let mut target = number(1, 1);
        // SAFETY: the DPC is initialised.
        assert_eq!(unsafe { ddi::KeSetTargetProcessorDpcEx(dpc.dpc, &raw mut target) }, STATUS_SUCCESS);
        let mut none = number(1, 2);
        // SAFETY: the DPC is initialised.
        let status = unsafe { ddi::KeSetTargetProcessorDpcEx(dpc.dpc, &raw mut none) };
        assert_eq!(status, STATUS_INVALID_PARAMETER);
        dpc.insert();
        flush_dpcs();
        assert_eq!(log.lines(), ["on 3"]);
        dpc.free();
    });
    kernel.run_on(0, target).unwrap();
}

#[test]
fn without_a_group_a_dpc_targets_a_processor_of_group_0_if_there_is_such_a_one() {
    let config = Config { group_size: 2, ..processors(4) };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let target = program(|| {
        let log = Log::default();
        let shared = log.clone();
        let dpc = Dpc::new(move || shared.add(format!("on {}", processor_number())));
        for number in [1, 2, -1] {
            // SAFETY: the DPC is initialised.
            unsafe { ddi::KeSetTargetProcessorDpc(dpc.dpc, number) };
            dpc.insert();
            flush_dpcs();
        }
        assert_eq!(log.lines(), ["on 1", "on 1", "on 1"]);
        dpc.free();
    });
    kernel.run_on(0, target).unwrap();
}

#[test]
fn threaded_dpcs_are_refused() {
    let stop = alone(|| {
        // SAFETY: the call ends the run before it writes anything.
        unsafe { ddi::KeInitializeThreadedDpc(object(), None, null_mut()) };
    });
    let Err(Stop::Failure { oracle: "not supported", message, .. }) = stop else { panic!("{stop:?}") };
    assert!(message.contains("threaded DPCs"), "{message}");
}

#[test]
fn a_diagnosis_names_the_waiting_the_holding_and_the_running_threads() {
    let config = Config { step_limit: 2_000, ..processors(2) };
    let mut kernel = Simulation::new(config, Schedule::seed(1));
    let stuck = program(|| {
        let (mutex, lock, event) = (Mutex::new(), Lock::new(), Event::notification());
        wait(&mutex, None);
        Thread::spawn(move || _ = wait(&mutex, None));
        Thread::spawn(move || _ = wait(&event, Some(-1_000_000_000)));
        delay(-1);
        lock.acquire();
        loop {
            ntsim::preemption_point();
        }
    });
    let stop = kernel.run_on(0, stuck).unwrap_err();
    assert!(matches!(stop, Stop::StepLimit { .. }), "{stop}");
    let diagnosis = kernel.diagnosis();
    assert_eq!(diagnosis.processors.len(), 2);
    assert_eq!(diagnosis.processors[0].thread, Some(ThreadName::Program(0)));
    assert!(diagnosis.next_timer.is_some());
    let text = diagnosis.to_string();
    for needle in [
        "processor 0 at IRQL 2 (DISPATCH_LEVEL) runs program 0",
        "processor 1 at IRQL 0 (PASSIVE_LEVEL) is idle",
        "thread 1 waits for mutex block0, which program 0 holds",
        "thread 2 waits for event block2",
        "spin lock block1 is held by processor 0",
        "mutex block0 is held by program 0",
    ] {
        assert!(text.contains(needle), "{needle} is not in\n{text}");
    }
}
