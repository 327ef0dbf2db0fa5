//! `cargo xtask abi` has compilers judge the binary interface, and holds them to the golden file.
//!
//! `abi-tests/abi.golden` has one promise in each line. A program generated from it measures the
//! header with each compiler. The program is never run. Its measurements are data of its object
//! file, so a compiler for another machine can judge as well. `ntcom-abi-definitions` measures
//! Rust's definitions.
//!
//! The result is one table, slot by judge. The first difference is a failure, reported with the
//! slot, the judges and both numbers. Further checks:
//!
//! - every compiler accepts the header without a warning, also beside the headers of Windows;
//! - the golden file has every line that any commit had;
//! - the tests of `abi-tests` pass with clang as the compiler of the C and C++ sides.
mod golden;
mod header;
mod history;
mod judges;
mod measure;
mod rustc;
mod source;
mod verdict;

use std::{fs, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;

use self::{
    golden::Promise,
    history::GOLDEN,
    judges::{Judge, Language},
    verdict::Column,
};
use crate::{build_std::Toolchain, command, problem::Problem, project::Project, ui};

/// The version that new promises are introduced in.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The file that must name new interfaces.
const CHANGELOG: &str = "CHANGELOG.md";

/// Options of `cargo xtask abi`.
#[derive(Args)]
pub(crate) struct Options {
    /// Compares the golden file with that of a revision, or those of two (`OLD..NEW`), without
    /// judging.
    #[arg(long, value_name = "REV", conflicts_with = "bless")]
    against: Option<String>,
    /// Appends the promises of the Rust definitions that the golden file lacks. It changes and
    /// removes nothing.
    #[arg(long)]
    bless: bool,
    /// Leaves out rustc for Windows, which needs a core library built from sources.
    #[arg(long)]
    no_build_std: bool,
}

/// Judges the interface, compares revisions, or appends new promises.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(against) = &options.against {
        return compare(project, against);
    }
    let defined = defined(project)?;
    if options.bless {
        return bless(project, &defined);
    }
    let (_, promises) = history::present(project)?;
    let (judges, mut skipped) = judges::find(project)?;
    let (elsewhere, left_out) = rustc_elsewhere(project, options, &promises)?;
    let judges_in_all = 1 + judges.len() + elsewhere.len();
    skipped.extend(left_out);
    judge(project, &promises, &defined, elsewhere, &judges)?;
    for line in &skipped {
        say!("{line}");
    }
    let unpromised = header::unpromised(project, &promises)?;
    if let Some(name) = unpromised.first() {
        bail!("DIFFERENCE: {name} is in the header, but {GOLDEN} has no line about it");
    }
    for line in header::check(project, &judges)? {
        say!("{line}");
    }
    say!("{GOLDEN}: {}", history::check(project.root(), &promises, VERSION)?);
    let changelog =
        fs::read_to_string(project.path(CHANGELOG)).with_context(|| format!("cannot read {CHANGELOG}"))?;
    if let Some(promise) = history::untold(&changelog, &promises).first() {
        bail!(
            "DIFFERENCE: the ABI heading of {CHANGELOG} does not name `{}` {}",
            promise.name(),
            promise.cell(2)
        );
    }
    with_clang(project)?;
    let absent =
        if skipped.is_empty() { String::new() } else { format!(" ({} more are absent)", skipped.len()) };
    say!("{} promises, {} judges{absent}, no difference", promises.len(), judges_in_all);
    Ok(ExitCode::SUCCESS)
}

/// The promises of the Rust definitions, measured by the compiler at hand.
fn defined(project: &Project) -> anyhow::Result<Vec<Promise>> {
    let mut run = command::cargo(project);
    run.args(["run", "--quiet", "--package", "ntcom-abi-definitions"]);
    let output = run.output().context("cannot run cargo")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        if !said.contains("could not compile") {
            bail!("the definitions cannot be measured:\n{said}");
        }
        let why = said.lines().find(|line| line.contains("evaluation panicked") || line.starts_with("error"));
        bail!("DIFFERENCE: rustc refuses the definitions: {}\n{said}", why.unwrap_or_default());
    }
    golden::parse(&String::from_utf8_lossy(&output.stdout), false)
        .context("cannot parse the output of ntcom-abi-definitions")
}

/// The columns of rustc for other machines, or the lines that say why there are none.
fn rustc_elsewhere(
    project: &Project,
    options: &Options,
    promises: &[Promise],
) -> anyhow::Result<(Vec<Column>, Vec<String>)> {
    let skipped = |why: &str| {
        let line = |target: &rustc::Target| format!("skipped: {} ({}-bit): {why}", target.name, target.bits);
        (Vec::new(), rustc::TARGETS.iter().map(line).collect())
    };
    if options.no_build_std {
        return Ok(skipped("--no-build-std"));
    }
    let toolchain = match Toolchain::find(project) {
        Ok(toolchain) => toolchain,
        Err(why) => return Ok(skipped(&why)),
    };
    let mut columns = Vec::new();
    for target in &rustc::TARGETS {
        let library = match rustc::build(&toolchain, project, target) {
            Ok(library) => library,
            Err(error) if error.is::<Problem>() => return Ok(skipped(&format!("{error:#}"))),
            Err(error) => return Err(error),
        };
        let found = vec![(target.name.to_owned(), measure::of_rust(&library, promises)?)];
        let head = format!("{}\n{}-bit", target.name, target.bits);
        columns.push(Column { head, bits: target.bits, types: false, found });
    }
    Ok((columns, Vec::new()))
}

/// Prints the table.
///
/// # Errors
/// A judge differs from the promises.
fn judge(
    project: &Project,
    promises: &[Promise],
    defined: &[Promise],
    elsewhere: Vec<Column>,
    judges: &[&Judge],
) -> anyhow::Result<()> {
    let defined = golden::align(promises, defined);
    let rustc = verdict::expected(&defined, 64);
    let mut columns = vec![Column {
        head: "rustc\n64-bit".to_owned(),
        bits: 64,
        types: true,
        found: vec![("rustc".to_owned(), rustc)],
    }];
    columns.extend(elsewhere);
    for judge in judges {
        let mut found = Vec::new();
        for language in Language::ALL {
            let measured = measure::measure(project, judge, language, promises)?;
            let who = |what: &str| format!("{} ({what})", judge.name);
            if language == Language::C {
                found.push((who("C"), measured.structs));
            } else {
                found.push((who("C++, the structs"), measured.structs));
                found.push((who("C++, the classes"), measured.classes));
            }
        }
        columns.push(Column { head: judge.column(), bits: judge.bits, types: true, found });
    }
    // 64-bit columns come first.
    columns.sort_by_key(|column| std::cmp::Reverse(column.bits));
    let (table, first) = verdict::table(promises, &columns);
    say!("{table}");
    if let Some(first) = first {
        bail!("DIFFERENCE: {first}");
    }
    if let Some(new) = golden::additions(promises, &defined).first() {
        bail!(
            "DIFFERENCE: {GOLDEN} lacks a definition that rustc has: {}\nnext: cargo xtask abi --bless",
            new.line
        );
    }
    Ok(())
}

/// Runs the tests of slots, clients and operations in C with clang.
fn with_clang(project: &Project) -> anyhow::Result<()> {
    let Some((c, cpp)) = judges::clang() else {
        say!("skipped: the tests of ntcom-abi-tests with clang: it is not installed here");
        return Ok(());
    };
    let mut test = command::cargo(project);
    test.args(["test", "--quiet", "--package", "ntcom-abi-tests"]).env("CC", c).env("CXX", cpp);
    ui::step(&format!("testing ntcom-abi-tests with {c}"), &mut test)
}

/// Appends the new promises to the golden file.
fn bless(project: &Project, defined: &[Promise]) -> anyhow::Result<ExitCode> {
    let (mut text, promises) = history::present(project)?;
    let same: Vec<Promise> =
        promises.iter().map(|promise| Promise { since: String::new(), ..promise.clone() }).collect();
    let breaks = golden::breaks(&same, defined);
    if !breaks.is_empty() {
        let lines: Vec<String> = breaks.iter().map(golden::Break::print).collect();
        bail!(
            "DIFFERENCE: the definitions break promises of {GOLDEN}, so nothing is written:\n{}",
            lines.join("\n")
        );
    }
    let new = golden::additions(&promises, defined);
    for promise in &new {
        let line = Promise { since: VERSION.to_owned(), ..(*promise).clone() }.print();
        say!("+ {line}");
        if promise.kind() == "interface" {
            text.push('\n');
        }
        text.push_str(&line);
        text.push('\n');
    }
    fs::write(project.path(GOLDEN), text).with_context(|| format!("cannot write {GOLDEN}"))?;
    say!(
        "{} lines added to {GOLDEN}; a new interface belongs under the ABI heading of {CHANGELOG}, too",
        new.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// Compares two revisions, or one with the checkout.
fn compare(project: &Project, against: &str) -> anyhow::Result<ExitCode> {
    let (old, new) = history::revisions(against);
    let before = history::at(project.root(), old)?;
    let after = match new {
        Some(new) => history::at(project.root(), new)?,
        None => history::present(project)?.1,
    };
    let added = golden::additions(&before, &after);
    for promise in &added {
        say!("    added: {}", promise.print());
    }
    let breaks = golden::breaks(&before, &after);
    for broken in &breaks {
        say!("{}", broken.print());
    }
    say!("since {old}: {} promises added, {} broken", added.len(), breaks.len());
    Ok(if breaks.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
