//! Tests of a driver's options for a task on DPCs, which are its processor, its budget, and its
//! memory.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    alloc::Layout,
    future::{Future, pending, poll_fn},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    task::Poll,
    time::Duration,
};
use std::sync::{Arc, Mutex};

use common::{Event, TICK, in_kernel, kernel, program};
use ntcom_exec::{
    Allocator, DpcOptions, GlobalAllocator, Importance, NTSTATUS, PagedPoolAllocator, PoolAllocator,
    TaskBuilder, TaskStorage, TaskTracker, default_tracker,
};
use ntsim::{Config, Schedule, Simulation, Stop};

/// A body that wakes itself in every poll, where each poll takes this much virtual time. Returns
/// the count of its polls too.
fn busy(polls: u32, units: u64) -> (Arc<AtomicU32>, impl Future<Output = ()> + Send + 'static) {
    let polled = Arc::new(AtomicU32::new(0));
    let inside = Arc::clone(&polled);
    let body = poll_fn(move |context| {
        ntsim::advance_time(units);
        if inside.fetch_add(1, SeqCst) + 1 == polls {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    (polled, body)
}

/// Lets this many rounds pass of the timer that a spent budget waits for.
fn ticks(rounds: u32) {
    for _ in 0..rounds {
        ntsim::advance_time(2 * TICK);
    }
}

#[test]
fn a_run_ends_when_its_time_is_spent() {
    in_kernel(|| {
        let (polled, body) = busy(7, 300);
        TaskBuilder::new().on(DpcOptions::new()).spawn(body).unwrap();
        assert_eq!(polled.load(SeqCst), 4, "the fourth poll has passed 100 microseconds");
        ticks(1);
        assert_eq!(polled.load(SeqCst), 7, "the timer has continued the task");
    });
    // With a clock that only the polls move, the run ends exactly on time.
    let mut kernel = Simulation::new(Config { step_time: 0, ..Config::default() }, Schedule::round_robin());
    let spawning = || {
        let (polled, body) = busy(7, 250);
        TaskBuilder::new().on(DpcOptions::new()).spawn(body).unwrap();
        assert_eq!(polled.load(SeqCst), 4);
        ticks(1);
        assert_eq!(polled.load(SeqCst), 7);
    };
    kernel.run_on(0, spawning).unwrap_or_else(|stop| panic!("{stop}"));
    kernel.unload().unwrap_or_else(|stop| panic!("{stop}"));
}

#[test]
fn the_budgets_are_the_drivers() {
    in_kernel(|| {
        let (polled, body) = busy(5, 300);
        TaskBuilder::new().on(DpcOptions::new().time_budget(Duration::from_micros(30))).spawn(body).unwrap();
        assert_eq!(polled.load(SeqCst), 1);
        ticks(4);
        assert_eq!(polled.load(SeqCst), 5);

        let (polled, body) = busy(30, 0);
        TaskBuilder::new().on(DpcOptions::new().poll_budget(3)).spawn(body).unwrap();
        assert_eq!(polled.load(SeqCst), 3);
        ticks(9);
        assert_eq!(polled.load(SeqCst), 30);
    });
}

#[test]
fn a_task_runs_on_its_processor_wherever_it_is_woken() {
    for seed in 0..50 {
        let mut kernel = kernel(3, seed);
        let event = Event::default();
        let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
        let (inside, waited) = (Arc::clone(&seen), event.clone());
        let body = async move {
            inside.lock().unwrap().push(ntsim::current_processor());
            waited.wait().await;
            inside.lock().unwrap().push(ntsim::current_processor());
            ntcom_exec::sleep(Duration::from_millis(20)).await.unwrap();
            inside.lock().unwrap().push(ntsim::current_processor());
            for _ in 0..40 {
                ntcom_exec::yield_now().await;
                assert_eq!(ntsim::current_processor(), 2, "also after the timer of a spent budget");
            }
        };
        kernel
            .programs()
            .on(0, move || {
                drop(TaskBuilder::new().on(DpcOptions::new().processor(0, 2)).spawn(body).unwrap());
            })
            .on(1, move || event.set())
            .run()
            .unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        assert_eq!(*seen.lock().unwrap(), [2, 2, 2], "seed {seed}");
    }
}

/// The timer's DPC is a second one.
#[test]
fn both_dpcs_of_a_task_are_as_the_options_say() {
    let config = Config { trace: true, ..Config::default() };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let spawning = || {
        let (polled, body) = busy(3, 0);
        let options = DpcOptions::new().processor(0, 0).importance(Importance::High).poll_budget(1);
        let pool = PoolAllocator::with_tag(*b"Smpl");
        TaskBuilder::new().on(options).allocator(pool).spawn(body).unwrap();
        ticks(2);
        assert_eq!(polled.load(SeqCst), 3);
    };
    kernel.run_on(0, spawning).unwrap_or_else(|stop| panic!("{stop}"));
    let trace = kernel.trace().to_string();
    let calls = |name: &str| trace.lines().filter(|line| line.contains(name)).count();
    let set = [calls(" KeInitializeDpc"), calls(" KeSetTargetProcessorDpcEx"), calls(" KeSetImportanceDpc")];
    assert_eq!(set, [3; 3], "{trace}");
    assert_eq!(trace.matches("bytes, tag 'Smpl'").count(), 1, "{trace}");
    kernel.unload().unwrap_or_else(|stop| panic!("{stop}"));
}

#[test]
fn paged_pool_is_paged() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let allocating = || {
        let memory = PagedPoolAllocator::with_tag(*b"Page").allocate(Layout::new::<u64>()).unwrap();
        // SAFETY: called at PASSIVE_LEVEL; the IRQL is lowered below.
        let irql = unsafe { ntsim::ddi::KeRaiseIrqlToDpcLevel() };
        // SAFETY: the memory is from the allocation above. The IRQL is wrong, which the kernel must
        // report.
        unsafe { PagedPoolAllocator::with_tag(*b"Page").free(memory, Layout::new::<u64>()) };
        // SAFETY: `irql` is the value that the raise returned.
        unsafe { ntsim::ddi::KeLowerIrql(irql) };
    };
    let run = kernel.run_on(0, allocating);
    assert!(matches!(run, Err(Stop::BugCheck(_))), "{run:?}");
}

#[test]
fn a_task_of_high_importance_goes_before_one_of_low() {
    in_kernel(|| {
        let order: Arc<Mutex<Vec<Importance>>> = Arc::default();
        // SAFETY: called at PASSIVE_LEVEL; the IRQL is lowered below.
        let irql = unsafe { ntsim::ddi::KeRaiseIrqlToDpcLevel() };
        for importance in [Importance::Low, Importance::Medium, Importance::High] {
            let inside = Arc::clone(&order);
            let body = async move { inside.lock().unwrap().push(importance) };
            TaskBuilder::new().on(DpcOptions::new().importance(importance)).spawn(body).unwrap();
        }
        // SAFETY: `irql` is the value that the raise returned.
        unsafe { ntsim::ddi::KeLowerIrql(irql) };
        assert_eq!(*order.lock().unwrap(), [Importance::High, Importance::Low, Importance::Medium]);
    });
}

#[test]
fn invalid_options_are_refused_and_the_future_is_dropped() {
    in_kernel(|| {
        fn refused_in<A>(pool: A, options: DpcOptions) -> Result<(), NTSTATUS>
        where
            A: Allocator + Send + 'static,
        {
            let alive = Arc::new(());
            let inside = Arc::clone(&alive);
            let answer = TaskBuilder::new().on(options).allocator(pool).spawn(async move { drop(inside) });
            assert_eq!(Arc::strong_count(&alive), 1, "the future has been dropped");
            answer.map(drop)
        }
        let refused = |options| refused_in(GlobalAllocator, options);
        let wrong = Err(NTSTATUS::INVALID_PARAMETER);
        assert_eq!(refused(DpcOptions::new().poll_budget(0)), wrong);
        assert_eq!(refused(DpcOptions::new().time_budget(Duration::ZERO)), wrong);
        assert_eq!(refused(DpcOptions::new().time_budget(Duration::MAX)), wrong);
        assert_eq!(refused(DpcOptions::new().processor(0, 1)), wrong, "there is one processor");
        assert_eq!(refused(DpcOptions::new().processor(7, 0)), wrong, "and one group");
        assert_eq!(refused_in(PoolAllocator::with_tag([0; 4]), DpcOptions::new()), wrong);
        default_tracker(TaskTracker::close);
        assert_eq!(refused(DpcOptions::new()), Err(NTSTATUS::DELETE_PENDING));
    });
}

#[test]
fn a_task_in_the_drivers_memory_allocates_nothing() {
    in_kernel(|| {
        let storage: &'static TaskStorage<1024> = Box::leak(Box::default());
        default_tracker(TaskTracker::unfinished);
        let before = ntsim::counters();
        let handle = TaskBuilder::new().on(DpcOptions::new()).allocator(storage).spawn(pending()).unwrap();
        assert_eq!(ntsim::counters().allocations, before.allocations);
        assert!(!storage.is_free());
        let again = TaskBuilder::new().on(DpcOptions::new()).allocator(storage).spawn(pending());
        assert_eq!(again.err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
        handle.cancel();
        assert!(!storage.is_free(), "the handle still holds the storage");
        drop(handle);
        assert!(storage.is_free());
        drop(TaskBuilder::new().on(DpcOptions::new()).allocator(storage).spawn(async {}).unwrap());
        assert!(storage.is_free());
        assert_eq!(ntsim::counters().frees, before.frees);
    });
}

#[test]
fn refused_options_leave_the_storage_free() {
    in_kernel(|| {
        let storage: &'static TaskStorage<1024> = Box::leak(Box::default());
        let wrong =
            TaskBuilder::new().on(DpcOptions::new().processor(0, 9)).allocator(storage).spawn(pending());
        assert_eq!(wrong.err(), Some(NTSTATUS::INVALID_PARAMETER));
        assert!(storage.is_free());
    });
}

#[test]
fn storage_goes_from_task_to_task_on_several_processors() {
    for seed in 0..100 {
        let mut kernel = kernel(2, seed);
        let storage: &'static TaskStorage<1024> = Box::leak(Box::default());
        let ran = Arc::new(AtomicU32::new(0));
        let spawner = || {
            let ran = Arc::clone(&ran);
            program(move || {
                for _ in 0..3 {
                    let inside = Arc::clone(&ran);
                    let spawned =
                        TaskBuilder::new().on(DpcOptions::new()).allocator(storage).spawn(async move {
                            inside.fetch_add(1, SeqCst);
                        });
                    if let Err(status) = spawned {
                        assert_eq!(status, NTSTATUS::INSUFFICIENT_RESOURCES);
                        ran.fetch_add(1, SeqCst);
                    }
                }
            })
        };
        let programs = vec![(0, spawner()), (1, spawner())];
        kernel.run(programs).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        assert_eq!(ran.load(SeqCst), 6, "seed {seed}");
        assert!(storage.is_free());
    }
}
