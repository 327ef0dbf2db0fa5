//! The sources of the bindings, mingw-w64's headers and libclang, which are installed where they
//! are missing.
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::bail;

use crate::{debian, project::Project};

/// The Debian packages of the sources.
const PACKAGES: [&str; 3] = ["mingw-w64-x86-64-dev", "libclang1-19", "libclang-common-19-dev"];
/// The oldest version of libclang that is used.
const OLDEST_CLANG: u32 = 19;
/// The folder of mingw-w64's headers.
const HEADERS: &str = "/usr/x86_64-w64-mingw32/include";
/// The folder with the versions of LLVM.
const LLVM: &str = "/usr/lib";

/// The folders of all sources.
pub(super) struct Sources {
    /// The folder of mingw-w64's headers.
    pub(super) headers: PathBuf,
    /// The folder of libclang.
    pub(super) libclang: PathBuf,
    /// The folder of libclang's own headers.
    pub(super) resources: PathBuf,
}

/// Finds all sources, after installing missing ones.
///
/// # Errors
/// [`Problem::Unavailable`](crate::problem::Problem::Unavailable) when one is missing and cannot be
/// installed.
pub(super) fn find(project: &Project) -> anyhow::Result<Sources> {
    if let Some(sources) = find_installed() {
        return Ok(sources);
    }
    debian::install(project, &PACKAGES)?;
    let Some(sources) = find_installed() else {
        bail!(
            "{} are installed, but {HEADERS}/ddk or {LLVM}/llvm-*/lib/libclang* is not there",
            PACKAGES.join(", ")
        );
    };
    Ok(sources)
}

fn find_installed() -> Option<Sources> {
    let headers = PathBuf::from(HEADERS);
    if !headers.join("ddk/ntifs.h").is_file() {
        return None;
    }
    let versions = names(Path::new(LLVM)).filter_map(|name| llvm_version(&name));
    let mut versions: Vec<u32> = versions.filter(|version| *version >= OLDEST_CLANG).collect();
    versions.sort_unstable();
    versions.into_iter().rev().find_map(|version| {
        let libclang = Path::new(LLVM).join(format!("llvm-{version}/lib"));
        let resources = libclang.join(format!("clang/{version}"));
        let complete = names(&libclang).any(|name| name.starts_with("libclang") && name.contains(".so"))
            && resources.join("include/stddef.h").is_file();
        complete.then(|| Sources { headers: headers.clone(), libclang, resources })
    })
}

/// The names in a folder, or none if the folder cannot be read.
fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// The version in the name of a folder.
fn llvm_version(name: &str) -> Option<u32> {
    name.strip_prefix("llvm-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::llvm_version;

    #[test]
    fn a_folder_of_llvm_is_named_after_its_version() {
        assert_eq!(llvm_version("llvm-19"), Some(19));
        assert_eq!(llvm_version("llvm-19-x"), None);
        assert_eq!(llvm_version("libllvm-19"), None);
    }
}
