//! The model of bodies.

use super::Model;
use crate::{
    event::{Event, mix},
    limits::STASH,
    script::{BodyStep, Shape},
};

/// The phase of a `try_finally`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Main,
    Cleanup,
    Done,
}

/// The position in a part of the script.
#[derive(Clone, Copy, Debug)]
struct Part {
    at: u8,
    end: u8,
    inside: Option<u8>,
}

/// A `try_finally`, or an `on_cancel`.
#[derive(Clone, Copy, Debug)]
struct Guard {
    phase: Phase,
    some: bool,
}

/// The state of a body.
#[derive(Clone, Debug)]
pub(super) struct Body {
    shape: Shape,
    parts: [Part; 4],
    guards: [Guard; 2],
    /// Whether a request was set when this poll began, and has not been taken.
    pub(super) untaken: bool,
    /// Whether a cleanup elsewhere in the body kept a main from unwinding in this poll.
    pub(super) held_back: bool,
    /// The object that the body reaches when its script has ended.
    pub(super) reaches: Option<usize>,
    /// The number of cleanups inside which the poll is.
    masked: u32,
}

impl Body {
    pub(super) fn new(shape: Shape) -> Self {
        let part = |number| {
            let (at, end) = shape.part(number);
            Part { at, end, inside: None }
        };
        let guard = Guard { phase: Phase::Main, some: false };
        Self {
            shape,
            parts: [part(0), part(1), part(2), part(3)],
            guards: [guard; 2],
            untaken: false,
            held_back: false,
            reaches: None,
            masked: 0,
        }
    }
}

impl Model {
    /// Polls the body once. True if the body has returned.
    pub(super) fn poll_body(&mut self, operation: usize) -> bool {
        let ended = self.poll_script(operation);
        if ended && let Some(object) = self.tasks[operation].body.reaches {
            self.log(operation, 0x80 | object as u64);
        }
        ended
    }

    fn poll_script(&mut self, operation: usize) -> bool {
        let shape = self.tasks[operation].body.shape;
        match shape {
            Shape::Plain => self.part(operation, 0),
            Shape::TryFinally => match self.simple_guard(operation, 0, 0, 1, true) {
                Some(some) => self.ended(operation, 0x30, some),
                None => false,
            },
            Shape::OnCancel => match self.simple_guard(operation, 0, 0, 1, false) {
                Some(some) => self.ended(operation, 0x40, some),
                None => false,
            },
            Shape::Nested => {
                let main = |model: &mut Self| match model.guarded_once(operation) {
                    true => model.part(operation, 2),
                    false => false,
                };
                match self.guard(operation, 1, main, 3, true) {
                    Some(some) => self.ended(operation, 0x60, some),
                    None => false,
                }
            }
            Shape::Join => {
                let first = self.simple_guard(operation, 0, 0, 1, true);
                let second = self.simple_guard(operation, 1, 2, 3, true);
                match (first, second) {
                    (Some(first), Some(second)) => {
                        let both = u64::from(first) << 1 | u64::from(second);
                        self.log(operation, 0x70 | both);
                        true
                    }
                    _ => false,
                }
            }
        }
    }

    fn ended(&mut self, operation: usize, base: u64, some: bool) -> bool {
        self.log(operation, base | u64::from(some));
        true
    }

    /// Polls the inner guard of a nested body. Its end is logged once.
    fn guarded_once(&mut self, operation: usize) -> bool {
        let was_done = self.tasks[operation].body.guards[0].phase == Phase::Done;
        match self.simple_guard(operation, 0, 0, 1, true) {
            Some(some) if !was_done => self.ended(operation, 0x50, some),
            Some(_) => true,
            None => false,
        }
    }

    /// Polls a guard of two parts, a main and a cleanup. `Some` if it has ended, with whether it
    /// has a value.
    fn simple_guard(
        &mut self,
        operation: usize,
        guard: usize,
        main: usize,
        cleanup: usize,
        always: bool,
    ) -> Option<bool> {
        self.guard(operation, guard, |model| model.part(operation, main), cleanup, always)
    }

    fn guard(
        &mut self,
        operation: usize,
        guard: usize,
        main: impl FnOnce(&mut Self) -> bool,
        cleanup: usize,
        always: bool,
    ) -> Option<bool> {
        if self.tasks[operation].body.guards[guard].phase == Phase::Main {
            let ready = main(self);
            let task = &mut self.tasks[operation];
            if ready {
                task.body.guards[guard].some = true;
                if !always {
                    task.body.guards[guard].phase = Phase::Done;
                    return Some(true);
                }
            } else {
                let requested = task.unwinding || (task.body.untaken && task.cancel);
                if task.body.masked > 0 || !requested {
                    return None;
                }
                if task.cleanups > 0 {
                    task.body.held_back = true;
                    return None;
                }
                task.unwinding = true;
                task.cancel = false;
            }
            task.body.guards[guard].phase = Phase::Cleanup;
            task.cleanups += 1;
        }
        if self.tasks[operation].body.guards[guard].phase == Phase::Cleanup {
            self.tasks[operation].body.masked += 1;
            let ready = self.part(operation, cleanup);
            let task = &mut self.tasks[operation];
            task.body.masked -= 1;
            if !ready {
                return None;
            }
            task.cleanups -= 1;
            task.body.guards[guard].phase = Phase::Done;
        }
        Some(self.tasks[operation].body.guards[guard].some)
    }

    /// Goes on with a part. True if it has ended.
    fn part(&mut self, operation: usize, number: usize) -> bool {
        loop {
            let part = self.tasks[operation].body.parts[number];
            if part.at >= part.end {
                return true;
            }
            match self.script_step(operation, number) {
                Some(true) => {
                    let part = &mut self.tasks[operation].body.parts[number];
                    part.at += 1;
                    part.inside = None;
                }
                Some(false) => {
                    let part = &mut self.tasks[operation].body.parts[number];
                    part.at = part.end;
                }
                None => return false,
            }
        }
    }

    /// Does one step. `Some` says whether to go on with the part, and `None` means Pending.
    fn script_step(&mut self, operation: usize, number: usize) -> Option<bool> {
        let task = &mut self.tasks[operation];
        let part = &mut task.body.parts[number];
        match task.script.step(part.at) {
            BodyStep::Finish => return Some(false),
            BodyStep::Yield(times) => {
                let left = part.inside.unwrap_or(times + 1);
                if left > 0 {
                    part.inside = Some(left - 1);
                    self.wake_by_ref(operation);
                    return None;
                }
            }
            BodyStep::Await(gate) => {
                let gate = &mut self.gates[usize::from(gate)];
                if !self.all_open && !core::mem::take(&mut gate.open) {
                    if !gate.waiters.contains(&operation) {
                        gate.waiters.push(operation);
                        task.others += 1;
                    }
                    return None;
                }
            }
            BodyStep::Stash => {
                if self.stash.len() < STASH {
                    self.stash.push(operation);
                    task.others += 1;
                }
            }
            BodyStep::Take => {
                let taken = task.body.masked == 0 && core::mem::take(&mut task.cancel);
                if taken {
                    task.body.untaken = false;
                    task.cancel_seen = true;
                }
                self.log(operation, 0x10 | u64::from(taken));
            }
            BodyStep::Observe => {
                let seen = task.body.masked == 0 && (task.cancel || task.unwinding);
                self.log(operation, 0x20 | u64::from(seen));
            }
            BodyStep::Park => {
                if part.inside.is_none() {
                    part.inside = Some(0);
                    if task.body.shape.is_cleanup(number) {
                        self.wake_by_ref(operation);
                    }
                    return None;
                }
            }
            BodyStep::Open(gate) => self.open_gate(gate.into()),
            BodyStep::CancelLink => {
                if let Some(link) = task.link {
                    self.cancel(link);
                }
            }
            BodyStep::ReleaseLink => {
                if let Some(link) = task.link.take() {
                    self.release_other(link);
                }
            }
            BodyStep::AskLink => {
                if let Some(link) = task.link {
                    let result = self.outcome(link);
                    // The upper half of the body's log entry is the answer of get_status,
                    // STATUS_SUCCESS (0).
                    self.log(operation, result.into());
                }
            }
            BodyStep::KeepWaker => {
                if !task.kept {
                    task.kept = true;
                    task.others += 1;
                }
            }
            BodyStep::DropKept => {
                if core::mem::take(&mut task.kept) {
                    self.release_other(operation);
                }
            }
            BodyStep::Notify => self.wake_by_ref(operation),
            BodyStep::DropStash(index) => {
                if let Some(other) = super::take(&mut self.stash, index) {
                    self.release_other(other);
                }
            }
        }
        Some(true)
    }

    pub(super) fn open_gate(&mut self, gate: usize) {
        self.gates[gate].open = true;
        let mut waiters = core::mem::take(&mut self.gates[gate].waiters);
        for operation in waiters.drain(..) {
            self.wake_by_value(operation);
        }
        let now = &mut self.gates[gate].waiters;
        if now.is_empty() {
            *now = waiters;
        }
    }

    fn log(&mut self, operation: usize, entry: u64) {
        let log = &mut self.tasks[operation].log;
        *log = mix(*log, entry);
        let log = *log;
        self.happened(operation, Event::Saw(log));
    }
}
