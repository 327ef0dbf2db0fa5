//! The *strict* check, which finds object files that name an infallible allocation.
use anyhow::Context;
use object::{Object, ObjectSymbol, read::archive::ArchiveFile};

use super::symbols::{demangled, forbidden};

/// The totals and hits of an archive.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    /// The number of object files.
    pub(crate) objects: u64,
    /// The number of their symbols, defined or not.
    pub(crate) symbols: u64,
    /// The forbidden symbols, each with its object file.
    pub(crate) hits: Vec<String>,
}

/// Reads the object files of an archive.
pub(crate) fn scan(data: &[u8]) -> anyhow::Result<Seen> {
    let archive = ArchiveFile::parse(data)?;
    let mut seen = Seen::default();
    for member in archive.members() {
        let member = member?;
        let name = String::from_utf8_lossy(member.name()).into_owned();
        if !name.ends_with(".o") {
            continue;
        }
        let object = object::File::parse(member.data(data)?)
            .with_context(|| format!("{name} is not an object file"))?;
        seen.objects += 1;
        for symbol in object.symbols() {
            let Ok(symbol) = symbol.name() else { continue };
            if symbol.is_empty() {
                continue;
            }
            seen.symbols += 1;
            if forbidden(symbol) {
                seen.hits.push(format!("{name}: {}", demangled(symbol)));
            }
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::scan;

    #[test]
    fn an_archive_without_objects_has_none() {
        let seen = scan(b"!<arch>\n").unwrap();
        assert_eq!((seen.objects, seen.symbols), (0, 0));
        assert!(scan(b"no archive").is_err());
    }
}
