//! `cargo xtask conformance` builds the conformance kit (`abi-tests/kit`) and has it judge a
//! library, or the implementations that come with it.
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;

use crate::{command, problem::Problem, project::Project, ui};

/// The folder of the sequences that the kit begins with.
const CORPUS: &str = "corpus/vtable";

/// Judges an implementation of async COM by the contract, rule by rule. Exit code 1 means that the
/// kit found something, 2 that it cannot judge the library.
#[derive(Args)]
pub(crate) struct Options {
    /// The shared library to judge, which exports ntcom_kit (abi-tests/kit/include/ntcom_kit.h).
    ///
    /// Without one, the kit judges the implementations that come with it. Ours and two foreign ones
    /// must pass, and the breach of each broken one must be found.
    library: Option<PathBuf>,
    /// Writes the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the report as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Runs sequences of the fuzz targets' generator for this many seconds, instead of a fixed
    /// number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// The seed of the generator.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Lists the cases without judging.
    #[arg(long)]
    list: bool,
    /// Only this case, or the cases of this rule, without sequences. May be given several times.
    #[arg(long, value_name = "CASE", requires = "library")]
    only: Vec<String>,
    /// A file of known breaches, one in each line, such as `[C5] words of its message`. The report
    /// lists them, and they do not fail the run.
    #[arg(long, value_name = "FILE", requires = "library")]
    known: Option<PathBuf>,
    /// Takes E_POINTER for STATUS_INVALID_PARAMETER and E_NOINTERFACE for STATUS_NOINTERFACE, for
    /// objects that speak HRESULT. The best verdict is then "conforms with HRESULT mapping".
    #[arg(long, requires = "library")]
    hresult: bool,
    /// Loads this library before the judged one, for the runtime of its sanitizer.
    #[arg(long, value_name = "LIBRARY", requires = "library")]
    preload: Option<PathBuf>,
    /// A library without processor time for this many seconds hangs; 5 by default.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    limit: Option<u64>,
    /// A case or a sequence that takes this many seconds of processor time hangs; 10 by default.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    processor_limit: Option<u64>,
}

/// Builds the kit and runs it. The kit's exit code becomes ours.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(library) = options.library.as_deref().filter(|library| !library.exists()) {
        return Err(Problem::Usage(format!("there is no library {}", library.display())).into());
    }
    let mut build = command::cargo(project);
    let packages = ["ntcom-kit", "ntcom-kit-ours", "ntcom-kit-foreign"];
    build.arg("build").args(packages.iter().flat_map(|package| ["--package", package]));
    // A build failure is not a finding, so the exit code must not be 1.
    ui::step("building the conformance kit", &mut build)
        .map_err(|error| Problem::Usage(format!("{error:#}")))?;
    let mut kit = command::cargo(project);
    kit.args(["run", "--quiet", "--package", "ntcom-kit", "--", "--corpus"]).arg(project.path(CORPUS));
    // The kit runs at the root, but the caller's paths are relative to the current folder.
    let here = |path: &Path| std::path::absolute(path).context("there is no current folder");
    for (name, path) in [
        ("--json", &options.json),
        ("--junit", &options.junit),
        ("--known", &options.known),
        ("--preload", &options.preload),
    ] {
        if let Some(path) = path {
            kit.arg(name).arg(here(path)?);
        }
    }
    let numbers = [
        ("--seconds", options.seconds),
        ("--seed", options.seed),
        ("--limit", options.limit),
        ("--processor-limit", options.processor_limit),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            kit.arg(name).arg(number.to_string());
        }
    }
    if options.hresult {
        kit.arg("--hresult");
    }
    if options.list {
        kit.arg("--list");
    }
    for case in &options.only {
        kit.arg("--only").arg(case);
    }
    if let Some(library) = &options.library {
        kit.arg(here(library)?);
    }
    let status = kit.status().with_context(|| format!("cannot run {}", command::shell(&kit)))?;
    // The kit's exit codes become ours. Code 1 is for findings only.
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => Ok(ExitCode::from(code)),
        None => Err(Problem::Usage(format!("the kit did not end by itself: {status}")).into()),
    }
}
