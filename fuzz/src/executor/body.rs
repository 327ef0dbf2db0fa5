//! Scripted bodies. They are futures over the shipping executor that do their script's steps and
//! judge their own polls and drops.

use core::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{join, select};
use ntcom_exec::{
    NTSTATUS, is_cancellation_requested, on_cancel, take_cancellation_request, timeout, try_finally,
};
use ntsim::trace::{Mark, MarkKind};

use super::{
    budget, held,
    place::Place,
    script::{Script, TaskStep},
    spawn,
    task::{Task, fail, marked},
    wait::{self, Inside},
    world::{self, ExecutorWorld, signal},
};
use crate::harness::{body::Waiting, coverage::hit};

/// A part of a script.
pub struct Part {
    task: usize,
    script: Script,
    number: u8,
    at: u8,
    end: u8,
    inside: Option<Inside>,
}

impl Part {
    /// Creates the part with this number.
    #[must_use]
    pub fn new(task: usize, script: Script, part: usize) -> Self {
        let (at, end) = script.shape.part(part);
        Self { task, script, number: part as u8, at, end, inside: None }
    }

    fn is_cleanup(&self) -> bool {
        self.script.shape.is_cleanup(self.number.into())
    }

    /// Checks a poll of this part. It must not come after the part's end, nor before the parts that
    /// must have ended first.
    fn enter(&self, record: &Task) {
        let parts = record.body.parts.get();
        if parts >> (4 + self.number) & 1 == 1 {
            fail("C10", self.task, &format!("part {} is polled after its end", self.number));
        }
        if parts >> self.number & 1 == 1 {
            return;
        }
        if let Some(inner) = self.script.shape.too_early(self.number, parts) {
            fail(
                "C10",
                self.task,
                &format!("part {} begins before its cleanup, part {inner}, has ended", self.number),
            );
        }
        if self.is_cleanup() {
            // The cleanup's start may answer a request. A later request, made while the first was
            // pending, asks for nothing more [C10].
            record.body.asked.set(false);
        }
        record.body.parts.set(parts | 1 << self.number);
    }
}

impl Future for Part {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        world::with(|world| {
            let record = world.task(this.task);
            this.enter(record);
            while this.at < this.end {
                ntsim::preemption_point();
                let step = this.script.step(this.at);
                if step == TaskStep::Finish {
                    break;
                }
                match this.step(world, record, step, context) {
                    Ok(()) => {
                        this.at += 1;
                        this.inside = None;
                    }
                    Err(waiting) => {
                        record.body.waiting.set(waiting);
                        return Poll::Pending;
                    }
                }
            }
            record.body.parts.set(record.body.parts.get() | 0x10 << this.number);
            Poll::Ready(())
        })
    }
}

impl Part {
    fn step(
        &mut self,
        world: &ExecutorWorld,
        record: &Task,
        step: TaskStep,
        context: &mut Context<'_>,
    ) -> Result<(), Waiting> {
        let task = self.task;
        if self.inside.is_none() {
            let byte = self.script.steps[usize::from(self.at)] & 31;
            hit(0x2000 | u32::from(byte), record.situation());
            self.inside = wait::begin(world, task, step);
        }
        if let Some(inside) = &mut self.inside {
            return wait::poll(world, task, inside, context);
        }
        match step {
            TaskStep::Park => {
                self.inside = Some(Inside::Parked);
                if !self.is_cleanup() {
                    return Err(Waiting::Parked);
                }
                marked(MarkKind::Wake, task, "goes on with its cleanup");
                context.waker().wake_by_ref();
                return Err(Waiting::Itself);
            }
            TaskStep::Stash => world.stash.put(task, context.waker().clone()),
            TaskStep::KeepWaker => drop(record.body.kept.replace(Some(context.waker().clone()))),
            TaskStep::DropKept => drop(record.body.kept.take()),
            TaskStep::Notify => {
                marked(MarkKind::Wake, task, "notifies itself");
                context.waker().wake_by_ref();
            }
            TaskStep::Open(gate) => world.gates.open(gate.into(), marked),
            TaskStep::Set(number) => signal(number.into()).set(),
            TaskStep::Send(n) => held::send(world, n).unwrap_or(()),
            TaskStep::DropSender(n) => drop(world.senders.take(n)),
            TaskStep::Take => {
                let taken = take_cancellation_request();
                if taken {
                    record.body.asked.set(false);
                    record.body.took.set(true);
                }
                self.told(taken);
            }
            TaskStep::Observe => self.told(is_cancellation_requested()),
            TaskStep::Spawn(child) => spawn::child(world, task, child),
            TaskStep::Cancel(n) => held::cancel(world, n).unwrap_or(()),
            TaskStep::DropTimer(n) => {
                if let Some((of, mut timer)) = world.timers.take(n) {
                    let _over = wait::poll_timer(world, of, &mut timer, context);
                }
            }
            TaskStep::ArmAndDrop(span) => {
                let mut timer = wait::timer(span);
                let _over = wait::poll_timer(world, task, &mut timer, context);
                ntsim::preemption_point();
            }
            TaskStep::GiveTimer(span) => {
                let mut timer = wait::timer(span);
                if !wait::poll_timer(world, task, &mut timer, context) {
                    world.timers.put(task, timer);
                }
            }
            TaskStep::GiveFresh(span) => world.timers.put(task, wait::timer(span)),
            TaskStep::WakeStash(n) => drop(world.stash.wake(n, false, marked)),
            TaskStep::DropHandle(n) => held::drop_handle(world, n).unwrap_or(()),
            TaskStep::DropStash(n) => drop(world.stash.take(n)),
            _ => {}
        }
        Ok(())
    }

    /// Checks an answer about a request to stop. A cleanup never sees one, and neither does a task
    /// that was not asked.
    fn told(&self, asked: bool) {
        if asked && self.is_cleanup() {
            fail("C10", self.task, "a cleanup sees a cancel request, from which it must be shielded");
        }
        if asked && world::with(|world| world.task(self.task).is_left_alone()) {
            fail("C10", self.task, "it sees a cancel request, but none was made");
        }
    }
}

/// A body that records and judges its polls and drops.
pub struct Body<F> {
    task: usize,
    inner: F,
}

impl<F: Future<Output = ()>> Future for Body<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let task = self.task;
        // SAFETY: `inner` is pinned with the body and never moved out of it.
        let inner = unsafe { self.map_unchecked_mut(|body| &mut body.inner) };
        world::with(|world| {
            let record = world.task(task);
            let place = Place::enter(world, task, "polled");
            if let Some(other) = record.body.polling.replace(Some(place.here)) {
                fail("C8", task, &format!("it is polled by P{} while P{other} polls it", place.here));
            }
            if record.body.drops.get() > 0 || record.body.ready.get() {
                fail("C8", task, "it is polled after its end");
            }
            record.body.polls.set(record.body.polls.get() + 1);
            record.body.asked.set(false);
            budget::check_polls(record, task);
            budget::check_time(record, task);
            budget::check_drain(world, task, place.here);
            record.body.waiting.set(Waiting::Nothing);
            marked(MarkKind::PollStart, task, "");
            let polled = inner.poll(context);
            if ntsim::is_tracing() {
                polled_once(task, polled.is_ready(), record.body.waiting.get());
            }
            if polled.is_ready() {
                record.body.ready.set(true);
            }
            if record.body.polling.take().is_none() {
                fail("C8", task, "it was polled by another processor during this poll");
            }
            place.leave(world);
            polled
        })
    }
}

/// Marks in the trace the end of a poll.
#[cold]
fn polled_once(task: usize, ready: bool, waiting: Waiting) {
    let detail = if ready { "ready".into() } else { format!("pending, waits for {waiting:?}") };
    ntsim::mark(|| Mark::new(MarkKind::PollEnd, format!("task {task}")).detail(detail));
}

impl<F> Drop for Body<F> {
    fn drop(&mut self) {
        let task = self.task;
        world::with(|world| {
            let record = world.task(task);
            record.body.drops.set(record.body.drops.get() + 1);
            marked(MarkKind::Drop, task, "its body");
            if record.body.drops.get() > 1 {
                fail("C8", task, "its body is dropped a second time");
            }
            if let Some(other) = record.body.polling.get() {
                fail("C8", task, &format!("its body is dropped while P{other} polls it"));
            }
            // The spawn drops the body and is going to return the reason. `spawn` checks a spawn
            // that returns none.
            if let Some(irql) = record.spawning.get()
                && record.body.polls.get() == 0
            {
                if irql != ntsim::irql() {
                    fail("C13", task, "its spawn drops its body at another IRQL than the caller's");
                }
                record.refused.set(true);
                return;
            }
            let place = Place::enter(world, task, "dropped");
            if record.body.polls.get() == 0 {
                fail("C10", task, "its body is dropped unpolled, but its spawn did not refuse it");
            }
            // A handle keeps the task, so it was not abandoned. Each cleanup that is due has run.
            if record.handles.get() > 0
                && let Some(part) = record.script.get().shape.missing_cleanup(record.body.parts.get())
            {
                fail("C10", task, &format!("its body is dropped, but its cleanup, part {part}, has not run"));
            }
            if !record.body.ready.get() && record.is_left_alone() {
                fail(
                    "C9",
                    task,
                    "its body is dropped unfinished, but a handle keeps it and it was not cancelled",
                );
            }
            ntsim::preemption_point();
            drop(record.body.kept.take());
            place.leave(world);
        });
    }
}

/// The body of a task.
pub fn body(task: usize, script: Script) -> impl Future<Output = ()> + Send + 'static {
    Body { task, inner: scripted(task, script) }
}

/// Records the output of a combinator that guards a part.
fn guarded(task: usize, yielded: Option<()>) {
    if yielded.is_none() {
        world::with(|world| world.task(task).body.unwound.set(true));
    }
}

/// The time limit of the first part of a [`Limited`](super::script::Shape::Limited).
const LIMIT: Duration = Duration::from_millis(20);

async fn scripted(task: usize, script: Script) {
    use super::script::Shape;
    let part = move |part| Part::new(task, script, part);
    match script.shape {
        Shape::Plain => part(0).await,
        Shape::TryFinally => guarded(task, try_finally(part(0), part(1)).await),
        Shape::OnCancel => guarded(task, on_cancel(part(0), part(1)).await),
        Shape::Nested => {
            let main = async {
                guarded(task, try_finally(part(0), part(1)).await);
                part(2).await;
            };
            guarded(task, try_finally(main, part(3)).await);
        }
        Shape::Mixed => {
            let main = async {
                guarded(task, on_cancel(part(0), part(1)).await);
                part(2).await;
            };
            guarded(task, try_finally(main, part(3)).await);
        }
        Shape::Join => {
            let (first, second) = join(try_finally(part(0), part(1)), try_finally(part(2), part(3))).await;
            guarded(task, first.and(second));
        }
        Shape::Select => {
            select(pin!(part(0)), pin!(part(1))).await;
        }
        Shape::Limited => {
            let limited = timeout(LIMIT, part(0)).await;
            let starved = world::with(|world| world.starved.get());
            match limited {
                Ok(()) | Err(NTSTATUS::IO_TIMEOUT) => {}
                Err(NTSTATUS::INSUFFICIENT_RESOURCES) if starved => {}
                Err(status) => fail("status", task, &format!("timeout answers {status}")),
            }
            part(1).await;
        }
    }
}
