//! C3, C5, C8, C10, C14 where several threads use an operation at once, while another one runs its body. These are races, which a run may
//! miss: so there are many rounds, and what one finds another may not.
//!
//! The world of the other cases is one thread's. Here what bodies and threads share is counted in atomics.

use core::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering::SeqCst},
};
use std::{sync::Mutex, thread};

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationVtbl, AsyncStatus, IUnknownVtbl, Interface, NTSTATUS,
};
use ntcom_fuzz::value::{Kind, UNTOUCHED, bytes_of};

use super::{Case, case};
use crate::{
    body::kind_number,
    client::{slot, table},
    finding::{Check, Finding},
    kit::Kit,
    need::Need,
    rule::Rule,
    table::{Recipe, Table, poll, shape},
};

const THREADS: &[Need] = &[Need::Threads];

pub(super) const CASES: &[Case] = &[
    case(Rule::C3, "several_threads_count", |kit| rounds(kit, Rule::C3, Does { counts: true, ..NOTHING }))
        .needs(THREADS),
    case(Rule::C5, "several_threads_read_the_result", |kit| {
        rounds(kit, Rule::C5, Does { reads: true, ..NOTHING })
    })
    .needs(THREADS),
    case(Rule::C8, "several_threads_wake", |kit| rounds(kit, Rule::C8, Does { wakes: true, ..NOTHING }))
        .needs(THREADS),
    case(Rule::C10, "several_threads_cancel", |kit| {
        rounds(kit, Rule::C10, Does { cancels: true, reads: true, wakes: true, ..NOTHING })
    })
    .needs(THREADS),
    case(Rule::C14, "several_threads_set_a_handler", |kit| {
        rounds(kit, Rule::C14, Does { sets: true, ..NOTHING })
    })
    .needs(THREADS),
];

/// How many threads there are besides the one that runs bodies, how often each does what it does, and in how many rounds.
const CLIENTS: usize = 3;
const TIMES: usize = 60;
const ROUNDS: usize = 40;

/// How often somebody looks whether another thread has got somewhere, before it gives up.
const PATIENCE: usize = 1_000_000;

/// What the threads do.
#[derive(Clone, Copy)]
struct Does {
    counts: bool,
    reads: bool,
    wakes: bool,
    cancels: bool,
    sets: bool,
}

const NOTHING: Does = Does { counts: false, reads: false, wakes: false, cancels: false, sets: false };

/// The operation's value, which takes long to copy.
const KIND: Kind = Kind::Page;
const NUMBER: usize = 3;

/// What the threads share.
struct Shared {
    table: Table,
    operation: AtomicPtr<c_void>,
    control: AtomicPtr<c_void>,
    /// The body may end.
    open: AtomicBool,
    polling: AtomicBool,
    polls: AtomicU32,
    drops: AtomicU32,
    /// A poll waits in the middle for the last wake: that it does so, that it is there, and that the wake has been.
    stays: bool,
    inside: AtomicBool,
    woken: AtomicBool,
    /// The body's waker.
    waker: Mutex<usize>,
    handled: AtomicU32,
    told: AtomicI32,
    accepted: AtomicU32,
    /// Threads that have done what they do.
    done: AtomicUsize,
    found: Mutex<Option<Finding>>,
}

impl Shared {
    fn new(table: Table, stays: bool) -> Self {
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

    fn breach(&self, rule: Rule, message: impl Into<String>) {
        let mut found = self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.get_or_insert_with(|| Finding::new(rule, message));
    }

    fn breached(&self) -> Check {
        let mut found = self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.take().map_or(Ok(()), Err)
    }

    fn waker(&self) -> std::sync::MutexGuard<'_, usize> {
        self.waker.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn recipe(&self) -> Recipe {
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
fn wait_until(place: &AtomicBool) {
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

unsafe extern "system" fn completed(context: *mut c_void, status: AsyncStatus) {
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

/// One thread's hold on the operation: it has a reference.
struct Client<'a> {
    shared: &'a Shared,
    this: *mut c_void,
    operation: AsyncOperationVtbl<u8>,
    control: AsyncControlVtbl,
    ended: i32,
}

impl<'a> Client<'a> {
    fn new(shared: &'a Shared) -> Result<Self, Finding> {
        let this = shared.operation.load(SeqCst);
        // SAFETY: a live operation's interfaces, which the program has references to.
        let operation = unsafe { table(this, Rule::C4) }?;
        // SAFETY: as above.
        let control = unsafe { table(shared.control.load(SeqCst), Rule::C10) }?;
        Ok(Self { shared, this, operation, control, ended: 0 })
    }

    fn unknown(&self) -> &IUnknownVtbl {
        &self.operation.base
    }

    /// More references, and fewer again.
    fn count(&self) -> Check {
        let add_ref = slot(self.unknown().AddRef, Rule::C3, "AddRef")?;
        let release = slot(self.unknown().Release, Rule::C3, "Release")?;
        let query = slot(self.unknown().QueryInterface, Rule::C1, "QueryInterface")?;
        let mut out = ptr::null_mut();
        // SAFETY: we have a reference.
        let mut zero = unsafe { add_ref(self.this) } == 0;
        // SAFETY: as above; both pointers are good.
        let status = unsafe { query(self.this, &AsyncControlRaw::IID, &raw mut out) };
        if status != NTSTATUS::SUCCESS || out != self.shared.control.load(SeqCst) {
            return Err(Finding::new(
                Rule::C1,
                format!("QueryInterface for IAsyncControl answers {status}, {out:?}"),
            ));
        }
        for _ in 0..2 {
            // SAFETY: the references that we have just been given.
            zero |= unsafe { release(self.this) } == 0;
        }
        if zero {
            return Err(Finding::new(Rule::C3, "AddRef or Release answers 0 while threads have references"));
        }
        Ok(())
    }

    /// The status, which never changes once it is terminal.
    fn status(&mut self) -> Result<i32, Finding> {
        let get_status = slot(self.operation.get_status, Rule::C4, "get_status")?;
        let mut status = AsyncStatus(-1);
        // SAFETY: we have a reference.
        let answer = unsafe { get_status(self.this, &raw mut status) };
        if answer != NTSTATUS::SUCCESS || !status.is_known() {
            return Err(Finding::new(Rule::C4, format!("get_status answers {answer} and writes {status:?}")));
        }
        if self.ended != 0 && self.ended != status.0 {
            let before = AsyncStatus(self.ended);
            return Err(Finding::new(
                Rule::C6,
                format!("a thread has seen {before:?}, and now sees {status:?}"),
            ));
        }
        if status.is_terminal() && self.shared.drops.load(SeqCst) == 0 {
            let why = "the operation has ended, and its body has not been dropped";
            return Err(Finding::new(Rule::C8, why));
        }
        self.ended = status.0;
        Ok(status.0)
    }

    /// The value, or zeros, and never a part of each.
    fn result(&mut self) -> Check {
        let before = self.status()?;
        let get_result = slot(self.operation.get_result, Rule::C5, "get_result")?;
        let mut place = vec![UNTOUCHED; KIND.size()];
        // SAFETY: we have a reference; there is room for the value.
        let answer = unsafe { get_result(self.this, place.as_mut_ptr()) };
        let expected = match answer {
            NTSTATUS::SUCCESS => place == bytes_of(KIND, NUMBER),
            _ => place.iter().all(|byte| *byte == 0),
        };
        if !expected {
            return Err(Finding::new(
                Rule::C5,
                format!("get_result answers {answer}, and leaves something else"),
            ));
        }
        let fits = match before {
            1 => answer == NTSTATUS::SUCCESS,
            2 => answer == NTSTATUS::CANCELLED,
            _ => matches!(answer, NTSTATUS::SUCCESS | NTSTATUS::CANCELLED | NTSTATUS::PENDING),
        };
        if !fits {
            let before = AsyncStatus(before);
            return Err(Finding::new(
                Rule::C6,
                format!("a thread has seen {before:?}, and get_result answers {answer}"),
            ));
        }
        Ok(())
    }

    fn wake(&self) {
        let kept = self.shared.waker();
        if *kept != 0
            && let Some(wake) = self.shared.table.waker_wake_by_ref
        {
            // SAFETY: the header: a waker that nobody has given up, because we hold its lock.
            unsafe { wake(ptr::with_exposed_provenance_mut(*kept)) };
        }
    }

    fn cancel(&self) -> Check {
        let cancel = slot(self.control.cancel, Rule::C10, "cancel")?;
        // SAFETY: the program has a reference.
        let answer = unsafe { cancel(self.shared.control.load(SeqCst)) };
        if answer != NTSTATUS::SUCCESS {
            return Err(Finding::new(Rule::C10, format!("cancel answers {answer}")));
        }
        Ok(())
    }

    /// One of all that are set is accepted.
    fn set(&self) -> Check {
        let set_completed = slot(self.control.set_completed, Rule::C14, "set_completed")?;
        let context = ptr::from_ref(self.shared).cast_mut().cast();
        // SAFETY: the program has a reference; the context lives until the round has ended.
        match unsafe { set_completed(self.shared.control.load(SeqCst), Some(completed), context) } {
            NTSTATUS::SUCCESS => {
                self.shared.accepted.fetch_add(1, SeqCst);
                Ok(())
            }
            NTSTATUS::INVALID_DEVICE_STATE => Ok(()),
            answer => Err(Finding::new(Rule::C14, format!("set_completed answers {answer}"))),
        }
    }

    fn work(&mut self, number: usize, does: Does) -> Check {
        for time in 0..TIMES {
            if does.counts {
                self.count()?;
            }
            if does.reads {
                self.result()?;
            }
            if does.sets && time == TIMES / 2 {
                self.set()?;
            }
            if does.cancels && time == TIMES / 2 + number {
                self.cancel()?;
            }
            // The operation ends while the others are in the middle of it.
            if number == 0 && time == TIMES / 2 {
                if does.wakes {
                    wait_until(&self.shared.inside);
                }
                self.shared.open.store(true, SeqCst);
                // The one wake that it takes, whatever others do meanwhile.
                self.wake();
                self.shared.woken.store(true, SeqCst);
            }
            if does.wakes && number != 0 && !self.shared.open.load(SeqCst) {
                self.wake();
            }
            self.status()?;
        }
        Ok(())
    }
}

fn rounds(kit: &Kit<'_>, rule: Rule, does: Does) -> Check {
    kit.0
        .trail
        .add(format!("{CLIENTS} threads use an operation at once, in {ROUNDS} rounds, against {rule}"));
    for round in 0..ROUNDS {
        kit.0.trail.add(format!("round {round}"));
        one_round(kit, does)?;
    }
    Ok(())
}

fn one_round(kit: &Kit<'_>, does: Does) -> Check {
    let table = kit.table();
    // Lost where something is found: then somebody may still have it.
    let shared: &'static Shared = Box::leak(Box::new(Shared::new(table, does.wakes)));
    let recipe = shared.recipe();
    let missing = || Finding::new(Rule::C11, "the library makes no operation");
    // SAFETY: the header: a recipe.
    let this = table.spawn.map(|spawn| unsafe { spawn(&raw const recipe, ptr::null_mut()) });
    let this = this.filter(|this| !this.is_null()).ok_or_else(missing)?;
    shared.operation.store(this, SeqCst);
    // SAFETY: a live operation's first interface.
    let unknown: IUnknownVtbl = unsafe { self::table(this, Rule::C1) }?;
    let query = slot(unknown.QueryInterface, Rule::C1, "QueryInterface")?;
    let release = slot(unknown.Release, Rule::C3, "Release")?;
    let mut control = ptr::null_mut();
    // SAFETY: we have a reference; both pointers are good.
    let status = unsafe { query(this, &AsyncControlRaw::IID, &raw mut control) };
    if status != NTSTATUS::SUCCESS {
        return Err(Finding::new(Rule::C1, format!("QueryInterface for IAsyncControl answers {status}")));
    }
    shared.control.store(control, SeqCst);
    advance(&table);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || {
                if let Err(finding) = Client::new(shared).and_then(|mut client| client.work(number, does)) {
                    shared.breach(finding.rule, finding.message);
                }
                shared.done.fetch_add(1, SeqCst);
            });
        }
        while shared.done.load(SeqCst) < CLIENTS {
            advance(&table);
            thread::yield_now();
        }
    });
    // The last wake may have come since.
    advance(&table);
    shared.breached()?;
    let waker = core::mem::take(&mut *shared.waker());
    if let Some(drop_waker) = table.waker_drop.filter(|_| waker != 0) {
        // SAFETY: the header: a waker, which is given up.
        unsafe { drop_waker(ptr::with_exposed_provenance_mut(waker)) };
    }
    advance(&table);
    Client::new(shared)?.ended_once(does)?;
    // SAFETY: the reference that the query has given.
    let first = unsafe { release(this) };
    // SAFETY: the reference that it was made with.
    let last = unsafe { release(this) };
    if first == 0 || last != 0 {
        let why = format!(
            "after all threads have given up what they had the last two Releases answer {first} and {last}"
        );
        return Err(Finding::new(Rule::C3, why));
    }
    let live = kit.live();
    if live.is_some_and(|live| live != 0) {
        return Err(Finding::new(
            Rule::C3,
            format!("everything has been released, and there is memory for {live:?}"),
        ));
    }
    shared.breached()
}

impl Client<'_> {
    /// The end of a round: it has ended, its body was dropped once, and one handler ran once.
    fn ended_once(&mut self, does: Does) -> Check {
        let status = self.status()?;
        let shared = self.shared;
        if status == 0 {
            let rule = if does.cancels { Rule::C10 } else { Rule::C8 };
            return Err(Finding::new(
                rule,
                "the operation was woken, and its body was not polled until it ended",
            ));
        }
        if !does.cancels && status != 1 {
            return Err(Finding::new(
                Rule::C10,
                format!("nobody has cancelled it: {:?}", AsyncStatus(status)),
            ));
        }
        let (accepted, handled) = (shared.accepted.load(SeqCst), shared.handled.load(SeqCst));
        if does.sets && (accepted, handled) != (1, 1) {
            let why = format!(
                "{accepted} handlers were accepted, one of which should have been, and {handled} ran"
            );
            return Err(Finding::new(Rule::C14, why));
        }
        if does.sets && shared.told.load(SeqCst) != status {
            return Err(Finding::new(Rule::C14, "the handler was told another status"));
        }
        Ok(())
    }
}

fn advance(table: &Table) {
    if let Some(advance) = table.advance {
        // SAFETY: the header: by one thread at a time.
        unsafe { advance() };
    }
}
