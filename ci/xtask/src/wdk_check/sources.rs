//! What the bindings are made from: mingw-w64's headers and libclang, installed where they are missing.
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::bail;

use crate::{debian, project::Project};

/// The Debian packages that have it all.
const PACKAGES: [&str; 3] = ["mingw-w64-x86-64-dev", "libclang1-19", "libclang-common-19-dev"];
/// The oldest libclang that is used.
const OLDEST_CLANG: u32 = 19;
/// Where mingw-w64's headers are.
const HEADERS: &str = "/usr/x86_64-w64-mingw32/include";
/// Where the versions of LLVM are.
const LLVM: &str = "/usr/lib";

/// Where everything is.
pub(super) struct Sources {
    /// mingw-w64's headers.
    pub(super) headers: PathBuf,
    /// The folder of libclang.
    pub(super) libclang: PathBuf,
    /// Its own headers and the like.
    pub(super) resources: PathBuf,
}

/// Finds everything; installs it first where something is missing.
///
/// # Errors
/// [`Problem::Unavailable`](crate::problem::Problem::Unavailable) when something is missing and cannot be installed.
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

/// The names in a folder; none where it cannot be read.
fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// The version in a folder's name.
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
