//! Waits under loom `[T9]`. The waiters' list, the word and the end are the shipping code; lock and
//! events are loom's.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use loom::thread;

use crate::{
    status::NTSTATUS,
    task::{
        Status,
        loom_tests::{Reference, TaskWorld, check_gone, check_value, drain, set_handler, spawn},
    },
};

/// The timeout of a limited wait, which is over at once in the model.
const SOON: Option<i64> = Some(-1);

fn wait(operation: &Reference, timeout: Option<i64>) -> NTSTATUS {
    // SAFETY: this reference keeps the block.
    unsafe { operation.task().wait(timeout) }
}

/// Makes a ready task, and a thread that waits for it for ever and checks its value.
fn ended_by(world: &Arc<TaskWorld>) -> (Reference, thread::JoinHandle<()>) {
    world.flags[0].store(1, Ordering::Relaxed);
    let operation = spawn(world, 1);
    let waiter = operation.again();
    let thread = thread::spawn(move || {
        assert_eq!(wait(&waiter, None), NTSTATUS::SUCCESS);
        check_value(&waiter);
    });
    (operation, thread)
}

/// A wait meets the end of its task. A lost wait would never return, and loom reports a deadlock.
#[test]
fn loom_a_wait_meets_the_end() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let (operation, thread) = ended_by(&world);
        drain();
        thread.join().unwrap();
        drop(operation);
        check_gone(&world);
    });
}

/// The event of a wait that gives up is not set once it has gone.
#[test]
fn loom_a_wait_that_gives_up_meets_the_end() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        world.flags[0].store(1, Ordering::Relaxed);
        let operation = spawn(&world, 1);
        let waiter = operation.again();
        let thread = thread::spawn(move || match wait(&waiter, SOON) {
            NTSTATUS::SUCCESS => check_value(&waiter),
            NTSTATUS::TIMEOUT => {}
            other => panic!("{other}"),
        });
        drain();
        thread.join().unwrap();
        assert_eq!(wait(&operation, SOON), NTSTATUS::SUCCESS);
        drop(operation);
        check_gone(&world);
    });
}

/// Two waiters are in the list at once, and one leaves it. The other one is still found there.
#[test]
fn loom_a_wait_leaves_the_list_to_another() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let (operation, thread) = ended_by(&world);
        assert_eq!(wait(&operation, SOON), NTSTATUS::TIMEOUT, "no thread has run the task yet");
        drain();
        thread.join().unwrap();
        drop(operation);
        check_gone(&world);
    });
}

/// The handler and the waiter are both told, in one end.
#[test]
fn loom_a_wait_and_a_handler_meet_the_end() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let (operation, thread) = ended_by(&world);
        set_handler(&operation, &world).unwrap();
        drain();
        thread.join().unwrap();
        // The wait may be over before the handler has run [C14]. It has run by now, because this
        // thread ran the task.
        assert_eq!(world.handled.load(Ordering::Relaxed), 1);
        assert_eq!(world.handled_status.load(Ordering::Relaxed), Status::Completed as usize);
        drop(operation);
        check_gone(&world);
    });
}

/// The wait has a reference of its own. All other references are released, and the wait frees the
/// task.
#[test]
fn loom_a_wait_outlives_every_other_reference() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let (operation, thread) = ended_by(&world);
        drop(operation);
        drain();
        thread.join().unwrap();
        check_gone(&world);
    });
}
