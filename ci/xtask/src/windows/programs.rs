//! The client programs, one for each pair of a language and a compiler.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use super::{
    FOLDER,
    library::{self, EXPORTS},
};
use crate::{command, debian, problem::Problem, project::Project};

/// The Debian packages of the compilers.
const PACKAGES: [&str; 4] =
    ["gcc-mingw-w64-x86-64-win32", "g++-mingw-w64-x86-64-win32", "clang-19", "lld-19"];
/// The suffixes of the names of clang's programs. Debian's packages have the first.
const SUFFIXES: [&str; 5] = ["-19", "-20", "-21", "-22", ""];
/// No warning is allowed. Optimised code passes arguments in registers.
const STRICT: [&str; 5] = ["-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"];
const FOLDERS: [&str; 4] = ["-I", "runtime/include", "-I", "abi-tests/c"];
const C: [&str; 1] = ["-std=c11"];
const CPP: [&str; 3] = ["-std=c++17", "-fno-exceptions", "-fno-rtti"];
/// The sources that all programs share, in C.
const COMMON: [&str; 2] = ["abi-tests/c/program.c", "abi-tests/windows/main.c"];
const CLIENT_IN_C: [&str; 2] = ["abi-tests/c/client.c", "abi-tests/c/probe.c"];
const CLIENT_IN_CPP: [&str; 3] =
    ["abi-tests/cpp/client.cpp", "abi-tests/cpp/probe.cpp", "abi-tests/cpp/pure.cpp"];
/// The functions of ntdll.dll that clang's code needs of Windows where there is no C library.
const NTDLL: [&str; 4] = ["RtlExitUserProcess", "__chkstk", "memcpy", "memset"];

/// The language of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    C,
    Cpp,
}

/// A compiler with its linker and its library.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compiler {
    /// gcc with mingw-w64's library and msvcrt.dll.
    Mingw,
    /// clang and lld-link with MSVC's ABI and without any library.
    Msvc,
}

/// A client program.
pub(super) struct Program {
    pub(super) language: Language,
    pub(super) compiler: Compiler,
}

/// All client programs.
pub(super) const PROGRAMS: [Program; 4] = [
    Program { language: Language::C, compiler: Compiler::Mingw },
    Program { language: Language::Cpp, compiler: Compiler::Mingw },
    Program { language: Language::C, compiler: Compiler::Msvc },
    Program { language: Language::Cpp, compiler: Compiler::Msvc },
];

impl Language {
    /// The name of the language, which the program prints.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Cpp => "C++",
        }
    }
}

impl Compiler {
    /// The name of the compiler.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mingw => "mingw gcc",
            Self::Msvc => "clang MSVC",
        }
    }
}

/// The compilers and linkers.
pub(super) struct Tools {
    suffix: &'static str,
}

impl Tools {
    /// Finds the compilers, after installing missing ones where that is allowed.
    ///
    /// # Errors
    /// [`Problem::Unavailable`] when one is still missing.
    pub(super) fn find(project: &Project) -> anyhow::Result<Self> {
        if let Some(tools) = Self::here() {
            return Ok(tools);
        }
        debian::install(project, &PACKAGES)?;
        let missing = || {
            Problem::Unavailable(format!(
                "the compilers for Windows cannot be found, although {} are installed",
                PACKAGES.join(", ")
            ))
        };
        Ok(Self::here().ok_or_else(missing)?)
    }

    fn here() -> Option<Self> {
        let works = |name: &str| {
            Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
        };
        let all = |suffix: &&str| {
            ["clang", "clang++", "lld-link"].iter().all(|name| works(&format!("{name}{suffix}")))
        };
        let mingw = works("x86_64-w64-mingw32-gcc") && works("x86_64-w64-mingw32-g++");
        SUFFIXES.into_iter().find(all).filter(|_| mingw).map(|suffix| Self { suffix })
    }

    /// A compilation of a C or a C++ file, up to its source.
    fn compile(&self, project: &Project, compiler: Compiler, cpp: bool) -> Command {
        let name = match (compiler, cpp) {
            (Compiler::Mingw, false) => "x86_64-w64-mingw32-gcc".to_owned(),
            (Compiler::Mingw, true) => "x86_64-w64-mingw32-g++".to_owned(),
            (Compiler::Msvc, false) => format!("clang{}", self.suffix),
            (Compiler::Msvc, true) => format!("clang++{}", self.suffix),
        };
        let mut compile = command::at_root(project, name);
        compile.args(STRICT).args(FOLDERS).args(if cpp { &CPP[..] } else { &C[..] });
        if compiler == Compiler::Msvc {
            compile.args(["--target=x86_64-pc-windows-msvc", "-ffreestanding", "-nostdlibinc"]);
            compile.args(["-I", "abi-tests/windows/include"]);
        }
        compile
    }

    fn lld_link(&self, project: &Project) -> Command {
        command::at_root(project, format!("lld-link{}", self.suffix))
    }

    /// Makes an import library for these functions of a DLL.
    fn import_library(&self, project: &Project, dll: &str, names: &[&str]) -> anyhow::Result<PathBuf> {
        let list = project.path(FOLDER).join(dll).with_extension("def");
        let library = list.with_extension("lib");
        fs::write(&list, format!("LIBRARY {dll}\nEXPORTS\n{}\n", names.join("\n")))?;
        let mut make = self.lld_link(project);
        make.args(["/lib", "/machine:x64"]).arg(option("/def:", &list)).arg(option("/out:", &library));
        quietly(&mut make)?;
        Ok(library)
    }

    /// Compiles and links a program into a folder.
    ///
    /// # Errors
    /// The compiler or the linker refuses the program.
    pub(super) fn build(&self, project: &Project, program: &Program, to: &Path) -> anyhow::Result<PathBuf> {
        let Program { language, compiler } = *program;
        let name = format!("{}-{}", language.name(), compiler.name()).replace(' ', "-");
        let objects = project.path(FOLDER).join("objects").join(&name);
        fs::create_dir_all(&objects)?;
        let client = if language == Language::C { &CLIENT_IN_C[..] } else { &CLIENT_IN_CPP[..] };
        let mut linked = Vec::new();
        for source in client.iter().chain(&COMMON) {
            let object = objects.join(Path::new(source).with_extension("o").file_name().unwrap_or_default());
            let mut compile = self.compile(project, compiler, source.ends_with(".cpp"));
            if language == Language::Cpp {
                compile.arg("-DABI_CPP");
            }
            compile.args(["-c", source, "-o"]).arg(&object);
            quietly(&mut compile)?;
            linked.push(object);
        }
        let image = to.join(format!("{name}.exe"));
        linked.push(self.import_library(project, library::NAME, &EXPORTS)?);
        let mut link = match compiler {
            Compiler::Mingw => {
                let mut link = command::at_root(project, "x86_64-w64-mingw32-gcc");
                link.arg("-o").arg(&image);
                link
            }
            Compiler::Msvc => {
                linked.push(self.import_library(project, "ntdll.dll", &NTDLL)?);
                let mut link = self.lld_link(project);
                link.args(["/nologo", "/machine:x64", "/subsystem:console", "/entry:start", "/nodefaultlib"]);
                link.arg(option("/out:", &image));
                link
            }
        };
        quietly(link.args(linked))?;
        Ok(image)
    }

    /// Compiles a DLL of one C file.
    ///
    /// # Errors
    /// The compiler refuses the file.
    pub(super) fn build_dll(&self, project: &Project, source: &str, to: &Path) -> anyhow::Result<()> {
        let mut compile = self.compile(project, Compiler::Mingw, false);
        quietly(compile.args(["-shared", source, "-o"]).arg(to))
    }
}

impl Program {
    /// Checks the imports of the program's image.
    ///
    /// # Errors
    /// The image imports something else.
    pub(super) fn check(&self, image: &super::image::Image) -> anyhow::Result<()> {
        image.imports_exactly(library::NAME, &EXPORTS)?;
        match self.compiler {
            Compiler::Mingw => image.imports_from_only(&[library::NAME, "kernel32.dll", "msvcrt.dll"]),
            Compiler::Msvc => image.imports_from_only(&[library::NAME, "ntdll.dll"]),
        }
    }
}

/// An option of lld-link with a path as its value.
fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option
}

/// Runs a command and shows its output only if it fails.
fn quietly(command: &mut Command) -> anyhow::Result<()> {
    let captured = command::capture(command, |_| {}).context("a compiler cannot be run")?;
    if !captured.status.success() {
        bail!("a compiler fails:\n{}\nto repeat: {}", captured.output, command::shell(command));
    }
    Ok(())
}
