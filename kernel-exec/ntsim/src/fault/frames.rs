//! Frames of the driver's code, which show the functions that have called each other.

extern crate alloc;

use alloc::{string::String, vec::Vec};
use std::path::Path;

use backtrace::Frame;

use super::stack;
use crate::{engine::machine::Machine, verifier::backtrace::is_own};

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
