//! A routine that is still running after its last kernel call. Every source of schedules finds the
//! driver that treats it as finished.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{cell::Cell, ffi::c_void, ptr::null_mut};
use std::rc::Rc;

use common::{io::*, irps::*, waiting::*, *};
use ntsim::{
    Config, Exploration, Limits, Schedule, Simulation, Stop, ddi, etw, explore,
    types::{_WORK_QUEUE_TYPE::NormalWorkQueue, *},
};

const RUNS: u64 = 300;

/// Returns how many seeds and how many PCT runs stop, and the result of `explore`.
fn hunted(
    plain_memory: bool,
    round: impl Fn(&mut Simulation) -> Result<(), Stop>,
) -> (u64, u64, Exploration) {
    let config = Config { step_limit: 20_000, ..processors(2) };
    let limits = Limits { plain_memory, ..Limits::default() };
    let explored = explore(config, limits, &round);
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let mut stopped = |make: fn(u64) -> Schedule| {
        let stops = |seed: &u64| {
            kernel.reset(config, make(*seed));
            round(&mut kernel).is_err()
        };
        (0..RUNS).filter(stops).count() as u64
    };
    let seeds = stopped(Schedule::seed);
    (seeds, stopped(|seed| Schedule::pct(seed, 3, 60)), explored)
}

/// Checks that the bug is found where the routine has returned for its driver, but not for the
/// kernel. There is a point between its last step and its return.
#[track_caller]
fn is_found(what: &str, round: impl Fn(&mut Simulation) -> Result<(), Stop>) -> Stop {
    found(what, false, round)
}

/// Checks that the bug is found where the routine continues after its last call. There is a point
/// after a call.
#[track_caller]
fn is_found_behind_a_call(what: &str, round: impl Fn(&mut Simulation) -> Result<(), Stop>) {
    found(what, true, round);
}

#[track_caller]
fn found(what: &str, plain_memory: bool, round: impl Fn(&mut Simulation) -> Result<(), Stop>) -> Stop {
    let (seeds, pct, explored) = hunted(plain_memory, round);
    assert!(seeds > 0 && pct > 0, "{what}: {seeds} of {RUNS} seeds, {pct} of {RUNS} PCT runs");
    let finding =
        explored.finding.unwrap_or_else(|| panic!("{what}: not by explore, in {} runs", explored.runs));
    finding.stop
}

#[track_caller]
fn is_clean(what: &str, round: impl Fn(&mut Simulation) -> Result<(), Stop>) {
    let (seeds, pct, explored) = hunted(true, round);
    assert_eq!((seeds, pct), (0, 0), "{what}");
    assert!(explored.finding.is_none() && explored.complete, "{what}: {explored:?}");
}

fn flush() {
    // SAFETY: this runs inside a simulation run, at PASSIVE_LEVEL.
    unsafe { ddi::KeFlushQueuedDpcs() }
}

/// Unloads a driver that waits for the event that a DPC sets last, and then for the DPC itself if
/// `flushes`.
fn unload_after_a_dpc(kernel: &mut Simulation, flushes: bool) -> Result<(), Stop> {
    kernel.unload_with(
        0,
        program(move || {
            let event = Event::notification();
            let dpc = Dpc::new(move || _ = event.set()).target(1);
            dpc.insert();
            wait(&event, None);
            if flushes {
                flush();
            }
            dpc.free();
            event.free();
        }),
    )
}

#[test]
fn a_dpc_that_has_set_its_event_has_not_returned() {
    let stop = is_found("DPC", |kernel| unload_after_a_dpc(kernel, false));
    assert!(matches!(stop, Stop::BugCheck(bug) if bug.code == 0xCE));
    is_clean("DPC", |kernel| unload_after_a_dpc(kernel, true));
}

fn unload_after_a_timer(kernel: &mut Simulation, flushes: bool) -> Result<(), Stop> {
    kernel.unload_with(
        0,
        program(move || {
            let event = Event::notification();
            let (timer, dpc) = (Timer::new(), Dpc::new(move || _ = event.set()).target(1));
            timer.set(-1, Some(dpc));
            wait(&event, None);
            if flushes {
                flush();
            }
            timer.free();
            dpc.free();
            event.free();
        }),
    )
}

#[test]
fn a_timers_dpc_that_has_set_its_event_has_not_returned() {
    is_found("timer", |kernel| unload_after_a_timer(kernel, false));
    is_clean("timer", |kernel| unload_after_a_timer(kernel, true));
}

#[test]
fn a_thread_that_has_set_its_event_has_not_ended() {
    let unload = |kernel: &mut Simulation, joins: bool| {
        kernel.unload_with(
            0,
            program(move || {
                let event = Event::notification();
                let body = move || _ = event.set();
                if joins {
                    let thread = Thread::spawn(body);
                    wait(&event, None);
                    thread.join();
                } else {
                    let handle = spawn_with_handle(body);
                    // SAFETY: the handle is open.
                    assert_eq!(unsafe { ddi::ZwClose(handle) }, STATUS_SUCCESS);
                    wait(&event, None);
                }
                event.free();
            }),
        )
    };
    is_found("thread", |kernel| unload(kernel, false));
    is_clean("thread", |kernel| unload(kernel, true));
}

unsafe extern "C" fn set_event(event: *mut c_void) {
    // SAFETY: the waiter keeps the event until it is set.
    unsafe { ddi::KeSetEvent(event.cast(), 0, 0) };
}

#[test]
fn a_work_items_routine_that_has_set_its_event_has_not_returned() {
    is_found("ExQueueWorkItem", |kernel| {
        kernel.unload_with(
            0,
            program(|| {
                let (event, item): (_, PWORK_QUEUE_ITEM) = (Event::notification(), object());
                // SAFETY: `object` has allocated the storage; the routine takes an event.
                unsafe { ddi::ExInitializeWorkItem(item, Some(set_event), event.0.cast()) };
                // SAFETY: the object is initialised.
                unsafe { ddi::ExQueueWorkItem(item, NormalWorkQueue) };
                wait(&event, None);
                free(item);
                event.free();
            }),
        )
    });
}

/// The last step of a routine, and whether the code after its last call has run.
#[derive(Clone, Copy)]
struct Last {
    event: Event,
    done: &'static Cell<bool>,
}

impl Last {
    fn new() -> Self {
        Self { event: Event::notification(), done: Box::leak(Box::default()) }
    }

    /// Runs the routine's caller on the other processor, against a program that waits for the event
    /// and then treats the routine as finished.
    fn against(self, kernel: &mut Simulation, caller: impl FnOnce() + 'static) -> Result<(), Stop> {
        let waiter = program(move || {
            wait(&self.event, None);
            if !self.done.get() {
                ntsim::fail("returned", "the routine is still running".into());
            }
        });
        kernel.programs().on(0, caller).on(1, waiter).run()
    }
}

/// Creates a `Last` in a run of its own.
fn last(kernel: &mut Simulation) -> Result<Last, Stop> {
    let made = Rc::new(Cell::new(None));
    let make = Rc::clone(&made);
    kernel.run_on(0, move || make.set(Some(Last::new())))?;
    Ok(made.get().unwrap())
}

#[test]
fn a_routine_that_goes_on_without_a_call_is_preempted_there() {
    is_found_behind_a_call("behind a call", |kernel| {
        let last = last(kernel)?;
        last.against(kernel, move || {
            last.event.set();
            last.done.set(true);
        })
    });
    is_found_behind_a_call("IoQueueWorkItemEx", |kernel| {
        let last = last(kernel)?;
        last.against(kernel, move || {
            WorkItem::new(Device::new()).queue(move |_| {
                last.event.set();
                last.done.set(true);
            });
        })
    });
    is_found_behind_a_call("atomic", |kernel| {
        let (flag, done) = (Rc::new(ntsim::sync::AtomicBool::new(false)), Rc::new(Cell::new(false)));
        let (set, finish) = (Rc::clone(&flag), Rc::clone(&done));
        let writer = move || {
            set.store(true, ntsim::sync::Ordering::SeqCst);
            finish.set(true);
        };
        let reader = move || {
            if flag.load(ntsim::sync::Ordering::SeqCst) && !done.get() {
                ntsim::fail("returned", "the writer is still running".into());
            }
        };
        kernel.programs().on(0, writer).on(1, reader).run()
    });
}

thread_local! {
    /// The last step of a routine without a context.
    static LAST: Cell<Option<Last>> = const { Cell::new(None) };
}

fn set_last() {
    LAST.get().unwrap().event.set();
}

unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let status = Irp(irp).complete(STATUS_SUCCESS);
    set_last();
    status
}

#[test]
fn a_dispatch_routine_that_has_set_its_event_has_not_returned() {
    is_found("dispatch", |kernel| {
        let last = last(kernel)?;
        LAST.set(Some(last));
        last.against(kernel, move || {
            dispatch_reads(dispatch);
            let device = Device::new();
            Irp::new().on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED).send(device);
            last.done.set(true);
        })
    });
}

unsafe extern "C" fn completes(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).set_status(STATUS_SUCCESS);
    Irp(irp).complete_as_is();
    LAST.get().unwrap().done.set(true);
    STATUS_SUCCESS
}

#[test]
fn a_completion_routine_that_has_set_its_event_has_not_returned() {
    is_found("completion", |kernel| {
        let last = last(kernel)?;
        LAST.set(Some(last));
        last.against(kernel, move || {
            dispatch_reads(completes);
            let device = Device::new();
            let at_last = move |_| {
                set_last();
                STATUS_MORE_PROCESSING_REQUIRED
            };
            Irp::new().on_completion(at_last).send(device);
        })
    });
}

unsafe extern "C" fn on_cancel(_device: PDEVICE_OBJECT, irp: PIRP) {
    // SAFETY: a cancel routine holds the cancel spin lock.
    unsafe { ddi::IoReleaseCancelSpinLock(Irp(irp).cancel_irql()) };
    set_last();
}

#[test]
fn a_cancel_routine_that_has_set_its_event_has_not_returned() {
    is_found("cancel", |kernel| {
        let last = last(kernel)?;
        LAST.set(Some(last));
        last.against(kernel, move || {
            let irp = Irp::new();
            irp.set_cancel_routine(Some(on_cancel));
            irp.cancel();
            last.done.set(true);
        })
    });
}

static PROVIDER: GUID = GUID::from_u128(0x7c0f_2a51_9d2e_4b0c_a1f3_0a4f_8a1c_2e09);

unsafe extern "C" fn on_enabled(
    _source: *const GUID,
    _enabled: ULONG,
    _level: UCHAR,
    _any: ULONGLONG,
    _all: ULONGLONG,
    _filter: PEVENT_FILTER_DESCRIPTOR,
    _context: PVOID,
) {
    set_last();
}

#[test]
fn an_etw_callback_that_has_set_its_event_has_not_returned() {
    is_found("ETW callback", |kernel| {
        let last = last(kernel)?;
        LAST.set(Some(last));
        last.against(kernel, move || {
            etw::enable(etw::Session::new(PROVIDER, 5));
            let mut handle = 0;
            // SAFETY: the arguments are valid, and the callback needs no context.
            unsafe { ddi::EtwRegister(&raw const PROVIDER, Some(on_enabled), null_mut(), &raw mut handle) };
            last.done.set(true);
        })
    });
}
