//! The code that an event comes from.

extern crate alloc;

use alloc::{rc::Rc, string::String, vec::Vec};
use core::{
    cell::RefCell,
    fmt::{self, Display, Formatter},
};
use std::{collections::HashMap, path::Path};

use serde::{Deserialize, Serialize};

use super::label::{Label, symbol_at};
use crate::{
    engine::machine::Machine,
    fault::frames::{is_library, is_own},
};

/// The code that an event comes from: the innermost function of the driver or of the test.
///
/// Events have it where [`Config::callers`](crate::Config::callers) is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The source file's name, and the line.
    pub place: String,
    /// Whether a library stands between that function and the event. It is ntcom's runtime, its
    /// executor, or the `futures` crates.
    #[serde(default)]
    pub by_library: bool,
}

impl Display for Caller {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, if self.by_library { ", by a library" } else { "" })
    }
}

/// A function that is inlined at an address.
struct Site {
    place: String,
    is_library: bool,
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
    fn at(&self, address: usize) -> Rc<[Site]> {
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
            found.push(Site { place: alloc::format!("{file}:{line}"), is_library: is_library(&name) });
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

impl Machine {
    /// The code that calls the kernel now. `None` if no function of the driver or of a library is
    /// running, or if its place is unknown.
    pub(crate) fn caller(&self, sites: &Sites) -> Option<Caller> {
        let (mut by_library, mut place) = (false, None);
        self.walk(|frame| {
            for site in &*sites.at(frame.ip().addr()) {
                if site.is_library {
                    by_library = true;
                    place.get_or_insert_with(|| site.place.clone());
                } else {
                    place = Some(site.place.clone());
                    return false;
                }
            }
            true
        });
        place.map(|place| Caller { place, by_library })
    }
}
