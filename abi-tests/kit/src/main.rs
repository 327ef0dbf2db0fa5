//! `ntcom-kit LIBRARY` judges a shared library by the contract. It is mostly run by `cargo xtask
//! conformance`.

use core::time::Duration;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use ntcom_kit::{
    child::{self, Order},
    judge::{CHILD, FAILING_SEQUENCES, IDLE_SECONDS, Judge, Known, Options, SCHEDULES, Unfit},
    output::{self, note, say},
    report::{self, Report, junit},
    shipped,
};

/// Judges an implementation of async COM by the contract, rule by rule.
///
/// Exit code 0 means that nothing was found, and 1 that something was found. Exit code 2 gives no
/// judgement, because of bad usage or a library that cannot be judged. Exit code 4 means that
/// nothing was found, but the standard output could not be written.
#[derive(Parser)]
#[command(name = "ntcom-kit")]
struct Cli {
    /// A shared library that exports ntcom_kit (ntcom_kit.h). Without it, the implementations that
    /// come with the kit are judged.
    library: Option<PathBuf>,
    /// Writes the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the report as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Lists the cases and judges nothing.
    #[arg(long)]
    list: bool,
    /// Runs only this case, or the cases of this rule, and no sequences. May be given several
    /// times.
    #[arg(long, value_name = "CASE", requires = "library")]
    only: Vec<String>,
    /// Runs sequences for this number of seconds, instead of a fixed number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// The number of sequences besides those of the corpus.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    sequences: u64,
    /// The seed of the generator of sequences.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A folder with inputs of the fuzz target vtable.
    #[arg(long, value_name = "FOLDER")]
    corpus: Option<PathBuf>,
    /// A file of known breaches, a line each, such as "[C5] words of its message". They are
    /// reported, but the library does not fail by them.
    #[arg(long, value_name = "FILE", requires = "library")]
    known: Option<PathBuf>,
    /// Maps E_POINTER to STATUS_INVALID_PARAMETER and E_NOINTERFACE to STATUS_NOINTERFACE, for
    /// objects that speak HRESULT. A library then conforms with HRESULT mapping at most.
    #[arg(long, requires = "library")]
    hresult: bool,
    /// Loads this library first. It is the runtime of the sanitizer that the judged library is
    /// built with.
    #[arg(long, value_name = "LIBRARY", requires = "library")]
    preload: Option<PathBuf>,
    /// The time, in seconds, for which the library may use no processor time before it counts as
    /// hanging.
    #[arg(long, value_name = "SECONDS", default_value_t = IDLE_SECONDS, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    limit: u64,
    /// The processor time, in seconds, that a case or a sequence may use before it counts as
    /// hanging.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    processor_limit: u64,
    #[arg(long, hide = true, value_name = "ORDER")]
    child: Option<String>,
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    debug_assert_eq!(CHILD, "--child");
    if let Some(order) = &cli.child {
        let order: Order = serde_json::from_str(order).context("no order")?;
        child::run(&order)?;
        return Ok(ExitCode::SUCCESS);
    }
    if cli.list {
        say(report::list());
        return Ok(ExitCode::SUCCESS);
    }
    let program = std::env::current_exe().context("cannot find this program")?;
    let options = Options {
        only: cli.only,
        sequences: cli.sequences,
        seconds: cli.seconds,
        seed: cli.seed,
        corpus: cli.corpus,
        known: cli.known.as_deref().map(known).transpose()?.unwrap_or_default(),
        hresults: cli.hresult,
        preload: cli.preload.as_deref().map(preload).transpose()?,
        failing_sequences: FAILING_SEQUENCES,
        schedules: SCHEDULES,
        races: true,
        shorten: true,
        idle: Duration::from_secs(cli.limit),
        processor_seconds: cli.processor_limit,
    };
    let files = [&cli.json, &cli.junit];
    let written = files.into_iter().flatten();
    // Try the files before the judgement, which takes long.
    for path in written.clone() {
        fs::File::create(path).map_err(|why| Unfit(format!("cannot write {}: {why}", path.display())))?;
    }
    let judged = match &cli.library {
        None => shipped::judge_all(&program, &options, cli.json.as_deref(), cli.junit.as_deref()),
        Some(library) => judge(&program, library, &options, files),
    };
    if judged.is_err() {
        // There is no judgement, so remove the empty files.
        written.for_each(|path| drop(fs::remove_file(path)));
    }
    judged
}

/// The known breaches of a file.
fn known(path: &Path) -> anyhow::Result<Vec<Known>> {
    let text =
        fs::read_to_string(path).map_err(|why| Unfit(format!("cannot read {}: {why}", path.display())))?;
    Ok(Known::list(&text).map_err(|why| Unfit(format!("{}, {why}", path.display())))?)
}

/// Checks that the library exists. The loader leaves out a library that it cannot preload, and its
/// message about that is easily missed.
fn preload(path: &Path) -> anyhow::Result<PathBuf> {
    Ok(path.canonicalize().map_err(|why| Unfit(format!("there is no library {}: {why}", path.display())))?)
}

fn judge(
    program: &Path,
    library: &Path,
    options: &Options,
    [json, junit_file]: [&Option<PathBuf>; 2],
) -> anyhow::Result<ExitCode> {
    let library = library
        .canonicalize()
        .map_err(|error| Unfit(format!("there is no library {}: {error}", library.display())))?;
    if library.to_str().is_none() {
        return Err(Unfit(format!("the path {} is no UTF-8", library.display())).into());
    }
    let judgement = Judge { program, library: &library, options }.judge()?;
    let report = Report::new(&judgement);
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = junit_file {
        fs::write(path, junit(core::slice::from_ref(&judgement))?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    say(report.text());
    Ok(if report.has_findings() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn main() -> ExitCode {
    let code = run(Cli::parse()).unwrap_or_else(|error| {
        note(format_args!("error: {error:#}"));
        // The request or the kit itself is wrong, which is not a finding.
        ExitCode::from(2)
    });
    output::exit_code(code)
}
