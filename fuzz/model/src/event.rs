//! Events of bodies and handlers, and the hashes by which the model and a run compare them.

/// An event of an operation, for the digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The body is polled.
    Polled,
    /// The body is dropped.
    Dropped,
    /// The body has observed something, which gives this hash.
    Saw(u64),
    /// The completion handler is told this status.
    Handled(i32),
}

/// Returns the digest after an event.
#[must_use]
#[inline]
pub fn digest(digest: u64, operation: usize, event: Event) -> u64 {
    let (kind, value) = match event {
        Event::Polled => (1, 0),
        Event::Dropped => (2, 0),
        Event::Saw(log) => (3, log),
        Event::Handled(status) => (4, u64::from(status.cast_unsigned())),
    };
    let mixed = (value ^ (operation as u64) << 8 ^ kind).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    digest.wrapping_add(mixed ^ mixed >> 32 | 1)
}

/// One step of the hash of a body's observations.
#[must_use]
#[inline]
pub fn mix(hash: u64, entry: u64) -> u64 {
    (hash ^ entry).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
}
