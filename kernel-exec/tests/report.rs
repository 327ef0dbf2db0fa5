//! Tests of the reports on stuck tasks.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]
#![allow(dead_code, reason = "what the tests share is more than these use")]

mod common;
mod work_items;

use core::{future::pending, time::Duration};

use common::{Event, in_kernel};
use ntcom_exec::{
    DpcOptions, DrainError, Migrating, TaskBuilder, TaskReport, TaskTracker, default_tracker, spawn_dpc_task,
    spawn_dpc_task_cancellable, try_finally,
};
use work_items::Device;

fn report() -> Vec<TaskReport> {
    let mut reports = [None; 8];
    let count = default_tracker(|tracker| tracker.report(&mut reports));
    let tasks: Vec<_> = reports.into_iter().flatten().collect();
    assert_eq!(tasks.len(), count);
    tasks
}

#[test]
fn a_drain_that_is_stuck_can_be_explained() {
    in_kernel(|| {
        let event = Event::default();
        let waits = event.wait();
        let cleaning = spawn_dpc_task_cancellable(async {
            try_finally(pending::<()>(), waits).await;
        })
        .unwrap();
        default_tracker(TaskTracker::close);
        default_tracker(TaskTracker::cancel_all);
        let stuck = default_tracker(|tracker| tracker.drain(Some(Duration::from_millis(50))));
        assert_eq!(stuck, Err(DrainError::Stuck { tasks: 1, timers: 0, handlers: 0 }));
        let [task] = report()[..] else { panic!("one task") };
        assert!(task.unwinding && !task.running && !task.scheduled && !task.has_device);
        // One reference is the waker in the event, the other is the handle.
        assert_eq!(task.references, 2);
        let text = task.to_string();
        assert!(
            text.ends_with("2 references can still wake or cancel it; it unwinds, so it waits in a cleanup"),
            "{text}"
        );
        event.set();
        default_tracker(|tracker| tracker.drain(None)).unwrap();
        assert_eq!(report(), []);
        drop(cleaning);
    });
}

#[test]
fn a_task_in_a_queue_and_one_that_was_asked_to_stop_say_so() {
    in_kernel(|| {
        // SAFETY: called at PASSIVE_LEVEL; the IRQL is lowered below.
        let irql = unsafe { ntsim::ddi::KeRaiseIrqlToDpcLevel() };
        let handle = spawn_dpc_task_cancellable(pending()).unwrap();
        spawn_dpc_task(async { assert!(report().iter().any(|task| task.running)) }).unwrap();
        handle.cancel();
        let tasks = report();
        assert!(tasks.iter().all(|task| task.scheduled && !task.running));
        assert_eq!(tasks.iter().filter(|task| task.cancel_requested).count(), 1);
        let texts: Vec<_> = tasks.iter().map(ToString::to_string).collect();
        assert!(texts[1].ends_with("is in a queue; a cancel request is pending"), "{texts:?}");
        // SAFETY: `irql` is the value that the raise returned.
        unsafe { ntsim::ddi::KeLowerIrql(irql) };
    });
}

#[test]
fn a_task_that_can_go_to_passive_level_has_a_device() {
    in_kernel(|| {
        let device = Device::new();
        let items = device.cancellable(pending());
        // SAFETY: a device that is not deleted yet.
        let placement = unsafe { Migrating::new(DpcOptions::new(), device.0) };
        let moves = TaskBuilder::new().on(placement).spawn(pending()).unwrap();
        let dpcs = spawn_dpc_task_cancellable(pending()).unwrap();
        // The youngest task comes first.
        assert_eq!(report().iter().map(|task| task.has_device).collect::<Vec<_>>(), [false, true, true]);
        for handle in [items, moves, dpcs] {
            handle.cancel();
        }
        default_tracker(|tracker| tracker.drain(None)).unwrap();
        device.delete();
    });
}

#[test]
fn there_may_be_more_than_there_is_room_for() {
    in_kernel(|| {
        let handles: Vec<_> = (0..5).map(|_| spawn_dpc_task_cancellable(pending()).unwrap()).collect();
        let mut reports = [None; 3];
        assert_eq!(default_tracker(|tracker| tracker.report(&mut reports)), 5);
        assert!(reports.iter().all(Option::is_some));
        assert_eq!(default_tracker(|tracker| tracker.report(&mut [])), 5);
        handles.iter().for_each(ntcom_exec::CancelHandle::cancel);
        assert_eq!(default_tracker(|tracker| tracker.report(&mut reports)), 0);
        assert_eq!(reports, [None; 3]);
    });
}
