//! What threads and the body share, and the body.

use core::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering::SeqCst},
};
use std::{sync::Mutex, thread};

use ntcom::{AsyncStatus, NTSTATUS};
use ntcom_fuzz::value::{Kind, bytes_of};

use crate::{
    body::kind_number,
    finding::{Check, Finding},
    rule::Rule,
    table::{Recipe, Table, poll, shape},
};

/// How often somebody looks whether another thread has got somewhere, before it gives up.
const PATIENCE: usize = 1_000_000;

/// The operation's value, which takes long to copy.
pub(super) const KIND: Kind = Kind::Page;
pub(super) const NUMBER: usize = 3;

/// What the threads share.
pub(super) struct Shared {
    pub(super) table: Table,
    pub(super) operation: AtomicPtr<c_void>,
    pub(super) control: AtomicPtr<c_void>,
    /// The body may end.
    pub(super) open: AtomicBool,
    pub(super) polling: AtomicBool,
    pub(super) polls: AtomicU32,
    pub(super) drops: AtomicU32,
    /// A poll waits in the middle for the last wake: that it does so, that it is there, and that the wake has been.
    pub(super) stays: bool,
    pub(super) inside: AtomicBool,
    pub(super) woken: AtomicBool,
    /// The body's waker.
    pub(super) waker: Mutex<usize>,
    pub(super) handled: AtomicU32,
    pub(super) told: AtomicI32,
    pub(super) accepted: AtomicU32,
    /// Threads that have done what they do.
    pub(super) done: AtomicUsize,
    pub(super) found: Mutex<Option<Finding>>,
}

impl Shared {
    pub(super) fn new(table: Table, stays: bool) -> Self {
        Self {
            table,
            operation: AtomicPtr::default(),
            control: AtomicPtr::default(),
            open: AtomicBool::new(false),
            polling: AtomicBool::new(false),
            polls: AtomicU32::new(0),
            drops: AtomicU32::new(0),
            stays,
            inside: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            waker: Mutex::new(0),
            handled: AtomicU32::new(0),
            told: AtomicI32::new(0),
            accepted: AtomicU32::new(0),
            done: AtomicUsize::new(0),
            found: Mutex::new(None),
        }
    }

    pub(super) fn breach(&self, rule: Rule, message: impl Into<String>) {
        let mut found = self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.get_or_insert_with(|| Finding::new(rule, message));
    }

    pub(super) fn breached(&self) -> Check {
        let mut found = self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.take().map_or(Ok(()), Err)
    }

    pub(super) fn waker(&self) -> std::sync::MutexGuard<'_, usize> {
        self.waker.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn recipe(&self) -> Recipe {
        Recipe {
            size: size_of::<Recipe>() as u32,
            kind: kind_number(KIND),
            shape: shape::PLAIN,
            flags: 0,
            context: ptr::from_ref(self).cast_mut().cast(),
            begin,
            poll: poll_body,
            guarded,
            finish,
            drop: drop_body,
        }
    }
}

/// Until another thread has got there. Not for ever: one that finds something never does.
pub(super) fn wait_until(place: &AtomicBool) {
    for _ in 0..PATIENCE {
        if place.load(SeqCst) {
            return;
        }
        thread::yield_now();
    }
}

/// # Safety
/// The context of a recipe of `Shared::recipe`, whose round has not ended.
unsafe fn shared<'a>(context: *mut c_void) -> &'a Shared {
    // SAFETY: this function's contract.
    unsafe { &*context.cast::<Shared>() }
}

unsafe extern "C" fn begin(context: *mut c_void) {
    // SAFETY: the recipe's context.
    let shared = unsafe { shared(context) };
    if shared.polling.swap(true, SeqCst) {
        shared.breach(Rule::C8, "the body is polled by two threads at once");
    }
    if shared.drops.load(SeqCst) > 0 {
        shared.breach(Rule::C8, "the body is polled after its end");
    }
    shared.polls.fetch_add(1, SeqCst);
}

unsafe extern "C" fn poll_body(context: *mut c_void, _part: u32, task: *mut c_void) -> i32 {
    // SAFETY: the recipe's context.
    let shared = unsafe { shared(context) };
    let mut kept = shared.waker();
    if *kept == 0
        && let Some(waker) = shared.table.task_waker
    {
        // SAFETY: the header: the task of the poll that we are in.
        *kept = unsafe { waker(task) }.expose_provenance();
    }
    drop(kept);
    // After the waker is known: whoever opens it later wakes.
    let ready = shared.open.load(SeqCst);
    if !ready && shared.stays && shared.polls.load(SeqCst) > 1 {
        // So that the last wake comes into the middle of this poll.
        shared.inside.store(true, SeqCst);
        wait_until(&shared.woken);
    }
    if !ready {
        shared.polling.store(false, SeqCst);
    }
    if ready { poll::READY } else { poll::PENDING }
}

unsafe extern "C" fn guarded(_context: *mut c_void, _guard: u32, _has_value: i32) {}

unsafe extern "C" fn finish(context: *mut c_void, value: *mut c_void) -> NTSTATUS {
    let bytes = bytes_of(KIND, NUMBER);
    // SAFETY: the header: there is room for the kind's size.
    unsafe { value.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    // SAFETY: the recipe's context.
    unsafe { shared(context) }.polling.store(false, SeqCst);
    NTSTATUS::SUCCESS
}

unsafe extern "C" fn drop_body(context: *mut c_void) {
    // SAFETY: the recipe's context.
    let shared = unsafe { shared(context) };
    if shared.drops.fetch_add(1, SeqCst) > 0 {
        shared.breach(Rule::C8, "the body is dropped a second time");
    }
    if shared.polling.load(SeqCst) {
        shared.breach(Rule::C8, "the body is dropped while another thread polls it");
    }
}

pub(super) unsafe extern "system" fn completed(context: *mut c_void, status: AsyncStatus) {
    // SAFETY: the context of `set_completed`.
    let shared = unsafe { shared(context) };
    if shared.handled.fetch_add(1, SeqCst) > 0 {
        shared.breach(Rule::C14, "a completion handler runs twice");
    }
    shared.told.store(status.0, SeqCst);
    if shared.drops.load(SeqCst) == 0 {
        shared.breach(Rule::C8, "the operation has ended, and its body has not been dropped");
    }
}
