//! Tests of requests of a framework that is neither ours nor the I/O manager's, like KMDF.
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
    IrpOutcome, NTSTATUS, Request, RequestStorage, TaskBuilder, TaskTracker, default_tracker, on_cancel,
    request_cancelled, spawn_request_task,
};
use ntsim::{
    Config, Limits, Simulation, Stop, explore,
    sync::{AtomicU32, Ordering},
};

/// The request is not cancellable.
const PLAIN: u32 = 0;
/// A cancel calls the routine.
const CANCELLABLE: u32 = 1;
/// The request is cancelled. The routine has been or is being called, or there was none.
const CANCELLED: u32 = 2;

/// A framework's request, with the context that the driver has configured.
struct Framework {
    storage: UnsafeCell<MaybeUninit<RequestStorage>>,
    state: AtomicU32,
    completed: Mutex<Option<IrpOutcome>>,
}

/// A handle of a request, like a WDFREQUEST.
#[derive(Clone, Copy)]
struct Handle(&'static Framework);

// SAFETY: the storage is the task's, and all other fields are atomic or locked.
unsafe impl Send for Handle {}

impl Handle {
    fn new() -> Self {
        Self(Box::leak(Box::new(Framework {
            storage: UnsafeCell::new(MaybeUninit::uninit()),
            state: AtomicU32::new(PLAIN),
            completed: Mutex::new(None),
        })))
    }
    /// Cancels the request, as the framework does when the I/O manager tells it to.
    fn cancel(self) {
        if self.0.state.swap(CANCELLED, Ordering::AcqRel) == CANCELLABLE {
            // SAFETY: the swap took out the routine that `set_cancel_routine` set, so this calls it
            // once.
            unsafe { request_cancelled(self) };
        }
    }
    fn outcome(self) -> Option<IrpOutcome> {
        *self.0.completed.lock().unwrap()
    }
    fn serve(self, body: impl Future<Output = IrpOutcome> + Send + 'static) {
        // SAFETY: the request is new.
        unsafe { spawn_request_task(self, body, |task| TaskBuilder::new().spawn(task)) }
    }
}

// SAFETY: 1. the storage is in a block that is never freed. 2. The state goes from CANCELLABLE to
// CANCELLED, and then the routine is called, or to PLAIN, and the exchange tells its caller so. 3.
// Those exchanges order the writes. 4. No method needs a lower IRQL.
unsafe impl Request for Handle {
    fn storage(self) -> *mut RequestStorage {
        self.0.storage.get().cast()
    }
    unsafe fn begin(self) {}
    unsafe fn set_cancel_routine(self) -> bool {
        self.0.state.compare_exchange(PLAIN, CANCELLABLE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
    unsafe fn clear_cancel_routine(self) -> bool {
        self.0.state.compare_exchange(CANCELLABLE, PLAIN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
    unsafe fn complete(self, outcome: IrpOutcome) {
        assert_ne!(
            self.0.state.load(Ordering::Acquire),
            CANCELLABLE,
            "the request is completed while it is cancellable"
        );
        assert_eq!(self.0.completed.lock().unwrap().replace(outcome), None, "completed once");
    }
}

const DONE: IrpOutcome = IrpOutcome { status: NTSTATUS::SUCCESS, information: 3 };

/// One processor serves the request, one lets the body end, and one cancels. Returns the outcome.
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
    kernel.programs().on(0, serve).on(1, cancel).on(2, move || event.set()).run()?;
    kernel.unload()?;
    let cancelled = IrpOutcome::from(NTSTATUS::CANCELLED);
    let outcome = request.outcome().unwrap();
    assert!(outcome == DONE || (cancels && outcome == cancelled), "{outcome:?}");
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
        kernel.programs().on(0, move || request.serve(pending())).on(1, move || request.cancel()).run()?;
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

/// While the task has not ended, the task gives the outcome of the request, whatever `spawn`
/// returns.
#[test]
fn a_task_completes_its_request_even_if_spawn_reports_a_refusal() {
    let event = Event::default();
    let waited = event.wait();
    common::in_kernel(move || {
        let serve = |request: Handle, body: Pin<Box<dyn Future<Output = IrpOutcome> + Send>>| {
            // SAFETY: the request is new.
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
        assert_eq!(lives.outcome(), None, "the task still serves the request");
        event.set();
        assert_eq!(lives.outcome(), Some(DONE));
        serve(ended, Box::pin(async { DONE }));
        assert_eq!(ended.outcome(), Some(NTSTATUS::UNSUCCESSFUL.into()));
    });
}
