//! `cargo xtask zoo` plants each bug of `ci/zoo/` in a copy of the project and checks that the
//! suite finds it.
//!
//! A patch begins with the lines `Bug:` and `Found-by:`. The second one names the judge:
//!
//! - `corpus` means that the committed inputs, run by plain `cargo test`, must fail.
//! - `loom` means that the loom tests must fail.
//! - `abi` means that `cargo xtask abi` must find a difference.
//! - `ntsim` means that the test of ntsim in the line `Test:` must fail.
//! - `test PACKAGE [TEST]` means that the tests of that package, or the named one, must fail.
//!
//! A patch that no longer applies, or a bug that is not found, is a failure. With `--fuzz` the
//! judges are the fuzz targets in a patch's `Target:` line, each from an empty corpus and several
//! times.
mod fuzzed;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, bail};
use clap::Args;

use crate::{
    command::{self, capture},
    interrupt,
    lock::Lock,
    problem::Problem,
    project::Project,
    ui,
};

/// The folders of the patches, for bugs of the driver crates and for bugs of the simulated kernel.
const ZOO: [&str; 2] = ["ci/zoo", "ci/zoo/ntsim"];
/// The folders of this command, of the copy of the project, and of its build.
const FOLDER: &str = "target/zoo";
const TREE: &str = "target/zoo/tree";
const BUILD: &str = "target/zoo/build";

/// A planted bug.
struct Bug {
    patch: PathBuf,
    name: String,
    what: String,
    found_by: String,
    target: Option<String>,
    /// The test file of ntsim that must find it.
    test: Option<String>,
}

/// Options of `cargo xtask zoo`.
#[derive(Args)]
pub(crate) struct Options {
    /// Only bugs with this text in their number.
    filter: Option<String>,
    /// Fuzzes from an empty corpus instead of running the committed inputs. This takes minutes for
    /// each bug.
    #[arg(long)]
    fuzz: bool,
    /// With `--fuzz`, the number of runs of each target.
    #[arg(long, value_name = "N", default_value_t = 3, requires = "fuzz", value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// With `--fuzz`, the seconds that a target has to find the bug.
    #[arg(long, value_name = "N", default_value_t = 60, requires = "fuzz", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// Plants and hunts the selected bugs.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    let filter = options.filter.as_deref();
    let bugs: Vec<Bug> = bugs(project)?
        .into_iter()
        .filter(|bug| filter.is_none_or(|filter| bug.name.contains(filter)))
        .collect();
    if bugs.is_empty() {
        let message = format!("no bug of {} matches {}", ZOO.join(" or "), filter.unwrap_or("anything"));
        return Err(Problem::Usage(message).into());
    }
    // A second process would plant its bugs in the same copy.
    let _lock = Lock::take(&project.path(FOLDER), "")?;
    copy(project)?;
    if options.fuzz {
        return fuzzed::run(project, &bugs, options);
    }
    let mut table = ui::table(&["bug", "what", "found by", "result", "how"], 5..5);
    let mut missed = 0;
    for (index, bug) in bugs.iter().enumerate() {
        if interrupt::interrupted() {
            bail!("interrupted");
        }
        let live = ui::Live::new();
        let label = format!("[{}/{}] {} by {}", index + 1, bugs.len(), bug.name, bug.found_by);
        live.hint(&label);
        let how = hunt(project, bug)?;
        missed += usize::from(how.is_none());
        let result = if how.is_some() { "found" } else { "MISSED" };
        live.finish(&format!("{label}: {result}"));
        let how = how.unwrap_or_default();
        table.add_row([&bug.name, &bug.what, &bug.found_by, result, &how]);
    }
    say!("{table}");
    say!("{} of {} planted bugs found", bugs.len() - missed, bugs.len());
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bugs(project: &Project) -> anyhow::Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    let mut entries = Vec::new();
    for folder in ZOO {
        entries.extend(fs::read_dir(project.path(folder)).with_context(|| format!("cannot read {folder}"))?);
    }
    for entry in entries {
        let patch = entry?.path();
        if patch.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let text = fs::read_to_string(&patch).with_context(|| format!("cannot read {}", patch.display()))?;
        let (Some(what), Some(found_by)) = (header(&text, "Bug: "), header(&text, "Found-by: ")) else {
            bail!("{} does not begin with Bug: and Found-by:", patch.display());
        };
        let name = patch.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let optional = |header_name| header(&text, header_name).map(str::to_owned);
        let (target, test) = (optional("Target: "), optional("Test: "));
        bugs.push(Bug { patch, name, what: what.to_owned(), found_by: found_by.to_owned(), target, test });
    }
    bugs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(bugs)
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().take_while(|line| !line.starts_with("diff ")).find_map(|line| line.strip_prefix(name))
}

/// Copies the tracked files, and removes all others from the copy. An unchanged file keeps its
/// time, so that it is not built again.
fn copy(project: &Project) -> anyhow::Result<()> {
    let listed =
        command::at_root(project, "git").args(["ls-files", "-z"]).output().context("cannot run git")?;
    if !listed.status.success() {
        bail!("git does not list the files of this checkout");
    }
    let tree = project.path(TREE);
    let mut wanted = BTreeSet::new();
    for name in listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = OsStr::from_bytes(name);
        let (from, to) = (project.path(name), project.path(TREE).join(name));
        // The file was deleted, but git's index still has it.
        let Ok(bytes) = fs::read(&from) else { continue };
        wanted.insert(to.clone());
        if fs::read(&to).is_ok_and(|old| old == bytes) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    }
    sweep(&tree, &wanted)
}

/// Removes the files of earlier copies, because an untracked file must not find a bug.
fn sweep(folder: &Path, wanted: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            // The builds of the copy are kept.
            if entry.file_name() != "target" {
                sweep(&path, wanted)?;
            }
        } else if !wanted.contains(&path) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// The line that shows how the bug was found, or `None` if it was not found.
fn hunt(project: &Project, bug: &Bug) -> anyhow::Result<Option<String>> {
    let tree = project.path(TREE);
    apply(&tree, &bug.patch, &[])?;
    let mut test = command::cargo(project);
    test.current_dir(&tree);
    match bug.found_by.as_str() {
        "corpus" => {
            test.args(["test", "--quiet", "--package", "ntcom-fuzz", "--test", "corpus"]);
            test.arg("--target-dir").arg(project.path(BUILD));
        }
        "loom" => {
            test.args(["test", "--quiet", "--release", "--package", "ntcom-exec", "--lib"]);
            test.arg("--target-dir").arg(project.path(BUILD).join("loom")).args(["--", "loom_"]);
            test.env("RUSTFLAGS", "--cfg loom").env("LOOM_MAX_PREEMPTIONS", "3");
        }
        "abi" => {
            test = command::xtask(project)?;
            test.current_dir(&tree)
                .args(["abi", "--no-build-std"])
                .env("CARGO_MANIFEST_DIR", tree.join("ci/xtask"));
            test.env("CARGO_TARGET_DIR", project.path(BUILD));
        }
        // All features would include those of the sanitizer, which need its runtime.
        "ntsim" => {
            let Some(file) = &bug.test else { bail!("{} does not say Test:", bug.patch.display()) };
            test.args([
                "test",
                "--quiet",
                "--package",
                "ntsim",
                "--features",
                "free-running",
                "--test",
                file,
            ]);
            test.arg("--target-dir").arg(project.path(BUILD));
        }
        other => {
            let mut words = other.split_whitespace();
            let (Some("test"), Some(package)) = (words.next(), words.next()) else {
                bail!(
                    "{}: Found-by: {other}: not corpus, loom, abi, ntsim, or test PACKAGE [TEST]",
                    bug.patch.display()
                );
            };
            test.args(["test", "--quiet", "--package", package, "--all-features"]);
            for name in words {
                test.args(["--test", name]);
            }
            test.arg("--target-dir").arg(project.path(BUILD));
        }
    }
    let captured = capture(&mut test, |_| {});
    apply(&tree, &bug.patch, &["--reverse"])?;
    let captured = captured?;
    if captured.status.success() {
        return Ok(None);
    }
    // A compiler error of the header is a difference for this judge.
    if bug.found_by == "abi" && captured.output.contains("DIFFERENCE: ") {
        return Ok(Some(clue(&captured.output)));
    }
    if captured.output.contains("could not compile") {
        bail!("with {} the project does not compile:\n{}", bug.name, captured.output);
    }
    // cargo prints this for every kind of test that ran and failed. Without it the judge itself has
    // failed.
    if !captured.output.contains("test failed, to rerun") {
        bail!("the judge of {} did not run:\n{}", bug.name, captured.output);
    }
    Ok(Some(clue(&captured.output)))
}

/// The most informative line of the output.
fn clue(output: &str) -> String {
    let line = ["DIFFERENCE: ", "FINDING ", "panicked at", "signal: "]
        .iter()
        .find_map(|mark| output.lines().find_map(|line| line.find(mark).and_then(|at| line.get(at..))))
        .unwrap_or("a failing test");
    line.trim_start_matches("FINDING ").trim_start_matches("DIFFERENCE: ").chars().take(60).collect()
}

fn apply(tree: &Path, patch: &Path, more: &[&str]) -> anyhow::Result<()> {
    let mut git = Command::new("git");
    // The copy lies inside a checkout. Without this variable git would take the copy for a part of
    // it.
    git.current_dir(tree).env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree));
    git.arg("apply").args(more).arg(patch);
    let applied = capture(&mut git, |_| {})?;
    if !applied.status.success() {
        bail!("{} does not apply any more:\n{}", patch.display(), applied.output);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{clue, header};

    #[test]
    fn a_patch_says_what_it_is_before_it_begins() {
        let text = "Bug: wakes are lost\nFound-by: loom\n\ndiff --git a b\nBug: not this one\n";
        assert_eq!(header(text, "Bug: "), Some("wakes are lost"));
        assert_eq!(header(text, "Found-by: "), Some("loom"));
        assert_eq!(header(text, "Oracle: "), None);
    }

    #[test]
    fn an_oracle_tells_more_than_a_panic() {
        assert_eq!(clue("thread panicked at x:\ny: FINDING C8: polled twice\n"), "C8: polled twice");
        assert_eq!(clue("nothing"), "a failing test");
    }
}
