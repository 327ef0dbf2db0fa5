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
