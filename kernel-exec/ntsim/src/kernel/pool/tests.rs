//! Tests of the places of blocks.

extern crate alloc;

use alloc::vec::Vec;

use super::{Block, GUARD, PAGE, Pool, Request};

const ARENA: usize = 64 * PAGE;

fn request(size: usize, align: usize) -> Request {
    Request { align, ..Request::kernel(size, *b"Test") }
}

fn pool() -> Pool {
    let mut pool = Pool::default();
    pool.reset(ARENA);
    pool
}

/// Allocates in the same order of attempts as the machine.
fn allocate(pool: &mut Pool, size: usize, align: usize, own_pages: bool) -> Option<Block> {
    let request = request(size, align);
    if let Some((block, _)) = pool.allocate(request, own_pages) {
        return Some(block);
    }
    let mut room = pool.find_room(request, own_pages);
    if room.is_none() && pool.can_merge() {
        pool.merge();
        room = pool.find_room(request, own_pages);
    }
    if room.is_none() && pool.stretch().is_some() {
        room = pool.find_room(request, own_pages);
    }
    pool.reuse(request, own_pages, room?)
}

#[test]
fn blocks_are_apart_by_a_guard() {
    let mut pool = pool();
    let (first, _) = pool.allocate(request(20, 16), false).unwrap();
    let (second, _) = pool.allocate(request(20, 16), false).unwrap();
    assert_eq!(second.offset, first.offset + 32 + GUARD);
    assert_eq!(pool.find(first.offset + 19).unwrap().number, 0);
    assert!(pool.find(first.offset + 20).is_none());
}

#[test]
fn a_block_with_pages_of_its_own_ends_where_they_end() {
    let mut pool = pool();
    let mut end = 0;
    for (size, align, before) in
        [(20, 16, PAGE - 32), (20, 64, PAGE - 64), (PAGE, PAGE, 0), (PAGE + 1, PAGE, 0)]
    {
        let (block, _) = pool.allocate(request(size, align), true).unwrap();
        assert!(block.offset >= end + PAGE && block.offset % PAGE == before && block.offset % align == 0);
        end = block.offset + block.room;
        assert!(end.is_multiple_of(PAGE) && block.room >= size);
        assert_eq!(pool.top(), end + PAGE);
    }
}

#[test]
fn freed_memory_is_reused_only_when_the_arena_is_used_up() {
    let mut pool = pool();
    let first = allocate(&mut pool, PAGE, PAGE, false).unwrap();
    pool.free(first.offset, 0, 0);
    while pool.top() + 2 * PAGE + GUARD <= ARENA {
        let fresh = allocate(&mut pool, PAGE, PAGE, false).unwrap();
        assert!(fresh.offset > first.offset);
    }
    let reused = allocate(&mut pool, PAGE, PAGE, false).unwrap();
    assert_eq!(reused.offset, first.offset);
    assert!(allocate(&mut pool, PAGE, PAGE, false).is_none());
}

#[test]
fn the_block_that_was_freed_first_is_reused_first() {
    let mut pool = pool();
    let mut blocks = Vec::new();
    while let Some((block, _)) = pool.allocate(request(PAGE, 16), false) {
        blocks.push(block);
    }
    for (step, block) in [5, 2, 9].into_iter().enumerate() {
        pool.free(blocks[block].offset, 0, step as u64);
    }
    for expected in [5, 2, 9] {
        assert_eq!(allocate(&mut pool, PAGE, 16, false).unwrap().offset, blocks[expected].offset);
    }
    assert!(allocate(&mut pool, PAGE, 16, false).is_none());
}

#[test]
fn a_larger_block_is_split_and_neighbours_become_one() {
    for own_pages in [false, true] {
        let mut pool = pool();
        let mut blocks = Vec::new();
        while let Some((block, _)) = pool.allocate(request(3 * PAGE, 16), own_pages) {
            blocks.push(block);
        }
        while pool.allocate(request(16, 16), own_pages).is_some() {}
        // Frees two of each three blocks.
        for (index, block) in blocks.iter().enumerate().filter(|(index, _)| index % 3 != 0) {
            pool.free(block.offset, 0, index as u64);
        }
        let (first, second) = (blocks[1], blocks[2]);
        let large = allocate(&mut pool, second.offset + second.room - first.offset, 16, own_pages);
        assert_eq!(large.unwrap().start(), first.start());
        let (fourth, fifth) = (blocks[4], blocks[5]);
        let small = allocate(&mut pool, 100, 16, own_pages).unwrap();
        let next = allocate(&mut pool, 100, 16, own_pages).unwrap();
        assert_eq!(small.start(), fourth.start());
        assert!(small.offset + small.room <= next.start() && next.offset < fifth.offset + fifth.room);
    }
}

#[test]
fn a_pool_with_nothing_in_it_has_room_for_every_size_that_fits() {
    for own_pages in [false, true] {
        let mut pool = pool();
        let largest = ARENA - if own_pages { 2 * PAGE } else { 2 * GUARD };
        for size in (1..=largest).step_by(1000).chain([largest, 1, largest]) {
            let block = allocate(&mut pool, size, 16, own_pages);
            pool.free(block.unwrap_or_else(|| panic!("{size}")).offset, 0, size as u64);
        }
        assert!(allocate(&mut pool, largest + 1, 16, own_pages).is_none());
    }
}

/// Live blocks never overlap, whatever is allocated and freed.
#[test]
fn live_blocks_and_their_guards_are_apart() {
    for (own_pages, align) in [(false, 16), (false, 64), (true, 16)] {
        let (mut pool, mut live, mut random) = (pool(), Vec::<Block>::new(), 1_u64);
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let size = (random >> 33) as usize % (3 * PAGE) + 1;
            if random >> 63 == 0 && !live.is_empty() {
                let block = live.swap_remove(size % live.len());
                pool.free(block.offset, 0, step);
            } else if let Some(block) = allocate(&mut pool, size, align, own_pages) {
                live.push(block);
            }
            assert_eq!(pool.live(), live.len());
        }
        let blocks = pool.blocks();
        for pair in blocks.windows(2) {
            let guard = if own_pages { PAGE } else { GUARD };
            assert!(pair[0].offset + pair[0].room + guard <= pair[1].start(), "{pair:?}");
        }
        for block in live {
            let found = pool.find(block.offset).unwrap();
            assert_eq!((found.number, found.live), (block.number, true));
        }
    }
}
