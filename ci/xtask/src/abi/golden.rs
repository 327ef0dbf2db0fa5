//! The golden file, which has one promise of the binary interface in each line.
//!
//! A line is `kind | name | numbers or value | signature | since`. The last cell is always the
//! version that introduced the line. Blanks do not count, and lines that begin with `#` are
//! comments.
use std::collections::BTreeMap;

use anyhow::bail;

/// A promise of the binary interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Promise {
    /// The line without surplus blanks and without `since`.
    pub(crate) line: String,
    /// The version that introduced the line. It is empty for a definition, which has no version.
    pub(crate) since: String,
}

impl Promise {
    /// The cell with this number, or an empty string where the line has fewer.
    pub(crate) fn cell(&self, index: usize) -> &str {
        self.line.split(" | ").nth(index).unwrap_or_default()
    }

    /// The first cell, such as `slot` or `size`.
    pub(crate) fn kind(&self) -> &str {
        self.cell(0)
    }

    /// The name of the promised item.
    pub(crate) fn name(&self) -> &str {
        self.cell(1)
    }

    /// The interface and method of a slot, as in `IClock[3] tick`.
    pub(crate) fn slot(&self) -> Option<(&str, &str)> {
        let (interface, method) = self.name().split_once("] ")?;
        Some((interface.split('[').next()?, method))
    }

    /// The kind and name, which no two promises share.
    fn key(&self) -> (&str, &str) {
        (self.kind(), self.name())
    }

    /// The number of the third cell for machines with this many bits. The first number is for 64.
    pub(crate) fn number(&self, bits: u32) -> &str {
        self.cell(2).split(' ').nth(usize::from(bits == 32)).unwrap_or_default()
    }

    /// The line as it stands in the file, with its cells in columns.
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

/// A broken promise.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Break {
    /// The new file has no line with this key.
    Gone(Promise),
    /// The line with this key has changed, from the first to the second.
    Changed(Promise, Promise),
}

impl Break {
    /// The break as lines of a report.
    pub(crate) fn print(&self) -> String {
        match self {
            Self::Gone(old) => format!("  removed: {}", old.print()),
            Self::Changed(old, new) => format!("  changed: {}\n       to: {}", old.print(), new.print()),
        }
    }
}

/// Parses the lines of the file, or, without `since`, the lines that the definitions print.
///
/// # Errors
/// A line is not a promise, or two lines are about the same item.
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
            bail!("line {} is not a promise (kind | name | … | version): {line}", index + 1);
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

/// Gives each defined slot the index that was promised for its method. A slot that has moved then
/// differs in its offset.
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

/// The old promises that the new file breaks. Additional promises break nothing.
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

/// The promises that only the new file has.
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
        // Blanks and the order of lines do not count.
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
