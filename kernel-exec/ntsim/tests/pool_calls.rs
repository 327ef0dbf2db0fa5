//! The older and newer calls for pool, lookaside lists, and allocations that fail at random (the
//! pages of the calls under learn.microsoft.com/windows-hardware/drivers/ddi/wdm/, and
//! learn.microsoft.com/windows-hardware/drivers/devtest/low-resources-simulation).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{cell::Cell, ptr::null};
use std::rc::Rc;

use common::*;
use ntsim::{
    Config, LowResources, Schedule, Simulation, Stop, ddi,
    types::{_POOL_TYPE::*, *},
};

fn with_tag(kind: POOL_TYPE, size: u64, tag: u32) -> *mut u8 {
    // SAFETY: this runs inside a simulation run.
    unsafe { ddi::ExAllocatePoolWithTag(kind, size, tag) }.cast()
}

fn not_supported(stop: Result<(), Stop>) {
    assert!(matches!(stop, Err(Stop::Failure { oracle: "not supported", .. })), "{stop:?}");
}

#[test]
fn older_pool_is_not_zeroed_and_has_types() {
    fine(|| {
        for kind in [NonPagedPool, NonPagedPoolNx, PagedPool, NonPagedPoolCacheAligned, PagedPoolCacheAligned]
        {
            let memory = with_tag(kind, 20, TAG);
            assert_ne!(peek(memory, 0), 0);
            if kind & 4 != 0 {
                assert_eq!(memory as usize % 64, 0);
            }
            free(memory);
        }
        let page = with_tag(NonPagedPoolNx, 4096, TAG);
        assert_eq!(page as usize % 4096, 0);
        free(page);
    });
}

#[test]
fn older_pool_has_the_same_rules() {
    assert_eq!(code(|| _ = with_tag(NonPagedPoolNx, 0, TAG)), (0xC4, 0));
    assert_eq!(code(|| _ = with_tag(NonPagedPoolNx, 8, 0)), (0xC2, 0x9B));
    assert_eq!(code(|| _ = (raise_to_dpc_level(), with_tag(PagedPool, 8, TAG))), (0xC4, 1));
    assert_eq!(code(|| _ = (raise(3), with_tag(NonPagedPoolNx, 8, TAG))), (0xC4, 2));
    not_supported(alone(|| _ = with_tag(99, 8, TAG)));
    assert_eq!(code(|| free_with_tag(with_tag(NonPagedPoolNx, 8, TAG), 1)), (0xC2, 0x0A));
}

#[test]
fn newer_calls_take_no_extended_parameters() {
    let newer = |count: u32| {
        move || {
            // SAFETY: there are no extended parameters.
            let memory = unsafe { ddi::ExAllocatePool3(POOL_FLAG_NON_PAGED, 8, TAG, null(), count) };
            assert_eq!(peek(memory.cast(), 7), 0);
            // SAFETY: the memory was just allocated and is not used any more.
            unsafe { ddi::ExFreePool2(memory, TAG, null(), 0) };
        }
    };
    fine(newer(0));
    not_supported(alone(newer(1)));
}

#[test]
fn failure_is_null_or_an_exception() {
    fine(|| {
        ntsim::fail_allocation(0);
        assert!(pool(POOL_FLAG_NON_PAGED | POOL_FLAG_USE_QUOTA, 8, TAG).is_null());
        free(pool(POOL_FLAG_NON_PAGED | POOL_FLAG_USE_QUOTA | POOL_FLAG_RAISE_ON_FAILURE, 8, TAG));
    });
    let raised = bug(|| {
        ntsim::fail_allocation(0);
        pool(POOL_FLAG_NON_PAGED | POOL_FLAG_RAISE_ON_FAILURE, 8, TAG);
    });
    assert_eq!((raised.code, raised.parameters[0]), (0x1E, 0xC000_009A));
}

#[test]
fn with_low_resources_some_allocations_fail_as_the_schedule_chooses() {
    let failures = |low_resources, seed: u64| {
        let mut kernel = Simulation::new(Config { low_resources, ..processors(1) }, Schedule::seed(seed));
        let failed = Rc::new(Cell::new(0));
        let count = Rc::clone(&failed);
        let run = kernel.run_on(0, move || {
            for _ in 0..1_000 {
                let memory = pool(POOL_FLAG_NON_PAGED, 8, TAG);
                if memory.is_null() { count.set(count.get() + 1) } else { free(memory) }
            }
        });
        run.and_then(|()| kernel.unload()).unwrap();
        failed.get()
    };
    assert!((20..150).contains(&failures(LowResources::Random, 1)));
    assert_eq!(failures(LowResources::Random, 1), failures(LowResources::Random, 1));
    assert_eq!(failures(LowResources::Never, 1), 0);
}

#[derive(Clone, Copy)]
struct List(PLOOKASIDE_LIST_EX);

impl List {
    fn new(kind: POOL_TYPE) -> Self {
        let list = Self(object());
        list.initialize(kind, 40);
        list
    }

    fn initialize(self, kind: POOL_TYPE, size: u64) {
        // SAFETY: `object` has allocated the storage.
        let status = unsafe { ddi::ExInitializeLookasideListEx(self.0, None, None, kind, 0, size, TAG, 0) };
        assert_eq!(status, STATUS_SUCCESS);
    }

    fn allocate(self) -> *mut u8 {
        // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::ExAllocateFromLookasideListEx(self.0) }.cast()
    }

    fn give_back(self, entry: *mut u8) {
        // SAFETY: the list is initialised; the entry is not used any more.
        unsafe { ddi::ExFreeToLookasideListEx(self.0, entry.cast()) }
    }

    fn flush(self) {
        // SAFETY: the object is initialised.
        unsafe { ddi::ExFlushLookasideListEx(self.0) }
    }

    fn delete(self) {
        // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::ExDeleteLookasideListEx(self.0) }
    }
}

#[test]
fn a_lookaside_list_has_entries_of_its_size() {
    fine(|| {
        let list = List::new(NonPagedPoolNx);
        let (first, second) = (list.allocate(), list.allocate());
        assert_ne!(first, second);
        assert_ne!(peek(first, 39), 0, "not zeroed");
        list.give_back(first);
        list.give_back(second);
        list.flush();
        ntsim::fail_allocation(0);
        assert!(list.allocate().is_null());
        list.delete();
        free(list.0);
    });
}

#[test]
fn entries_go_back_to_their_list_once() {
    let with = |f: fn(List, *mut u8)| {
        code(move || {
            let list = List::new(NonPagedPoolNx);
            f(list, list.allocate());
        })
    };
    assert_eq!(with(|list, entry| _ = (list.give_back(entry), list.give_back(entry))), (0xC2, 0x46));
    assert_eq!(with(|_, entry| List::new(NonPagedPoolNx).give_back(entry)), (0xC2, 0x46));
    assert_eq!(with(|list, _| list.give_back(allocate(40))), (0xC2, 0x46));
    assert_eq!(with(|list, _| list.delete()).0, 0xCC);
    assert_eq!(with(|list, _| free(list.0)).0, 0xCC);
    assert_eq!(with(|list, _| list.initialize(NonPagedPoolNx, 40)).0, 0xCC);
    assert_eq!(bug(|| _ = List(object()).allocate()).code, 0xCC);
}

#[test]
fn a_paged_lists_entries_are_for_apc_level_at_most() {
    fine(|| {
        let list = List::new(PagedPool);
        list.give_back(list.allocate());
        list.delete();
        free(list.0);
    });
    let raised = || {
        let list = List::new(PagedPool);
        raise_to_dpc_level();
        list.allocate();
    };
    assert_eq!(code(raised), (0xC4, 1));
    not_supported(alone(|| List(object()).initialize(NonPagedPoolNx, 0)));
}

#[test]
fn a_lookaside_list_is_deleted_before_unload() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    kernel.run_on(0, || _ = List::new(NonPagedPoolNx)).unwrap();
    assert_eq!(kernel.unload().unwrap_err().bug_check().unwrap().code, 0xCE);
}
