//! The compilers that judge the header, with their targets.
use std::{env, path::Path, process::Command};

use anyhow::bail;

use crate::{debian, project::Project, wdk_check};

/// The Debian packages of compilers that may be missing.
const PACKAGES: [&str; 5] =
    ["g++", "clang-19", "gcc-mingw-w64-x86-64-win32", "g++-mingw-w64-x86-64-win32", "mingw-w64-x86-64-dev"];

/// A language that the header is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Language {
    /// C11.
    C,
    /// C++17, compiled as for a driver, without exceptions and RTTI.
    Cpp,
}

impl Language {
    /// Both languages.
    pub(super) const ALL: [Self; 2] = [Self::C, Self::Cpp];

    /// The compiler options of the language.
    pub(super) fn options(self) -> &'static [&'static str] {
        match self {
            Self::C => &["-xc", "-std=c11"],
            Self::Cpp => &["-xc++", "-std=c++17", "-fno-exceptions", "-fno-rtti"],
        }
    }

    /// The language's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Cpp => "C++",
        }
    }
}

/// A compiler for one target.
pub(super) struct Judge {
    /// The head of its column in the table.
    pub(super) name: &'static str,
    /// The names of the C compiler and of the C++ compiler. The first that is installed is used.
    programs: [&'static [&'static str]; 2],
    /// The compiler options that choose the target.
    pub(super) target: &'static [&'static str],
    /// The width of a pointer, 64 or 32 bits.
    pub(super) bits: u32,
    /// Whether it has MSVC's C++ ABI. Slots are then read from the compiler's dump of the tables.
    pub(super) msvc: bool,
}

/// Macros that both mingw-w64's wdm.h and its header of intrinsics define, which C++ does not
/// allow. Those of wdm.h are used.
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

/// All judges. They compile freestanding code, so they need no library of the target. The two
/// headers that ntcom.h includes come with each compiler.
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

/// Whether this compiler is installed and supports the target.
fn works(program: &str, target: &[&str]) -> bool {
    let mut nothing = Command::new(program);
    nothing.args(target).args(["-xc", "-fsyntax-only", "/dev/null"]);
    nothing.output().is_ok_and(|output| output.status.success())
}

impl Judge {
    /// The name of its installed compiler for a language.
    pub(super) fn program(&self, language: Language) -> Option<&'static str> {
        let [c, cpp] = self.programs;
        let names = if language == Language::C { c } else { cpp };
        names.iter().copied().find(|name| works(name, self.target))
    }

    /// Whether its compilers for both languages are installed.
    fn is_here(&self) -> bool {
        Language::ALL.iter().all(|language| self.program(*language).is_some())
    }

    /// The text of its column's head.
    pub(super) fn column(&self) -> String {
        format!("{}\n{}-bit", self.name, self.bits)
    }

    /// The judge's name in a sentence.
    pub(super) fn title(&self) -> String {
        format!("{} ({}-bit)", self.name, self.bits)
    }

    /// A compilation, up to the source files.
    pub(super) fn compile(&self, project: &Project, language: Language) -> Option<Command> {
        let mut command = crate::command::at_root(project, self.program(language)?);
        command.args(language.options()).args(self.target).args(["-ffreestanding", "-I", "runtime/include"]);
        Some(command)
    }
}

impl Judge {
    /// Whether it compiles for the Windows that mingw-w64's DDK is for.
    pub(super) fn has_ddk(&self) -> bool {
        self.bits == 64 && (self.programs == MINGW || self.target == ["--target=x86_64-pc-windows-msvc"])
    }

    /// The further options for that DDK. mingw's own compiler finds the folder by itself.
    pub(super) fn beside_ddk(&self, ddk: &Path) -> Vec<String> {
        let mut options = vec!["-isystem".to_owned(), ddk.display().to_string()];
        options.extend(DEFINED_TWICE.map(str::to_owned));
        if self.msvc {
            // One of clang's own headers warns about itself.
            options.push("-Wno-#warnings".to_owned());
            options.extend(["-isystem".to_owned(), ddk.join("..").display().to_string()]);
            // All strict options except the one that allows no warning.
            options.extend(
                wdk_check::CLANG.iter().filter(|option| **option != "-w").map(|option| (*option).to_owned()),
            );
        }
        options
    }
}

/// The names of clang's C and C++ compilers.
pub(super) fn clang() -> Option<(&'static str, &'static str)> {
    let [c, cpp] = CLANG.map(|names| names.iter().copied().find(|name| works(name, &[])));
    Some((c?, cpp?))
}

/// Installs missing judges where that is allowed. Judges that are still absent are skipped by name.
///
/// # Errors
/// A judge is absent and `CI` is `true`.
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

/// The folder of mingw-w64's DDK headers.
pub(super) fn ddk() -> Option<&'static Path> {
    let folder = Path::new("/usr/x86_64-w64-mingw32/include/ddk");
    folder.join("ntddk.h").is_file().then_some(folder)
}
