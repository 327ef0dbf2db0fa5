//! `cargo xtask template` makes a driver from the template and does with it what its author would.
//!
//! Its tests and lints must pass, clippy must refuse core's atomics, and its tests must report each
//! bug of `ci/zoo/driver/` (see [`super::bugs`]). The driver is outside of the checkout, so
//! nothing of the workspace reaches it. Only the target folder is shared, because it has builds of
//! the registry's crates.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, bail};

use super::{bugs, make, source::Source};
use crate::{
    command::{self, Captured, capture},
    interrupt,
    lock::Lock,
    project::Project,
    ui,
};

/// The folder of the reports.
const REPORTS: &str = "target/template";
/// The driver's name, which differs from the template's in every form.
const NAME: &str = "trial-driver";
/// The file that names its atomics, and the two paths.
const ATOMICS: [&str; 3] =
    ["src/items.rs", "    sync::atomic::{", "use core::sync::atomic::{AtomicU32, Ordering::Relaxed};\n"];

/// A driver that was made from the template.
pub(super) struct Trial<'a> {
    project: &'a Project,
    pub(super) folder: PathBuf,
    pub(super) reports: PathBuf,
}

/// Makes a driver, checks it, and plants the bugs.
pub(crate) fn run(project: &Project) -> anyhow::Result<ExitCode> {
    let reports = project.path(REPORTS);
    let _lock = Lock::take(&reports, "")?;
    let trial = Trial { project, folder: folder(project, "template"), reports };
    make_in(project, &trial.folder)?;
    trial.step("formatting", &["fmt", "--check"])?;
    trial.step("testing the driver", &["test"])?;
    trial.step("linting the driver", &CLIPPY)?;
    trial.refuses_core_atomics()?;
    let judged = bugs::plant(&trial, project)?;
    let missed = judged.iter().filter(|bug| bug.wrong.is_some()).count();
    let mut table = ui::table(&["bug", "what", "reported", "replayed by"], 0..0);
    for bug in &judged {
        table.add_row([&bug.name, &bug.what, bug.wrong.as_ref().unwrap_or(&bug.place), &bug.test]);
    }
    say!("{table}");
    fs::remove_dir_all(&trial.folder).context("cannot remove the driver")?;
    say!(
        "a driver from the template passes its tests, which report {} of {} bugs",
        judged.len() - missed,
        judged.len()
    );
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The command that lints the driver.
const CLIPPY: [&str; 5] = ["clippy", "--all-targets", "--", "-D", "warnings"];

/// A folder outside of the checkout. It is the same each time, so that builds are used again.
pub(crate) fn folder(project: &Project, purpose: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    project.root().hash(&mut hasher);
    env::temp_dir().join(format!("ntcom-{purpose}-{:016x}", hasher.finish()))
}

/// Makes a driver in the place of the last one.
pub(crate) fn make_in(project: &Project, folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).context("cannot remove the last driver")?;
    }
    make(project, folder, NAME, &Source::checkout(project.root())?).map(drop)
}

impl Trial<'_> {
    /// A program in the driver's folder, which builds in the checkout's target folder.
    pub(super) fn program(&self, program: &str) -> Command {
        let mut command = match program {
            "cargo" => command::cargo(self.project),
            _ => command::at_root(self.project, program),
        };
        command.current_dir(&self.folder).env("CARGO_TARGET_DIR", self.project.path("target"));
        command
    }

    /// Runs cargo in the driver's folder.
    pub(super) fn cargo(&self, arguments: &[&str]) -> anyhow::Result<Captured> {
        if interrupt::interrupted() {
            bail!("interrupted");
        }
        capture(self.program("cargo").args(arguments), |_| {})
    }

    fn step(&self, what: &str, arguments: &[&str]) -> anyhow::Result<()> {
        ui::step(what, self.program("cargo").args(arguments))
    }

    /// Checks that clippy refuses core's atomics in the driver, and says which ones to use.
    fn refuses_core_atomics(&self) -> anyhow::Result<()> {
        let [file, ours, theirs] = ATOMICS;
        let text = self.read(file)?;
        let line = text.lines().find(|line| line.starts_with(ours));
        let line = line.with_context(|| format!("{file} has no line {ours}"))?;
        self.write(
            file,
            &text.replacen(line, "", 1).replacen("use ntcom::", &format!("{theirs}use ntcom::"), 1),
        )?;
        let linted = self.cargo(&CLIPPY)?;
        self.write(file, &text)?;
        if linted.status.success() || !linted.output.contains("use ntcom::sync::atomic::AtomicU32") {
            bail!("clippy must refuse core's atomics in the driver by its clippy.toml:\n{}", linted.output);
        }
        Ok(())
    }

    pub(super) fn read(&self, file: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.folder.join(file)).with_context(|| format!("cannot read {file}"))
    }

    pub(super) fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        fs::write(self.folder.join(file), text).with_context(|| format!("cannot write {file}"))
    }

    /// Applies a patch to the driver, or takes it out again.
    pub(super) fn patch(&self, patch: &Path, more: &[&str]) -> anyhow::Result<()> {
        let mut git = Command::new("git");
        // The folder for temporary files may lie in a checkout of something else.
        git.current_dir(&self.folder).env("GIT_CEILING_DIRECTORIES", env::temp_dir());
        let applied = capture(git.arg("apply").args(more).arg(patch), |_| {})?;
        if !applied.status.success() {
            bail!("{} does not apply to the template any more:\n{}", patch.display(), applied.output);
        }
        Ok(())
    }
}
