//! `cargo xtask alloc-scan` checks that release builds of the driver crates never allocate
//! infallibly.
//!
//! In a driver, missing memory is an error code and must never stop the machine. The lints
//! `disallowed_types` and `disallowed_methods` check the source. This command checks the object
//! code, including the generic code that `ci/alloc-probe` instantiates. It does so twice:
//!
//! - *strict*: the build as it ships, but without a kernel. No object file may name a function that
//!   an infallible allocation ends in.
//! - *reach*: the build on the simulated kernel, because the DPC executor exists only there. No
//!   path of references may lead from a function of the driver crates to an infallible allocation.
//!   Paths through the simulator do not count, because it is a host program. That build is not
//!   optimised, so the simulator is not inlined into driver code.
mod reach;
mod strict;
mod symbols;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{ExitCode, Stdio},
};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{command, project::Project, ui};

/// The package that is built.
const PROBE: &str = "alloc-probe";
/// The archives that must have code. Others that the build makes are read as well.
const REQUIRED: [&str; 3] = ["alloc_probe", "ntcom", "ntcom_exec"];
/// The crate that exists on the host only.
const SIMULATOR: &str = "ntsim";

/// Builds both variants and reads their object code.
pub(crate) fn run(project: &Project) -> anyhow::Result<ExitCode> {
    let mut table = ui::table(&["look", "archive", "objects", "symbols or functions", "hits"], 2..5);
    let mut hits = Vec::new();

    for (archive, data) in build(project, false)? {
        let seen =
            strict::scan(&data).with_context(|| format!("the archive of {archive} is not understood"))?;
        if REQUIRED.contains(&archive.as_str()) && (seen.objects == 0 || seen.symbols == 0) {
            bail!("the archive of {archive} has no object code to look at");
        }
        let [objects, symbols] = [seen.objects, seen.symbols].map(ui::count);
        table.add_row(["strict", &archive, &objects, &symbols, &seen.hits.len().to_string()]);
        hits.extend(seen.hits.into_iter().map(|hit| format!("{archive}: {hit}")));
    }

    let archives = build(project, true)?;
    let graph = reach::Graph::read(&archives)?;
    let paths = graph.paths_to_forbidden();
    for archive in archives.keys() {
        let part = graph.part(archive);
        if REQUIRED.contains(&archive.as_str()) && part.roots == 0 {
            bail!("the archive of {archive} has no function to begin at");
        }
        let found = paths.iter().filter(|path| path.archive == *archive).count().to_string();
        table.add_row(["reach", archive, &ui::count(part.objects), &ui::count(part.roots), &found]);
    }
    hits.extend(paths.into_iter().map(|path| format!("{}: {}", path.archive, path.steps.join("\n    -> "))));

    say!("{table}");
    if hits.is_empty() {
        say!("no infallible allocation");
        return Ok(ExitCode::SUCCESS);
    }
    say!("infallible allocations:");
    hits.iter().for_each(|hit| say!("  {hit}"));
    say!("{} infallible allocations", hits.len());
    Ok(ExitCode::FAILURE)
}

/// Builds the probe alone, so that the features of other packages are off, and reads the driver's
/// archives.
fn build(project: &Project, simulated: bool) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let (name, folder) = if simulated { ("simulated kernel", "reach") } else { ("no kernel", "strict") };
    let mut build = command::cargo(project);
    // Link-time optimisation would leave no object code in the archives.
    build.env("CARGO_PROFILE_RELEASE_LTO", "off").args(["build", "--release", "-p", PROBE, "--target-dir"]);
    build.arg(format!("target/alloc-scan/{folder}"));
    if simulated {
        // v0 names tell the crate of a function whatever its generic arguments are.
        build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("RUSTFLAGS", "-Csymbol-mangling-version=v0");
        build.args(["--features", "sim"]);
    }
    ui::step(&format!("building {PROBE} ({name})"), &mut build)?;
    let output = build.arg("--message-format=json").stdout(Stdio::piped()).output()?;
    let archives = archives(&String::from_utf8_lossy(&output.stdout));
    let crates = of_the_driver(project, simulated)?;
    for required in REQUIRED {
        if !archives.contains_key(required) || !crates.iter().any(|name| name == required) {
            bail!("the build ({name}) has no archive of {required}");
        }
    }
    let of_the_driver = archives.into_iter().filter(|(archive, _)| crates.contains(archive));
    of_the_driver
        .map(|(archive, file)| {
            let data = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            Ok((archive, data))
        })
        .collect()
}

#[derive(Deserialize)]
struct Artifact {
    target: Target,
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The archives in the messages of a build, by crate.
fn archives(messages: &str) -> BTreeMap<String, PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    let libraries =
        artifacts.filter(|artifact| artifact.target.kind.iter().any(|kind| kind == "lib" || kind == "rlib"));
    libraries
        .filter_map(|artifact| {
            let name = artifact.target.name.replace('-', "_");
            let archive =
                artifact.filenames.into_iter().find(|file| file.extension().is_some_and(|e| e == "rlib"));
            Some((name, archive?))
        })
        .collect()
}

/// The crates of a build that belong to a driver, which are all but the simulator and its
/// dependencies.
fn of_the_driver(project: &Project, simulated: bool) -> anyhow::Result<Vec<String>> {
    let mut tree = command::cargo(project);
    tree.args(["tree", "-p", PROBE, "--edges", "normal,no-proc-macro", "--prefix", "none"]);
    tree.args(["--format", "{lib}"]);
    if simulated {
        tree.args(["--features", "sim", "--prune", SIMULATOR]);
    }
    let output = tree.output()?;
    if !output.status.success() {
        bail!("{} failed:\n{}", command::shell(&tree), String::from_utf8_lossy(&output.stderr));
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(names.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::archives;

    #[test]
    fn archives_are_those_of_this_build() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"ntcom-exec","kind":["lib"]},"filenames":["/t/libntcom_exec-1.rlib","/t/libntcom_exec-1.rmeta"]}
{"reason":"compiler-artifact","target":{"name":"build-script-build","kind":["custom-build"]},"filenames":["/t/b"]}
{"reason":"build-finished","success":true}"#;
        let archives = archives(messages);
        assert_eq!(archives.len(), 1);
        assert_eq!(archives.get("ntcom_exec").unwrap().to_str(), Some("/t/libntcom_exec-1.rlib"));
    }
}
