//! The driver of the template, for the real kernel.

use std::{env, fs, path::PathBuf};

use anyhow::Context;

use super::{cargo, host};
use crate::{new_driver, project::Project, ui};

/// The changes by which the driver takes this system for Windows, file by file.
const CHANGES: [(&str, &str, &str); 5] = [
    ("Cargo.toml", "cfg(windows)'.dependencies", "cfg(any(windows, wdk_check))'.dependencies"),
    (
        "Cargo.toml",
        "unsafe_op_in_unsafe_fn",
        "unexpected_cfgs = { level = \"deny\", check-cfg = ['cfg(wdk_check)'] }\nunsafe_op_in_unsafe_fn",
    ),
    ("src/lib.rs", "\"wdk\", windows)", "\"wdk\", wdk_check)"),
    ("src/lib.rs", "\"sim\", windows)", "\"sim\", wdk_check)"),
    ("src/lib.rs", "all(windows,", "all(wdk_check,"),
];

/// Makes a driver and checks it with its feature `wdk`.
pub(super) fn check(project: &Project) -> anyhow::Result<()> {
    let folder = new_driver::trial::folder(project, "wdk");
    new_driver::trial::make_in(project, &folder)?;
    for (file, from, to) in CHANGES {
        let file: PathBuf = folder.join(file);
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        anyhow::ensure!(text.contains(from), "{} has no `{from}`", file.display());
        fs::write(&file, text.replace(from, to))?;
    }
    let mut check = cargo(project, &host(project)?);
    check.current_dir(env::temp_dir()).args(["check", "--features", "wdk", "--manifest-path"]);
    ui::step("checking the driver of the template", check.arg(folder.join("Cargo.toml")))?;
    fs::remove_dir_all(&folder).context("cannot remove the driver")
}
