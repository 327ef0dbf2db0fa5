//! Fields of the kernel's objects that drivers and debuggers read, at the offsets of x64. The
//! values are those that public kernel test suites (ReactOS) assert, and those of
//! learn.microsoft.com/windows-hardware/drivers/debugger/ (`!irp`, `!drvobj`, `!locks`).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use common::{locks::*, waiting::*, *};
use ntsim::{Schedule, Simulation, ddi, types::*};

/// Reads the value at an offset of an object.
fn at<T: Copy>(object: *const impl Sized, offset: usize) -> T {
    // SAFETY: the objects of these tests are valid and have such a field there.
    unsafe { object.cast::<u8>().wrapping_add(offset).cast::<T>().read_unaligned() }
}

fn current_thread() -> PKTHREAD {
    // SAFETY: this runs inside a simulation run.
    unsafe { ddi::KeGetCurrentThread() }
}

#[test]
fn initialising_a_dpc_leaves_the_arguments_of_an_insertion_alone() {
    fine(|| {
        let dpc = Dpc::new(|| ());
        let place = dpc.dpc.cast::<u8>();
        for byte in 0..64 {
            // SAFETY: the address is in the block, and the DPC is in no queue.
            unsafe { place.wrapping_add(byte).write(0x5A) };
        }
        dpc.initialize();
        assert_eq!((at::<u8>(place, 0), at::<u8>(place, 1), at::<u16>(place, 2)), (19, 1, 0));
        assert_eq!(
            (at::<u64>(place, 40), at::<u64>(place, 48)),
            (0x5A5A_5A5A_5A5A_5A5A, 0x5A5A_5A5A_5A5A_5A5A)
        );
        assert_eq!(at::<u64>(place, 56), 0);
        assert!(dpc.insert_with(1, 2));
        dpc.free();
    });
}

#[test]
fn a_mutex_says_which_thread_holds_it_and_none_when_it_is_free() {
    fine(|| {
        let mutex = Mutex::new();
        let owner = || at::<PKTHREAD>(mutex.pointer(), 40);
        assert!(owner().is_null());
        wait(&mutex, None);
        wait(&mutex, None);
        assert_eq!(owner(), current_thread());
        mutex.release();
        assert_eq!(owner(), current_thread());
        mutex.release();
        assert!(owner().is_null());
        mutex.free();
    });
}

#[test]
fn a_fast_mutex_counts_its_waiters_and_its_waits() {
    for seed in 0..20 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let run = kernel.run_on(0, || {
            let mutex = FastMutex::new();
            let fields = move || {
                let (count, owner) = (at::<i32>(mutex.0, 0), at::<PKTHREAD>(mutex.0, 8));
                (count, owner, at::<u32>(mutex.0, 16))
            };
            let none = core::ptr::null_mut();
            assert_eq!(fields(), (1, none, 0));
            let go = Event::notification();
            let others: Vec<_> = (0..2)
                .map(|_| {
                    Thread::spawn(move || {
                        wait(&go, None);
                        mutex.acquire();
                        assert_eq!(fields().0 & 1, 0);
                        assert_eq!(fields().1, current_thread());
                        mutex.release();
                    })
                })
                .collect();
            mutex.acquire();
            assert_eq!(fields(), (0, current_thread(), 0));
            go.set();
            while fields().2 < 2 {
                ntsim::preemption_point();
            }
            assert_eq!(fields(), (8, current_thread(), 2));
            mutex.release();
            others.into_iter().for_each(Thread::join);
            let (count, owner, contention) = fields();
            assert_eq!((count, owner), (1, none));
            assert!((2..=3).contains(&contention), "{contention}");
            mutex.free();
            go.free();
        });
        run.and_then(|()| kernel.unload()).unwrap_or_else(|stop| panic!("{seed}: {stop}"));
    }
}

#[test]
fn a_queued_locks_word_is_where_its_handle_is() {
    fine(|| {
        let (lock, handle) = (Lock::new(), Handle::new());
        handle.acquire(lock);
        assert_eq!(at::<usize>(lock.0, 0), handle.0 as usize);
        handle.release();
        assert_eq!(at::<usize>(lock.0, 0), 0);
        let before = lock.acquire();
        assert_eq!(at::<usize>(lock.0, 0), 1);
        lock.release(before);
        handle.free();
        lock.free();
    });
}

#[test]
fn a_lookaside_list_has_the_depth_of_a_fresh_one() {
    fine(|| {
        let list = object::<LOOKASIDE_LIST_EX>();
        // SAFETY: `object` has allocated the storage.
        let status = unsafe { ddi::ExInitializeLookasideListEx(list, None, None, 512, 0, 40, TAG, 0) };
        assert_eq!(status, STATUS_SUCCESS);
        assert_eq!((at::<u16>(list, 16), at::<u16>(list, 18)), (4, 256));
        assert_eq!((at::<i32>(list, 36), at::<u32>(list, 40), at::<u32>(list, 44)), (512, TAG, 40));
        // SAFETY: the object is initialised.
        unsafe { ddi::ExDeleteLookasideListEx(list) };
        free(list);
    });
}

#[test]
fn a_thread_begins_with_the_type_of_threads() {
    fine(|| {
        assert_eq!(at::<u8>(current_thread(), 0), 6);
        Thread::spawn(|| assert_eq!(at::<u8>(current_thread(), 0), 6)).join();
    });
}
