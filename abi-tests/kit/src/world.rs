//! The world of a case. It holds the operations with their recorded events, gates, wakers and
//! handles. It belongs to the thread.
//!
//! No borrow of it is held across a call into the library, because the library calls the kit's
//! bodies.

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
use ntcom_fuzz_model::{
    script::{GATES, STEPS, Script, Shape},
    value::ValueKind,
};

use crate::{
    finding::{Check, Finding},
    rule::Rule,
    table::Table,
    trail::Trail,
};

/// The number of kinds of findings of one case or sequence that are kept.
const MOST: usize = 24;

/// The position in a part of a body.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Part {
    /// The index of the current step.
    pub(crate) at: u8,
    /// The state of that step.
    pub(crate) inside: Option<u8>,
    /// Whether the part has been polled.
    pub(crate) begun: bool,
    /// Whether the part has returned READY.
    pub(crate) ended: bool,
}

/// The recorded events of an operation's body and handler.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Record {
    /// Number of polls of the body.
    pub polls: u32,
    /// Number of drops of the body.
    pub drops: u32,
    /// A hash of the body's observations of cancellation and of its guards.
    pub log: u64,
    /// Number of runs of the completion handler.
    pub handled: u32,
    /// The status that the handler was told last.
    pub told: i32,
}

/// An operation.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) kind: ValueKind,
    pub(crate) script: Script,
    /// The status with which the body fails.
    pub(crate) fails: Option<NTSTATUS>,
    /// Whether the body asks the library to raise.
    pub(crate) raises: bool,
    /// Whether the body runs at PASSIVE_LEVEL.
    pub(crate) passive: bool,
    /// The calls that the body's first poll makes.
    pub(crate) asks: Option<InBody>,
    /// The operation's interfaces. They are null until they are known.
    pub(crate) operation: *mut c_void,
    pub(crate) control: *mut c_void,
    /// The operation's IUnknown. It is known with the second interface.
    pub(crate) identity: *mut c_void,
    /// Number of references that the kit has as a client.
    pub(crate) references: u32,
    /// Whether one of them belongs to the completion handler.
    pub(crate) lent: bool,
    /// Whether the operation never had a body, or its body was refused.
    pub(crate) bodyless: bool,
    /// Whether the operation is being made.
    pub(crate) spawning: bool,
    /// Whether the body is being polled.
    pub(crate) polling: bool,
    /// Whether the body has ended.
    pub(crate) finished: bool,
    pub(crate) parts: [Part; 4],
    /// For each guard that has ended, whether it had a value.
    pub(crate) guards: [Option<bool>; 2],
    /// The body's own waker, if it keeps one.
    pub(crate) kept: Option<*mut c_void>,
    pub(crate) record: Record,
    /// A terminal status that a client has seen, or 0.
    pub(crate) ended: i32,
    /// Whether a client has asked for its cancellation.
    pub(crate) asked: bool,
    /// Whether the library has accepted a handler.
    pub(crate) handler: bool,
    /// The object that the body's method belongs to.
    pub(crate) object: Option<usize>,
    /// The object that the body logs at its end.
    pub(crate) reaches: Option<usize>,
}

impl Slot {
    pub(crate) fn new(kind: ValueKind, script: Script) -> Self {
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

/// A gate, which lets one wait pass each time it is opened.
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
    /// The object's number in a sequence.
    pub(crate) number: usize,
}

/// The state of a case.
#[derive(Debug)]
pub(crate) struct CaseWorld {
    pub(crate) table: Cell<Table>,
    pub(crate) slots: RefCell<Vec<Slot>>,
    pub(crate) objects: RefCell<Vec<Object>>,
    pub(crate) gates: RefCell<[Gate; GATES]>,
    pub(crate) all_open: Cell<bool>,
    /// Wakers that bodies have given away.
    pub(crate) stash: RefCell<Vec<(usize, *mut c_void)>>,
    pub(crate) handles: RefCell<Vec<(usize, *mut c_void)>>,
    /// Whether the program is inside of the table's `advance`, or of another function that runs
    /// bodies.
    pub(crate) advancing: Cell<bool>,
    /// The current call into the library.
    calling: RefCell<Option<String>>,
    /// Whether the program has come to its end. The library's `run` may go on.
    pub(crate) over: Cell<bool>,
    /// Whether the library's operations have IAsyncControl.
    pub(crate) controls: Cell<bool>,
    /// Whether HRESULTs are mapped to the NTSTATUS values for which they stand.
    pub(crate) hresults: Cell<bool>,
    /// The feature that the library lacks for a check that the case could not do.
    pub(crate) lacks: Cell<Option<&'static str>>,
    /// The breaches so far, one of each kind.
    found: RefCell<Vec<Finding>>,
    pub(crate) trail: Trail,
}

/// A case's access to the library.
#[derive(Clone, Copy, Debug)]
pub struct Kit<'a>(pub(crate) &'a CaseWorld);

/// Calls that a body makes in its first poll. The argument is the body's operation.
pub type InBody = fn(&Kit<'_>, usize) -> Check;

thread_local! {
    static WORLD: CaseWorld = CaseWorld {
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

/// The thread that runs the program, and the first call of a body or a handler on another thread.
/// Another thread has no world.
static HOME: Mutex<(Option<ThreadId>, Option<String>)> = Mutex::new((None, None));

fn home() -> MutexGuard<'static, (Option<ThreadId>, Option<String>)> {
    HOME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records that a program begins on this thread.
pub(crate) fn begin_here() {
    *home() = (Some(thread::current().id()), None);
}

/// Records a call with a context that this thread's world does not know, if it is another thread.
pub(crate) fn stray_call(what: &str) {
    let mut home = home();
    if home.0.is_some_and(|home| home != thread::current().id()) {
        home.1.get_or_insert_with(|| what.to_owned());
    }
}

/// Fails if a body or handler has been called on another thread.
///
/// # Errors
/// The finding names that call.
pub(crate) fn no_stray_call() -> Check {
    match home().1.take() {
        // The breach is of a rule of the header, on which all cases but those of threads depend.
        // The contract has no such rule.
        Some(what) => Err(Finding::new(
            Rule::C9,
            format!("{what} is called on another thread than the one that runs the program (ntcom_kit.h)"),
        )),
        None => Ok(()),
    }
}

/// Calls `f` with this thread's world.
pub(crate) fn with<R>(f: impl FnOnce(&CaseWorld) -> R) -> R {
    WORLD.with(f)
}

impl CaseWorld {
    /// Forgets the last case. The library is not asked about its remains again.
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

    /// Calls `f` with an operation.
    ///
    /// # Panics
    /// There is no operation of this number, which is a bug of the kit.
    pub(crate) fn slot<R>(&self, operation: usize, f: impl FnOnce(&mut Slot) -> R) -> R {
        f(&mut self.slots.borrow_mut()[operation])
    }

    /// Calls `f` with an operation, for a number that the library has passed.
    pub(crate) fn try_slot<R>(&self, operation: usize, f: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        self.slots.borrow_mut().get_mut(operation).map(f)
    }

    /// Records a breach after which the case goes on. A breach that equals an earlier one is
    /// ignored.
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

    /// Takes the findings so far.
    pub(crate) fn take_findings(&self) -> Vec<Finding> {
        self.found.take()
    }

    /// Calls the library, and records the call. Until it returns, the library's actions are on its
    /// stack.
    pub(crate) fn during<R>(&self, name: &str, call: impl FnOnce() -> R) -> R {
        let before = self.calling.replace(Some(name.to_owned()));
        let answer = call();
        *self.calling.borrow_mut() = before;
        answer
    }

    /// Describes the call from which the library calls the kit, outside of functions that run
    /// bodies.
    pub(crate) fn place(&self) -> String {
        match &*self.calling.borrow() {
            _ if self.over.get() => "after the program has ended".to_owned(),
            Some(name) => format!("on the stack of {name}"),
            None => "outside of advance and of every call".to_owned(),
        }
    }

    /// The recorded events of an operation.
    pub(crate) fn record(&self, operation: usize) -> Record {
        self.slot(operation, |slot| slot.record)
    }

    /// The number of operations that the case has made.
    pub(crate) fn count(&self) -> usize {
        self.slots.borrow().len()
    }
}

/// A script with one part.
#[must_use]
pub(crate) fn plain(steps: [u8; STEPS]) -> Script {
    Script { shape: Shape::Plain, steps }
}
