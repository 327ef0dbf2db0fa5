//! `cargo xtask loom` runs each loom test by itself, and reports its time and number of
//! interleavings.
use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{command, interrupt, problem::Problem, project::Project, ui};

/// The package that has the loom tests.
const PACKAGE: &str = "ntcom-exec";
/// The preemptions that an execution may have, unless `LOOM_MAX_PREEMPTIONS` is set. With more the
/// tests do not finish.
const PREEMPTIONS: &str = "3";

/// Runs the loom tests with the filter in their name.
pub(crate) fn run(project: &Project, filter: Option<&str>) -> anyhow::Result<ExitCode> {
    let preemptions = env::var("LOOM_MAX_PREEMPTIONS").unwrap_or_else(|_| PREEMPTIONS.to_owned());
    let binary = build(project)?;
    let output =
        command::at_root(project, &binary).arg("--list").output().context("cannot list the tests")?;
    let tests = listed(&String::from_utf8_lossy(&output.stdout), filter);
    if tests.is_empty() {
        let message = format!("no loom test of {PACKAGE} matches {}", filter.unwrap_or("anything"));
        return Err(Problem::Usage(message).into());
    }
    let mut table = ui::table(&["test", "result", "seconds", "iterations"], 2..4);
    let mut failed = 0;
    for (index, test) in tests.iter().enumerate() {
        if interrupt::interrupted() {
            bail!("interrupted");
        }
        let live = ui::Live::new();
        let what = format!("[{}/{}] {test}", index + 1, tests.len());
        live.hint(&what);
        let mut one = one(project, &binary, test, &preemptions);
        let start = Instant::now();
        let captured = command::capture(&mut one, |_| {})?;
        let seconds = format!("{:.2}", start.elapsed().as_secs_f64());
        let passed = captured.status.success() && captured.output.contains("1 passed");
        let result = if passed { "ok" } else { "failed" };
        live.finish(&format!("{what}: {result}, {seconds} s"));
        if !passed {
            failed += 1;
            let repeat = format!("cargo xtask loom {}", command::quote(test.as_ref()));
            say!("{}\nto repeat: {repeat}", captured.output);
        }
        let iterations = iterations(&captured.output).map_or_else(|| "-".to_owned(), ui::count);
        table.add_row([test.as_str(), result, &seconds, &iterations]);
    }
    say!("{table}");
    say!("{} passed, {failed} failed (at most {preemptions} preemptions)", tests.len() - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The command for one test, with loom's report of its progress.
fn one(project: &Project, binary: &PathBuf, test: &str, preemptions: &str) -> Command {
    let mut command = command::at_root(project, binary);
    command.env("LOOM_MAX_PREEMPTIONS", preemptions).args(["--exact", test, "--nocapture"]);
    if env::var_os("LOOM_LOG").is_none() {
        command.env("LOOM_LOG", "loom::model=info");
    }
    command
}

#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
}

/// Builds the test program under `cfg(loom)`.
fn build(project: &Project) -> anyhow::Result<PathBuf> {
    let mut flags = env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg loom");
    let mut build = command::cargo(project);
    build.env("RUSTFLAGS", flags.trim()).args([
        "test",
        "--release",
        "-p",
        PACKAGE,
        "--lib",
        "--target-dir",
        "target/loom",
        "--no-run",
    ]);
    ui::step("building the loom tests", &mut build)?;
    let output = build.arg("--message-format=json").stdout(Stdio::piped()).output()?;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let artifacts = lines.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    artifacts.filter_map(|artifact| artifact.executable).next_back().context("cargo built no test program")
}

/// The loom tests in the output of `--list`.
fn listed(list: &str, filter: Option<&str>) -> Vec<String> {
    let tests = list.lines().filter_map(|line| line.strip_suffix(": test"));
    tests
        .filter(|test| test.contains("loom") && filter.is_none_or(|filter| test.contains(filter)))
        .map(str::to_owned)
        .collect()
}

/// The interleavings of all models of a test, as loom reports them.
fn iterations(output: &str) -> Option<u64> {
    let counts = output.lines().filter_map(|line| {
        let (_, rest) = line.split_once("Completed in ")?;
        rest.strip_suffix(" iterations")?.parse::<u64>().ok()
    });
    counts.reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::{iterations, listed};

    #[test]
    fn only_loom_tests_are_run() {
        let list = "task::loom_tests::loom_two: test\ntask::plain: test\na::loom_b: benchmark\n\n2 tests, 1 benchmark\n";
        assert_eq!(listed(list, None), ["task::loom_tests::loom_two"]);
        assert!(listed(list, Some("three")).is_empty());
    }

    #[test]
    fn iterations_of_several_models_add_up() {
        assert_eq!(
            iterations(" INFO loom::model: Completed in 12 iterations\nx Completed in 3 iterations\n"),
            Some(15)
        );
        assert_eq!(iterations("test a ... ok\n"), None);
    }
}
