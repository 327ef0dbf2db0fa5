//! The table, slot by judge, and the first difference in it.
use std::collections::BTreeMap;

use super::{
    golden::Promise,
    measure::Found,
    source::{number_of, type_of},
};
use crate::ui;

/// The golden file's name in the list of judges.
const PROMISED: &str = "abi.golden";
/// The cell of a judge that finds nothing, and the word for it in a sentence.
const NOTHING: &str = "-";
const NOTHING_FOUND: &str = "nothing";

/// A column of the table, with a judge, its pointer width, and its measurements in each language.
pub(super) struct Column {
    /// The head of the column.
    pub(super) head: String,
    /// The width of a pointer, 64 or 32 bits.
    pub(super) bits: u32,
    /// Whether the judge measured types as well.
    pub(super) types: bool,
    /// The judge's name with each language, and the measurements.
    pub(super) found: Vec<(String, Found)>,
}

/// The names and values that a judge for this pointer width must find.
pub(super) fn expected(promises: &[Promise], bits: u32) -> Found {
    let mut rows = Found::new();
    for promise in promises {
        let number = match promise.kind() {
            "interface" | "value" => promise.cell(2),
            _ => promise.number(bits),
        };
        rows.push((number_of(promise), number.to_owned()));
        if !promise.cell(3).is_empty() {
            rows.push((type_of(promise), promise.cell(3).to_owned()));
        }
    }
    rows
}

/// Whether the question is about the type of an item.
fn is_type(name: &str) -> bool {
    name.ends_with(", type")
}

/// A value as a cell of the table shows it.
fn brief(name: &str, value: &str, promised: &str) -> String {
    if is_type(name) {
        return if value == promised { "yes" } else { "NO" }.to_owned();
    }
    // The first digits of an IID are enough to tell it from the others.
    match value.split_once('-') {
        Some((start, _)) if name.starts_with("IID of ") => format!("{start}…"),
        _ => value.to_owned(),
    }
}

/// The table, and a sentence about the first difference.
pub(super) fn table(promises: &[Promise], columns: &[Column]) -> (comfy_table::Table, Option<String>) {
    let on = |bits: u32| -> BTreeMap<String, String> { expected(promises, bits).into_iter().collect() };
    let (on_64, on_32) = (on(64), on(32));
    let mut head = vec!["what".to_owned(), format!("{PROMISED}\n64-bit 32-bit")];
    head.extend(columns.iter().map(|column| column.head.clone()));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = ui::table(&head, 1..head.len());
    let mut first = None;
    for (name, _) in expected(promises, 64) {
        let promised = |bits: u32| {
            let map = if bits == 64 { &on_64 } else { &on_32 };
            map.get(&name).map(String::as_str).unwrap_or_default()
        };
        let both = [64, 32].map(|bits| brief(&name, promised(bits), promised(bits)));
        let [wide, narrow] = &both;
        let mut row = vec![name.clone(), if wide == narrow { wide.clone() } else { both.join(" ") }];
        for column in columns {
            let (cell, differs) = cell(column, &name, promised(column.bits));
            row.push(cell);
            if differs && first.is_none() {
                first = Some(difference(&name, promised(column.bits), column.bits, columns));
            }
        }
        table.add_row(row);
    }
    (table, first)
}

fn values<'a>(column: &'a Column, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    column.found.iter().flat_map(move |(who, found)| {
        let own = found.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str());
        own.map(|value| (who.as_str(), value)).collect::<Vec<_>>()
    })
}

fn cell(column: &Column, name: &str, promised: &str) -> (String, bool) {
    let mut cells: Vec<String> = Vec::new();
    let mut differs = false;
    for (_, value) in values(column, name) {
        differs |= value != promised;
        let value = brief(name, value, promised);
        if !cells.contains(&value) {
            cells.push(value);
        }
    }
    if cells.is_empty() && is_type(name) && !column.types {
        return (NOTHING.to_owned(), false);
    }
    if cells.is_empty() {
        return (NOTHING.to_owned(), true);
    }
    (format!("{}{}", cells.join("/"), if differs { " !" } else { "" }), differs)
}

/// Each value with its judges, as in
/// `IClock[3] tick, 64-bit: 24 by abi.golden, rustc; 32 by gcc (C++)`.
fn difference(name: &str, promised: &str, bits: u32, columns: &[Column]) -> String {
    let mut camps: Vec<(&str, Vec<&str>)> = vec![(promised, vec![PROMISED])];
    for column in columns.iter().filter(|column| column.bits == bits) {
        for (value, names) in camps_of(column, name) {
            match camps.iter_mut().find(|(other, _)| *other == value) {
                Some((_, camp)) => camp.extend(names),
                None => camps.push((value, names)),
            }
        }
    }
    let camps: Vec<String> =
        camps.iter().map(|(value, camp)| format!("{value} by {}", camp.join(", "))).collect();
    format!("{name}, {bits}-bit: {}", camps.join("; "))
}

/// The different values in a column, each with its judges. Where all languages agree the column's
/// name stands for them.
fn camps_of<'a>(column: &'a Column, name: &str) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut camps: Vec<(&str, Vec<&str>)> = Vec::new();
    for (who, value) in values(column, name) {
        match camps.iter_mut().find(|(other, _)| *other == value) {
            Some((_, camp)) if camp.contains(&who) => {}
            Some((_, camp)) => camp.push(who),
            None => camps.push((value, vec![who])),
        }
    }
    let name = column.head.lines().next().unwrap_or_default();
    match camps.as_mut_slice() {
        [] => vec![(NOTHING_FOUND, vec![name])],
        [(_, camp)] => {
            *camp = vec![name];
            camps
        }
        _ => camps,
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, table};
    use crate::abi::golden::parse;

    fn column(head: &str, bits: u32, value: Option<&str>) -> Column {
        let found = value.map(|value| ("IClock[3] tick".to_owned(), value.to_owned())).into_iter();
        let signature = ("IClock[3] tick, type".to_owned(), "ULONG (void *this)".to_owned());
        Column {
            head: head.to_owned(),
            bits,
            types: true,
            found: vec![(head.to_owned(), found.chain([signature]).collect())],
        }
    }

    fn verdict(columns: &[Column]) -> (String, Option<String>) {
        let promises = parse("slot | IClock[3] tick | 24 12 | ULONG (void *this) | 0.1.0", true).unwrap();
        let (table, first) = table(&promises, columns);
        (table.to_string(), first)
    }

    #[test]
    fn judges_that_agree_are_no_difference() {
        let (table, first) = verdict(&[column("rustc", 64, Some("24")), column("gcc", 32, Some("12"))]);
        assert_eq!(first, None);
        assert!(table.contains("24 12") && table.contains("yes"), "{table}");
    }

    #[test]
    fn a_difference_has_the_slot_the_judges_and_the_numbers() {
        let judges =
            [column("rustc", 64, Some("24")), column("gcc", 64, Some("32")), column("mingw", 64, Some("32"))];
        let (table, first) = verdict(&judges);
        assert_eq!(first.unwrap(), "IClock[3] tick, 64-bit: 24 by abi.golden, rustc; 32 by gcc, mingw");
        assert!(table.contains("32 !"), "{table}");
    }

    #[test]
    fn a_compiler_that_does_not_see_types_does_not_differ_by_that() {
        let mut column = column("rustc", 64, Some("24"));
        column.found.iter_mut().for_each(|(_, found)| found.truncate(1));
        assert!(verdict(std::slice::from_ref(&column)).1.unwrap().contains("nothing by rustc"));
        column.types = false;
        assert_eq!(verdict(&[column]).1, None);
    }

    #[test]
    fn a_judge_that_finds_nothing_differs() {
        let (_, first) = verdict(&[column("gcc", 32, None)]);
        assert_eq!(first.unwrap(), "IClock[3] tick, 32-bit: 12 by abi.golden; nothing by gcc");
    }
}
