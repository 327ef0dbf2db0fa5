//! Bodies as scripts. Each byte of a script is one step of its body.

use core::fmt;

use crate::limits::RECORD;

/// The number of steps of a body, over all its parts.
pub const STEPS: usize = 6;

/// One step of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyStep {
    /// Ends this part of the body.
    Finish,
    /// Wakes itself and returns Pending, this many times.
    Yield(u8),
    /// Waits until the gate is opened, and closes the gate when it passes.
    Await(u8),
    /// Puts a clone of the waker into the stash, from which clients wake or drop it.
    Stash,
    /// `take_cancellation_request`.
    Take,
    /// `is_cancellation_requested`.
    Observe,
    /// Returns Pending once, without keeping a waker. A cleanup wakes itself first, because a
    /// cancel request does not end it and it would wait for ever.
    Park,
    /// Opens a gate.
    Open(u8),
    /// Cancels the linked operation.
    CancelLink,
    /// Releases the linked operation.
    ReleaseLink,
    /// Asks the linked operation for status and result.
    AskLink,
    /// Keeps its own waker, which makes a reference cycle.
    KeepWaker,
    /// Drops the kept waker.
    DropKept,
    /// Wakes itself and goes on.
    Notify,
    /// Drops a waker from the stash.
    DropStash(u8),
}

impl BodyStep {
    /// Decodes a byte. Every byte is a step.
    #[must_use]
    #[inline]
    pub const fn decode(byte: u8) -> Self {
        let operand = byte >> 4;
        match byte & 15 {
            // Most yields are short; the longest reach twice the executor's poll budget.
            1 => Self::Yield([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 7, 15, 15][operand as usize]),
            2 | 3 => Self::Await(operand % GATES as u8),
            4 => Self::Stash,
            5 => Self::Take,
            6 => Self::Observe,
            7 => Self::Park,
            8 => Self::Open(operand % GATES as u8),
            9 => Self::CancelLink,
            10 => Self::ReleaseLink,
            11 => Self::AskLink,
            12 => Self::KeepWaker,
            13 => Self::DropKept,
            14 => Self::Notify,
            15 => Self::DropStash(operand),
            _ => Self::Finish,
        }
    }
}

/// The number of gates.
pub const GATES: usize = 4;

/// How a body is put together from its steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// All steps in a row.
    Plain,
    /// `try_finally(steps 0–2, steps 3–5)`.
    TryFinally,
    /// `on_cancel(steps 0–2, steps 3–5)`.
    OnCancel,
    /// `try_finally({ try_finally(steps 0–1, step 2); step 3 }, steps 4–5)`.
    Nested,
    /// `join(try_finally(steps 0–1, step 2), try_finally(steps 3–4, step 5))`. The combinator polls
    /// both in turn.
    Join,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 5] = [Self::Plain, Self::TryFinally, Self::OnCancel, Self::Nested, Self::Join];

    /// Whether this part is a cleanup.
    #[must_use]
    #[inline]
    pub const fn is_cleanup(self, part: usize) -> bool {
        match self {
            Self::Plain => false,
            Self::TryFinally | Self::OnCancel => part == 1,
            Self::Nested | Self::Join => part == 1 || part == 3,
        }
    }

    /// The first cleanup that is due before a body is dropped and has not ended. `parts` has a bit
    /// for each part that has been polled and, four bits up, a bit for each part that has ended.
    #[must_use]
    #[inline]
    pub const fn missing_cleanup(self, parts: u8) -> Option<u8> {
        let (polled, ended) = (parts & 15, parts >> 4);
        // Each pair is a main part and the cleanup that guards it. Of several main parts it names
        // the first, which is polled first.
        let guards: &[(u8, u8)] = match self {
            Self::Plain => &[],
            Self::OnCancel if ended & 1 != 0 => &[],
            Self::TryFinally | Self::OnCancel => &[(0, 1)],
            Self::Nested => &[(0, 1), (0, 3)],
            Self::Join => &[(0, 1), (2, 3)],
        };
        let mut index = 0;
        while index < guards.len() {
            let (main, cleanup) = guards[index];
            if polled >> main & 1 == 1 && ended >> cleanup & 1 == 0 {
                return Some(cleanup);
            }
            index += 1;
        }
        None
    }

    /// The range of steps of this part. The parts are numbered in the order in which the variant's
    /// documentation names them.
    #[must_use]
    #[inline]
    pub const fn part(self, part: usize) -> (u8, u8) {
        match (self, part) {
            (Self::Plain, _) => (0, 6),
            (Self::TryFinally | Self::OnCancel, 0) => (0, 3),
            (Self::TryFinally | Self::OnCancel, _) => (3, 6),
            (Self::Nested | Self::Join, 0) => (0, 2),
            (Self::Nested | Self::Join, 1) => (2, 3),
            (Self::Nested, 2) => (3, 4),
            (Self::Nested, _) => (4, 6),
            (Self::Join, 2) => (3, 5),
            (Self::Join, _) => (5, 6),
        }
    }
}

impl Form for Shape {
    type Step = BodyStep;

    #[inline]
    fn decode(byte: u8) -> BodyStep {
        BodyStep::decode(byte)
    }
}

/// A form of scripts, which is a type of shapes with the steps that bodies are made of.
pub trait Form: Copy + fmt::Debug {
    /// One step of a body.
    type Step: fmt::Debug;

    /// Decodes a byte. Every byte is a step, and 0 ends a part.
    fn decode(byte: u8) -> Self::Step;
}

/// A body.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Script<S = Shape> {
    /// How the body is put together.
    pub shape: S,
    /// The steps, undecoded.
    pub steps: [u8; STEPS],
}

impl<S: Form> Script<S> {
    /// The step at this place.
    #[must_use]
    #[inline]
    pub fn step(&self, at: u8) -> S::Step {
        S::decode(self.steps.get(usize::from(at)).copied().unwrap_or(0))
    }
}

impl<S: Form> fmt::Debug for Script<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shape)?;
        f.debug_list().entries(self.steps.iter().map(|byte| S::decode(*byte))).finish()
    }
}

/// The steps of a body of which two bytes are in its record. The next record, which is taken from
/// `rest`, has the others.
#[inline]
pub fn take_steps([a, b]: [u8; 2], rest: &mut &[u8]) -> [u8; STEPS] {
    let (tail, after) = rest.split_first_chunk::<RECORD>().unwrap_or((&[0; RECORD], &[]));
    *rest = after;
    let [s2, s3, s4, s5] = *tail;
    [a, b, s2, s3, s4, s5]
}
