//! The leg `cargo-fuzz` runs the targets as a user of cargo-fuzz does, without this project's
//! commands.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{
    command::{self, shell},
    problem::Problem,
    project::Project,
    test::{Context, Outcome},
    tools::{self, Unstable},
};

/// The folder of the build and of the inputs.
const FOLDER: &str = "target/cargo-fuzz";
/// The number of executions, which is a little more than that of the committed inputs.
const RUNS: &str = "-runs=2000";

/// cargo-fuzz with a compiler.
struct CargoFuzz<'a> {
    project: &'a Project,
    program: PathBuf,
    compiler: Unstable,
}

impl CargoFuzz<'_> {
    /// A command line of cargo-fuzz at the root of the checkout. Optimised code would cost more
    /// time than it saves here.
    fn line(&self, words: &[&str]) -> Command {
        let mut command = self.compiler.command(self.project, &self.program);
        command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").args(words);
        command
    }

    /// `cargo +nightly fuzz run` with further words.
    fn run(&self, sanitizer: &str, words: &[&str]) -> Command {
        let mut command = self.line(&["run", "--sanitizer", sanitizer, "--target-dir"]);
        command.arg(self.project.path(FOLDER)).args(words);
        command
    }
}

/// A command line and its expected result.
struct Expected {
    line: Command,
    succeeds: bool,
    /// The text that the output must have.
    says: String,
}

pub(super) fn run(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let project = context.project;
    let program = match tools::cxx().and_then(|()| tools::cargo_fuzz(project)) {
        Ok(program) => program,
        Err(error) if error.is::<Problem>() => return Ok(Outcome::Skipped(format!("{error:#}"))),
        Err(error) => return Err(error),
    };
    let targets = project.fuzz_targets()?;
    let first = targets.first().context("there is no fuzz target")?;
    let fuzz = CargoFuzz { project, program, compiler: Unstable::find() };
    let before = git_status(project)?;

    let listed = fuzz.line(&["list"]).output().context("cannot run cargo-fuzz")?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut sorted = targets.clone();
    sorted.sort();
    if listed.lines().ne(sorted.iter()) {
        let note = format!("cargo +nightly fuzz list must show {}", sorted.join(", "));
        return Ok(Outcome::Failed { note, output: listed, repeat: "cargo +nightly fuzz list".to_owned() });
    }

    let lines = runs(&fuzz, &targets)?.into_iter().chain(first_lines(&fuzz, first));
    for Expected { mut line, succeeds, says } in lines {
        let captured = context.capture(&mut line)?;
        if captured.status.success() != succeeds || !captured.output.contains(&says) {
            let wanted = if succeeds { "success" } else { "a refusal" };
            let note = format!("{}, expected {wanted} and the text {says:?}", captured.status);
            return Ok(Outcome::Failed { note, output: captured.output, repeat: shell(&line) });
        }
    }
    let after = git_status(project)?;
    if before != after {
        let note = "cargo +nightly fuzz leaves files that git does not ignore".to_owned();
        return Ok(Outcome::Failed { note, output: after, repeat: "git status".to_owned() });
    }
    Ok(Outcome::Passed(format!("{} targets, with AddressSanitizer and without", targets.len())))
}

/// Runs of every target, with and without AddressSanitizer, from folders that are empty at first.
fn runs(fuzz: &CargoFuzz<'_>, targets: &[String]) -> anyhow::Result<Vec<Expected>> {
    let corpora = fuzz.project.path(FOLDER).join("corpus");
    if corpora.exists() {
        fs::remove_dir_all(&corpora).context("cannot remove the inputs of an earlier leg")?;
    }
    let mut lines = Vec::new();
    for (sanitizer, says) in [("address", "committed inputs now"), ("none", "Done ")] {
        for target in targets {
            let corpus = corpora.join(target);
            fs::create_dir_all(&corpus)?;
            let mut line = fuzz.run(sanitizer, &[target]);
            line.arg(corpus).args(["--", RUNS]);
            lines.push(Expected { line, succeeds: true, says: says.to_owned() });
        }
    }
    Ok(lines)
}

/// The lines of README.md for one target, and the same with its folders swapped.
fn first_lines(fuzz: &CargoFuzz<'_>, target: &str) -> [Expected; 3] {
    let (own, committed) = (format!("fuzz/corpus/{target}"), format!("corpus/{target}"));
    let mut below = fuzz.run("none", &[target, "--", RUNS]);
    below.current_dir(fuzz.project.path("fuzz"));
    let both = fuzz.run("none", &[target, &own, &committed, "--", RUNS]);
    let swapped = fuzz.run("none", &[target, &committed, "--", RUNS]);
    let instead = format!("cargo +nightly fuzz run {target} {own} {committed} -- {RUNS}");
    [
        Expected { line: below, succeeds: true, says: "Done ".to_owned() },
        Expected { line: both, succeeds: true, says: "Done ".to_owned() },
        Expected { line: swapped, succeeds: false, says: instead },
    ]
}

/// The files where cargo-fuzz may write that git neither ignores nor has committed.
fn git_status(project: &Project) -> anyhow::Result<String> {
    let mut git = command::at_root(project, Path::new("git"));
    let output =
        git.args(["status", "--porcelain", "--", "fuzz", "corpus"]).output().context("cannot run git")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
