//! Every command of the project: `cargo xtask <command>`.
//!
//! | command | what |
//! |---|---|
//! | `test` | everything CI runs, leg by leg |
//! | `fuzz` | fuzzes the targets, for a minute by default |
//! | `replay` | runs one input of a target, prints what it does, and draws it (`--timeline out.html`) |
//! | `re-record` | gives the committed inputs the schedules that do what they did at a revision |
//! | `loom` | the state word and the task core under every interleaving |
//! | `tsan` | the executor on processors that run at once, under ThreadSanitizer |
//! | `zoo` | plants known bugs, one at a time, and looks whether the suite finds them |
//! | `abi` | the binary interface: what compilers make of it, and what was promised |
//! | `conformance` | judges implementations of async COM by the contract: ours, those in C, or a library of yours |
//! | `api` | the public Rust API, against its lists; an example for every item |
//! | `layers` | which file imports from which, and whether an import runs upward |
//! | `features` | the features as a driver's workspace meets them |
//! | `alloc-scan` | proves that release builds of the driver crates never allocate infallibly |
//! | `windows` | clients in C and in C++ as Windows programs against a Rust DLL, run where there is Wine |
//! | `wdk-check` | type-checks the driver crates against the real wdk-sys, with mingw-w64's declarations, and runs them on ntsim |
//!
//! Exit codes: 0 good, 1 something failed or was found, 2 bad usage or bad input, 3 a tool is
//! missing, 4 good, but the standard output could not be written (a closed pipe, a full disk), 130
//! interrupted.
#![deny(clippy::print_stdout, clippy::print_stderr)] // They panic where the stream cannot be written: `say!`, `note!`.
#![expect(clippy::std_instead_of_core, reason = "a program of the host: there is always std")]

#[macro_use]
mod output;

mod abi;
mod alloc_scan;
mod api;
mod build_std;
mod command;
mod conformance;
mod debian;
mod features;
mod fuzz;
mod interrupt;
mod layers;
mod legs;
mod lock;
mod loom;
mod problem;
mod project;
mod re_record;
mod replay;
mod test;
mod tools;
mod tsan;
mod ui;
mod wdk_check;
mod windows;
mod zoo;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::project::Project;

/// What `--help` says of them.
const EXIT_CODES: &str = "\
Exit codes:
  0    good
  1    something failed or was found
  2    bad usage or bad input
  3    a tool is missing
  4    good, but the standard output could not be written (a closed pipe, a full disk)
  130  interrupted";

/// Every command of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs everything that CI runs and ends with "N passed, N failed, N skipped".
    Test {
        /// Only this leg; may be given several times.
        #[arg(long, value_name = "LEG")]
        only: Vec<String>,
        /// Lists the legs and runs nothing.
        #[arg(long)]
        list: bool,
    },
    /// Fuzzes: builds the targets, runs each, and prints what was found and how fast it was.
    Fuzz(fuzz::Options),
    /// Runs one input of a target, on stable and without libFuzzer, and prints its operations and its trace.
    Replay {
        /// The input: a file of a corpus, or what a finding left; a pipe, or `-`, the standard
        /// input.
        file: PathBuf,
        /// Its target; by default the folder of the file that is named after one.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        #[command(flatten)]
        outputs: replay::Outputs,
    },
    /// Gives every committed input the schedule that does now what it did at a revision, after
    /// preemption points have moved.
    ReRecord(re_record::Options),
    /// Runs the loom tests: every interleaving, weak memory included.
    Loom {
        /// Only tests whose name contains this.
        filter: Option<String>,
    },
    /// Runs the tests that have an OS thread for each processor, under ThreadSanitizer.
    Tsan,
    /// Plants known bugs in a copy of the project, one at a time, and looks whether the suite finds them.
    Zoo(zoo::Options),
    /// Has compilers measure the binary interface, compares them, and holds all to the golden file, which is append-only.
    Abi(abi::Options),
    /// Judges an implementation of async COM by the contract, rule by rule: a library of yours, or those that come with the kit.
    Conformance(conformance::Options),
    /// Compares the public Rust API with its lists, and looks for items without an example.
    Api(api::Options),
    /// Builds a driver's workspace in right and in wrong ways: an image never gets the simulated kernel.
    Features,
    /// Reads the imports of every file: fails on circles, and on one that runs upward.
    Layers,
    /// Reads the object code of the driver crates' release build: nothing in it may allocate infallibly.
    AllocScan,
    /// Builds client programs in C and C++ as Windows executables against a Rust DLL, reads what they import and export, and runs them
    /// where there is Wine.
    Windows(windows::Options),
    /// Type-checks the driver crates against the real wdk-sys, with declarations from mingw-w64's DDK headers, and runs the
    /// executor so built on the simulated kernel.
    WdkCheck,
}

fn run() -> anyhow::Result<ExitCode> {
    if let Some(rustc) = fuzz::wrapper::run_if_asked() {
        return rustc;
    }
    let cli = Cli::parse();
    tools::find_cargo()?;
    interrupt::install()?;
    let project = Project::find();
    match cli.command {
        Command::Test { only, list } => test::run(&project, &only, list),
        Command::Fuzz(options) => fuzz::run(&project, &options),
        Command::Replay { file, target, outputs } => {
            replay::run(&project, &file, target.as_deref(), &outputs)
        }
        Command::ReRecord(options) => re_record::run(&project, &options),
        Command::Loom { filter } => loom::run(&project, filter.as_deref()),
        Command::Tsan => tsan::run(&project),
        Command::Zoo(options) => zoo::run(&project, &options),
        Command::Abi(options) => abi::run(&project, &options),
        Command::Conformance(options) => conformance::run(&project, &options),
        Command::Api(options) => api::run(&project, &options),
        Command::Features => features::run(&project),
        Command::Layers => layers::run(&project),
        Command::AllocScan => alloc_scan::run(&project),
        Command::Windows(options) => windows::run(&project, &options),
        Command::WdkCheck => wdk_check::run(&project),
    }
}

fn main() -> ExitCode {
    let code = run().unwrap_or_else(|error| {
        note!("error: {error:#}");
        problem::exit_code(&error)
    });
    output::exit_code(code)
}
