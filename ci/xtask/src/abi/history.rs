//! The history of the promises in earlier revisions of the golden file, and the CHANGELOG.
use std::path::Path;

use anyhow::{Context, bail};

use super::golden::{self, Promise};
use crate::{problem::Problem, project::Project};

/// The file's path from the root.
pub(super) const GOLDEN: &str = "abi-tests/abi.golden";

/// The output of a git command, or `None` if the command fails.
fn git(root: &Path, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let mut git = std::process::Command::new("git");
    let output = git.current_dir(root).args(arguments).output().context("cannot run git")?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// The promises of a revision.
///
/// # Errors
/// There is no such revision, or it has no golden file, or its golden file cannot be parsed.
pub(super) fn at(root: &Path, revision: &str) -> anyhow::Result<Vec<Promise>> {
    let commit = format!("{revision}^{{commit}}");
    if git(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])?.is_none() {
        return Err(Problem::Usage(format!("git knows no revision \"{revision}\" here")).into());
    }
    let Some(text) = git(root, &["show", &format!("{revision}:{GOLDEN}")])? else {
        return Err(Problem::Usage(format!("the revision {revision} has no {GOLDEN}")).into());
    };
    golden::parse(&text, true).with_context(|| format!("{GOLDEN} at {revision}"))
}

/// The commits before the present that changed the file, the newest first. `None` means that this
/// is not a git checkout.
pub(super) fn commits(root: &Path) -> anyhow::Result<Option<Vec<String>>> {
    let top = git(root, &["rev-parse", "--show-toplevel"]).unwrap_or_default();
    let same = |top: String| Some(Path::new(top.trim()).canonicalize().ok()? == root.canonicalize().ok()?);
    if top.and_then(same) != Some(true) {
        return Ok(None);
    }
    let Some(log) = git(root, &["log", "--format=%h", "--diff-filter=AM", "--", GOLDEN])? else {
        // The repository has no commit yet.
        return Ok(Some(Vec::new()));
    };
    Ok(Some(log.lines().map(str::to_owned).collect()))
}

/// Fails if the file lacks or changes a line that any earlier commit had. Returns the line of the
/// report.
pub(super) fn check(root: &Path, present: &[Promise], version: &str) -> anyhow::Result<String> {
    let Some(commits) = commits(root)? else {
        return Ok("this is not a git checkout, so earlier promises are not known".to_owned());
    };
    for commit in &commits {
        let breaks = golden::breaks(&at(root, commit)?, present);
        if !breaks.is_empty() {
            let lines: Vec<String> = breaks.iter().map(golden::Break::print).collect();
            bail!(
                "DIFFERENCE: {GOLDEN} is append-only, but lacks promises of commit {commit}:\n{}",
                lines.join("\n")
            );
        }
    }
    if let Some(newest) = commits.first() {
        let old = at(root, newest)?;
        let wrong = |promise: &&&Promise| promise.since != version;
        if let Some(early) = golden::additions(&old, present).iter().find(wrong) {
            bail!(
                "{GOLDEN}: the last cell of a new line must be {version}; it is not in this line:\n  {}",
                early.print()
            );
        }
    }
    let count = commits.len();
    // A shallow clone knows nothing of what came before its first commit, and git does not say so.
    let is_shallow = git(root, &["rev-parse", "--is-shallow-repository"])?;
    if is_shallow.is_some_and(|answer| answer.trim() == "true") {
        return Ok(format!(
            "nothing lost in {count} commits, of a shallow clone, which has no earlier promises"
        ));
    }
    Ok(format!("nothing lost in {count} commits"))
}

/// The interfaces that no ABI heading of the CHANGELOG names with their IIDs. The heading must be
/// in the section of the interface's version, or in one without a version.
pub(super) fn untold<'a>(changelog: &str, promises: &'a [Promise]) -> Vec<&'a Promise> {
    let mut section = "";
    let mut heading = "";
    let mut lines = Vec::new();
    for line in changelog.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            (section, heading) = (title.trim(), "");
        } else if let Some(title) = line.strip_prefix("### ") {
            heading = title.trim();
        } else if heading == "ABI" {
            lines.push((section, line));
        }
    }
    let told = |promise: &Promise| {
        lines.iter().any(|(section, line)| {
            (*section == "Unreleased" || section.split([' ', '[', ']']).any(|word| word == promise.since))
                && line.contains(&format!("`{}", promise.name()))
                && line.contains(promise.cell(2))
        })
    };
    promises.iter().filter(|promise| promise.kind() == "interface" && !told(promise)).collect()
}

/// The revisions of `--against OLD` and `--against OLD..NEW`.
pub(super) fn revisions(against: &str) -> (&str, Option<&str>) {
    match against.split_once("..") {
        Some((old, new)) => (old, Some(new)),
        None => (against, None),
    }
}

/// Reads the file in the checkout.
///
/// # Errors
/// The file is missing or cannot be parsed.
pub(super) fn present(project: &Project) -> anyhow::Result<(String, Vec<Promise>)> {
    let text =
        std::fs::read_to_string(project.path(GOLDEN)).with_context(|| format!("cannot read {GOLDEN}"))?;
    let promises = golden::parse(&text, true).with_context(|| GOLDEN.to_owned())?;
    Ok((text, promises))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{GOLDEN, at, check, commits, golden::parse, revisions, untold};

    const FIRST: &str = "interface | IClock | 0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7a01 | 0.1.0\n\
        size | IClockVtbl | 24 12 | 0.1.0\n";
    const SECOND: &str = "interface | IBell | 0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7a02 | 0.2.0\n";

    fn commit(root: &Path, text: &str) {
        fs::create_dir_all(root.join("abi-tests")).unwrap();
        fs::write(root.join(GOLDEN), text).unwrap();
        for arguments in [
            vec!["init", "--quiet"],
            vec!["add", "."],
            vec!["-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "--message", "x"],
        ] {
            assert!(super::git(root, &arguments).unwrap().is_some(), "{arguments:?}");
        }
    }

    /// A committed change is a break as well, because every revision counts.
    #[test]
    fn every_earlier_revision_is_kept() {
        let root = std::env::temp_dir().join(format!("ntcom-abi-history-{}", std::process::id()));
        drop(fs::remove_dir_all(&root));
        commit(&root, FIRST);
        let both = format!("{FIRST}{SECOND}");
        let now = |text: &str| check(&root, &parse(text, true).unwrap(), "0.2.0");
        assert!(now(FIRST).unwrap().contains("1 commits"));
        assert!(now(&both).is_ok());
        commit(&root, &both.replace("24 12", "32 16"));
        assert!(now(&both.replace("24 12", "32 16")).unwrap_err().to_string().contains("24 12"));
        commit(&root, &both);
        // A third commit cannot undo the mistake of the second.
        assert!(now(&both).unwrap_err().to_string().contains("32 16"));
        assert_eq!(commits(&root).unwrap().unwrap().len(), 3);
        assert_eq!(at(&root, "HEAD").unwrap(), parse(&both, true).unwrap());
        assert!(at(&root, "nope").unwrap_err().to_string().contains("nope"));
        // A folder inside the repository has no history of its own.
        assert_eq!(commits(&root.join("abi-tests")).unwrap(), None);
        fs::remove_dir_all(&root).unwrap();
    }

    /// A build server may have a shallow clone. It must not pass for the whole history.
    #[test]
    fn a_shallow_clone_says_so() {
        let root = std::env::temp_dir().join(format!("ntcom-abi-shallow-{}", std::process::id()));
        drop(fs::remove_dir_all(&root));
        let (whole, shallow) = (root.join("whole"), root.join("shallow"));
        commit(&whole, &FIRST.replace("24 12", "32 16"));
        commit(&whole, FIRST);
        let (from, to) = (format!("file://{}", whole.display()), shallow.display().to_string());
        let clone = ["clone", "--quiet", "--depth", "1", &from, &to];
        assert!(super::git(&root, &clone).unwrap().is_some());
        let now = |root: &Path| check(root, &parse(FIRST, true).unwrap(), "0.1.0");
        assert!(now(&whole).unwrap_err().to_string().contains("32 16"));
        let said = now(&shallow).unwrap();
        assert!(said.contains("1 commits, of a shallow clone"), "{said}");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_new_line_is_in_since_this_version() {
        let root = std::env::temp_dir().join(format!("ntcom-abi-since-{}", std::process::id()));
        drop(fs::remove_dir_all(&root));
        commit(&root, FIRST);
        let both = parse(&format!("{FIRST}{SECOND}"), true).unwrap();
        assert!(check(&root, &both, "0.2.0").is_ok());
        assert!(check(&root, &both, "0.3.0").unwrap_err().to_string().contains("IBell"));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_new_interface_is_told_of_under_the_abi_heading() {
        let promises = parse(&format!("{FIRST}{SECOND}"), true).unwrap();
        let told = |changelog: &str| -> Vec<String> {
            untold(changelog, &promises).iter().map(|promise| promise.name().to_owned()).collect()
        };
        let clock = "- `IClock` 0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7a01: ticks.\n";
        let bell = "- `IBell` 0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7a02: rings.\n";
        assert!(told(&format!("## Unreleased\n\n### ABI\n\n{clock}{bell}")).is_empty());
        assert!(told(&format!("## 0.2.0\n### ABI\n{bell}## 0.1.0\n### ABI\n{clock}")).is_empty());
        assert_eq!(told(&format!("## Unreleased\n### ABI\n{clock}\n### Added\n{bell}")), ["IBell"]);
        assert_eq!(told(&format!("## 0.1.0\n### ABI\n{clock}{bell}")), ["IBell"]);
        assert_eq!(told(&format!("## Unreleased\n### ABI\n{clock}- `IBell`: rings.\n")), ["IBell"]);
    }

    #[test]
    fn one_revision_is_compared_with_the_present() {
        assert_eq!(revisions("v0.1.0"), ("v0.1.0", None));
        assert_eq!(revisions("a..b"), ("a", Some("b")));
    }
}
