//! Builds the targets, one at a time, by cargo-fuzz.
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use anyhow::bail;

use super::{Sanitizer, wrapper};
use crate::{
    interrupt,
    project::{BASELINE, Project},
    tools::{self, Unstable},
    ui,
};

/// Builds the targets and the baseline. Returns the path of each binary by name.
pub(crate) fn build(
    project: &Project,
    sanitizer: Sanitizer,
    targets: &[String],
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    tools::cxx()?;
    let compiler = Unstable::find();
    note!("compiler: {}", compiler.name());
    let cargo_fuzz = tools::cargo_fuzz(project)?;
    let folder = project.path("target/fuzz-build").join(sanitizer.name());
    let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);

    let mut binaries = BTreeMap::new();
    // Only the requested targets are built.
    for name in std::iter::once(BASELINE).chain(targets.iter().map(String::as_str)) {
        if interrupt::interrupted() {
            bail!("interrupted");
        }
        let mut command = compiler.command(project, &cargo_fuzz);
        command.args(["build", "--fuzz-dir", "fuzz", "--sanitizer", sanitizer.name(), "--target", &triple]);
        // Inputs have no magic numbers to guess, so comparing operands would only cost time.
        command.arg("--no-trace-compares");
        wrapper::set(&mut command)?;
        command.arg("--target-dir").arg(&folder).arg(name);
        ui::step(&format!("building {name} (sanitizer: {})", sanitizer.name()), &mut command)?;
        let binary = folder.join(&triple).join("release").join(name);
        if !Path::is_file(&binary) {
            bail!("cargo-fuzz built no {}", binary.display());
        }
        binaries.insert(name.to_owned(), binary);
    }
    Ok(binaries)
}
