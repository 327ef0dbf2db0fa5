//! The tools that commands need, and their installation.
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{command, problem::Problem, project::Project, ui};

/// The folder of the installed tools.
pub(crate) const TOOLS: &str = "target/tools";

/// A program from the crate registry.
struct Tool {
    /// The name of its crate.
    package: &'static str,
    /// The name of the program.
    program: &'static str,
    /// The version that is installed.
    version: &'static str,
    /// The prefix of versions that may be used.
    series: &'static str,
}

const CARGO_FUZZ: Tool =
    Tool { package: "cargo-fuzz", program: "cargo-fuzz", version: "0.13.2", series: "0.13." };
const BINDGEN: Tool = Tool { package: "bindgen-cli", program: "bindgen", version: "0.73.2", series: "0.73." };

/// A compiler that accepts `-Z` flags.
pub(crate) enum Unstable {
    /// A nightly toolchain of rustup.
    Nightly(String),
    /// The default toolchain with RUSTC_BOOTSTRAP=1. The text says what is missing, and how to
    /// install it.
    Bootstrap(&'static str),
}

impl Unstable {
    /// Finds a nightly toolchain.
    pub(crate) fn find() -> Self {
        let Ok(list) = Command::new("rustup").args(["toolchain", "list"]).output() else {
            return Self::Bootstrap("there is no rustup, which has nightly toolchains (https://rustup.rs)");
        };
        let list = String::from_utf8_lossy(&list.stdout);
        let works = |name: &String| {
            let run = Command::new("rustup").args(["run", name, "cargo", "--version"]).output();
            run.is_ok_and(|output| output.status.success())
        };
        let none = "there is no nightly toolchain (rustup toolchain install nightly)";
        nightlies(&list).into_iter().find(works).map_or(Self::Bootstrap(none), Self::Nightly)
    }

    /// The command for a program that finds this compiler as `cargo` and `rustc`.
    ///
    /// `rustup run` sets RUSTUP_TOOLCHAIN, which has precedence over rust-toolchain.toml and over
    /// the value that `cargo run` has set.
    pub(crate) fn command(&self, project: &Project, program: &std::path::Path) -> Command {
        match self {
            Self::Nightly(name) => {
                let mut command = command::at_root(project, "rustup");
                command.args(["run", name]).arg(program);
                command
            }
            Self::Bootstrap(_) => {
                let mut command = command::at_root(project, program);
                command.env("RUSTC_BOOTSTRAP", "1");
                command
            }
        }
    }

    /// The compiler's name for a person.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Nightly(name) => name.clone(),
            Self::Bootstrap(missing) => format!("{missing}: the default toolchain with RUSTC_BOOTSTRAP=1"),
        }
    }
}

/// The nightly toolchains in the output of `rustup toolchain list`, with the undated one first.
fn nightlies(list: &str) -> Vec<String> {
    let mut names: Vec<String> = list
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("nightly"))
        .map(str::to_owned)
        .collect();
    names.sort_by_key(|name| name.starts_with("nightly-2"));
    names
}

/// Makes sure that programs of ours, such as cargo-fuzz, find `cargo` and `rustc` in `PATH`. The
/// user may have run cargo by its path.
///
/// # Errors
/// [`Problem::Unavailable`] when there is no cargo.
pub(crate) fn find_cargo() -> anyhow::Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|folder| folder.join("cargo").is_file()) {
        return Ok(());
    }
    let cargo = env::var_os("CARGO").map(PathBuf::from).filter(|cargo| cargo.is_file());
    let Some(folder) = cargo.as_deref().and_then(Path::parent) else {
        let message = "there is no cargo in PATH: install Rust by https://rustup.rs, or add cargo's folder, mostly \
                       ~/.cargo/bin, to PATH";
        return Err(Problem::Unavailable(message.to_owned()).into());
    };
    let path = env::join_paths(env::split_paths(&path).chain([folder.to_owned()]))?;
    // SAFETY: `main` calls this before it starts a thread, so no other thread reads the
    // environment.
    unsafe { env::set_var("PATH", path) };
    Ok(())
}

impl Tool {
    /// Whether the output of `--version` names a usable version.
    fn usable(&self, version: &str) -> bool {
        version.trim().rsplit(' ').next().is_some_and(|version| version.starts_with(self.series))
    }

    /// The program in the checkout's tools, else a usable one in `PATH`, else one that is installed
    /// into the checkout's tools.
    fn find(&self, project: &Project) -> anyhow::Result<PathBuf> {
        let Self { package, program, version, .. } = self;
        let own = project.path(TOOLS).join("bin").join(format!("{program}{}", env::consts::EXE_SUFFIX));
        for candidate in [own.clone(), PathBuf::from(program)] {
            let output = Command::new(&candidate).arg("--version").output();
            if output.is_ok_and(|output| self.usable(&String::from_utf8_lossy(&output.stdout))) {
                return Ok(candidate);
            }
        }
        let mut install = command::cargo(project);
        install.args(["install", package, "--version", version, "--locked", "--force", "--root", TOOLS]);
        ui::step(&format!("installing {package} {version}"), &mut install)
            .map_err(|error| Problem::Unavailable(format!("{package} cannot be installed: {error:#}")))?;
        Ok(own)
    }
}

/// The path of cargo-fuzz, which is installed if it is missing.
///
/// # Errors
/// [`Problem::Unavailable`] when it cannot be installed.
pub(crate) fn cargo_fuzz(project: &Project) -> anyhow::Result<PathBuf> {
    CARGO_FUZZ.find(project)
}

/// The path of bindgen, which is installed if it is missing.
///
/// # Errors
/// [`Problem::Unavailable`] when it cannot be installed.
pub(crate) fn bindgen(project: &Project) -> anyhow::Result<PathBuf> {
    BINDGEN.find(project)
}

/// Checks that there is a C++ compiler, which compiles libFuzzer.
///
/// # Errors
/// [`Problem::Unavailable`] when there is none.
pub(crate) fn cxx() -> anyhow::Result<()> {
    let named = env::var_os("CXX");
    let candidates = named.into_iter().chain(["c++".into(), "g++".into(), "clang++".into()]);
    let works = |name: &std::ffi::OsString| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    if candidates.into_iter().any(|name| works(&name)) {
        return Ok(());
    }
    Err(Problem::Unavailable("there is no C++ compiler (c++), which libFuzzer is compiled with".to_owned())
        .into())
}

#[cfg(test)]
mod tests {
    use super::{BINDGEN, CARGO_FUZZ, nightlies};

    #[test]
    fn only_versions_of_one_series_are_used() {
        assert!(CARGO_FUZZ.usable("cargo-fuzz 0.13.2\n"));
        assert!(!CARGO_FUZZ.usable("cargo-fuzz 0.12.0\n"));
        assert!(!CARGO_FUZZ.usable(""));
        assert!(BINDGEN.usable("bindgen 0.73.2\n"));
    }

    #[test]
    fn the_undated_nightly_comes_first() {
        let list = "stable-x86_64-unknown-linux-gnu (default)\nnightly-2026-01-01-x86_64-unknown-linux-gnu\n\
                    nightly-x86_64-unknown-linux-gnu\n";
        assert_eq!(
            nightlies(list),
            ["nightly-x86_64-unknown-linux-gnu", "nightly-2026-01-01-x86_64-unknown-linux-gnu"]
        );
        assert!(nightlies("no installed toolchains\n").is_empty());
    }
}
