//! Folders of inputs: the committed ones, and a run's own.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::{libfuzzer, monitor::Runner};
use crate::{command, project::Project, ui};

/// How the names of a run's copies of `corpus/regressions/<target>/` begin.
const REGRESSION: &str = "regression-";

/// A run's folder of a target.
pub(crate) fn run_folder(work: &Path, target: &str) -> PathBuf {
    work.join(target)
}

/// The inputs of a run.
pub(crate) fn inputs(work: &Path, target: &str) -> PathBuf {
    run_folder(work, target).join("corpus")
}

/// The regular files of a folder; none if there is no such folder.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// How many files a folder has.
pub(crate) fn size(folder: &Path) -> anyhow::Result<u64> {
    Ok(files(folder)?.len() as u64)
}

/// Makes a run's folder of inputs anew, and says how many it has.
pub(crate) fn prepare(project: &Project, work: &Path, target: &str, empty: bool) -> anyhow::Result<usize> {
    let folder = inputs(work, target);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if empty {
        return Ok(0);
    }
    let committed = files(&project.path("corpus").join(target))?;
    let regressions = files(&project.path("corpus/regressions").join(target))?;
    for (prefix, list) in [("", &committed), (REGRESSION, &regressions)] {
        for file in list {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let copy = folder.join(format!("{prefix}{name}"));
            fs::copy(file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
        }
    }
    Ok(committed.len() + regressions.len())
}

/// Adds to the committed inputs those of the run that reach something new: as few as do. False if libFuzzer could not.
pub(crate) fn keep(runner: &mut Runner<'_>, target: &str) -> anyhow::Result<bool> {
    let committed = runner.project.path("corpus").join(target);
    let found = inputs(&runner.work, target);
    fs::create_dir_all(&committed)?;
    for file in files(&found)? {
        if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(REGRESSION)) {
            fs::remove_file(file)?;
        }
    }
    let before = size(&committed)?;
    let mut merge = runner.command(target)?;
    // What an input does that stops the merge is for the run's folder, and not for the root of the checkout.
    merge.arg(libfuzzer::artifacts(runner.project.relative(&run_folder(&runner.work, target))));
    merge.arg("-set_cover_merge=1").args(libfuzzer::limits(target)).arg(&committed).arg(&found);
    if let Err(error) = ui::step(&format!("keeping what {target} found"), &mut merge) {
        eprintln!("{error:#}");
        return Ok(false);
    }
    let after = size(&committed)?;
    let folder = command::quote(&runner.project.relative(&committed).to_string_lossy());
    println!("{folder}: {} new inputs, {after} in all", after.saturating_sub(before));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{files, inputs, prepare};
    use crate::project::Project;

    #[test]
    fn a_run_starts_from_a_folder_of_its_own() {
        let work = std::env::temp_dir().join(format!("xtask-corpus-{}", std::process::id()));
        let folder = inputs(&work, "none");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("old"), "x").unwrap();
        assert_eq!(prepare(&Project::find(), &work, "none", true).unwrap(), 0);
        assert!(files(&folder).unwrap().is_empty());
        assert!(files(&work.join("missing")).unwrap().is_empty());
        fs::remove_dir_all(work).unwrap();
    }
}
