//! Functions for programs in C and C++. `c/factories.h` declares them in C.

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

/// Returns 0 if the work succeeded. Otherwise prints the reason and returns 1.
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
/// `program` accepts `context`.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_in_kernel(program: Program, context: *mut c_void) -> i32 {
    let context = Context(context);
    let whole = move || {
        let context = context;
        // SAFETY: the caller promises that `program` accepts `context`.
        unsafe { program(context.0) };
    };
    answer("the simulated kernel has stopped", in_kernel(whole))
}

/// Makes an operation of a kind in a state, with one reference, and writes the state that the
/// client must find. Null if there is no such kind or state.
///
/// # Safety
/// The call is within `abi_in_kernel`. `expected` is writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_spawn(kind: i32, state: i32, expected: *mut Expected) -> *mut c_void {
    let Some((_, factory, state)) = numbered(kind, state) else { return core::ptr::null_mut() };
    let (operation, promised) = factory(state);
    // SAFETY: the caller passes a writable `expected`.
    unsafe { expected.write(promised) };
    operation
}

/// The number of pool blocks. Call it within `abi_in_kernel`.
#[unsafe(no_mangle)]
extern "C" fn abi_live_blocks() -> u64 {
    ntsim::live_blocks()
}

/// Makes the client call every slot of an object of ours.
///
/// # Safety
/// The call is within `abi_in_kernel`. `probes` does what `c/probe.h` declares.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_calls_ours(probes: Probes) -> i32 {
    // SAFETY: the caller is within `abi_in_kernel` and passes such `probes`.
    answer("calls of a declared object's slots", unsafe { probe::called_by(probes) })
}

/// Calls every slot of an object of the client.
///
/// # Safety
/// The call is within `abi_in_kernel`. `probe` does what `c/probe.h` declares.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_is_called(probe: Probe) -> i32 {
    // SAFETY: the caller is within `abi_in_kernel` and passes such a `probe`.
    answer("generated calls of the client's slots", unsafe { probe::calls(probe) })
}

/// Prints the check of a client that failed, for an operation of that kind and state. Returns 0 if
/// no check failed.
///
/// # Safety
/// `finding` is a finding that the client has filled.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_judge(kind: i32, state: i32, finding: *const Finding) -> i32 {
    let name = numbered(kind, state).map(|(name, _, state)| format!("an operation of {name}, {state:?}"));
    // SAFETY: the caller passes a readable finding.
    let finding = unsafe { finding.read() };
    // SAFETY: the client has filled the finding.
    let done = unsafe { finding.text() }.map_or(Ok(()), Err);
    answer(&name.unwrap_or_default(), done)
}

/// Prints a line.
///
/// # Safety
/// Both strings are null-terminated.
#[unsafe(no_mangle)]
unsafe extern "C" fn abi_say(who: *const c_char, number: u32, what: *const c_char) {
    // SAFETY: the caller passes a null-terminated string.
    let who = unsafe { CStr::from_ptr(who) };
    // SAFETY: the caller passes a null-terminated string.
    let what = unsafe { CStr::from_ptr(what) };
    println!("{}: {number} {}", who.to_string_lossy(), what.to_string_lossy());
}
