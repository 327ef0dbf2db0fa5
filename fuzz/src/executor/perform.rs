//! Performs steps on the shipping executor. Every step is legal, because an object that is given up
//! is taken from its list first.

use core::time::Duration;

use ntcom_exec::{DrainError, Instant, TaskReport, TaskTracker, default_tracker};
use ntsim::ddi::KeSetEvent;

use super::{
    DEVICES, TASKS,
    held::{cancel, drop_handle, put_handle, send},
    operation,
    ops::{ExecutorStep, Op},
    request,
    script::{GATES, SIGNALS},
    spawn::{self, Order},
    task::{fail, marked},
    thread,
    wait::{no_waker, poll_timer},
    world::{ExecutorWorld, event, signal},
};
use crate::harness::{
    coverage::{self, hit},
    irql,
};

/// The step to do instead if a list is empty. The replacement makes it rare that a step reaches
/// nothing.
fn instead(world: &ExecutorWorld, op: Op) -> Op {
    let (n, empty) = match op {
        Op::Cancel(n) | Op::CloneHandle(n) | Op::DropHandle(n) => (n, world.handles.is_empty()),
        Op::WakeStash { index: n, .. } | Op::CloneStash(n) | Op::DropStash(n) => (n, world.stash.is_empty()),
        Op::Send(n) | Op::DropSender(n) => (n, world.senders.is_empty()),
        Op::PollTimer(n) | Op::DropTimer(n) => (n, world.timers.is_empty()),
        Op::CancelIrp(n) => (n, world.irps.is_empty()),
        Op::AskOperation(n) | Op::CancelOperation(n) | Op::DropOperation(n) => {
            (n, world.operations.is_empty())
        }
        Op::Spawn { .. } => (0, world.count.get() >= super::TASKS),
        _ => return op,
    };
    match empty {
        true if n & 1 == 0 => Op::OpenGate(n % GATES as u8),
        true => Op::SetSignal(n % SIGNALS as u8),
        false => op,
    }
}

/// Does one step of an actor.
pub(super) fn perform(world: &ExecutorWorld, step: &ExecutorStep) {
    let actor = usize::from(step.actor);
    let op = instead(world, step.op);
    let on = aim(world, &op);
    let what = op.number();
    ntsim::note(|| format!("A{actor} does {op:?}"));
    world.doing[actor].set((what, on.map_or(u8::MAX, |task| task as u8)));
    meet(world, actor, what, on);
    let done = dispatch(world, actor, op);
    world.doing[actor].set((0, 0));
    if what < Op::Schedule([0; 3]).number() {
        let live = done.is_some() && (op.reaches_something() || world.unfinished().next().is_some());
        world.steps.tried();
        if live {
            world.steps.reached();
        }
    }
}

/// The task that an operation is about to be done to.
fn aim(world: &ExecutorWorld, op: &Op) -> Option<usize> {
    match *op {
        Op::Cancel(n) | Op::CloneHandle(n) | Op::DropHandle(n) => world.handles.owner(n),
        Op::WakeStash { index: n, .. } | Op::CloneStash(n) | Op::DropStash(n) => world.stash.owner(n),
        Op::Send(n) | Op::DropSender(n) => world.senders.owner(n),
        Op::PollTimer(n) | Op::DropTimer(n) => world.timers.owner(n),
        Op::CancelIrp(n) => world.irps.owner(n),
        Op::AskOperation(n) | Op::CancelOperation(n) | Op::DropOperation(n) => world.operations.owner(n),
        Op::OpenGate(gate) => world.gates.first(gate.into()),
        Op::SetSignal(number) | Op::TakeSignal(number) => world.claims[usize::from(number)].get(),
        _ => None,
    }
}

/// Reports to libFuzzer the step and its task, combined with the state of the task and the steps of
/// the other actors.
fn meet(world: &ExecutorWorld, actor: usize, what: u8, on: Option<usize>) {
    let situation = on.map_or(0, |task| world.task(task).situation());
    let raised = u32::from(world.raised[actor].get().is_some());
    let what = 0x1000 | u32::from(what);
    hit(what, situation << 1 | raised);
    coverage::meet(&world.doing, actor, what, on, situation);
}

fn dispatch(world: &ExecutorWorld, actor: usize, op: Op) -> Option<()> {
    let passive = world.raised[actor].get().is_none();
    match op {
        Op::Spawn { kind, script, cancellable, irp, operation } => {
            spawn::spawn(world, Order { kind, script, cancellable, irp, operation })
        }
        Op::Cancel(n) => cancel(world, n),
        Op::CloneHandle(n) => {
            let (task, handle) = world.handles.take(n)?;
            let clone = handle.clone();
            let handles = &world.task(task).handles;
            handles.set(handles.get() + 1);
            put_handle(world, task, handle);
            put_handle(world, task, clone);
            Some(())
        }
        Op::DropHandle(n) => drop_handle(world, n),
        Op::WakeStash { index, by_ref } => world.stash.wake(index, by_ref, marked).map(drop),
        Op::CloneStash(n) => world.stash.clone_nth(n).map(drop),
        Op::DropStash(n) => world.stash.take(n).map(drop),
        Op::OpenGate(gate) => {
            let waits = world.gates.first(gate.into()).is_some();
            world.gates.open(gate.into(), marked);
            waits.then_some(())
        }
        Op::SetSignal(number) => {
            let waits = world.claims[usize::from(number)].get().is_some();
            signal(number.into()).set();
            waits.then_some(())
        }
        Op::SetEvent(number) => {
            // SAFETY: the IRQL is at most DISPATCH_LEVEL. The event is a static of the driver and
            // initialised.
            unsafe { KeSetEvent(event(number.into()), 0, 0) };
            Some(())
        }
        Op::TakeSignal(number) => signal(number.into()).take().then_some(()),
        Op::Send(n) => send(world, n),
        Op::DropSender(n) => world.senders.take(n).map(drop),
        Op::PollTimer(n) => {
            let (task, mut timer) = world.timers.take(n)?;
            if !poll_timer(world, task, &mut timer, &mut no_waker()) {
                world.timers.put(task, timer);
            }
            Some(())
        }
        Op::DropTimer(n) => world.timers.take(n).map(drop),
        Op::CancelIrp(n) => request::cancel(world, n),
        Op::AskOperation(n) => operation::ask(world, n),
        Op::CancelOperation(n) => operation::cancel(world, n),
        Op::DropOperation(n) => operation::release(world, n),
        Op::AdvanceTime(ticks) => {
            ntsim::advance_time(ticks.units());
            Some(())
        }
        Op::Raise => {
            irql::raise(&world.raised[actor]);
            Some(())
        }
        Op::Lower => {
            irql::lower(&world.raised[actor]);
            Some(())
        }
        Op::Drain(span) if passive => {
            let _left = drain(world, Some(span.duration()));
            Some(())
        }
        Op::Drain(span) => {
            let drained = default_tracker(|tracker| tracker.drain(Some(span.duration())));
            if drained != Err(DrainError::Irql) {
                ntsim::fail("C18", format!("a drain at DISPATCH_LEVEL answers {drained:?}"));
            }
            None
        }
        Op::CancelAll => {
            cancel_all(world);
            Some(())
        }
        Op::Unfinished => {
            let _left = unfinished(world);
            Some(())
        }
        Op::Close => {
            close(world);
            Some(())
        }
        Op::DeleteDevice(number) if passive => thread::delete_device(world, usize::from(number) % DEVICES),
        Op::DeleteDevice(_) => None,
        Op::FailAllocation(nth) => {
            world.starved.set(true);
            ntsim::fail_allocation(nth.into());
            Some(())
        }
        Op::Schedule(_) => None,
    }
}

/// Cancels every task.
pub(super) fn cancel_all(world: &ExecutorWorld) {
    world.asking.set(world.asking.get() + 1);
    world.unfinished().for_each(|task| world.task(task).body.ask());
    // This includes tasks with a spawn that has not returned.
    (0..world.count.get()).for_each(|task| world.task(task).body.maybe_asked.set(true));
    default_tracker(TaskTracker::cancel_all);
    world.asking.set(world.asking.get() - 1);
}

/// Closes the tracker. The executor must refuse every later spawn.
pub(super) fn close(world: &ExecutorWorld) {
    world.closing.set(true);
    default_tracker(TaskTracker::close);
    world.closed.set(true);
}

/// Asks the tracker for the number of unfinished tasks. The tracker knows each living task.
pub(super) fn unfinished(world: &ExecutorWorld) -> usize {
    let before: Vec<usize> = world.unfinished().collect();
    let told = default_tracker(TaskTracker::unfinished);
    let sure = |sure: &[usize]| sure.iter().filter(|task| world.task(**task).is_unfinished()).count();
    if report(world, |_| true) < sure(&before) {
        ntsim::fail("C18", "the tracker does not report every unfinished task".into());
    }
    let sure = sure(&before);
    if told < sure {
        ntsim::fail("C18", format!("the tracker counts {told} unfinished tasks, expected at least {sure}"));
    }
    told
}

/// Checks that each unfinished task that the tracker reports has references and is as `expected`.
/// Returns their number.
pub(super) fn report(world: &ExecutorWorld, expected: impl Fn(&TaskReport) -> bool) -> usize {
    let mut room = [None; TASKS];
    let all = default_tracker(|tracker| tracker.report(&mut room));
    let told = room.iter().flatten();
    if told.clone().count() != all {
        ntsim::fail(
            "C18",
            format!("the tracker reports {} tasks, and says that there are {all}", told.count()),
        );
    }
    if let Some(wrong) = told.into_iter().find(|task| task.references == 0 || !expected(task)) {
        let there = world.unfinished().count();
        ntsim::fail("C18", format!("the tracker reports a wrong task ({there} are unfinished): {wrong}"));
    }
    all
}

/// Drains the tracker. Returns whether no task is left. IRQL: PASSIVE_LEVEL, and not in a task.
pub(super) fn drain(world: &ExecutorWorld, limit: Option<Duration>) -> bool {
    let before: Vec<usize> = world.unfinished().collect();
    let start = Instant::now();
    match default_tracker(|tracker| tracker.drain(limit)) {
        Ok(()) => {
            for task in before {
                let record = world.task(task);
                if record.body.drops.get() == 0 || record.body.polling.get().is_some() {
                    fail("C18", task, "the drain has returned, but the task has not ended");
                }
            }
            true
        }
        Err(DrainError::Stuck { tasks, timers, handlers }) => {
            let waited = Instant::now().duration_since(start);
            if limit.is_none_or(|limit| waited < limit) {
                ntsim::fail("C18", format!("a drain with the limit {limit:?} gives up after {waited:?}"));
            }
            if tasks + timers + handlers == 0 {
                ntsim::fail("C18", "a drain gives up, but no task, timer or handler is left".into());
            }
            false
        }
        Err(error) => ntsim::fail("C18", format!("a drain at PASSIVE_LEVEL answers {error:?}")),
    }
}
