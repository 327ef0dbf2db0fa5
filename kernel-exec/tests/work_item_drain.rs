//! A tracker of tasks on work items is drained, and the driver unloaded.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]
#![allow(dead_code, reason = "what the tests share is more than these use")]

mod common;
mod work_items;

use core::future::pending;

use common::Log;
use ntcom_exec::{NTSTATUS, TaskTracker, default_tracker, spawn_dpc_task, try_finally, yield_now};
use work_items::{Device, Event, Kernel, PASSIVE};

/// What a driver's tasks on work items do: one ends, one waits, one has a cleanup, one asks for another.
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
