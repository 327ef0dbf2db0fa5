//! Bodies as scripts: what a body does, step by step, one byte a step.

use core::fmt;

/// How many steps a body has, over all its parts.
pub const STEPS: usize = 6;

/// One step of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Ends this part of the body.
    Finish,
    /// Wakes itself and returns Pending, this many times.
    Yield(u8),
    /// Waits until the gate is opened, and closes it behind itself.
    Await(u8),
    /// Gives a clone of the waker to the stash, from where clients wake or drop it.
    Stash,
    /// `take_cancellation_request`.
    Take,
    /// `is_cancellation_requested`.
    Observe,
    /// Returns Pending once, without having kept a waker. In a cleanup, which nothing cancels, it wakes itself first: a cleanup that
    /// waits for nothing would wait for ever.
    Park,
    /// Opens a gate.
    Open(u8),
    /// Cancels the linked operation.
    CancelLink,
    /// Releases the linked operation.
    ReleaseLink,
    /// Asks the linked operation for status and result.
    AskLink,
    /// Keeps its own waker: a cycle.
    KeepWaker,
    /// Drops the kept waker.
    DropKept,
    /// Wakes itself and goes on.
    Notify,
    /// Drops a waker from the stash.
    DropStash(u8),
}

impl Step {
    /// Every byte is a step.
    #[must_use]
    pub const fn decode(byte: u8) -> Self {
        let operand = byte >> 4;
        match byte & 15 {
            // Mostly short; twice the executor's poll budget can be reached.
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

/// How many gates there are.
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
    /// `join(try_finally(steps 0–1, step 2), try_finally(steps 3–4, step 5))`: combinators poll both in turn.
    Join,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Plain, Self::TryFinally, Self::OnCancel, Self::Nested, Self::Join];

    /// Is this part a cleanup?
    #[must_use]
    pub const fn is_cleanup(self, part: usize) -> bool {
        match self {
            Self::Plain => false,
            Self::TryFinally | Self::OnCancel => part == 1,
            Self::Nested | Self::Join => part == 1 || part == 3,
        }
    }

    /// A cleanup that should have run before a body is dropped, and has not. `parts`: a bit for each part that has been polled, and, four
    /// bits up, for each that has ended.
    #[must_use]
    pub const fn missing_cleanup(self, parts: u8) -> Option<u8> {
        let (polled, ended) = (parts & 15, parts >> 4);
        // Which mains a cleanup guards: the first of them, which is polled first.
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

    /// Where the steps of this part are. A shape's parts are numbered as it names them.
    #[must_use]
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

/// A body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Script {
    /// How it is put together.
    pub shape: Shape,
    /// Its steps, undecoded.
    pub steps: [u8; STEPS],
}

impl Script {
    /// The step at this place.
    #[must_use]
    pub fn step(&self, at: u8) -> Step {
        self.steps.get(usize::from(at)).map_or(Step::Finish, |byte| Step::decode(*byte))
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shape)?;
        f.debug_list().entries(self.steps.iter().map(|byte| Step::decode(*byte))).finish()
    }
}
