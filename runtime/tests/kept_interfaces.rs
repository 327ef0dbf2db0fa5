//! Tests of an interface that a test keeps beyond its run or its simulation. It works, or a failure
//! says so.
#![allow(clippy::unwrap_used, reason = "tests say what they mean")]

use core::{cell::RefCell, mem::ManuallyDrop};
use std::{
    process::{Command, Output},
    rc::Rc,
};

use ntcom::{ComObject, ComRc, GUID, IUnknown, IUnknownRaw, declare_com_interface};
use ntsim::{Config, Schedule, Simulation};

declare_com_interface! {
    /// Has a number.
    trait INumber: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fb1c1";
        fn number(&self) -> u32;
    }
}

struct Seven;

impl INumber for Seven {
    fn number(&self) -> u32 {
        7
    }
}

/// Returns the last reference of an object, with its simulation, after one of its runs.
fn last_reference() -> (Simulation, ManuallyDrop<ComRc<INumberRaw>>) {
    let kept: Rc<RefCell<Option<ComRc<INumberRaw>>>> = Rc::default();
    let out = Rc::clone(&kept);
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let program = move || {
        let object = ComObject::<_, (IUnknownRaw, INumberRaw)>::new(Seven).unwrap();
        *out.borrow_mut() = Some(object.query().unwrap());
    };
    kernel.run_on(0, program).unwrap();
    let interface = kept.take().unwrap();
    (kernel, ManuallyDrop::new(interface))
}

#[test]
fn the_last_release_may_come_between_two_runs() {
    let (mut kernel, interface) = last_reference();
    assert_eq!(interface.number().unwrap(), 7);
    drop(ManuallyDrop::into_inner(interface));
    assert_eq!(kernel.counters().live_blocks, 0);
    kernel.run(Vec::new()).unwrap();
    kernel.unload().unwrap();
}

#[test]
fn an_object_that_is_released_after_a_stop_is_forgotten() {
    let (mut kernel, interface) = last_reference();
    kernel.run_on(0, || ntsim::fail("test", String::from("on purpose"))).unwrap_err();
    drop(ManuallyDrop::into_inner(interface));
}

/// A test below runs this in a process of its own, because `Release` cannot unwind.
#[test]
#[ignore = "ends its process"]
fn released_after_a_reset() {
    let (mut kernel, interface) = last_reference();
    kernel.reset(Config::default(), Schedule::round_robin());
    drop(ManuallyDrop::into_inner(interface));
}

/// A test below runs this in a process of its own, where the interface's table is in closed memory.
#[test]
#[ignore = "ends its process"]
fn released_many_kernels_later() {
    let (kernel, interface) = last_reference();
    drop(kernel);
    for _ in 0..600 {
        Simulation::new(Config::default(), Schedule::round_robin()).run(Vec::new()).unwrap();
    }
    drop(ManuallyDrop::into_inner(interface));
}

fn child(name: &str) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--ignored", "--nocapture"]).output().unwrap()
}

#[test]
fn an_interface_that_is_kept_too_long_ends_the_process_with_words() {
    let mut cases = vec![("released_after_a_reset", "kept beyond the reset of its simulation")];
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        cases.push(("released_many_kernels_later", "waker or handle was kept too long"));
    }
    for (name, words) in cases {
        let output = child(name);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{name}: {said}");
    }
}
