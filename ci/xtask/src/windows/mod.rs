//! `cargo xtask windows` builds client programs in C and C++ as Windows executables, against a Rust
//! DLL.
//!
//! The DLL is `abi-tests/factories`, built for Windows with a standard library that is built for
//! it. It has the runtime and the executor that ship, on the simulated kernel. A DLL in which two
//! crates declare one IID must not link.
//!
//! The tests of `abi-tests` run the same programs natively (`c/program.c`). Here mingw gcc compiles
//! them, and clang with MSVC's ABI and without an SDK. This command always reads the exports and
//! imports of the files. It runs them where there is Wine.
mod image;
mod library;
mod programs;
mod verdict;
mod wine;

use std::{fs, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;

use self::{
    image::Image,
    library::EXPORTS,
    programs::{PROGRAMS, Program, Tools},
    verdict::Verdict,
    wine::Wine,
};
use crate::{project::Project, ui};

/// The folder of all files that this command makes.
const FOLDER: &str = "target/windows";
/// A source of ours for a DLL that Wine lacks, and the DLL's name.
const SHIM: (&str, &str) = ("abi-tests/windows/bcryptprimitives.c", "bcryptprimitives.dll");

/// Options of `cargo xtask windows`.
#[derive(Args)]
pub(crate) struct Options {
    /// Installs Wine where it is missing: Debian's package wine64, 1.4 GB.
    #[arg(long)]
    install: bool,
}

/// Builds the files, reads them, and runs them where there is Wine.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    let tools = Tools::find(project)?;
    if options.install {
        wine::install(project)?;
    }
    let library = library::build(project)?;
    let dll = Image::read(&library)?;
    dll.exports_only(&EXPORTS)?;
    dll.imports_from_only(&library::SYSTEM)?;
    library::refuses_one_iid_twice(project)?;

    let folder = project.path(FOLDER).join("run");
    fs::create_dir_all(&folder)?;
    fs::copy(&library, folder.join(library::NAME)).context("cannot copy the DLL")?;
    let mut paths = Vec::new();
    for program in &PROGRAMS {
        let path = tools.build(project, program, &folder)?;
        program.check(&Image::read(&path)?)?;
        paths.push(path);
    }
    let checked = format!(
        "a DLL and {} programs have the expected exports and imports; an image with an IID twice does not link",
        paths.len()
    );

    let Some(wine) = Wine::find() else {
        print(&PROGRAMS.map(|_| Verdict::NotRun));
        say!("skipped: running the programs: there is no Wine here; to install it: {}", wine::BY_HAND);
        say!("{checked}; skipped: running them, without Wine ({})", wine::BY_HAND);
        return Ok(ExitCode::SUCCESS);
    };
    tools.build_dll(project, SHIM.0, &folder.join(SHIM.1))?;
    let session = wine.begin(project)?;
    let mut verdicts = Vec::new();
    for (program, path) in PROGRAMS.iter().zip(&paths) {
        verdicts.push(Verdict::of(program.language, &session.run(path)?));
    }
    drop(session);
    print(&verdicts);
    for (program, verdict) in PROGRAMS.iter().zip(&verdicts) {
        if let Verdict::Failed { said, .. } = verdict {
            say!("{} by {}:\n{said}\n", program.language.name(), program.compiler.name());
        }
    }
    let failed = verdicts.iter().filter(|verdict| !matches!(verdict, Verdict::Passed { .. })).count();
    if failed != 0 {
        bail!("{failed} of {} programs failed under {}", verdicts.len(), wine.version());
    }
    say!("{checked}; {} run under {}, and find all as promised", verdicts.len(), wine.version());
    Ok(ExitCode::SUCCESS)
}

/// Prints the table of programs with their verdicts.
fn print(verdicts: &[Verdict]) {
    let mut table = ui::table(&["client", "compiler", "imports", "run"], 0..0);
    for (Program { language, compiler }, verdict) in PROGRAMS.iter().zip(verdicts) {
        let verdict = verdict.to_string();
        table.add_row([language.name(), compiler.name(), "as they should be", verdict.as_str()]);
    }
    say!("{table}");
}
