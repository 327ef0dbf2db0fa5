//! rustc for the machines that drivers run on. Their core library is not installed here, so it is
//! built from sources.
use std::path::PathBuf;

use anyhow::anyhow;

use crate::{build_std::Toolchain, problem::Problem, project::Project, ui};

/// A machine that drivers run on.
pub(super) struct Target {
    /// The head of its column in the table.
    pub(super) name: &'static str,
    /// rustc's name for the target.
    pub(super) triple: &'static str,
    /// The width of a pointer, 64 or 32 bits.
    pub(super) bits: u32,
}

/// The targets that are measured. Drivers are for the first. In the second, which is 32-bit,
/// `extern "system"` is not C's calling convention.
pub(super) const TARGETS: [Target; 2] = [
    Target { name: "rustc MSVC", triple: "x86_64-pc-windows-msvc", bits: 64 },
    Target { name: "rustc MSVC", triple: "i686-pc-windows-msvc", bits: 32 },
];

/// Compiles the definitions without `std` and without linking. Returns the library.
///
/// # Errors
/// The definitions do not build. [`Problem::Unavailable`] if core does not build.
pub(super) fn build(toolchain: &Toolchain, project: &Project, target: &Target) -> anyhow::Result<PathBuf> {
    let (mut build, made) = toolchain.build(project, target.triple, "core,alloc");
    build.args(["--package", "ntcom-abi-definitions", "--lib", "--no-default-features"]);
    let built = ui::step(&format!("compiling the definitions for {}", target.triple), &mut build);
    built.map_err(|error| match format!("{error:#}") {
        said if said.contains("could not compile `ntcom") => {
            anyhow!("DIFFERENCE: rustc refuses the definitions for {}: {said}", target.triple)
        }
        // The error is core's, or the toolchain cannot even begin.
        said => Problem::Unavailable(said).into(),
    })?;
    Ok(made.join("libntcom_abi_definitions.rlib"))
}
