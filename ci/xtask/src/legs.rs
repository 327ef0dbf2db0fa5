//! The legs of `cargo xtask test`. A new leg needs a line in [`LEGS`] and a function.
mod cargo_fuzz;
mod fuzz_cli;

use std::process::Command;

use crate::{
    command::{self, capture, cargo, shell, xtask},
    problem::UNAVAILABLE,
    test::{Context, Leg, Outcome},
};

const fn required(
    name: &'static str,
    what: &'static str,
    run: fn(&Context<'_>) -> anyhow::Result<Outcome>,
) -> Leg {
    Leg { name, what, required: true, run }
}

const fn optional(
    name: &'static str,
    what: &'static str,
    run: fn(&Context<'_>) -> anyhow::Result<Outcome>,
) -> Leg {
    Leg { name, what, required: false, run }
}

/// All legs, with the quick ones first.
#[rustfmt::skip]
pub(crate) const LEGS: &[Leg] = &[
    optional("fmt", "rustfmt agrees with every file", fmt),
    optional("clippy", "the lints, as errors, everywhere", clippy),
    optional("words", "comments and Markdown keep the rules of CONTRIBUTING.md, and are spelled right", words),
    required("layers", "no import runs upward, and no circle has more than four files", layers),
    required("alone", "each package builds by itself, with each of its features", alone),
    required("features", "a driver's workspace builds by the right commands and is refused by the wrong ones", features),
    required("test", "unit, integration and documentation tests", tests),
    required("instructions", "a call through a declared table is as short as one through a hand-written table", instructions),
    required("docs", "the documentation builds without warnings", docs),
    optional("msrv", "the workspace compiles with the oldest promised Rust", msrv),
    optional("api", "the public API matches its lists", api),
    required("alloc-scan", "release builds never allocate infallibly", alloc_scan),
    required("template", "a new driver passes its tests, which report each bug that is planted in it", template),
    required("abi", "compilers agree on the binary interface and with the promises", abi),
    optional("windows", "Windows programs in C and C++ find the operations of a Rust DLL as promised", windows),
    required("wdk-check", "the driver crates agree with the real wdk-sys", wdk_check),
    required("conformance", "our implementation and the one in C keep the contract, and each planted breach is found", conformance),
    required("loom", "the task core is right under every interleaving", loom),
    required("tsan", "ThreadSanitizer finds no data race where processors run at once", tsan),
    required("zoo", "each planted bug is found by the corpus, by loom, or by a package's tests", zoo),
    required("fuzz-build+smoke", "every target builds and finds nothing in five seconds", fuzz_smoke),
    required("fuzz-cli", "commands refuse bad input, say why, and survive pipes, full disks and odd names", fuzz_cli::run),
    required("cargo-fuzz", "plain cargo-fuzz runs every target, with AddressSanitizer and without", cargo_fuzz::run),
];

/// The seconds of each target's smoke run.
const SMOKE_SECONDS: usize = 5;
/// A target without an operating system, which proves `no_std` where it is installed.
const BARE: &str = "x86_64-unknown-none";

impl Context<'_> {
    /// Runs a command and shows its last line.
    fn capture(&self, command: &mut Command) -> anyhow::Result<command::Captured> {
        let watch = |line: &str| self.live.hint(&format!("{} ... {}", self.label, line.trim()));
        let captured = capture(command, watch)?;
        self.processor_time.set(self.processor_time.get() + captured.processor_time);
        Ok(captured)
    }

    /// Runs commands up to the first that fails. `note` turns the output of the last one into a
    /// note.
    fn all(&self, commands: Vec<Command>, note: impl Fn(&str) -> String) -> anyhow::Result<Outcome> {
        let mut last = String::new();
        for mut command in commands {
            let captured = self.capture(&mut command)?;
            last = note(&captured.output);
            if !captured.status.success() {
                return Ok(Outcome::Failed {
                    note: if last.is_empty() { captured.status.to_string() } else { last },
                    output: captured.output,
                    repeat: shell(&command),
                });
            }
        }
        Ok(Outcome::Passed(last))
    }

    fn cargo<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = cargo(self.project);
        command.args(arguments);
        command
    }

    /// Whether a cargo subcommand is installed.
    fn has(&self, subcommand: &str) -> bool {
        self.cargo([subcommand, "--version"]).output().is_ok_and(|output| output.status.success())
    }
}

fn no_note(_: &str) -> String {
    String::new()
}

fn fmt(context: &Context<'_>) -> anyhow::Result<Outcome> {
    if !context.has("fmt") {
        return Ok(Outcome::Skipped("rustfmt is not installed: rustup component add rustfmt".to_owned()));
    }
    // The template is no member of the workspace.
    let template = context.cargo(["fmt", "--check", "--manifest-path", "ci/template/driver/Cargo.toml"]);
    context.all(vec![context.cargo(["fmt", "--all", "--check"]), template], no_note)
}

fn clippy(context: &Context<'_>) -> anyhow::Result<Outcome> {
    if !context.has("clippy") {
        return Ok(Outcome::Skipped("clippy is not installed: rustup component add clippy".to_owned()));
    }
    let clippy = context.cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    context.all(vec![clippy], no_note)
}

fn alone(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let check = |arguments: &[&str]| {
        let mut command = context.cargo(["check", "--target-dir", "target/alone"]);
        command.env("RUSTFLAGS", "-Dwarnings").args(arguments);
        command
    };
    let mut commands = vec![
        check(&["-p", "ntcom"]),
        check(&["-p", "ntcom-exec"]),
        check(&["-p", "ntcom", "--features", "async-com"]),
        // On other systems than Windows the feature leaves ntcom without a kernel.
        check(&["-p", "ntcom", "--features", "async-com-kernel"]),
        check(&["-p", "ntcom", "--features", "async-com,sim"]),
        check(&["-p", "ntsim"]),
    ];
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    let bare = installed
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).lines().any(|line| line == BARE));
    if bare {
        commands.push(check(&["-p", "ntcom-exec", "--target", BARE]));
        commands.push(check(&["-p", "ntcom", "--features", "async-com-kernel", "--target", BARE]));
    }
    let note =
        if bare { format!("also for {BARE}") } else { format!("without {BARE}, which is not installed") };
    context.all(commands, |_| note.clone())
}

/// The totals of the lines that begin with `test result:`.
fn test_totals(output: &str) -> [u64; 3] {
    let mut totals = [0_u64; 3];
    for line in output.lines().filter(|line| line.starts_with("test result:")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            let [number, what] = pair else { continue };
            let kind = ["passed;", "failed;", "ignored;"].iter().position(|kind| kind == what);
            let total = kind.and_then(|kind| totals.get_mut(kind));
            if let (Some(total), Ok(number)) = (total, number.parse::<u64>()) {
                *total += number;
            }
        }
    }
    totals
}

fn tests(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let note = |output: &str| {
        let [passed, failed, ignored] = test_totals(output);
        format!("{passed} tests passed, {failed} failed, {ignored} ignored")
    };
    let workspace = context.cargo(["test", "--workspace", "--no-fail-fast"]);
    // A user of a registry gets the crate without features.
    let alone =
        context.cargo(["test", "--package", "ntcom", "--no-fail-fast", "--target-dir", "target/alone"]);
    context.all(vec![alone, workspace], note)
}

/// Makes a driver from the template. Its tests use the builds of the leg `test`.
fn template(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut template = xtask(context.project)?;
    template.arg("template");
    context.all(vec![template], |output| last_line(output).to_owned())
}

/// Runs the test of machine code, which only a release build can pass.
fn instructions(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let test = context.cargo(["test", "--release", "--package", "ntcom", "--test", "instructions"]);
    context.all(vec![test], |output| {
        let [passed, ..] = test_totals(output);
        format!("{passed} tests passed")
    })
}

fn docs(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut doc = context.cargo(["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-Dwarnings");
    context.all(vec![doc], no_note)
}

fn alloc_scan(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut scan = xtask(context.project)?;
    scan.arg("alloc-scan");
    context.all(vec![scan], |output| last_line(output).to_owned())
}

fn loom(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut loom = xtask(context.project)?;
    loom.arg("loom");
    context.all(vec![loom], |output| last_line(output).to_owned())
}

fn tsan(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut tsan = xtask(context.project)?;
    tsan.arg("tsan");
    context.all(vec![tsan], |output| last_line(output).to_owned())
}

fn zoo(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut zoo = xtask(context.project)?;
    zoo.arg("zoo");
    context.all(vec![zoo], |output| last_line(output).to_owned())
}

fn conformance(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut conformance = xtask(context.project)?;
    conformance.arg("conformance");
    context.all(vec![conformance], |output| last_line(output).to_owned())
}

fn features(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut features = xtask(context.project)?;
    features.arg("features");
    context.all(vec![features], |output| last_line(output).to_owned())
}

/// Checks the workspace with the oldest promised compiler, where that is installed.
fn msrv(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    let version = |toolchain: Option<&str>| {
        let mut rustc = Command::new("rustc");
        rustc.args(toolchain).arg("--version");
        let output = rustc.output().ok().filter(|output| output.status.success())?;
        let version = String::from_utf8_lossy(&output.stdout).split(' ').nth(1)?.to_owned();
        version.starts_with(&format!("{wanted}.")).then_some(version)
    };
    if let Some(version) = version(None) {
        return Ok(Outcome::Passed(format!("every other leg uses {version}")));
    }
    let exact = format!("+{wanted}.0");
    let Some(toolchain) =
        [format!("+{wanted}"), exact].into_iter().find(|name| version(Some(name)).is_some())
    else {
        return Ok(Outcome::Skipped(format!(
            "Rust {wanted} is not installed: rustup toolchain install {wanted}"
        )));
    };
    let mut check = Command::new("cargo");
    check.current_dir(context.project.root()).arg(&toolchain);
    check.args(["check", "--workspace", "--all-targets", "--target-dir", "target/msrv"]);
    context.all(vec![check], |_| format!("checked with {toolchain}"))
}

fn layers(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut layers = xtask(context.project)?;
    layers.arg("layers");
    context.all(vec![layers], |output| last_line(output).to_owned())
}

fn words(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut words = xtask(context.project)?;
    words.arg("words");
    unless_unavailable(context, words)
}

fn api(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut api = xtask(context.project)?;
    api.arg("api");
    unless_unavailable(context, api)
}

fn abi(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut abi = xtask(context.project)?;
    abi.arg("abi");
    unless_unavailable(context, abi)
}

fn windows(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut windows = xtask(context.project)?;
    windows.arg("windows");
    unless_unavailable(context, windows)
}

fn wdk_check(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let mut check = xtask(context.project)?;
    check.arg("wdk-check");
    unless_unavailable(context, check)
}

/// Runs a command that reports a missing tool by exit code 3.
fn unless_unavailable(context: &Context<'_>, mut command: Command) -> anyhow::Result<Outcome> {
    let captured = context.capture(&mut command)?;
    Ok(if captured.status.success() {
        Outcome::Passed(last_line(&captured.output).to_owned())
    } else if captured.status.code() == Some(UNAVAILABLE.into()) {
        Outcome::Skipped(error_line(&captured.output).to_owned())
    } else {
        let note = error_line(&captured.output).to_owned();
        Outcome::Failed { note, output: captured.output, repeat: shell(&command) }
    })
}

fn last_line(output: &str) -> &str {
    output.trim_end().lines().next_back().unwrap_or_default()
}

fn fuzz_smoke(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let targets = context.project.fuzz_targets()?;
    let seconds = SMOKE_SECONDS * targets.len().max(1);
    let mut fuzz = xtask(context.project)?;
    fuzz.args(["fuzz", "--seconds", &seconds.to_string(), "--work", "target/fuzz-smoke"]);
    let captured = context.capture(&mut fuzz)?;
    if captured.status.code() == Some(UNAVAILABLE.into()) {
        return Ok(Outcome::Skipped(error_line(&captured.output).to_owned()));
    }
    if captured.status.success() {
        return Ok(Outcome::Passed(format!("{} targets, {SMOKE_SECONDS} s each", targets.len())));
    }
    let note = match captured.output.lines().filter(|line| line.starts_with("FOUND by ")).count() {
        0 => error_line(&captured.output).to_owned(),
        findings => format!("{findings} findings"),
    };
    Ok(Outcome::Failed { note, output: captured.output, repeat: shell(&fuzz) })
}

/// The error of one of our commands, in a line.
fn error_line(output: &str) -> &str {
    output.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_else(|| last_line(output))
}

#[cfg(test)]
mod tests {
    use super::{error_line, test_totals};

    #[test]
    fn totals_are_those_of_all_test_programs() {
        let output = "running 2 tests\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.54s\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        assert_eq!(test_totals(output), [15, 2, 1]);
        assert_eq!(test_totals(""), [0, 0, 0]);
    }

    #[test]
    fn the_reason_is_the_error_line() {
        assert_eq!(error_line("building ...\nerror: no compiler\n"), "no compiler");
        assert_eq!(error_line("a\nb\n"), "b");
    }
}
