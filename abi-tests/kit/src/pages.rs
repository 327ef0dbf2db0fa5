//! Blocks of memory on pages of their own. `free` closes the pages of a block, so that a later read
//! or write is a fault. No address is allocated twice.

use core::{
    ptr,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst},
};

const PAGE: usize = 4096;
/// The number of pages. Their 256 MiB of addresses cost nothing until they are used.
const PAGES: usize = 1 << 16;
/// The least alignment of a block.
const ALIGNED: usize = 16;
/// A flag in [`SIZES`] that says that the block has been freed.
const FREED: u32 = 1 << 31;

/// The first address, or 0 if the pages have not been reserved.
static BASE: AtomicUsize = AtomicUsize::new(0);
/// The first page that has never been allocated.
static NEXT: AtomicUsize = AtomicUsize::new(0);
/// The size of each block plus one, at the number of its first page.
static SIZES: [AtomicU32; PAGES] = [const { AtomicU32::new(0) }; PAGES];

/// A fault at one of the addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The address is in a freed block.
    Freed,
    /// The address is behind a block, or no block has been there.
    Outside,
}

/// The first address of all pages. `None` if they cannot be reserved.
fn base() -> Option<usize> {
    match BASE.load(SeqCst) {
        0 => {}
        base => return Some(base),
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: the system chooses addresses that nothing uses.
    let new = unsafe { libc::mmap(ptr::null_mut(), PAGES * PAGE, libc::PROT_NONE, flags, -1, 0) };
    if new == libc::MAP_FAILED {
        return None;
    }
    match BASE.compare_exchange(0, new.expose_provenance(), SeqCst, SeqCst) {
        Ok(_) => Some(new.expose_provenance()),
        // Another thread was first. This one's reservation costs nothing.
        Err(first) => Some(first),
    }
}

fn protect(page: usize, count: usize, how: i32) -> bool {
    let Some(base) = base() else { return false };
    let address = ptr::with_exposed_provenance_mut(base + page * PAGE);
    // SAFETY: this module has reserved the pages, and they are of the caller's block.
    unsafe { libc::mprotect(address, count * PAGE, how) == 0 }
}

/// The number of pages of a block.
fn pages(size: usize, align: usize) -> Option<usize> {
    Some(size.checked_next_multiple_of(align.max(ALIGNED))?.div_ceil(PAGE).max(1))
}

/// Allocates a zeroed block, which ends where its pages end. The page behind it stays closed.
/// `None` if there is no room, or if `align` is larger than a page.
pub(crate) fn allocate(size: usize, align: usize) -> Option<*mut u8> {
    let (base, count) = (base()?, pages(size, align)?);
    if align > PAGE || count >= PAGES {
        return None;
    }
    let first = NEXT.fetch_add(count + 1, SeqCst);
    let end = first.checked_add(count).filter(|end| *end < PAGES)?;
    let begin = base + end * PAGE - size.next_multiple_of(align.max(ALIGNED)).max(ALIGNED);
    SIZES.get(first)?.store(u32::try_from(size).ok()? + 1, SeqCst);
    protect(first, count, libc::PROT_READ | libc::PROT_WRITE).then(|| ptr::with_exposed_provenance_mut(begin))
}

/// The first page of a block, and the page's entry in [`SIZES`]. `None` for other memory.
fn entry(block: *const u8) -> Option<(usize, &'static AtomicU32)> {
    let base = BASE.load(SeqCst);
    let page = block.addr().checked_sub(base).filter(|_| base != 0)? / PAGE;
    SIZES.get(page).map(|size| (page, size))
}

/// The size of a block. `None` for other memory.
pub(crate) fn size(block: *const u8) -> Option<usize> {
    let (_, entry) = entry(block)?;
    Some((entry.load(SeqCst) & !FREED).saturating_sub(1) as usize)
}

/// Closes the pages of a block. False if the block was freed before, `None` for other memory.
pub(crate) fn free(block: *const u8) -> Option<bool> {
    let (page, entry) = entry(block)?;
    let size = entry.fetch_or(FREED, SeqCst);
    let pages = pages((size & !FREED).saturating_sub(1) as usize, ALIGNED)?;
    Some(size & FREED == 0 && protect(page, pages, libc::PROT_NONE))
}

/// Classifies a fault at this address. `None` for other memory.
pub(crate) fn fault(address: *const u8) -> Option<Fault> {
    let (page, _) = entry(address)?;
    let before = SIZES.get(..=page)?.iter().enumerate().rev();
    let (first, size) =
        before.map(|(first, size)| (first, size.load(SeqCst))).find(|(_, size)| *size != 0)?;
    let end = first + pages((size & !FREED) as usize - 1, ALIGNED)?;
    Some(if size & FREED != 0 && page < end { Fault::Freed } else { Fault::Outside })
}

#[cfg(test)]
mod tests {
    use super::{ALIGNED, Fault, PAGE, allocate, fault, free, size};

    #[test]
    fn a_block_has_its_size_and_alignment_and_is_freed_once() {
        for (bytes, align) in [(0, 1), (1, 1), (100, 64), (PAGE, 16), (PAGE + 1, 64), (10, PAGE)] {
            let block = allocate(bytes, align).unwrap();
            assert_eq!(block.addr() % align.max(ALIGNED), 0, "{bytes} {align}");
            assert_eq!(size(block), Some(bytes));
            for place in 0..bytes {
                // SAFETY: the block has so many bytes.
                unsafe { block.wrapping_add(place).write(7) };
            }
            assert_eq!(fault(block.wrapping_add(bytes + PAGE)), Some(Fault::Outside));
            assert_eq!((free(block), free(block)), (Some(true), Some(false)));
            assert_eq!(fault(block), Some(Fault::Freed), "{bytes} {align}");
        }
        let other: *const u8 = &7;
        assert_eq!((size(other), free(other), fault(other)), (None, None, None));
    }
}
