//! rustc for the machines that drivers run on: it has no core library for them here, so one is built.
use std::path::PathBuf;

use anyhow::anyhow;

use crate::{build_std::Toolchain, problem::Problem, project::Project, ui};

/// A machine.
pub(super) struct Target {
    /// Its column.
    pub(super) name: &'static str,
    /// What rustc calls it.
    pub(super) triple: &'static str,
    /// 64 or 32.
    pub(super) bits: u32,
}

/// The machines: the one that drivers are for, and one with 32 bits, where `extern "system"` is not C's convention.
pub(super) const TARGETS: [Target; 2] = [
    Target { name: "rustc MSVC", triple: "x86_64-pc-windows-msvc", bits: 64 },
    Target { name: "rustc MSVC", triple: "i686-pc-windows-msvc", bits: 32 },
];

/// Compiles the definitions, without `std` and without linking anything, and gives the library.
///
/// # Errors
/// They do not build. [`Problem::Unavailable`]: core does not.
pub(super) fn build(toolchain: &Toolchain, project: &Project, target: &Target) -> anyhow::Result<PathBuf> {
    let (mut build, made) = toolchain.build(project, target.triple, "core,alloc");
    build.args(["--package", "ntcom-abi-definitions", "--lib", "--no-default-features"]);
    let built = ui::step(&format!("compiling the definitions for {}", target.triple), &mut build);
    built.map_err(|error| match format!("{error:#}") {
        said if said.contains("could not compile `ntcom") => {
            anyhow!("DIFFERENCE: rustc refuses the definitions for {}: {said}", target.triple)
        }
        // Of core, or without what it takes to begin with.
        said => Problem::Unavailable(said).into(),
    })?;
    Ok(made.join("libntcom_abi_definitions.rlib"))
}
