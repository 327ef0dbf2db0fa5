//! `cargo xtask fuzz`: set up, measure the baseline, run every target, report.
//!
//! The targets are libFuzzer binaries that cargo-fuzz builds and this program runs itself, so that their flags, folders and
//! speeds are in one place. Folders:
//!
//! - `corpus/<target>/`: the committed inputs, and `corpus/regressions/<target>/`: those that once were findings;
//! - `target/fuzz-build/<sanitizer>/`: the build;
//! - `target/fuzz/<target>/`: a run: findings (`crash-*`, `leak-*`, `timeout-*`, `oom-*`), libFuzzer's log of each process, and
//!   `corpus/`, made anew at each start from the committed inputs.
mod build;
mod corpus;
mod libfuzzer;
mod monitor;
mod process;
mod stats;
mod summary;
pub(crate) mod wrapper;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    interrupt,
    problem::Problem,
    project::{BASELINE, Project},
};
use summary::{Summary, TargetSummary};

/// A week: more than that is a mistake.
const MOST_SECONDS: u64 = 7 * 24 * 3600;
/// How long the baseline is measured.
const BASELINE_SECONDS: u64 = 3;

/// What to fuzz, and how.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this target; may be given several times.
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// How long all targets run, together.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=MOST_SECONDS))]
    seconds: u64,
    /// How many processes run a target side by side.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: u32,
    /// The sanitizer that the targets are built with.
    #[arg(long, value_enum, default_value_t = Sanitizer::Address)]
    sanitizer: Sanitizer,
    /// Starts from nothing instead of the committed inputs.
    #[arg(long)]
    empty_corpus: bool,
    /// Writes the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Adds new inputs that reach something new to the committed ones.
    #[arg(long)]
    keep: bool,
    /// The folder of the runs, below the root of the checkout.
    #[arg(long, value_name = "FOLDER", default_value = "target/fuzz")]
    work: PathBuf,
}

/// A sanitizer.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum Sanitizer {
    /// AddressSanitizer: finds use after free, out of bounds, leaks.
    Address,
    /// None: several times as fast, and blind to these.
    None,
}

impl Sanitizer {
    /// Its name on cargo-fuzz's command line and in a summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::None => "none",
        }
    }
}

/// The seconds of each target: together `seconds`, and each at least one.
fn shares(seconds: u64, targets: u64) -> Vec<u64> {
    let each = |index| seconds / targets + u64::from(index < seconds % targets);
    (0..targets).map(|index| each(index).max(1)).collect()
}

/// Fuzzes.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    let targets = project.chosen_targets(&options.target)?;
    if targets.is_empty() {
        return Err(Problem::Usage("fuzz/Cargo.toml has no fuzz target".to_owned()).into());
    }
    if let Some(file) = &options.summary {
        summary::check(file)?;
    }
    let shares = shares(options.seconds, targets.len() as u64);
    if shares.iter().sum::<u64>() > options.seconds {
        eprintln!("{} targets need at least a second each", targets.len());
    }

    let binaries = build::build(project, options.sanitizer, &targets)?;
    let mut runner = monitor::Runner {
        project,
        sanitizer: options.sanitizer,
        jobs: options.jobs,
        work: project.path(&options.work),
        binaries,
    };

    // The baseline starts from nothing and has no folder of inputs.
    corpus::prepare(project, &runner.work, BASELINE, true)?;
    let empty = runner.run(BASELINE, Duration::from_secs(BASELINE_SECONDS))?;
    let empty_execs_per_second = empty.execs_per_second();
    if !empty.findings.is_empty() {
        summary::print_findings(std::slice::from_ref(&empty));
        return Ok(ExitCode::FAILURE);
    }

    let mut results = Vec::new();
    for (target, seconds) in targets.iter().zip(shares) {
        if interrupt::interrupted() {
            break;
        }
        let copied = corpus::prepare(project, &runner.work, target, options.empty_corpus)?;
        eprintln!("{target}: starts from {copied} inputs");
        results.push(runner.run(target, Duration::from_secs(seconds))?);
    }

    let summary = Summary {
        empty_execs_per_second,
        sanitizer: options.sanitizer.name(),
        targets: results.iter().map(|result| TargetSummary::new(result, empty_execs_per_second)).collect(),
    };
    summary.print();
    summary::print_findings(&results);
    if let Some(file) = &options.summary {
        summary.write(file)?;
    }
    let mut failed = results.iter().any(|result| !result.findings.is_empty());
    if options.keep && !interrupt::interrupted() {
        for target in &targets {
            failed |= !corpus::keep(&mut runner, target)?;
        }
    }
    if interrupt::interrupted() {
        eprintln!("interrupted");
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn the_seconds_are_divided_without_a_rest() {
        assert_eq!(shares(60, 2), [30, 30]);
        assert_eq!(shares(61, 3), [21, 20, 20]);
        assert_eq!(shares(1, 2), [1, 1]);
    }
}
