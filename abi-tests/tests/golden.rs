//! The golden file has exactly the lines of the Rust definitions. `cargo xtask abi` measures C and
//! C++ compilers too, and checks that no line has gone.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The golden file's lines, without insignificant blanks and without the version that introduced
/// each line.
fn promised() -> Vec<String> {
    let lines =
        include_str!("../abi.golden").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let without_since = |line: &str| {
        let mut cells: Vec<String> =
            line.split('|').map(|cell| cell.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        cells.pop();
        cells.join(" | ")
    };
    lines.map(without_since).collect()
}

#[test]
fn the_definitions_are_what_was_promised() {
    let defined = ntcom_abi_definitions::lines();
    let promised = promised();
    assert!(promised.len() > 50, "{promised:#?}");
    for line in &promised {
        assert!(defined.contains(line), "promised, but not defined: {line}\n{defined:#?}");
    }
    for line in &defined {
        assert!(promised.contains(line), "defined, but not promised (cargo xtask abi --bless): {line}");
    }
}

/// The text of the Rust files below a folder of the project, without comments and without
/// everything behind a `#[cfg(test)]`.
fn code(folder: &str) -> String {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder), &mut files);
    let texts = files.iter().map(|file| {
        let text = fs::read_to_string(file).unwrap();
        let shipped = text.split("#[cfg(test)]").next().unwrap();
        shipped.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// A new interface of the runtime must be promised in the golden file.
#[test]
fn every_interface_of_the_runtime_is_promised() {
    let code = code("runtime/src");
    let iids: BTreeSet<String> = code
        .split("const IID: GUID = GUID::from_u128(0x")
        .skip(1)
        .map(|text| text.split(')').next().unwrap().replace('_', "").to_lowercase())
        .collect();
    let promised: BTreeSet<String> = promised()
        .iter()
        .filter_map(|line| Some(line.strip_prefix("interface | ")?.split_once(" | ")?.1.replace('-', "")))
        .collect();
    assert_eq!(iids, promised, "IIDs of the runtime, and of abi.golden");
}

/// A new status of the executor must be promised in the golden file.
#[test]
fn every_status_is_promised() {
    let code = code("kernel-exec/src");
    let (_, codes) = code.split_once("\ncodes! {").unwrap();
    let (codes, _) = codes.split_once("\n}").unwrap();
    let named: BTreeSet<&str> = codes.split('"').filter(|text| text.starts_with("STATUS_")).collect();
    let promised = promised();
    let promised: BTreeSet<&str> = promised
        .iter()
        .filter_map(|line| line.strip_prefix("value | ")?.split(' ').next())
        .filter(|name| name.starts_with("STATUS_"))
        .collect();
    assert_eq!(named, promised, "statuses of ntcom-exec, and of abi.golden");
}
