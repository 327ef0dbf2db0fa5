//! Checks that every compiler accepts the header without a warning, with its asserts, alone and
//! beside the headers of Windows.
use std::{fs, process::Command};

use anyhow::{Context, bail};

use super::{
    golden::Promise,
    judges::{self, Judge, Language},
    measure::FOLDER,
};
use crate::{command, project::Project};

/// The header's path from the root.
const HEADER: &str = "runtime/include/ntcom.h";
/// Options that turn every warning into an error.
const STRICT: [&str; 6] = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wshadow", "-Wundef"];
/// A program that uses the header.
const USE: &str = "NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU32, uint32_t);
int use(IAsyncOperationU32 *operation, uint32_t *value, NTSTATUS *why);
int use(IAsyncOperationU32 *operation, uint32_t *value, NTSTATUS *why) {
    return IAsyncOperationU32_try_get(operation, value, why);
}
";
const OURS: &str = "#include <ntcom.h>\n";
/// Clients and operations of the tests that need no library. Every judge compiles them for its
/// target, so the asserts of `signatures` are checked everywhere.
const CLIENTS_IN_C: [&str; 6] = [
    "abi-tests/c/calls.c",
    "abi-tests/c/example.c",
    "abi-tests/c/probe.c",
    "abi-tests/c/program.c",
    "abi-tests/c/records.c",
    "abi-tests/c/signatures.c",
];
const CLIENTS_IN_CPP: [&str; 5] = [
    "abi-tests/cpp/calls.cpp",
    "abi-tests/cpp/example_use.cpp",
    "abi-tests/cpp/probe.cpp",
    "abi-tests/cpp/records.cpp",
    "abi-tests/cpp/signatures.cpp",
];
/// Headers that a driver or a program includes, too. Each is tried before ntcom.h, behind it, and
/// on both sides.
const WINDOWS: [(&str, &str); 4] = [
    ("wdm.h", "#include <wdm.h>\n"),
    ("ntddk.h", "#include <ntddk.h>\n"),
    ("ntifs.h", "#include <ntifs.h>\n"),
    ("windows.h and unknwn.h", "#include <windows.h>\n#include <unknwn.h>\n"),
];

/// Has every judge compile the header with all warnings as errors. Returns the lines of the report.
///
/// # Errors
/// A judge refuses the header. The error has its name and its output.
pub(super) fn check(project: &Project, judges: &[&Judge]) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    let mut alone = 0;
    for judge in judges {
        for language in Language::ALL {
            let program = format!("{OURS}{OURS}{USE}");
            accept(&mut strictly(project, judge, language, &program, &[])?, judge, language, "alone")?;
            alone += 1;
        }
    }
    let mut clients = 0;
    for judge in judges {
        for language in Language::ALL {
            for file in if language == Language::C { &CLIENTS_IN_C[..] } else { &CLIENTS_IN_CPP[..] } {
                let mut compile = judge.compile(project, language).context("the compiler has gone")?;
                compile.args(STRICT).args(["-fsyntax-only", "-I", "abi-tests/c"]).arg(file);
                accept(&mut compile, judge, language, file)?;
                clients += 1;
            }
        }
    }
    let mut beside = 0;
    for judge in judges.iter().filter(|judge| judge.has_ddk()) {
        let Some(more) = judges::ddk().map(|ddk| judge.beside_ddk(ddk)) else { break };
        for language in Language::ALL {
            for (what, theirs) in WINDOWS {
                // Some compilers refuse these headers in one language even without ours. Such a
                // pair is skipped.
                let mut without = strictly(project, judge, language, theirs, &more)?;
                if !command::capture(&mut without, |_| {})?.status.success() {
                    said.push(format!(
                        "skipped: {} as {}, beside {what}: it refuses mingw-w64's {what} even without ntcom.h",
                        judge.title(),
                        language.name()
                    ));
                    continue;
                }
                for order in [[theirs, OURS, ""], [OURS, theirs, ""], [theirs, OURS, theirs]] {
                    let program = format!("{}{USE}", order.concat());
                    accept(&mut strictly(project, judge, language, &program, &more)?, judge, language, what)?;
                    beside += 1;
                }
            }
        }
    }
    said.push(format!(
        "header: {alone} compilations without a warning, {clients} of clients, {beside} beside mingw-w64's DDK and SDK"
    ));
    Ok(said)
}

/// A compilation of a program in which any warning is an error.
fn strictly(
    project: &Project,
    judge: &Judge,
    language: Language,
    program: &str,
    more: &[String],
) -> anyhow::Result<Command> {
    let file = project.path(FOLDER).join(if language == Language::C { "use.c" } else { "use.cpp" });
    fs::write(&file, program)?;
    let mut compile = judge.compile(project, language).context("the compiler has gone")?;
    compile.args(STRICT).arg("-fsyntax-only").args(more).arg(&file);
    Ok(compile)
}

fn accept(compile: &mut Command, judge: &Judge, language: Language, what: &str) -> anyhow::Result<()> {
    let captured = command::capture(compile, |_| {})?;
    if !captured.status.success() {
        bail!(
            "DIFFERENCE: {} refuses {HEADER} as {} ({what}):\n{}\nto repeat: {}",
            judge.title(),
            language.name(),
            captured.output,
            command::shell(compile)
        );
    }
    Ok(())
}

/// The values, IIDs and tables in the header that have no line in the golden file.
pub(super) fn unpromised(project: &Project, promises: &[Promise]) -> anyhow::Result<Vec<String>> {
    let header = fs::read_to_string(project.path(HEADER)).with_context(|| format!("cannot read {HEADER}"))?;
    Ok(names(&header)
        .into_iter()
        .filter(|name| !promises.iter().any(|promise| is_of(promise, name)))
        .collect())
}

fn is_of(promise: &Promise, name: &str) -> bool {
    match promise.kind() {
        "value" => name.strip_prefix("NTCOM_") == Some(promise.name()),
        "interface" => name.strip_prefix("ntcom_IID_") == Some(promise.name()),
        "size" => name.strip_prefix("ntcom_") == Some(promise.name()),
        _ => false,
    }
}

/// The names in the header that need a promise: `NTCOM_STATUS_*`, `ntcom_IID_*`, macros that are
/// values of a type (such as the states of operations), and tables (`ntcom_I*Vtbl`).
fn names(header: &str) -> Vec<String> {
    let words = header.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let begins = |word: &str, prefix: &str| word.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    let is_table = |word: &str| begins(word, "ntcom_I") && word.ends_with("Vtbl");
    let named =
        words.filter(|word| begins(word, "NTCOM_STATUS_") || begins(word, "ntcom_IID_") || is_table(word));
    let value = |line: &'_ str| {
        let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
        (name.starts_with("NTCOM_") && value.trim_start().starts_with("((")).then(|| name.to_owned())
    };
    let mut names: Vec<String> = named.map(str::to_owned).chain(header.lines().filter_map(value)).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::{is_of, names};
    use crate::abi::golden::parse;

    #[test]
    fn the_names_of_the_header_are_found() {
        let header = "#define NTCOM_STATUS_PENDING (0x103)\nGUID ntcom_IID_IClock = NTCOM_IID_ICLOCK_FIELDS;";
        assert_eq!(names(header), ["NTCOM_STATUS_PENDING", "ntcom_IID_IClock"]);
        let promises = parse("value | STATUS_PENDING | 0x00000103 | 0.1.0", true).unwrap();
        assert!(promises.iter().any(|promise| is_of(promise, "NTCOM_STATUS_PENDING")));
        assert!(!promises.iter().any(|promise| is_of(promise, "NTCOM_STATUS_PEND")));
    }

    /// A new state and a table without an IID need promises as well.
    #[test]
    fn states_and_tables_are_names_of_the_header() {
        let header = "#define NTCOM_PAUSED ((ntcom_AsyncStatus)4) /* new */\n#define NTCOM_CALL __stdcall\n\
            #define NTCOM_ASSERT(a, b) ((a) == (b))\ntypedef struct ntcom_IClockVtbl { void *tick; } ntcom_IClockVtbl;";
        assert_eq!(names(header), ["NTCOM_PAUSED", "ntcom_IClockVtbl"]);
        let promises = parse("value | PAUSED | 4 | 0.1.0\nsize | IClockVtbl | 8 4 | 0.1.0\n", true).unwrap();
        for name in names(header) {
            assert!(promises.iter().any(|promise| is_of(promise, &name)), "{name}");
        }
    }

    /// `cargo xtask abi` asks the same of the real header and golden file.
    #[test]
    fn the_header_has_nothing_that_is_not_promised() {
        let project = crate::project::Project::find();
        let (_, promises) = crate::abi::history::present(&project).unwrap();
        assert_eq!(super::unpromised(&project, &promises).unwrap(), Vec::<String>::new());
    }
}
