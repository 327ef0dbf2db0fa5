//! Folders of committed inputs, and of the inputs of a run.
//!
//! A run with `--keep` must add its new inputs to the committed ones. Until it has done so, its
//! folder has the file [`PROMISE`], however the run ends. The next run moves the inputs of such a
//! folder aside, and the next run with `--keep` takes them with its own.
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::{libfuzzer, monitor::Runner, work};
use crate::{command, project::Project, ui};

/// The prefix of a run's copies of the files in `corpus/regressions/<target>/`.
const REGRESSION: &str = "regression-";
/// The file in a run's folder that says that its inputs are to be kept.
const PROMISE: &str = "to-be-kept";
/// The prefix of folders with inputs that earlier runs could not keep.
const EARLIER: &str = "not-kept-";

/// The folder of a target's run.
pub(crate) fn run_folder(work: &Path, target: &str) -> PathBuf {
    work.join(target)
}

/// The folder of a run's inputs.
pub(crate) fn inputs(work: &Path, target: &str) -> PathBuf {
    run_folder(work, target).join("corpus")
}

/// The regular files of a folder, or none if there is no such folder.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_file() && !hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The number of files in a folder.
pub(crate) fn size(folder: &Path) -> anyhow::Result<u64> {
    Ok(files(folder)?.len() as u64)
}

/// Makes a run's folder of inputs anew. Returns the number of inputs in it.
pub(crate) fn prepare(project: &Project, work: &Path, target: &str, empty: bool) -> anyhow::Result<usize> {
    let folder = inputs(work, target);
    put_aside(work, target)?;
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
            let mut name = OsString::from(prefix);
            name.push(file.file_name().unwrap_or_default());
            fs::copy(file, folder.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
        }
    }
    Ok(committed.len() + regressions.len())
}

/// Marks a run's folder, so that its inputs are kept.
pub(crate) fn promise(work: &Path, target: &str) -> anyhow::Result<()> {
    let file = run_folder(work, target).join(PROMISE);
    let text = "The new inputs in corpus/ are not among the committed ones yet: cargo xtask fuzz --keep\n";
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Moves the inputs of an earlier run aside, if that run could not keep them.
fn put_aside(work: &Path, target: &str) -> anyhow::Result<()> {
    let (folder, found) = (run_folder(work, target), inputs(work, target));
    let promise = folder.join(PROMISE);
    if !promise.exists() {
        return Ok(());
    }
    if found.exists() {
        let free =
            (1..).map(|number| folder.join(format!("{EARLIER}{number}"))).find(|aside| !aside.exists());
        let aside = free.context("there is no free name")?;
        fs::rename(&found, &aside).with_context(|| format!("cannot rename {}", found.display()))?;
        note!(
            "{target}: an earlier run with --keep ended before it had kept its inputs; they are in {} now, and the next \
             run with --keep keeps them",
            aside.display()
        );
    }
    fs::remove_file(&promise).with_context(|| format!("cannot remove {}", promise.display()))
}

/// The folders of inputs that earlier runs could not keep.
fn earlier(work: &Path, target: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(run_folder(work, target))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(EARLIER.as_bytes()) {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

/// Adds inputs of this run and of earlier runs to the committed ones, as few as reach everything
/// new.
///
/// Returns false if that failed. The inputs then stay for the next run with `--keep`.
pub(crate) fn keep(runner: &mut Runner<'_>, target: &str) -> anyhow::Result<bool> {
    let committed = runner.project.path("corpus").join(target);
    let folder = run_folder(&runner.work, target);
    let earlier = earlier(&runner.work, target)?;
    let found = || [inputs(&runner.work, target)].into_iter().chain(earlier.iter().cloned());
    fs::create_dir_all(&committed)?;
    for file in found().map(|folder| files(&folder)).collect::<Result<Vec<_>, _>>()?.concat() {
        if file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(REGRESSION.as_bytes())) {
            fs::remove_file(file)?;
        }
    }
    let before = size(&committed)?;
    let mut merge = runner.command(target)?;
    // An input that stops the merge is written to the run's folder, rather than to the root of the
    // checkout.
    merge.arg(libfuzzer::artifacts(runner.project.relative(&folder)));
    merge.arg("-set_cover_merge=1").args(libfuzzer::limits(target)).arg(&committed).args(found());
    let merged = ui::step(&format!("keeping the new inputs of {target}"), &mut merge)
        .map_err(|error| format!("{error:#}"));
    // libFuzzer ignores that it cannot write a file.
    let kept = merged.and_then(|()| work::unwritable(&committed).map_or(Ok(()), Err));
    if let Err(error) = kept {
        note!(
            "{error}\nerror: {target}: its new inputs are not kept; they stay in {}, and the next run with --keep keeps them",
            folder.display()
        );
        return Ok(false);
    }
    for aside in &earlier {
        fs::remove_dir_all(aside).with_context(|| format!("cannot remove {}", aside.display()))?;
    }
    fs::remove_file(folder.join(PROMISE)).context("cannot remove the mark of a run with --keep")?;
    let after = size(&committed)?;
    let committed = command::quote(runner.project.relative(&committed).as_os_str());
    say!("{committed}: {} new inputs, {after} in all", after.saturating_sub(before));
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
