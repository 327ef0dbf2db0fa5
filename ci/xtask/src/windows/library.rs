//! The Rust DLL: `abi-tests/factories` for Windows, with a standard library that is built for it.
use std::path::PathBuf;

use anyhow::{anyhow, bail};

use crate::{build_std::Toolchain, command::capture, features::iids, problem::Problem, project::Project, ui};

/// The name of the DLL's file.
pub(super) const NAME: &str = "ntcom_abi_factories.dll";
/// The DLL's target. mingw's gcc links it, and has the import libraries that `std` needs.
const TARGET: &str = "x86_64-pc-windows-gnu";
/// The exports, as in `abi-tests/c/factories.h`. Programs are linked with this list rather than
/// with the DLL, so that a missing export is noticed.
pub(super) const EXPORTS: [&str; 7] = [
    "abi_calls_ours",
    "abi_in_kernel",
    "abi_is_called",
    "abi_judge",
    "abi_live_blocks",
    "abi_say",
    "abi_spawn",
];
/// The DLLs of Windows that ours may import from. None of mingw's is among them, because a user
/// would not have it.
pub(super) const SYSTEM: [&str; 8] = [
    "advapi32.dll",
    "api-ms-win-core-synch-l1-2-0.dll",
    "bcryptprimitives.dll",
    "kernel32.dll",
    "msvcrt.dll",
    "ntdll.dll",
    "userenv.dll",
    "ws2_32.dll",
];

/// Builds the DLL.
///
/// # Errors
/// The DLL does not build. [`Problem::Unavailable`] if there is no compiler for it, or the standard
/// library does not build.
pub(super) fn build(project: &Project) -> anyhow::Result<PathBuf> {
    let toolchain = Toolchain::find(project).map_err(Problem::Unavailable)?;
    let (mut build, made) = toolchain.build(project, TARGET, "std,panic_abort");
    // Backtraces of std are not needed here.
    build.args(["-Zbuild-std-features=", "--locked", "--package", "ntcom-abi-factories"]);
    build.env("CARGO_PROFILE_DEV_PANIC", "abort").env("CARGO_INCREMENTAL", "0");
    let built = ui::step(&format!("building {NAME} and a standard library for {TARGET}"), &mut build);
    built.map_err(|error| match format!("{error:#}") {
        said if said.contains("could not compile `nt") => anyhow!("{NAME} does not build: {said}"),
        // The error is the standard library's, or the toolchain cannot even begin.
        said => Problem::Unavailable(said).into(),
    })?;
    Ok(made.join(NAME))
}

/// Checks that two declarations with one IID do not link into a Windows image, and that mingw's
/// linker names the IID.
///
/// # Errors
/// They link, or the linker gives another reason.
pub(super) fn refuses_one_iid_twice(project: &Project) -> anyhow::Result<()> {
    let manifest = iids::workspace(project)?.join("Cargo.toml");
    let toolchain = Toolchain::find(project).map_err(Problem::Unavailable)?;
    let (mut build, _) = toolchain.build(project, TARGET, "std,panic_abort");
    build.args(["-Zbuild-std-features=", "--package", "image", "--manifest-path"]).arg(manifest);
    build.env("CARGO_PROFILE_DEV_PANIC", "abort").env("CARGO_INCREMENTAL", "0");
    let captured = capture(&mut build, |_| {})?;
    if captured.status.success() || !captured.output.contains(iids::SYMBOL) {
        bail!(
            "the linker must refuse an image for {TARGET} with one IID twice, and name the IID:\n{}",
            captured.output
        );
    }
    Ok(())
}
