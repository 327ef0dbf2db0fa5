//! A declared interface with arguments and answers of every width and sign, and an async method.
//!
//! There are more arguments than go into registers. C and C++ call an object in Rust, and the calls
//! that the macro makes reach objects in C and in C++. Each value identifies its argument or
//! answer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use ntcom_abi_factories::{
    kernel::in_kernel,
    probe::{self, IProbeVtbl},
};
use ntcom_abi_tests::probe::{Probe, Probes, abi_c_probe, abi_c_probes, abi_cpp_probe, abi_cpp_probes};

fn foreign_calls(probes: Probes) {
    // SAFETY: the call is within a kernel, and `probes` does what `c/probe.h` declares.
    in_kernel(move || unsafe { probe::called_by(probes) }.unwrap_or_else(|why| panic!("{why}"))).unwrap();
}

fn foreign_object(object: Probe) {
    // SAFETY: the call is within a kernel, and `object` does what `c/probe.h` declares.
    in_kernel(move || unsafe { probe::calls(object) }.unwrap_or_else(|why| panic!("{why}"))).unwrap();
}

/// A calling convention is a part of a function's type, even where two of them are the same for the
/// machine. Linux's convention, which is "system" here, would be wrong in a driver.
#[test]
fn slots_have_the_platforms_calling_convention_wherever_that_is() {
    fn type_of<Slot>(_: impl Fn(&IProbeVtbl) -> Slot) -> &'static str {
        core::any::type_name::<Slot>()
    }
    let slots = [
        type_of(|table| table.unsigned_bytes),
        type_of(|table| table.floats),
        type_of(|table| table.many),
        type_of(|table| table.nothing),
        type_of(|table| table.later),
    ];
    for slot in slots {
        assert!(slot.contains("<unsafe extern \"system\" fn(*mut "), "{slot}");
    }
}

#[test]
fn c_calls_an_object_in_rust() {
    foreign_calls(abi_c_probes);
}

#[test]
fn cpp_calls_an_object_in_rust() {
    foreign_calls(abi_cpp_probes);
}

#[test]
fn rust_calls_an_object_in_c() {
    foreign_object(abi_c_probe);
}

#[test]
fn rust_calls_an_object_in_cpp() {
    foreign_object(abi_cpp_probe);
}
