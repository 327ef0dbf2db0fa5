//! The stacks of threads: their sizes, and the bytes that the driver may use.

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::ops::Range;

use corosensei::stack::{DefaultStack, Stack};

use super::host;
use crate::{asan, engine::machine::Machine, kernel::thread::ThreadName, verifier::violation};

/// Whether stacks have limits. AddressSanitizer and coverage make frames larger by amounts without
/// a bound.
pub(crate) const LIMITED: bool = !asan::ENABLED && !cfg!(fuzzing);

/// How many times the stack of optimised code this build's code uses.
const MULTIPLE: usize = match usize::from_str_radix(env!("NTSIM_STACK_MULTIPLE"), 10) {
    Ok(multiple) => multiple,
    Err(_) => unreachable!(),
};

/// Bytes of a stack for the frames of the simulated kernel, which do not count.
const RESERVE: usize = 128 << 10;
/// The least size of a stack.
const LEAST: usize = 256 << 10;
/// Bytes below a stack that cannot be accessed, so that a large frame does not step over them.
const GUARD: usize = 1 << 20;

/// The bytes of a stack that the driver may use, for a configured size.
pub(crate) const fn limit(configured: usize) -> usize {
    configured.saturating_mul(MULTIPLE)
}

/// The size of a host's stack. It has room for a thread, for a DPC that interrupts it, and for the
/// kernel's frames.
pub(crate) fn size(configured: usize) -> usize {
    let least = if LIMITED { 0 } else { LEAST };
    (2 * limit(configured) + RESERVE).max(least).next_multiple_of(crate::kernel::pool::PAGE)
}

/// The bounds of a coroutine's stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The lowest address of the guard.
    guard: usize,
    /// The lowest address that may be accessed.
    limit: usize,
    /// The address behind the highest one.
    base: usize,
}

impl Bounds {
    /// Whether an address is in the stack or its guard.
    pub(crate) fn holds(self, address: usize) -> bool {
        (self.guard..self.base).contains(&address)
    }

    /// Whether an address is in the guard.
    pub(crate) fn is_guard(self, address: usize) -> bool {
        (self.guard..self.limit).contains(&address)
    }

    /// Whether an address may be accessed.
    pub(crate) fn is_open(self, address: usize) -> bool {
        (self.limit..self.base).contains(&address)
    }

    /// The end of the stack from which it grows down.
    pub(crate) fn base(self) -> usize {
        self.base
    }
}

/// A stack of `size` bytes above a guard.
#[expect(clippy::panic, reason = "a test process without memory for a stack cannot go on")]
pub(crate) fn new(size: usize) -> DefaultStack {
    let stack = DefaultStack::new(GUARD + size)
        .unwrap_or_else(|error| panic!("ntsim: no memory for a stack of {size} bytes: {error}"));
    let bounds = bounds(&stack, size);
    host::protect(core::ptr::without_provenance_mut(bounds.guard), bounds.limit - bounds.guard, false);
    stack
}

/// The bounds of a stack of [`new`] that was created with `size` bytes.
pub(crate) fn bounds(stack: &DefaultStack, size: usize) -> Bounds {
    let base = stack.base().get();
    Bounds { guard: stack.limit().get(), limit: base - size, base }
}

/// The addresses of a stack that may be accessed.
pub(crate) fn open(stack: &DefaultStack, size: usize) -> Range<usize> {
    let Bounds { limit, base, .. } = bounds(stack, size);
    limit..base
}

impl Machine {
    /// Ends the run because the driver has used more bytes of a stack than the limit.
    #[cold]
    pub(crate) fn stack_overrun(&self, depth: usize) -> ! {
        let limit = limit(self.config.get().stack);
        let what = alloc::format!("has used {depth} bytes of its kernel stack, which has {limit}");
        self.double_fault(&what, self.backtrace())
    }

    /// Ends the run because the driver has run into the guard below its stack.
    pub(crate) fn guard_touched(&self, backtrace: Vec<String>) -> ! {
        let limit = limit(self.config.get().stack);
        let most = size(self.config.get().stack);
        let what =
            alloc::format!("has run off its kernel stack, which has {limit} bytes: of the host's, {most}");
        self.double_fault(&what, backtrace)
    }

    fn double_fault(&self, what: &str, backtrace: Vec<String>) -> ! {
        let owner = if self.cpu().in_dpc.get() {
            alloc::format!("a DPC routine on processor {}", self.current.get())
        } else {
            alloc::format!("{}", ThreadName::of(self.thread()))
        };
        let multiple = match MULTIPLE {
            1 => String::new(),
            _ => alloc::format!(" times {MULTIPLE}, for a build that is not optimised"),
        };
        let rule = alloc::format!("{owner} {what} (Config::stack{multiple})");
        self.bug_check_with(violation(0x7F, [8, 0, 0, 0], rule), backtrace)
    }
}
