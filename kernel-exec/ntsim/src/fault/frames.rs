//! Frames of the driver's code, which show the functions that have called each other.

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::fmt::{self, Display, Formatter};
use std::path::Path;

use backtrace::Frame;

use super::stack;
use crate::engine::machine::Machine;

/// The most frames in a backtrace.
pub(crate) const MAX_FRAMES: usize = 24;

impl Machine {
    /// Passes the frames of the running routine or thread to `frame`, innermost first, until it
    /// returns `false`.
    #[inline(never)]
    pub(crate) fn walk(&self, frame: impl FnMut(&Frame) -> bool) {
        let here = core::ptr::from_ref(&frame).addr();
        self.walk_from(here, frame);
    }

    /// Walks, as [`Machine::walk`] does, the frames above the stack address `from`. A DPC runs on
    /// the stack of the code that it has interrupted, which is not its caller.
    pub(crate) fn walk_from(&self, from: usize, mut frame: impl FnMut(&Frame) -> bool) {
        // A free run's coroutines belong to several OS threads.
        let bounds = self.bounds.get();
        let base = if self.is_free() { from + stack::size(self.config.get().stack) } else { bounds.base() };
        let base = if self.cpu().in_dpc.get() { base.min(self.cpu().dpc_frame.get()) } else { base };
        let end = Some(self.now.get().outermost).filter(|end| *end > from).map_or(base, |end| base.min(end));
        let mut seen = false;
        // The unwinder's own frames come first.
        backtrace::trace(|next| match (from..end).contains(&next.sp().addr()) {
            true => {
                seen = true;
                frame(next)
            }
            false => !seen,
        });
    }

    /// The running functions of the driver, innermost first. Functions of the simulation and of the
    /// standard library are left out.
    #[inline(never)]
    pub(crate) fn backtrace(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.walk(|frame| {
            lines_of(frame.ip().addr(), &mut lines);
            lines.len() < MAX_FRAMES
        });
        lines
    }
}

/// Adds a line for each function of the driver that is inlined at the caller's address.
pub(crate) fn lines_of(address: usize, lines: &mut Vec<String>) {
    backtrace::resolve(core::ptr::without_provenance_mut(address), |symbol| {
        let Some(name) = symbol.name() else { return };
        if symbol.filename().is_some_and(is_own) {
            return;
        }
        let file = symbol.filename().and_then(Path::file_name);
        lines.push(match (file, symbol.lineno()) {
            (Some(file), Some(line)) => alloc::format!("{name:#} ({}:{line})", file.to_string_lossy()),
            _ => alloc::format!("{name:#}"),
        });
    });
}

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

/// Whether a source file is the simulation's, its coroutines', or the standard library's.
pub(crate) fn is_own(file: &Path) -> bool {
    let file = file.to_string_lossy();
    let own = file!().trim_end_matches("fault/frames.rs");
    file.contains(own)
        || file.contains("/corosensei-")
        || file.starts_with("/rustc/")
        || file.contains("/rustlib/src/rust/library/")
}
