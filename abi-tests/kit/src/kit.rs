//! What cases are written in: operations by number, and what a client and a driver do with them. Each function ends with what the
//! bodies and handlers have seen meanwhile, if that is a breach.

use core::{ffi::c_void, ptr};

use ntcom::{IUnknownRaw, IUnknownVtbl, Interface, NTSTATUS};
use ntcom_fuzz::{
    call::{Answer, OutValue},
    ops::{Handler, Iid, Out, Via},
    script::Script,
    value::{Bytes, Kind},
};

use crate::{
    body::{self, Calls, kind_number, recipe},
    client::{self, NOBODYS, breached, slot, table},
    ensure,
    finding::{Check, Finding},
    rule::Rule,
    table::Table,
    world::{self, Object, Record, Slot, World},
};

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

/// An operation that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Spawn {
    /// Its value.
    pub kind: Kind,
    /// Its body.
    pub script: Script,
    /// With a cancel handle.
    pub cancellable: bool,
    /// What its body fails with.
    pub fails: Option<NTSTATUS>,
    /// Its body raises.
    pub raises: bool,
    /// The object whose method its body is.
    pub object: Option<usize>,
    /// Its body logs, at its end, that it has that object.
    pub reaches: bool,
    /// Where there is no executor.
    pub without_executor: bool,
}

impl Spawn {
    /// A body, and nothing else.
    #[must_use]
    pub const fn new(kind: Kind, script: Script) -> Self {
        Self {
            kind,
            script,
            cancellable: false,
            fails: None,
            raises: false,
            object: None,
            reaches: false,
            without_executor: false,
        }
    }
}

/// A case's hold on the library.
#[derive(Clone, Copy, Debug)]
pub struct Kit<'a>(pub(crate) &'a World);

impl Kit<'_> {
    /// The library's table.
    #[must_use]
    pub fn table(&self) -> Table {
        self.0.table.get()
    }

    fn then<T>(&self, value: T) -> Result<T, Finding> {
        breached(self.0).map(|()| value)
    }

    /// Makes an operation with a body.
    ///
    /// # Errors
    /// It is null, or what the bodies have seen.
    pub fn spawn(&self, kind: Kind, script: Script) -> Result<usize, Finding> {
        self.make(Spawn::new(kind, script))
    }

    /// Makes an operation.
    ///
    /// # Errors
    /// As for [`Self::spawn`].
    pub fn make(&self, spawn: Spawn) -> Result<usize, Finding> {
        let (world, table) = (self.0, self.table());
        let operation = world.count();
        let mut slot = Slot::new(spawn.kind, spawn.script);
        slot.fails = spawn.fails;
        slot.raises = spawn.raises;
        slot.object = spawn.object;
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
        let raw = match spawn.object {
            Some(object) => {
                let this = world.objects.borrow()[object].this;
                // SAFETY: a live object, a recipe as the header wants it.
                table.object_spawn.map(|spawn| unsafe { spawn(this, &raw const recipe) })
            }
            None if spawn.without_executor => {
                // SAFETY: a recipe as the header wants it.
                table.spawn_without_executor.map(|spawn| unsafe { spawn(&raw const recipe) })
            }
            None => {
                let handle = if cancellable { &raw mut handle } else { ptr::null_mut() };
                // SAFETY: as above; the handle's place is null or good.
                table.spawn.map(|spawn| unsafe { spawn(&raw const recipe, handle) })
            }
        };
        self.made(operation, raw.unwrap_or(ptr::null_mut()))?;
        if cancellable {
            world.handles.borrow_mut().push((operation, handle));
        }
        self.then(operation)
    }

    /// Makes an operation that failed before it began.
    ///
    /// # Errors
    /// As for [`Self::spawn`].
    pub fn spawn_error(&self, kind: Kind, status: NTSTATUS) -> Result<usize, Finding> {
        let world = self.0;
        let operation = world.count();
        let mut slot = Slot::new(kind, world::plain([0; 6]));
        slot.bodyless = true;
        world.slots.borrow_mut().push(slot);
        world.trail.add(format!("spawn_error of operation {operation}: {kind:?}, {status}"));
        // SAFETY: the header: any kind, any status.
        let raw = self.table().spawn_error.map(|spawn| unsafe { spawn(kind_number(kind), status) });
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
    /// What the bodies have seen.
    pub fn advance(&self) -> Check {
        self.running("advance", self.table().advance)
    }

    /// Calls something that runs bodies.
    ///
    /// # Errors
    /// What the bodies have seen.
    pub fn running(&self, what: &str, command: Option<unsafe extern "C" fn()>) -> Check {
        let Some(command) = command else { return Ok(()) };
        self.0.trail.add(what.to_owned());
        self.0.advancing.set(true);
        // SAFETY: the header: at any time, but not by a body.
        unsafe { command() };
        self.0.advancing.set(false);
        self.then(())
    }

    /// Calls something that runs no bodies.
    ///
    /// # Errors
    /// What the bodies have seen.
    pub fn command(&self, what: &str, command: Option<unsafe extern "C" fn()>) -> Check {
        let Some(command) = command else { return Ok(()) };
        self.0.trail.add(what.to_owned());
        // SAFETY: the header: at any time.
        unsafe { command() };
        self.then(())
    }

    /// Does something at PASSIVE_LEVEL, where bodies may run meanwhile.
    ///
    /// # Errors
    /// What it ended with, or what the bodies have seen.
    pub fn at_passive_level<F: FnOnce(&Kit<'_>) -> Check>(&self, what: F) -> Check {
        let Some(at_passive_level) = self.table().at_passive_level else { return self.then(()) };
        self.0.trail.add("at_passive_level".to_owned());
        let mut inside = AtPassive { what: Some(what), answer: Ok(()) };
        self.0.advancing.set(true);
        // SAFETY: the header: our function and its context, which lives until this has returned.
        unsafe { at_passive_level(passive::<F>, (&raw mut inside).cast()) };
        self.0.advancing.set(false);
        inside.answer.and_then(|()| self.then(()))
    }

    /// The next operation finds no memory.
    ///
    /// # Errors
    /// What the bodies have seen.
    pub fn fail_next_allocation(&self) -> Check {
        self.command("fail_next_allocation", self.table().fail_next_allocation)
    }

    /// `QueryInterface`.
    ///
    /// # Errors
    /// A slot is null, or what the bodies have seen.
    pub fn query(&self, operation: usize, via: Via, iid: Iid, out: Out) -> Result<Answer, Finding> {
        client::query(self.0, operation, via, iid, out).and_then(|answer| self.then(answer))
    }

    /// `AddRef`. Does it answer 0?
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn add_ref(&self, operation: usize, via: Via) -> Result<bool, Finding> {
        client::add_ref(self.0, operation, via).and_then(|answer| self.then(answer.status != 0))
    }

    /// `Release`. Does it answer 0?
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn release(&self, operation: usize, via: Via) -> Result<bool, Finding> {
        client::release(self.0, operation, via).and_then(|answer| self.then(answer.status != 0))
    }

    /// `get_status`.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn get_status(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_status(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `get_result`.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn get_result(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_result(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `cancel`.
    ///
    /// # Errors
    /// As for [`Self::query`], or it does not answer `STATUS_SUCCESS`.
    pub fn cancel(&self, operation: usize) -> Check {
        let answer = client::cancel(self.0, operation).and_then(|answer| self.then(answer))?;
        ensure!(C10, answer.status == 0, "cancel answers {}", NTSTATUS::from_u32(answer.status));
        Ok(())
    }

    /// `get_error`.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn get_error(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_error(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `get_result_size`.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn get_result_size(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_result_size(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `wait`, with a timeout in units of 100 ns; None: for ever.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn wait(&self, operation: usize, timeout: Option<i64>) -> Result<NTSTATUS, Finding> {
        let answer = client::wait(self.0, operation, timeout).and_then(|answer| self.then(answer))?;
        Ok(NTSTATUS::from_u32(answer.status))
    }

    /// `set_completed`.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn set_completed(&self, operation: usize, handler: Handler) -> Result<NTSTATUS, Finding> {
        let answer =
            client::set_completed(self.0, operation, handler).and_then(|answer| self.then(answer))?;
        Ok(NTSTATUS::from_u32(answer.status))
    }

    /// Opens a gate that bodies wait for.
    ///
    /// # Errors
    /// What the bodies have seen.
    pub fn open(&self, gate: usize) -> Check {
        self.0.trail.add(format!("gate {gate} is opened"));
        body::open_gate(self.0, gate);
        self.then(())
    }

    /// How many wakers an operation's body has given away.
    #[must_use]
    pub fn wakers(&self, operation: usize) -> usize {
        self.0.stash.borrow().iter().filter(|(owner, _)| *owner == operation).count()
    }

    fn take_waker(&self, operation: usize) -> Option<*mut c_void> {
        let mut stash = self.0.stash.borrow_mut();
        let index = stash.iter().position(|(owner, _)| *owner == operation)?;
        Some(stash.remove(index).1)
    }

    /// Wakes with a waker that an operation's body has given away: and drops it, unless it is by reference. False: there is none.
    ///
    /// # Errors
    /// What the bodies have seen.
    pub fn wake(&self, operation: usize, by_ref: bool) -> Result<bool, Finding> {
        let Some(waker) = self.take_waker(operation) else { return self.then(false) };
        self.0
            .trail
            .add(format!("operation {operation} is woken{}", if by_ref { " by reference" } else { "" }));
        if by_ref {
            Calls(self.0).wake_waker_by_ref(waker);
            self.0.stash.borrow_mut().push((operation, waker));
        } else {
            Calls(self.0).wake_waker(waker);
        }
        self.then(true)
    }

    /// Clones such a waker.
    ///
    /// # Errors
    /// What the bodies have seen.
    pub fn clone_waker(&self, operation: usize) -> Result<bool, Finding> {
        let Some(waker) = self.take_waker(operation) else { return self.then(false) };
        self.0.trail.add(format!("a waker of operation {operation} is cloned"));
        let clone = Calls(self.0).clone_waker(waker);
        self.0.stash.borrow_mut().extend([(operation, waker), (operation, clone)]);
        self.then(true)
    }

    /// Drops such a waker.
    ///
    /// # Errors
    /// What the bodies have seen.
    pub fn drop_waker(&self, operation: usize) -> Result<bool, Finding> {
        let Some(waker) = self.take_waker(operation) else { return self.then(false) };
        self.0.trail.add(format!("a waker of operation {operation} is dropped"));
        Calls(self.0).drop_waker(waker);
        self.then(true)
    }

    fn take_handle(&self, operation: usize) -> Option<*mut c_void> {
        let mut handles = self.0.handles.borrow_mut();
        let index = handles.iter().position(|(owner, _)| *owner == operation)?;
        Some(handles.remove(index).1)
    }

    /// Cancels through an operation's handle.
    ///
    /// # Errors
    /// What the bodies have seen.
    pub fn handle_cancel(&self, operation: usize) -> Check {
        let Some(handle) = self.take_handle(operation) else { return self.then(()) };
        self.0.trail.add(format!("operation {operation} is cancelled through a handle"));
        self.0.slot(operation, |slot| slot.asked = true);
        if let Some(cancel) = self.table().handle_cancel.filter(|_| !handle.is_null()) {
            // SAFETY: a handle that we have.
            unsafe { cancel(handle) };
        }
        self.0.handles.borrow_mut().push((operation, handle));
        self.then(())
    }

    /// Clones an operation's handle.
    ///
    /// # Errors
    /// What the bodies have seen.
    pub fn handle_clone(&self, operation: usize) -> Check {
        let Some(handle) = self.take_handle(operation) else { return self.then(()) };
        self.0.trail.add(format!("a handle of operation {operation} is cloned"));
        let clone = match self.table().handle_clone {
            // SAFETY: a handle that we have.
            Some(clone) if !handle.is_null() => unsafe { clone(handle) },
            _ => ptr::null_mut(),
        };
        self.0.handles.borrow_mut().extend([(operation, handle), (operation, clone)]);
        self.then(())
    }

    /// Drops an operation's handle.
    ///
    /// # Errors
    /// What the bodies have seen.
    pub fn handle_drop(&self, operation: usize) -> Check {
        let Some(handle) = self.take_handle(operation) else { return self.then(()) };
        self.0.trail.add(format!("a handle of operation {operation} is dropped"));
        if let Some(drop) = self.table().handle_drop.filter(|_| !handle.is_null()) {
            // SAFETY: a handle that we have, and give up.
            unsafe { drop(handle) };
        }
        self.then(())
    }

    /// Makes an object with methods.
    ///
    /// # Errors
    /// It is null, or what the bodies have seen.
    pub fn object(&self) -> Result<usize, Finding> {
        let world = self.0;
        let number = world.objects.borrow().len();
        world.objects.borrow_mut().push(Object { this: ptr::null_mut(), references: 1, drops: 0, number });
        world.trail.add(format!("object {number} is made"));
        let context = ptr::without_provenance_mut(number + 1);
        // SAFETY: the header: our function, and its context.
        let this = self.table().object.map(|object| unsafe { object(object_dropped, context) });
        let this = this.unwrap_or(ptr::null_mut());
        ensure!(C19, !this.is_null(), "the library makes no object, though there is memory");
        world.objects.borrow_mut()[number].this = this;
        self.then(number)
    }

    fn object_table(&self, object: usize) -> Result<(*mut c_void, IUnknownVtbl), Finding> {
        let this = self.0.objects.borrow()[object].this;
        // SAFETY: an object that we have a reference to.
        Ok((this, unsafe { table(this, Rule::C1) }?))
    }

    fn object_owns(&self, object: usize, by: i32) {
        let mut objects = self.0.objects.borrow_mut();
        objects[object].references = objects[object].references.saturating_add_signed(by);
    }

    /// `AddRef` of an object. Does it answer 0?
    ///
    /// # Errors
    /// A slot is null, or what the bodies have seen.
    pub fn object_add_ref(&self, object: usize) -> Result<bool, Finding> {
        let (this, table) = self.object_table(object)?;
        let add_ref = slot(table.AddRef, Rule::C3, "AddRef")?;
        self.0.trail.add(format!("AddRef of object {object}"));
        // SAFETY: we have a reference.
        let count = unsafe { add_ref(this) };
        self.object_owns(object, 1);
        self.then(count == 0)
    }

    /// `Release` of an object. Does it answer 0?
    ///
    /// # Errors
    /// As for [`Self::object_add_ref`].
    pub fn object_release(&self, object: usize) -> Result<bool, Finding> {
        let (this, table) = self.object_table(object)?;
        let release = slot(table.Release, Rule::C3, "Release")?;
        self.object_owns(object, -1);
        self.0.trail.add(format!("Release of object {object}"));
        // SAFETY: our reference.
        let count = unsafe { release(this) };
        self.then(count == 0)
    }

    /// `QueryInterface` of an object, for IUnknown or for what nobody has.
    ///
    /// # Errors
    /// As for [`Self::object_add_ref`], or the pointer is not as the answer says.
    pub fn object_query(&self, object: usize, known: bool) -> Result<NTSTATUS, Finding> {
        let (this, table) = self.object_table(object)?;
        let query = slot(table.QueryInterface, Rule::C1, "QueryInterface")?;
        let iid = if known { IUnknownRaw::IID } else { NOBODYS };
        let mut out = this.wrapping_byte_add(1);
        self.0.trail.add(format!("QueryInterface of object {object} for {iid}"));
        // SAFETY: we have a reference; both pointers are good.
        let status = unsafe { query(this, &raw const iid, &raw mut out) };
        let success = status == NTSTATUS::SUCCESS;
        self.object_owns(object, success.into());
        let expected = if success { this } else { ptr::null_mut() };
        ensure!(C1, out == expected, "QueryInterface of an object answers {status} and leaves {out:?}");
        self.then(status)
    }

    /// How often an object has been dropped.
    #[must_use]
    pub fn object_drops(&self, object: usize) -> u32 {
        self.0.objects.borrow().get(object).map_or(0, |object| object.drops)
    }

    /// What has happened to an operation's body and handler.
    #[must_use]
    pub fn record(&self, operation: usize) -> Record {
        self.0.record(operation)
    }

    /// How many operations there is memory for, where the library tells.
    #[must_use]
    pub fn live(&self) -> Option<u64> {
        // SAFETY: the header: a question that may be asked at any time.
        self.table().live_operations.map(|live| unsafe { live() })
    }

    /// The status that get_status writes.
    ///
    /// # Errors
    /// A breach of C4.
    pub fn status(&self, operation: usize) -> Result<u32, Finding> {
        let answer = self.get_status(operation, Out::Given)?;
        match answer {
            Answer { status: 0, out: OutValue::Number(number @ 0..=3) } => Ok(number),
            Answer { status, out } => Err(Finding::new(
                Rule::C4,
                format!("get_status answers {} and writes {out:?}", NTSTATUS::from_u32(status)),
            )),
        }
    }

    /// The operation has this status.
    ///
    /// # Errors
    /// It has another one: a breach of this rule.
    pub fn expect_status(&self, rule: Rule, operation: usize, expected: u32) -> Check {
        let found = self.status(operation)?;
        if found == expected {
            return Ok(());
        }
        let name = |status| ["Started", "Completed", "Canceled", "Error"][status as usize % 4];
        Err(Finding::new(
            rule,
            format!("operation {operation} is {}, and should be {}", name(found), name(expected)),
        ))
    }

    /// The operation ended like this, by all that it answers.
    ///
    /// # Errors
    /// It did not: a breach of this rule.
    pub fn expect_end(&self, rule: Rule, operation: usize, status: u32, stored: NTSTATUS) -> Check {
        self.expect_status(rule, operation, status)?;
        let result = self.get_result(operation, Out::Given)?;
        let bytes = if stored == NTSTATUS::SUCCESS { Bytes::Value } else { Bytes::Zeroed };
        let wrong = |what: &str| Finding::new(rule, format!("operation {operation}: {what}"));
        if result.status != stored.to_u32() {
            let answered = NTSTATUS::from_u32(result.status);
            return Err(wrong(&format!("get_result answers {answered}, and should answer {stored}")));
        }
        if result.out != OutValue::Bytes(bytes) {
            return Err(Finding::new(
                Rule::C5,
                format!(
                    "operation {operation}: get_result leaves {:?}, and should leave {bytes:?}",
                    result.out
                ),
            ));
        }
        Ok(())
    }
}

struct AtPassive<F> {
    what: Option<F>,
    answer: Check,
}

unsafe extern "C" fn passive<F: FnOnce(&Kit<'_>) -> Check>(context: *mut c_void) {
    // SAFETY: what `at_passive_level` gave, called before it returns, by one thread.
    let inside = unsafe { &mut *context.cast::<AtPassive<F>>() };
    if let Some(what) = inside.what.take() {
        inside.answer = world::with(|world| what(&Kit(world)));
    }
}

unsafe extern "C" fn object_dropped(context: *mut c_void) {
    world::with(|world| {
        let number = context.addr().wrapping_sub(1);
        world.trail.add(format!("  object {number} is dropped"));
        let object = world.objects.borrow_mut().get_mut(number).map(|object| {
            object.drops += 1;
            *object
        });
        let Some(object) = object else {
            world.breach(Rule::C19, "an object is dropped with another's context".to_owned());
            return;
        };
        if object.drops > 1 {
            world.breach(Rule::C3, format!("object {number} is dropped a second time"));
        }
        if object.references > 0 {
            world.breach(Rule::C3, format!("object {number} is dropped while a client holds it"));
        }
        let body = world.slots.borrow().iter().position(|slot| {
            slot.object == Some(number) && !slot.bodyless && !slot.spawning && slot.record.drops == 0
        });
        if let Some(operation) = body {
            let why = format!("object {number} is dropped while the body of operation {operation} lives");
            world.breach(Rule::C19, why);
        }
    });
}
