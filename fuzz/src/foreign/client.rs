//! The steps of the client and of the other side. Each answer of the client is compared with the
//! answers that it got in that call.

use core::{
    fmt::Debug,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::sync::Arc;

use ntcom::{ComRc, IUnknownRaw, NTSTATUS};

use super::{
    expect::Replies,
    held::{Held, Received, take},
    hostile::Hostile,
    input::{ForeignStep, How, Op, Slot},
    kind::ForeignKind,
    reply::{Awaited, Gift, Reply, Way},
    slots::{CONTROL, OPERATION, call_back},
    thing::IThingRaw,
    world::{self, FUTURES, ForeignWorld, Future, Given, OBJECTS, TASKS, THINGS},
};
use crate::{harness::coverage, operations::perform::TWO_TICKS};

/// Does one step.
pub(crate) fn perform(world: &ForeignWorld, step: &ForeignStep) {
    world.steps.set(world.steps.get() + 1);
    ntsim::note(|| step.to_string());
    if try_perform(world, step).is_some() {
        world.live.set(world.live.get() + 1);
    }
}

/// Does a step. `None` if there is nothing to do it to.
fn try_perform(world: &ForeignWorld, step: &ForeignStep) -> Option<()> {
    let target = usize::from(step.target);
    match step.op {
        Op::New(kind) => new(world, kind),
        Op::Answer(slot, answer) => {
            object(world, target)?.queue_answer(slot, answer);
            Some(())
        }
        Op::Become(state) => {
            object(world, target)?.state.set(state.into());
            Some(())
        }
        Op::Holes(table, mask) => {
            object(world, target)?.remove_slots(table, mask);
            Some(())
        }
        Op::Vanish(table) => {
            object(world, target)?.remove_table(table);
            Some(())
        }
        Op::Headless(slot) => {
            object(world, target)?.remove_slot(slot);
            Some(())
        }
        Op::Spoil(defect) => {
            spoilable(world, target)?.thing.has(defect);
            Some(())
        }
        Op::CallBack { which, status, twice } => {
            let given = {
                let given = world.given.borrow();
                *given.get(usize::from(which) % given.len().max(1))?
            };
            for _ in 0..=usize::from(twice) {
                calls_back(world, given, status.into());
            }
            Some(())
        }
        Op::CallNonsense(context) => {
            let given = *world.given.borrow().first()?;
            // This context was never given, and each step has its own.
            let context = (1 << 40) + usize::from(context);
            calls_back(world, Given { context, ..given }, 1);
            Some(())
        }
        Op::Status => on(world, target, &step.op, |o| o.status(), |replies| replies.status()),
        Op::Result => {
            on(world, target, &step.op, |o| o.result().map(|got| keep(world, got)), |replies| replies.value())
        }
        Op::Error => on(world, target, &step.op, |o| o.error(), |replies| replies.error()),
        Op::Cancel => on(world, target, &step.op, |o| o.cancel(), |replies| replies.cancel()),
        Op::Wait(limit) => {
            let limit = (limit < 200).then(|| Duration::from_millis(limit.into()));
            on(world, target, &step.op, |o| o.wait(limit), |replies| replies.wait(limit))
        }
        Op::Size => on(world, target, &step.op, |o| o.size(), |replies| replies.size()),
        Op::Unknown => on(world, target, &step.op, |o| o.unknown(), |replies| replies.unknown()),
        Op::Again(kind) => on(world, target, &step.op, |o| o.again(kind), |replies| replies.again(kind)),
        Op::Use => use_thing(world, target, &step.op),
        Op::Forget => {
            drop(kept(world, target)?);
            Some(())
        }
        Op::Clone => {
            let number = held(world, target)?;
            // A vanished table has no AddRef. Cloning then stops the machine, as documented.
            if !world.object(number).has(Slot::Query) {
                return None;
            }
            let clone = world.held.borrow()[number].last()?.another();
            world.held.borrow_mut()[number].push(clone);
            Some(())
        }
        Op::Drop => {
            let number = held(world, target)?;
            let last = world.held.borrow_mut()[number].pop();
            drop(last);
            Some(())
        }
        Op::Future(how) => future(world, target, how),
        Op::Poll(waker) => {
            let place = filled(world, target)?;
            poll(world, place, waker.into());
            Some(())
        }
        Op::DropFuture => {
            let place = filled(world, target)?;
            drop_future(world, place);
            Some(())
        }
        Op::Task(how) => task(world, target, how),
        Op::CancelTask => {
            let task = world.tasks.get(target % TASKS)?;
            let handle = task.handle.take()?;
            task.canceled.set(true);
            handle.cancel();
            Some(())
        }
        Op::AdvanceTime => {
            advance_time(world);
            Some(())
        }
        Op::Starve(nth) => {
            world.starved.set(true);
            ntsim::fail_allocation(nth.into());
            Some(())
        }
        Op::Schedule(_) => None,
    }
}

fn new(world: &ForeignWorld, kind: ForeignKind) -> Option<()> {
    let number = world.objects.borrow().len();
    if number == OBJECTS {
        return None;
    }
    let object = Hostile::new(number, kind, OPERATION, CONTROL);
    world.objects.borrow_mut().push(object);
    // SAFETY: `object` is an operation of that type with one reference. It stays until the run is
    // over.
    let client = unsafe { take(kind, object.cast()) };
    let client = client.unwrap_or_else(|status| {
        ntsim::fail("C17", format!("the client refuses an operation with all its slots: {status}"))
    });
    world.held.borrow_mut().push(vec![client]);
    Some(())
}

fn object(world: &ForeignWorld, target: usize) -> Option<&Hostile> {
    let count = world.objects.borrow().len();
    (count > 0).then(|| world.object(target % count))
}

/// An object that yields interfaces.
fn spoilable(world: &ForeignWorld, target: usize) -> Option<&Hostile> {
    let count = world.objects.borrow().len();
    let yields = || (0..count).filter(|number| world.object(*number).kind == ForeignKind::Interface);
    yields().nth(target % yields().count().max(1)).map(|number| world.object(number))
}

/// The number of an object that the client holds.
fn held(world: &ForeignWorld, target: usize) -> Option<usize> {
    let held = world.held.borrow();
    let live = || (0..held.len()).filter(|number| !held[*number].is_empty());
    live().nth(target % live().count().max(1))
}

/// Calls an object, and compares the result with the expected one.
fn on<T: PartialEq + Debug>(
    world: &ForeignWorld,
    target: usize,
    op: &Op,
    call: impl FnOnce(&dyn Held) -> Result<T, NTSTATUS>,
    expected: impl FnOnce(&mut Replies<'_>) -> Result<T, NTSTATUS>,
) -> Option<()> {
    let number = held(world, target)?;
    // Take it out of the list while it is used, because the other side may do anything meanwhile.
    let client = world.held.borrow_mut()[number].pop()?;
    let answered = listen(world, || call(&*client));
    let said = world.said.take();
    let mut replies = Replies::new(&said, world.object(number), world.alone.get());
    let expected = expected(&mut replies);
    hit(op, answered.is_ok(), &said, world.object(number).kind as u32);
    if answered != expected {
        let told = format!("{said:?}");
        ntsim::fail(
            "C17",
            format!(
                "{op:?} on object {number} gives {answered:?}, expected {expected:?} after the answers {told}"
            ),
        );
    }
    if !replies.is_over() && world.alone.get() {
        ntsim::fail("talk", format!("{op:?} on object {number} makes more calls than it must: {said:?}"));
    }
    world.held.borrow_mut()[number].push(client);
    world.said.replace(said);
    Some(())
}

/// Keeps an interface that the client was handed out, and releases the oldest one if there are too
/// many. Returns the value.
fn keep(world: &ForeignWorld, got: Received) -> u128 {
    let Received { worth, interface } = got;
    let full = world.kept.borrow().len() == THINGS;
    let oldest = (full && interface.is_some()).then(|| world.kept.borrow_mut().remove(0));
    drop(oldest);
    world.kept.borrow_mut().extend(interface);
    worth
}

/// Takes an interface out of the list.
fn kept(world: &ForeignWorld, target: usize) -> Option<ComRc<IThingRaw>> {
    let mut kept = world.kept.borrow_mut();
    let place = target.checked_rem(kept.len())?;
    Some(kept.remove(place))
}

/// Uses an interface that the client was handed out.
fn use_thing(world: &ForeignWorld, target: usize, op: &Op) -> Option<()> {
    let thing = kept(world, target)?;
    let this = thing.as_ptr().cast();
    let Some(number) = (0..world.objects.borrow().len()).find(|n| world.object(*n).thing.this() == this)
    else {
        ntsim::fail("C17", format!("the client has the interface {this:p}, which no operation has yielded"));
    };
    let object = world.object(number);
    let found = listen(world, || thing.query::<IUnknownRaw>().map(drop));
    let said = world.said.take();
    let expected = Replies::new(&said, object, world.alone.get()).unknown_of_thing();
    hit(op, found.is_ok(), &said, 0);
    if found != expected {
        ntsim::fail(
            "C17",
            format!(
                "IUnknown of the thing of object {number} gives {found:?}, expected {expected:?} after the answers {said:?}"
            ),
        );
    }
    world.said.replace(said);
    let (answered, expected) =
        (thing.number(), object.thing.answers().ok_or(NTSTATUS::DRIVER_INTERNAL_ERROR));
    if answered != expected {
        ntsim::fail(
            "C17",
            format!("the thing of object {number} answers {answered:?}, expected {expected:?}"),
        );
    }
    // Cloning an interface without AddRef stops the machine, as documented.
    if object.thing.is_whole() {
        drop(thing.clone());
    }
    world.kept.borrow_mut().push(thing);
    Some(())
}

/// Makes a call, and records the answers that the client gets in it.
fn listen<R>(world: &ForeignWorld, call: impl FnOnce() -> R) -> R {
    world.said.borrow_mut().clear();
    world.registered.set(None);
    call()
}

/// Reports to libFuzzer a step with its result, the answers and the situation.
fn hit(op: &Op, ok: bool, said: &[Reply], situation: u32) {
    let kind = match op {
        Op::Status => 1,
        Op::Result => 2,
        Op::Error => 3,
        Op::Cancel => 4,
        Op::Wait(_) => 5,
        Op::Size => 6,
        Op::Unknown => 7,
        Op::Poll(_) => 8,
        Op::Again(kind) => 16 + *kind as u32,
        Op::Use => 10,
        _ => 9,
    };
    let mut words = situation;
    for said in said.iter().take(4) {
        let (word, code) = match *said {
            Reply::Query(code, gave) => (u32::from(gave), code),
            Reply::Status(code, status) => {
                (2 + status.map_or(7, |s| s.clamp(-1, 4).cast_unsigned() & 7), code)
            }
            Reply::Result(code, _, Gift::None) => (10, code),
            Reply::Result(code, _, gift) => (17 + u32::from(gift == Gift::Whole), code),
            Reply::Cancel(code) => (11, code),
            Reply::Error(code, error) => (12 + u32::from(error.is_some_and(NTSTATUS::is_success)), code),
            Reply::SetCompleted(code) => (14, code),
            Reply::Wait(code, _) => (15, code),
            Reply::Size(code, _) => (16, code),
        };
        let code = match code {
            NTSTATUS::SUCCESS => 0,
            code if code.is_success() => 1,
            _ => 2,
        };
        words = words << 7 | word << 2 | code;
    }
    coverage::hit(0x4000 | kind << 1 | u32::from(ok), words);
}

fn future(world: &ForeignWorld, target: usize, how: How) -> Option<()> {
    let object = held(world, target)?;
    let place = {
        let mut futures = world.futures.borrow_mut();
        if futures.len() < FUTURES {
            futures.push(None);
        }
        futures.iter().position(Option::is_none)?
    };
    let operation = world.held.borrow_mut()[object].pop()?;
    let future =
        Future { future: operation.awaiting(how), object, how, awaited: Awaited::default(), waits: None };
    world.futures.borrow_mut()[place] = Some(future);
    Some(())
}

fn filled(world: &ForeignWorld, target: usize) -> Option<usize> {
    let futures = world.futures.borrow();
    let live = || (0..futures.len()).filter(|place| futures[*place].is_some());
    live().nth(target % live().count().max(1))
}

/// Polls a future, judges its result, and drops it if it is ready.
pub(crate) fn poll(world: &ForeignWorld, place: usize, waker: usize) {
    let Some(mut future) = world.futures.borrow_mut()[place].take() else { return };
    let counter = Arc::clone(&world.wakers.borrow()[waker]);
    let before = counter.wakes();
    let real = Waker::from(counter);
    let polled = listen(world, || future.future.as_mut().poll(&mut Context::from_waker(&real)));
    let polled = polled.map_ok(|got| keep(world, got));
    drop(real);
    let said = world.said.take();
    if let Some(ticket) = world.registered.take() {
        let old = future.awaited.ticket.replace(ticket);
        if old.is_some_and(|old| old != ticket) {
            ntsim::fail("C14", format!("future {place} sets a handler twice"));
        }
    }
    let called = future.awaited.ticket.is_some_and(|ticket| world.called.borrow().contains(&ticket));
    let alone = world.alone.get();
    let mut replies = Replies::new(&said, world.object(future.object), alone);
    let expected = replies.poll(&mut future.awaited, future.how.polls, called);
    let kind = world.object(future.object).kind as u32;
    hit(&Op::Poll(0), polled.is_ready(), &said, kind << 2 | future.awaited.way as u32);
    // The timer could not be set.
    let starved = world.starved.get() && polled == Poll::Ready(Err(NTSTATUS::INSUFFICIENT_RESOURCES));
    // The client may or may not have seen the other processor's work. That work is a call of the
    // handler, or a slot that was removed before the client's second question.
    let broken = polled == Poll::Ready(Err(NTSTATUS::DRIVER_INTERNAL_ERROR));
    let late = !alone && (called && future.how.polls || broken && expected.is_pending());
    if polled != expected && !starved && !late {
        ntsim::fail(
            "C17",
            format!(
                "a poll of future {place} gives {polled:?}, expected {expected:?} after the answers {said:?} (handler called: {called})"
            ),
        );
    }
    if late {
        replies.lose_the_rest(matches!(polled, Poll::Ready(Ok(_))));
    }
    if let Poll::Ready(Err(error)) = polled
        && error.is_success()
    {
        ntsim::fail("C17", format!("future {place} fails with the success code {error}"));
    }
    world.said.replace(said);
    let pending = polled.is_pending();
    future.waits = pending.then_some((waker, before));
    world.futures.borrow_mut()[place] = Some(future);
    if !pending {
        drop_future(world, place);
    }
}

/// Drops a future, which cancels if it was made to.
pub(crate) fn drop_future(world: &ForeignWorld, place: usize) {
    let Some(future) = world.futures.borrow_mut()[place].take() else { return };
    let Future { future, object, how, awaited, .. } = future;
    listen(world, || drop(future));
    let said = world.said.take();
    let mut replies = Replies::new(&said, world.object(object), world.alone.get());
    if how.cancels && !awaited.over {
        // Any answer is allowed.
        let _asked = replies.cancel();
    }
    if !replies.is_over() && world.alone.get() {
        ntsim::fail(
            "talk",
            format!(
                "the drop of future {place} makes more calls than it must: {said:?} ({how:?}, {awaited:?})"
            ),
        );
    }
    world.said.replace(said);
}

fn task(world: &ForeignWorld, target: usize, how: How) -> Option<()> {
    let number = world.tasks.iter().position(|task| !task.spawned.get())?;
    let object = held(world, target)?;
    let operation = world.held.borrow_mut()[object].pop()?;
    let task = &world.tasks[number];
    task.object.set(object);
    task.spawned.set(true);
    let future = operation.awaiting(how);
    let body = async move {
        // An interface is released here, at DISPATCH_LEVEL.
        let result = future.await.map(|got| got.worth);
        world::with(|world| world.tasks[number].result.set(Some(result)));
    };
    match ntcom_exec::spawn_dpc_task_cancellable(body) {
        Ok(handle) => {
            task.handle.replace(Some(handle));
        }
        Err(NTSTATUS::INSUFFICIENT_RESOURCES) if world.starved.get() => task.canceled.set(true),
        Err(status) => ntsim::fail("spawn", format!("{status}")),
    }
    Some(())
}

/// Calls a handler from the other side. It wakes only the future that waits for it, and only once.
pub(crate) fn calls_back(world: &ForeignWorld, given: Given, status: i32) {
    if !world.alone.get() {
        return call_back(world, given, status);
    }
    let fresh = !world.called.borrow().contains(&given.context);
    let mut expected = world.wakes();
    for future in world.futures.borrow().iter().flatten() {
        let waits = future.waits.map(|(waker, _)| waker);
        if fresh
            && future.awaited.way == Way::Told
            && future.awaited.ticket == Some(given.context)
            && let Some(waker) = waits
        {
            expected[waker] += 1;
        }
    }
    call_back(world, given, status);
    let wakes = world.wakes();
    if wakes != expected {
        ntsim::fail(
            "wake",
            format!(
                "after a call of the handler with {:#x} the wakers have {wakes:?} wakes, expected {expected:?}",
                given.context
            ),
        );
    }
}

/// Advances the clock. The timer of each future that polls its operation wakes it.
pub(crate) fn advance_time(world: &ForeignWorld) {
    ntsim::advance_time(TWO_TICKS);
    if !world.alone.get() {
        return;
    }
    for (place, future) in world.futures.borrow().iter().enumerate() {
        let Some(future) = future else { continue };
        let looks = future.awaited.way == Way::Looks || future.how.polls;
        if looks && let Some((waker, before)) = future.waits {
            let wakes = world.wakers.borrow()[waker].wakes();
            if wakes == before {
                ntsim::fail(
                    "wake",
                    format!(
                        "future {place} polls its operation by a timer, but two clock ticks did not wake it"
                    ),
                );
            }
        }
    }
}
