//! The size of pool, and the reuse of freed blocks once it is used up.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use common::*;
use ntsim::{Config, Schedule, Simulation, Stop, types::*};

const NON_PAGED: u64 = POOL_FLAG_NON_PAGED;

fn try_allocate(size: u64) -> Option<*mut u8> {
    let memory = pool(NON_PAGED, size, TAG);
    (!memory.is_null()).then_some(memory)
}

fn run(config: Config, f: impl FnOnce() + 'static) -> Result<(), Stop> {
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    kernel.run_on(0, f)?;
    kernel.unload()
}

fn sizes_that_grow(config: Config) {
    let outcome = run(config, || {
        for index in 1..=1_500 {
            let memory = try_allocate(10 * index).unwrap_or_else(|| panic!("NULL at {index}"));
            assert_eq!((peek(memory, 0), peek(memory, 10 * index as usize - 1)), (0, 0));
            poke(memory, 10 * index as isize - 1);
            free(memory);
        }
    });
    outcome.unwrap();
}

#[test]
fn blocks_of_every_size_fit_where_nothing_is_live() {
    sizes_that_grow(Config::default());
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn blocks_of_every_size_fit_in_special_pool() {
    sizes_that_grow(Config { special_pool: true, ..Config::default() });
}

#[test]
fn all_of_the_pool_is_one_block_if_that_is_asked_for() {
    fine(|| {
        for _ in 0..100 {
            free(allocate(1 << 16));
        }
        free(allocate((4 << 20) - 4096 - 64));
    });
}

#[test]
fn a_hundred_thousand_small_blocks_live_in_a_pool_that_is_asked_for() {
    let config = Config { pool_size: 8 << 20, ..Config::default() };
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let fill = || {
        let blocks: Vec<_> = (0..100_000).map_while(|_| try_allocate(42)).collect();
        let count = blocks.len();
        blocks.into_iter().for_each(free);
        count
    };
    kernel.run_on(0, move || assert!(fill() < 100_000)).unwrap();
    kernel.reset(config, Schedule::round_robin());
    kernel.run_on(0, move || assert_eq!(fill(), 100_000)).unwrap();
    kernel.unload().unwrap();
    kernel.reset(Config::default(), Schedule::round_robin());
    kernel.run_on(0, move || assert!(fill() < 100_000)).unwrap();
}

#[test]
fn the_block_that_was_freed_first_is_used_again_first() {
    fine(|| {
        let blocks: Vec<_> = (0..).map_while(|_| try_allocate(10_000)).collect();
        for freed in [5, 2, 9] {
            free(blocks[freed]);
        }
        for expected in [5, 2, 9] {
            assert_eq!(allocate(10_000), blocks[expected]);
        }
        blocks.into_iter().for_each(free);
    });
}

#[test]
#[should_panic(expected = "Config::pool_size is 1000 bytes, not 64 KiB to 4 GiB")]
fn a_pool_of_too_few_bytes_is_refused() {
    Simulation::new(Config { pool_size: 1000, ..Config::default() }, Schedule::round_robin());
}

#[test]
fn live_blocks_keep_what_is_in_them_while_others_come_and_go() {
    let outcome = run(Config { pool_size: 256 << 10, ..Config::default() }, || {
        let mut live: Vec<(*mut u8, usize, u8)> = Vec::new();
        let mut random = 1_u64;
        for _ in 0..5_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (size, mark) = ((random >> 33) as usize % 9_000 + 1, (random >> 20) as u8);
            if random >> 63 == 0
                && let Some((memory, size, mark)) =
                    (!live.is_empty()).then(|| live.swap_remove(size % live.len()))
            {
                assert_eq!((peek(memory, 0), peek(memory, size - 1)), (mark, mark));
                free(memory);
            } else if let Some(memory) = try_allocate(size as u64) {
                assert_eq!((peek(memory, 0), peek(memory, size - 1)), (0, 0));
                for at in [0, size - 1] {
                    // SAFETY: the address is in the block.
                    unsafe { memory.wrapping_add(at).write(mark) };
                }
                live.push((memory, size, mark));
            }
        }
        live.into_iter().for_each(|(memory, ..)| free(memory));
    });
    outcome.unwrap();
}

/// Returns the stop that reports a write to a freed block, once the pool has been used up by blocks
/// of a size.
#[cfg(not(feature = "sanitizer"))]
fn written_after_free(then: u64) -> Stop {
    let outcome = run(Config { pool_size: 1 << 20, ..Config::default() }, move || {
        let first = allocate(1000);
        free(first);
        poke(first, 500);
        for _ in 0..10_000 {
            free(allocate(then));
        }
    });
    outcome.unwrap_err()
}

#[test]
#[cfg(not(feature = "sanitizer"))]
fn a_write_to_a_freed_block_is_found_when_its_memory_is_used_again() {
    for then in [1000, 100, 3000] {
        let stop = written_after_free(then);
        assert_eq!(stop.bug_check().unwrap().code, 0xCC, "{then}");
        assert!(stop.to_string().contains("block0 ("), "{stop}");
        assert!(stop.to_string().contains("after it was freed"), "{stop}");
        let whole = stop.to_string().contains("block0 (1000 bytes") && stop.to_string().contains("+0x1f4");
        assert!(whole || then == 100, "what is left of it begins elsewhere: {stop}");
    }
}

#[test]
#[cfg(not(feature = "sanitizer"))]
fn an_atomic_in_what_freed_neighbours_have_become_is_a_bug_check() {
    let stop = bug(|| {
        let [first, second] = [allocate(100), allocate(100)];
        let _live = allocate(100);
        while try_allocate(1 << 16).is_some() {}
        while try_allocate(200).is_some() {}
        free(first);
        free(second);
        assert!(try_allocate(1_000).is_none());
        // SAFETY: the memory belongs to the simulation, which checks the atomic before the access.
        unsafe { &*second.cast::<ntsim::sync::AtomicU32>() }.load(ntsim::sync::Ordering::Relaxed);
    });
    assert_eq!(stop.code, 0xD1);
    assert!(stop.rule.contains("block0+0x90 of block0 (256 bytes, tag 'Test', freed by"), "{}", stop.rule);
    assert!(stop.rule.contains("and 1 freed blocks behind it)"), "{}", stop.rule);
}
