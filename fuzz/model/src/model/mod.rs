//! The sequential reference model. It implements a second time the contract that a client on a
//! single processor sees, without a state word, an atomic or a pointer.
//!
//! | file | contents |
//! |---|---|
//! | `mod` | the state, and the steps of clients |
//! | `spawn`, `slots` | new operations, and the answers of their slots |
//! | `executor` | runs, references of any kind, cancellation |
//! | `object` | objects with declared methods |
//! | `script` | the steps of bodies |

mod executor;
mod object;
mod script;
mod slots;
mod spawn;

use std::collections::VecDeque;

use crate::{
    answer::{Answer, Done, NOTHING, OutValue},
    event::{Event, digest},
    limits::{HANDLES, OBJECTS, OPERATIONS, STASH},
    ops::{Handler, Op, OperationStep, nth_bit},
    script::{GATES, Script},
    status::{self, STATUSES},
    value::ValueKind,
};
use slots::{query, written};

/// The end of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Completed,
    Canceled,
    Error(u32),
}

impl End {
    /// The status that get_status writes and the completion handler is told.
    const fn number(self) -> i32 {
        match self {
            Self::Completed => 1,
            Self::Canceled => 2,
            Self::Error(_) => 3,
        }
    }
}

/// An object with declared methods.
#[derive(Clone, Copy, Default, Debug)]
struct Object {
    made: bool,
    clients: u32,
    /// Number of living bodies of its methods.
    bodies: u32,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Task {
    kind: ValueKind,
    script: Script,
    end: Option<End>,
    /// Whether this is the constant operation, which has no block.
    immortal: bool,
    /// Whether the block has been freed.
    freed: bool,
    clients: u32,
    /// References of handles, wakers, handlers and links.
    others: u32,
    scheduled: bool,
    running: bool,
    cancel: bool,
    unwinding: bool,
    abandoned: bool,
    doomed: bool,
    cleanups: u32,
    handler: Option<Handler>,
    link: Option<usize>,
    /// The object that the living body's method belongs to.
    object: Option<usize>,
    /// Whether the body has memory of its own.
    boxed: bool,
    /// The status with which the body fails at the end of its script.
    fails: Option<u32>,
    /// Whether a request has reached the body.
    cancel_seen: bool,
    kept: bool,
    body: script::Body,
    /// Number of polls, which is compared with the real body's.
    pub polls: u32,
    /// Number of drops, which is compared with the real body's.
    pub drops: u32,
    /// Hash of the body's observations, which is compared with the real body's.
    pub log: u64,
    /// Number of runs of the completion handler, which is compared with the real one's.
    pub handled: u32,
    /// The status that the completion handler was told, which is compared with the real one.
    pub told: i32,
}

#[derive(Clone, Default, Debug)]
struct Gate {
    open: bool,
    waiters: Vec<usize>,
}

/// The state of the model.
#[derive(Clone, Default, Debug)]
pub struct Model {
    /// The operations.
    pub tasks: Vec<Task>,
    /// The hash of all events, as the world computes it.
    pub digest: u64,
    /// A bit for each operation that the client has a reference to.
    held: u32,
    /// The number of allocated blocks.
    blocks: usize,
    gates: [Gate; GATES],
    stash: Vec<usize>,
    handles: Vec<usize>,
    /// The tasks in the DPC queue.
    queue: VecDeque<usize>,
    /// Tasks that wait for a timer because their budget was spent.
    timers: Vec<usize>,
    objects: [Object; OBJECTS],
    raised: bool,
    in_dpc: bool,
    /// The number of allocations that succeed before one fails.
    fail_in: Option<u8>,
    all_open: bool,
}

impl Model {
    /// Forgets everything.
    pub fn reset(&mut self) {
        self.tasks.clear();
        self.digest = 0;
        self.held = 0;
        self.blocks = 0;
        for gate in &mut self.gates {
            gate.open = false;
            gate.waiters.clear();
        }
        self.stash.clear();
        self.handles.clear();
        self.queue.clear();
        self.timers.clear();
        self.raised = false;
        self.in_dpc = false;
        self.objects = [Object::default(); OBJECTS];
        self.fail_in = None;
        self.all_open = false;
    }

    /// The number of allocated blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// The number of operations that have not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.tasks.iter().filter(|task| task.end.is_none()).count()
    }

    fn happened(&mut self, operation: usize, event: Event) {
        self.digest = digest(self.digest, operation, event);
    }

    fn add_client(&mut self, operation: usize) {
        self.tasks[operation].clients += 1;
        self.held |= 1 << operation;
    }

    fn held(&self, n: u8) -> Option<usize> {
        nth_bit(self.held, n)
    }

    /// Does a step, and returns the answer that the real call must give.
    pub fn step(&mut self, step: &OperationStep) -> Option<Done> {
        let on = |operation, answer| Some(Done { operation: Some(operation), answer });
        let nothing = |operation| Some(Done { operation: Some(operation), answer: NOTHING });
        let command = Some(Done { operation: None, answer: NOTHING });
        let plain = |answer| Answer { status: answer, out: OutValue::None };
        let success = status::SUCCESS;
        let room = self.tasks.len() < OPERATIONS;
        let replaced = step.op.instead(room, !self.stash.is_empty(), !self.handles.is_empty());
        match *replaced.as_ref().unwrap_or(&step.op) {
            Op::Spawn { kind, script, cancellable, linked, .. } => {
                let link = if linked { self.held(step.target) } else { None };
                nothing(self.spawn(kind, script, cancellable, link)?)
            }
            Op::SpawnError { kind, status } => {
                nothing(self.spawn_error(kind, STATUSES[usize::from(status)])?)
            }
            Op::Query(_, iid, out) => {
                let operation = self.held(step.target)?;
                let answer = query(iid, out);
                if answer.status == success {
                    self.add_client(operation);
                }
                on(operation, answer)
            }
            Op::AddRef(_) => {
                let operation = self.held(step.target)?;
                self.add_client(operation);
                on(operation, plain(0))
            }
            Op::Release(_) => {
                let operation = self.held(step.target)?;
                let gone = self.release_client(operation);
                on(operation, plain(gone.into()))
            }
            Op::GetStatus(out) => {
                let operation = self.held(step.target)?;
                let number = self.tasks[operation].end.map_or(0, End::number);
                on(operation, written(out, number.cast_unsigned()))
            }
            Op::GetResult(out) => {
                let operation = self.held(step.target)?;
                on(operation, self.result(operation, out))
            }
            Op::Cancel => {
                let operation = self.held(step.target)?;
                self.cancel(operation);
                on(operation, plain(success))
            }
            Op::GetError(out) => {
                let operation = self.held(step.target)?;
                on(operation, written(out, self.outcome(operation)))
            }
            Op::GetResultSize(out) => {
                let operation = self.held(step.target)?;
                on(operation, written(out, self.tasks[operation].kind.size() as u32))
            }
            Op::Wait(timeout) => {
                let operation = self.held(step.target)?;
                on(operation, plain(self.wait(operation, timeout)))
            }
            Op::SetCompleted(handler) => {
                let operation = self.held(step.target)?;
                on(operation, plain(self.set_completed(operation, handler)))
            }
            Op::OpenGate(gate) => {
                self.open_gate(gate.into());
                command
            }
            Op::WakeStash { index, by_ref } => {
                let operation = take(&mut self.stash, index)?;
                if by_ref {
                    self.wake_by_ref(operation);
                    self.put_stash(operation);
                } else {
                    self.wake_by_value(operation);
                }
                nothing(operation)
            }
            Op::CloneStash(index) => {
                let operation = take(&mut self.stash, index)?;
                self.tasks[operation].others += 1;
                self.put_stash(operation);
                self.put_stash(operation);
                nothing(operation)
            }
            Op::DropStash(index) => {
                let operation = take(&mut self.stash, index)?;
                self.release_other(operation);
                nothing(operation)
            }
            Op::HandleCancel(index) => {
                let operation = take(&mut self.handles, index)?;
                self.cancel(operation);
                self.put_handle(operation);
                nothing(operation)
            }
            Op::HandleClone(index) => {
                let operation = take(&mut self.handles, index)?;
                self.tasks[operation].others += 1;
                self.put_handle(operation);
                self.put_handle(operation);
                nothing(operation)
            }
            Op::HandleDrop(index) => {
                let operation = take(&mut self.handles, index)?;
                self.release_other(operation);
                nothing(operation)
            }
            Op::Raise => {
                self.raised = true;
                command
            }
            Op::Lower => {
                self.raised = false;
                self.drain();
                command
            }
            Op::AdvanceTime => {
                self.advance_time();
                command
            }
            Op::FailAllocation(nth) => {
                self.fail_in = Some(nth);
                command
            }
            Op::Call { object, call, .. } => nothing(self.call(object.into(), call)?),
            Op::Object(object, op) => {
                let answer = self.object_op(object.into(), op)?;
                Some(Done { operation: None, answer: plain(answer) })
            }
            Op::CancelAll => {
                self.cancel_all();
                command
            }
            Op::Schedule(_) => None,
        }
    }

    /// Begins the end of a run. Lowers the IRQL and opens every gate.
    pub fn open_everything(&mut self) {
        self.raised = false;
        self.drain();
        self.all_open = true;
        for gate in 0..GATES {
            self.open_gate(gate);
        }
    }

    /// Gives up everything that clients hold, in the order of `perform::release_everything`.
    pub fn release_everything(&mut self) {
        for gate in 0..GATES {
            while let Some(operation) = self.gates[gate].waiters.pop() {
                self.release_other(operation);
            }
        }
        while let Some(operation) = take(&mut self.stash, 0) {
            self.release_other(operation);
        }
        while let Some(operation) = take(&mut self.handles, 0) {
            self.release_other(operation);
        }
        for object in 0..OBJECTS {
            while self.objects[object].clients > 0 {
                self.release_object(object);
            }
        }
        for operation in 0..self.tasks.len() {
            while self.tasks[operation].clients > 0 {
                self.release_client(operation);
            }
        }
    }

    /// Asks every task that has not ended to stop, the newest first.
    pub fn cancel_all(&mut self) {
        // Nothing runs under the tracker's lock.
        let raised = core::mem::replace(&mut self.raised, true);
        for operation in (0..self.tasks.len()).rev() {
            if self.tasks[operation].end.is_none() {
                self.cancel(operation);
            }
        }
        self.raised = raised;
        self.drain();
    }

    fn put_stash(&mut self, operation: usize) {
        if self.stash.len() < STASH {
            self.stash.push(operation);
        } else {
            self.release_other(operation);
        }
    }

    fn put_handle(&mut self, operation: usize) {
        if self.handles.len() < HANDLES {
            self.handles.push(operation);
        } else {
            self.release_other(operation);
        }
    }
}

fn take(list: &mut Vec<usize>, n: u8) -> Option<usize> {
    let index = usize::from(n).checked_rem(list.len())?;
    Some(list.remove(index))
}
