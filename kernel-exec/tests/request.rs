//! Requests of a framework that is neither ours nor the I/O manager's: one like KMDF's.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]
#![allow(dead_code, reason = "what the tests share is more than these use")]

mod common;

use core::{
    cell::UnsafeCell,
    future::{Future, pending},
    mem::MaybeUninit,
    pin::Pin,
};
use std::{rc::Rc, sync::Mutex};

use common::{Event, Log, kernel, program};
use ntcom_exec::{
    IrpOutcome, NTSTATUS, Request, RequestRoom, TaskBuilder, TaskTracker, default_tracker, on_cancel,
    request_canceled, spawn_request_task,
};
use ntsim::{
    Config, Limits, Simulation, Stop, explore,
    sync::{AtomicU32, Ordering},
};

/// Not cancelable.
const PLAIN: u32 = 0;
/// Cancelling calls the routine.
const CANCELABLE: u32 = 1;
/// Cancelled: the routine has been or is being called, or there was none.
const CANCELED: u32 = 2;

/// A framework's request, with the context that the driver has configured.
struct Framework {
    room: UnsafeCell<MaybeUninit<RequestRoom>>,
    state: AtomicU32,
    completed: Mutex<Option<IrpOutcome>>,
}

/// As a WDFREQUEST: a handle.
#[derive(Clone, Copy)]
struct Handle(&'static Framework);

// SAFETY: the room is the task's; all else is atomic.
unsafe impl Send for Handle {}

impl Handle {
    fn new() -> Self {
        Self(Box::leak(Box::new(Framework {
            room: UnsafeCell::new(MaybeUninit::uninit()),
            state: AtomicU32::new(PLAIN),
            completed: Mutex::new(None),
        })))
    }
    /// As the framework does it when the I/O manager tells it to.
    fn cancel(self) {
        if self.0.state.swap(CANCELED, Ordering::AcqRel) == CANCELABLE {
            // SAFETY: the routine that `set_cancelable` set, once.
            unsafe { request_canceled(self) };
        }
    }
    fn outcome(self) -> Option<IrpOutcome> {
        *self.0.completed.lock().unwrap()
    }
    fn serve(self, body: impl Future<Output = IrpOutcome> + Send + 'static) {
        // SAFETY: a new request.
        unsafe { spawn_request_task(self, body, |task| TaskBuilder::new().spawn(task)) }
    }
}

// SAFETY: 1. the room is in a block that is never freed; 2. the state goes from CANCELABLE to CANCELED, and then the routine is called, or to PLAIN by
// the one who is told so; 3. by that; 4. none of this is for less.
unsafe impl Request for Handle {
    fn room(self) -> *mut RequestRoom {
        self.0.room.get().cast()
    }
    unsafe fn begin(self) {}
    unsafe fn set_cancelable(self) -> bool {
        self.0.state.compare_exchange(PLAIN, CANCELABLE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
    unsafe fn take_cancelable(self) -> bool {
        self.0.state.compare_exchange(CANCELABLE, PLAIN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
    unsafe fn complete(self, outcome: IrpOutcome) {
        assert_ne!(self.0.state.load(Ordering::Acquire), CANCELABLE, "completed while it is cancelable");
        assert_eq!(self.0.completed.lock().unwrap().replace(outcome), None, "completed once");
    }
}

const DONE: IrpOutcome = IrpOutcome { status: NTSTATUS::SUCCESS, information: 3 };

/// One processor serves, one lets the body end, one cancels. How it ended.
fn race(kernel: &mut Simulation, cancels: bool) -> Result<IrpOutcome, Stop> {
    let (request, event) = (Handle::new(), Event::default());
    let waited = event.wait();
    let serve = program(move || {
        request.serve(async move {
            waited.await;
            DONE
        });
    });
    let cancel = program(move || {
        if cancels {
            request.cancel();
        }
    });
    kernel.run(vec![(0, serve), (1, cancel), (2, program(move || event.set()))])?;
    kernel.unload()?;
    let canceled = IrpOutcome::from(NTSTATUS::CANCELLED);
    let outcome = request.outcome().unwrap();
    assert!(outcome == DONE || (cancels && outcome == canceled), "{outcome:?}");
    Ok(outcome)
}

#[test]
fn a_request_is_completed_once_under_every_schedule_with_two_preemptions() {
    for cancels in [false, true] {
        let config = Config { processors: 3, ..Config::default() };
        let limits = Limits { preemptions: Some(2), runs: 40_000, ..Limits::default() };
        let explored = explore(config, limits, |kernel| race(kernel, cancels).map(drop));
        if let Some(finding) = &explored.finding {
            panic!("cancels: {cancels}: {}", finding.stop);
        }
        assert!(explored.runs > 100, "{} runs", explored.runs);
    }
}

/// The cancel routine finds the task's handle from the moment on at which it can be called.
#[test]
fn a_request_that_only_its_cancel_ends_is_cancelled_under_every_schedule() {
    let config = Config { processors: 2, ..Config::default() };
    let limits = Limits { preemptions: Some(2), runs: 40_000, ..Limits::default() };
    let explored = explore(config, limits, |kernel| {
        let request = Handle::new();
        kernel.run(vec![
            (0, program(move || request.serve(pending()))),
            (1, program(move || request.cancel())),
        ])?;
        assert_eq!(request.outcome(), Some(NTSTATUS::CANCELLED.into()));
        kernel.unload()
    });
    if let Some(finding) = &explored.finding {
        panic!("{}", finding.stop);
    }
    assert!(explored.complete && explored.runs > 10, "{explored:?}");
}

#[test]
fn a_request_is_completed_once_under_many_schedules() {
    let mut done = 0;
    for seed in 0..1000 {
        let mut kernel = kernel(3, seed);
        let outcome = race(&mut kernel, true).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        done += u32::from(outcome == DONE);
    }
    assert!((1..1000).contains(&done), "{done} of 1000 ended before they were cancelled");
}

#[test]
fn a_request_that_was_cancelled_before_is_cancelled_and_one_that_is_refused_says_why() {
    let log = Log::default();
    let cleanup = log.clone();
    let requests = Rc::new([0; 2].map(|_| Handle::new()));
    let inside = Rc::clone(&requests);
    common::in_kernel(move || {
        let [before, refused] = *inside;
        before.cancel();
        before.serve(async {
            on_cancel(pending(), cleanup.entry("cleanup")).await.unwrap_or(NTSTATUS::CANCELLED.into())
        });
        assert_eq!(before.outcome(), Some(NTSTATUS::CANCELLED.into()));
        default_tracker(TaskTracker::close);
        refused.serve(pending());
        assert_eq!(refused.outcome(), Some(NTSTATUS::DELETE_PENDING.into()));
    });
    assert_eq!(log.take(), ["cleanup"]);
}

/// It is the task's to say what the request came to as long as it has not ended, whatever `spawn` says.
#[test]
fn what_is_spawned_and_said_to_be_refused_is_completed_by_its_task() {
    let event = Event::default();
    let waited = event.wait();
    common::in_kernel(move || {
        let serve = |request: Handle, body: Pin<Box<dyn Future<Output = IrpOutcome> + Send>>| {
            // SAFETY: a new request.
            unsafe {
                spawn_request_task(request, body, |task| {
                    let handle = TaskBuilder::new().spawn(task)?;
                    drop(handle);
                    Err(NTSTATUS::UNSUCCESSFUL)
                });
            }
        };
        let (lives, ended) = (Handle::new(), Handle::new());
        serve(
            lives,
            Box::pin(async move {
                waited.await;
                DONE
            }),
        );
        assert_eq!(lives.outcome(), None, "it is served still");
        event.set();
        assert_eq!(lives.outcome(), Some(DONE));
        serve(ended, Box::pin(async { DONE }));
        assert_eq!(ended.outcome(), Some(NTSTATUS::UNSUCCESSFUL.into()));
    });
}
