//! The functions at addresses, which are remembered.

extern crate alloc;

use alloc::{rc::Rc, string::String, vec::Vec};
use core::{
    cell::RefCell,
    fmt::{self, Formatter},
};
use std::{collections::HashMap, path::Path};

use super::label::{Label, symbol_at};
use crate::verifier::backtrace::{is_library, is_library_file, is_own};

/// A function that is inlined at an address.
pub(super) struct Site {
    pub(super) place: String,
    pub(super) is_library: bool,
}

/// The functions at each address that was a caller or an argument before. Looking one up takes much
/// longer than the event.
#[derive(Default)]
pub(crate) struct Sites {
    callers: RefCell<HashMap<usize, Rc<[Site]>>>,
    symbols: RefCell<HashMap<usize, Option<Label>>>,
}

impl Sites {
    /// The functions at an address, innermost first, without those of the simulation and of the
    /// standard library.
    pub(super) fn at(&self, address: usize) -> Rc<[Site]> {
        if let Some(known) = self.callers.borrow().get(&address) {
            return Rc::clone(known);
        }
        let mut found = Vec::new();
        backtrace::resolve(core::ptr::without_provenance_mut(address), |symbol| {
            let (Some(name), Some(path), Some(line)) = (symbol.name(), symbol.filename(), symbol.lineno())
            else {
                return;
            };
            if is_own(path) {
                return;
            }
            let file = path.file_name().map(Path::new).unwrap_or(path).display();
            let name = alloc::format!("{name:#}");
            found.push(Site {
                place: alloc::format!("{file}:{line}"),
                is_library: is_library(&name) || is_library_file(path),
            });
        });
        let found: Rc<[Site]> = found.into();
        self.callers.borrow_mut().insert(address, Rc::clone(&found));
        found
    }

    /// The name of the function or static that begins at an address.
    pub(super) fn symbol(&self, address: usize) -> Option<Label> {
        *self.symbols.borrow_mut().entry(address).or_insert_with(|| symbol_at(address))
    }
}

impl core::fmt::Debug for Sites {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sites").finish_non_exhaustive()
    }
}
