//! `cargo xtask wdk-check` type-checks the binding to the real kernel against the real wdk-sys, on
//! Linux, and runs it on ntsim.
//!
//! wdk-sys's build script makes its bindings from the WDK's headers, and refuses every host but
//! Windows. A configuration file of cargo may replace the output of a script that `links` a
//! library. So this command makes the bindings with the script's options, and the file names their
//! folder. The headers are mingw-w64's DDK. Their declarations are not the WDK's, and where they
//! are wrong only a build on Windows notices.
//!
//! The check finds wrong calls and types of ours, and differences between wdk-sys and ntsim
//! (`kernel-exec/src/nt/parity.rs`). A test program (`kernel-exec/tests/wdk.rs`) then has ntsim
//! define what wdk-sys declares. It runs the executor as in a driver, except for its optimisation
//! and its target.
mod bindings;
mod sources;
mod template;

pub(crate) use self::bindings::CLANG;

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, bail};

use crate::{command, project::Project, ui};

/// The folder of all files that this command makes.
const FOLDER: &str = "target/wdk";
/// cargo's target folder.
const BUILD: &str = "target/wdk/build";
/// The configuration file that replaces wdk-sys's build script.
const CONFIG: &str = "target/wdk/config.toml";
/// The steps, each with a name and cargo's arguments. Unit tests are checked too, because the
/// parity of the two kernels is one of them.
const STEPS: [(&str, &[&str]); 4] = [
    ("checking ntcom-exec", &["check", "-p", "ntcom-exec", "--features", "wdk", "--all-targets"]),
    ("checking ntcom", &["check", "-p", "ntcom", "--features", "async-com-kernel"]),
    ("checking the example driver", &["check", "-p", "sensor-driver", "--features", "wdk"]),
    ("running ntcom-exec on ntsim", &["test", "-p", "ntcom-exec", "--features", "wdk", "--test", "wdk"]),
];

/// The steps with a wdk-sys that is built for KMDF.
const KMDF_STEPS: [(&str, &[&str]); 1] =
    [("checking ntcom-exec for KMDF", &["check", "-p", "ntcom-exec", "--features", "kmdf"])];

/// Makes the bindings and checks both driver models.
pub(crate) fn run(project: &Project) -> anyhow::Result<ExitCode> {
    let folder = project.path(FOLDER).join("bindings");
    bindings::generate(project, &folder)?;
    let kmdf = project.path(FOLDER).join("bindings-kmdf");
    bindings::add_kmdf(project, &folder, &kmdf)?;
    check(project, "WDM", &folder, &STEPS)?;
    template::check(project)?;
    check(project, "KMDF", &kmdf, &KMDF_STEPS)?;
    say!("ntcom-exec and ntcom agree with wdk-sys (mingw-w64's declarations, not the WDK's)");
    Ok(ExitCode::SUCCESS)
}

/// Runs these steps with wdk-sys for a driver model, with the bindings in a folder.
fn check(project: &Project, model: &str, folder: &Path, steps: &[(&str, &[&str])]) -> anyhow::Result<()> {
    let host = host(project)?;
    let folder = folder.to_str().context("the path of this checkout is not UTF-8")?;
    let file = project.path(CONFIG);
    fs::write(&file, config(&host, model, folder)?).with_context(|| format!("cannot write {CONFIG}"))?;
    for (what, arguments) in steps {
        let mut cargo = cargo(project, &host);
        ui::step(what, cargo.args(*arguments).arg("--locked"))?;
    }
    Ok(())
}

/// cargo, with wdk-sys as the configuration file says.
fn cargo(project: &Project, host: &str) -> Command {
    let mut cargo = command::cargo(project);
    // These variables would replace the flags of the configuration file.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env("CARGO_BUILD_TARGET", host).env("CARGO_TARGET_DIR", project.path(BUILD));
    cargo.arg("--config").arg(project.path(CONFIG));
    cargo
}

/// The target that cargo builds for by default.
fn host(project: &Project) -> anyhow::Result<String> {
    let output = command::cargo(project).arg("-vV").output().context("cannot run cargo")?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(host) = version.lines().find_map(|line| line.strip_prefix("host: ")) else {
        bail!("cargo -vV does not name its host");
    };
    Ok(host.to_owned())
}

/// The configuration file that replaces wdk-sys's build script.
fn config(host: &str, model: &str, bindings: &str) -> anyhow::Result<String> {
    // A JSON string is a valid TOML string with the same meaning.
    let bindings = serde_json::to_string(bindings)?;
    Ok(format!(
        "[target.{host}]\n\
         rustflags = [\"--cfg\", \"wdk_check\", \"-Dwarnings\"]\n\
         \n\
         [target.{host}.wdk]\n\
         rustc-cfg = ['driver_model__driver_type=\"{model}\"']\n\
         rustc-env = {{ OUT_DIR = {bindings} }}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::config;

    #[test]
    fn the_folder_of_the_bindings_is_quoted() {
        let config = config("x86_64-unknown-linux-gnu", "WDM", r#"/a "b"\c"#).unwrap();
        assert!(config.contains("\n[target.x86_64-unknown-linux-gnu.wdk]\n"), "{config}");
        assert!(config.contains(r#"OUT_DIR = "/a \"b\"\\c" }"#), "{config}");
    }
}
