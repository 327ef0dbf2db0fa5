//! `cargo xtask tsan` runs the simulated kernel, the executor and clients on processors that run at
//! once, under ThreadSanitizer.
//!
//! std is not compiled for ThreadSanitizer, which would need its sources. The primitives that
//! synchronise the tests are: `parking_lot`, and the crates' own atomics. `ci/tsan.supp` names the
//! remaining reports of std's.
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::{command, problem::Problem, project::Project, tools::Unstable, ui};

/// The tests, as packages with their features.
const TESTS: [(&str, &str); 3] =
    [("ntsim", "free-running"), ("ntcom-exec", "sim"), ("ntcom", "async-com,sim")];
/// The hosts that ThreadSanitizer supports here.
const HOSTS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
const FLAGS: &str = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";

/// Runs the tests.
pub(crate) fn run(project: &Project) -> anyhow::Result<ExitCode> {
    let host = host()?;
    if !HOSTS.contains(&host.as_str()) {
        return Err(Problem::Unavailable(format!(
            "ThreadSanitizer is for {}, not {host}",
            HOSTS.join(" and ")
        ))
        .into());
    }
    let unstable = Unstable::find();
    say!("ThreadSanitizer on {host}, with {}", unstable.name());
    let mut table = ui::table(&["tests of", "passed", "reports"], 1..3);
    let mut bad = 0_usize;
    for (package, features) in TESTS {
        let live = ui::Live::new();
        live.hint(package);
        let mut test = test(project, &unstable, &host, package, features);
        let captured =
            command::capture(&mut test, |line| live.hint(&format!("{package} ... {}", line.trim())))?;
        let reports = captured.output.matches("WARNING: ThreadSanitizer").count();
        let passed = passed(&captured.output);
        let good = captured.status.success() && reports == 0 && passed != 0;
        live.finish(&format!("{package}: {}", if good { "ok" } else { "failed" }));
        if !good {
            bad += 1;
            say!("{}\nto repeat: {}", captured.output, command::shell(&test));
        }
        table.add_row([package.to_owned(), passed.to_string(), reports.to_string()]);
    }
    say!("{table}");
    say!("{} passed, {bad} failed", TESTS.len() - bad);
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn test(project: &Project, unstable: &Unstable, host: &str, package: &str, features: &str) -> Command {
    let mut test = unstable.command(project, "cargo".as_ref());
    test.env("RUSTFLAGS", FLAGS)
        .env("TSAN_OPTIONS", format!("suppressions={}", project.path("ci/tsan.supp").display()))
        .args(["test", "--package", package, "--features", features, "--test", "free"])
        .args(["--target", host, "--target-dir", "target/tsan"]);
    test
}

/// The number of tests that have passed.
fn passed(output: &str) -> usize {
    let results = output.lines().filter_map(|line| line.strip_prefix("test result: "));
    results.filter_map(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok()).sum()
}

/// This host's target triple.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn tests_that_passed_are_counted() {
        assert_eq!(
            passed("test result: ok. 11 passed; 0 failed\nx\ntest result: FAILED. 2 passed; 1 failed\n"),
            13
        );
        assert_eq!(passed("error: could not compile"), 0);
    }
}
