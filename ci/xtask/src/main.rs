//! Every command of the project: `cargo xtask <command>`.
//!
//! | command | what it does |
//! | --- | --- |
//! | `test` | runs everything that CI runs, leg by leg |
//! | `fuzz` | fuzzes the targets, for a minute by default |
//! | `replay` | runs one input, prints what it does, and draws it (`--timeline out.html`) |
//! | `re-record` | gives committed inputs the schedules that do what they did at a revision |
//! | `loom` | runs the state word and the task core under every interleaving |
//! | `tsan` | runs the executor on processors that run at once, under ThreadSanitizer |
//! | `new-driver` | makes a driver's package outside of this checkout |
//! | `template` | tests a driver that `new-driver` has made, and plants bugs in it |
//! | `zoo` | plants known bugs, one at a time, and checks that the suite finds them |
//! | `abi` | compares the binary interface of compilers with each other and with the promises |
//! | `conformance` | judges implementations of async COM by the contract |
//! | `api` | compares the public Rust API with its lists |
//! | `layers` | checks that no file imports from a layer above its own |
//! | `features` | tries the features in a driver's workspace |
//! | `alloc-scan` | checks that release builds of the driver crates never allocate infallibly |
//! | `windows` | runs clients in C and C++ as Windows programs against a Rust DLL, under Wine |
//! | `wdk-check` | type-checks the driver crates against the real wdk-sys, and runs them on ntsim |
//! | `words` | checks the language of comments and Markdown |
//!
//! Exit codes: 0 good, 1 a failure or a finding, 2 bad usage or bad input, 3 a tool is missing, 130
//! interrupted. 4 means good, except that the standard output could not be written (a closed pipe,
//! a full disk).
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
mod new_driver;
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
mod words;
mod zoo;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::project::Project;

/// The end of `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0    good
  1    a failure or a finding
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
    Test(test::Options),
    /// Builds the fuzz targets, runs each, and prints the findings and the speeds.
    Fuzz(fuzz::Options),
    /// Runs one input of a target, on stable and without libFuzzer, and prints its operations and
    /// its trace.
    Replay {
        /// The input, which is a file of a corpus, the file of a finding, a pipe, or `-` for the
        /// standard input.
        file: PathBuf,
        /// The target; by default the folder of the file that is named after one.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        #[command(flatten)]
        outputs: replay::Outputs,
    },
    /// Gives every committed input the schedule that does now what it did at a revision. Needed
    /// after preemption points have moved.
    ReRecord(re_record::Options),
    /// Runs the loom tests, which try every interleaving and weak memory.
    Loom {
        /// Only tests with this text in their name.
        filter: Option<String>,
    },
    /// Runs the tests that have an OS thread for each processor, under ThreadSanitizer.
    Tsan,
    /// Makes a driver's package outside of this checkout, with an interface, a timer, read
    /// requests, Unload, and tests on the simulated kernel.
    NewDriver(new_driver::Options),
    /// Makes a driver as new-driver does, and tests and lints it. Then plants bugs in it, and
    /// checks that its tests report each with a file and line of the driver.
    Template,
    /// Plants known bugs in a copy of the project, one at a time, and checks that the suite finds
    /// them.
    Zoo(zoo::Options),
    /// Has compilers measure the binary interface, and compares them with each other and with the
    /// golden file, which is append-only.
    Abi(abi::Options),
    /// Judges an implementation of async COM by the contract, rule by rule: a given library, or
    /// those that come with the kit.
    Conformance(conformance::Options),
    /// Compares the public Rust API with its lists.
    Api(api::Options),
    /// Builds a driver's workspace by right and wrong commands. No image may get the simulated
    /// kernel.
    Features,
    /// Reads the imports of every file, and fails on circles and on imports that run upward.
    Layers,
    /// Reads the object code of the driver crates' release build, which must not allocate
    /// infallibly.
    AllocScan,
    /// Builds client programs in C and C++ as Windows executables against a Rust DLL, reads their
    /// imports and exports, and runs them where there is Wine.
    Windows(windows::Options),
    /// Type-checks the driver crates against the real wdk-sys, with declarations from mingw-w64's
    /// DDK headers, and runs that build of the executor on the simulated kernel.
    WdkCheck,
    /// Counts habits that make comments and Markdown hard to read, and checks spelling and
    /// Markdown.
    Words(words::Options),
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
        Command::Test(options) => test::run(&project, &options),
        Command::Fuzz(options) => fuzz::run(&project, &options),
        Command::Replay { file, target, outputs } => {
            replay::run(&project, &file, target.as_deref(), &outputs)
        }
        Command::ReRecord(options) => re_record::run(&project, &options),
        Command::Loom { filter } => loom::run(&project, filter.as_deref()),
        Command::Tsan => tsan::run(&project),
        Command::NewDriver(options) => new_driver::run(&project, options),
        Command::Template => new_driver::trial::run(&project),
        Command::Zoo(options) => zoo::run(&project, &options),
        Command::Abi(options) => abi::run(&project, &options),
        Command::Conformance(options) => conformance::run(&project, &options),
        Command::Api(options) => api::run(&project, &options),
        Command::Features => features::run(&project),
        Command::Layers => layers::run(&project),
        Command::AllocScan => alloc_scan::run(&project),
        Command::Windows(options) => windows::run(&project, &options),
        Command::WdkCheck => wdk_check::run(&project),
        Command::Words(options) => words::run(&project, &options),
    }
}

fn main() -> ExitCode {
    let code = run().unwrap_or_else(|error| {
        note!("error: {error:#}");
        problem::exit_code(&error)
    });
    output::exit_code(code)
}
