//! What a program in C or C++ calls: `c/factories.h` says the same in C.

use core::ffi::{CStr, c_char, c_void};

use crate::{
    findings::{Expected, Finding},
    kernel::in_kernel,
    operations::numbered,
    probe::{self, Probe, Probes},
};

/// A part of a client program.
type Program = unsafe extern "C" fn(context: *mut c_void);

struct Context(*mut c_void);

/// 0 if what was done went well; else says why not.
fn answer(what: &str, done: Result<(), String>) -> i32 {
    match done {
        Ok(()) => 0,
        Err(why) => {
            println!("FAILED: {what}: {why}");
            1
        }
    }
}

/// Runs a program on a simulated kernel.
///
/// # Safety
/// `program` takes that context.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_in_kernel(program: Program, context: *mut c_void) -> i32 {
    let context = Context(context);
    let whole = move || {
        let context = context;
        // SAFETY: this function's contract.
        unsafe { program(context.0) };
    };
    answer("the simulated kernel has stopped", in_kernel(whole))
}

/// An operation of that kind, in that state, with one reference, and what it is to be found as. Null: there is no such kind or state.
///
/// # Safety
/// Within `abi_in_kernel`; there is room for `expected`.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_spawn(kind: i32, state: i32, expected: *mut Expected) -> *mut c_void {
    let Some((_, factory, state)) = numbered(kind, state) else { return core::ptr::null_mut() };
    let (operation, promised) = factory(state);
    // SAFETY: this function's contract.
    unsafe { expected.write(promised) };
    operation
}

/// How many pool blocks there are. Within `abi_in_kernel`.
#[unsafe(no_mangle)]
extern "C" fn abi_live_blocks() -> u64 {
    ntsim::live_blocks()
}

/// Has the client call every slot of an object of ours.
///
/// # Safety
/// Within `abi_in_kernel`; `probes` is what `c/probe.h` says.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_calls_ours(probes: Probes) -> i32 {
    // SAFETY: this function's contract.
    answer("a declared object's slots, called", unsafe { probe::called_by(probes) })
}

/// Calls every slot of an object of the client's.
///
/// # Safety
/// Within `abi_in_kernel`; `probe` is what `c/probe.h` says.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_is_called(probe: Probe) -> i32 {
    // SAFETY: this function's contract.
    answer("the client's slots, called by the generated calls", unsafe { probe::calls(probe) })
}

/// Says which check of a client failed, if one did, for an operation of that kind and state; 0 if none did.
///
/// # Safety
/// The client has made the finding.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_judge(kind: i32, state: i32, finding: *const Finding) -> i32 {
    let name = numbered(kind, state).map(|(name, _, state)| format!("an operation of {name}, {state:?}"));
    // SAFETY: this function's contract.
    let finding = unsafe { finding.read() };
    // SAFETY: this function's contract.
    let done = unsafe { finding.text() }.map_or(Ok(()), Err);
    answer(&name.unwrap_or_default(), done)
}

/// Prints a line.
///
/// # Safety
/// A string of C's.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_say(who: *const c_char, number: u32, what: *const c_char) {
    // SAFETY: this function's contract.
    let who = unsafe { CStr::from_ptr(who) };
    // SAFETY: this function's contract.
    let what = unsafe { CStr::from_ptr(what) };
    println!("{}: {number} {}", who.to_string_lossy(), what.to_string_lossy());
}
