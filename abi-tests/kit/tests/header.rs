//! The header and its twin in Rust agree. The C compiler measures the first, and rustc the second.
//! The header is valid C++17 too.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{fmt::Write, mem::offset_of};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ntcom_fuzz_model::value::ValueKind;
use ntcom_kit::table::{self, MAY_FAIL, Recipe, Stop, Table, VERSION, poll, shape};

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("header");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn compiler(variable: &str, default: &str) -> Command {
    let mut command = Command::new(std::env::var_os(variable).unwrap_or_else(|| default.into()));
    command.args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-I"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtime/include"));
    command.arg("-I").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"));
    command
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(name)
}

/// The expected output of `tests/c/layout.c`, from the Rust side.
fn expected() -> String {
    let mut text = String::new();
    macro_rules! members {
        ($of:ty, $name:literal, $($member:ident),*) => {
            $(writeln!(text, "{}.{} {}", $name, stringify!($member), offset_of!($of, $member)).unwrap();)*
        };
    }
    writeln!(text, "version {VERSION}").unwrap();
    writeln!(text, "table {}", size_of::<Table>()).unwrap();
    writeln!(text, "recipe {}", size_of::<Recipe>()).unwrap();
    writeln!(text, "stop {}", size_of::<Stop>()).unwrap();
    members!(Table, "table", size, version, name, shapes, fails, raises, level, threads, reserved);
    for (name, offset) in Table::members() {
        writeln!(text, "table.{name} {offset}").unwrap();
    }
    members!(Recipe, "recipe", size, kind, shape, flags, context, begin, poll, guarded, finish, drop);
    members!(Stop, "stop", size, bug_check, parameter, text);
    let shapes = [shape::PLAIN, shape::TRY_FINALLY, shape::ON_CANCEL, shape::NESTED, shape::JOIN];
    writeln!(text, "shapes {}", shapes.map(|shape| shape.to_string()).join(" ")).unwrap();
    writeln!(text, "poll {} {} {}", poll::PENDING, poll::READY, poll::RAISE).unwrap();
    writeln!(text, "may fail {MAY_FAIL}").unwrap();
    for (number, kind) in ValueKind::ALL.into_iter().enumerate() {
        writeln!(text, "kind {number} {}", kind.size()).unwrap();
    }
    text
}

#[test]
fn the_c_compiler_and_rustc_agree_on_the_header() {
    let program = folder().join("layout");
    let built = compiler("CC", "cc")
        .arg("-std=c11")
        .arg(source("layout.c"))
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let output = Command::new(&program).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected());
}

#[test]
fn the_header_is_cpp_17() {
    let output = compiler("CXX", "c++")
        .args(["-std=c++17", "-fsyntax-only", "-x", "c++"])
        .arg(source("layout.c"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The Rust side has all members of the header's table, in the same order.
#[test]
fn the_rust_side_knows_every_member() {
    let header =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/ntcom_kit.h")).unwrap();
    let table = header.split("struct ntcom_kit_table {").nth(1).unwrap().split("\n};").next().unwrap();
    let functions: Vec<&str> = table
        .lines()
        .filter_map(|line| line.split_once("(*").map(|(_, rest)| rest))
        .map(|rest| rest.split(')').next().unwrap())
        .collect();
    let members: Vec<&str> = Table::members().into_iter().map(|(name, _)| name).collect();
    assert_eq!(functions, members);
    assert_eq!(table::SYMBOL, "ntcom_kit");
}
