//! The pools of other simulated kernels, which belong to other threads or to simulations that have
//! ended.
//!
//! A test may keep an interface, a waker or a handle beyond its simulation. Each of them points
//! into the pool of that simulation. The addresses of an ended simulation's pool are kept, closed
//! to every access ([`address_space`]), and an access to them is reported instead of reaching other
//! memory. With AddressSanitizer the allocator's memory is kept for a while instead, poisoned.

use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
};

use crate::{address_space, asan, kernel::pool::PAGE};

/// How many pools are known at a time. Further pools are not recognised.
const POOLS: usize = 1024;
/// How many pools of ended simulations are kept with AddressSanitizer.
const ENDED: usize = 256;

/// The owner of pool memory outside of the calling simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A simulation that has ended.
    Ended,
    /// A simulation of another thread, or one that is not running.
    Other,
}

impl Owner {
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Ended => "the pool of a simulated kernel that has ended",
            Self::Other => "the pool of another simulated kernel",
        }
    }
}

/// A pool. Its fields are atomic, because the handler of page faults reads them.
struct Pool {
    base: AtomicPtr<u8>,
    size: AtomicUsize,
    /// 0 while the simulation lives, else the number of its end.
    ended: AtomicUsize,
}

static KNOWN: [Pool; POOLS] = [const {
    Pool { base: AtomicPtr::new(ptr::null_mut()), size: AtomicUsize::new(0), ended: AtomicUsize::new(0) }
}; POOLS];
/// How many entries of `KNOWN` have ever been used.
static USED: AtomicUsize = AtomicUsize::new(0);
/// The bounds of all pools so far, for a fast check.
static LOWEST: AtomicUsize = AtomicUsize::new(usize::MAX);
static HIGHEST: AtomicUsize = AtomicUsize::new(0);
/// Counts the ends of simulations.
static ENDS: AtomicUsize = AtomicUsize::new(0);

fn known() -> impl Iterator<Item = &'static Pool> {
    KNOWN.iter().take(USED.load(Ordering::Relaxed))
}

/// Makes a pool known. The pool begins in the first page of `memory`, which is a page larger.
pub(crate) fn begin(memory: NonNull<u8>, size: usize) {
    LOWEST.fetch_min(memory.addr().get(), Ordering::Relaxed);
    HIGHEST.fetch_max(memory.addr().get() + size + PAGE, Ordering::Relaxed);
    for (number, pool) in KNOWN.iter().enumerate() {
        let taken =
            pool.base.compare_exchange(ptr::null_mut(), memory.as_ptr(), Ordering::AcqRel, Ordering::Relaxed);
        if taken.is_ok() {
            USED.fetch_max(number + 1, Ordering::Relaxed);
            pool.ended.store(0, Ordering::Relaxed);
            pool.size.store(size, Ordering::Release);
            return;
        }
    }
}

/// A pool with memory to be returned to the host.
pub(crate) struct Forgotten {
    pub(crate) memory: NonNull<u8>,
    pub(crate) size: usize,
}

/// Forgets a pool after its simulation has ended. Its addresses stay reserved.
pub(crate) fn forget(memory: NonNull<u8>) {
    if let Some(pool) = known().find(|pool| pool.base.load(Ordering::Acquire) == memory.as_ptr()) {
        pool.forget();
    }
}

/// Ends the simulation of a pool. Returns the pool that gives its memory back to the host now. That
/// is the oldest one that was kept, or this one if it is not known or no tool reports its use.
pub(crate) fn end(memory: NonNull<u8>, size: usize) -> Option<Forgotten> {
    let entry = known().find(|pool| pool.base.load(Ordering::Acquire) == memory.as_ptr());
    let Some(pool) = entry else { return Some(Forgotten { memory, size }) };
    if !asan::ENABLED {
        return pool.forget();
    }
    let number = ENDS.fetch_add(1, Ordering::Relaxed) + 1;
    pool.ended.store(number, Ordering::Release);
    let oldest = number.checked_sub(ENDED).filter(|number| *number != 0)?;
    let claim =
        |pool: &&Pool| pool.ended.compare_exchange(oldest, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    known().find(claim)?.forget()
}

impl Pool {
    /// Frees the entry for another pool.
    fn forget(&self) -> Option<Forgotten> {
        let size = self.size.swap(0, Ordering::AcqRel);
        let memory = NonNull::new(self.base.swap(ptr::null_mut(), Ordering::AcqRel))?;
        Some(Forgotten { memory, size })
    }
}

/// The other simulation with this address in its pool. The caller knows that the address is not in
/// its own pool.
#[inline(always)]
pub(crate) fn owner(address: usize) -> Option<Owner> {
    let between = LOWEST.load(Ordering::Relaxed)..HIGHEST.load(Ordering::Relaxed);
    if between.contains(&address) { search(address) } else { None }
}

#[cold]
fn search(address: usize) -> Option<Owner> {
    let within = |pool: &&Pool| {
        let size = pool.size.load(Ordering::Acquire);
        size != 0 && address.wrapping_sub(pool.base.load(Ordering::Relaxed).addr()) < size + PAGE
    };
    let Some(pool) = known().find(within) else {
        return address_space::contains(address).then_some(Owner::Ended);
    };
    Some(if pool.ended.load(Ordering::Acquire) == 0 { Owner::Other } else { Owner::Ended })
}
