//! The interface for writing cases.
//!
//! Operations have numbers, and functions do a client's and a driver's actions with them. Bodies
//! and handlers record their events, and a function fails if a case cannot go on.

mod control;
mod driver;
mod expect;
mod objects;
mod slots;

use core::{ffi::c_void, ptr};

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{script::Script, value::ValueKind};

use crate::{
    body::{kind_number, recipe},
    ensure,
    finding::{Check, Finding},
    need::Offers,
    table::Table,
    world::{self, Record, Slot},
};

pub use crate::world::{InBody, Kit};

/// Statuses of operations, as get_status writes them.
pub mod status {
    /// Not ended.
    pub const STARTED: u32 = 0;
    /// Ended with a value.
    pub const COMPLETED: u32 = 1;
    /// Cancelled.
    pub const CANCELED: u32 = 2;
    /// Failed.
    pub const ERROR: u32 = 3;
}

/// The answer of [`Kit::status`] if get_status has written no status.
pub const UNKNOWN: u32 = u32::MAX;

/// A description of an operation to make.
#[derive(Clone, Copy, Debug)]
pub struct Spawn {
    /// The type of the operation's value.
    pub kind: ValueKind,
    /// The operation's body.
    pub script: Script,
    /// Whether it has a cancel handle.
    pub cancellable: bool,
    /// The status with which the body fails.
    pub fails: Option<NTSTATUS>,
    /// Whether the body raises.
    pub raises: bool,
    /// The object that the body's method belongs to.
    pub object: Option<usize>,
    /// Whether the body logs, at its end, that it has that object.
    pub reaches: bool,
    /// Whether it is spawned without an executor.
    pub without_executor: bool,
    /// The calls that the body's first poll makes at PASSIVE_LEVEL.
    pub asks: Option<InBody>,
}

impl Spawn {
    /// An operation with a body, and nothing else.
    #[must_use]
    pub const fn new(kind: ValueKind, script: Script) -> Self {
        Self {
            kind,
            script,
            cancellable: false,
            fails: None,
            raises: false,
            object: None,
            reaches: false,
            without_executor: false,
            asks: None,
        }
    }
}

impl Kit<'_> {
    /// The library's table.
    #[must_use]
    pub fn table(&self) -> Table {
        self.0.table.get()
    }

    /// The features that the library offers.
    #[must_use]
    pub fn offers(&self) -> Offers {
        Offers { table: self.table(), controls: self.has_control() }
    }

    fn then<T>(&self, value: T) -> Result<T, Finding> {
        world::no_stray_call().map(|()| value)
    }

    /// Makes an operation with a body.
    ///
    /// # Errors
    /// The operation is null, or the bodies have seen a breach.
    pub fn spawn(&self, kind: ValueKind, script: Script) -> Result<usize, Finding> {
        self.make(Spawn::new(kind, script))
    }

    /// Makes an operation.
    ///
    /// # Errors
    /// The errors of [`Self::spawn`].
    pub fn make(&self, spawn: Spawn) -> Result<usize, Finding> {
        let (world, table) = (self.0, self.table());
        let operation = world.count();
        let mut slot = Slot::new(spawn.kind, spawn.script);
        slot.fails = spawn.fails;
        slot.raises = spawn.raises;
        slot.object = spawn.object;
        (slot.passive, slot.asks) = (spawn.asks.is_some(), spawn.asks);
        slot.reaches = spawn
            .object
            .filter(|_| spawn.reaches)
            .and_then(|object| world.objects.borrow().get(object).map(|object| object.number));
        world.slots.borrow_mut().push(slot);
        let Spawn { kind, script, cancellable, fails, .. } = spawn;
        let how = if cancellable { ", with a handle" } else { "" };
        let end = fails.map_or_else(String::new, |status| format!(", fails with {status}"));
        world.trail.add(format!("spawn of operation {operation}: {kind:?} {script:?}{how}{end}"));
        let recipe = recipe(world, operation);
        let mut handle: *mut c_void = ptr::null_mut();
        let raw = world.during("a spawn", || match spawn.object {
            Some(object) => {
                let this = world.objects.borrow()[object].this;
                // SAFETY: `this` is a living object, and the recipe is as the header declares it.
                table.object_spawn.map(|spawn| unsafe { spawn(this, &raw const recipe) })
            }
            None if spawn.without_executor => {
                // SAFETY: the recipe is as the header declares it.
                table.spawn_without_executor.map(|spawn| unsafe { spawn(&raw const recipe) })
            }
            None if spawn.asks.is_some() => {
                // SAFETY: a recipe as the header wants it.
                table.spawn_passive.map(|spawn| unsafe { spawn(&raw const recipe) })
            }
            None => {
                let handle = if cancellable { &raw mut handle } else { ptr::null_mut() };
                // SAFETY: the recipe is as the header declares it. `handle` is null or writable.
                table.spawn.map(|spawn| unsafe { spawn(&raw const recipe, handle) })
            }
        });
        self.made(operation, raw.unwrap_or(ptr::null_mut()))?;
        if cancellable {
            world.handles.borrow_mut().push((operation, handle));
        }
        self.then(operation)
    }

    /// Makes an operation that failed before it began.
    ///
    /// # Errors
    /// The errors of [`Self::spawn`].
    pub fn spawn_error(&self, kind: ValueKind, status: NTSTATUS) -> Result<usize, Finding> {
        let world = self.0;
        let operation = world.count();
        let mut slot = Slot::new(kind, world::plain([0; 6]));
        slot.bodyless = true;
        world.slots.borrow_mut().push(slot);
        world.trail.add(format!("spawn_error of operation {operation}: {kind:?}, {status}"));
        let raw = world.during("spawn_error", || {
            // SAFETY: the header lets the kit pass any kind and any status.
            self.table().spawn_error.map(|spawn| unsafe { spawn(kind_number(kind), status.0) })
        });
        self.made(operation, raw.unwrap_or(ptr::null_mut()))?;
        self.then(operation)
    }

    fn made(&self, operation: usize, raw: *mut c_void) -> Check {
        self.0.slot(operation, |slot| slot.spawning = false);
        ensure!(C11, !raw.is_null(), "the new operation {operation} is null");
        self.0.slot(operation, |slot| {
            slot.operation = raw;
            slot.references = 1;
        });
        Ok(())
    }

    /// Lets the executor run.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn advance(&self) -> Check {
        self.running("advance", self.table().advance)
    }

    /// Calls a command that runs bodies.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn running(&self, what: &str, command: Option<unsafe extern "C" fn()>) -> Check {
        let Some(command) = command else { return Ok(()) };
        self.0.trail.add(what.to_owned());
        self.0.advancing.set(true);
        // SAFETY: the header lets the kit call this at any time, except from a body.
        unsafe { command() };
        self.0.advancing.set(false);
        self.then(())
    }

    /// Calls a command that runs no bodies.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn command(&self, what: &str, command: Option<unsafe extern "C" fn()>) -> Check {
        let Some(command) = command else { return Ok(()) };
        self.0.trail.add(what.to_owned());
        // SAFETY: the header lets the kit call this at any time.
        self.0.during(what, || unsafe { command() });
        self.then(())
    }

    /// Drains in the body that is being polled. `None` if the library does not offer it.
    #[must_use]
    pub fn drain_in_body(&self) -> Option<NTSTATUS> {
        self.0.trail.add("    drain_in_body".to_owned());
        // SAFETY: the caller is a body of `spawn_passive`, in its poll, as `ntcom_kit.h` requires.
        let drain = |drain: unsafe extern "C" fn() -> i32| unsafe { drain() };
        self.0.during("drain_in_body", || self.table().drain_in_body.map(drain).map(NTSTATUS))
    }

    /// Asks for the cancellation of all operations that have not ended.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn cancel_all(&self) -> Check {
        self.0.slots.borrow_mut().iter_mut().for_each(|slot| slot.asked |= slot.record.drops == 0);
        self.command("cancel_all", self.table().cancel_all)
    }

    /// Does a part of a case at PASSIVE_LEVEL, where bodies may run meanwhile.
    ///
    /// # Errors
    /// The error of that part, or a breach that the bodies have seen.
    pub fn at_passive_level<F: FnOnce(&Kit<'_>) -> Check>(&self, what: F) -> Check {
        let Some(at_passive_level) = self.table().at_passive_level else { return self.then(()) };
        self.0.trail.add("at_passive_level".to_owned());
        let mut inside = AtPassive { what: Some(what), answer: Ok(()) };
        self.0.advancing.set(true);
        // SAFETY: the header lets the kit pass this function. Its context lives until the call has
        // returned.
        unsafe { at_passive_level(passive::<F>, (&raw mut inside).cast()) };
        self.0.advancing.set(false);
        inside.answer.and_then(|()| self.then(()))
    }

    /// Makes the allocation of the next operation fail.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn fail_next_allocation(&self) -> Check {
        self.command("fail_next_allocation", self.table().fail_next_allocation)
    }

    /// The recorded events of an operation's body and handler.
    #[must_use]
    pub fn record(&self, operation: usize) -> Record {
        self.0.record(operation)
    }

    /// The number of operations that have memory, if the library tells it.
    #[must_use]
    pub fn live(&self) -> Option<u64> {
        // SAFETY: `live_operations` may be called at any time.
        self.table().live_operations.map(|live| unsafe { live() })
    }
}

struct AtPassive<F> {
    what: Option<F>,
    answer: Check,
}

unsafe extern "C" fn passive<F: FnOnce(&Kit<'_>) -> Check>(context: *mut c_void) {
    // SAFETY: `at_passive_level` passed this context, and the library calls this before that
    // returns, on one thread.
    let inside = unsafe { &mut *context.cast::<AtPassive<F>>() };
    if let Some(what) = inside.what.take() {
        inside.answer = world::with(|world| what(&Kit(world)));
    }
}
