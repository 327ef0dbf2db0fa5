//! Scripted bodies. They are futures over the shipping runtime that do their script's steps and
//! record their polls and drops.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::join;
use ntcom::{KBox, is_cancellation_requested, on_cancel, take_cancellation_request, try_finally};
use ntcom_exec::{Sleep, sleep};
use ntcom_fuzz_model::{
    answer::Answer,
    event::{Event, mix},
    ops::{Out, Via},
    script::{BodyStep, Script, Shape},
};
use ntsim::trace::{Mark, MarkKind};

use super::{
    call,
    situation::meet,
    value::OperationValue,
    world::{self, OperationWorld},
};
use crate::harness::body::Waiting;

/// A part of a script.
pub struct Part {
    operation: usize,
    script: Script,
    number: u8,
    at: u8,
    end: u8,
    /// The state of the current step, which is the number of yields left, or set once a park has
    /// returned Pending.
    inside: Option<u8>,
    /// The timer that the current step waits for.
    timer: Option<Box<Sleep>>,
}

impl Part {
    /// Creates the part with this number.
    #[must_use]
    pub fn new(operation: usize, script: Script, part: usize) -> Self {
        let (at, end) = script.shape.part(part);
        Self { operation, script, number: part as u8, at, end, inside: None, timer: None }
    }

    /// The operation to which the body belongs.
    #[must_use]
    pub fn operation(&self) -> usize {
        self.operation
    }

    fn is_cleanup(&self) -> bool {
        self.script.shape.is_cleanup(self.number.into())
    }

    fn next(&mut self) {
        self.at += 1;
        self.inside = None;
        self.timer = None;
    }

    /// The timer that replaces a wait or park, if the input asks for timers. The flag says whether
    /// it is dropped as soon as it is set.
    fn timer(&self, world: &OperationWorld, step: BodyStep) -> Option<(Duration, bool)> {
        if !world.timers.get() || !matches!(step, BodyStep::Await(_) | BodyStep::Park) {
            return None;
        }
        let operand = self.script.steps.get(usize::from(self.at)).map_or(0, |byte| byte >> 4);
        if operand < 8 {
            return None;
        }
        let spans = [100, 1_000_000, 15_625_000, 20_000_000];
        Some((Duration::from_nanos(spans[usize::from(operand & 3)]), operand & 4 != 0))
    }

    /// Sets a timer, and waits for it or drops it.
    fn wait_for_timer(&mut self, span: Duration, drops: bool, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::new(sleep(span)));
        let polled = Pin::new(&mut **timer).poll(context);
        if drops {
            self.timer = None;
            return Poll::Ready(());
        }
        // An error means that there was no memory for the timer, and the step is over.
        polled.map(drop)
    }
}

impl Future for Part {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        world::with(|world| {
            let body = &world.slot(this.operation).body;
            let parts = &body.parts;
            if this.is_cleanup() && parts.get() >> this.number & 1 == 0 {
                // The cleanup's start may answer a request. A later request, made while the first
                // was pending, asks for nothing more [C10].
                body.asked.set(false);
            }
            parts.set(parts.get() | 1 << this.number);
            while this.at < this.end {
                ntsim::preemption_point();
                match step(world, this, context) {
                    Poll::Ready(true) => this.next(),
                    Poll::Ready(false) => break,
                    Poll::Pending => return Poll::Pending,
                }
            }
            parts.set(parts.get() | 0x10 << this.number);
            Poll::Ready(())
        })
    }
}

/// Does one step. `Ready(true)` goes on with the next step, and `Ready(false)` ends this part.
fn step(world: &OperationWorld, part: &mut Part, context: &mut Context<'_>) -> Poll<bool> {
    let operation = part.operation;
    let body = &world.slot(operation).body;
    let pending = |waiting| {
        body.waiting.set(waiting);
        Poll::Pending
    };
    let step = part.script.step(part.at);
    meet(
        world,
        ntsim::current_processor(),
        u32::from(part.script.steps[usize::from(part.at)] & 15) | 0x80,
        Some(operation),
    );
    if let Some((span, drops)) = part.timer(world, step) {
        let polled = part.wait_for_timer(span, drops, context);
        return if polled.is_pending() { pending(Waiting::Timer) } else { Poll::Ready(true) };
    }
    match step {
        BodyStep::Finish => return Poll::Ready(false),
        BodyStep::Yield(times) => {
            let left = part.inside.unwrap_or(times + 1);
            if left > 0 {
                part.inside = Some(left - 1);
                marked(MarkKind::Wake, operation, "yields");
                context.waker().wake_by_ref();
                return pending(Waiting::Itself);
            }
        }
        BodyStep::Await(gate) => {
            if !world.gates.pass(gate.into(), operation, context) {
                return pending(Waiting::Gate);
            }
        }
        BodyStep::Stash => world.stash.put(operation, context.waker().clone()),
        BodyStep::Take => {
            let taken = take_cancellation_request();
            if taken {
                body.asked.set(false);
                body.took.set(true);
            }
            log(world, operation, 0x10 | u64::from(taken));
        }
        BodyStep::Observe => log(world, operation, 0x20 | u64::from(is_cancellation_requested())),
        BodyStep::Park => {
            if part.inside.is_none() {
                part.inside = Some(0);
                if part.is_cleanup() {
                    marked(MarkKind::Wake, operation, "goes on with its cleanup");
                    context.waker().wake_by_ref();
                    return pending(Waiting::Itself);
                }
                return pending(Waiting::Parked);
            }
        }
        BodyStep::Open(gate) => world.gates.open(gate.into(), marked),
        BodyStep::CancelLink => {
            if let Some(link) = world.slot(operation).link.get() {
                call::cancel(world, link);
            }
        }
        BodyStep::ReleaseLink => release_link(world, operation),
        BodyStep::AskLink => {
            if let Some(link) = world.slot(operation).link.get() {
                marked(MarkKind::Call, link, "get_status, get_result");
                let Answer { status, .. } = call::get_status(world, link, Out::Given);
                let result = call::get_result(world, link, Out::Given);
                log(world, operation, u64::from(status) << 32 | u64::from(result.status));
            }
        }
        BodyStep::KeepWaker => drop(body.kept.replace(Some(context.waker().clone()))),
        BodyStep::DropKept => drop(body.kept.take()),
        BodyStep::Notify => {
            marked(MarkKind::Wake, operation, "notifies itself");
            context.waker().wake_by_ref();
        }
        BodyStep::DropStash(index) => drop(world.stash.take(index)),
    }
    Poll::Ready(true)
}

/// Marks in the trace an action on an operation.
#[inline(always)]
pub fn marked(kind: MarkKind, operation: usize, detail: &'static str) {
    ntsim::mark(|| Mark::new(kind, format!("operation {operation}")).detail(detail));
}

/// Marks in the trace the end of a poll.
#[cold]
fn polled_once(operation: usize, ready: bool, waiting: Waiting) {
    let detail = if ready { "ready".into() } else { format!("pending, waits for {waiting:?}") };
    ntsim::mark(|| Mark::new(MarkKind::PollEnd, format!("operation {operation}")).detail(detail));
}

/// Adds an entry to the body's log.
pub fn log(world: &OperationWorld, operation: usize, entry: u64) {
    let log = &world.slot(operation).log;
    log.set(mix(log.get(), entry));
    world.happened(operation, Event::Saw(log.get()));
}

/// Records the outputs of combinators that guard parts of a body. The log gets one bit for each
/// output.
fn guarded(operation: usize, entry: u64, yielded: &[Option<()>]) {
    let bits = yielded.iter().fold(0, |bits, value| bits << 1 | u64::from(value.is_some()));
    world::with(|world| {
        if yielded.contains(&None) {
            world.slot(operation).body.unwound.set(true);
        }
        log(world, operation, entry | bits);
    });
}

fn release_link(world: &OperationWorld, operation: usize) {
    if let Some(link) = world.slot(operation).link.take() {
        call::release(world, link, Via::Operation);
    }
}

/// A body that records its polls and drops.
pub struct Body<F> {
    operation: usize,
    shape: Shape,
    /// Memory that the initialiser allocated, if it did.
    _memory: Option<KBox<[u8; 40]>>,
    inner: F,
}

impl<F> Body<F> {
    /// Wraps a future as a body.
    pub fn new(operation: usize, script: Script, memory: Option<KBox<[u8; 40]>>, inner: F) -> Self {
        Self { operation, shape: script.shape, _memory: memory, inner }
    }
}

impl<F: Future> Future for Body<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let operation = self.operation;
        // SAFETY: `inner` is pinned with the body and never moved out of it.
        let inner = unsafe { self.map_unchecked_mut(|body| &mut body.inner) };
        world::with(|world| {
            let body = &world.slot(operation).body;
            let here = ntsim::current_processor();
            if let Some(other) = body.polling.replace(Some(here)) {
                fail("C8", format!("operation {operation} is polled by P{here} while P{other} polls it"));
            }
            if body.drops.get() > 0 || body.ready.get() {
                fail("C8", format!("operation {operation} is polled after its end"));
            }
            if !ntsim::in_dpc() {
                fail("C13", format!("operation {operation} is polled outside of a DPC"));
            }
            alive(world, operation);
            body.polls.set(body.polls.get() + 1);
            body.asked.set(false);
            world.happened(operation, Event::Polled);
            body.waiting.set(Waiting::Nothing);
            marked(MarkKind::PollStart, operation, "");
            let polled = inner.poll(context);
            if ntsim::is_tracing() {
                polled_once(operation, polled.is_ready(), body.waiting.get());
            }
            if polled.is_ready() {
                body.ready.set(true);
            }
            if body.polling.take() != Some(here) {
                fail("C8", format!("operation {operation} was polled by another processor during this poll"));
            }
            polled
        })
    }
}

impl<F> Drop for Body<F> {
    fn drop(&mut self) {
        let operation = self.operation;
        world::with(|world| {
            let body = &world.slot(operation).body;
            body.drops.set(body.drops.get() + 1);
            world.happened(operation, Event::Dropped);
            marked(MarkKind::Drop, operation, "its body");
            if body.drops.get() > 1 {
                fail("C8", format!("the body of operation {operation} is dropped a second time"));
            }
            if let Some(other) = body.polling.get() {
                fail("C8", format!("the body of operation {operation} is dropped while P{other} polls it"));
            }
            let refused = world.slot(operation).spawning.get() && body.polls.get() == 0;
            if !ntsim::in_dpc() && !refused {
                let why = "outside of a DPC, on the stack of a client's call";
                fail("C9", format!("the body of operation {operation} is dropped {why}"));
            }
            // A client holds a reference, so the operation was not abandoned. Each cleanup that is
            // due has run, and a client has asked for cancellation.
            if world.slot(operation).ledger.get() > 0 {
                if let Some(part) = self.shape.missing_cleanup(body.parts.get()) {
                    fail(
                        "C10",
                        format!(
                            "the body of operation {operation} is dropped, but its cleanup, part {part}, has not run"
                        ),
                    );
                }
                if !body.ready.get() && body.is_unasked() {
                    fail(
                        "C9",
                        format!(
                            "the body of operation {operation} is dropped unfinished, but clients hold references and none has cancelled it"
                        ),
                    );
                }
            }
            ntsim::preemption_point();
            alive(world, operation);
            world.slot(operation).body_object.set(None);
            drop(body.kept.take());
            release_link(world, operation);
        });
    }
}

/// Fails if the object of a body is gone while the body is polled or dropped.
fn alive(world: &OperationWorld, operation: usize) {
    if let Some(object) = world.slot(operation).body_object.get()
        && world.objects[object].drops.get() > 0
    {
        fail(
            "C19",
            format!("object {object} is dropped, but the body of operation {operation} is still used"),
        );
    }
}

fn fail(rule: &'static str, message: String) -> ! {
    ntsim::fail(rule, message)
}

/// The body of a spawned operation.
pub fn body<T: OperationValue>(operation: usize, script: Script) -> impl Future<Output = T> + Send + 'static {
    Body::new(operation, script, None, self::script::<T>(operation, script))
}

/// A future that runs a script and yields the operation's value.
pub fn script<T: OperationValue>(
    operation: usize,
    script: Script,
) -> impl Future<Output = T> + Send + 'static {
    let part = move |part| Part::new(operation, script, part);
    async move {
        match script.shape {
            Shape::Plain => part(0).await,
            Shape::TryFinally => {
                let ended = try_finally(part(0), part(1)).await;
                guarded(operation, 0x30, &[ended]);
            }
            Shape::OnCancel => {
                let ended = on_cancel(part(0), part(1)).await;
                guarded(operation, 0x40, &[ended]);
            }
            Shape::Nested => {
                let main = async {
                    let ended = try_finally(part(0), part(1)).await;
                    guarded(operation, 0x50, &[ended]);
                    part(2).await;
                };
                let ended = try_finally(main, part(3)).await;
                guarded(operation, 0x60, &[ended]);
            }
            Shape::Join => {
                let (first, second) =
                    join(try_finally(part(0), part(1)), try_finally(part(2), part(3))).await;
                guarded(operation, 0x70, &[first, second]);
            }
        }
        T::of(operation)
    }
}
