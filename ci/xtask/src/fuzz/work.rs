//! Checks that the folder of the runs is allowed, and that it can be written.
use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use anyhow::Context;

use crate::{
    lock::{self, Lock},
    problem::Problem,
    project::Project,
};

/// The folder of the checkout that git ignores.
const IGNORED: &str = "target";
/// The file that is written to find out whether the disk has room.
const PROBE: &str = "probe";
/// The size of that file, which is more than a block of any file system.
const PROBE_SIZE: usize = 1 << 16;

/// Takes the requested folder.
///
/// # Errors
/// [`Problem::Usage`] when the folder has files that a run could delete, or another process uses
/// it.
pub(crate) fn take(project: &Project, asked: &Path) -> anyhow::Result<(PathBuf, Lock)> {
    let folder = project.path(asked);
    check(project, asked, &folder)?;
    let lock = Lock::take(&folder, ", or give this run a folder of its own, as --work target/fuzz-2")?;
    Ok((folder, lock))
}

fn check(project: &Project, asked: &Path, folder: &Path) -> anyhow::Result<()> {
    let root = project.root().canonicalize().context("cannot find the checkout")?;
    let resolved = resolve(folder).with_context(|| format!("cannot resolve {}", asked.display()))?;
    let ignored = root.join(IGNORED);
    let refuse = |why: &str| {
        let asked = asked.display();
        let message = format!(
            "--work {asked}: {why}, and a run makes and deletes files there; name a folder below {IGNORED}/, or an empty one outside of the checkout"
        );
        Err(Problem::Usage(message).into())
    };
    if resolved.starts_with(&ignored) && resolved != ignored {
        return Ok(());
    }
    if resolved.starts_with(&root) {
        return refuse("the folder is a part of the checkout");
    }
    let empty = match fs::read_dir(&resolved) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(_) => return refuse("it is not a folder that can be read"),
    };
    if empty || resolved.join(lock::FILE).is_file() {
        Ok(())
    } else {
        refuse("the folder has files that are not a run's")
    }
}

/// A path without symbolic links and `..`. The part that does not exist yet has no links.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut resolved = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            _ => {
                resolved.push(component);
                match resolved.canonicalize() {
                    Ok(canonical) => resolved = canonical,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(resolved)
}

/// The reason that a folder cannot be written, if there is one. libFuzzer reports nothing when it
/// cannot write an input.
pub(crate) fn unwritable(folder: &Path) -> Option<String> {
    let probe = folder.join(PROBE);
    let written = fs::write(&probe, vec![b'x'; PROBE_SIZE]);
    // The file exists even if its content could not be written.
    drop(fs::remove_file(&probe));
    written.err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::{check, lock, unwritable};
    use crate::{problem::Problem, project::Project};

    #[test]
    fn a_run_is_never_among_the_files_of_the_checkout_or_of_others() {
        let root = std::env::temp_dir().join(format!("xtask-work-{}", std::process::id()));
        for folder in ["checkout/corpus", "checkout/target/debug", "others", "empty", "earlier"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("others/precious"), "x").unwrap();
        fs::write(root.join("earlier").join(lock::FILE), "process 1").unwrap();
        symlink("../corpus", root.join("checkout/target/link")).unwrap();
        let project = Project::at(root.join("checkout"));
        let check = |asked: &str| check(&project, Path::new(asked), &project.path(asked));
        for good in ["target/fuzz", "target/a/b", "../empty", "../new", "../earlier", "corpus/../target/fuzz"]
        {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "corpus",
            "corpus/new",
            ".",
            "",
            "fuzz",
            "target",
            "target/..",
            "target/link",
            "../others",
            "../checkout/new",
        ] {
            let refused = check(bad).unwrap_err();
            assert!(matches!(refused.downcast_ref(), Some(Problem::Usage(_))), "{bad}");
            assert!(refused.to_string().starts_with(&format!("--work {bad}: ")), "{refused}");
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_folder_on_a_full_disk_is_noticed() {
        let folder = std::env::temp_dir().join(format!("xtask-full-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(unwritable(&folder), None);
        symlink("/dev/full", folder.join(super::PROBE)).unwrap();
        assert!(unwritable(&folder).unwrap().contains("No space left"));
        assert!(unwritable(&folder.join("missing")).is_some());
        fs::remove_dir_all(folder).unwrap();
    }
}
