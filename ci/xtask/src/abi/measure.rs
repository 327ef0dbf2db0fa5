//! Reads a compiler's view of the header, from the data of an object file and from MSVC's dump of
//! the tables.
use std::{fs, path::Path};

use anyhow::{Context, bail};
use object::{Object, ObjectSection, ObjectSymbol, read::archive::ArchiveFile};

use super::{
    golden::Promise,
    judges::{Judge, Language},
    source::{self, COUNT, NAME, ROWS, halves_of, number_of, slot_symbol, type_of},
};
use crate::{command, project::Project};

/// Measured names, as [`number_of`] and [`type_of`] spell them, with values as the golden file
/// writes them.
///
/// A name may occur more than once, for a struct and a class or for two types of operation.
pub(super) type Found = Vec<(String, String)>;

/// The measurements of a compiler in one language.
#[derive(Default)]
pub(super) struct Measured {
    /// Measurements of C's declarations.
    pub(super) structs: Found,
    /// Measurements of C++'s classes.
    pub(super) classes: Found,
}

/// The folder of the programs and object files.
pub(super) const FOLDER: &str = "target/abi";
/// The answer "no" to a question about a type.
const ANOTHER: &str = "another type";

/// Compiles the measuring program and reads its numbers. The header's asserts are off, because they
/// would stop the measurement of the very number that they check.
///
/// # Errors
/// The compiler refuses the header, or its output is not understood.
pub(super) fn measure(
    project: &Project,
    judge: &Judge,
    language: Language,
    promises: &[Promise],
) -> anyhow::Result<Measured> {
    let folder = project.path(FOLDER);
    fs::create_dir_all(&folder)?;
    let file = folder.join(if language == Language::C { "measure.c" } else { "measure.cpp" });
    let object = folder.join("measure.o");
    fs::write(&file, source::program(promises, language))?;
    let who = format!("{}, {}", judge.title(), language.name());
    let mut compile = judge.compile(project, language).context("the compiler has gone")?;
    compile.args(["-w", "-DNTCOM_STATIC_ASSERT(condition,text)=struct abi_nothing", "-c", "-o"]).arg(&object);
    if judge.msvc && language == Language::Cpp {
        compile.args(["-Xclang", "-fdump-vtable-layouts"]);
    }
    compile.arg(&file);
    let compiled = command::capture(&mut compile, |_| {})?;
    if !compiled.status.success() {
        bail!("DIFFERENCE: {who} refuses a program that uses the header as promised:\n{}", compiled.output);
    }
    let mut measured = read(&object, judge, language, promises).with_context(|| who.clone())?;
    if judge.msvc && language == Language::Cpp {
        let slots = dumped(&compiled.output, judge.bits, promises);
        let is_missing = |promise: &&Promise| {
            promise.slot().is_some() && !slots.iter().any(|(name, _)| *name == number_of(promise))
        };
        if let Some(missing) = promises.iter().find(is_missing) {
            bail!("{who} has dumped no table with {}:\n{}", missing.name(), compiled.output);
        }
        measured.classes.extend(slots);
    }
    Ok(measured)
}

/// The bytes of a variable, from its beginning to the end of its section.
fn variable<'data>(file: &object::File<'data>, is: impl Fn(&str) -> bool) -> anyhow::Result<&'data [u8]> {
    let symbol =
        file.symbols().find(|symbol| symbol.name().is_ok_and(&is) && symbol.section_index().is_some());
    let symbol = symbol.context("a variable is not in the object file")?;
    let section = file.section_by_index(symbol.section_index().context("no section")?)?;
    let start = usize::try_from(
        symbol.address().checked_sub(section.address()).context("an address before its section")?,
    )?;
    section.data()?.get(start..).context("a variable behind the end of its section")
}

/// A little-endian number. All targets are little-endian.
fn number(bytes: &[u8], size: usize) -> anyhow::Result<u64> {
    let bytes = bytes.get(..size).context("a variable is cut off")?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Matches a symbol of this name. 32-bit Windows puts an underscore before C's names, and MSVC's
/// C++ appends the variable's type.
fn named(name: &str) -> impl Fn(&str) -> bool {
    move |symbol| {
        symbol == name
            || symbol.strip_prefix('_') == Some(name)
            || symbol
                .strip_prefix('?')
                .is_some_and(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with("@@")))
    }
}

/// The measured numbers with their names.
fn numbers(file: &object::File<'_>) -> anyhow::Result<Vec<(String, u64)>> {
    let rows = variable(file, named(ROWS))?;
    let count = usize::try_from(number(variable(file, named(COUNT))?, 8)?)?;
    let mut numbers = Vec::new();
    for row in rows.chunks_exact(NAME + 8).take(count) {
        let (name, value) = row.split_at(NAME);
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        numbers.push((String::from_utf8_lossy(name).into_owned(), number(value, 8)?));
    }
    if numbers.len() != count {
        bail!("the measuring program has {} numbers, expected {count}", numbers.len());
    }
    Ok(numbers)
}

/// rustc's measurements of the definitions, which are in a library of Rust's.
///
/// # Errors
/// The library lacks the number of a promise, or is not understood.
pub(super) fn of_rust(library: &Path, promises: &[Promise]) -> anyhow::Result<Found> {
    let bytes = fs::read(library).with_context(|| format!("cannot read {}", library.display()))?;
    let archive = ArchiveFile::parse(bytes.as_slice())?;
    let mut numbers = Vec::new();
    for member in archive.members() {
        // Members that are not object files, such as Rust's metadata, have no variables.
        let Ok(file) = object::File::parse(member?.data(bytes.as_slice())?) else { continue };
        numbers = self::numbers(&file).unwrap_or(numbers);
    }
    let of = |name: &str| {
        let number = numbers.iter().find(|(other, _)| other == name).map(|(_, number)| *number);
        number.with_context(|| format!("DIFFERENCE: rustc has measured no {name}"))
    };
    let value = |promise: &Promise| -> anyhow::Result<String> {
        match promise.slot() {
            Some((interface, slot)) => Ok(of(&format!("{interface} {slot}"))?.to_string()),
            None if promise.kind() == "interface" => {
                let [high, low] = ["high", "low"].map(|half| of(&format!("{}, {half}", number_of(promise))));
                Ok(guid_of_halves(high?, low?))
            }
            None => Ok(as_promised(promise, of(&number_of(promise))?)),
        }
    };
    promises.iter().map(|promise| Ok((number_of(promise), value(promise)?))).collect()
}

fn read(object: &Path, judge: &Judge, language: Language, promises: &[Promise]) -> anyhow::Result<Measured> {
    let bytes = fs::read(object).context("cannot read the object file")?;
    let file = object::File::parse(bytes.as_slice())?;
    let numbers = numbers(&file)?;
    let mut measured = Measured::default();
    for (index, promise) in promises.iter().enumerate() {
        let of = |name: &str| -> Vec<u64> {
            numbers.iter().filter(|(other, _)| other == name).map(|(_, number)| *number).collect()
        };
        let (name, question) = (number_of(promise), type_of(promise));
        for (found, name_of) in [
            (&mut measured.structs, str::to_owned as fn(&str) -> String),
            (&mut measured.classes, source::of_class),
        ] {
            let numbers = of(&name_of(&name)).into_iter();
            found.extend(numbers.map(|number| (name.clone(), as_promised(promise, number))));
            for answer in of(&name_of(&question)) {
                let text = if answer == 1 { promise.cell(3) } else { ANOTHER };
                found.push((question.clone(), text.to_owned()));
            }
        }
        if promise.kind() == "interface" {
            let guid = variable(&file, named(&format!("ntcom_IID_{}", promise.name())))?;
            measured.structs.push((name.clone(), guid_of_fields(guid)?));
            if let [Some(high), Some(low)] = halves_of(promise).map(|half| of(&half).first().copied()) {
                measured.classes.push((name, guid_of_halves(high, low)));
            }
        } else if language == Language::Cpp && !judge.msvc && promise.slot().is_some() {
            let member = variable(&file, named(&slot_symbol(index)))?;
            let word = number(member, usize::try_from(judge.bits / 8)?)?;
            // Itanium's pointer to member is the offset plus 1, because the address of a function
            // may be odd there.
            measured.classes.push((name, (word & !1).to_string()));
        }
    }
    Ok(measured)
}

/// A number in the notation of the promise.
fn as_promised(promise: &Promise, number: u64) -> String {
    if promise.cell(2).starts_with("0x") { format!("{number:#010x}") } else { number.to_string() }
}

fn guid_of_fields(bytes: &[u8]) -> anyhow::Result<String> {
    let field = |at: usize, size: usize| number(bytes.get(at..).unwrap_or_default(), size);
    let tail = bytes.get(8..16).context("a GUID is cut off")?;
    let low = tail.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Ok(guid_of_halves(field(0, 4)? << 32 | field(4, 2)? << 16 | field(6, 2)?, low))
}

fn guid_of_halves(high: u64, low: u64) -> String {
    let (data1, data2, data3) = (high >> 32, high >> 16 & 0xFFFF, high & 0xFFFF);
    format!("{data1:08x}-{data2:04x}-{data3:04x}-{:04x}-{:012x}", low >> 48, low & 0xFFFF_FFFF_FFFF)
}

/// The slot offsets in the tables that clang dumps. A promise is answered by the interface's own
/// table and by that of an object of ours.
fn dumped(output: &str, bits: u32, promises: &[Promise]) -> Found {
    let mut found = Found::new();
    for promise in promises {
        let Some((interface, method)) = promise.slot() else { continue };
        let within = format!("'ntcom::{interface}'");
        for table in tables(output)
            .filter(|(title, _)| title.split(" (").next().is_some_and(|path| path.contains(&within)))
        {
            // Every other table contains the entries of IUnknown's, so only IUnknown's own table
            // counts for it.
            let own = interface != "IUnknown" || table.0.starts_with("'ntcom::IUnknown' (");
            if let (true, Some(slot)) = (own, table.1.iter().position(|entry| is_method(entry, method))) {
                found.push((number_of(promise), (slot * (bits as usize / 8)).to_string()));
            }
        }
    }
    found
}

/// The tables of a dump, each with its title and its entries in order.
fn tables(output: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    output.split("VFTable for ").skip(1).map(|text| {
        let mut lines = text.lines();
        let title = lines.next().unwrap_or_default();
        let entries = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
            let (index, entry) = line.split_once(" | ")?;
            index.trim().parse::<u32>().is_ok().then_some(entry)
        });
        (title, entries.collect())
    })
}

/// Whether an entry of a table, such as `ULONG ntcom::IUnknown::AddRef() [pure]`, is this method.
fn is_method(entry: &str, method: &str) -> bool {
    entry.split('(').next().is_some_and(|name| name.ends_with(&format!("::{method}")))
}

#[cfg(test)]
mod tests {
    use super::{dumped, guid_of_fields, guid_of_halves, named, number};
    use crate::abi::golden::parse;

    #[test]
    fn names_are_found_as_each_platform_spells_them() {
        let iid = named("ntcom_IID_IClock");
        assert!(iid("ntcom_IID_IClock") && iid("_ntcom_IID_IClock") && iid("?ntcom_IID_IClock@@3U_GUID@@B"));
        assert!(!iid("ntcom_IID_IClock2") && !iid("?ntcom_IID_IClock2@@3U_GUID@@B"));
    }

    #[test]
    fn a_guid_is_read_from_its_fields() {
        let bytes = [4, 3, 2, 1, 6, 5, 8, 7, 9, 10, 11, 12, 13, 14, 15, 16];
        assert_eq!(guid_of_fields(&bytes).unwrap(), "01020304-0506-0708-090a-0b0c0d0e0f10");
        assert_eq!(
            guid_of_halves(0x0102_0304_0506_0708, 0x090A_0B0C_0D0E_0F10),
            guid_of_fields(&bytes).unwrap()
        );
        assert!(guid_of_fields(&bytes[..15]).is_err());
        assert_eq!(number(&[1, 2, 0, 0], 4).unwrap(), 0x201);
    }

    #[test]
    fn slots_are_read_from_a_dump() {
        const DUMP: &str = "VFTable for 'ntcom::IUnknown' (2 entries).\n   0 | ULONG ntcom::IUnknown::AddRef() [pure]\n\
            \x20  1 | ULONG ntcom::IUnknown::Release() [pure]\n\n\
            VFTable indices for 'ntcom::IClock' (1 entry).\n   1 | ULONG ntcom::IClock::tick()\n\n\
            VFTable for 'ntcom::IUnknown' in 'ntcom::IClock' in 'Object' (3 entries).\n   0 | ULONG Object::Release()\n\
            \x20      [this adjustment: -8 non-virtual]\n   1 | ULONG Object::AddRef()\n   2 | ULONG Object::tick()\n\n";
        let promises = "slot | IUnknown[2] Release | 16 8 | ULONG (void *this) | 0.1.0\n\
            slot | IClock[3] tick | 24 12 | ULONG (void *this) | 0.1.0\n\
            slot | IClock[2] Release | 16 8 | ULONG (void *this) | 0.1.0\n";
        let found = dumped(DUMP, 64, &parse(promises, true).unwrap());
        let expected = [("IUnknown[2] Release", "8"), ("IClock[3] tick", "16"), ("IClock[2] Release", "0")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
