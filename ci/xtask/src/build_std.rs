//! A toolchain that builds the core library for targets that it has none for, from the sources.
//! rustup's toolchains may have them, and Debian's does.
use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{command, debian, project::Project};

/// The folder of all such builds. They share it, so that code for this machine, such as procedural
/// macros, is built once.
const FOLDER: &str = "target/build-std";
/// Debian's toolchain and its sources.
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// The folder of Debian's toolchain. Another one may come first in `PATH`.
const DEBIAN: &str = "/usr/bin";
/// The oldest version that builds the crates.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// A cargo with a rustc that has the sources of core.
pub(crate) struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
}

impl Toolchain {
    /// The toolchain at hand if it has sources, else Debian's, which is installed where that is
    /// allowed.
    ///
    /// # Errors
    /// No toolchain has sources. The text gives the reason.
    pub(crate) fn find(project: &Project) -> Result<Self, String> {
        let own = Self { cargo: command::cargo(project).get_program().into(), rustc: "rustc".into() };
        let debian =
            || Self { cargo: Path::new(DEBIAN).join("cargo"), rustc: Path::new(DEBIAN).join("rustc") };
        if own.is_usable().is_ok() {
            return Ok(own);
        }
        if debian().is_usable().is_err() {
            debian::update(project).map_err(|error| format!("{error:#}"))?;
            debian::install(project, &PACKAGES).map_err(|error| format!("{error:#}"))?;
        }
        debian().is_usable().map(|()| debian())
    }

    fn prints(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new(&self.rustc)
            .args(arguments)
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn is_usable(&self) -> Result<(), String> {
        let rustc = self.rustc.display();
        let version = self.prints(&["--version"]).ok_or_else(|| format!("there is no {rustc}"))?;
        if !is_new_enough(&version) {
            return Err(format!("{rustc} is {version}, older than {OLDEST}"));
        }
        let sysroot = self.prints(&["--print", "sysroot"]).unwrap_or_default();
        let sources = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core");
        if sources.is_dir() { Ok(()) } else { Err(format!("{rustc} has no sources of core")) }
    }

    /// `cargo build` for a target with these libraries of Rust's, without debug information, and
    /// the folder of the build's results.
    pub(crate) fn build(&self, project: &Project, target: &str, libraries: &str) -> (Command, PathBuf) {
        let mut build = command::at_root(project, &self.cargo);
        build.env("RUSTC", &self.rustc).env("RUSTC_BOOTSTRAP", "1").env("CARGO_PROFILE_DEV_DEBUG", "0");
        build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        build.args(["build", "--quiet", &format!("-Zbuild-std={libraries}"), "--target", target]);
        build.args(["--target-dir", FOLDER]);
        (build, project.path(FOLDER).join(target).join("debug"))
    }
}

/// Whether a version such as `rustc 1.96.0 (…)` may build the crates.
fn is_new_enough(version: &str) -> bool {
    let numbers = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let found = version.split(' ').nth(1).and_then(numbers);
    found.is_some() && found >= numbers(OLDEST)
}

#[cfg(test)]
mod tests {
    use super::{OLDEST, is_new_enough};

    #[test]
    fn an_old_compiler_is_refused() {
        assert!(is_new_enough(&format!("rustc {OLDEST}.0 (59807616e 2026-04-14)")));
        assert!(is_new_enough("rustc 2.0.0"));
        assert!(!is_new_enough("rustc 1.85.0 (4d91de4e4 2025-02-17)") && !is_new_enough("nothing"));
    }
}
