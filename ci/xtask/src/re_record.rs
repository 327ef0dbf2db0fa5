//! `cargo xtask re-record --from REV` gives every committed input the schedule that does now what
//! the input did at a revision.
//!
//! The revision is checked out and built apart. Its `ntcom-replay --order` writes the order in
//! which processors did events. This checkout's `ntcom-replay --follow` does the same events in
//! that order, and writes the input that does so. An input keeps its name.
//!
//! The command reads the revision's own corpus, so it may be repeated. Inputs that are newer than
//! the revision stay as they are.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, bail};

use crate::{
    command::{self, capture},
    interrupt,
    project::Project,
    ui,
};

/// The checkout of the revision, and its build.
const TREE: &str = "target/re-record/tree";
const BUILD: &str = "target/re-record/build";
/// The order of the input that is being re-recorded, and the new input.
const ORDER: &str = "target/re-record/order";
const WRITTEN: &str = "target/re-record/input";

/// Options of `cargo xtask re-record`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The revision with the schedules that the inputs are to keep.
    #[arg(long, value_name = "REV")]
    from: String,
    /// Only inputs with this text in their path.
    filter: Option<String>,
}

/// Re-records the committed inputs.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    let old = build_old(project, &options.from)?;
    let new = build(command::cargo(project), &project.path("target/release"))?;
    let mut table = ui::table(&["target", "inputs", "unchanged", "re-recorded", "nearly", "not"], 1..6);
    let mut left = Vec::new();
    for target in project.fuzz_targets()? {
        let mut counts = [0_usize; 4];
        for folder in ["corpus", "corpus/regressions"] {
            for input in inputs(&project.path(folder).join(&target))? {
                if interrupt::interrupted() {
                    bail!("interrupted");
                }
                let name = project.relative(&input).display().to_string();
                if options.filter.as_ref().is_some_and(|filter| !name.contains(filter)) {
                    continue;
                }
                // Newer inputs do not exist at the revision.
                if !project.path(TREE).join(&name).is_file() {
                    continue;
                }
                let said = one(project, [&old, &new], &target, &name)?;
                let kind = match said.as_str() {
                    "unchanged" => 0,
                    "same" => 1,
                    said if said.contains(" events in the same order") => 2,
                    _ => 3,
                };
                if let Some(count) = counts.get_mut(kind) {
                    *count += 1;
                }
                if kind > 1 {
                    left.push(format!("{name}: {said}"));
                }
            }
        }
        let all = counts.iter().sum::<usize>().to_string();
        let [unchanged, same, nearly, not] = counts.map(|count| count.to_string());
        table.add_row([target, all, unchanged, same, nearly, not]);
    }
    for line in &left {
        say!("{line}");
    }
    say!("{table}");
    Ok(if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Re-records an input of the revision. Returns the replay's last line.
fn one(project: &Project, [old, new]: [&Path; 2], target: &str, name: &str) -> anyhow::Result<String> {
    let (order, written, input) = (project.path(ORDER), project.path(WRITTEN), project.path(TREE).join(name));
    for path in [&order, &written] {
        let _ = fs::remove_file(path);
    }
    let replay = |binary: &Path| {
        let mut replay = command::at_root(project, binary);
        replay.args(["--target", target]).arg(&input);
        replay
    };
    // The replay's result does not matter, because some inputs end with an expected finding.
    capture(replay(old).arg("--order").arg(&order), |_| {})?;
    if !order.exists() {
        return Ok("the revision's replay writes no order of events".into());
    }
    let followed = capture(replay(new).arg("--follow").arg(&order).arg("--write").arg(&written), |_| {})?;
    let said = followed.output.lines().last().unwrap_or("the replay printed nothing").to_owned();
    let from = if written.exists() { &written } else { &input };
    fs::copy(from, project.path(name)).with_context(|| format!("cannot write {name}"))?;
    Ok(said)
}

fn inputs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut inputs: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    inputs.retain(|path| path.is_file());
    inputs.sort();
    Ok(inputs)
}

/// The replay program of the revision.
fn build_old(project: &Project, revision: &str) -> anyhow::Result<PathBuf> {
    let (tree, output) = (project.path(TREE), project.path(BUILD));
    if !tree.exists() {
        git(project, &["worktree", "add", "--detach", TREE, revision])?;
    }
    let mut checkout = command::at_root(project, "git");
    checkout.current_dir(&tree).args(["checkout", "--quiet", "--detach", revision]);
    succeeds(&mut checkout)?;
    let mut cargo = command::cargo(project);
    cargo.current_dir(&tree).env("CARGO_TARGET_DIR", &output);
    build(cargo, &output.join("release"))
}

fn git(project: &Project, arguments: &[&str]) -> anyhow::Result<()> {
    succeeds(command::at_root(project, "git").args(arguments))
}

fn build(mut cargo: Command, output: &Path) -> anyhow::Result<PathBuf> {
    succeeds(cargo.args(["build", "--release", "--workspace", "--bin", "ntcom-replay"]))?;
    Ok(output.join("ntcom-replay"))
}

fn succeeds(command: &mut Command) -> anyhow::Result<()> {
    let captured = capture(command, |_| {})?;
    if !captured.status.success() {
        bail!("{} failed:\n{}", command::shell(command), captured.output);
    }
    Ok(())
}
