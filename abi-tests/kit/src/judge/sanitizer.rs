//! Libraries that are built with a sanitizer. This finds the runtime that must be loaded before
//! them, and the runtime's reports.

use std::{fs, path::Path, process::Command};

use crate::freed;

/// The sanitizers. Each has a name, the symbol that a library built with it imports, and its
/// runtime's name.
const SANITIZERS: [(&str, &str, &str); 5] = [
    ("AddressSanitizer", "__asan_init", "asan"),
    ("HWAddressSanitizer", "__hwasan_init", "hwasan"),
    ("ThreadSanitizer", "__tsan_init", "tsan"),
    ("MemorySanitizer", "__msan_init", "msan"),
    ("UndefinedBehaviorSanitizer", "__ubsan_handle_", "ubsan"),
];

/// Advice for a library that could not be loaded, if it is built with a sanitizer.
pub(super) fn advice(library: &Path) -> String {
    let Ok(bytes) = fs::read(library) else { return String::new() };
    let asks = |symbol: &str| bytes.windows(symbol.len()).any(|window| window == symbol.as_bytes());
    let Some((name, _, runtime)) = SANITIZERS.iter().find(|(_, symbol, _)| asks(symbol)) else {
        return String::new();
    };
    if *runtime == "msan" {
        return format!(
            "\nit is built with {name}, which wants the whole process built so: build it without"
        );
    }
    format!(
        "\nit is built with {name}: load the runtime of {name} before everything else:\n  \
         gcc:   --preload \"$(gcc -print-file-name=lib{runtime}.so)\"\n  \
         clang: build with -shared-libsan, and --preload \"$(clang -print-file-name=libclang_rt.{runtime}.so)\""
    )
}

/// Sets the runtimes' options, unless the caller has set them. Memory that the kit itself keeps to
/// its end is not a leak of the library.
pub(super) fn set_up(command: &mut Command) {
    for (variable, options) in [
        ("ASAN_OPTIONS", "detect_leaks=0"),
        ("LSAN_OPTIONS", "detect_leaks=0"),
        ("UBSAN_OPTIONS", "print_stacktrace=1"),
    ] {
        if std::env::var_os(variable).is_none() {
            command.env(variable, options);
        }
    }
    // Freed memory is filled with another byte, so that a library that uses it is more likely to be
    // noticed.
    if std::env::var_os("MALLOC_PERTURB_").is_none() {
        command.env("MALLOC_PERTURB_", "165");
    }
}

/// The report of a sanitizer, without the number of the process.
pub(super) fn report(printed: &str) -> Option<String> {
    printed.lines().find_map(|line| {
        // The kit's own, of memory that it watches.
        if let Some(report) = line.strip_prefix(freed::SAYS) {
            return Some(report.to_owned());
        }
        let begins = SANITIZERS.iter().filter_map(|(name, ..)| line.find(&format!("{name}: "))).min();
        let report = match begins {
            Some(begin) if line.contains("ERROR") || line.contains("WARNING") => line.get(begin..)?,
            _ => line.contains(": runtime error: ").then_some(line)?,
        };
        // Addresses differ from run to run.
        Some(report.split(" on address ").next().unwrap_or(report).trim().to_owned())
    })
}

/// Whether a line is only a separator.
pub(super) fn is_rule(line: &str) -> bool {
    line.trim().chars().all(|char| char == '=')
}

#[cfg(test)]
mod tests {
    use super::report;

    #[test]
    fn reports_of_sanitizers_are_recognised() {
        let asan = "=====\n==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x60 at pc 0x7f\n";
        assert_eq!(report(asan).as_deref(), Some("AddressSanitizer: heap-use-after-free"));
        let tsan = "WARNING: ThreadSanitizer: data race (pid=12)";
        assert_eq!(report(tsan).as_deref(), Some("ThreadSanitizer: data race (pid=12)"));
        let ubsan = "a.c:3:5: runtime error: signed integer overflow";
        assert_eq!(report(ubsan).as_deref(), Some(ubsan));
        assert_eq!(report("AddressSanitizer is not here"), None);
    }
}
