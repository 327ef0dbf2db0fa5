//! An interface with arguments of every width, implemented in C and in C++. `c/probe.h` declares it
//! in C.

use core::ffi::c_void;

pub use ntcom_abi_factories::probe::{Place, Probe, Probes, Values};

#[expect(missing_docs, reason = "c/probe.h says what they do")]
unsafe extern "C" {
    pub fn abi_c_probes(probe: *mut c_void, arguments: *const Values, answers: *mut Values) -> *mut c_void;
    pub fn abi_cpp_probes(probe: *mut c_void, arguments: *const Values, answers: *mut Values) -> *mut c_void;
    pub fn abi_c_probe(place: *mut Place) -> *mut c_void;
    pub fn abi_cpp_probe(place: *mut Place) -> *mut c_void;
}
