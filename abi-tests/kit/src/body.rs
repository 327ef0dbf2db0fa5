//! The kit's bodies.
//!
//! They run scripts through the functions of the library's table, and record their polls and drops.
//! Steps have the same meaning as in `ntcom_fuzz_model::script`, so the model of the fuzz targets
//! predicts the results.

use core::{ffi::c_void, ptr};

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{
    event::mix,
    script::{BodyStep, Shape},
    value::{ValueKind, bytes_of},
};

use crate::{
    rule::Rule,
    table::{self, MAY_FAIL, Recipe, poll},
    world::{self, CaseWorld, Kit},
};

/// The number of a kind in the header.
#[must_use]
pub(crate) const fn kind_number(kind: ValueKind) -> u32 {
    match kind {
        ValueKind::Unit => 0,
        ValueKind::U8 => 1,
        ValueKind::U64 => 2,
        ValueKind::Padded => 3,
        ValueKind::Aligned => 4,
        ValueKind::Page => 5,
    }
}

/// The bit of a shape in the header.
#[must_use]
pub(crate) const fn shape_bit(shape: Shape) -> u32 {
    match shape {
        Shape::Plain => table::shape::PLAIN,
        Shape::TryFinally => table::shape::TRY_FINALLY,
        Shape::OnCancel => table::shape::ON_CANCEL,
        Shape::Nested => table::shape::NESTED,
        Shape::Join => table::shape::JOIN,
    }
}

/// The context of a body. It is the operation's number plus 1, so that it is not null.
fn context(operation: usize) -> *mut c_void {
    ptr::without_provenance_mut(operation + 1)
}

/// The recipe of an operation's body.
pub(crate) fn recipe(world: &CaseWorld, operation: usize) -> Recipe {
    world.slot(operation, |slot| Recipe {
        size: size_of::<Recipe>() as u32,
        kind: kind_number(slot.kind),
        shape: shape_bit(slot.script.shape),
        flags: if slot.fails.is_some() { MAY_FAIL } else { 0 },
        context: context(operation),
        begin,
        poll: poll_part,
        guarded,
        finish,
        drop: drop_body,
    })
}

/// The operation of a context that the library passes back. `None`, and a breach, if no body has
/// this context.
fn known(world: &CaseWorld, context: *mut c_void, what: &str) -> Option<usize> {
    let operation = context.addr().wrapping_sub(1);
    if world.try_slot(operation, |_| ()).is_some() {
        return Some(operation);
    }
    world::stray_call(&format!("a body's {what}"));
    world.breach(Rule::C8, format!("{what} is called with a context that is no body's"));
    None
}

unsafe extern "C" fn begin(context: *mut c_void) {
    world::with(|world| {
        let Some(operation) = known(world, context, "begin") else { return };
        let over = if world.over.get() { ", after the program has ended" } else { "" };
        world.trail.add(format!("  operation {operation}: its body is polled{over}"));
        let (dropped, finished, polling) =
            world.slot(operation, |slot| (slot.record.drops > 0, slot.finished, slot.polling));
        if dropped || finished {
            world.breach(Rule::C8, format!("the body of operation {operation} is polled after its end"));
        }
        if polling {
            world.breach(Rule::C8, format!("the body of operation {operation} is polled while it is polled"));
        }
        if !world.advancing.get() && !world.over.get() {
            let place = world.place();
            world.breach(Rule::C9, format!("the body of operation {operation} is polled {place}"));
        }
        check_level(world, operation, "polled");
        world.slot(operation, |slot| slot.record.polls += 1);
    });
}

const PASSIVE_LEVEL: u32 = 0;

/// Checks that a body is polled or dropped at the executor's level, and one that may wait at
/// PASSIVE_LEVEL [C13].
fn check_level(world: &CaseWorld, operation: usize, what: &str) {
    let table = world.table.get();
    let Some(irql) = table.irql else { return };
    // SAFETY: `irql` may be called at any time.
    let now = unsafe { irql() };
    let expected = if world.slot(operation, |slot| slot.passive) { PASSIVE_LEVEL } else { table.level };
    if now != expected {
        world.breach(
            Rule::C13,
            format!("the body of operation {operation} is {what} at IRQL {now}, not at {expected}"),
        );
    }
}

unsafe extern "C" fn poll_part(context: *mut c_void, part: u32, task: *mut c_void) -> i32 {
    world::with(|world| {
        let Some(operation) = known(world, context, "poll") else { return poll::READY };
        let part = part as usize;
        let Some(before) = world.slot(operation, |slot| {
            let before = slot.parts.get(part).copied();
            if let Some(part) = slot.parts.get_mut(part) {
                part.begun = true;
            }
            slot.polling = true;
            before
        }) else {
            world.breach(Rule::C10, format!("operation {operation} has no part {part}"));
            return poll::READY;
        };
        if before.ended {
            world.breach(Rule::C10, format!("part {part} of operation {operation} is polled after its end"));
        }
        if world.slot(operation, |slot| slot.raises) {
            world.slot(operation, |slot| slot.polling = false);
            return poll::RAISE;
        }
        if let Some(asks) = world.slot(operation, |slot| slot.asks.take())
            && let Err(finding) = asks(&Kit(world), operation)
        {
            world.find(finding);
        }
        let ready = run_part(world, operation, part, task);
        world.slot(operation, |slot| {
            slot.polling = false;
            if let Some(part) = slot.parts.get_mut(part) {
                part.ended = ready;
            }
        });
        if ready { poll::READY } else { poll::PENDING }
    })
}

/// Goes on with a part. True if it has ended.
fn run_part(world: &CaseWorld, operation: usize, part: usize, task: *mut c_void) -> bool {
    let shape = world.slot(operation, |slot| slot.script.shape);
    let (first, end) = shape.part(part);
    loop {
        let (at, inside) = world
            .slot(operation, |slot| slot.parts.get(part).map_or((end, None), |part| (part.at, part.inside)));
        if first + at >= end {
            return true;
        }
        let step = world.slot(operation, |slot| slot.script.step(first + at));
        let is_cleanup = shape.is_cleanup(part);
        let (goes_on, inside) = step_once(world, operation, step, inside, is_cleanup, task);
        world.slot(operation, |slot| {
            if let Some(part) = slot.parts.get_mut(part) {
                match goes_on {
                    Some(true) => *part = world::Part { at: at + 1, inside: None, ..*part },
                    Some(false) => part.at = end,
                    None => part.inside = inside,
                }
            }
        });
        match goes_on {
            Some(true) => {}
            Some(false) => return true,
            None => return false,
        }
    }
}

/// Does one step. `Some` says whether to go on with the next, and `None` returns PENDING. The
/// second result is the state of the step.
fn step_once(
    world: &CaseWorld,
    operation: usize,
    step: BodyStep,
    inside: Option<u8>,
    is_cleanup: bool,
    task: *mut c_void,
) -> (Option<bool>, Option<u8>) {
    let table = Calls(world);
    match step {
        BodyStep::Finish => return (Some(false), None),
        BodyStep::Yield(times) => {
            let left = inside.unwrap_or(times + 1);
            if left > 0 {
                table.wake(task);
                return (None, Some(left - 1));
            }
        }
        BodyStep::Await(gate) => {
            if !pass_gate(world, gate.into()) {
                wait_at_gate(world, gate.into(), operation, task);
                return (None, inside);
            }
        }
        BodyStep::Stash => {
            let waker = table.waker(task);
            world.stash.borrow_mut().push((operation, waker));
        }
        BodyStep::Take => {
            let taken = table.take_cancellation(task);
            log(world, operation, 0x10 | u64::from(taken));
        }
        BodyStep::Observe => log(world, operation, 0x20 | u64::from(table.is_cancelled(task))),
        BodyStep::Park => {
            if inside.is_none() {
                if is_cleanup {
                    table.wake(task);
                }
                return (None, Some(0));
            }
        }
        BodyStep::Open(gate) => open_gate(world, gate.into()),
        BodyStep::KeepWaker => {
            let waker = table.waker(task);
            let old = world.slot(operation, |slot| slot.kept.replace(waker));
            old.into_iter().for_each(|waker| table.drop_waker(waker));
        }
        BodyStep::DropKept => {
            let kept = world.slot(operation, |slot| slot.kept.take());
            kept.into_iter().for_each(|waker| table.drop_waker(waker));
        }
        BodyStep::Notify => table.wake(task),
        // Effects of bodies on each other depend on the order in which they run, which the contract
        // does not promise. So these bodies have no links and leave the stash alone.
        BodyStep::CancelLink | BodyStep::ReleaseLink | BodyStep::AskLink | BodyStep::DropStash(_) => {}
    }
    (Some(true), None)
}

/// The table's functions for wakers and tasks.
pub(crate) struct Calls<'a>(pub(crate) &'a CaseWorld);

impl Calls<'_> {
    /// Calls a function of a waker, and checks that it does not allocate [C13].
    fn counted<R>(&self, name: &str, call: impl FnOnce() -> R) -> R {
        // SAFETY: `allocations` may be called at any time.
        let count = || self.0.table.get().allocations.map(|count| unsafe { count() });
        let before = count();
        let answer = self.0.during(name, call);
        if before != count() {
            self.0.breach(Rule::C13, format!("{name} allocates memory"));
        }
        answer
    }

    fn wake(&self, task: *mut c_void) {
        let Some(wake) = self.0.table.get().task_wake else { return };
        // SAFETY: `task` is the task of the current poll.
        unsafe { wake(task) }
    }

    fn waker(&self, task: *mut c_void) -> *mut c_void {
        let Some(waker) = self.0.table.get().task_waker else { return ptr::null_mut() };
        // SAFETY: `task` is the task of the current poll.
        unsafe { waker(task) }
    }

    fn is_cancelled(&self, task: *mut c_void) -> bool {
        let Some(asks) = self.0.table.get().task_is_cancelled else { return false };
        // SAFETY: `task` is the task of the current poll.
        let answer = unsafe { asks(task) };
        answer != 0
    }

    fn take_cancellation(&self, task: *mut c_void) -> bool {
        let Some(takes) = self.0.table.get().task_take_cancellation else { return false };
        // SAFETY: `task` is the task of the current poll.
        let answer = unsafe { takes(task) };
        answer != 0
    }

    pub(crate) fn clone_waker(&self, waker: *mut c_void) -> *mut c_void {
        let Some(clone) = self.0.table.get().waker_clone else { return ptr::null_mut() };
        // SAFETY: the kit owns this waker.
        self.counted("waker_clone", || unsafe { clone(waker) })
    }

    pub(crate) fn wake_waker(&self, waker: *mut c_void) {
        let Some(wake) = self.0.table.get().waker_wake else { return };
        // SAFETY: the kit owns this waker, and gives it up.
        self.counted("waker_wake", || unsafe { wake(waker) });
    }

    pub(crate) fn wake_waker_by_ref(&self, waker: *mut c_void) {
        let Some(wake) = self.0.table.get().waker_wake_by_ref else { return };
        // SAFETY: the kit owns this waker.
        self.counted("waker_wake_by_ref", || unsafe { wake(waker) });
    }

    pub(crate) fn drop_waker(&self, waker: *mut c_void) {
        let Some(drop) = self.0.table.get().waker_drop else { return };
        // SAFETY: the kit owns this waker, and gives it up.
        self.counted("waker_drop", || unsafe { drop(waker) });
    }
}

fn pass_gate(world: &CaseWorld, gate: usize) -> bool {
    world.all_open.get()
        || world.gates.borrow_mut().get_mut(gate).is_some_and(|gate| core::mem::take(&mut gate.open))
}

fn wait_at_gate(world: &CaseWorld, gate: usize, operation: usize, task: *mut c_void) {
    let waiting = world.gates.borrow()[gate].waiters.iter().any(|(other, _)| *other == operation);
    if !waiting {
        let waker = Calls(world).waker(task);
        world.gates.borrow_mut()[gate].waiters.push((operation, waker));
    }
}

/// Opens a gate. The next wait passes, and all waiting bodies are woken.
pub(crate) fn open_gate(world: &CaseWorld, gate: usize) {
    let waiters = {
        let mut gates = world.gates.borrow_mut();
        gates[gate].open = true;
        core::mem::take(&mut gates[gate].waiters)
    };
    for (_, waker) in waiters {
        Calls(world).wake_waker(waker);
    }
}

/// Adds an entry to a body's log.
fn log(world: &CaseWorld, operation: usize, entry: u64) {
    world.trail.add(format!("  operation {operation}: its body sees {}", seen(entry)));
    world.slot(operation, |slot| slot.record.log = mix(slot.record.log, entry));
}

/// Describes an entry of a body's log.
fn seen(entry: u64) -> &'static str {
    match entry {
        0x10 => "no request to take",
        0x11 => "a request, and takes it",
        0x20 => "no request",
        0x21 => "a request",
        0x70..=0x73 => "both guards end",
        0x80..=0x8F => "its object",
        _ if entry & 1 == 1 => "a guard end with a value",
        _ => "a guard end without a value",
    }
}

unsafe extern "C" fn guarded(context: *mut c_void, guard: u32, has_value: i32) {
    world::with(|world| {
        let Some(operation) = known(world, context, "guarded") else { return };
        let some = has_value != 0;
        let (shape, guards) = world.slot(operation, |slot| {
            if let Some(guard) = slot.guards.get_mut(guard as usize) {
                *guard = Some(some);
            }
            (slot.script.shape, slot.guards)
        });
        let base = match (shape, guard) {
            (Shape::TryFinally, 0) => 0x30,
            (Shape::OnCancel, 0) => 0x40,
            (Shape::Nested, 0) => 0x50,
            (Shape::Nested, 1) => 0x60,
            (Shape::Join, 0 | 1) => {
                if let [Some(first), Some(second)] = guards {
                    log(world, operation, 0x70 | u64::from(first) << 1 | u64::from(second));
                }
                return;
            }
            _ => {
                world.breach(Rule::C10, format!("operation {operation} has no guard {guard}"));
                return;
            }
        };
        log(world, operation, base | u64::from(some));
    });
}

unsafe extern "C" fn finish(context: *mut c_void, value: *mut c_void) -> i32 {
    world::with(|world| {
        let Some(operation) = known(world, context, "finish") else { return NTSTATUS::UNSUCCESSFUL.0 };
        let (again, kind, fails) = world
            .slot(operation, |slot| (core::mem::replace(&mut slot.finished, true), slot.kind, slot.fails));
        if again {
            world.breach(Rule::C8, format!("the body of operation {operation} ends a second time"));
        }
        if let Some(object) = world.slot(operation, |slot| slot.reaches) {
            log(world, operation, 0x80 | object as u64);
        }
        if let Some(status) = fails {
            world.trail.add(format!("  operation {operation}: its body fails with {status}"));
            return status.0;
        }
        world.trail.add(format!("  operation {operation}: its body ends with its value"));
        let bytes = bytes_of(kind, operation);
        if !bytes.is_empty() {
            // SAFETY: the header promises room for the kind's size.
            unsafe { value.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
        NTSTATUS::SUCCESS.0
    })
}

unsafe extern "C" fn drop_body(context: *mut c_void) {
    world::with(|world| {
        let Some(operation) = known(world, context, "drop") else { return };
        let over = world.over.get();
        let when = if over { ", after the program has ended" } else { "" };
        world.trail.add(format!("  operation {operation}: its body is dropped{when}"));
        let slot = world.slot(operation, |slot| {
            slot.record.drops += 1;
            slot.clone()
        });
        if slot.record.drops > 1 {
            world.breach(Rule::C8, format!("the body of operation {operation} is dropped a second time"));
        }
        if slot.polling {
            world
                .breach(Rule::C8, format!("the body of operation {operation} is dropped while it is polled"));
        }
        let refused = slot.spawning && slot.record.polls == 0;
        if refused {
            world.slot(operation, |slot| slot.bodyless = true);
        } else if over {
            // After an aborted program the library frees the remaining bodies. No client's call is
            // running.
        } else if !world.advancing.get() {
            let place = world.place();
            world.breach(Rule::C9, format!("the body of operation {operation} is dropped {place}"));
        } else {
            check_level(world, operation, "dropped");
        }
        // A client holds a reference, so the operation was not abandoned. Each cleanup that is due
        // has run.
        let bits = slot.parts.iter().enumerate().fold(0, |bits, (number, part)| {
            bits | u8::from(part.begun) << number | (u8::from(part.ended) << number) << 4
        });
        if slot.references > 0
            && !over
            && let Some(part) = slot.script.shape.missing_cleanup(bits)
        {
            world.breach(
                Rule::C10,
                format!("the body of operation {operation} is dropped without its cleanup, part {part}"),
            );
        }
        let kept = world.slot(operation, |slot| slot.kept.take());
        kept.into_iter().for_each(|waker| Calls(world).drop_waker(waker));
    });
}
