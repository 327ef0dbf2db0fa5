//! The waits of a body, as futures, with the checks of their ends.

use core::{
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use ntcom::OperationFuture;
use ntcom_exec::{
    EventWait, Instant, Interval, NTSTATUS, Passive, Receiver, Sleep, Timeout, Wait, interval, oneshot,
    passive, sleep, sleep_until, timeout, wait_for_event,
};

use super::{
    operation,
    ops::TaskKind,
    script::{PASSIVE_STEPS, Shape, Span, TICK, TaskStep},
    task::fail,
    world::{self, ExecutorWorld, Token, event, signal},
};
use crate::harness::body::Waiting;

/// The state of a step that has begun.
pub(super) enum Inside {
    /// Number of yields that are left.
    Yields(u8),
    /// It has returned Pending once.
    Parked,
    /// A gate.
    Gate(GateWait),
    /// A signal.
    Signal(SignalWait),
    /// A timer, with the deadline for which it is set.
    Sleep(Sleep, Deadline),
    /// A gate for a limited time.
    Timeout(Timeout<GateWait>, Deadline),
    /// An event for a limited time.
    Event(Timeout<EventWait>, Deadline),
    /// An interval with its start, the number of ticks that are over, and the number that are left.
    Interval(Interval, Deadline, u64, u8),
    /// A value.
    Receive(Receiver<Token>),
    /// The end of an operation, for a limited time. A task may wait for its own operation. Several
    /// tasks may wait for one operation, and some of them poll it by a timer.
    Operation(Pin<Box<Timeout<OperationFuture<u32>>>>, usize, Deadline),
    /// Something at PASSIVE_LEVEL.
    Passive(Passive<PassiveStep>),
}

/// The time of a request, and the span after which it is to end.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    asked: Instant,
    span: Span,
}

impl Deadline {
    fn new(span: Span) -> Self {
        Self { asked: Instant::now(), span }
    }

    /// Whether this many spans have passed by now.
    fn is_over(self, times: u64) -> bool {
        let span = self.span.duration();
        let Some(all) = u32::try_from(times).ok().and_then(|times| span.checked_mul(times)) else {
            return false;
        };
        Instant::now().duration_since(self.asked) >= all
    }
}

/// Waits at a gate.
pub(super) struct GateWait {
    gate: u8,
    task: usize,
}

impl Future for GateWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        world::with(|world| match world.gates.pass(self.gate.into(), self.task, context) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    }
}

/// The right to wait for a signal.
struct Claim(u8);

impl Claim {
    fn new(world: &ExecutorWorld, number: u8, task: usize) -> Option<Self> {
        let claim = &world.claims[usize::from(number)];
        if claim.get().is_some() {
            return None;
        }
        claim.set(Some(task));
        Some(Self(number))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        world::with(|world| world.claims[usize::from(self.0)].set(None));
    }
}

/// Waits for a signal. The wait is dropped before the claim.
pub(super) struct SignalWait {
    wait: Wait<'static>,
    _claim: Claim,
}

/// A step that is done at PASSIVE_LEVEL.
pub(super) struct PassiveStep {
    task: usize,
    step: TaskStep,
    polled: bool,
    inside: Option<Box<Inside>>,
}

impl PassiveStep {
    fn check(&self, what: &str) {
        if ntsim::irql() != 0 || ntsim::in_dpc() {
            let irql = ntsim::irql();
            fail(
                "C13",
                self.task,
                &format!(
                    "a future inside of `passive` is {what} at IRQL {irql}, expected PASSIVE_LEVEL and no DPC"
                ),
            );
        }
    }
}

impl Future for PassiveStep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.check("polled");
        let this = &mut *self;
        world::with(|world| {
            if !core::mem::replace(&mut this.polled, true) {
                this.inside = begin(world, this.task, this.step).map(Box::new);
            }
            ntsim::preemption_point();
            match this.inside.as_mut().map(|inside| poll(world, this.task, inside, context)) {
                None | Some(Ok(())) => Poll::Ready(()),
                Some(Err(_)) => Poll::Pending,
            }
        })
    }
}

impl Drop for PassiveStep {
    fn drop(&mut self) {
        if self.polled {
            self.check("dropped");
        }
    }
}

/// The time limit of waits for events and operations.
const PATIENCE: Span = Span::new(5);

/// Begins a step and returns its state. `None` if it does not wait.
pub(super) fn begin(world: &ExecutorWorld, task: usize, step: TaskStep) -> Option<Inside> {
    let over = world.gates.are_open();
    match step {
        TaskStep::Yield(times) => Some(Inside::Yields(times + 1)),
        TaskStep::Await(gate) => Some(Inside::Gate(GateWait { gate, task })),
        TaskStep::Passive(number) => {
            let step = PASSIVE_STEPS[usize::from(number) % PASSIVE_STEPS.len()];
            Some(Inside::Passive(passive(PassiveStep { task, step, polled: false, inside: None })))
        }
        TaskStep::Signal(_) | TaskStep::Receive if over => None,
        TaskStep::Operation(n) => {
            let (of, operation) = operation::nth(world, n)?;
            let deadline = Deadline::new(PATIENCE);
            let limited = timeout(PATIENCE.duration(), operation.into_future());
            Some(Inside::Operation(Box::pin(limited), of, deadline))
        }
        TaskStep::Signal(number) => {
            let claim = Claim::new(world, number, task)?;
            Some(Inside::Signal(SignalWait { wait: signal(number.into()).wait(), _claim: claim }))
        }
        TaskStep::Sleep(span) => {
            let deadline = Deadline::new(span);
            Some(Inside::Sleep(sleep(span.duration()), deadline))
        }
        TaskStep::SleepTolerant(span) => {
            let deadline = Deadline::new(span);
            let tolerance = Duration::from_millis(10);
            Some(Inside::Sleep(sleep(span.duration()).with_tolerance(tolerance), deadline))
        }
        TaskStep::SleepUntil(span) => {
            let deadline = Deadline::new(span);
            let instant = deadline.asked.checked_add(span.duration())?;
            Some(Inside::Sleep(sleep_until(instant), deadline))
        }
        TaskStep::Timeout(span) => {
            let deadline = Deadline::new(span);
            Some(Inside::Timeout(timeout(span.duration(), GateWait { gate: 0, task }), deadline))
        }
        TaskStep::Event(number) => {
            let deadline = Deadline::new(PATIENCE);
            let period = [Duration::ZERO, TICK, TICK * 2][usize::from(number) % 3];
            // SAFETY: the event is a static of the driver, which `init_events` has initialised.
            let wait = unsafe { wait_for_event(event(number.into()), period) };
            Some(Inside::Event(timeout(PATIENCE.duration(), wait), deadline))
        }
        TaskStep::Interval(span) => {
            let deadline = Deadline::new(span);
            Some(Inside::Interval(interval(span.duration()), deadline, 0, 2))
        }
        TaskStep::Receive => match oneshot() {
            // No task or actor would send any more.
            Ok(_) if world.gates.are_open() => None,
            Ok((sender, receiver)) => {
                world.senders.put(task, sender);
                Some(Inside::Receive(receiver))
            }
            Err(status) => {
                out_of_memory(world, task, "oneshot", status);
                None
            }
        },
        _ => None,
    }
}

/// Polls a step once. Returns `Ok` if the step is over, or the reason for Pending.
pub(super) fn poll(
    world: &ExecutorWorld,
    task: usize,
    inside: &mut Inside,
    context: &mut Context<'_>,
) -> Result<(), Waiting> {
    match inside {
        Inside::Yields(0) | Inside::Parked => Ok(()),
        Inside::Yields(left) => {
            *left -= 1;
            super::task::marked(ntsim::trace::MarkKind::Wake, task, "yields");
            context.waker().wake_by_ref();
            Err(Waiting::Itself)
        }
        Inside::Gate(wait) => ready(Pin::new(wait).poll(context), Waiting::Gate),
        Inside::Signal(wait) => ready(Pin::new(&mut wait.wait).poll(context), Waiting::Signal),
        Inside::Sleep(sleep, deadline) => {
            let slept = ready(Pin::new(sleep).poll(context), Waiting::Timer)?;
            after_sleep(world, task, slept, *deadline);
            Ok(())
        }
        Inside::Timeout(timeout, deadline) => {
            match ready(Pin::new(timeout).poll(context), Waiting::Gate)? {
                Ok(()) => {}
                Err(NTSTATUS::IO_TIMEOUT) => after_sleep(world, task, Ok(()), *deadline),
                Err(status) => out_of_memory(world, task, "a timeout", status),
            }
            Ok(())
        }
        Inside::Event(timeout, deadline) => {
            match ready(Pin::new(timeout).poll(context), Waiting::Timer)? {
                Ok(Ok(()) | Err(NTSTATUS::INVALID_PARAMETER)) => {}
                Err(NTSTATUS::IO_TIMEOUT) => after_sleep(world, task, Ok(()), *deadline),
                Err(status) | Ok(Err(status)) => after_sleep(world, task, Err(status), *deadline),
            }
            Ok(())
        }
        Inside::Interval(interval, deadline, over, left) => {
            while *left > 0 {
                *left -= 1;
                let tick = Pin::new(&mut interval.tick()).poll(context);
                match tick {
                    Poll::Pending => {
                        *left += 1;
                        return Err(Waiting::Timer);
                    }
                    Poll::Ready(Ok(missed)) => {
                        *over += missed + 1;
                        if !deadline.is_over(*over) {
                            fail("time", task, &format!("tick {over} of {:?} came early", deadline.span));
                        }
                    }
                    Poll::Ready(Err(status)) => {
                        let span = deadline.span.duration();
                        let none = span.is_zero() || span == Duration::MAX;
                        if !(none && status == NTSTATUS::INVALID_PARAMETER) {
                            out_of_memory(world, task, "interval", status);
                        }
                        return Ok(());
                    }
                }
            }
            Ok(())
        }
        Inside::Operation(operation, of, deadline) => {
            match ready(operation.as_mut().poll(context), Waiting::Timer)? {
                Ok(Err(NTSTATUS::INSUFFICIENT_RESOURCES)) if world.starved.get() => {}
                Ok(ended) => operation::check(world, *of, ended),
                Err(NTSTATUS::IO_TIMEOUT) => after_sleep(world, task, Ok(()), *deadline),
                Err(status) => after_sleep(world, task, Err(status), *deadline),
            }
            Ok(())
        }
        Inside::Passive(passive) => {
            let passed = ready(Pin::new(passive).poll(context), Waiting::Passive)?;
            after_passive(world, task, passed);
            Ok(())
        }
        Inside::Receive(receiver) => {
            let received = ready(Pin::new(receiver).poll(context), Waiting::Value)?;
            if let Err(status) = received
                && status != NTSTATUS::PIPE_BROKEN
            {
                fail("status", task, &format!("a receiver answers {status}"));
            }
            Ok(())
        }
    }
}

fn ready<T>(polled: Poll<T>, waiting: Waiting) -> Result<T, Waiting> {
    match polled {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(waiting),
    }
}

/// Checks the end of a task's timer. It must not be early, or must have the right error.
fn after_sleep(world: &ExecutorWorld, task: usize, slept: Result<(), NTSTATUS>, deadline: Deadline) {
    let endless = deadline.span.duration() == Duration::MAX;
    match slept {
        Ok(()) if deadline.is_over(1) && !endless => {}
        Ok(()) => fail("time", task, &format!("a timer of {:?} came early", deadline.span)),
        Err(NTSTATUS::INVALID_PARAMETER) if endless => {}
        Err(status) => out_of_memory(world, task, "a timer", status),
    }
}

/// Checks the return of a task from PASSIVE_LEVEL. A task that cannot go there gets an error.
fn after_passive(world: &ExecutorWorld, task: usize, passed: Result<(), NTSTATUS>) {
    let record = world.task(task);
    let irql = match (record.kind.get(), passed) {
        (TaskKind::Dpc(_), Err(NTSTATUS::NOT_SUPPORTED)) => 2,
        (TaskKind::WorkItem(_), Ok(())) => 0,
        (TaskKind::Moving(_), Ok(())) => 2,
        _ => fail("status", task, &format!("`passive` answers {passed:?}")),
    };
    // If several parts are polled in turn, another part may keep the task there.
    let alone = !matches!(record.script.get().shape, Shape::Join | Shape::Select);
    if alone && ntsim::irql() != irql {
        fail("C13", task, &format!("`passive` has returned at IRQL {}, expected {irql}", ntsim::irql()));
    }
}

/// Checks that an error says that memory is short, and that memory may be short.
fn out_of_memory(world: &ExecutorWorld, task: usize, what: &str, status: NTSTATUS) {
    if status != NTSTATUS::INSUFFICIENT_RESOURCES || !world.starved.get() {
        fail("status", task, &format!("{what} answers {status}"));
    }
}

/// A timer for a task to give away or drop.
pub(super) fn timer(span: Span) -> Sleep {
    sleep(span.duration())
}

/// Polls a timer once, in its task or in another one. Returns whether it is over.
pub(super) fn poll_timer(
    world: &ExecutorWorld,
    task: usize,
    timer: &mut Sleep,
    context: &mut Context<'_>,
) -> bool {
    match Pin::new(timer).poll(context) {
        Poll::Pending => false,
        Poll::Ready(Ok(()) | Err(NTSTATUS::INVALID_PARAMETER)) => true,
        // The executor refuses a timer that could outlive the driver.
        Poll::Ready(Err(NTSTATUS::DELETE_PENDING)) if world.closing.get() => true,
        Poll::Ready(Err(status)) => {
            out_of_memory(world, task, "a timer", status);
            true
        }
    }
}

/// A context with a waker that does nothing, for polls outside of a task.
pub(super) fn no_waker() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
