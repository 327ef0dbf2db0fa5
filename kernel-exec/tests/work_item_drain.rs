//! Tests that a tracker of tasks on work items is drained, and the driver unloaded.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]
#![allow(dead_code, reason = "what the tests share is more than these use")]

mod common;
mod work_items;

use core::{future::pending, time::Duration};

use common::{Log, Thread};
use ntcom_exec::{
    DpcOptions, DrainError, Migrating, NTSTATUS, TaskBuilder, TaskTracker, default_tracker, passive,
    spawn_dpc_task, try_finally, yield_now,
};
use ntsim::Stop;
use work_items::{Device, Event, Kernel, PASSIVE, in_schedules};

/// Spawns a driver's tasks on work items. One ends, one waits, one has a cleanup, and a task on
/// DPCs sets the event.
fn spawn_all(device: Device, event: &Event, log: &Log) {
    device.spawn(yield_now());
    let waits = event.wait();
    drop(device.cancellable(waits));
    let (main, cleanup) = (log.clone(), log.clone());
    device.spawn(async move {
        let main = async move {
            main.entry("main").await;
            pending::<()>().await;
        };
        try_finally(main, cleanup.entry("cleanup")).await;
    });
    let sets = event.clone();
    spawn_dpc_task(async move {
        yield_now().await;
        sets.set();
    })
    .unwrap();
}

#[test]
fn a_driver_is_unloaded_right_after_the_drain() {
    for seed in 0..400 {
        let mut kernel = Kernel::new(1 + (seed % 3) as usize, seed);
        let log = Log::at(PASSIVE);
        let inside = log.clone();
        let driver = move || {
            let device = Device::new();
            let event = Event::default();
            spawn_all(device, &event, &inside);
            default_tracker(|tracker| {
                tracker.close();
                assert_eq!(device.try_spawn(yield_now()), Err(NTSTATUS::DELETE_PENDING));
                tracker.cancel_all();
                tracker.drain(None).unwrap();
                assert_eq!(tracker.unfinished(), 0);
            });
            device.delete();
        };
        let unloaded = kernel.0.unload_with(0, Box::new(driver));
        unloaded.unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        let lines = log.take();
        assert_eq!(lines.iter().filter(|line| **line == "cleanup").count(), 1, "{lines:?}");
    }
}

#[test]
fn an_idle_task_holds_it_up() {
    for seed in 0..60 {
        let mut kernel = Kernel::new(1 + (seed % 3) as usize, seed);
        kernel.run_one(|| {
            let device = Device::new();
            let handle = device.cancellable(pending());
            let limit = Some(core::time::Duration::from_millis(50));
            let drained = default_tracker(|tracker| tracker.drain(limit));
            assert!(drained.is_err(), "a task is pending");
            handle.cancel();
            default_tracker(|tracker| tracker.drain(None)).unwrap();
            assert_eq!(default_tracker(TaskTracker::unfinished), 0);
            device.delete();
        });
        kernel.unload();
    }
}

fn drain(limit: Option<Duration>) -> Result<(), DrainError> {
    default_tracker(|tracker| tracker.drain(limit))
}

/// A task would wait for its own end. `drain` refuses at once, wherever in its body the task calls
/// it.
#[test]
fn a_task_that_drains_its_own_tracker_is_told_so() {
    struct Drains(Log);
    impl Drop for Drains {
        fn drop(&mut self) {
            assert_eq!(drain(None), Err(DrainError::InTask));
            self.0.add("dropped");
        }
    }
    in_schedules(3, |kernel| {
        let log = Log::default();
        let inside = log.clone();
        kernel.run_one(move || {
            let device = Device::new();
            let (first, second, third) = (inside.clone(), inside.clone(), Drains(inside.clone()));
            device.spawn(async move {
                for limit in [None, Some(Duration::MAX), Some(Duration::from_nanos(1))] {
                    assert_eq!(drain(limit), Err(DrainError::InTask), "{limit:?}");
                }
                let looked = drain(Some(Duration::ZERO));
                assert!(matches!(looked, Err(DrainError::Stuck { .. })), "zero only looks: {looked:?}");
                let other = TaskTracker::default();
                assert_eq!(other.drain(None), Ok(()), "the caller is not a task of this tracker");
                first.add("body");
            });
            // SAFETY: the driver's device.
            let placement = unsafe { Migrating::new(DpcOptions::new(), device.0) };
            let moves = TaskBuilder::new().on(placement).spawn(async move {
                assert_eq!(drain(None), Err(DrainError::Irql));
                passive(async { assert_eq!(drain(None), Err(DrainError::InTask)) }).await.unwrap();
                second.add("passive");
            });
            drop(moves.unwrap());
            let kept = device.cancellable(async move {
                let _drains = third;
                pending::<()>().await;
            });
            kept.cancel();
            assert_eq!(drain(None), Ok(()), "the caller is not a task");
            device.delete();
        });
        let mut lines = log.take();
        lines.sort_unstable();
        assert_eq!(lines, ["body", "dropped", "passive"]);
    });
}

/// The tracker does not notice a drain for a task that waits for that drain. The run ends, and
/// reports which task waits.
#[test]
fn a_task_that_waits_for_a_drain_is_a_deadlock() {
    for seed in 0..5 {
        let mut kernel = Kernel::new(1 + (seed % 3) as usize, seed);
        let program = || {
            let device = Device::new();
            device.spawn(async {
                let drains = Thread::spawn(|| {
                    let _never = drain(None);
                });
                drains.join();
            });
            device.delete();
        };
        match kernel.0.run_on(0, program) {
            Err(Stop::Deadlock { waits }) => assert!(waits.len() >= 2, "seed {seed}: {waits:?}"),
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}
