//! Budgets of a task's polls and time in one run.

use ntcom_exec::Instant;

use super::{
    ops::{FRUGAL, SpawnMode, TaskKind},
    script::TICK,
    task::{Task, fail},
    world::{DrainRecord, ExecutorWorld},
};
use crate::harness::body::Waiting;

/// Checks the poll budget of a task on DPCs that wakes itself. When the budget is spent the task
/// goes on in a later DPC. When it is spent twice, at least a clock period has passed.
pub(super) fn check_polls(record: &Task, task: usize) {
    let budget = record.budget();
    if record.body.waiting.get() != Waiting::Itself || !record.is_on_dpcs() {
        record.chain.set(0);
        return;
    }
    let chain = record.chain.get() + 1;
    record.chain.set(chain);
    // Read the time only where it matters, because that is a step of its own.
    if chain == 1 {
        record.chain_start.set((ntsim::counters().dpcs_run, now()));
    } else if chain == budget + 1 && ntsim::counters().dpcs_run == record.chain_start.get().0 {
        fail(
            "budget",
            task,
            &format!("it was polled more often than its budget of {budget} polls in one run"),
        );
    } else if chain == 2 * budget + 1 {
        let passed = now() - record.chain_start.get().1;
        if passed < tick() {
            fail("budget", task, &format!("{} polls took {passed} units of 100 ns only", chain + 1));
        }
    }
}

/// Checks the time budget of a task that has one. After a poll that began beyond the budget there
/// must be no other poll in that run.
pub(super) fn check_time(record: &Task, task: usize) {
    if !matches!(record.kind.get(), TaskKind::Dpc(SpawnMode::Frugal(_))) {
        return;
    }
    let (run, now) = (ntsim::counters().dpcs_run, now());
    let (of_run, first, last) = record.run_start.get();
    if record.body.waiting.get() != Waiting::Itself || run != of_run {
        record.run_start.set((run, now, now));
        return;
    }
    let spent = last.saturating_sub(first);
    if spent > FRUGAL.as_nanos() as u64 / 100 {
        fail(
            "budget",
            task,
            &format!("it is polled again in a run after {spent} units of 100 ns, which is beyond its budget"),
        );
    }
    record.run_start.set((run, first, now));
}

/// The number of polls that one drain may make once the kernel advises to end it.
///
/// The executor asks once in 16 polls. A drain that passes the mark between its question and the
/// poll asks again only after the next 16.
const AFTER_ADVICE: u32 = 32;

/// The time, in units of 100 ns, after which the kernel advises to end a drain.
const ADVICE: u64 = ntsim::Config::DEFAULT.yield_after;

/// Checks that tasks that wake each other end their drain together.
///
/// A task that the advice has put off is polled once after a clock tick, by its timer. Another
/// processor can move the clock while this drain goes on, so each task has one poll for each tick.
pub(super) fn check_drain(world: &ExecutorWorld, task: usize, here: usize) {
    let tick = ntsim::last_tick();
    let again = world.task(task).polled_since.replace(Some(tick)) == Some(tick);
    let Some(drain) = ntsim::drain() else { return };
    let of = &world.drains[here];
    let DrainRecord { since, tick: then, late } = of.get();
    let late = if (since, then) == (drain.since, tick) { late } else { 0 };
    let late = late + u32::from(again && drain.time > ADVICE);
    of.set(DrainRecord { since: drain.since, tick, late });
    if late > AFTER_ADVICE {
        let what = format!(
            "it is polled in a drain of {} units of 100 ns, {late} polls after the kernel's advice to end it",
            drain.time
        );
        fail("drain", task, &what);
    }
}

/// A clock period, in units of 100 ns.
const fn tick() -> u64 {
    TICK.as_nanos() as u64 / 100
}

/// The time, in units of 100 ns.
fn now() -> u64 {
    thread_local! {
        static START: core::cell::Cell<Option<Instant>> = const { core::cell::Cell::new(None) };
    }
    // Only differences matter. Each run has its own clock, which starts anew and never goes back.
    let now = Instant::now();
    let start = START.get().filter(|start| *start <= now).unwrap_or(now);
    START.set(Some(start));
    (now.duration_since(start).as_nanos() / 100) as u64
}
