//! The compilers, and what each is a judge of.
use std::{env, path::Path, process::Command};

use anyhow::bail;

use crate::{debian, project::Project, wdk_check};

/// The Debian packages of what may be missing.
const PACKAGES: [&str; 5] =
    ["g++", "clang-19", "gcc-mingw-w64-x86-64-win32", "g++-mingw-w64-x86-64-win32", "mingw-w64-x86-64-dev"];

/// A language of the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Language {
    /// C11.
    C,
    /// C++17, as a driver is compiled: without exceptions and RTTI.
    Cpp,
}

impl Language {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::C, Self::Cpp];

    /// What a compiler is told.
    pub(super) fn options(self) -> &'static [&'static str] {
        match self {
            Self::C => &["-xc", "-std=c11"],
            Self::Cpp => &["-xc++", "-std=c++17", "-fno-exceptions", "-fno-rtti"],
        }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Cpp => "C++",
        }
    }
}

/// A compiler with a target.
pub(super) struct Judge {
    /// Its column.
    pub(super) name: &'static str,
    /// The C and the C++ compiler; the first names that there are.
    programs: [&'static [&'static str]; 2],
    /// What they are told.
    pub(super) target: &'static [&'static str],
    /// 64 or 32.
    pub(super) bits: u32,
    /// Whether it has MSVC's C++ ABI, whose slots are read from a dump of its tables.
    pub(super) msvc: bool,
}

/// mingw-w64's wdm.h and its header of intrinsics both define these, which C++ does not allow: the former's is enough.
const DEFINED_TWICE: [&str; 2] =
    ["-D__INTRINSIC_DEFINED_InterlockedBitTestAndSet", "-D__INTRINSIC_DEFINED_InterlockedBitTestAndReset"];

const GCC: [&[&str]; 2] = [&["gcc"], &["g++"]];
const CLANG: [&[&str]; 2] = [
    &["clang-19", "clang-20", "clang-21", "clang-22", "clang"],
    &["clang++-19", "clang++-20", "clang++-21", "clang++-22", "clang++"],
];
const MINGW: [&[&str]; 2] = [
    &["x86_64-w64-mingw32-gcc", "x86_64-w64-mingw32-gcc-win32", "x86_64-w64-mingw32-gcc-posix"],
    &["x86_64-w64-mingw32-g++", "x86_64-w64-mingw32-g++-win32", "x86_64-w64-mingw32-g++-posix"],
];

/// Everybody. A freestanding compiler needs no library of its target's: it has the two headers that ntcom.h needs itself.
#[rustfmt::skip]
pub(super) const JUDGES: [Judge; 10] = [
    Judge { name: "gcc", programs: GCC, target: &[], bits: 64, msvc: false },
    Judge { name: "clang", programs: CLANG, target: &["--target=x86_64-unknown-linux-gnu"], bits: 64, msvc: false },
    Judge { name: "clang MSVC", programs: CLANG, target: &["--target=x86_64-pc-windows-msvc"], bits: 64, msvc: true },
    Judge { name: "mingw gcc", programs: MINGW, target: &[], bits: 64, msvc: false },
    Judge { name: "arm64 clang", programs: CLANG, target: &["--target=aarch64-unknown-linux-gnu"], bits: 64, msvc: false },
    Judge { name: "arm64 MSVC", programs: CLANG, target: &["--target=aarch64-pc-windows-msvc"], bits: 64, msvc: true },
    Judge { name: "gcc", programs: GCC, target: &["-m32"], bits: 32, msvc: false },
    Judge { name: "clang", programs: CLANG, target: &["--target=i686-unknown-linux-gnu"], bits: 32, msvc: false },
    Judge { name: "clang MSVC", programs: CLANG, target: &["--target=i686-pc-windows-msvc"], bits: 32, msvc: true },
    Judge { name: "clang mingw", programs: CLANG, target: &["--target=i686-w64-windows-gnu"], bits: 32, msvc: false },
];

/// Whether there is such a compiler, and it knows the target.
fn works(program: &str, target: &[&str]) -> bool {
    let mut nothing = Command::new(program);
    nothing.args(target).args(["-xc", "-fsyntax-only", "/dev/null"]);
    nothing.output().is_ok_and(|output| output.status.success())
}

impl Judge {
    /// Its compiler for a language; none: there is none here.
    pub(super) fn program(&self, language: Language) -> Option<&'static str> {
        let [c, cpp] = self.programs;
        let names = if language == Language::C { c } else { cpp };
        names.iter().copied().find(|name| works(name, self.target))
    }

    /// Whether it is here.
    fn is_here(&self) -> bool {
        Language::ALL.iter().all(|language| self.program(*language).is_some())
    }

    /// Its column.
    pub(super) fn column(&self) -> String {
        format!("{}\n{}-bit", self.name, self.bits)
    }

    /// What it is called in a sentence.
    pub(super) fn title(&self) -> String {
        format!("{} ({}-bit)", self.name, self.bits)
    }

    /// A compilation: the arguments before the sources.
    pub(super) fn compile(&self, project: &Project, language: Language) -> Option<Command> {
        let mut command = crate::command::at_root(project, self.program(language)?);
        command.args(language.options()).args(self.target).args(["-ffreestanding", "-I", "runtime/include"]);
        Some(command)
    }
}

impl Judge {
    /// Whether it is a compiler for the Windows that mingw-w64's DDK is for.
    pub(super) fn has_ddk(&self) -> bool {
        self.bits == 64 && (self.programs == MINGW || self.target == ["--target=x86_64-pc-windows-msvc"])
    }

    /// What it is told besides, to understand that DDK: mingw's own compiler knows the folder that it is in.
    pub(super) fn beside_ddk(&self, ddk: &Path) -> Vec<String> {
        let mut options = vec!["-isystem".to_owned(), ddk.display().to_string()];
        options.extend(DEFINED_TWICE.map(str::to_owned));
        if self.msvc {
            // A header of clang's own warns of itself.
            options.push("-Wno-#warnings".to_owned());
            options.extend(["-isystem".to_owned(), ddk.join("..").display().to_string()]);
            // All but the one that has no warnings.
            options.extend(
                wdk_check::CLANG.iter().filter(|option| **option != "-w").map(|option| (*option).to_owned()),
            );
        }
        options
    }
}

/// clang's C and C++ compilers.
pub(super) fn clang() -> Option<(&'static str, &'static str)> {
    let [c, cpp] = CLANG.map(|names| names.iter().copied().find(|name| works(name, &[])));
    Some((c?, cpp?))
}

/// Installs what is missing and may be installed. Who is still absent is skipped by name.
///
/// # Errors
/// With `CI=true`: somebody is absent.
pub(super) fn find(project: &Project) -> anyhow::Result<(Vec<&'static Judge>, Vec<String>)> {
    let missing = |judge: &&Judge| !judge.is_here();
    let mut why = String::new();
    let incomplete = ddk().is_none() || JUDGES.iter().any(|judge| !judge.is_here());
    if incomplete && let Err(error) = debian::install(project, &PACKAGES) {
        why = format!("{error:#}");
    }
    let mut absent: Vec<String> = JUDGES.iter().filter(missing).map(Judge::title).collect();
    if ddk().is_none() {
        absent.push("mingw-w64's DDK headers".to_owned());
    }
    if !absent.is_empty() && env::var("CI").is_ok_and(|value| value == "true" || value == "1") {
        bail!("required judges are absent: {}; {why}", absent.join(", "));
    }
    let skipped = absent.into_iter().map(|title| format!("skipped: {title}: not here; {why}")).collect();
    Ok((JUDGES.iter().filter(|judge| judge.is_here()).collect(), skipped))
}

/// mingw-w64's DDK headers.
pub(super) fn ddk() -> Option<&'static Path> {
    let folder = Path::new("/usr/x86_64-w64-mingw32/include/ddk");
    folder.join("ntddk.h").is_file().then_some(folder)
}
