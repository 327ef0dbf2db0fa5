//! The first parameters of bug check 0xC4 that are ntsim's own.

/// A call that must not be made while the processor holds a spin lock.
pub(crate) const SPIN_LOCK_HELD: u64 = 0x4E53_0001;
/// A call above the IRQL that its page states, where NT does not check.
pub(crate) const ABOVE_ITS_IRQL: u64 = 0x4E53_0002;
/// A pool allocation with flags for which NT returns NULL.
pub(crate) const POOL_FLAGS: u64 = 0x4E53_0003;
/// A release with `Wait` = TRUE that no wait follows.
pub(crate) const NO_WAIT: u64 = 0x4E53_0004;
/// A wait in UserMode for a mutex, or with something on the thread's stack.
pub(crate) const USER_WAIT: u64 = 0x4E53_0005;
/// A pointer that is not aligned is dereferenced. In a build with Rust's checks only, and whatever
/// [`Config::documented_rules`](crate::Config::documented_rules) says: the code cannot go on.
pub(crate) const MISALIGNED: u64 = 0x4E53_0006;
/// Undefined behaviour that another of Rust's checks has found.
pub(crate) const PRECONDITION: u64 = 0x4E53_0007;
