//! A rustc wrapper for fuzz builds, which instruments only the code under test for coverage.
//!
//! cargo-fuzz instruments every crate alike. The harness and the simulated kernel have fifteen
//! times the edges of the code under test. libFuzzer handles each edge in each execution, and these
//! say little, but made runs three times as slow. The harness reports what libFuzzer needs by
//! counters of its own (`fuzz/src/harness/coverage.rs`).
//!
//! AddressSanitizer instruments every crate, but without fake stacks. They must be off, because
//! they leak one for each coroutine (`fuzz/src/harness/libfuzzer.rs`).
use std::{
    env,
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::Context;

/// The environment variable that makes this program a rustc wrapper.
const MARK: &str = "NTCOM_XTASK_IS_RUSTC_WRAPPER";

/// The crates under test, as rustc names them.
const UNDER_TEST: [&str; 2] = ["ntcom", "ntcom_exec"];

/// Makes a build use this program as its wrapper.
///
/// # Errors
/// This program's own path cannot be found.
pub(crate) fn set(command: &mut Command) -> anyhow::Result<()> {
    command.env("RUSTC_WRAPPER", env::current_exe().context("the path of this program")?).env(MARK, "1");
    Ok(())
}

/// Runs rustc, if this process was started as the wrapper.
///
/// # Errors
/// rustc cannot be run.
pub(crate) fn run_if_asked() -> Option<anyhow::Result<ExitCode>> {
    env::var_os(MARK)?;
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (rustc, arguments) = arguments.split_first()?;
    let status = Command::new(rustc).args(kept(arguments)).status();
    let code = status.with_context(|| format!("cannot run {}", rustc.display())).map(|status| {
        // A signal leaves no code. Cargo only asks whether the code is 0.
        ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(101))
    });
    Some(code)
}

/// Leaves out the code that asks at each call whether stacks are fake.
const NO_FAKE_STACKS: &str = "-Cllvm-args=-asan-use-after-return=never";

/// The arguments for rustc. Coverage flags stay only for a crate under test, and AddressSanitizer
/// gets [`NO_FAKE_STACKS`].
fn kept(arguments: &[OsString]) -> Vec<OsString> {
    let name = arguments.iter().skip_while(|argument| *argument != "--crate-name").nth(1);
    let under_test = name.is_some_and(|name| UNDER_TEST.iter().any(|crate_| name == crate_));
    let sanitized = arguments.iter().any(|argument| argument == "-Zsanitizer=address");
    let kept = arguments.iter().filter(|argument| under_test || !instruments(argument)).cloned();
    kept.chain(sanitized.then(|| NO_FAKE_STACKS.into())).collect()
}

fn instruments(argument: &OsString) -> bool {
    let argument = argument.to_string_lossy();
    argument == "-Cpasses=sancov-module" || argument.starts_with("-Cllvm-args=-sanitizer-coverage-")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{NO_FAKE_STACKS, kept};

    #[test]
    fn only_the_code_under_test_is_instrumented() {
        let arguments = |name: &str| {
            [
                "--crate-name",
                name,
                "-Cpasses=sancov-module",
                "-Cllvm-args=-sanitizer-coverage-level=4",
                "-Zsanitizer=address",
            ]
            .map(Into::into)
        };
        let all = |name| [&arguments(name)[..], &[NO_FAKE_STACKS.into()]].concat();
        assert_eq!(kept(&arguments("ntcom")), all("ntcom"));
        assert_eq!(kept(&arguments("ntcom_exec")), all("ntcom_exec"));
        let sim = ["--crate-name", "ntsim", "-Zsanitizer=address", NO_FAKE_STACKS];
        assert_eq!(kept(&arguments("ntsim")), sim);
        let plain: [OsString; 2] = ["--crate-name", "ntsim"].map(Into::into);
        assert_eq!(kept(&plain), plain);
    }
}
