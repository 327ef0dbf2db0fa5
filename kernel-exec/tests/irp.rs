//! Tests of IRPs served by tasks. Each is completed once, with the right status, whatever the order
//! of cancels.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]
#![allow(dead_code, reason = "what the tests share is more than these use")]

mod common;
mod work_items;

use core::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn, ready},
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    task::Poll,
};
use std::{rc::Rc, sync::Arc};

use common::{Event, Log};
use ntcom_exec::{
    DpcOptions, IrpOutcome, IrpTask, Migrating, NTSTATUS, OnWorkItems, TaskBuilder, TaskTracker,
    default_tracker, on_cancel, passive, spawn_irp_task, take_cancellation_request, try_finally, yield_now,
};
use ntsim::{
    Config, Limits, Program, Schedule, Simulation, Stop, ddi, explore,
    types::{IRP_MJ_READ, PDEVICE_OBJECT, PIRP, PVOID, STATUS_MORE_PROCESSING_REQUIRED},
};
use work_items::{Device, wait_a_moment};

type Body = Pin<Box<dyn Future<Output = IrpOutcome> + Send>>;

/// The kind of task that serves a request.
#[derive(Clone, Copy, PartialEq, Debug)]
enum On {
    Dpcs,
    Migrating,
    WorkItems,
}

/// The next request's body, and the kind of task that serves it.
#[derive(Default)]
struct Next(RefCell<Option<(On, Body)>>);

fn next() -> &'static Next {
    // SAFETY: image state lives until the simulation is reset, which no test's run outlives.
    unsafe { &*ntsim::image_state::<Next>() }
}

unsafe extern "C" fn dispatch(device: PDEVICE_OBJECT, irp: PIRP) -> i32 {
    let (on, body) = next().0.borrow_mut().take().unwrap();
    let spawn = |task: IrpTask<Body>| match on {
        On::Dpcs => TaskBuilder::new().spawn(task),
        On::Migrating => {
            // SAFETY: this is the device that the IRP was sent to.
            let placement = unsafe { Migrating::new(DpcOptions::new(), device) };
            TaskBuilder::new().on(placement).spawn(task)
        }
        // SAFETY: the device that the IRP was sent to.
        On::WorkItems => TaskBuilder::new().on(unsafe { OnWorkItems::of(device) }).spawn(task),
    };
    // SAFETY: the IRP is new, and this is its last use.
    let status = unsafe { spawn_irp_task(irp, body, spawn) };
    assert_eq!(status, NTSTATUS::PENDING);
    status.0
}

/// The status and information with which a request ended, or `None` until it has ended.
type Ended = Rc<Cell<Option<(u32, usize)>>>;

unsafe extern "C" fn completed(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> i32 {
    // SAFETY: this is the context of `Request::send`, which lives until the request has been freed.
    let ended = unsafe { &*context.cast::<Cell<Option<(u32, usize)>>>() };
    // SAFETY: the IRP is being completed.
    let status = unsafe { (*irp).IoStatus };
    let before = ended.replace(Some((status.Status as u32, status.Information as usize)));
    assert_eq!(before, None, "a request is completed once");
    STATUS_MORE_PROCESSING_REQUIRED
}

/// A read that has been sent to the driver.
#[derive(Clone)]
struct Request {
    irp: PIRP,
    ended: Ended,
}

impl Request {
    fn send(device: Device, on: On, body: impl Future<Output = IrpOutcome> + Send + 'static) -> Self {
        Self::send_to(dispatch, device, on, body)
    }

    fn send_to(
        dispatch: unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> i32,
        device: Device,
        on: On,
        body: impl Future<Output = IrpOutcome> + Send + 'static,
    ) -> Self {
        let ended = Ended::default();
        // SAFETY: this is the driver's own object, and an index that it has.
        unsafe { (*ntsim::driver_object()).MajorFunction[IRP_MJ_READ] = dispatch as *mut _ };
        *next().0.borrow_mut() = Some((on, Box::pin(body)));
        // SAFETY: called in a run.
        let irp = unsafe { ddi::IoAllocateIrp(1, 0) };
        // SAFETY: the IRP has a stack location.
        let location = unsafe { ddi::IoGetNextIrpStackLocation(irp) };
        // SAFETY: this is the IRP's next location.
        unsafe { (*location).MajorFunction = IRP_MJ_READ as u8 };
        let context = Rc::as_ptr(&ended).cast_mut().cast();
        // SAFETY: the IRP has a stack location; the context lives as long as the request.
        unsafe { ddi::IoSetCompletionRoutine(irp, Some(completed), context, 1, 1, 1) };
        // SAFETY: the device's driver has a dispatch routine.
        let status = unsafe { ddi::IofCallDriver(device.0, irp) };
        assert_eq!(status, NTSTATUS::PENDING.0);
        Self { irp, ended }
    }

    /// Asks for an end, as the sender may until it frees the IRP.
    fn cancel(&self) {
        // SAFETY: the IRP is not freed.
        unsafe { ddi::IoCancelIrp(self.irp) };
    }

    /// Waits for the end, and frees the IRP.
    fn end(self) -> (u32, usize) {
        let mut moments = 0;
        while self.ended.get().is_none() {
            wait_a_moment();
            moments += 1;
            assert!(moments < 100, "the request does not end");
        }
        // SAFETY: the IRP is completed, and the completion routine kept it.
        unsafe { ddi::IoFreeIrp(self.irp) };
        self.ended.get().unwrap()
    }
}

const SUCCESS: u32 = 0;
const CANCELLED: u32 = 0xC000_0120;

const EACH: [On; 3] = [On::Dpcs, On::Migrating, On::WorkItems];

/// Runs a test for each kind of task, in schedules of one to three processors.
fn for_each(seeds: u64, test: impl Fn(Device, On) + Clone + 'static) {
    for on in EACH {
        for seed in 0..seeds {
            let config = Config { processors: 1 + (seed % 3) as usize, ..Config::default() };
            let mut kernel = Simulation::new(config, Schedule::seed(seed));
            let test = test.clone();
            let program: Program = Box::new(move || {
                let device = Device::new();
                test(device, on);
                device.delete();
            });
            let run = kernel.run_on(0, program).and_then(|()| kernel.unload());
            run.unwrap_or_else(|stop| panic!("{on:?}, seed {seed}: {stop}"));
        }
    }
}

#[test]
fn a_request_is_completed_with_what_the_body_returns() {
    for_each(40, |device, on| {
        let at_once =
            Request::send(device, on, ready(IrpOutcome { status: NTSTATUS::SUCCESS, information: 7 }));
        assert_eq!(at_once.end(), (SUCCESS, 7));
        let event = Event::default();
        let waited = event.wait();
        let later = Request::send(device, on, async move {
            waited.await;
            yield_now().await;
            NTSTATUS::UNSUCCESSFUL.into()
        });
        assert_eq!(later.ended.get(), None);
        event.set();
        assert_eq!(later.end(), (0xC000_0001, 0));
    });
}

#[test]
fn pending_is_no_outcome() {
    for_each(1, |device, on| {
        let request = Request::send(device, on, ready(NTSTATUS::PENDING.into()));
        assert_eq!(request.end(), (0xC000_0183, 0));
    });
}

#[test]
fn a_cancelled_request_ends_its_task() {
    for_each(60, |device, on| {
        let log = Log::default();
        let (guard, cleanup) = (log.on_drop("dropped"), log.clone());
        let request = Request::send(device, on, async move {
            let _guard = guard;
            try_finally(pending::<()>(), cleanup.entry("cleanup")).await;
            NTSTATUS::UNSUCCESSFUL.into()
        });
        request.cancel();
        request.cancel();
        // The body has cleaned up, and gives the outcome itself.
        assert_eq!(request.end(), (0xC000_0001, 0));
        assert_eq!(log.take(), ["cleanup", "dropped"]);
        let request = Request::send(device, on, async {
            on_cancel(pending(), ready(())).await.unwrap_or(NTSTATUS::CANCELLED.into())
        });
        request.cancel();
        assert_eq!(request.end(), (CANCELLED, 0));
        let request = Request::send(device, on, pending());
        request.cancel();
        assert_eq!(request.end(), (CANCELLED, 0));
    });
}

#[test]
fn a_body_that_takes_the_request_says_what_it_comes_to() {
    for_each(40, |device, on| {
        let stopped = poll_fn(|_| if take_cancellation_request() { Poll::Ready(()) } else { Poll::Pending });
        let request = Request::send(device, on, async move {
            stopped.await;
            IrpOutcome { status: NTSTATUS::SUCCESS, information: 1 }
        });
        request.cancel();
        assert_eq!(request.end(), (SUCCESS, 1));
    });
}

/// Without a device a task on work items is refused, and so is every task once the tracker is
/// closed.
#[test]
fn a_request_is_completed_with_the_reason_if_its_task_is_refused() {
    for_each(20, |device, on| {
        let alive = Arc::new(());
        let inside = Arc::clone(&alive);
        default_tracker(TaskTracker::close);
        let request = Request::send(device, on, async move {
            drop(inside);
            NTSTATUS::SUCCESS.into()
        });
        assert_eq!(
            request.ended.get(),
            Some((0xC000_0056, 0)),
            "completed before the dispatch routine returned"
        );
        assert_eq!(Arc::strong_count(&alive), 1);
        request.end();
    });
    for_each(1, |device, _| {
        // The first allocation is the IRP itself, so the second fails.
        ntsim::fail_allocation(1);
        let request = Request::send(device, On::Dpcs, pending());
        assert_eq!(request.end(), (0xC000_009A, 0));
    });
}

#[test]
fn a_request_that_was_cancelled_before_it_came_is_cancelled() {
    for_each(20, |device, on| {
        let request = Request::send_to(dispatch_cancelled, device, on, pending());
        assert_eq!(request.end(), (CANCELLED, 0));
    });
}

/// A dispatch routine for an IRP that was cancelled on its way here. `Cancel` is set, and there was
/// no routine to call.
unsafe extern "C" fn dispatch_cancelled(device: PDEVICE_OBJECT, irp: PIRP) -> i32 {
    // SAFETY: the IRP is not freed.
    assert_eq!(unsafe { ddi::IoCancelIrp(irp) }, 0, "the IRP has no cancel routine yet");
    // SAFETY: the IRP is new to `dispatch`, and this is its last use here.
    unsafe { dispatch(device, irp) }
}

/// One processor sends the request and frees it at its end, another cancels it, and a third lets
/// the body end.
fn race(kernel: &mut Simulation, on: On, cancels: bool) -> Result<(), Stop> {
    let event = Event::default();
    let waited = event.wait();
    let request: Rc<RefCell<Option<Request>>> = Rc::default();
    let outcome = Rc::new(Cell::new(None));
    let cancelled = Arc::new(AtomicU32::new(u32::from(!cancels)));
    let (sent, result, cancel_done) = (Rc::clone(&request), Rc::clone(&outcome), Arc::clone(&cancelled));
    let sender: Program = Box::new(move || {
        let device = Device::new();
        let new = Request::send(device, on, async move {
            waited.await;
            IrpOutcome { status: NTSTATUS::SUCCESS, information: 1 }
        });
        *sent.borrow_mut() = Some(new.clone());
        while cancel_done.load(SeqCst) == 0 {
            wait_a_moment();
        }
        result.set(Some(new.end()));
        device.delete();
    });
    let canceler: Program = Box::new(move || {
        if !cancels {
            return;
        }
        while request.borrow().is_none() {
            wait_a_moment();
        }
        let sent = request.borrow_mut().take().unwrap();
        sent.cancel();
        cancelled.store(1, SeqCst);
    });
    let setter: Program = Box::new(move || event.set());
    kernel.programs().on(0, sender).on(1, canceler).on(2, setter).run()?;
    kernel.unload()?;
    let outcome = outcome.get().unwrap();
    assert!(outcome == (SUCCESS, 1) || (cancels && outcome == (CANCELLED, 0)), "{outcome:?}");
    Ok(())
}

#[test]
fn cancelling_and_ending_at_once_completes_once() {
    for on in EACH {
        let mut outcomes = 0;
        for seed in 0..400 {
            let config = Config { processors: 3, ..Config::default() };
            let mut kernel = Simulation::new(config, Schedule::seed(seed));
            race(&mut kernel, on, seed % 4 != 0).unwrap_or_else(|stop| panic!("{on:?}, seed {seed}: {stop}"));
            outcomes += 1;
        }
        assert_eq!(outcomes, 400);
    }
}

/// The dispatch routine runs on one processor, the body ends on another, and a third cancels. Each
/// way to preempt once is tried.
#[test]
fn every_way_to_preempt_the_dispatch_routine_completes_once() {
    for cancels in [false, true] {
        let config = Config { processors: 3, ..Config::default() };
        let limits = Limits { preemptions: Some(1), runs: 60_000, ..Limits::default() };
        let explored = explore(config, limits, |kernel| race(kernel, On::Dpcs, cancels));
        if let Some(finding) = &explored.finding {
            panic!("cancels: {cancels}: {}", finding.stop);
        }
        assert!(explored.runs > 100, "{} runs", explored.runs);
    }
}

#[test]
fn a_body_goes_to_passive_level_and_back() {
    for_each(30, |device, on| {
        let request = Request::send(device, on, async move {
            let expected = if on == On::Dpcs { Err(NTSTATUS::NOT_SUPPORTED) } else { Ok(0) };
            assert_eq!(passive(async { ntsim::irql() }).await, expected);
            NTSTATUS::SUCCESS.into()
        });
        assert_eq!(request.end(), (SUCCESS, 0));
    });
}
