//! `OwnedUnicodeString`, a string in memory of an allocator.

use core::{alloc::Layout, fmt, mem::ManuallyDrop, ptr::NonNull};

use super::{MAX_UNITS, UnicodeStr};
use crate::{Allocator, GlobalAllocator, NTSTATUS};

/// A string that does not change, in memory from non-paged pool or from another allocator.
///
/// It is `Send` and `Sync` if the allocator is. IRQL: making and dropping it needs the IRQL that
/// the allocator allows (≤ DISPATCH_LEVEL for non-paged ones).
///
/// ```
/// use ntcom::{NTSTATUS, OwnedUnicodeString, kstr};
///
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let name = OwnedUnicodeString::new("Sensor").unwrap();
/// assert_eq!(name.as_unicode(), kstr!("Sensor"));
///
/// ntsim::fail_allocation(0);
/// assert_eq!(OwnedUnicodeString::new("Sensor").err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
/// # }).unwrap();
/// ```
pub struct OwnedUnicodeString<A: Allocator = GlobalAllocator> {
    /// The characters and a null.
    units: NonNull<u16>,
    /// The number of characters, without the null.
    length: usize,
    allocator: ManuallyDrop<A>,
}

// SAFETY: the string owns its characters and its allocator, and the allocator is `Send`.
unsafe impl<A: Allocator + Send> Send for OwnedUnicodeString<A> {}
// SAFETY: sharing the string shares its unchanging characters and its allocator, which is `Sync`.
unsafe impl<A: Allocator + Sync> Sync for OwnedUnicodeString<A> {}

impl OwnedUnicodeString {
    /// Copies a text to non-paged pool.
    ///
    /// # Errors
    /// - `STATUS_INSUFFICIENT_RESOURCES`: there is no memory.
    /// - `STATUS_NAME_TOO_LONG`: the text has more than [`MAX_UNITS`] characters of 16 bits.
    pub fn new(text: &str) -> Result<Self, NTSTATUS> {
        Self::new_in(text, GlobalAllocator)
    }

    /// Copies a kernel string to non-paged pool.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn copy(text: UnicodeStr<'_>) -> Result<Self, NTSTATUS> {
        Self::copy_in(text, GlobalAllocator)
    }
}

impl<A: Allocator> OwnedUnicodeString<A> {
    /// Copies a text to memory of this allocator.
    ///
    /// # Errors
    /// As for [`new`](OwnedUnicodeString::new).
    pub fn new_in(text: &str, allocator: A) -> Result<Self, NTSTATUS> {
        Self::of(text.encode_utf16().count(), || text.encode_utf16(), allocator)
    }

    /// Copies a kernel string to memory of this allocator.
    ///
    /// # Errors
    /// As for [`new`](OwnedUnicodeString::new).
    pub fn copy_in(text: UnicodeStr<'_>, allocator: A) -> Result<Self, NTSTATUS> {
        Self::of(text.len(), || text.units().iter().copied(), allocator)
    }

    fn of<I: Iterator<Item = u16>>(
        length: usize,
        text: impl FnOnce() -> I,
        allocator: A,
    ) -> Result<Self, NTSTATUS> {
        if length > MAX_UNITS {
            return Err(NTSTATUS::NAME_TOO_LONG);
        }
        let layout = layout(length).ok_or(NTSTATUS::NAME_TOO_LONG)?;
        let units = allocator.allocate(layout).ok_or(NTSTATUS::INSUFFICIENT_RESOURCES)?.cast::<u16>();
        for (index, unit) in text().take(length).chain([0]).enumerate() {
            // SAFETY: `index` is at most `length`, and the layout has room for `length` + 1
            // characters.
            let place = unsafe { units.add(index) };
            // SAFETY: `place` is within the allocation, as computed before.
            unsafe { place.write(unit) };
        }
        Ok(Self { units, length, allocator: ManuallyDrop::new(allocator) })
    }

    /// Returns the string as a kernel string.
    #[must_use]
    pub fn as_unicode(&self) -> UnicodeStr<'_> {
        // SAFETY: this string owns `length` characters and a null, all initialised.
        let units = unsafe { core::slice::from_raw_parts(self.units.as_ptr(), self.length + 1) };
        UnicodeStr::with_null(units).unwrap_or_else(|| crate::kstr!(""))
    }
}

/// The layout of `length` characters and a null.
fn layout(length: usize) -> Option<Layout> {
    Layout::array::<u16>(length + 1).ok()
}

impl<A: Allocator> Drop for OwnedUnicodeString<A> {
    fn drop(&mut self) {
        // SAFETY: only this drop takes the allocator.
        let allocator = unsafe { ManuallyDrop::take(&mut self.allocator) };
        if let Some(layout) = layout(self.length) {
            // SAFETY: `of` allocated the memory from this allocator, with this layout.
            unsafe { allocator.free(self.units.cast(), layout) };
        }
    }
}

impl<A: Allocator> fmt::Display for OwnedUnicodeString<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_unicode(), f)
    }
}

impl<A: Allocator> fmt::Debug for OwnedUnicodeString<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_unicode(), f)
    }
}
