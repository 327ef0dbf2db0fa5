//! `cargo xtask alloc-scan`: the object code of a release build of the driver crates refers to nothing that allocates infallibly.
//!
//! In a driver, memory that is not there is an error code and never the end of the machine. So no object file of the build
//! of `ci/alloc-probe`, which instantiates the generic code, may name what an infallible allocation ends in. The lints
//! `disallowed_types` and `disallowed_methods` say the same of the source; this says it of what the compiler made of it.
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context, bail};
use object::{Object, ObjectSymbol, read::archive::ArchiveFile};
use serde::Deserialize;

use crate::{command, project::Project, ui};

/// The package that is built.
const PROBE: &str = "alloc-probe";
/// The archives that must hold code; what else the build makes is read too.
const REQUIRED: [&str; 3] = ["alloc_probe", "ntcom", "ntcom_exec"];
/// The crate that exists on the host only: it allocates as it likes.
const SIMULATOR: &str = "ntsim";

/// The builds, each with the flags it adds: the executor for DPCs exists only where there is a kernel.
const BUILDS: [(&str, &[&str]); 1] = [("no kernel", &[])];

/// What an infallible allocation refers to, whatever crate it is compiled into.
const FORBIDDEN: [&str; 7] = [
    "handle_alloc_error",
    "alloc_error_handler",
    "__rust_alloc_error",
    "__rdl_oom",
    "raw_vec",
    "capacity_overflow",
    "exchange_malloc",
];

/// Whether a symbol, as it stands in the object file, belongs to an infallible allocation: by its name, or because it is the crate
/// `alloc`'s, whose collections all allocate so. The allocator itself (`__rust_alloc`) is `core`'s and the compiler's business.
fn forbidden(symbol: &str) -> bool {
    FORBIDDEN.iter().any(|name| symbol.contains(name))
        || names_alloc(&format!("{:#}", rustc_demangle::demangle(symbol)))
}

/// Whether a demangled path begins in the crate `alloc`, or a type in it does. A module of that name is not meant.
fn names_alloc(demangled: &str) -> bool {
    demangled.match_indices("alloc::").any(|(at, _)| {
        let before = demangled.get(..at).and_then(|text| text.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    })
}

/// What was seen of an archive.
#[derive(Default, Debug)]
struct Seen {
    objects: u64,
    symbols: u64,
    hits: Vec<String>,
}

/// Reads the object files of an archive.
fn scan(data: &[u8]) -> anyhow::Result<Seen> {
    let archive = ArchiveFile::parse(data)?;
    let mut seen = Seen::default();
    for member in archive.members() {
        let member = member?;
        let name = String::from_utf8_lossy(member.name()).into_owned();
        if !name.ends_with(".o") {
            continue;
        }
        let object =
            object::File::parse(member.data(data)?).with_context(|| format!("{name} is no object file"))?;
        seen.objects += 1;
        for symbol in object.symbols() {
            let Ok(symbol) = symbol.name() else { continue };
            if symbol.is_empty() {
                continue;
            }
            seen.symbols += 1;
            if forbidden(symbol) {
                seen.hits.push(format!("{name}: {:#}", rustc_demangle::demangle(symbol)));
            }
        }
    }
    Ok(seen)
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

/// Builds the probe alone, so that no other package's features are on, and finds its archives.
fn build(project: &Project, name: &str, flags: &[&str]) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut build = command::cargo(project);
    // Link-time optimisation would leave no object code in the archives.
    build
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .args(["build", "--release", "-p", PROBE, "--target-dir", "target/alloc-scan"])
        .args(flags);
    ui::step(&format!("building {PROBE} ({name})"), &mut build)?;
    let output = build.arg("--message-format=json").stdout(Stdio::piped()).output()?;
    Ok(archives(&String::from_utf8_lossy(&output.stdout)))
}

/// The crates of a build that are a driver's: all but the simulator and what it needs.
fn of_the_driver(project: &Project, flags: &[&str], simulated: bool) -> anyhow::Result<Vec<String>> {
    let mut tree = command::cargo(project);
    tree.args([
        "tree",
        "-p",
        PROBE,
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        "{lib}",
    ]);
    tree.args(flags);
    if simulated {
        tree.args(["--prune", SIMULATOR]);
    }
    let output = tree.output()?;
    if !output.status.success() {
        bail!("{} failed:\n{}", command::shell(&tree), String::from_utf8_lossy(&output.stderr));
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(names.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Builds and reads.
pub(crate) fn run(project: &Project) -> anyhow::Result<ExitCode> {
    let mut table = ui::table(&["build", "archive", "objects", "symbols", "hits"], 2..5);
    let mut hits = Vec::new();
    for (name, flags) in BUILDS {
        let archives = build(project, name, flags)?;
        let crates = of_the_driver(project, flags, archives.contains_key(SIMULATOR))?;
        for required in REQUIRED {
            if !archives.contains_key(required) || !crates.iter().any(|name| name == required) {
                bail!("the build ({name}) has no archive of {required}");
            }
        }
        for (archive, file) in archives.iter().filter(|(archive, _)| crates.contains(archive)) {
            let seen = read(file)?;
            if REQUIRED.contains(&archive.as_str()) && (seen.objects == 0 || seen.symbols == 0) {
                bail!("{} has no object code to look at", project.relative(file).display());
            }
            table.add_row([
                name.to_owned(),
                archive.clone(),
                ui::count(seen.objects),
                ui::count(seen.symbols),
                seen.hits.len().to_string(),
            ]);
            hits.extend(seen.hits.into_iter().map(|hit| format!("{archive} ({name}): {hit}")));
        }
    }
    println!("{table}");
    if hits.is_empty() {
        println!("no infallible allocation");
        return Ok(ExitCode::SUCCESS);
    }
    println!("infallible allocations:");
    hits.iter().for_each(|hit| println!("  {hit}"));
    Ok(ExitCode::FAILURE)
}

fn read(file: &Path) -> anyhow::Result<Seen> {
    let data = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    scan(&data).with_context(|| format!("cannot understand {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::{archives, forbidden, scan};

    #[test]
    fn an_infallible_allocation_is_recognised_by_its_symbols() {
        for symbol in [
            // alloc::alloc::handle_alloc_error, both manglings.
            "_ZN5alloc5alloc18handle_alloc_error17h0123456789abcdefE",
            "_RNvNtCs1234567890_5alloc5alloc18handle_alloc_error",
            "__rust_alloc_error_handler",
            "_RNvCs1234567890_7___rustc26___rust_alloc_error_handler",
            "_ZN5alloc7raw_vec17capacity_overflow17h0123456789abcdefE",
            "_ZN5alloc7raw_vec12handle_error17h0123456789abcdefE",
            // <alloc::string::String as core::fmt::Write>::write_str
            "_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Write$GT$9write_str17h0123456789abcdefE",
            // alloc::fmt::format::format_inner
            "_ZN5alloc3fmt6format12format_inner17h0123456789abcdefE",
            // core::ptr::drop_in_place::<alloc::boxed::Box<panic_unwind::imp::Exception>>
            "_RINvNtCsgEmfK2I1SDS_4core3ptr13drop_in_placeINtNtCslNYArtu3iFV_5alloc5boxed3BoxNtNtCsiGO2KWI1TB6_12panic_unwind3imp9ExceptionEEB1j_",
        ] {
            assert!(forbidden(symbol), "{symbol}");
        }
    }

    #[test]
    fn what_can_fail_is_allowed() {
        for symbol in [
            "__rust_alloc",
            "_RNvCs1234567890_7___rustc12___rust_alloc",
            "_RNvCs1234567890_7___rustc35___rust_no_alloc_shim_is_unstable_v2",
            "ExAllocatePool2",
            "memcpy",
            // ntcom_exec::alloc::global::allocate: a module, not the crate.
            "_ZN10ntcom_exec5alloc6global8allocate17h0123456789abcdefE",
            // <ntcom_exec::alloc::GlobalAllocator as ntcom_exec::alloc::Allocator>::allocate
            "_RNvXNtCs1234567890_10ntcom_exec5allocNtB2_15GlobalAllocatorNtB2_9Allocator8allocate",
            "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
            "_ZN4core5alloc6layout6Layout19is_size_align_valid17h0123456789abcdefE",
        ] {
            assert!(!forbidden(symbol), "{symbol}");
        }
    }

    #[test]
    fn an_archive_without_objects_has_none() {
        let seen = scan(b"!<arch>\n").unwrap();
        assert_eq!((seen.objects, seen.symbols), (0, 0));
        assert!(scan(b"no archive").is_err());
    }

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
