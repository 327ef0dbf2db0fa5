//! The spelling check and the Markdown check, by programs from PyPI.
use std::{path::PathBuf, process::Command};

use anyhow::Context as _;

use crate::{command, debian, problem::Problem, project::Project, ui};

/// The folder of the programs, a virtual environment of Python's.
const FOLDER: &str = "target/tools/words";
/// Debian's package for virtual environments, which its Python lacks.
const VENV: &str = "python3-venv";

/// A program from PyPI.
struct Tool {
    /// Its package.
    package: &'static str,
    /// Its name.
    program: &'static str,
    /// The version that is installed, and that `--version` or `version` prints.
    version: &'static str,
    /// The argument that prints the version.
    ask: &'static str,
}

const TYPOS: Tool = Tool { package: "typos", program: "typos", version: "1.52.0", ask: "--version" };
const PYMARKDOWN: Tool =
    Tool { package: "pymarkdownlnt", program: "pymarkdown", version: "0.9.41", ask: "version" };

impl Tool {
    /// The one in the checkout's tools, else one of that version in `PATH`, else a new one in the
    /// checkout's tools.
    ///
    /// # Errors
    /// [`Problem::Unavailable`] when it cannot be installed.
    fn find(&self, project: &Project) -> anyhow::Result<PathBuf> {
        let own = project.path(FOLDER).join("bin").join(self.program);
        let candidates = [own.clone(), PathBuf::from(self.program)];
        if let Some(found) = candidates.into_iter().find(|candidate| self.is_wanted(candidate)) {
            return Ok(found);
        }
        self.install(project).map_err(|error| {
            let package = self.package;
            Problem::Unavailable(format!("{package} {} cannot be installed: {error:#}", self.version))
        })?;
        Ok(own)
    }

    fn is_wanted(&self, program: &PathBuf) -> bool {
        let output = Command::new(program).arg(self.ask).output();
        output.is_ok_and(|output| {
            let text = String::from_utf8_lossy(&output.stdout);
            text.split_whitespace().any(|word| word == self.version)
        })
    }

    fn install(&self, project: &Project) -> anyhow::Result<()> {
        let python = project.path(FOLDER).join("bin/python");
        let has_pip = Command::new(&python).args(["-m", "pip", "--version"]).output();
        if !has_pip.is_ok_and(|output| output.status.success()) {
            environment(project)?;
        }
        let mut pip = command::at_root(project, &python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.arg(format!("{}=={}", self.package, self.version));
        ui::step(&format!("installing {} {}", self.package, self.version), &mut pip)
    }
}

/// Makes the virtual environment. Debian's Python needs a package for that.
fn environment(project: &Project) -> anyhow::Result<()> {
    let make = || {
        let mut venv = command::at_root(project, "python3");
        venv.args(["-m", "venv", "--clear", FOLDER]);
        command::capture(&mut venv, |_| {}).is_ok_and(|captured| captured.status.success())
    };
    if make() {
        return Ok(());
    }
    debian::install(project, &["python3", VENV])?;
    if make() { Ok(()) } else { anyhow::bail!("python3 -m venv {FOLDER} fails") }
}

/// Runs both programs, prints their findings, and names the checks that fail.
///
/// # Errors
/// [`Problem::Unavailable`] when one of them is missing and cannot be installed.
pub(super) fn check(project: &Project) -> anyhow::Result<Vec<&'static str>> {
    let mut typos = command::at_root(project, TYPOS.find(project)?);
    typos.args(["--config", "typos.toml", "--format", "brief"]);
    let mut markdown = command::at_root(project, PYMARKDOWN.find(project)?);
    markdown.args(["--config", "pymarkdown.json", "scan"]);
    let files = super::tracked(project)?;
    markdown.args(files.iter().filter(|file| file.ends_with(".md")));
    let mut failed = Vec::new();
    for (check, mut command) in [("spelling", typos), ("the form of Markdown", markdown)] {
        if !passes(&mut command)? {
            failed.push(check);
        }
    }
    Ok(failed)
}

fn passes(command: &mut Command) -> anyhow::Result<bool> {
    let captured = command::capture(command, |_| {}).context("a tool cannot be run")?;
    let output = captured.output.trim_end();
    if !output.is_empty() {
        say!("{output}");
    }
    if !captured.status.success() {
        say!("to repeat: {}", command::shell(command));
    }
    Ok(captured.status.success())
}
