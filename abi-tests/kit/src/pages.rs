//! Blocks of memory on pages of their own, which cannot be read or written any more when they have
//! been freed: a use of a freed block is a fault. No address is given out twice.

use core::{
    ptr,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst},
};

const PAGE: usize = 4096;
/// So many pages there are: 256 MiB of addresses, which cost nothing until they are used.
const PAGES: usize = 1 << 16;
/// What every block is aligned to.
const ALIGNED: usize = 16;
/// In [`SIZES`], beside the size: the block that begins here has been freed.
const FREED: u32 = 1 << 31;

/// The first address; 0: not reserved yet.
static BASE: AtomicUsize = AtomicUsize::new(0);
/// The first page that has never been given out.
static NEXT: AtomicUsize = AtomicUsize::new(0);
/// For the first page of each block, its size plus one.
static SIZES: [AtomicU32; PAGES] = [const { AtomicU32::new(0) }; PAGES];

/// What a fault at an address was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// In a block that has been freed.
    Freed,
    /// Behind a block, or where no block has been.
    Outside,
}

/// The first address of all pages. None: there are none to be had.
fn base() -> Option<usize> {
    match BASE.load(SeqCst) {
        0 => {}
        base => return Some(base),
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: new addresses, of which nothing is known.
    let new = unsafe { libc::mmap(ptr::null_mut(), PAGES * PAGE, libc::PROT_NONE, flags, -1, 0) };
    if new == libc::MAP_FAILED {
        return None;
    }
    match BASE.compare_exchange(0, new.expose_provenance(), SeqCst, SeqCst) {
        Ok(_) => Some(new.expose_provenance()),
        // Another thread was first. What this one has reserved costs nothing.
        Err(first) => Some(first),
    }
}

fn protect(page: usize, count: usize, how: i32) -> bool {
    let Some(base) = base() else { return false };
    let address = ptr::with_exposed_provenance_mut(base + page * PAGE);
    // SAFETY: pages that this module has reserved; the caller has them.
    unsafe { libc::mprotect(address, count * PAGE, how) == 0 }
}

/// So many pages of a block, and one behind it that is never opened.
fn pages(size: usize, align: usize) -> Option<usize> {
    Some(size.checked_next_multiple_of(align.max(ALIGNED))?.div_ceil(PAGE).max(1))
}

/// A new block, zeroed, which ends where its pages end. None: no room, or an alignment of more than
/// a page.
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

/// The page that a block begins in, and what [`SIZES`] has of it. None: another's memory.
fn entry(block: *const u8) -> Option<(usize, &'static AtomicU32)> {
    let base = BASE.load(SeqCst);
    let page = block.addr().checked_sub(base).filter(|_| base != 0)? / PAGE;
    // A block of a page or more may begin behind its first page's beginning, never before it.
    SIZES.get(page).map(|size| (page, size))
}

/// The size of a block. None: another's memory.
pub(crate) fn size(block: *const u8) -> Option<usize> {
    let (_, entry) = entry(block)?;
    Some((entry.load(SeqCst) & !FREED).saturating_sub(1) as usize)
}

/// Closes a block's pages. None: another's memory; false: it has been freed before.
pub(crate) fn free(block: *const u8) -> Option<bool> {
    let (page, entry) = entry(block)?;
    let size = entry.fetch_or(FREED, SeqCst);
    let pages = pages((size & !FREED).saturating_sub(1) as usize, ALIGNED)?;
    Some(size & FREED == 0 && protect(page, pages, libc::PROT_NONE))
}

/// What a fault at this address was. None: it is another's.
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
