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

/// The name of the function that begins at an address.
pub(crate) fn function_at(address: usize) -> Option<Label> {
    let mut found = None;
    backtrace::resolve(core::ptr::without_provenance_mut(address), |symbol| {
        let begins = symbol.addr().is_some_and(|start| start.addr() == address);
        if let (true, Some(name)) = (begins, symbol.name()) {
            found = Some(Label::new(&alloc::format!("{name:#}")));
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::{Label, Labels, intern};

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
