//! Labels, which programs give to objects, and functions have from the compiler.

extern crate alloc;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
};
use core::{
    fmt::{self, Display, Formatter},
    ops::Range,
};
use std::sync::{Mutex, PoisonError};

/// A label of an object or of a function. Labels are equal if their texts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(&'static str);

impl Label {
    /// A label with this text, which stays in memory until the process ends.
    pub(crate) fn new(text: &str) -> Self {
        Self(intern(text.into()))
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl Display for Label {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The one copy of a text in this process. Each text that was ever asked for stays.
pub(crate) fn intern(text: String) -> &'static str {
    static TEXTS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text.as_str()) {
        return known;
    }
    let text: &'static str = text.leak();
    texts.insert(text);
    text
}

/// The labels of a run's objects, by their addresses.
#[derive(Debug, Default)]
pub(crate) struct Labels(BTreeMap<usize, (usize, Label)>);

impl Labels {
    /// Labels the bytes from an address on.
    pub(crate) fn add(&mut self, address: usize, size: usize, label: Label) {
        self.0.insert(address, (size.max(1), label));
    }

    /// The label of an address, and the distance from the start of what it labels.
    pub(crate) fn find(&self, address: usize) -> Option<(Label, usize)> {
        let (start, (size, label)) = self.0.range(..=address).next_back()?;
        let offset = address - start;
        (offset < *size).then_some((*label, offset))
    }

    /// Forgets the labels that begin in a range.
    pub(crate) fn forget(&mut self, addresses: &Range<usize>) {
        self.0.retain(|address, _| !addresses.contains(address));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The name of the function or static that begins at an address.
pub(crate) fn symbol_at(address: usize) -> Option<Label> {
    let name = symbol_of(address)?;
    (symbol_of(address.wrapping_sub(1)).as_ref() != Some(&name)).then(|| Label::new(&name))
}

/// The name of the function or static that an address is in.
fn symbol_of(address: usize) -> Option<String> {
    let mut name = None;
    // The library looks up the byte before, because it expects the address to which a call returns.
    backtrace::resolve(core::ptr::without_provenance_mut(address.wrapping_add(1)), |symbol| {
        // Functions that are inlined there come first.
        name = symbol.name().map(|name| alloc::format!("{name:#}")).or(name.take());
    });
    name
}

#[cfg(test)]
mod tests {
    use super::{Label, Labels, intern, symbol_at};

    #[test]
    fn a_symbol_is_named_at_its_beginning_only() {
        extern "C" fn routine() {}
        let address = routine as *const () as usize;
        let name = symbol_at(address).map(Label::as_str).unwrap_or_default();
        // With line tables only, functions have names without their paths.
        assert!(name.ends_with("routine"), "{name}");
        assert_eq!(symbol_at(address + 1), None);
        let local = 0_u8;
        assert_eq!(symbol_at(core::ptr::from_ref(&local).addr()), None);
    }

    #[test]
    fn a_label_covers_the_bytes_of_its_object() {
        let mut labels = Labels::default();
        let (lock, empty) = (Label::new("lock"), Label::new("empty"));
        labels.add(0x100, 8, lock);
        labels.add(0x110, 0, empty);
        assert_eq!(labels.find(0x100), Some((lock, 0)));
        assert_eq!(labels.find(0x107), Some((lock, 7)));
        assert_eq!((labels.find(0x108), labels.find(0xff)), (None, None));
        assert_eq!(labels.find(0x110), Some((empty, 0)));
        labels.forget(&(0x100..0x101));
        assert_eq!(labels.find(0x100), None);
    }

    #[test]
    fn equal_texts_are_one_text() {
        assert!(core::ptr::eq(intern("one".into()), intern("one".into())));
    }
}
