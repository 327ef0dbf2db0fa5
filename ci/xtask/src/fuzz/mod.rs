//! `cargo xtask fuzz` builds the targets, measures the baseline, runs every target, and reports.
//!
//! cargo-fuzz builds the targets as libFuzzer binaries. This program runs them itself, so that
//! their flags, folders and speeds are in one place. The folders are:
//!
//! - `corpus/<target>/` has the committed inputs.
//! - `corpus/regressions/<target>/` has committed inputs that once were findings.
//! - `target/fuzz-build/<sanitizer>/` is the build.
//! - `target/fuzz/<target>/` is a run, with its findings (`crash-*`, `leak-*`, `timeout-*`,
//!   `oom-*`), libFuzzer's log of each process, and `corpus/`, which each start makes anew from the
//!   committed inputs.
//!
//! One process at a time uses `target/fuzz/`, or the folder that `--work` names. New inputs that a
//! run with `--keep` could not keep stay in `corpus/`, and then in `not-kept-*/`.
mod build;
mod corpus;
mod libfuzzer;
mod monitor;
mod process;
mod stats;
mod summary;
mod work;
pub(crate) mod wrapper;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    interrupt,
    problem::Problem,
    project::{BASELINE, Project},
};
use summary::{Summary, TargetSummary};

/// A week. A longer time is a mistake.
const MOST_SECONDS: u64 = 7 * 24 * 3600;
/// The time for measuring the baseline.
const BASELINE_SECONDS: u64 = 3;

/// Options of `cargo xtask fuzz`.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this target; may be given several times.
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// The seconds for all targets together.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=MOST_SECONDS))]
    seconds: u64,
    /// The number of processes that run a target side by side.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: u32,
    /// The sanitizer that the targets are built with.
    #[arg(long, value_enum, default_value_t = Sanitizer::Address)]
    sanitizer: Sanitizer,
    /// Starts from an empty corpus instead of the committed inputs.
    #[arg(long)]
    empty_corpus: bool,
    /// Writes the results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Adds inputs that reach something new to the committed ones, also after Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// The folder of the runs, either below target/ in the checkout or an empty one elsewhere. One
    /// process at a time uses it.
    #[arg(long, value_name = "FOLDER", default_value = "target/fuzz")]
    work: PathBuf,
}

/// A sanitizer.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum Sanitizer {
    /// AddressSanitizer, which finds uses after free, accesses out of bounds, and leaks.
    Address,
    /// No sanitizer, which is several times as fast, but blind to memory errors.
    None,
}

impl Sanitizer {
    /// The name on cargo-fuzz's command line and in a summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::None => "none",
        }
    }
}

/// The seconds of each target. Their sum is `seconds`, but each target has at least one.
fn shares(seconds: u64, targets: u64) -> Vec<u64> {
    let each = |index| seconds / targets + u64::from(index < seconds % targets);
    (0..targets).map(|index| each(index).max(1)).collect()
}

/// Builds and runs the targets.
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
        note!("{} targets need at least a second each", targets.len());
    }

    let (work, _lock) = work::take(project, &options.work)?;
    let binaries = build::build(project, options.sanitizer, &targets)?;
    let runner = monitor::Runner {
        project,
        sanitizer: options.sanitizer,
        jobs: options.jobs,
        work,
        binaries,
        interrupted: interrupt::interrupted,
    };
    session(runner, &targets, &shares, options)
}

/// Runs every target for its share of the seconds, and reports.
fn session(
    mut runner: monitor::Runner<'_>,
    targets: &[String],
    shares: &[u64],
    options: &Options,
) -> anyhow::Result<ExitCode> {
    let project = runner.project;
    // The baseline has no committed inputs.
    corpus::prepare(project, &runner.work, BASELINE, true)?;
    let empty = runner.run(BASELINE, Duration::from_secs(BASELINE_SECONDS))?;
    let empty_execs_per_second = empty.execs_per_second();
    if empty.has_failed() {
        summary::print_findings(std::slice::from_ref(&empty));
        return Ok(ExitCode::FAILURE);
    }

    let mut results = Vec::new();
    for (target, seconds) in targets.iter().zip(shares) {
        if (runner.interrupted)() {
            break;
        }
        let copied = corpus::prepare(project, &runner.work, target, options.empty_corpus)?;
        if options.keep {
            corpus::promise(&runner.work, target)?;
        }
        note!("{target}: starts from {copied} inputs");
        results.push(runner.run(target, Duration::from_secs(*seconds))?);
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
    let mut failed = results.iter().any(monitor::Run::has_failed);
    if options.keep {
        if (runner.interrupted)() && !results.is_empty() {
            note!(
                "interrupted: keeping the new inputs; a second Ctrl-C leaves them to the next run with --keep"
            );
        }
        // Targets that have not run have no new inputs.
        for result in &results {
            failed |= !corpus::keep(&mut runner, &result.target)?;
        }
    }
    if (runner.interrupted)() {
        note!("interrupted");
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::ExitCode, sync::OnceLock};

    use super::{BASELINE, Options, Sanitizer, monitor::Runner, session, shares};
    use crate::{interrupt, project::Project};

    /// A shell script as a target. It finds an input in each run, and its merge copies every input
    /// if it may write.
    const TARGET: &str = r#"#!/bin/sh
for last; do :; done
case " $* " in
*" -set_cover_merge=1 "*)
    [ ! -e no-merges ] || exit 1
    first=
    for word; do
        case $word in
        -*) ;;
        *) if [ -z "$first" ]; then first=$word; else cp "$word"/* "$first"; fi ;;
        esac
    done ;;
*) echo "$$" > "$last/new-$$" ;;
esac
"#;

    /// A checkout with the target `one` and one committed input.
    fn checkout(test: &str) -> Project {
        let root = std::env::temp_dir().join(format!("xtask-session-{test}-{}", std::process::id()));
        drop(fs::remove_dir_all(&root));
        fs::create_dir_all(root.join("corpus/one")).unwrap();
        fs::write(root.join("corpus/one/old"), "x").unwrap();
        fs::write(root.join("target"), TARGET).unwrap();
        fs::set_permissions(root.join("target"), fs::Permissions::from_mode(0o755)).unwrap();
        Project::at(root)
    }

    fn fuzz(project: &Project, keep: bool, interrupted: fn() -> bool) -> ExitCode {
        let options = Options {
            target: Vec::new(),
            seconds: 1,
            jobs: 1,
            sanitizer: Sanitizer::None,
            empty_corpus: false,
            summary: None,
            keep,
            work: PathBuf::new(),
        };
        let binaries = ["one", BASELINE].map(|name| (name.to_owned(), project.path("target"))).into();
        let work = project.path("work");
        let runner = Runner { project, sanitizer: Sanitizer::None, jobs: 1, work, binaries, interrupted };
        session(runner, &["one".to_owned()], &[1], &options).unwrap()
    }

    /// The number of files in a folder.
    fn count(project: &Project, folder: &str) -> usize {
        fs::read_dir(project.path(folder)).map_or(0, Iterator::count)
    }

    #[test]
    fn an_interrupted_run_keeps_what_it_has_found() {
        static INPUTS: OnceLock<PathBuf> = OnceLock::new();
        // True from the moment at which the target has found its input.
        fn interrupted() -> bool {
            let inputs = INPUTS.get().and_then(|folder| fs::read_dir(folder).ok());
            inputs.is_some_and(|inputs| inputs.flatten().any(|input| input.file_name() != "old"))
        }
        let project = checkout("interrupted");
        INPUTS.get_or_init(|| project.path("work/one/corpus"));
        let code = fuzz(&project, true, interrupted);
        assert_eq!(code, ExitCode::from(interrupt::EXIT_CODE));
        assert_eq!(count(&project, "corpus/one"), 2);
        fs::remove_dir_all(project.root()).unwrap();
    }

    #[test]
    fn what_could_not_be_kept_is_kept_by_a_later_run() {
        let project = checkout("later");
        fs::write(project.path("no-merges"), "").unwrap();
        assert_eq!(fuzz(&project, true, || false), ExitCode::FAILURE);
        // Neither a run without `--keep` nor a run that fails again loses the input.
        assert_eq!(fuzz(&project, false, || false), ExitCode::SUCCESS);
        assert_eq!(fuzz(&project, true, || false), ExitCode::FAILURE);
        assert_eq!(count(&project, "corpus/one"), 1);
        fs::remove_file(project.path("no-merges")).unwrap();
        assert_eq!(fuzz(&project, true, || false), ExitCode::SUCCESS);
        // The input of the run without `--keep` is not among them.
        assert_eq!(count(&project, "corpus/one"), 1 + 3);
        assert_eq!(fuzz(&project, false, || false), ExitCode::SUCCESS);
        assert_eq!(count(&project, "work/one/not-kept-1") + count(&project, "work/one/not-kept-2"), 0);
        fs::remove_dir_all(project.root()).unwrap();
    }

    #[test]
    fn the_seconds_are_divided_without_a_rest() {
        assert_eq!(shares(60, 2), [30, 30]);
        assert_eq!(shares(61, 3), [21, 20, 20]);
        assert_eq!(shares(1, 2), [1, 1]);
    }
}
