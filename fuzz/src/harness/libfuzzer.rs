//! Runs the bytes of a fuzz target. On a finding it prints everything that is needed and stops.

use core::cell::RefCell;

use super::{
    run::{Report, Runner, Target},
    stats,
};

thread_local! {
    static RUNNER: RefCell<Runner> = RefCell::new(Runner::new());
}

/// Runs an input of a target. On a finding it prints the input with its trace and aborts, so that
/// libFuzzer keeps the input.
pub fn run<T: Target>(input: &T) {
    let report = RUNNER.with_borrow_mut(|runner| runner.run(input, false));
    stats::count(&report);
    if report.stop.is_some() {
        finding(input, &report);
    }
}

#[cold]
fn finding<T: Target>(input: &T, report: &Report) -> ! {
    stats::flush();
    eprintln!("{report}");
    eprintln!("steps: {}", input.setting());
    for step in input.steps() {
        eprintln!("  {step}");
    }
    // Run the input again with the trace on.
    RUNNER.with_borrow_mut(|runner| {
        runner.run(input, true);
        eprintln!("trace:\n{}", runner.trace());
    });
    eprintln!("replay: cargo xtask replay <the file that libFuzzer names below> --target {}", T::TARGET);
    std::process::abort();
}

/// The program of a target, which decodes, runs and mutates inputs of this type of
/// [`targets`](crate::targets). Without libFuzzer it says how to run the target.
#[macro_export]
macro_rules! fuzz_program {
    ($input:ident) => {
        use $crate::targets::$input;

        #[cfg(fuzzing)]
        mod glue {
            use super::$input;

            libfuzzer_sys::fuzz_target!(
                init: $crate::harness::committed::start::<$input>(),
                |input: $input| $crate::harness::libfuzzer::run(&input)
            );

            libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
                let bytewise = libfuzzer_sys::fuzzer_mutate;
                ntcom_fuzz_model::mutate::mutate::<$input>(data, size, max_size, seed, bytewise)
            });

            /// Default options for AddressSanitizer, which asks the program for them. With
            /// stack-use-after-return detection each coroutine would leak its fake stack. A small
            /// quarantine and the innermost frame of an allocation are enough, because the driver's
            /// blocks come from the simulated pool. That pool has its own quarantine and history.
            #[unsafe(no_mangle)]
            extern "C" fn __asan_default_options() -> *const core::ffi::c_char {
                c"detect_stack_use_after_return=0:quarantine_size_mb=16:malloc_context_size=1".as_ptr()
            }
        }

        #[cfg(not(fuzzing))]
        fn main() {
            let target = <$input as $crate::targets::Input>::TARGET;
            println!("a fuzz target: run it with `cargo xtask fuzz --target {target}`");
        }
    };
}
