//! Loading of the library under test, and the errors of a library that cannot be judged.

use core::{cell::OnceCell, ffi::CStr, fmt, mem::offset_of};
use std::{path::Path, string::String};

use libloading::Library;

use crate::{
    table::{GetTable, SYMBOL, Table, VERSION, shape},
    text::shown,
};

/// The number of characters of a library's name that are shown.
const NAME: usize = 100;

/// Why a library cannot be judged.
#[derive(Debug)]
pub enum Refused {
    /// It cannot be loaded.
    Unloadable(String),
    /// It does not export a table.
    NoTable,
    /// The exported function returns null.
    NullTable,
    /// Its table has another version.
    Version(u32),
    /// Its table is shorter than the table's header.
    Short(u32),
    /// Required members are null.
    Missing(Vec<&'static str>),
    /// It does not offer plain bodies.
    NotPlain,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unloadable(why) => write!(f, "it cannot be loaded: {why}"),
            Self::NoTable => write!(f, "it has no table: it does not export {SYMBOL} (ntcom_kit.h)"),
            Self::NullTable => write!(f, "it has no table: its {SYMBOL} answers null"),
            Self::Version(version) if *version < VERSION => write!(
                f,
                "its table is of an older version, {version}; this kit judges version {VERSION}: compile it with the present ntcom_kit.h"
            ),
            Self::Version(version) => write!(
                f,
                "its table is of version {version}, which this kit does not know; it judges version {VERSION}"
            ),
            Self::Short(size) => write!(f, "its table has {size} bytes, too few for its own beginning"),
            Self::Missing(members) => {
                write!(f, "its table lacks required members: {}", members.join(", "))
            }
            Self::NotPlain => write!(f, "its table does not offer NTCOM_KIT_PLAIN among its shapes"),
        }
    }
}

impl core::error::Error for Refused {}

/// A library that can be judged.
#[derive(Debug)]
pub struct Loaded {
    /// The library's table. A member that it does not have is null.
    pub table: Table,
    /// The name that the library gives itself.
    pub name: String,
    /// Whether its operations have IAsyncControl, once the kit has asked.
    pub(crate) controls: OnceCell<bool>,
    _library: Library,
}

/// An error with its causes, which tell what is wrong with the file.
fn why(error: &dyn core::error::Error) -> String {
    let causes = core::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Loads a library.
///
/// # Errors
/// The library cannot be judged. The error says why.
pub fn load(path: &Path) -> Result<Loaded, Refused> {
    // SAFETY: the caller that asks for a judgement accepts that the library's initialisers run. The
    // kit runs them in a process of its own.
    let library = unsafe { Library::new(path) }.map_err(|error| Refused::Unloadable(why(&error)))?;
    // SAFETY: the header declares a function of this name with this type.
    let get = unsafe { library.get::<GetTable>(SYMBOL) }.map_err(|_| Refused::NoTable)?;
    // SAFETY: the header lets the kit call this function.
    let exported = unsafe { get() };
    if exported.is_null() {
        return Err(Refused::NullTable);
    }
    // SAFETY: the table of each version begins with its size and its version.
    let [size, version] = unsafe { exported.cast::<[u32; 2]>().read() };
    if version != VERSION {
        return Err(Refused::Version(version));
    }
    if (size as usize) < offset_of!(Table, run) {
        return Err(Refused::Short(size));
    }
    let mut table = Table::EMPTY;
    let bytes = size_of::<Table>().min(size as usize);
    // SAFETY: the library declares that this number of bytes exists. Later members stay null, and a
    // member that is cut is left out.
    unsafe { exported.cast::<u8>().copy_to_nonoverlapping((&raw mut table).cast(), bytes / 8 * 8) };
    let missing = table.missing();
    if !missing.is_empty() {
        return Err(Refused::Missing(missing));
    }
    if table.shapes & shape::PLAIN == 0 {
        return Err(Refused::NotPlain);
    }
    let name = if table.name.is_null() {
        path.display().to_string()
    } else {
        // SAFETY: the header requires a null-terminated text.
        let name = unsafe { CStr::from_ptr(table.name) }.to_string_lossy();
        shown(&name, NAME).replace(['\n', '\t'], " ")
    };
    Ok(Loaded { table, name, controls: OnceCell::new(), _library: library })
}
