//! `cargo xtask replay` runs one input on stable, without libFuzzer. `ntcom-replay` (`fuzz/replay`)
//! decodes and runs the input, and prints its trace, draws it, or writes it as data.
use std::{
    fmt::Display,
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;

use crate::{command, interrupt, problem::Problem, project::Project, ui};

/// Files for the events of the run.
#[derive(clap::Args)]
pub(crate) struct Outputs {
    /// Draws the run as a timeline, in a page of HTML that a browser shows without a network.
    #[arg(long, value_name = "OUT.html")]
    timeline: Option<PathBuf>,
    /// Writes the run's events as JSON lines.
    #[arg(long, value_name = "OUT.jsonl")]
    trace: Option<PathBuf>,
}

/// Replays a file.
pub(crate) fn run(
    project: &Project,
    file: &Path,
    target: Option<&str>,
    outputs: &Outputs,
) -> anyhow::Result<ExitCode> {
    let file = find(project, file)?;
    let targets = project.fuzz_targets()?;
    let target = match target {
        Some(name) => project.chosen_targets(&[name.to_owned()])?.remove(0),
        None => target_of(&file, &targets)?,
    };
    let mut build = command::cargo(project);
    build.args(["build", "--package", "ntcom-replay"]);
    // A build failure is not a finding, so the exit code must not be 1.
    ui::step("building the replay", &mut build).map_err(|error| Problem::Usage(format!("{error:#}")))?;
    let mut replay = command::cargo(project);
    replay.args(["run", "-q", "-p", "ntcom-replay", "--", "--target", &target]).arg(&file);
    for (flag, path) in [("--timeline", &outputs.timeline), ("--trace", &outputs.trace)] {
        if let Some(path) = path {
            // The replay runs at the root of the checkout, but the path is relative to the current
            // folder.
            replay.arg(flag).arg(std::path::absolute(path).context("the current folder cannot be found")?);
        }
    }
    let status = replay.status().context("cannot run cargo")?;
    if interrupt::interrupted() {
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    }
    // The input ended the replay by a signal.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    if code.is_none() {
        note!("the replay ended by {status}");
    }
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The file name that stands for the standard input.
const STANDARD_INPUT: &str = "-";

/// Finds the file, from the current folder or from the root of the checkout. The file is not read
/// here, because a pipe can be read once only.
fn find(project: &Project, file: &Path) -> anyhow::Result<PathBuf> {
    if file.as_os_str() == STANDARD_INPUT {
        return Ok(file.to_owned());
    }
    let here = std::path::absolute(file).context("the current folder cannot be found")?;
    let candidates = [here, project.path(file)];
    let found = candidates.iter().find(|path| path.exists() && !path.is_dir());
    let usage = |what: &dyn Display| Problem::Usage(format!("{}: {what}", file.display()));
    let Some(found) = found else {
        let what = if file.is_dir() { "is a folder, not an input" } else { "does not exist" };
        return Err(usage(&what).into());
    };
    if found.is_file() {
        File::open(found).map_err(|error| usage(&error))?;
    }
    Ok(found.clone())
}

/// The target that the innermost folder of the file is named after.
fn target_of(file: &Path, targets: &[String]) -> anyhow::Result<String> {
    let folders = file.parent().into_iter().flat_map(Path::components);
    let named =
        folders.rev().find_map(|folder| targets.iter().find(|name| folder.as_os_str() == name.as_str()));
    named.cloned().ok_or_else(|| {
        let list = targets.join(", ");
        let message = format!(
            "{}: no folder of this path is named after a target; name the target by --target NAME ({list})",
            file.display()
        );
        Problem::Usage(message).into()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::target_of;
    use crate::problem::Problem;

    #[test]
    fn the_target_is_the_innermost_folder_named_after_one() {
        let targets = ["vtable".to_owned(), "schedules".to_owned()];
        let target = |path| target_of(Path::new(path), &targets);
        assert_eq!(target("/x/target/fuzz/vtable/crash-1").unwrap(), "vtable");
        assert_eq!(target("/vtable/corpus/schedules/abc").unwrap(), "schedules");
        let error = target("/tmp/vtable").unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Problem::Usage(_))));
        assert!(error.to_string().contains("--target") && error.to_string().contains("vtable, schedules"));
    }
}
