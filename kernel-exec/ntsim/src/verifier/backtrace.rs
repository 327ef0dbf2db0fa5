//! The lines of a backtrace, for people.

extern crate alloc;

use alloc::string::String;
use core::fmt::{self, Display, Formatter};
use std::path::Path;

/// The lines of a backtrace as text, a line each after a line break. Of successive functions of a
/// library only the innermost one is named.
pub(crate) struct Folded<'a>(pub(crate) &'a [String]);

impl Display for Folded<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for functions in self.0.chunk_by(|one, next| is_library(one) && is_library(next)) {
            let Some((innermost, others)) = functions.split_first() else { continue };
            write!(f, "\n  in {innermost}")?;
            match others.len() {
                0 => {}
                1 => f.write_str(", through one more function of a library")?,
                more => write!(f, ", through {more} more functions of a library")?,
            }
        }
        Ok(())
    }
}

/// Whether a function, by its whole name, belongs to a library between the driver and the kernel.
/// These are ntcom's runtime, its executor, and the `futures` crates.
pub(crate) fn is_library(name: &str) -> bool {
    let name = name.trim_start_matches(['<', '&', '*', '(']);
    let name = name.strip_prefix("mut ").or(name.strip_prefix("const ")).unwrap_or(name);
    let krate = name.split("::").next().unwrap_or_default();
    krate == "ntcom" || krate == "ntcom_exec" || krate.starts_with("futures_")
}

/// Whether a source file belongs to such a library. Inlined functions often have names without
/// their crates.
pub(crate) fn is_library_file(file: &Path) -> bool {
    let file = file.to_string_lossy();
    // In a checkout the libraries are beside the simulation.
    let checkout = file!().trim_end_matches("kernel-exec/ntsim/src/verifier/backtrace.rs");
    let beside = ["kernel-exec/src/", "runtime/src/"];
    let in_checkout = beside.iter().any(|folder| file.contains(&alloc::format!("{checkout}{folder}")));
    let in_registry = ["/ntcom-exec-", "/ntcom-", "/futures-"];
    in_checkout || file.contains("/registry/src/") && in_registry.iter().any(|name| file.contains(name))
}

/// Whether a source file is the simulation's, its coroutines', or the standard library's.
pub(crate) fn is_own(file: &Path) -> bool {
    let file = file.to_string_lossy();
    let own = file!().trim_end_matches("verifier/backtrace.rs");
    file.contains(own)
        || file.contains("/corosensei-")
        || file.starts_with("/rustc/")
        || file.contains("/rustlib/src/rust/library/")
}

#[cfg(test)]
mod tests {
    use super::{Folded, is_library};

    #[test]
    fn of_successive_functions_of_a_library_the_innermost_is_named() {
        let lines = ["<ntcom_exec::task::Body<F> as Future>::poll (body.rs:1)", "ntcom_exec::run (run.rs:2)"];
        let lines = ["driver::read (driver.rs:9)"].iter().chain(&lines).chain(&["ntcom::call (call.rs:3)"]);
        let lines: Vec<String> = lines.chain(&["client (life.rs:4)"]).map(|line| (*line).into()).collect();
        let text = Folded(&lines).to_string();
        assert_eq!(
            text,
            "\n  in driver::read (driver.rs:9)\n  in <ntcom_exec::task::Body<F> as Future>::poll (body.rs:1), \
             through 2 more functions of a library\n  in client (life.rs:4)"
        );
    }

    #[test]
    fn a_library_is_known_by_the_crate_of_its_function() {
        for library in
            ["ntcom::f", "<&mut ntcom_exec::T as ntcom::A>::f", "futures_util::join", "<*const ntcom::A>::f"]
        {
            assert!(is_library(library), "{library}");
        }
        for driver in ["my_driver::read", "<my_driver::T as ntcom::A>::f", "ntcom_driver::f"] {
            assert!(!is_library(driver), "{driver}");
        }
    }
}
