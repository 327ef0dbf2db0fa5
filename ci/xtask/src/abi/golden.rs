//! The golden file: every promise of the binary interface, a line each.
//!
//! `kind | name | numbers or value | signature | since`, where the version that a line is in since is always the last cell. Blanks do not
//! count; what begins with `#` is for people.
use std::collections::BTreeMap;

use anyhow::bail;

/// A promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Promise {
    /// What it says, without blanks that do not count and without `since`.
    pub(crate) line: String,
    /// The version that it is in since. Empty: this is no line of the golden file but what a definition says.
    pub(crate) since: String,
}

impl Promise {
    /// The cell with this number; empty where there is none.
    pub(crate) fn cell(&self, index: usize) -> &str {
        self.line.split(" | ").nth(index).unwrap_or_default()
    }

    /// `slot`, `size`, …
    pub(crate) fn kind(&self) -> &str {
        self.cell(0)
    }

    /// What it is about.
    pub(crate) fn name(&self) -> &str {
        self.cell(1)
    }

    /// Of a slot, `IClock[3] tick`: interface and method.
    pub(crate) fn slot(&self) -> Option<(&str, &str)> {
        let (interface, method) = self.name().split_once("] ")?;
        Some((interface.split('[').next()?, method))
    }

    /// What no two promises have in common.
    fn key(&self) -> (&str, &str) {
        (self.kind(), self.name())
    }

    /// Of the two numbers of the third cell the one on machines with so many bits.
    pub(crate) fn number(&self, bits: u32) -> &str {
        self.cell(2).split(' ').nth(usize::from(bits == 32)).unwrap_or_default()
    }

    /// As it stands in the file: cells in columns.
    pub(crate) fn print(&self) -> String {
        let Self { line, since } = self;
        let mut cells = line.splitn(4, " | ");
        let mut next = || cells.next().unwrap_or_default();
        let (kind, name, numbers, rest) = (next(), next(), next(), next());
        if rest.is_empty() {
            format!("{kind:<9} | {name:<33} | {numbers:<5} | {since}")
        } else {
            format!("{kind:<9} | {name:<33} | {numbers:<5} | {rest} | {since}")
        }
    }
}

/// How a promise was broken.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Break {
    /// It is gone.
    Gone(Promise),
    /// It says something else.
    Changed(Promise, Promise),
}

impl Break {
    /// For a person: the lines.
    pub(crate) fn print(&self) -> String {
        match self {
            Self::Gone(old) => format!("  removed: {}", old.print()),
            Self::Changed(old, new) => format!("  changed: {}\n       to: {}", old.print(), new.print()),
        }
    }
}

/// The lines of the file, and those that the definitions print, which have no `since`.
///
/// # Errors
/// A line is none, or there are two about one thing.
pub(crate) fn parse(text: &str, with_since: bool) -> anyhow::Result<Vec<Promise>> {
    let mut promises: Vec<Promise> = Vec::new();
    let mut seen = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words = |cell: &str| cell.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut cells: Vec<String> = line.split('|').map(words).collect();
        let since = if with_since { cells.pop().unwrap_or_default() } else { String::new() };
        let is_version =
            since.split('.').count() == 3 && since.split('.').all(|part| part.parse::<u32>().is_ok());
        if cells.len() < 3 || cells.iter().any(String::is_empty) || (with_since && !is_version) {
            bail!("line {} is no promise (kind | name | … | version): {line}", index + 1);
        }
        let promise = Promise { line: cells.join(" | "), since };
        let (kind, name) = promise.key();
        if let Some(first) = seen.insert((kind.to_owned(), name.to_owned()), index + 1) {
            bail!("lines {first} and {} are both about the {kind} {name}", index + 1);
        }
        promises.push(promise);
    }
    Ok(promises)
}

/// What is defined, each slot under the number that was promised: a slot that has moved is then the one with another offset.
pub(crate) fn align(promises: &[Promise], defined: &[Promise]) -> Vec<Promise> {
    let promised = |found: &Promise| {
        promises.iter().find(|promise| promise.slot().is_some() && promise.slot() == found.slot()).cloned()
    };
    let renamed = |found: &Promise| match promised(found) {
        Some(promise) => {
            let line = found.line.replacen(found.name(), promise.name(), 1);
            Promise { line, since: found.since.clone() }
        }
        None => found.clone(),
    };
    defined.iter().map(renamed).collect()
}

/// The old promises that are not kept. New ones are no break.
pub(crate) fn breaks(old: &[Promise], new: &[Promise]) -> Vec<Break> {
    let broken = old.iter().filter(|promise| !new.contains(promise));
    let about = |promise: &Promise| new.iter().find(|other| other.key() == promise.key()).cloned();
    broken
        .map(|promise| match about(promise) {
            Some(other) => Break::Changed(promise.clone(), other),
            None => Break::Gone(promise.clone()),
        })
        .collect()
}

/// The new promises.
pub(crate) fn additions<'a>(old: &[Promise], new: &'a [Promise]) -> Vec<&'a Promise> {
    new.iter().filter(|promise| old.iter().all(|other| other.key() != promise.key())).collect()
}

#[cfg(test)]
mod tests {
    use super::{Break, Promise, additions, align, breaks, parse};

    const FILE: &str = "# for people\n\n\
        interface | IClock         | 0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7a01 | 0.1.0\n\
        slot      | IClock[3] tick | 24 12 | ULONG (void *this) | 0.1.0\n";

    fn promises(text: &str) -> Vec<Promise> {
        parse(text, true).unwrap()
    }

    #[test]
    fn a_line_is_read_and_printed() {
        let [_, slot] = promises(FILE).try_into().unwrap();
        assert_eq!(slot.line, "slot | IClock[3] tick | 24 12 | ULONG (void *this)");
        assert_eq!((slot.kind(), slot.name(), slot.since.as_str()), ("slot", "IClock[3] tick", "0.1.0"));
        assert_eq!((slot.number(64), slot.number(32), slot.cell(3)), ("24", "12", "ULONG (void *this)"));
        assert_eq!(promises(&slot.print()), [slot]);
    }

    #[test]
    fn what_is_no_promise_is_refused_with_its_line() {
        for (text, number) in [("slot | x | 0.1.0", "1"), ("\nslot | x | 8 4 | soon", "2")] {
            let error = parse(text, true).unwrap_err().to_string();
            assert!(error.contains(&format!("line {number} ")), "{error}");
        }
        let twice = format!("{FILE}size | IClock[3] | 8 4 | 0.1.0\nslot | IClock[3] tick | 32 16 | 0.2.0\n");
        assert!(parse(&twice, true).unwrap_err().to_string().contains("lines 4 and 6"));
    }

    #[test]
    fn only_what_is_added_is_no_break() {
        let old = promises(FILE);
        assert_eq!(breaks(&old, &old), []);
        let more = promises(&format!("{FILE}slot | IClock[4] tock | 32 16 | ULONG (void *this) | 0.2.0\n"));
        assert_eq!(breaks(&old, &more), []);
        assert_eq!(additions(&old, &more).len(), 1);
        // Blanks and order do not count.
        let moved = promises(
            &FILE.lines().rev().map(|line| format!("{}\n", line.replace("  ", ""))).collect::<String>(),
        );
        assert_eq!(breaks(&old, &moved), []);
    }

    #[test]
    fn a_slot_that_has_moved_is_known_by_its_name() {
        let moved = promises(&FILE.replace("[3]", "[4]").replace("24 12", "32 16"));
        let [interface, slot] = align(&promises(FILE), &moved).try_into().unwrap();
        assert_eq!(slot.line, "slot | IClock[3] tick | 32 16 | ULONG (void *this)");
        assert_eq!(Some(&interface), moved.first());
    }

    #[test]
    fn a_changed_line_and_a_removed_one_are_breaks() {
        let old = promises(FILE);
        let slot = old.get(1).unwrap().clone();
        for (from, to) in [("24 12", "32 16"), ("ULONG (", "LONG ("), ("this) | 0.1.0", "this) | 0.2.0")] {
            let new = promises(&FILE.replace(from, to));
            assert_eq!(breaks(&old, &new), [Break::Changed(slot.clone(), new.get(1).unwrap().clone())]);
        }
        let renamed = promises(&FILE.replace("tick", "tock"));
        assert_eq!(breaks(&old, &renamed), [Break::Gone(slot)]);
    }
}
