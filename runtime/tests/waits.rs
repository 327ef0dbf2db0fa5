//! Tests of `wait` of our operations `[C15]`, on the simulated kernel.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    ffi::c_void,
    future::{pending, poll_fn},
    ptr,
    task::Poll,
    time::Duration,
};
use std::sync::Arc;

use common::{in_kernel, try_in_kernel};
use ntcom::{
    AsyncControlRaw, AsyncOperationRaw, AsyncStatus, ComRc, NTSTATUS, RawAsyncStatus, spawn_async_operation,
    spawn_async_operation_error,
};
use ntcom_exec::{Signal, sleep};
use ntsim::{
    Config, Exploration, Limits, Program, Schedule, Simulation, ddi, explore,
    sync::{AtomicUsize, Ordering::SeqCst},
};

/// A clock period, in units of 100 ns.
const TICK: i64 = 156_250;

/// Calls the slot itself.
fn wait(control: &ComRc<AsyncControlRaw>, timeout: Option<i64>) -> NTSTATUS {
    let this = control.as_ptr();
    // SAFETY: the operation is ours, and alive.
    let table = unsafe { this.read() }.vtbl;
    // SAFETY: our operations have a complete table.
    let wait = unsafe { &*table }.wait.unwrap();
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the operation is alive, and the timeout is null or readable.
    unsafe { wait(this.cast(), timeout) }
}

/// The system time, to which absolute timeouts refer.
fn system_time() -> i64 {
    let mut now = 0_u64;
    // SAFETY: the argument is valid for a write.
    unsafe { ddi::KeQuerySystemTimePrecise((&raw mut now).cast()) };
    now.cast_signed()
}

fn sleeping(periods: u32) -> ComRc<AsyncOperationRaw<u8>> {
    let period = Duration::from_nanos(TICK.cast_unsigned() * 100);
    spawn_async_operation(async move {
        sleep(period * periods).await.unwrap();
        7
    })
}

#[test]
fn an_operation_that_has_ended_is_not_waited_for() {
    in_kernel(|| {
        for operation in
            [spawn_async_operation(async { 7_u8 }), spawn_async_operation_error(NTSTATUS::CANCELLED)]
        {
            let control = operation.control().unwrap();
            let before = ntsim::counters().kernel_calls;
            for timeout in [None, Some(0), Some(-1), Some(1), Some(i64::MIN), Some(i64::MAX)] {
                assert_eq!(wait(&control, timeout), NTSTATUS::SUCCESS, "{timeout:?}");
            }
            // Each wait with a timeout makes one kernel call, which reads the IRQL.
            assert_eq!(ntsim::counters().kernel_calls - before, 5);
        }
    });
}

#[test]
fn it_waits_until_the_operation_ends() {
    in_kernel(|| {
        for timeout in [None, Some(-10 * TICK), Some(i64::MIN), Some(system_time() + 10 * TICK)] {
            let start = system_time();
            let operation = sleeping(2);
            let allocations = ntsim::counters().allocations;
            assert_eq!(wait(&operation.control().unwrap(), timeout), NTSTATUS::SUCCESS);
            assert_eq!(operation.result(), Ok(7));
            assert!((2 * TICK..5 * TICK).contains(&(system_time() - start)), "not longer than it takes");
            assert_eq!(ntsim::counters().allocations, allocations, "waiting allocates nothing");
        }
    });
}

#[test]
fn it_does_not_wait_longer_than_it_may() {
    in_kernel(|| {
        let operation = spawn_async_operation(pending::<u8>());
        let control = operation.control().unwrap();
        // Today's system time is set, so that an absolute timeout differs much from a relative one
        // of the same value.
        ntsim::set_system_time(134_000_000_000_000_000);
        let start = system_time();
        assert_eq!(wait(&control, Some(0)), NTSTATUS::TIMEOUT);
        assert_eq!(wait(&control, Some(system_time() - TICK)), NTSTATUS::TIMEOUT, "a moment that is over");
        assert_eq!(wait(&control, Some(1)), NTSTATUS::TIMEOUT, "a moment that is long over");
        assert!(system_time() - start < 3 * TICK, "each to the next clock tick at most");
        for timeout in [-1, -2 * TICK, system_time() + 2 * TICK] {
            assert_eq!(wait(&control, Some(timeout)), NTSTATUS::TIMEOUT);
        }
        assert!((3 * TICK + 1..9 * TICK).contains(&(system_time() - start)));
        assert_eq!(control.wait(Some(Duration::ZERO)), Err(NTSTATUS::TIMEOUT));
        assert_eq!(control.wait(Some(Duration::from_nanos(1))), Err(NTSTATUS::TIMEOUT));
        control.cancel().unwrap();
        assert_eq!(control.wait(None), Ok(()));
        assert_eq!(control.wait(Some(Duration::MAX)), Ok(()), "for ever");
    });
}

/// The waiters of all operations are in one list, and each is told of its own operation's end
/// `[C15]`.
#[test]
fn the_end_of_another_operation_wakes_no_waiter() {
    for seed in 0..50 {
        let (first, second) = (shared(), shared());
        let (signals, order) = ([Arc::clone(&first.0), Arc::clone(&second.0)], Arc::new(AtomicUsize::new(0)));
        let waiter = |body: core::pin::Pin<Box<dyn Future<Output = u8> + Send>>, digit: usize| -> Program {
            let order = Arc::clone(&order);
            Box::new(move || {
                let operation = spawn_async_operation(body);
                assert_eq!(wait(&operation.control().unwrap(), None), NTSTATUS::SUCCESS);
                order.fetch_update(SeqCst, SeqCst, |order| Some(order * 10 + digit)).unwrap();
            })
        };
        let ends = Arc::clone(&order);
        let programs: Vec<(usize, Program)> = vec![
            (0, waiter(Box::pin(first.1), 1)),
            (1, waiter(Box::pin(second.1), 2)),
            (
                2,
                Box::new(move || {
                    // After a tick both waiters wait for certain.
                    ntsim::advance_time(TICK.cast_unsigned());
                    signals[1].signal.set();
                    while ends.load(SeqCst) == 0 {
                        ntsim::advance_time(TICK.cast_unsigned());
                    }
                    signals[0].signal.set();
                }),
            ),
        ];
        let mut kernel = Simulation::new(Config { processors: 3, ..Config::default() }, Schedule::seed(seed));
        kernel.run(programs).unwrap();
        kernel.unload().unwrap();
        assert_eq!(order.load(SeqCst), 21, "seed {seed}");
    }
}

#[test]
fn above_passive_level_only_zero_is_waited_for() {
    in_kernel(|| {
        for operation in [spawn_async_operation(pending()), spawn_async_operation(async { 7_u8 })] {
            let control = operation.control().unwrap();
            for level in [1, 2] {
                // SAFETY: this runs at PASSIVE_LEVEL, and the IRQL is lowered below.
                let irql = unsafe { ddi::KfRaiseIrql(level) };
                for timeout in [None, Some(-1), Some(1), Some(i64::MIN), Some(i64::MAX)] {
                    assert_eq!(wait(&control, timeout), NTSTATUS::NOT_SUPPORTED, "{timeout:?}");
                }
                let ended = operation.status().unwrap().is_terminal();
                let expected = if ended { NTSTATUS::SUCCESS } else { NTSTATUS::TIMEOUT };
                assert_eq!(wait(&control, Some(0)), expected);
                // SAFETY: `irql` is the level that the raise returned.
                unsafe { ddi::KeLowerIrql(irql) };
            }
            control.cancel().unwrap();
        }
    });
}

#[test]
fn a_timeout_needs_no_alignment() {
    in_kernel(|| {
        let operation = spawn_async_operation(pending::<u8>());
        let control = operation.control().unwrap();
        let mut bytes = [0_u8; 9];
        bytes[1..].copy_from_slice(&(-1_i64).to_le_bytes());
        // SAFETY: the operation is ours, and alive.
        let table = unsafe { control.as_ptr().read() }.vtbl;
        // SAFETY: our operations have a complete table.
        let wait = unsafe { &*table }.wait.unwrap();
        // SAFETY: the operation is alive, and the timeout is readable.
        assert_eq!(unsafe { wait(control.as_ptr().cast(), bytes[1..].as_ptr().cast()) }, NTSTATUS::TIMEOUT);
        control.cancel().unwrap();
    });
}

/// The state that several processors share, with an operation's signal, and the numbers of waiters
/// and handlers that have been told.
struct Shared {
    signal: Signal,
    told: AtomicUsize,
    handled: AtomicUsize,
}

fn shared() -> (Arc<Shared>, impl Future<Output = u8> + Send + 'static) {
    let shared =
        Arc::new(Shared { signal: Signal::new(), told: AtomicUsize::new(0), handled: AtomicUsize::new(0) });
    let inside = Arc::clone(&shared);
    (shared, async move {
        inside.signal.wait().await;
        7
    })
}

unsafe extern "system" fn handled(context: *mut c_void, status: RawAsyncStatus) {
    // SAFETY: the context is the tests' `Shared`, which they keep until every run is over.
    let shared = unsafe { &*context.cast::<Shared>() };
    assert_eq!(status, AsyncStatus::Completed.into());
    assert_eq!(shared.handled.fetch_add(1, SeqCst), 0, "once");
}

/// An end at the moment when the time runs out counts as an end `[C15]`.
#[test]
fn an_end_at_the_moment_at_which_the_time_runs_out_is_an_end() {
    let mut answers = Vec::new();
    for seed in 0..200 {
        let mut kernel = Simulation::new(Config { processors: 2, ..Config::default() }, Schedule::seed(seed));
        let answer = std::rc::Rc::new(core::cell::Cell::new(NTSTATUS::PENDING));
        let told = std::rc::Rc::clone(&answer);
        let (shared, body) = shared();
        let waiting = move || {
            let operation = spawn_async_operation(body);
            let control = operation.control().unwrap();
            told.set(wait(&control, Some(-TICK)));
            let ended = operation.status().unwrap().is_terminal();
            assert!(ended || told.get() == NTSTATUS::TIMEOUT, "success while it has not ended");
            assert_eq!(wait(&control, None), NTSTATUS::SUCCESS);
        };
        let ending = move || {
            let other = spawn_async_operation(pending::<u8>());
            assert_eq!(wait(&other.control().unwrap(), Some(-TICK)), NTSTATUS::TIMEOUT);
            shared.signal.set();
        };
        let run = kernel.programs().on(0, waiting).on(1, ending).run();
        run.unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        answers.push(answer.get());
    }
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    let both = [count(NTSTATUS::SUCCESS), count(NTSTATUS::TIMEOUT)];
    assert!(
        both[0] > 0 && both[1] > 0 && both[0] + both[1] == answers.len(),
        "each of the two happens: {both:?}"
    );
}

/// Some processors wait for ever, one gives up, a handler is set, and another processor ends the
/// operation. Every waiter is woken, and no event is set after it has gone.
fn waiters(kernel: &mut Simulation, waiters: usize) -> Result<(), ntsim::Stop> {
    type Operation = ComRc<AsyncOperationRaw<u8>>;
    let place: Arc<std::sync::Mutex<Vec<Operation>>> = Arc::default();
    let (shared, body) = shared();
    let made = Arc::clone(&place);
    let context = Arc::clone(&shared);
    kernel.run_on(0, move || {
        let operation = spawn_async_operation(body);
        let context = Arc::as_ptr(&context).cast_mut().cast();
        // SAFETY: the test keeps the context until the run is over.
        unsafe { operation.control().unwrap().set_completed(handled, context) }.unwrap();
        made.lock().unwrap().extend((0..waiters).map(|_| operation.clone()));
    })?;
    let mut programs: Vec<(usize, Program)> = (0..waiters)
        .map(|index| -> (usize, Program) {
            let operation = place.lock().unwrap().pop().unwrap();
            let shared = Arc::clone(&shared);
            let program = move || {
                let control = operation.control().unwrap();
                // The wait and the control have their own references.
                drop(operation);
                let timeout = if index == 0 { Some(-1) } else { None };
                let answer = wait(&control, timeout);
                assert!(index == 0 || answer == NTSTATUS::SUCCESS, "{answer}");
                if answer == NTSTATUS::SUCCESS {
                    assert_eq!(control.error(), Ok(NTSTATUS::SUCCESS));
                }
                shared.told.fetch_add(1, SeqCst);
            };
            (index, Box::new(program))
        })
        .collect();
    let ending = Arc::clone(&shared);
    programs.push((waiters, Box::new(move || ending.signal.set())));
    kernel.run(programs)?;
    assert_eq!(shared.told.load(SeqCst), waiters);
    assert_eq!(shared.handled.load(SeqCst), 1);
    kernel.unload()
}

#[test]
fn several_wait_at_once_beside_a_handler() {
    for seed in 0..400 {
        let mut kernel = Simulation::new(Config { processors: 4, ..Config::default() }, Schedule::seed(seed));
        waiters(&mut kernel, 3).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

#[test]
fn every_schedule_with_two_preemptions_tells_the_waiting_threads() {
    for count in [1, 2] {
        let config = Config { processors: count + 1, ..Config::default() };
        let limits = Limits { preemptions: Some(2), runs: 20_000, ..Limits::default() };
        let explored = explore(config, limits, move |kernel| waiters(kernel, count));
        let Exploration { runs, complete, finding, .. } = explored;
        assert!(finding.is_none(), "{finding:?}");
        assert!(complete || runs >= 20_000, "{runs} runs");
        assert!(runs > 100, "{runs} runs");
    }
}

/// The caller's reference may go while it waits, and then the wait has the last one.
#[test]
fn a_wait_keeps_its_operation() {
    in_kernel(|| {
        let held: Arc<std::sync::Mutex<Option<ComRc<AsyncControlRaw>>>> = Arc::default();
        let inside = Arc::clone(&held);
        let mut slept = None;
        let operation = spawn_async_operation(poll_fn(move |context| {
            let sleep = slept.get_or_insert_with(|| Box::pin(sleep(Duration::from_millis(20))));
            let polled = sleep.as_mut().poll(context);
            if polled.is_ready() {
                // This is the last reference except for the wait's and this poll's.
                drop(inside.lock().unwrap().take());
                return Poll::Ready(7_u8);
            }
            Poll::Pending
        }));
        let control = operation.control().unwrap();
        let this = control.as_ptr();
        // SAFETY: the operation is ours, and alive.
        let table = unsafe { this.read() }.vtbl;
        // SAFETY: our operations have a complete table.
        let wait = unsafe { &*table }.wait.unwrap();
        *held.lock().unwrap() = Some(control);
        drop(operation);
        // SAFETY: a reference is in `held` when the call begins.
        assert_eq!(unsafe { wait(this.cast(), ptr::null()) }, NTSTATUS::SUCCESS);
        assert!(held.lock().unwrap().is_none());
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

/// A wait for an operation that never ends makes a run without an end. The simulated kernel reports
/// it, with the waiters.
#[test]
fn a_wait_for_what_never_ends_is_reported() {
    let run = try_in_kernel(|| {
        let kept: Arc<std::sync::Mutex<Option<core::task::Waker>>> = Arc::default();
        let inside = Arc::clone(&kept);
        let operation = spawn_async_operation(poll_fn(move |context| {
            *inside.lock().unwrap() = Some(context.waker().clone());
            Poll::<u8>::Pending
        }));
        let _never = wait(&operation.control().unwrap(), None);
    });
    assert!(run.is_err(), "{run:?}");
}
