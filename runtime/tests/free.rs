//! Tests of clients on processors that run in parallel, which wait for the same operations, await
//! them, set handlers and cancel them.
//!
//! No test depends on the order of the processors. `cargo xtask tsan` runs them under
//! ThreadSanitizer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{
    future::{Future as _, IntoFuture as _},
    pin::pin,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    task::{Context, Waker},
    time::Duration,
};
use std::sync::Arc;

use ntcom::{AsyncOperation, NTSTATUS, spawn_async_operation};
use ntcom_exec::{Signal, default_tracker};
use ntsim::{Config, FreeProgram, Schedule, Simulation};
use parking_lot::Mutex;

const PROCESSORS: usize = 4;
const ROUNDS: u32 = 60;

#[derive(Default)]
struct Shared {
    /// The operations that each processor has been given.
    given: [Mutex<Vec<AsyncOperation<u32>>>; PROCESSORS],
    waited: AtomicU32,
    awaited: AtomicU32,
    tasks: AtomicU32,
    done: AtomicU32,
}

/// Makes an operation that its signal ends, gives it to every processor, and sets the signal.
fn make(shared: &Shared, round: u32) {
    let signal = Arc::new(Signal::new());
    let inside = Arc::clone(&signal);
    let operation = spawn_async_operation(async move {
        inside.wait().await;
        round
    });
    for given in &shared.given {
        given.lock().push(operation.clone());
    }
    if round % 5 == 4 {
        operation.cancel().unwrap();
    }
    signal.set();
}

fn is_as_it_may_be(result: Result<u32, NTSTATUS>) -> bool {
    matches!(result, Ok(round) if round < ROUNDS) || result == Err(NTSTATUS::CANCELLED)
}

/// Uses an operation that this processor has been given.
fn use_one(shared: &Arc<Shared>, me: usize, round: u32) {
    let Some(operation) = shared.given.get(me).unwrap().lock().pop() else { return };
    match (me as u32 + round) % 4 {
        0 => {
            operation.wait(None).unwrap();
            assert!(is_as_it_may_be(operation.result()));
            shared.waited.fetch_add(1, SeqCst);
        }
        1 => {
            let _either = operation.wait(Some(Duration::from_nanos(100)));
        }
        2 => {
            let mut future = pin!(operation.into_future());
            let _either = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        _ => {
            shared.tasks.fetch_add(1, SeqCst);
            let shared = Arc::clone(shared);
            drop(spawn_async_operation(async move {
                assert!(is_as_it_may_be(operation.await));
                shared.awaited.fetch_add(1, SeqCst);
            }));
        }
    }
}

#[test]
fn every_waiting_thread_hears_of_the_end() {
    for seed in 0..4 {
        let shared = Arc::new(Shared::default());
        let config = Config { processors: PROCESSORS, step_limit: u64::MAX / 2, ..Config::default() };
        let mut kernel = Simulation::new(config, Schedule::seed(seed));
        let program = |me: usize| -> (usize, FreeProgram) {
            let shared = Arc::clone(&shared);
            let program = move || {
                for round in 0..ROUNDS {
                    make(&shared, round);
                    (0..PROCESSORS).for_each(|_| use_one(&shared, me, round));
                }
                shared.done.fetch_add(1, SeqCst);
                if me != 0 {
                    return;
                }
                while shared.done.load(SeqCst) as usize != PROCESSORS {
                    ntsim::preemption_point();
                }
                for given in &shared.given {
                    given.lock().clear();
                }
                default_tracker(|tracker| tracker.drain(None).unwrap());
            };
            (me, Box::new(program))
        };
        let run = kernel.run_freely((0..PROCESSORS).map(program).collect());
        run.and_then(|()| kernel.unload()).unwrap_or_else(|stop| panic!("{seed}: {stop}"));
        assert!(shared.waited.load(SeqCst) > 0);
        assert_eq!(shared.awaited.load(SeqCst), shared.tasks.load(SeqCst));
        assert!(shared.tasks.load(SeqCst) > 0);
    }
}
