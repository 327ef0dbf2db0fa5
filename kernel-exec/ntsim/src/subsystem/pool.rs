//! Pool allocation and free, which combine the accounting of [`crate::kernel::pool`] and the bytes
//! of [`crate::arena`].

extern crate alloc;

use core::ptr::null_mut;

use crate::{
    arena::{FREED_BYTE, FRESH_BYTE, GUARD_BYTE, Memory},
    asan,
    engine::machine::Machine,
    kernel::pool::{Block, GRAIN, GUARD, PAGE, Pool, Request, Room},
    protection::Page,
    trace::event::What,
    types::{
        _POOL_TYPE, POOL_FLAG_CACHE_ALIGNED, POOL_FLAG_NON_PAGED, POOL_FLAG_NON_PAGED_EXECUTE,
        POOL_FLAG_PAGED, POOL_FLAG_RAISE_ON_FAILURE, POOL_FLAG_SESSION, POOL_FLAG_UNINITIALIZED,
        POOL_FLAG_USE_QUOTA, POOL_FLAGS, POOL_TYPE, STATUS_INSUFFICIENT_RESOURCES,
    },
    verifier::{
        Checked, Violation,
        bugcheck::{
            self,
            driver_verifier::{documented, locks, pool},
            freed_memory, timer_or_dpc,
        },
        freed,
        irql::Ddi,
        memory::describe,
    },
};

/// Whether guards and freed memory have patterns, which a free or an unload checks. Under
/// AddressSanitizer they have none, because it detects the access itself.
const PATTERNS: bool = !asan::ENABLED;
const CACHE_LINE: usize = 64;
const APC: u8 = 1;
const DISPATCH: u8 = 2;
const KINDS: POOL_FLAGS = POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_PAGED;
const SUPPORTED: POOL_FLAGS = KINDS
    | POOL_FLAG_USE_QUOTA
    | POOL_FLAG_UNINITIALIZED
    | POOL_FLAG_CACHE_ALIGNED
    | POOL_FLAG_RAISE_ON_FAILURE;
/// Flags that NT knows and ntsim does not support.
const UNSUPPORTED: POOL_FLAGS = POOL_FLAG_SESSION | 0x10 | 0x200 | 0x400;
/// The bits of the flags for which NT returns NULL if it does not know them. It ignores the other
/// bits.
const REQUIRED: POOL_FLAGS = 0xFFFF_FFFF;

/// The request for the arguments of an allocation, in the form of ExAllocatePool2. `None` if NT
/// returns NULL for them.
pub(crate) fn request(
    machine: &Machine,
    ddi: Ddi,
    flags: POOL_FLAGS,
    size: u64,
    tag: u32,
) -> Checked<Option<Request>> {
    let name = ddi.name();
    let (irql, paged) = (machine.irql(), flags & POOL_FLAG_PAGED != 0);
    if flags & UNSUPPORTED != 0 {
        let rule = alloc::format!("{name}: ntsim does not support the flags {:#x}", flags & UNSUPPORTED);
        machine.fail("not supported", rule);
    }
    if size == 0 {
        return Err(pool::zero_bytes(name, irql, paged, tag));
    }
    if paged && irql > APC {
        return Err(pool::paged_request_too_high(name, irql, size));
    }
    if irql > DISPATCH {
        return Err(pool::request_too_high(name, irql, paged, size));
    }
    let kinds = (flags & KINDS).count_ones();
    let unknown = flags & REQUIRED & !(SUPPORTED | UNSUPPORTED);
    if kinds != 1 || unknown != 0 {
        machine.documented(|| match kinds {
            1 => documented::unknown_pool_flags(name, flags, size, tag, unknown),
            kinds => documented::pool_kinds(name, flags, size, tag, kinds),
        })?;
        return Ok(None);
    }
    if tag == 0 {
        return Ok(None);
    }
    let size = size as usize;
    let align = match flags & POOL_FLAG_CACHE_ALIGNED {
        _ if size >= PAGE => PAGE,
        0 => GRAIN,
        _ => CACHE_LINE,
    };
    Ok(Some(Request { size, tag, paged, zeroed: flags & POOL_FLAG_UNINITIALIZED == 0, align, kernel: false }))
}

/// Allocates a block. Null if memory is low, in fact or by
/// [`fail_allocation`](crate::fail_allocation).
pub(crate) fn allocate(machine: &Machine, request: Request) -> Checked<*mut u8> {
    if machine.should_fail_allocation() { Ok(null_mut()) } else { allocate_of_reserve(machine, request) }
}

/// Allocates a block for which the system keeps a reserve, or that is not the system's. Null only
/// if the arena has no room.
pub(crate) fn allocate_of_reserve(machine: &Machine, request: Request) -> Checked<*mut u8> {
    let Request { size, tag, paged, zeroed, .. } = request;
    let own_pages = has_special_pool(machine);
    let fresh = machine.kernel.borrow_mut().pool.allocate(request, own_pages);
    let made = match fresh {
        Some(made) => Some(made),
        None => {
            machine.identities.forget_places();
            allocate_freed(machine, request, own_pages)?
        }
    };
    let Some((block, padding)) = made else {
        if machine.tracing.get() {
            machine.record(What::Note(alloc::format!("the arena has no room for {size} bytes")));
        }
        return Ok(null_mut());
    };
    if block.own_pages {
        machine.arena.protect(&block, Page::Open);
    }
    guard(machine, block.offset - padding.min(GUARD), padding.min(GUARD));
    machine.arena.fill(block.offset, size, if zeroed { 0 } else { FRESH_BYTE });
    guard(machine, block.offset + size, block.room - size + block.guard());
    machine.arena.mark(block.offset, size, if paged { Memory::Paged } else { Memory::Live });
    if block.own_pages && paged {
        machine.arena.protect(&block, Page::PagedIn);
    }
    machine.counts.allocations.add();
    if machine.tracing.get() {
        let start = machine.arena.at(block.offset).addr();
        machine.forget_labels(start..start + size.max(1));
        machine.record(What::Allocated { number: block.number, size, tag });
    }
    Ok(machine.arena.at(block.offset))
}

/// Makes a block from freed ones, and returns it with the number of unused bytes before it.
/// `None` if they have no room for it.
fn allocate_freed(machine: &Machine, request: Request, own_pages: bool) -> Checked<Option<(Block, usize)>> {
    let mut kernel = machine.kernel.borrow_mut();
    let pool = &mut kernel.pool;
    let mut found = pool.find_room(request, own_pages);
    if found.is_none() {
        found = make_room(machine, pool, request, own_pages)?;
    }
    let Some(room) = found else { return Ok(None) };
    let old = room.old;
    // Pages that no code could access hold no trace of a write.
    if PATTERNS && !old.own_pages {
        let used = room.end - old.offset;
        if let Some(at) = machine.arena.first_other(old.offset, used.min(old.room), FREED_BYTE) {
            return Err(written_after_free(machine, &old, at));
        }
    }
    if !room.is_exact() {
        if PATTERNS && !old.own_pages {
            check_guards(machine, &old)?;
        }
        let start = old.start();
        machine.arena.mark(start, room.end - start, Memory::Outside);
    }
    Ok(pool.reuse(request, own_pages, room).map(|block| (block, room.padding())))
}

/// Merges freed neighbours, and extends the last one by the memory behind it, until there is
/// room.
#[cold]
fn make_room(machine: &Machine, pool: &mut Pool, request: Request, own_pages: bool) -> Checked<Option<Room>> {
    let mut found = None;
    if pool.can_merge() {
        for block in pool.blocks().iter().filter(|block| !block.live) {
            check_guards(machine, block)?;
            check_freed(machine, block)?;
        }
        pool.merge().iter().for_each(|block| fill_freed(machine, block));
        found = pool.find_room(request, own_pages);
    }
    if found.is_none()
        && let Some(block) = pool.stretch()
    {
        fill_freed(machine, &block);
        found = pool.find_room(request, own_pages);
    }
    Ok(found)
}

/// Fills and closes a freed block that has grown.
fn fill_freed(machine: &Machine, block: &Block) {
    if block.own_pages {
        machine.arena.protect(block, Page::Freed);
    } else if PATTERNS {
        machine.arena.fill(block.offset, block.room, FREED_BYTE);
        guard(machine, block.offset + block.room, block.guard());
    }
    machine.arena.mark(block.offset, block.room, Memory::Freed);
}

/// Frees the driver's block at `address`. `tag` is the tag that it must have.
pub(crate) fn free(machine: &Machine, address: usize, tag: Option<u32>) -> Checked<()> {
    free_of(machine, address, tag, false)
}

/// Frees the kernel's own block at `address`.
pub(crate) fn free_kernel(machine: &Machine, address: usize) -> Checked<()> {
    free_of(machine, address, None, true)
}

fn free_of(machine: &Machine, address: usize, tag: Option<u32>, owned: bool) -> Checked<()> {
    let (irql, kernel) = (machine.irql(), machine.kernel.borrow());
    let block = machine.arena.offset(address).and_then(|offset| kernel.pool.find(offset).copied());
    let Some(block) = block.filter(|block| machine.arena.offset(address) == Some(block.offset)) else {
        return Err(match block {
            Some(block) => bugcheck::pool::freed_inside(address, describe(machine, &block)),
            None => bugcheck::pool::freed_no_block(address, machine.name(address)),
        });
    };
    let described = || describe(machine, &block);
    if !block.live {
        return Err(bugcheck::pool::freed_again(address, block.tag, described()));
    }
    if block.kernel != owned {
        return Err(bugcheck::pool::freed_kernels_block(address, described()));
    }
    if let Some(tag) = tag.filter(|tag| *tag != block.tag) {
        return Err(bugcheck::pool::freed_with_wrong_tag(address, block.tag, tag, described()));
    }
    if block.paged && irql > APC {
        return Err(pool::paged_free_too_high(address, irql, described()));
    }
    if irql > DISPATCH {
        return Err(pool::free_too_high(address, irql, described()));
    }
    let range = address..address + block.size;
    if let Some((processor, entry)) = kernel.dpcs.find_in(range.clone()) {
        return Err(timer_or_dpc::freed_with_queued_dpc(described(), &range, entry.address, processor));
    }
    if let Some(entry) = kernel.timers.find_in(range.clone()) {
        return Err(if range.contains(&entry.address) {
            timer_or_dpc::freed_with_set_timer(described(), &range, entry.address)
        } else {
            timer_or_dpc::freed_with_dpc_of_set_timer(described(), &range, entry.address, entry.dpc)
        });
    }
    if let Some(held) = kernel.locks.held().iter().find(|held| range.contains(&held.address)) {
        return Err(locks::freed_with_spin_lock(described(), &range, held.address, held.processor));
    }
    let has_objects = kernel.has_objects();
    drop(kernel);
    if has_objects {
        freed::check_objects_in(machine, &block, range)?;
    }
    if block.own_pages {
        machine.arena.protect(&block, Page::Open);
    }
    check_guards(machine, &block)?;
    if PATTERNS {
        machine.arena.fill(block.offset, block.room, FREED_BYTE);
    }
    machine.arena.mark(block.offset, block.room, Memory::Freed);
    if block.own_pages {
        machine.arena.protect(&block, Page::Freed);
    }
    machine.kernel.borrow_mut().pool.free(block.offset, machine.current.get(), machine.clock.steps());
    machine.counts.frees.add();
    if machine.tracing.get() {
        machine.record(What::Freed { number: block.number, tag: block.tag });
    }
    Ok(())
}

/// Whether blocks have pages of their own.
fn has_special_pool(machine: &Machine) -> bool {
    machine.config.get().special_pool && !asan::ENABLED
}

/// Closes paged pool if IRQL is at least DISPATCH_LEVEL, because it has been raised or a
/// processor at that IRQL goes on.
#[inline(always)]
pub(crate) fn page_out(machine: &Machine) {
    if machine.arena.pages.any_paged_in() && machine.irql() >= DISPATCH {
        machine.arena.page_out();
    }
}

/// Ends the run because the driver has accessed a closed page of the arena.
#[cold]
pub(crate) fn page_fault(machine: &Machine, address: usize, write: bool, backtrace: Vec<String>) -> ! {
    let offset = machine.arena.offset(address).unwrap_or(0);
    // A fault inside the kernel may occur while the kernel is borrowed.
    let block = machine.kernel.try_borrow().ok().and_then(|kernel| kernel.pool.last_before(offset).copied());
    let place = block.map_or_else(String::new, |block| {
        alloc::format!(" at +{:#x} of {}", offset - block.offset, describe(machine, &block))
    });
    let violation = match machine.arena.pages.of(offset) {
        Page::Freed => freed_memory::page_accessed(address, write, &place),
        Page::Guard => freed_memory::page_behind_accessed(address, write, &place),
        _ => bugcheck::access::paged_pool(address, machine.irql(), write, &place),
    };
    machine.bug_check_with(violation, backtrace)
}

/// Fills a guard.
fn guard(machine: &Machine, offset: usize, size: usize) {
    if PATTERNS && size != 0 {
        machine.arena.fill(offset, size, GUARD_BYTE);
    }
}

/// Checks that no code has written into the guards around a block.
pub(crate) fn check_guards(machine: &Machine, block: &Block) -> Checked<()> {
    // Pages that no code could access hold no trace of a write.
    if !PATTERNS || (block.own_pages && !block.live) {
        return Ok(());
    }
    let address = machine.arena.at(block.offset) as u64;
    let before = if block.own_pages { GUARD.min(block.offset % PAGE) } else { GUARD };
    if let Some(at) = machine.arena.first_other(block.offset - before, before, GUARD_BYTE) {
        let distance = block.offset - at;
        let byte = machine.arena.at(at) as u64;
        return Err(bugcheck::pool::written_before(address, byte, describe(machine, block), distance));
    }
    let end = if block.live { block.size } else { block.room };
    let behind = block.room - end + block.guard();
    if let Some(at) = machine.arena.first_other(block.offset + end, behind, GUARD_BYTE) {
        let distance = at - (block.offset + end);
        let byte = machine.arena.at(at) as u64;
        return Err(bugcheck::pool::written_behind(address, byte, describe(machine, block), distance));
    }
    Ok(())
}

/// Checks that no code has written into a freed block.
pub(crate) fn check_freed(machine: &Machine, block: &Block) -> Checked<()> {
    if !PATTERNS || block.own_pages {
        return Ok(());
    }
    match machine.arena.first_other(block.offset, block.room, FREED_BYTE) {
        Some(at) => Err(written_after_free(machine, block, at)),
        None => Ok(()),
    }
}

fn written_after_free(machine: &Machine, block: &Block, at: usize) -> Box<Violation> {
    let address = machine.arena.at(at) as u64;
    freed_memory::written_after_free(address, describe(machine, block), at - block.offset)
}

/// Returns the flags of ExAllocatePool2 for a POOL_TYPE. A type that drivers do not have ends
/// the run.
pub(crate) fn flags(machine: &Machine, ddi: Ddi, kind: POOL_TYPE) -> POOL_FLAGS {
    match kind {
        _POOL_TYPE::NonPagedPool => POOL_FLAG_NON_PAGED_EXECUTE,
        _POOL_TYPE::PagedPool => POOL_FLAG_PAGED,
        _POOL_TYPE::NonPagedPoolCacheAligned => POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_CACHE_ALIGNED,
        _POOL_TYPE::PagedPoolCacheAligned => POOL_FLAG_PAGED | POOL_FLAG_CACHE_ALIGNED,
        _POOL_TYPE::NonPagedPoolNx => POOL_FLAG_NON_PAGED,
        _POOL_TYPE::NonPagedPoolNxCacheAligned => POOL_FLAG_NON_PAGED | POOL_FLAG_CACHE_ALIGNED,
        other => machine.fail("not supported", alloc::format!("{} with pool type {other}", ddi.name())),
    }
}

/// Allocates a block for the driver. Null if memory is low, or if NT returns NULL for these
/// arguments; with POOL_FLAG_RAISE_ON_FAILURE that is a violation.
pub(crate) fn allocate_for_driver(
    machine: &Machine,
    ddi: Ddi,
    flags: POOL_FLAGS,
    size: u64,
    tag: u32,
) -> Checked<*mut u8> {
    let memory = match request(machine, ddi, flags, size, tag)? {
        Some(request) => allocate(machine, request)?,
        None => null_mut(),
    };
    if memory.is_null() && flags & POOL_FLAG_RAISE_ON_FAILURE != 0 {
        let what = alloc::format!("{} for {size} bytes", ddi.name());
        return Err(bugcheck::exception::raised_by_call(STATUS_INSUFFICIENT_RESOURCES, &what));
    }
    Ok(memory)
}

/// Returns the flags of ExAllocatePool2 for a call of ExAllocatePoolWithTag, or a violation for a
/// tag of zero.
pub(crate) fn flags_with_tag(machine: &Machine, kind: POOL_TYPE, size: u64, tag: u32) -> Checked<POOL_FLAGS> {
    let flags = flags(machine, Ddi::ExAllocatePoolWithTag, kind) | POOL_FLAG_UNINITIALIZED;
    if tag == 0 {
        return Err(bugcheck::pool::tag_of_zero(kind as u64, size));
    }
    Ok(flags)
}
