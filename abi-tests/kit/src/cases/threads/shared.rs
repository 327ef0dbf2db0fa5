//! The state that the threads and the body share, and the body.

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
use ntcom_fuzz_model::value::{ValueKind, bytes_of};

use crate::{
    body::kind_number,
    finding::{Check, Finding},
    need::Offers,
    rounds::{CLIENTS, Does, Rounds, Way, mix},
    rule::Rule,
    table::{Pause, Recipe, Table, poll, shape},
};

/// The number of times that a thread checks for another one's progress before it gives up.
const PATIENCE: usize = 1_000_000;
/// The number of pauses in the middle of a poll, if threads take turns.
const PAUSES: usize = 3;
/// The number of times that a thread checks whether another one has come to meet it.
const LOOKS: usize = 1_024;
/// The largest count of a thread that has met another one, before it goes on.
const LATEST: u64 = 32;

/// The type of the operation's value. A page takes long to copy.
pub(super) const KIND: ValueKind = ValueKind::Page;
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

/// The state that the threads share.
pub(super) struct Shared {
    pub(super) table: Table,
    /// Whether the operation has IAsyncControl.
    pub(super) controls: bool,
    pub(super) does: Does,
    way: Way,
    /// How often each thread repeats its work.
    pub(super) times: usize,
    /// The schedule, or the seed of the pauses.
    pub(super) number: u64,
    pub(super) operation: AtomicPtr<c_void>,
    /// The operation's IAsyncControl. It is null if there is no such interface.
    pub(super) control: AtomicPtr<c_void>,
    begins: AtomicU32,
    pause: OnceLock<Pause>,
    /// Whether the body may end.
    pub(super) open: AtomicBool,
    polling: AtomicBool,
    polls: AtomicU32,
    pub(super) drops: AtomicU32,
    /// Whether a poll waits in the middle for the last wake. `woken` says that the wake has come.
    inside: AtomicBool,
    pub(super) woken: AtomicBool,
    /// A waker for each thread.
    wakers: [AtomicPtr<c_void>; CLIENTS],
    pub(super) handled: AtomicU32,
    pub(super) told: AtomicI32,
    pub(super) accepted: AtomicU32,
    /// Number of Releases that answered 0.
    pub(super) zeros: AtomicU32,
    /// How often threads have come to meet another one.
    met: AtomicUsize,
    /// Number of threads that have done their work.
    pub(super) done: AtomicUsize,
    /// Whether the first thread has come to its end.
    pub(super) ended: AtomicBool,
    found: Mutex<Option<Finding>>,
    /// Whether there is a finding. A thread that another one waits for may then have ended.
    failed: AtomicBool,
    /// The actions so far, if threads take turns, and the trail's file.
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

    /// Takes the first breach.
    pub(super) fn breached(&self) -> Check {
        self.found().take().map_or(Ok(()), Err)
    }

    /// The first breach, which stays in place.
    pub(super) fn breach_so_far(&self) -> Check {
        self.found().clone().map_or(Ok(()), Err)
    }

    /// Adds the next action to the trail, if threads take turns. Otherwise the actions would be in
    /// no order.
    pub(super) fn say(&self, what: &str) {
        if self.way == Way::InTurn {
            let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(file) = &mut steps.1 {
                // A line that cannot be written is only missing in a report.
                let _ = writeln!(file, "{what}");
            }
            steps.0.push(what.to_owned());
        }
    }

    /// Adds the next action of a thread to the trail.
    pub(super) fn say_of(&self, thread: usize, what: &str) {
        if self.way == Way::InTurn {
            self.say(&format!("thread {thread}: {what}"));
        }
    }

    /// Takes the actions so far.
    pub(super) fn said(&self) -> Vec<String> {
        core::mem::take(&mut self.steps.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    pub(super) fn begin(&self, begin: Begin) {
        let not_yet = Begin::NotYet as u32;
        // The first call decides.
        let _ = self.begins.compare_exchange(not_yet, begin as u32, SeqCst, SeqCst);
    }

    pub(super) fn begins(&self) -> Begin {
        [Begin::NotYet, Begin::Go, Begin::Not][self.begins.load(SeqCst) as usize]
    }

    pub(super) fn set_pause(&self, pause: Pause) {
        // The first function is as good as any.
        let _ = self.pause.set(pause);
    }

    /// Lets the other threads go on.
    pub(super) fn pause(&self) {
        if let Some(pause) = self.pause.get() {
            // SAFETY: the header lets a waiting thread call `pause`.
            unsafe { pause() };
        }
    }

    /// Meets another thread, if all threads run at once, so that both do their next action at the
    /// same time, apart from a pause that the number determines. False if no thread came, perhaps
    /// because it waits for a processor.
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

    /// Waits until a poll waits in the middle for the last wake. The wait is bounded, because a
    /// library that loses wakes has no such poll. If threads take turns, the schedule brings the
    /// wake there.
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

    /// Takes a thread's waker, which is the caller's from then on.
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

    /// Gives each thread a waker, in the first poll, before the threads begin.
    fn give_wakers(&self, task: *mut c_void) {
        let (Some(waker), Some(clone)) = (self.table.task_waker, self.table.waker_clone) else { return };
        // SAFETY: `task` is the task of the current poll.
        let first = unsafe { waker(task) };
        for (number, place) in self.wakers.iter().enumerate() {
            // SAFETY: `first` is a waker that has not been given up.
            let own = if number == 0 { first } else { unsafe { clone(first) } };
            place.store(own, SeqCst);
        }
    }

    /// Pauses a poll that has seen that it must not end, so that the last wake comes now.
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
/// `context` is the context of a recipe of `Shared::recipe`, and its round has not ended.
unsafe fn shared<'a>(context: *mut c_void) -> &'a Shared {
    // SAFETY: the caller passes such a context, so the `Shared` is alive.
    unsafe { &*context.cast::<Shared>() }
}

unsafe extern "C" fn begin(context: *mut c_void) {
    // SAFETY: the library passes the recipe's context.
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
    // SAFETY: the library passes the recipe's context.
    let shared = unsafe { shared(context) };
    let polls = shared.polls.load(SeqCst);
    if polls == 1 {
        shared.give_wakers(task);
    }
    // This is read after the wakers are known, because a thread that opens it later wakes the body.
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
    // SAFETY: the library passes the recipe's context.
    let shared = unsafe { shared(context) };
    shared.say("  the body ends with its value");
    let bytes = bytes_of(KIND, NUMBER);
    // SAFETY: the header promises room for the kind's size.
    unsafe { value.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    shared.polling.store(false, SeqCst);
    NTSTATUS::SUCCESS.0
}

unsafe extern "C" fn drop_body(context: *mut c_void) {
    // SAFETY: the library passes the recipe's context.
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
    // SAFETY: the library passes the context of `set_completed`.
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
