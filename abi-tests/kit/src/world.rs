//! The world of one case: its operations and what has happened to them, gates, wakers and handles. It is the thread's.
//!
//! Nothing here is borrowed across a call into the library, because from there the kit's own bodies are called.

use core::{
    cell::{Cell, RefCell},
    ffi::c_void,
    ptr,
};

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
};

use ntcom::NTSTATUS;
use ntcom_fuzz::{
    script::{GATES, STEPS, Script, Shape},
    value::Kind,
};

use crate::{
    finding::{Check, Finding},
    kit::InBody,
    rule::Rule,
    table::Table,
    trail::Trail,
};

/// So many kinds of findings are kept of one case or sequence.
const MOST: usize = 24;

/// How far a part of a body is.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Part {
    /// The step.
    pub(crate) at: u8,
    /// How far that step is.
    pub(crate) inside: Option<u8>,
    /// It has been polled.
    pub(crate) begun: bool,
    /// It has returned READY.
    pub(crate) ended: bool,
}

/// How often things have happened to an operation's body and handler.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Record {
    /// Polls of the body.
    pub polls: u32,
    /// Drops of the body.
    pub drops: u32,
    /// What the body has seen of cancellation and of its guards, as a hash.
    pub log: u64,
    /// Runs of the completion handler.
    pub handled: u32,
    /// What it was told last.
    pub told: i32,
}

/// An operation.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) kind: Kind,
    pub(crate) script: Script,
    /// What its body fails with.
    pub(crate) fails: Option<NTSTATUS>,
    /// Its body asks the library to raise.
    pub(crate) raises: bool,
    /// Its body runs at PASSIVE_LEVEL.
    pub(crate) passive: bool,
    /// What the first poll of its body does.
    pub(crate) asks: Option<InBody>,
    /// Its interfaces; null until they are known.
    pub(crate) operation: *mut c_void,
    pub(crate) control: *mut c_void,
    /// Its IUnknown; known with the second interface.
    pub(crate) identity: *mut c_void,
    /// References that the kit has as a client.
    pub(crate) references: u32,
    /// One of them is its completion handler's.
    pub(crate) lent: bool,
    /// It never had a body, or that was refused.
    pub(crate) bodyless: bool,
    /// It is being made.
    pub(crate) spawning: bool,
    /// The body is being polled.
    pub(crate) polling: bool,
    /// The body has ended.
    pub(crate) finished: bool,
    pub(crate) parts: [Part; 4],
    /// Guards that have ended, and how.
    pub(crate) guards: [Option<bool>; 2],
    /// The body's own waker.
    pub(crate) kept: Option<*mut c_void>,
    pub(crate) record: Record,
    /// A terminal status that somebody has seen.
    pub(crate) ended: i32,
    /// Somebody has asked for its cancellation.
    pub(crate) asked: bool,
    /// A handler that the library has accepted.
    pub(crate) handler: bool,
    /// The object whose method its body is.
    pub(crate) object: Option<usize>,
    /// Its body says so when it has come to its end with that object.
    pub(crate) reaches: Option<usize>,
}

impl Slot {
    pub(crate) fn new(kind: Kind, script: Script) -> Self {
        Self {
            kind,
            script,
            fails: None,
            raises: false,
            passive: false,
            asks: None,
            operation: ptr::null_mut(),
            control: ptr::null_mut(),
            identity: ptr::null_mut(),
            references: 0,
            lent: false,
            bodyless: false,
            spawning: true,
            polling: false,
            finished: false,
            parts: [Part::default(); 4],
            guards: [None; 2],
            kept: None,
            record: Record::default(),
            ended: 0,
            asked: false,
            handler: false,
            object: None,
            reaches: None,
        }
    }
}

/// A gate: an event that lets one wait pass each time it is opened.
#[derive(Clone, Default, Debug)]
pub(crate) struct Gate {
    pub(crate) open: bool,
    pub(crate) waiters: Vec<(usize, *mut c_void)>,
}

/// An object with methods.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) this: *mut c_void,
    pub(crate) references: u32,
    pub(crate) drops: u32,
    /// What a sequence calls it.
    pub(crate) number: usize,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) table: Cell<Table>,
    pub(crate) slots: RefCell<Vec<Slot>>,
    pub(crate) objects: RefCell<Vec<Object>>,
    pub(crate) gates: RefCell<[Gate; GATES]>,
    pub(crate) all_open: Cell<bool>,
    /// Wakers that bodies have given away.
    pub(crate) stash: RefCell<Vec<(usize, *mut c_void)>>,
    pub(crate) handles: RefCell<Vec<(usize, *mut c_void)>>,
    /// The program is inside of the table's `advance`, or of something else that runs bodies.
    pub(crate) advancing: Cell<bool>,
    /// The call into the library that goes on.
    calling: RefCell<Option<String>>,
    /// The program has come to its end; the library's `run` may go on.
    pub(crate) over: Cell<bool>,
    /// The library's operations have IAsyncControl.
    pub(crate) controls: Cell<bool>,
    /// HRESULTs are taken for the NTSTATUS values that they stand for.
    pub(crate) hresults: Cell<bool>,
    /// What the library would need to offer for what the case has not been able to ask.
    pub(crate) lacks: Cell<Option<&'static str>>,
    /// The breaches so far, each kind once.
    found: RefCell<Vec<Finding>>,
    pub(crate) trail: Trail,
}

thread_local! {
    static WORLD: World = World {
        table: Cell::new(Table::EMPTY),
        slots: RefCell::default(),
        objects: RefCell::default(),
        gates: RefCell::default(),
        all_open: Cell::new(false),
        stash: RefCell::default(),
        handles: RefCell::default(),
        advancing: Cell::new(false),
        calling: RefCell::default(),
        over: Cell::new(false),
        controls: Cell::new(true),
        hresults: Cell::new(false),
        lacks: Cell::new(None),
        found: RefCell::default(),
        trail: Trail::default(),
    };
}

/// The thread whose world a program is run in, and the first call of a body or a handler on another one, which has none.
static HOME: Mutex<(Option<ThreadId>, Option<String>)> = Mutex::new((None, None));

fn home() -> MutexGuard<'static, (Option<ThreadId>, Option<String>)> {
    HOME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program begins on this thread.
pub(crate) fn begin_here() {
    *home() = (Some(thread::current().id()), None);
}

/// What has been called with a context that this thread's world does not know: perhaps because it is another thread.
pub(crate) fn astray(what: &str) {
    let mut home = home();
    if home.0.is_some_and(|home| home != thread::current().id()) {
        home.1.get_or_insert_with(|| what.to_owned());
    }
}

/// Fails where something has been called on another thread.
///
/// # Errors
/// What.
pub(crate) fn nothing_astray() -> Check {
    match home().1.take() {
        // No rule of the contract's: the header's, on which all cases but those of threads depend.
        Some(what) => Err(Finding::new(
            Rule::C9,
            format!("{what} is called on another thread than the one that runs the program (ntcom_kit.h)"),
        )),
        None => Ok(()),
    }
}

/// Does something with the thread's world.
pub(crate) fn with<R>(f: impl FnOnce(&World) -> R) -> R {
    WORLD.with(f)
}

impl World {
    /// Forgets the last case. What it left behind belongs to a library that is not asked again about it.
    pub(crate) fn reset(&self) {
        self.slots.borrow_mut().clear();
        self.objects.borrow_mut().clear();
        *self.gates.borrow_mut() = Default::default();
        self.all_open.set(false);
        self.stash.borrow_mut().clear();
        self.handles.borrow_mut().clear();
        self.advancing.set(false);
        self.over.set(false);
        self.calling.take();
        self.lacks.set(None);
        self.found.borrow_mut().clear();
        self.trail.clear();
    }

    /// Looks at an operation, or changes it.
    ///
    /// # Panics
    /// There is none of this number: the kit's own mistake.
    pub(crate) fn slot<R>(&self, operation: usize, f: impl FnOnce(&mut Slot) -> R) -> R {
        f(&mut self.slots.borrow_mut()[operation])
    }

    /// As above, for a number that the library has given us.
    pub(crate) fn try_slot<R>(&self, operation: usize, f: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        self.slots.borrow_mut().get_mut(operation).map(f)
    }

    /// Records a breach that the case goes on after. One that is equal to an earlier one says
    /// nothing more.
    pub(crate) fn breach(&self, rule: Rule, message: String) {
        self.find(Finding::new(rule, message));
    }

    /// Records a finding.
    pub(crate) fn find(&self, finding: Finding) {
        let known = |found: &Finding| found.rule == finding.rule && found.kind() == finding.kind();
        if self.found.borrow().len() < MOST && !self.found.borrow().iter().any(known) {
            self.trail.add(finding.line());
            self.found.borrow_mut().push(finding);
        }
    }

    /// Takes what has been found so far.
    pub(crate) fn take_findings(&self) -> Vec<Finding> {
        self.found.take()
    }

    /// Calls the library. Until it returns, what it does is done on the stack of this call.
    pub(crate) fn during<R>(&self, name: &str, call: impl FnOnce() -> R) -> R {
        let before = self.calling.replace(Some(name.to_owned()));
        let answer = call();
        *self.calling.borrow_mut() = before;
        answer
    }

    /// Where the library calls the kit from, outside of what runs bodies.
    pub(crate) fn place(&self) -> String {
        match &*self.calling.borrow() {
            _ if self.over.get() => "after the program has ended".to_owned(),
            Some(name) => format!("on the stack of {name}"),
            None => "outside of advance and of every call".to_owned(),
        }
    }

    /// What has happened to an operation.
    pub(crate) fn record(&self, operation: usize) -> Record {
        self.slot(operation, |slot| slot.record)
    }

    /// How many operations the case has made.
    pub(crate) fn count(&self) -> usize {
        self.slots.borrow().len()
    }
}

/// A body of one part.
#[must_use]
pub(crate) fn plain(steps: [u8; STEPS]) -> Script {
    Script { shape: Shape::Plain, steps }
}
