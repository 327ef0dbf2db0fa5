//! `cargo xtask conformance`: builds the conformance kit (`abi-tests/kit`) and has it judge a library, or those that come with it.
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;

use crate::{command, problem::Problem, project::Project, ui};

/// Sequences of the fuzz targets that the kit begins with.
const CORPUS: &str = "corpus/vtable";

/// Judges an implementation of async COM by the contract, rule by rule. Exit code 1: something was found; 2: it cannot be judged.
#[derive(Args)]
pub(crate) struct Options {
    /// A shared library that exports ntcom_kit (abi-tests/kit/include/ntcom_kit.h). Without one: the implementations that come with the
    /// kit, of which ours and those that others might have written must pass, and of each broken
    /// one the breach must be found.
    library: Option<PathBuf>,
    /// Writes the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the report as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Runs sequences of the fuzz targets' generator for so long, instead of a fixed number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// What the generator starts from.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Lists the cases and judges nothing.
    #[arg(long)]
    list: bool,
    /// Only this case, or the cases of this rule; no sequences. May be given several times.
    #[arg(long, value_name = "CASE", requires = "library")]
    only: Vec<String>,
    /// A file of known breaches, a line each, such as `[C5] words of its message`. The report lists
    /// them, and they are no reason to fail.
    #[arg(long, value_name = "FILE", requires = "library")]
    known: Option<PathBuf>,
    /// Takes E_POINTER for STATUS_INVALID_PARAMETER and E_NOINTERFACE for STATUS_NOINTERFACE, for
    /// objects that speak HRESULT. Then a library conforms with HRESULT mapping at most.
    #[arg(long, requires = "library")]
    hresult: bool,
    /// Loads this before the library, for the runtime of a sanitizer that it is built with.
    #[arg(long, value_name = "LIBRARY", requires = "library")]
    preload: Option<PathBuf>,
    /// How long the library may use no processor time, in seconds, before it hangs; 5 by default.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    limit: Option<u64>,
    /// How much processor time a case or a sequence may take, in seconds, before it hangs; 10 by default.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    processor_limit: Option<u64>,
}

/// Builds the kit and runs it; its exit code is ours.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(library) = options.library.as_deref().filter(|library| !library.exists()) {
        return Err(Problem::Usage(format!("there is no library {}", library.display())).into());
    }
    let mut build = command::cargo(project);
    let packages = ["ntcom-kit", "ntcom-kit-ours", "ntcom-kit-foreign"];
    build.arg("build").args(packages.iter().flat_map(|package| ["--package", package]));
    // Nothing has been judged: exit code 1 would say that something was found.
    ui::step("building the conformance kit", &mut build)
        .map_err(|error| Problem::Usage(format!("{error:#}")))?;
    let mut kit = command::cargo(project);
    kit.args(["run", "--quiet", "--package", "ntcom-kit", "--", "--corpus"]).arg(project.path(CORPUS));
    // The kit runs at the root: a path is the caller's.
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
    // Its exit codes are ours: 1 are findings, which nothing else is to be taken for.
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => Ok(ExitCode::from(code)),
        None => Err(Problem::Usage(format!("the kit did not end by itself: {status}")).into()),
    }
}
