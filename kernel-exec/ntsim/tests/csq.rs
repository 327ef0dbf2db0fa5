//! Cancel-safe queues (learn.microsoft.com/windows-hardware/drivers/kernel/cancel-safe-irp-queues).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{
    cell::{Cell, RefCell},
    ptr::null_mut,
};
use std::rc::Rc;

use common::{io::*, irps::*, waiting::*, *};
use ntsim::{Schedule, Simulation, Stop, ddi, types::*};

/// The queue of the tests' driver, which keeps IRPs in a vector.
#[repr(C)]
struct Queue {
    csq: IO_CSQ,
    lock: Lock,
    irps: RefCell<Vec<PIRP>>,
}

fn of<'a>(csq: PIO_CSQ) -> &'a Queue {
    // SAFETY: `csq` is the first field of a `Queue` that is never freed.
    unsafe { &*csq.cast::<Queue>() }
}

unsafe extern "C" fn insert(csq: PIO_CSQ, irp: PIRP) {
    of(csq).irps.borrow_mut().push(irp);
}

unsafe extern "C" fn remove(csq: PIO_CSQ, irp: PIRP) {
    let before = of(csq).irps.borrow().len();
    of(csq).irps.borrow_mut().retain(|other| *other != irp);
    assert_eq!(of(csq).irps.borrow().len() + 1, before);
}

unsafe extern "C" fn peek(csq: PIO_CSQ, after: PIRP, _context: PVOID) -> PIRP {
    let irps = of(csq).irps.borrow();
    let next = irps.iter().position(|irp| *irp == after).map_or(0, |position| position + 1);
    irps.get(next).copied().unwrap_or(null_mut())
}

unsafe extern "C" fn acquire(csq: PIO_CSQ, irql: *mut KIRQL) {
    // SAFETY: the argument is valid.
    unsafe { irql.write(of(csq).lock.acquire()) };
}

unsafe extern "C" fn release(csq: PIO_CSQ, irql: KIRQL) {
    of(csq).lock.release(irql);
}

unsafe extern "C" fn complete_canceled(_csq: PIO_CSQ, irp: PIRP) {
    Irp(irp).complete(STATUS_CANCELLED);
}

/// A slot for the queue of the tests' driver.
struct Slot(Cell<PIO_CSQ>);

impl Default for Slot {
    fn default() -> Self {
        Self(Cell::new(null_mut()))
    }
}

fn queue() -> PIO_CSQ {
    // SAFETY: image state lives until the simulation is reset.
    let slot = unsafe { &(*ntsim::image_state::<Slot>()).0 };
    if slot.get().is_null() {
        let queue = Queue { csq: IO_CSQ::default(), lock: Lock::new(), irps: RefCell::default() };
        slot.set(Box::into_raw(Box::new(queue)).cast());
        // SAFETY: the queue is never freed, and its routines take it.
        let status = unsafe {
            ddi::IoCsqInitialize(
                slot.get(),
                Some(insert),
                Some(remove),
                Some(peek),
                Some(acquire),
                Some(release),
                Some(complete_canceled),
            )
        };
        assert_eq!(status, STATUS_SUCCESS);
    }
    slot.get()
}

unsafe extern "C" fn queues(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the queue is never freed.
    unsafe { ddi::IoCsqInsertIrp(queue(), irp, null_mut()) };
    STATUS_PENDING
}

fn remove_next() -> Option<Irp> {
    // SAFETY: `queue` has initialised the queue, which is never freed.
    let irp = unsafe { ddi::IoCsqRemoveNextIrp(queue(), null_mut()) };
    (!irp.is_null()).then_some(Irp(irp))
}

/// Returns a read. Its completion stores its status in `status`.
fn read(status: &Rc<Cell<NTSTATUS>>) -> Irp {
    let status = Rc::clone(status);
    Irp::new().on_completion(move |irp| {
        assert_eq!(status.replace(irp.status()), STATUS_PENDING, "once");
        STATUS_MORE_PROCESSING_REQUIRED
    })
}

fn pending() -> Rc<Cell<NTSTATUS>> {
    Rc::new(Cell::new(STATUS_PENDING))
}

#[test]
fn requests_leave_the_queue_in_the_drivers_order_or_when_they_are_canceled() {
    fine(|| {
        let (device, statuses) = (Device::new(), [pending(), pending(), pending()]);
        dispatch_reads(queues);
        let irps = [0, 1, 2].map(|index| read(&statuses[index]));
        irps.iter().for_each(|irp| assert_eq!(irp.send(device), STATUS_PENDING));
        assert!(irps[1].cancel());
        assert_eq!(statuses[1].get(), STATUS_CANCELLED);
        for expected in [0, 2] {
            let irp = remove_next().unwrap();
            assert_eq!(irp.0, irps[expected].0);
            assert!(!irp.cancel(), "the driver has it");
            irp.complete(STATUS_SUCCESS);
        }
        assert!(remove_next().is_none());
        irps.into_iter().for_each(Irp::free);
        device.delete();
        of(queue()).lock.free();
    });
}

#[test]
fn a_request_that_is_canceled_before_it_is_queued_is_completed_at_once() {
    fine(|| {
        let (device, status) = (Device::new(), pending());
        dispatch_reads(queues);
        let irp = read(&status);
        assert!(!irp.cancel());
        assert_eq!(irp.send(device), STATUS_PENDING);
        assert_eq!(status.get(), STATUS_CANCELLED);
        irp.free();
        device.delete();
        of(queue()).lock.free();
    });
}

#[test]
fn each_request_is_completed_once_on_every_schedule() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let outcome = pending();
        let result = Rc::clone(&outcome);
        let run = kernel.run_on(0, move || {
            let device = Device::new();
            dispatch_reads(queues);
            queue();
            let irp = read(&result);
            let canceler = Thread::spawn(move || _ = irp.cancel());
            let sender = Thread::spawn(move || _ = irp.send(device));
            if let Some(irp) = remove_next() {
                irp.complete(STATUS_SUCCESS);
            }
            [canceler, sender].into_iter().for_each(Thread::join);
            if let Some(irp) = remove_next() {
                irp.complete(STATUS_SUCCESS);
            }
            assert_ne!(result.get(), STATUS_PENDING);
            irp.free();
            device.delete();
            of(queue()).lock.free();
        });
        run.and_then(|()| kernel.unload())
            .unwrap_or_else(|stop| panic!("{seed}: {stop}\n{}", kernel.trace()));
        seen.insert(outcome.get());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [STATUS_CANCELLED, STATUS_SUCCESS]);
}

struct Context(Cell<IO_CSQ_IRP_CONTEXT>);

impl Default for Context {
    fn default() -> Self {
        Self(Cell::new(IO_CSQ_IRP_CONTEXT::default()))
    }
}

fn context() -> PIO_CSQ_IRP_CONTEXT {
    // SAFETY: image state lives until the simulation is reset.
    unsafe { &(*ntsim::image_state::<Context>()).0 }.as_ptr()
}

unsafe extern "C" fn queues_with_context(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the queue and the context are never freed.
    unsafe { ddi::IoCsqInsertIrp(queue(), irp, context()) };
    STATUS_PENDING
}

#[test]
fn a_context_finds_its_request_until_that_is_taken_or_canceled() {
    fine(|| {
        let device = Device::new();
        dispatch_reads(queues_with_context);
        // SAFETY: the queue is initialised, and the context was inserted into it.
        let find = || unsafe { ddi::IoCsqRemoveIrp(queue(), context()) };
        let status = pending();
        let irp = read(&status);
        irp.send(device);
        assert_eq!(find(), irp.0);
        assert!(find().is_null());
        irp.complete(STATUS_SUCCESS);
        irp.free();
        let status = pending();
        let irp = read(&status);
        irp.send(device);
        assert!(irp.cancel());
        assert!(find().is_null());
        irp.free();
        device.delete();
        of(queue()).lock.free();
    });
}

#[test]
fn what_is_no_queue_is_refused() {
    fine(|| {
        let csq: PIO_CSQ = object();
        // SAFETY: the argument is valid.
        let status = unsafe {
            ddi::IoCsqInitialize(csq, Some(insert), None, Some(peek), Some(acquire), Some(release), None)
        };
        assert_eq!(status, STATUS_INVALID_PARAMETER);
        free(csq);
    });
    // SAFETY: the storage is valid, and the simulated kernel ends the run because it is not a
    // queue.
    let stop = alone(|| _ = unsafe { ddi::IoCsqRemoveNextIrp(object(), null_mut()) });
    assert!(matches!(stop, Err(Stop::Failure { oracle: "not supported", .. })), "{stop:?}");
}
