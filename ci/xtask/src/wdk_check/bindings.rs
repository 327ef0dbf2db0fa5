//! The bindings that wdk-sys includes, in three files made with the options of its build script.
use std::{fs, path::Path, process::Command};

use anyhow::Context;

use super::sources::{self, Sources};
use crate::{command, project::Project, tools, ui};

/// The header that bindgen reads.
const HEADER: &str = "ci/wdk/mingw.h";
/// bindgen's kinds of items, and wdk-sys's name for the file of each.
const FILES: [(&str, &str); 3] = [("types", "types.rs"), ("functions", "ntddk.rs"), ("vars", "constants.rs")];
/// The options of wdk-sys's build script.
const OPTIONS: [&str; 13] = [
    "--use-core",
    "--with-derive-default",
    "--generate-cstr",
    "--default-enum-style",
    "moduleconsts",
    "--must-use-type",
    "NTSTATUS",
    "--rust-target",
    "1.91",
    "--rust-edition",
    "2024",
    "--formatter",
    "prettyplease",
];
/// clang's options, which are wdk-sys's target and the definitions by which an MSVC-like compiler
/// accepts mingw's headers.
pub(crate) const CLANG: [&str; 18] = [
    "--target=x86_64-pc-windows-msvc",
    "-fno-builtin",
    "-fms-compatibility",
    "-fms-extensions",
    "-fdelayed-template-parsing",
    "-fgnuc-version=4.2.1",
    "-w",
    "-D_WIN64",
    "-D_AMD64_",
    "-DAMD64",
    "-D_KERNEL_MODE",
    "-D_WIN32_WINNT=0x0A00",
    "-DNTDDI_VERSION=0x0A000006",
    "-D__MINGW32__",
    "-D__MINGW64__",
    // Intrinsics for user mode that do not compile here.
    "-D__AMXINTRIN_H",
    "-D__AMX_COMPLEXINTRIN_H",
    "-D__AMX_FP16INTRIN_H",
];

/// Makes the files. An unchanged file keeps its time, so that wdk-sys is not checked again.
///
/// # Errors
/// A tool is missing and cannot be installed, or bindgen does not accept the headers.
pub(super) fn generate(project: &Project, folder: &Path) -> anyhow::Result<()> {
    let sources = sources::find(project)?;
    let bindgen = tools::bindgen(project)?;
    let new = folder.with_extension("new");
    for path in [folder, &new] {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    for (what, name) in FILES {
        let raw = new.join(name);
        let mut command = bind(project, &bindgen, &sources);
        command.args(["--generate", what, "--output"]).arg(&raw).arg(HEADER).arg("--").args(clang(&sources));
        ui::step(&format!("binding the {what} of mingw-w64's DDK"), &mut command)?;
        let text = fs::read_to_string(&raw).with_context(|| format!("cannot read {}", raw.display()))?;
        let text = as_on_windows(&text);
        let file = folder.join(name);
        if fs::read_to_string(&file).is_ok_and(|old| old == text) {
            continue;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The file with KMDF's types.
const KMDF: &str = "ci/wdk/wdf.rs";
/// A further file of wdk-sys's build script for KMDF, with the number of the framework's functions,
/// which is never used.
const FUNCTION_COUNT: &str = "pub fn get_wdf_function_count() -> usize {\n    5\n}\n";

/// Makes the files of a wdk-sys for KMDF from those for WDM.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn add_kmdf(project: &Project, wdm: &Path, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let read =
        |file: &Path| fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
    let types = folder.join("types.rs");
    let all_types = read(&wdm.join("types.rs"))? + &read(&project.path(KMDF))?;
    let redirect = format!(
        "#[macro_export]\nmacro_rules! call_unsafe_wdf_function_binding {{\n    ($($tt:tt)*) => {{\n        \
         $crate::__proc_macros::call_unsafe_wdf_function_binding!(r\"{}\", $($tt)*)\n    }};\n}}\n",
        types.display()
    );
    let files = [
        ("types.rs", all_types),
        ("ntddk.rs", read(&wdm.join("ntddk.rs"))?),
        ("constants.rs", read(&wdm.join("constants.rs"))?),
        ("wdf.rs", String::new()),
        ("wdf_function_count.rs", FUNCTION_COUNT.to_owned()),
        ("call_unsafe_wdf_function_binding.rs", redirect),
    ];
    for (name, text) in files {
        let file = folder.join(name);
        if fs::read_to_string(&file).is_ok_and(|old| old == text) {
            continue;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn bind(project: &Project, bindgen: &Path, sources: &Sources) -> Command {
    let mut command = command::at_root(project, bindgen);
    command.env("LIBCLANG_PATH", &sources.libclang).args(OPTIONS);
    command
}

fn clang(sources: &Sources) -> Vec<String> {
    let Sources { headers, resources, .. } = sources;
    let paths = [
        format!("-resource-dir={}", resources.display()),
        format!("-I{}", headers.join("ddk").display()),
        format!("-I{}", headers.display()),
    ];
    paths.into_iter().chain(CLANG.map(str::to_owned)).collect()
}

/// The bindings with the width that `long` has on Windows, for whatever target they are compiled.
fn as_on_windows(bindings: &str) -> String {
    let mut text = String::with_capacity(bindings.len());
    let mut rest = bindings;
    while let Some((before, after)) = rest.split_once("::core::ffi::") {
        text.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        match name {
            "c_long" => text.push_str("i32"),
            "c_ulong" => text.push_str("u32"),
            other => {
                text.push_str("::core::ffi::");
                text.push_str(other);
            }
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::as_on_windows;

    #[test]
    fn long_is_32_bits_wide() {
        let linux = "type LONG = ::core::ffi::c_long;\ntype A = [::core::ffi::c_ulong; 2];\n";
        assert_eq!(as_on_windows(linux), "type LONG = i32;\ntype A = [u32; 2];\n");
    }

    #[test]
    fn nothing_else_is_touched() {
        let text = "type LONGLONG = ::core::ffi::c_longlong; // c_long\ntype X = ::core::ffi::c_ulonglong";
        assert_eq!(as_on_windows(text), text);
    }
}
