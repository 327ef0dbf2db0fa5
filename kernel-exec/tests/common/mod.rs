//! Helpers that several tests of tasks share, with kernels, an event for bodies, and threads.
//!
//! Locks are parking_lot's, which is compiled with the tests, because ThreadSanitizer does not see
//! std's locks where processors wait for each other.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test uses a part; helpers of tests")]

use core::{
    future::{Future, poll_fn},
    ptr::null_mut,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    task::{Poll, Waker},
};
use std::sync::Arc;

use ntsim::{
    Config, Program, Schedule, Simulation, ddi,
    types::{_KWAIT_REASON, _MODE, PVOID, STATUS_SUCCESS},
};
use parking_lot::Mutex;

/// A clock period, in units of 100 ns.
pub(crate) const TICK: u64 = 156_250;

pub(crate) fn kernel(processors: usize, seed: u64) -> Simulation {
    Simulation::new(Config { processors, ..Config::default() }, Schedule::seed(seed))
}

/// Runs a program alone, and unloads.
pub(crate) fn in_kernel(program: impl FnOnce() + 'static) {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    kernel.run_on(0, program).unwrap_or_else(|stop| panic!("{stop}"));
    kernel.unload().unwrap_or_else(|stop| panic!("{stop}"));
}

pub(crate) fn program(f: impl FnOnce() + 'static) -> Program {
    Box::new(f)
}

/// A log of entries, in order.
#[derive(Clone, Default)]
pub(crate) struct Log {
    entries: Arc<Mutex<Vec<&'static str>>>,
    /// The IRQL at which bodies must be polled and dropped, if that is known.
    irql: Option<u8>,
}

impl Log {
    /// Makes a log for bodies that are polled and dropped at this IRQL.
    pub(crate) fn at(irql: u8) -> Self {
        Self { irql: Some(irql), ..Self::default() }
    }

    pub(crate) fn add(&self, entry: &'static str) {
        self.entries.lock().push(entry);
    }

    pub(crate) fn take(&self) -> Vec<&'static str> {
        core::mem::take(&mut self.entries.lock())
    }

    pub(crate) async fn entry(self, entry: &'static str) {
        self.by_body(entry);
    }

    fn by_body(&self, entry: &'static str) {
        assert_eq!(self.irql.unwrap_or_else(ntsim::irql), ntsim::irql(), "{entry}");
        self.add(entry);
    }

    /// Returns a guard that adds an entry when it is dropped.
    pub(crate) fn on_drop(&self, entry: &'static str) -> OnDrop {
        OnDrop(self.clone(), entry)
    }
}

pub(crate) struct OnDrop(Log, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.by_body(self.1);
    }
}

/// An event that a body waits for, which keeps the body's waker.
#[derive(Clone, Default)]
pub(crate) struct Event(Arc<(AtomicBool, Mutex<Option<Waker>>)>);

impl Event {
    pub(crate) fn set(&self) {
        self.0.0.store(true, SeqCst);
        self.wake();
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.1.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + use<> {
        let event = self.clone();
        poll_fn(move |context| {
            if event.0.0.load(SeqCst) {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            let old = event.0.1.lock().replace(waker);
            drop(old);
            // The setter may have come between the check and the waker.
            if event.0.0.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    /// Takes the waker that the event keeps of its waiter.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.0.1.lock().take()
    }
}

type Body = Box<dyn FnOnce()>;

unsafe extern "C" fn call_body(context: PVOID) {
    // SAFETY: `Thread::spawn` passed a box, for one call.
    let body = unsafe { Box::from_raw(context.cast::<Body>()) };
    body();
}

/// A system thread, on any processor.
pub(crate) struct Thread(PVOID);

impl Thread {
    pub(crate) fn spawn(f: impl FnOnce() + 'static) -> Self {
        let body: Body = Box::new(f);
        let context = Box::into_raw(Box::new(body)).cast();
        let (mut handle, mut object, none) = (null_mut(), null_mut(), null_mut());
        let (body, mode) = (Some(call_body as _), _MODE::KernelMode as i8);
        // SAFETY: the routine's context is a body, and the thread calls the routine once.
        let status = unsafe {
            ddi::PsCreateSystemThread(&raw mut handle, 0, null_mut(), null_mut(), null_mut(), body, context)
        };
        assert_eq!(status, STATUS_SUCCESS);
        // SAFETY: this is the new thread's handle.
        let status =
            unsafe { ddi::ObReferenceObjectByHandle(handle, 0, none, mode, &raw mut object, null_mut()) };
        assert_eq!(status, STATUS_SUCCESS);
        // SAFETY: this is the new thread's handle, and it is closed once.
        assert_eq!(unsafe { ddi::ZwClose(handle) }, STATUS_SUCCESS);
        Self(object)
    }

    pub(crate) fn join(self) {
        let (reason, mode) = (_KWAIT_REASON::Executive, _MODE::KernelMode as i8);
        // SAFETY: this is the thread's object, which `spawn` referenced.
        let status = unsafe { ddi::KeWaitForSingleObject(self.0, reason, mode, 0, null_mut()) };
        assert_eq!(status, STATUS_SUCCESS);
        // SAFETY: `spawn` took this reference.
        unsafe { ddi::ObfDereferenceObject(self.0) };
    }
}

/// Makes a waker that adds an entry when it wakes.
pub(crate) fn logging_waker(log: &Log, entry: &'static str) -> Waker {
    struct Logging(Mutex<Log>, &'static str);
    impl std::task::Wake for Logging {
        fn wake(self: Arc<Self>) {
            self.0.lock().add(self.1);
        }
    }
    Waker::from(Arc::new(Logging(Mutex::new(log.clone()), entry)))
}
