//! Address space that only the simulated kernels' pools use.
//!
//! An interface, waker or handle that a test keeps points into a pool for as long as the process
//! lives. So the addresses of an ended simulation's pool stay reserved, closed to every access, and
//! [`contains`] knows them, however many simulations follow. Reserved space costs no memory. Beyond
//! [`MAX_ENDED_BYTES`] the pool that ended first gives its addresses to the next one of its size.

extern crate alloc;

use alloc::collections::VecDeque;
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
};

use parking_lot::Mutex;

use crate::host_pages;

/// The number of bytes of a region, unless a pool is larger.
const REGION: usize = 64 << 30;
/// The largest number of regions.
const REGIONS: usize = 64;
/// The number of bytes of ended pools from which on new pools use their addresses again.
const MAX_ENDED_BYTES: usize = 1 << 40;

/// Reserved addresses. The fields are atomic because the handler of page faults reads them.
struct Region {
    base: AtomicPtr<u8>,
    size: AtomicUsize,
}

static KNOWN: [Region; REGIONS] =
    [const { Region { base: AtomicPtr::new(ptr::null_mut()), size: AtomicUsize::new(0) } }; REGIONS];

/// The rest of the last region, and the pools that have ended.
struct Space {
    regions: usize,
    next: Option<NonNull<u8>>,
    left: usize,
    /// The pools that have ended, the oldest first.
    ended: VecDeque<Ended>,
    ended_bytes: usize,
}

struct Ended {
    memory: NonNull<u8>,
    size: usize,
}

// SAFETY: only this module uses the addresses.
unsafe impl Send for Space {}

static SPACE: Mutex<Space> = parking_lot::const_mutex(Space {
    regions: 0,
    next: None,
    left: 0,
    ended: VecDeque::new(),
    ended_bytes: 0,
});

/// Returns zeroed memory of `size` bytes, which is a multiple of a page's size. `None` if the host
/// reserves no more addresses.
pub(crate) fn take(size: usize) -> Option<NonNull<u8>> {
    let memory = SPACE.lock().take(size)?;
    host_pages::protect(memory.as_ptr(), size, true);
    Some(memory)
}

/// Closes memory that [`take`] returned. Its content is lost.
pub(crate) fn give_back(memory: NonNull<u8>, size: usize) {
    host_pages::close(memory.as_ptr(), size);
    let mut space = SPACE.lock();
    space.ended_bytes += size;
    space.ended.push_back(Ended { memory, size });
}

/// Whether an address is in a pool of this process that lives, has ended, or will be made.
pub(crate) fn contains(address: usize) -> bool {
    KNOWN.iter().any(|region| {
        let size = region.size.load(Ordering::Acquire);
        size != 0 && address.wrapping_sub(region.base.load(Ordering::Relaxed).addr()) < size
    })
}

impl Space {
    fn take(&mut self, size: usize) -> Option<NonNull<u8>> {
        if self.ended_bytes >= MAX_ENDED_BYTES
            && let Some(position) = self.ended.iter().position(|ended| ended.size == size)
            && let Some(ended) = self.ended.remove(position)
        {
            self.ended_bytes -= size;
            return Some(ended.memory);
        }
        if self.left < size {
            self.reserve(size)?;
        }
        let memory = self.next?;
        self.left -= size;
        // SAFETY: `left` was at least `size`, so the sum is in the region or at its end.
        self.next = Some(unsafe { memory.add(size) });
        Some(memory)
    }

    /// Reserves another region with room for `size` bytes. It is smaller if the host limits
    /// addresses.
    fn reserve(&mut self, size: usize) -> Option<()> {
        let region = KNOWN.get(self.regions)?;
        let mut bytes = REGION;
        while bytes > size {
            if let Some(memory) = host_pages::reserve(bytes) {
                return self.add(region, memory, bytes);
            }
            bytes /= 8;
        }
        let memory = host_pages::reserve(size)?;
        self.add(region, memory, size)
    }

    fn add(&mut self, region: &Region, memory: NonNull<u8>, size: usize) -> Option<()> {
        self.regions += 1;
        (self.next, self.left) = (Some(memory), size);
        region.base.store(memory.as_ptr(), Ordering::Relaxed);
        region.size.store(size, Ordering::Release);
        Some(())
    }
}
