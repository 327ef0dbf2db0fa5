//! Pool rules (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-exallocatepool2), and
//! the errors that Driver Verifier's special pool finds.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]
#![cfg(not(feature = "sanitizer"))] // AddressSanitizer reports the accesses themselves.

mod common;

use common::*;
use ntsim::{
    Schedule, Simulation,
    sync::{AtomicU32, Ordering},
    types::*,
};

#[test]
fn memory_is_zeroed_and_aligned() {
    fine(|| {
        for size in [1, 16, 100, 4095] {
            let memory = allocate(size);
            assert!(memory.addr().is_multiple_of(16));
            assert!((0..size as usize).all(|at| peek(memory, at) == 0));
            poke(memory, 0);
            free(memory);
        }
        let page = allocate(4096);
        assert!(page.addr().is_multiple_of(4096));
        let line = pool(POOL_FLAG_NON_PAGED | POOL_FLAG_CACHE_ALIGNED, 8, TAG);
        assert!(line.addr().is_multiple_of(64));
        free(page);
        free(line);
    });
}

#[test]
fn uninitialised_memory_is_not_zero() {
    fine(|| {
        let memory = pool(POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED, 10, TAG);
        assert!((0..10).all(|at| peek(memory, at) == 0xA5));
        free(memory);
    });
}

#[test]
fn tag_zero_yields_null() {
    fine(|| assert!(pool(POOL_FLAG_NON_PAGED, 10, 0).is_null()));
}

#[test]
fn the_nth_allocation_fails_once() {
    fine(|| {
        ntsim::fail_allocation(1);
        let first = allocate(8);
        assert!(pool(POOL_FLAG_NON_PAGED, 8, TAG).is_null());
        let third = allocate(8);
        free(first);
        free(third);
        let counters = ntsim::counters();
        assert_eq!((counters.allocations, counters.frees, counters.live_blocks), (2, 2, 0));
    });
}

#[test]
fn more_than_there_is_yields_null() {
    fine(|| {
        assert!(pool(POOL_FLAG_NON_PAGED, 1 << 40, TAG).is_null());
        assert!(pool(POOL_FLAG_NON_PAGED, u64::MAX, TAG).is_null());
    });
}

#[test]
fn freed_memory_comes_back_when_the_arena_is_used_up() {
    fine(|| {
        for _ in 0..100 {
            let memory = allocate(1 << 20);
            assert_eq!(peek(memory, 12345), 0);
            free(memory);
        }
    });
}

#[test]
fn zero_bytes_are_a_bug_check() {
    assert_eq!(bug(|| _ = pool(POOL_FLAG_NON_PAGED, 0, TAG)).parameters, [0, 0, 0, 0]);
    assert_eq!(bug(|| _ = pool(POOL_FLAG_NON_PAGED, 0, TAG)).code, 0xC4);
}

#[test]
fn allocating_at_too_high_an_irql_is_a_bug_check() {
    let at = |irql: u8, flags: u64| {
        move || {
            let before = raise(irql);
            let memory = pool(flags, 24, TAG);
            lower(before);
            free(memory);
        }
    };
    fine(at(1, POOL_FLAG_PAGED));
    fine(at(2, POOL_FLAG_NON_PAGED));
    assert_eq!(bug(at(2, POOL_FLAG_PAGED)).parameters, [0x01, 2, 1, 24]);
    assert_eq!(bug(at(3, POOL_FLAG_NON_PAGED)).parameters, [0x02, 3, 0, 24]);
}

#[test]
fn freeing_at_too_high_an_irql_is_a_bug_check() {
    let at = |irql: u8, flags: u64| {
        move || {
            let memory = pool(flags, 24, TAG);
            let before = raise(irql);
            free(memory);
            lower(before);
        }
    };
    fine(at(1, POOL_FLAG_PAGED));
    fine(at(2, POOL_FLAG_NON_PAGED));
    assert_eq!(code(at(2, POOL_FLAG_PAGED)), (0xC4, 0x11));
    assert_eq!(code(at(3, POOL_FLAG_NON_PAGED)), (0xC4, 0x12));
}

#[test]
fn a_double_free_is_a_bug_check() {
    let bug = bug(|| {
        let memory = allocate(40);
        free(memory);
        free(memory);
    });
    assert_eq!((bug.code, bug.parameters[0]), (0xC2, 0x07));
    assert!(bug.rule.contains("block0 (40 bytes, tag 'Test', freed by processor 0 at step"), "{}", bug.rule);
}

#[test]
fn the_wrong_tag_is_a_bug_check() {
    let bug = bug(|| free_with_tag(allocate(40), u32::from_le_bytes(*b"Oops")));
    assert_eq!((bug.code, bug.parameters[0]), (0xC2, 0x0A));
    assert!(bug.rule.contains("'Test'") && bug.rule.contains("'Oops'"), "{}", bug.rule);
    fine(|| free_with_tag(allocate(40), 0));
}

#[test]
fn what_is_no_block_cannot_be_freed() {
    assert_eq!(code(|| free(core::ptr::null_mut::<u8>())), (0xC2, 0x46));
    assert_eq!(code(|| free(allocate(64).wrapping_add(16))), (0xC2, 0x46));
    let host = || {
        let mut local = 0_u64;
        free(&raw mut local);
    };
    assert_eq!(code(host), (0xC2, 0x46));
}

#[test]
fn an_overrun_is_found_at_the_free() {
    let written = |distance: isize| {
        move || {
            let memory = allocate(20);
            poke(memory, distance);
            free(memory);
        }
    };
    fine(written(19));
    assert_eq!((bug(written(20)).code, bug(written(20)).parameters[3]), (0xC1, 0x24));
    assert_eq!((bug(written(-1)).code, bug(written(-1)).parameters[3]), (0xC1, 0x23));
    let rule = bug(written(23)).rule;
    assert!(rule.contains("was written to 3 bytes behind its end"), "{rule}");
}

#[test]
fn an_overrun_of_a_live_block_and_a_write_after_free_are_found_at_unload() {
    for (distance, freed, code) in [(20, false, 0xC1), (5, true, 0xCC)] {
        let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
        let misuse = program(move || {
            let memory = allocate(20);
            if freed {
                free(memory);
            }
            poke(memory, distance);
        });
        kernel.run_on(0, misuse).unwrap();
        let stop = kernel.unload().unwrap_err();
        assert_eq!(stop.bug_check().unwrap().code, code);
    }
}

/// Uses a block as an atomic.
fn touch(memory: *mut u8) {
    // SAFETY: the arena's memory is mapped, whatever block it is a part of.
    let atomic = unsafe { &*memory.cast::<AtomicU32>() };
    atomic.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn an_atomic_in_freed_memory_is_a_bug_check_that_names_the_block() {
    let bug = bug(|| {
        let memory = allocate(20);
        touch(memory);
        free(memory);
        touch(memory.wrapping_add(8));
    });
    assert_eq!(bug.code, 0xD1);
    assert!(
        bug.rule.starts_with("atomic in freed pool memory: block0+0x8 of block0 (20 bytes, tag 'Test'"),
        "{}",
        bug.rule
    );
}

#[test]
fn an_atomic_between_blocks_is_a_bug_check() {
    assert_eq!(bug(|| touch(allocate(16).wrapping_add(16))).code, 0xD1);
}

#[test]
fn paged_pool_is_not_touched_at_dispatch_level() {
    let at = |irql: u8| {
        move || {
            let memory = pool(POOL_FLAG_PAGED, 16, TAG);
            let before = raise(irql);
            touch(memory);
            lower(before);
            free(memory);
        }
    };
    fine(at(1));
    assert_eq!(bug(at(2)).code, 0xD1);
}

#[test]
fn a_dpc_in_paged_pool_is_a_bug_check() {
    unsafe extern "C" fn routine(_: *mut KDPC, _: PVOID, _: PVOID, _: PVOID) {}
    let paged = |flags: u64| {
        move || {
            let dpc: *mut KDPC = pool(flags, 64, TAG).cast();
            // SAFETY: the block has 64 bytes.
            unsafe { ntsim::ddi::KeInitializeDpc(dpc, Some(routine), core::ptr::null_mut()) };
            free(dpc);
        }
    };
    assert_eq!(bug(paged(POOL_FLAG_PAGED)).code, 0xD1);
    fine(paged(POOL_FLAG_NON_PAGED));
}

#[test]
fn what_is_leaked_is_counted_at_unload() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let leak = || {
        allocate(8);
        free(allocate(8));
        allocate(8);
    };
    kernel.run_on(0, leak).unwrap();
    let stop = kernel.unload().unwrap_err();
    let bug = stop.bug_check().unwrap();
    assert_eq!((bug.code, bug.parameters[0], bug.parameters[3]), (0xC4, 0x62, 2));
    assert!(bug.rule.contains("the first being block0"), "{}", bug.rule);
}

#[test]
fn unsupported_flags_end_the_run() {
    let stop = alone(|| _ = pool(POOL_FLAG_NON_PAGED | POOL_FLAG_SESSION, 8, TAG)).unwrap_err();
    assert!(stop.to_string().contains("not supported"), "{stop}");
}
