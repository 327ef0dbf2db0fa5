//! Requests under loom. The framework, the executor and the canceller are the test's, and the
//! protocol is the shipping code.

use core::{
    future::{Future, ready},
    mem::MaybeUninit,
    pin::pin,
    task::{Context, Waker},
};

use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{IrpOutcome, Request, RequestStorage, RequestTask, request_cancelled, spawn_request_task};
use crate::{status::NTSTATUS, task::CancelHandle};

const PLAIN: usize = 0;
const CANCELLABLE: usize = 1;
const CANCELLED: usize = 2;

const DONE: IrpOutcome = IrpOutcome { status: NTSTATUS::SUCCESS, information: 3 };

struct Framework {
    storage: core::cell::UnsafeCell<MaybeUninit<RequestStorage>>,
    state: AtomicUsize,
    /// Read by each owner of a reference, and written by its completion, so a use at the
    /// same time is a data race.
    outcome: UnsafeCell<Option<IrpOutcome>>,
}

#[derive(Clone, Copy)]
struct Handle(*const Framework);

// SAFETY: the fields behind the pointer are atomic, or loom checks them.
unsafe impl Send for Handle {}

impl Handle {
    fn get(&self) -> &Framework {
        // SAFETY: the model keeps the framework until all threads have been joined.
        let framework = unsafe { &*self.0 };
        // SAFETY: loom detects a completion before this, or at the same time.
        assert_eq!(
            framework.outcome.with(|outcome| unsafe { *outcome }),
            None,
            "the request is used after its completion"
        );
        framework
    }

    fn step(&self, from: usize, to: usize) -> bool {
        self.get().state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Cancels the request, as the I/O manager does.
    fn cancel(self) {
        // SAFETY: the model keeps the framework; a canceller does not know whether the request has
        // been completed.
        let state = unsafe { &(*self.0).state };
        if state.swap(CANCELLED, Ordering::AcqRel) == CANCELLABLE {
            // SAFETY: the swap took out the routine that was set, so this calls it once.
            unsafe { request_cancelled(self) };
        }
    }
}

// SAFETY: 1. the storage is the model's; 2. by the states; 3. by their exchanges; 4. in a model
// there is no IRQL.
unsafe impl Request for Handle {
    fn storage(self) -> *mut RequestStorage {
        // SAFETY: the model keeps the framework until all threads have been joined.
        unsafe { &(*self.0).storage }.get().cast()
    }
    unsafe fn begin(self) {}
    unsafe fn set_cancel_routine(self) -> bool {
        self.step(PLAIN, CANCELLABLE)
    }
    unsafe fn clear_cancel_routine(self) -> bool {
        self.step(CANCELLABLE, PLAIN)
    }
    unsafe fn complete(self, outcome: IrpOutcome) {
        assert_ne!(
            self.get().state.load(Ordering::Relaxed),
            CANCELLABLE,
            "the request is completed while it is cancellable"
        );
        // SAFETY: loom detects a use at the same time.
        self.get().outcome.with_mut(|place| unsafe { *place = Some(outcome) });
    }
}

/// Runs the request's task, once.
fn run<F: Future<Output = IrpOutcome>>(task: RequestTask<Handle, F>) {
    let _ended = pin!(task).poll(&mut Context::from_waker(Waker::noop()));
}

/// Serves a request in a thread of its own, and has another thread cancel it if `cancels` is true.
/// Returns the outcome.
fn serve(cancels: bool, says: Result<(), NTSTATUS>) -> IrpOutcome {
    let framework = Box::new(Framework {
        storage: core::cell::UnsafeCell::new(MaybeUninit::uninit()),
        state: AtomicUsize::new(PLAIN),
        outcome: UnsafeCell::new(None),
    });
    let request = Handle(&raw const *framework);
    let canceller = cancels.then(|| thread::spawn(move || request.cancel()));
    let mut executor = None;
    let spawn = |task| {
        executor = Some(thread::spawn(move || run(task)));
        says.map(|()| CancelHandle::inert())
    };
    // SAFETY: the request is new.
    unsafe { spawn_request_task(request, ready(DONE), spawn) };
    for thread in executor.into_iter().chain(canceller) {
        thread.join().unwrap();
    }
    // SAFETY: all threads have been joined.
    framework.outcome.with(|outcome| unsafe { *outcome }).expect("the request has not been completed")
}

/// Rule `[I2]`. The task ends while the cancel routine is being set.
#[test]
fn loom_a_request_ends_while_it_is_made_cancellable() {
    loom::model(|| assert_eq!(serve(false, Ok(())), DONE));
}

/// Rules `[I1]` and `[I3]`. The three references are given up at the same time.
#[test]
fn loom_a_request_ends_while_it_is_cancelled() {
    loom::model(|| assert_eq!(serve(true, Ok(())), DONE));
}

/// The spawn function reports a refusal although the task is served. The task, or the dispatch
/// routine after it, gives the outcome.
#[test]
fn loom_a_request_that_is_served_and_said_to_be_refused() {
    loom::model(|| {
        let refused = NTSTATUS::UNSUCCESSFUL;
        let outcome = serve(false, Err(refused));
        assert!(outcome == DONE || outcome == refused.into(), "{outcome:?}");
    });
}
