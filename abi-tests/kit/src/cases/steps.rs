//! Steps of bodies, as `ntcom_fuzz_model::script` encodes them.

use ntcom_fuzz_model::script::{STEPS, Script, Shape};

pub(super) const END: u8 = 0;
/// Waits for gate 0.
pub(super) const WAIT: u8 = 2;
/// Waits for gate 1.
pub(super) const WAIT_1: u8 = 2 | 1 << 4;
/// Puts a waker into the stash.
pub(super) const STASH: u8 = 4;
pub(super) const TAKE: u8 = 5;
pub(super) const OBSERVE: u8 = 6;
/// Returns PENDING once, without a waker.
pub(super) const PARK: u8 = 7;
pub(super) const KEEP: u8 = 12;
pub(super) const NOTIFY: u8 = 14;
/// Wakes itself and returns PENDING, once.
pub(super) const YIELD: u8 = 1;

pub(super) const fn plain(steps: [u8; STEPS]) -> Script {
    Script { shape: Shape::Plain, steps }
}

/// A body of a main with three steps and a cleanup with three.
pub(super) const fn guarded(shape: Shape, steps: [u8; STEPS]) -> Script {
    Script { shape, steps }
}

/// Ends in its first poll.
pub(super) const READY: Script = plain([END; STEPS]);
/// Waits for gate 0, and then ends.
pub(super) const PENDING: Script = plain([WAIT, END, END, END, END, END]);
/// Puts a waker into the stash, waits for it, and then ends.
pub(super) const STASHED: Script = plain([STASH, PARK, END, END, END, END]);
