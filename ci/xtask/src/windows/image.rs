//! Reads the machine, the exports and the imports of a Windows image.
use std::{fs, path::Path};

use anyhow::{Context, bail};
use object::{
    Architecture, Object,
    read::{NameOrOrdinal, pe::PeFile64},
};

/// A Windows image.
#[derive(Debug)]
pub(super) struct Image {
    name: String,
    exports: Vec<String>,
    /// DLLs in lower case, and the functions that are imported from them.
    imports: Vec<(String, String)>,
}

impl Image {
    /// Reads an image.
    ///
    /// # Errors
    /// The file is not an image for 64-bit x86.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let who = || format!("{name} is not a 64-bit image");
        let file = PeFile64::parse(bytes.as_slice()).with_context(who)?;
        if file.architecture() != Architecture::X86_64 {
            bail!("{name} is for {:?}", file.architecture());
        }
        let mut exports = Vec::new();
        for export in file.exports().with_context(who)? {
            exports.push(text(&export?.name()));
        }
        let mut imports = Vec::new();
        for import in file.imports().with_context(who)? {
            let import = import?;
            let library = String::from_utf8_lossy(import.library()).to_ascii_lowercase();
            imports.push((library, text(&import.name())));
        }
        exports.sort();
        imports.sort();
        Ok(Self { name, exports, imports })
    }

    /// Checks that the image exports these names only. They are sorted.
    pub(super) fn exports_only(&self, names: &[&str]) -> anyhow::Result<()> {
        same(&format!("{} exports", self.name), &self.exports, names)
    }

    /// Checks that the image imports exactly these names from a DLL. They are sorted.
    pub(super) fn imports_exactly(&self, library: &str, names: &[&str]) -> anyhow::Result<()> {
        let of = self.imports.iter().filter(|(from, _)| from == library).map(|(_, name)| name.clone());
        same(&format!("{} imports from {library}", self.name), &of.collect::<Vec<_>>(), names)
    }

    /// Checks that the image imports from these DLLs only.
    pub(super) fn imports_from_only(&self, libraries: &[&str]) -> anyhow::Result<()> {
        let other = self.imports.iter().find(|(library, _)| !libraries.contains(&library.as_str()));
        other.map_or(Ok(()), |(library, name)| {
            bail!("{} imports {name} from {library}, but may import from {libraries:?} only", self.name)
        })
    }
}

/// Compares two sorted lists.
fn same(what: &str, found: &[String], expected: &[&str]) -> anyhow::Result<()> {
    if found != expected {
        bail!("{what} {found:?}, expected {expected:?}");
    }
    Ok(())
}

fn text<T: AsRef<[u8]>>(name: &NameOrOrdinal<T>) -> String {
    match name {
        NameOrOrdinal::Name(name) => String::from_utf8_lossy(name.as_ref()).into_owned(),
        NameOrOrdinal::Ordinal(ordinal) => format!("#{ordinal}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Image;

    fn image() -> Image {
        let import = |library: &str, name: &str| (library.to_owned(), name.to_owned());
        Image {
            name: "it".to_owned(),
            exports: vec!["a".to_owned(), "b".to_owned()],
            imports: vec![import("ours.dll", "x"), import("ours.dll", "y"), import("theirs.dll", "z")],
        }
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_are_both_refused() {
        image().exports_only(&["a", "b"]).unwrap();
        for other in [&["a"][..], &["a", "b", "c"], &["a", "c"]] {
            assert!(image().exports_only(other).is_err(), "{other:?}");
        }
        image().imports_exactly("ours.dll", &["x", "y"]).unwrap();
        for other in [&["x"][..], &["x", "y", "z"], &[]] {
            assert!(image().imports_exactly("ours.dll", other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_dll_that_is_not_expected_is_named() {
        image().imports_from_only(&["ours.dll", "theirs.dll"]).unwrap();
        let error = image().imports_from_only(&["ours.dll"]).unwrap_err().to_string();
        assert!(error.contains("z from theirs.dll"), "{error}");
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let error = Image::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml").as_path());
        assert!(error.unwrap_err().to_string().contains("Cargo.toml is not a 64-bit image"));
    }
}
