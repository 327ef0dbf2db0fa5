//! The Rust DLL: `abi-tests/factories` for Windows, with a standard library that is built for it.
use std::path::PathBuf;

use anyhow::{anyhow, bail};

use crate::{build_std::Toolchain, command::capture, features::iids, problem::Problem, project::Project, ui};

/// Its file.
pub(super) const NAME: &str = "ntcom_abi_factories.dll";
/// mingw's gcc links it, and has the libraries of imports that `std` needs.
const TARGET: &str = "x86_64-pc-windows-gnu";
/// What it exports: `abi-tests/c/factories.h`. Programs are linked with this list and never with the DLL itself, so that what is not there is
/// not found either.
pub(super) const EXPORTS: [&str; 7] = [
    "abi_calls_ours",
    "abi_in_kernel",
    "abi_is_called",
    "abi_judge",
    "abi_live_blocks",
    "abi_say",
    "abi_spawn",
];
/// The DLLs of Windows that it may import from: none of mingw's, which nobody would have beside it.
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

/// Builds it.
///
/// # Errors
/// It does not build. [`Problem::Unavailable`]: there is no compiler for it, or the standard library does not build.
pub(super) fn build(project: &Project) -> anyhow::Result<PathBuf> {
    let toolchain = Toolchain::find(project).map_err(Problem::Unavailable)?;
    let (mut build, made) = toolchain.build(project, TARGET, "std,panic_abort");
    // Nobody looks at a backtrace of std's here.
    build.args(["-Zbuild-std-features=", "--locked", "--package", "ntcom-abi-factories"]);
    build.env("CARGO_PROFILE_DEV_PANIC", "abort").env("CARGO_INCREMENTAL", "0");
    let built = ui::step(&format!("building {NAME} and a standard library for {TARGET}"), &mut build);
    built.map_err(|error| match format!("{error:#}") {
        said if said.contains("could not compile `nt") => anyhow!("{NAME} does not build: {said}"),
        // Of the standard library, or without what it takes to begin with.
        said => Problem::Unavailable(said).into(),
    })?;
    Ok(made.join(NAME))
}

/// Two declarations with one IID do not link into a Windows image: mingw's linker names the IID.
///
/// # Errors
/// They do, or there is another reason.
pub(super) fn refuses_one_iid_twice(project: &Project) -> anyhow::Result<()> {
    let manifest = iids::workspace(project)?.join("Cargo.toml");
    let toolchain = Toolchain::find(project).map_err(Problem::Unavailable)?;
    let (mut build, _) = toolchain.build(project, TARGET, "std,panic_abort");
    build.args(["-Zbuild-std-features=", "--package", "image", "--manifest-path"]).arg(manifest);
    build.env("CARGO_PROFILE_DEV_PANIC", "abort").env("CARGO_INCREMENTAL", "0");
    let captured = capture(&mut build, |_| {})?;
    if captured.status.success() || !captured.output.contains(iids::SYMBOL) {
        bail!("an image for {TARGET} with one IID twice has to be refused for it:\n{}", captured.output);
    }
    Ok(())
}
