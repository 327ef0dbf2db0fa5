//! A copy of the project in which bugs are planted and judged, one at a time.
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use super::Bug;
use crate::{
    command::{self, Captured, capture},
    project::Project,
};

/// A copy of the tracked files, and the folder that cargo builds it in.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    build: PathBuf,
}

impl Tree {
    /// Copies the tracked files as they are in the checkout into copy number `number`, and removes
    /// every other file there.
    ///
    /// A file that has not changed keeps its time, so cargo does not build it again.
    pub(super) fn new(project: &Project, number: usize) -> anyhow::Result<Self> {
        let folder = project.path(super::FOLDER);
        let name = |what: &str| if number == 0 { what.to_owned() } else { format!("{what}-{number}") };
        let tree = Self { root: folder.join(name("tree")), build: folder.join(name("build")) };
        tree.copy(project)?;
        Ok(tree)
    }

    fn copy(&self, project: &Project) -> anyhow::Result<()> {
        let listed =
            command::at_root(project, "git").args(["ls-files", "-z"]).output().context("cannot run git")?;
        if !listed.status.success() {
            bail!("git does not list the files of this checkout");
        }
        let mut wanted = BTreeSet::new();
        for name in listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = OsStr::from_bytes(name);
            let (from, to) = (project.path(name), self.root.join(name));
            // A file may be deleted in the checkout and still be listed by git.
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
        sweep(&self.root, &wanted)
    }

    /// Applies a bug's patch, or reverses it with `--reverse` in `more`.
    pub(super) fn apply(&self, patch: &Path, more: &[&str]) -> anyhow::Result<()> {
        let mut git = Command::new("git");
        // The copy lies inside a checkout. Without a ceiling git would take it for a part of that.
        git.current_dir(&self.root).env("GIT_CEILING_DIRECTORIES", self.root.parent().unwrap_or(&self.root));
        git.arg("apply").args(more).arg(patch);
        let applied = capture(&mut git, |_| {})?;
        if !applied.status.success() {
            bail!("{} does not apply any more:\n{}", patch.display(), applied.output);
        }
        Ok(())
    }

    /// Plants a bug, runs its judge, and takes the bug out again. Returns the clue that gave the
    /// bug away, or `None` if the judge passed.
    pub(super) fn hunt(&self, project: &Project, bug: &Bug) -> anyhow::Result<Option<String>> {
        self.apply(&bug.patch, &[])?;
        let judged = self.judge(project, bug);
        self.apply(&bug.patch, &["--reverse"])?;
        let captured = judged?;
        if captured.status.success() {
            return Ok(None);
        }
        // A compiler that refuses the header is a difference that `cargo xtask abi` reports.
        if bug.found_by == "abi" && captured.output.contains("DIFFERENCE: ") {
            return Ok(Some(clue(&captured.output)));
        }
        if captured.output.contains("could not compile") {
            bail!("with {} the project does not compile:\n{}", bug.name, captured.output);
        }
        // Cargo prints this when a test ran and failed. Without it the judge itself failed.
        if !captured.output.contains("test failed, to rerun") {
            bail!("the judge of {} did not run:\n{}", bug.name, captured.output);
        }
        Ok(Some(clue(&captured.output)))
    }

    /// Runs the judge that the patch's `Found-by:` line names.
    fn judge(&self, project: &Project, bug: &Bug) -> anyhow::Result<Captured> {
        let mut cargo = command::cargo(project);
        // Each bug changes one crate of a copy that is built already, also where CI turns this off.
        cargo.env("CARGO_INCREMENTAL", "1");
        cargo.current_dir(&self.root).args(["test", "--quiet"]);
        let build = &self.build;
        match bug.found_by.as_str() {
            "corpus" => return self.judge_by_corpus(cargo, bug),
            "loom" => {
                cargo.args(["--release", "--package", "ntcom-exec", "--lib"]);
                cargo.arg("--target-dir").arg(build.join("loom")).args(["--", "loom_"]);
                cargo.env("RUSTFLAGS", "--cfg loom").env("LOOM_MAX_PREEMPTIONS", "3");
            }
            "abi" => {
                let mut xtask = command::xtask(project)?;
                xtask.current_dir(&self.root).args(["abi", "--no-build-std"]);
                xtask.env("CARGO_MANIFEST_DIR", self.root.join("ci/xtask")).env("CARGO_TARGET_DIR", build);
                cargo = xtask;
            }
            // Only this feature: AddressSanitizer's need its runtime.
            "ntsim" => {
                let Some(file) = &bug.test else { bail!("{} does not say Test:", bug.patch.display()) };
                cargo.args(["--package", "ntsim", "--features", "free-running", "--test", file]);
                cargo.arg("--target-dir").arg(build);
            }
            other => {
                let mut words = other.split_whitespace();
                let (Some("test"), Some(package)) = (words.next(), words.next()) else {
                    bail!(
                        "{}: Found-by: {other}: not corpus, loom, abi, ntsim, or test PACKAGE [TEST]",
                        bug.patch.display()
                    );
                };
                cargo.args(["--package", package, "--all-features"]);
                for name in words {
                    match name {
                        "lib" => cargo.arg("--lib"),
                        _ => cargo.args(["--test", name]),
                    };
                }
                cargo.arg("--target-dir").arg(build);
            }
        }
        capture(&mut cargo, |_| {})
    }

    /// Runs the committed inputs. The inputs of the targets that the patch's `Target:` line names
    /// come first, and all inputs follow if these pass.
    fn judge_by_corpus(&self, mut cargo: Command, bug: &Bug) -> anyhow::Result<Captured> {
        cargo.args(["--package", "ntcom-fuzz", "--test", "corpus", "--target-dir"]).arg(&self.build);
        if let Some(targets) = &bug.target {
            cargo.args(["--", "--exact"]).args(targets.split_whitespace());
            let captured = capture(&mut cargo, |_| {})?;
            if !captured.status.success() {
                return Ok(captured);
            }
            cargo = self.all_inputs(&cargo);
        }
        capture(&mut cargo, |_| {})
    }

    /// The same command without the choice of targets.
    fn all_inputs(&self, chosen: &Command) -> Command {
        let mut cargo = Command::new(chosen.get_program());
        cargo.current_dir(&self.root).args(chosen.get_args().take_while(|word| *word != "--"));
        for (name, value) in chosen.get_envs() {
            match value {
                Some(value) => cargo.env(name, value),
                None => cargo.env_remove(name),
            };
        }
        cargo
    }
}

/// Removes the files of earlier copies that are not tracked any more.
fn sweep(folder: &Path, wanted: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            // Builds of the copy stand in its own `target` folder.
            if entry.file_name() != "target" {
                sweep(&path, wanted)?;
            }
        } else if !wanted.contains(&path) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// The line of a judge's output that tells the most.
fn clue(output: &str) -> String {
    let line = ["DIFFERENCE: ", "FINDING ", "panicked at", "signal: "]
        .iter()
        .find_map(|mark| output.lines().find_map(|line| line.find(mark).and_then(|at| line.get(at..))))
        .unwrap_or("a failing test");
    line.trim_start_matches("FINDING ").trim_start_matches("DIFFERENCE: ").chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::clue;

    #[test]
    fn an_oracle_tells_more_than_a_panic() {
        assert_eq!(clue("thread panicked at x:\ny: FINDING C8: polled twice\n"), "C8: polled twice");
        assert_eq!(clue("nothing"), "a failing test");
    }
}
