//! What threads and the body share, and the body.

use core::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering::SeqCst},
};
use std::{
    fs::File,
    io::Write,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use ntcom::{NTSTATUS, RawAsyncStatus};
use ntcom_fuzz::value::{Kind, bytes_of};

use super::{CLIENTS, Does, Rounds, Way, mix};
use crate::{
    body::kind_number,
    finding::{Check, Finding},
    need::Offers,
    rule::Rule,
    table::{Pause, Recipe, Table, poll, shape},
};

/// How often somebody looks whether another thread has got somewhere, before it gives up.
const PATIENCE: usize = 1_000_000;
/// How often a poll pauses in the middle, where threads take turns.
const PAUSES: usize = 3;
/// How often one looks whether another one has come to meet it.
const LOOKS: usize = 1_024;
/// What a thread that has met another one counts to at most before it goes on.
const LATEST: u64 = 32;

/// The operation's value, which takes long to copy.
pub(super) const KIND: Kind = Kind::Page;
pub(super) const NUMBER: usize = 3;

/// Whether threads may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(super) enum Begin {
    NotYet,
    Go,
    /// There is no operation.
    Not,
}

/// What the threads share.
pub(super) struct Shared {
    pub(super) table: Table,
    /// The operation has IAsyncControl.
    pub(super) controls: bool,
    pub(super) does: Does,
    way: Way,
    /// How often each does what it does.
    pub(super) times: usize,
    /// The schedule, or what pauses come of.
    pub(super) number: u64,
    pub(super) operation: AtomicPtr<c_void>,
    /// The operation's IAsyncControl, or null where there is no such interface.
    pub(super) control: AtomicPtr<c_void>,
    begins: AtomicU32,
    pause: OnceLock<Pause>,
    /// The body may end.
    pub(super) open: AtomicBool,
    polling: AtomicBool,
    polls: AtomicU32,
    pub(super) drops: AtomicU32,
    /// A poll waits in the middle for the last wake: that it is there, and that the wake has been.
    inside: AtomicBool,
    pub(super) woken: AtomicBool,
    /// A waker for each thread.
    wakers: [AtomicPtr<c_void>; CLIENTS],
    pub(super) handled: AtomicU32,
    pub(super) told: AtomicI32,
    pub(super) accepted: AtomicU32,
    /// Releases that answered 0.
    pub(super) zeros: AtomicU32,
    /// How often threads have come to meet another one.
    met: AtomicUsize,
    /// Threads that have done what they do.
    pub(super) done: AtomicUsize,
    /// The first thread has come to its end.
    pub(super) ended: AtomicBool,
    found: Mutex<Option<Finding>>,
    /// There is one: a thread that another one waits for may have come to its end.
    failed: AtomicBool,
    /// What has been done so far, where threads take turns, and the trail's file.
    steps: Mutex<(Vec<String>, Option<&'static File>)>,
}

impl Shared {
    pub(super) fn new(offers: Offers, rounds: Rounds, number: u64, file: Option<&'static File>) -> Self {
        Self {
            table: offers.table,
            controls: offers.controls,
            does: rounds.does,
            way: rounds.way,
            times: rounds.way.times(),
            number,
            operation: AtomicPtr::default(),
            control: AtomicPtr::default(),
            begins: AtomicU32::new(Begin::NotYet as u32),
            pause: OnceLock::new(),
            open: AtomicBool::new(false),
            polling: AtomicBool::new(false),
            polls: AtomicU32::new(0),
            drops: AtomicU32::new(0),
            inside: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            wakers: Default::default(),
            handled: AtomicU32::new(0),
            told: AtomicI32::new(0),
            accepted: AtomicU32::new(0),
            zeros: AtomicU32::new(0),
            met: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            found: Mutex::new(None),
            failed: AtomicBool::new(false),
            steps: Mutex::new((Vec::new(), file)),
        }
    }

    fn found(&self) -> MutexGuard<'_, Option<Finding>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn breach(&self, rule: Rule, message: impl Into<String>) {
        self.found().get_or_insert_with(|| Finding::new(rule, message));
        self.failed.store(true, SeqCst);
    }

    /// The first breach.
    pub(super) fn breached(&self) -> Check {
        self.found().take().map_or(Ok(()), Err)
    }

    /// The first breach, which stays there.
    pub(super) fn breach_so_far(&self) -> Check {
        self.found().clone().map_or(Ok(()), Err)
    }

    /// Adds what is done next to the trail, where threads take turns: where they do not, it would be in no order.
    pub(super) fn say(&self, what: &str) {
        if self.way == Way::InTurn {
            let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(file) = &mut steps.1 {
                // What cannot be written is missing in a report, no more.
                let _ = writeln!(file, "{what}");
            }
            steps.0.push(what.to_owned());
        }
    }

    /// The same, of what this thread does.
    pub(super) fn say_of(&self, thread: usize, what: &str) {
        if self.way == Way::InTurn {
            self.say(&format!("thread {thread}: {what}"));
        }
    }

    /// What has been said.
    pub(super) fn said(&self) -> Vec<String> {
        core::mem::take(&mut self.steps.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    pub(super) fn begin(&self, begin: Begin) {
        let not_yet = Begin::NotYet as u32;
        // Whoever says it first.
        let _ = self.begins.compare_exchange(not_yet, begin as u32, SeqCst, SeqCst);
    }

    pub(super) fn begins(&self) -> Begin {
        [Begin::NotYet, Begin::Go, Begin::Not][self.begins.load(SeqCst) as usize]
    }

    pub(super) fn set_pause(&self, pause: Pause) {
        // The first is as good as any.
        let _ = self.pause.set(pause);
    }

    /// Lets the others go on.
    pub(super) fn pause(&self) {
        if let Some(pause) = self.pause.get() {
            // SAFETY: the header: by who waits.
            unsafe { pause() };
        }
    }

    /// Where all threads go on at once: meets another one, so that both do what comes next at the same time, but for a pause that comes of
    /// the number. False: none came, perhaps because it waits for a processor.
    pub(super) fn meet(&self, thread: usize) -> bool {
        if self.way != Way::AtOnce {
            return false;
        }
        let ticket = self.met.fetch_add(1, SeqCst);
        let comes_second = ticket % 2 == 1;
        let met = comes_second
            || (0..LOOKS).any(|_| {
                core::hint::spin_loop();
                self.met.load(SeqCst) != ticket + 1
            });
        if !met {
            self.pause();
        }
        let pause = mix(self.number, (ticket + thread) as u64) % LATEST;
        (0..pause).for_each(|_| core::hint::spin_loop());
        met
    }

    /// Until a poll waits in the middle for the last wake. Not for ever: where wakes are lost there is none. Where threads take turns it
    /// is the schedule that brings the wake there.
    pub(super) fn wait_for_the_poll(&self) {
        if self.does.wakes && self.way == Way::AtOnce {
            self.wait_until(&self.inside);
        }
    }

    fn wait_until(&self, place: &AtomicBool) {
        for _ in 0..PATIENCE {
            if place.load(SeqCst) || self.failed.load(SeqCst) {
                return;
            }
            self.pause();
        }
    }

    /// A thread's waker.
    pub(super) fn waker(&self, thread: usize) -> Option<*mut c_void> {
        let waker = self.wakers[thread].load(SeqCst);
        (!waker.is_null()).then_some(waker)
    }

    /// The same, which is then the caller's.
    pub(super) fn take_waker(&self, thread: usize) -> Option<*mut c_void> {
        let waker = self.wakers[thread].swap(ptr::null_mut(), SeqCst);
        (!waker.is_null()).then_some(waker)
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

    /// In the first poll, before the threads begin: each is given a waker.
    fn give_wakers(&self, task: *mut c_void) {
        let (Some(waker), Some(clone)) = (self.table.task_waker, self.table.waker_clone) else { return };
        // SAFETY: the header: the task of the poll that we are in.
        let first = unsafe { waker(task) };
        for (number, place) in self.wakers.iter().enumerate() {
            // SAFETY: the header: a waker that nobody has given up.
            let own = if number == 0 { first } else { unsafe { clone(first) } };
            place.store(own, SeqCst);
        }
    }

    /// In the middle of a poll that has seen that it is not to end: the last wake comes now.
    fn stay(&self) {
        match self.way {
            Way::AtOnce => {
                self.inside.store(true, SeqCst);
                self.wait_until(&self.woken);
            }
            Way::InTurn => (0..PAUSES).for_each(|_| self.pause()),
        }
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
    shared.say("  the body is polled");
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
    let polls = shared.polls.load(SeqCst);
    if polls == 1 {
        shared.give_wakers(task);
    }
    // After the wakers are known: whoever opens it later wakes.
    let ready = shared.open.load(SeqCst);
    if !ready && shared.does.wakes && polls > 1 {
        shared.stay();
    }
    if !ready {
        shared.polling.store(false, SeqCst);
    }
    if ready { poll::READY } else { poll::PENDING }
}

unsafe extern "C" fn guarded(_context: *mut c_void, _guard: u32, _has_value: i32) {}

unsafe extern "C" fn finish(context: *mut c_void, value: *mut c_void) -> i32 {
    // SAFETY: the recipe's context.
    let shared = unsafe { shared(context) };
    shared.say("  the body ends with its value");
    let bytes = bytes_of(KIND, NUMBER);
    // SAFETY: the header: there is room for the kind's size.
    unsafe { value.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    shared.polling.store(false, SeqCst);
    NTSTATUS::SUCCESS.0
}

unsafe extern "C" fn drop_body(context: *mut c_void) {
    // SAFETY: the recipe's context.
    let shared = unsafe { shared(context) };
    shared.say("  the body is dropped");
    if shared.drops.fetch_add(1, SeqCst) > 0 {
        shared.breach(Rule::C8, "the body is dropped a second time");
    }
    if shared.polling.load(SeqCst) {
        shared.breach(Rule::C8, "the body is dropped while another thread polls it");
    }
}

pub(super) unsafe extern "system" fn completed(context: *mut c_void, status: RawAsyncStatus) {
    // SAFETY: the context of `set_completed`.
    let shared = unsafe { shared(context) };
    shared.say("  the completion handler runs");
    if shared.handled.fetch_add(1, SeqCst) > 0 {
        shared.breach(Rule::C14, "a completion handler runs twice");
    }
    shared.told.store(status.0, SeqCst);
    if shared.drops.load(SeqCst) == 0 {
        shared.breach(Rule::C8, "the operation has ended, and its body has not been dropped");
    }
}
