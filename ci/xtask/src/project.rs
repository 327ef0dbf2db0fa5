//! The place of the checkout, and its fuzz targets.
use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{command, problem::Problem};

/// The package of the fuzz targets.
const FUZZ_PACKAGE: &str = "ntcom-fuzz";
/// The package's folder of targets. A binary from elsewhere, such as the baseline, is not a target.
const FUZZ_TARGETS: &str = "fuzz_targets";
/// The binary that does nothing. Speeds are measured against it, and it is never a target.
pub(crate) const BASELINE: &str = "empty";

/// The checkout.
pub(crate) struct Project {
    root: PathBuf,
}

impl Project {
    /// The checkout that this program was started from, which cargo names.
    pub(crate) fn find() -> Self {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let manifest = PathBuf::from(manifest);
        let root = manifest.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
        Self { root }
    }

    /// A checkout for a test.
    #[cfg(test)]
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The root folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the root.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// A path as a person types it at the root.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// The fuzz targets, in the order of `fuzz/Cargo.toml`.
    pub(crate) fn fuzz_targets(&self) -> anyhow::Result<Vec<String>> {
        let output = command::cargo(self)
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path", "fuzz/Cargo.toml"])
            .output()
            .context("cannot run cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        fuzz_targets_of(&output.stdout)
    }

    /// The requested targets, or all if none is requested.
    pub(crate) fn chosen_targets(&self, asked: &[String]) -> anyhow::Result<Vec<String>> {
        choose(&self.fuzz_targets()?, asked)
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

/// The fuzz targets in the output of `cargo metadata`.
fn fuzz_targets_of(metadata: &[u8]) -> anyhow::Result<Vec<String>> {
    let metadata: Metadata =
        serde_json::from_slice(metadata).context("cargo metadata printed something else")?;
    let Some(package) = metadata.packages.into_iter().find(|package| package.name == FUZZ_PACKAGE) else {
        bail!("the workspace has no package {FUZZ_PACKAGE}");
    };
    let is_target = |target: &Target| {
        target.kind.iter().any(|kind| kind == "bin")
            && target.src_path.parent().is_some_and(|folder| folder.ends_with(FUZZ_TARGETS))
    };
    Ok(package.targets.into_iter().filter(is_target).map(|target| target.name).collect())
}

/// The requested targets, each once and in the project's order.
fn choose(all: &[String], asked: &[String]) -> anyhow::Result<Vec<String>> {
    if let Some(unknown) = asked.iter().find(|name| !all.contains(name)) {
        let list: String = all.iter().map(|name| format!("\n  {name}")).collect();
        let message = format!("there is no fuzz target \"{unknown}\"; the targets are:{list}");
        return Err(Problem::Usage(message).into());
    }
    Ok(all.iter().filter(|name| asked.is_empty() || asked.contains(name)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::{BASELINE, Project, choose, fuzz_targets_of};
    use crate::problem::Problem;

    const METADATA: &str = r#"{"packages":[
        {"name":"other","targets":[{"name":"x","kind":["bin"],"src_path":"/p/fuzz_targets/x.rs"}]},
        {"name":"ntcom-fuzz","targets":[
            {"name":"ntcom_fuzz","kind":["lib"],"src_path":"/p/fuzz/src/lib.rs"},
            {"name":"empty","kind":["bin"],"src_path":"/p/fuzz/src/bin/empty.rs"},
            {"name":"vtable","kind":["bin"],"src_path":"/p/fuzz/fuzz_targets/vtable.rs"},
            {"name":"schedules","kind":["bin"],"src_path":"/p/fuzz/fuzz_targets/schedules.rs"}]}]}"#;

    #[test]
    fn a_target_is_a_binary_in_the_folder_of_targets() {
        assert_eq!(fuzz_targets_of(METADATA.as_bytes()).unwrap(), ["vtable", "schedules"]);
    }

    #[test]
    fn the_targets_of_this_checkout_are_read_from_its_manifest() {
        let targets = Project::find().fuzz_targets().unwrap();
        assert!(targets.len() >= 6 && !targets.iter().any(|name| name == BASELINE), "{targets:?}");
    }

    #[test]
    fn an_unknown_target_is_bad_usage_and_lists_the_targets() {
        let all = ["a".to_owned(), "b".to_owned()];
        let error = choose(&all, &["nope".to_owned()]).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Problem::Usage(_))));
        assert_eq!(error.to_string(), "there is no fuzz target \"nope\"; the targets are:\n  a\n  b");
        assert_eq!(choose(&all, &[]).unwrap(), all);
        assert_eq!(choose(&all, &["b".to_owned(), "b".to_owned()]).unwrap(), ["b"]);
    }
}
