//! The stacks of threads: their sizes, and the bytes that the driver may use.

use core::ops::Range;

use corosensei::stack::{DefaultStack, Stack};

use crate::{asan, host_pages};

/// Whether stacks have limits. AddressSanitizer and coverage make frames larger by amounts without
/// a bound.
pub(crate) const LIMITED: bool = !asan::ENABLED && !cfg!(fuzzing);

/// How many times the stack of optimised code this build's code uses.
pub(super) const MULTIPLE: usize = match usize::from_str_radix(env!("NTSIM_STACK_MULTIPLE"), 10) {
    Ok(multiple) => multiple,
    Err(_) => unreachable!(),
};

/// Bytes of a stack for the frames of the simulated kernel, which do not count.
const RESERVE: usize = 128 << 10;
/// The bytes that the kernel's frames of one call may take, without those of routines that it
/// calls. Measured: 19 KiB in an optimised build, 42 KiB in another one, both with a backtrace.
pub(crate) const KERNEL: usize = if MULTIPLE == 1 { 20 << 10 } else { 64 << 10 };
/// Whether the words beyond the limit are painted. Other hosts open a stack's pages in their order.
pub(crate) const PAINTED: bool = LIMITED && cfg!(unix);
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

/// Words of a stack, beyond what the driver may use, that are painted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark(usize);

impl Mark {
    const WORDS: usize = 8;
    const PATTERN: u64 = 0x6E74_7369_6D21_C5A3;
    /// Bytes between painted words and the frames that paint them, at least.
    const DISTANCE: usize = 1024;

    /// Paints the words below an address of the stack that the caller runs on, with `here` in its
    /// frame. Nothing where that is not free.
    #[inline(always)]
    pub(crate) fn new(below: usize, here: usize, stack: Bounds) -> Self {
        let start = (below & !63).wrapping_sub(Self::WORDS * size_of::<u64>());
        let is_free =
            stack.is_open(start) && stack.is_open(below) && below < here.wrapping_sub(Self::DISTANCE);
        let mark = Self(if is_free { start } else { 0 });
        mark.paint();
        mark
    }

    fn words(self) -> impl Iterator<Item = *mut u64> {
        let start: *mut u64 = core::ptr::with_exposed_provenance_mut(self.0);
        let count = if self.0 == 0 { 0 } else { Self::WORDS };
        (0..count).map(move |word| start.wrapping_add(word))
    }

    /// Paints the words again.
    #[inline(always)]
    pub(crate) fn paint(self) {
        for word in self.words() {
            // SAFETY: in the open part of a stack, by `new`, and below all frames.
            unsafe { word.write_volatile(Self::PATTERN) };
        }
    }

    /// Whether nothing has written to the words.
    #[inline(always)]
    pub(crate) fn is_whole(self) -> bool {
        // SAFETY: in the open part of a stack, and painted.
        self.words().all(|word| unsafe { word.read_volatile() } == Self::PATTERN)
    }
}

/// A stack of `size` bytes above a guard.
#[expect(clippy::panic, reason = "a test process without memory for a stack cannot go on")]
pub(crate) fn new(size: usize) -> DefaultStack {
    let stack = DefaultStack::new(GUARD + size)
        .unwrap_or_else(|error| panic!("ntsim: no memory for a stack of {size} bytes: {error}"));
    let bounds = bounds(&stack, size);
    host_pages::protect(core::ptr::without_provenance_mut(bounds.guard), bounds.limit - bounds.guard, false);
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
