//! Bodies as scripts. Each byte of a script is one step of its body.

use core::time::Duration;

use ntcom_fuzz_model::script;

/// A body.
pub type Script = script::Script<Shape>;

/// The number of gates.
pub const GATES: usize = 3;
/// The number of kernel events, one of each type.
pub const EVENTS: usize = 2;
/// The number of signals.
pub const SIGNALS: usize = 3;
/// A clock period.
pub const TICK: Duration = Duration::from_nanos(15_625_000);

/// The length of a sleep, a limit or a period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span(u8);

impl Span {
    /// The span of a number. Only its low three bits count.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number & 7)
    }

    /// The span as the executor gets it. The last span is beyond every clock.
    #[must_use]
    pub const fn duration(self) -> Duration {
        match self.0 {
            0 => Duration::ZERO,
            1 => Duration::from_nanos(100),
            2 => Duration::from_millis(1),
            3 => TICK,
            4 => Duration::from_millis(20),
            5 => Duration::from_millis(50),
            6 => Duration::from_secs(1),
            _ => Duration::MAX,
        }
    }
}

/// One step of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskStep {
    /// Ends this part of the body.
    Finish,
    /// Wakes itself and returns Pending, this many times.
    Yield(u8),
    /// `passive` around one of the [`PASSIVE_STEPS`] steps.
    Passive(u8),
    /// Waits until the gate is opened, and closes the gate when it passes.
    Await(u8),
    /// Waits as a client for an operation, for at most three clock periods.
    Operation(u8),
    /// Waits for the signal, unless another task waits for it.
    Signal(u8),
    /// Waits for a kernel event, for at most three clock periods. The executor polls the event by a
    /// timer.
    Event(u8),
    /// `sleep`.
    Sleep(Span),
    /// `sleep` with a tolerance.
    SleepTolerant(Span),
    /// `sleep_until`.
    SleepUntil(Span),
    /// `timeout` of a gate.
    Timeout(Span),
    /// Two ticks of an `interval`.
    Interval(Span),
    /// Makes a `oneshot`, gives its sender away, and waits for the value.
    Receive,
    /// Puts a clone of the waker into the stash, from which other tasks and actors wake or drop it.
    Stash,
    /// Keeps its own waker, which makes a reference cycle.
    KeepWaker,
    /// Drops the kept waker.
    DropKept,
    /// Wakes itself and goes on.
    Notify,
    /// Opens a gate.
    Open(u8),
    /// Sets a signal.
    Set(u8),
    /// Sends to a receiver.
    Send(u8),
    /// Drops a sender.
    DropSender(u8),
    /// `take_cancellation_request`.
    Take,
    /// `is_cancellation_requested`.
    Observe,
    /// Returns Pending once, without keeping a waker. A cleanup wakes itself first, because a
    /// cancel request does not end it.
    Park,
    /// Spawns a task of one of the [`CHILDREN`].
    Spawn(u8),
    /// Cancels a task by a handle.
    Cancel(u8),
    /// Polls a timer that another body has given away, and drops it.
    DropTimer(u8),
    /// Makes a timer, polls it once, and drops it.
    ArmAndDrop(Span),
    /// Makes a timer, polls it once, and gives it away.
    GiveTimer(Span),
    /// Makes a timer and gives it away.
    GiveFresh(Span),
    /// Wakes by a waker from the stash.
    WakeStash(u8),
    /// Drops a handle.
    DropHandle(u8),
    /// Drops a waker from the stash.
    DropStash(u8),
}

impl TaskStep {
    /// Decodes a byte. Every byte is a step.
    #[must_use]
    pub const fn decode(byte: u8) -> Self {
        let operand = byte >> 5;
        let span = Span::new(operand);
        match byte & 31 {
            // Most yields are short. The longest spend the executor's poll budget once and twice.
            1 => Self::Yield([0, 0, 0, 1, 1, 2, 16, 34][operand as usize]),
            2 => Self::Passive(operand),
            4 => Self::Operation(operand),
            3 => Self::Await(operand % GATES as u8),
            5 => Self::Signal(operand % SIGNALS as u8),
            6 => Self::Sleep(span),
            7 => Self::SleepTolerant(span),
            8 => Self::SleepUntil(span),
            9 => Self::Timeout(span),
            10 => Self::Interval(span),
            11 => Self::Receive,
            12 => Self::Stash,
            13 => Self::KeepWaker,
            14 => Self::DropKept,
            15 => Self::Notify,
            16 => Self::Open(operand % GATES as u8),
            17 => Self::Set(operand % SIGNALS as u8),
            18 => Self::Send(operand),
            19 => Self::DropSender(operand),
            20 => Self::Take,
            21 => Self::Observe,
            22 => Self::Park,
            23 => Self::Spawn(operand),
            24 => Self::Cancel(operand),
            25 => Self::DropTimer(operand),
            26 => Self::ArmAndDrop(span),
            27 => Self::GiveTimer(span),
            28 => Self::GiveFresh(span),
            29 => Self::WakeStash(operand),
            30 => Self::DropHandle(operand),
            31 if operand < 2 => Self::DropStash(operand),
            31 => Self::Event(operand),
            _ => Self::Finish,
        }
    }
}

/// The steps that a body may do at PASSIVE_LEVEL.
pub const PASSIVE_STEPS: [TaskStep; 8] = [
    TaskStep::Finish,
    TaskStep::Yield(0),
    TaskStep::Yield(16),
    TaskStep::Await(0),
    TaskStep::Await(1),
    TaskStep::Sleep(Span::new(4)),
    TaskStep::Signal(2),
    TaskStep::Receive,
];

/// How a body is put together from its steps.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Shape {
    /// All steps in a row.
    #[default]
    Plain,
    /// `try_finally(steps 0–2, steps 3–5)`.
    TryFinally,
    /// `on_cancel(steps 0–2, steps 3–5)`.
    OnCancel,
    /// `try_finally({ try_finally(steps 0–1, step 2); step 3 }, steps 4–5)`.
    Nested,
    /// `try_finally({ on_cancel(steps 0–1, step 2); step 3 }, steps 4–5)`.
    Mixed,
    /// `join(try_finally(steps 0–1, step 2), try_finally(steps 3–4, step 5))`.
    Join,
    /// `select(steps 0–2, steps 3–5)`. The loser is dropped.
    Select,
    /// `timeout(20 ms, steps 0–3)`, then steps 4–5.
    Limited,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 8] = [
        Self::Plain,
        Self::TryFinally,
        Self::OnCancel,
        Self::Nested,
        Self::Mixed,
        Self::Join,
        Self::Select,
        Self::Limited,
    ];

    /// The shape of an operation's body that has the same parts.
    const fn base(self) -> script::Shape {
        match self {
            Self::Plain | Self::Limited => script::Shape::Plain,
            Self::TryFinally | Self::Select => script::Shape::TryFinally,
            Self::OnCancel => script::Shape::OnCancel,
            Self::Nested | Self::Mixed => script::Shape::Nested,
            Self::Join => script::Shape::Join,
        }
    }

    /// Whether this part is a cleanup.
    #[must_use]
    pub const fn is_cleanup(self, part: usize) -> bool {
        !matches!(self, Self::Select) && self.base().is_cleanup(part)
    }

    /// The first cleanup that is due before a body is dropped and has not ended. `parts` has a bit
    /// for each part that has been polled and, four bits up, a bit for each part that has ended.
    #[must_use]
    pub const fn missing_cleanup(self, parts: u8) -> Option<u8> {
        match self {
            Self::Select => None,
            // The cleanup of the inner `on_cancel` is due only if its main has not ended.
            Self::Mixed if parts >> 4 & 1 == 1 => self.base().missing_cleanup(parts | 1 << 5),
            _ => self.base().missing_cleanup(parts),
        }
    }

    /// A cleanup that must end before this part begins and has not ended. The innermost cleanup
    /// comes first, and a step behind a `try_finally` comes after its cleanup.
    #[must_use]
    pub fn too_early(self, part: u8, parts: u8) -> Option<u8> {
        let nested = matches!(self, Self::Nested | Self::Mixed);
        if nested && part >= 2 { self.missing_cleanup(parts).filter(|cleanup| *cleanup == 1) } else { None }
    }

    /// The range of steps of this part. The parts are numbered in the order in which the variant's
    /// documentation names them.
    #[must_use]
    pub const fn part(self, part: usize) -> (u8, u8) {
        match (self, part) {
            (Self::Limited, 0) => (0, 4),
            (Self::Limited, _) => (4, 6),
            _ => self.base().part(part),
        }
    }
}

impl script::Form for Shape {
    type Step = TaskStep;

    fn decode(byte: u8) -> TaskStep {
        TaskStep::decode(byte)
    }
}

/// Whether a body may take a request and go on, so that one request need not end it.
#[must_use]
pub fn resists(script: &Script) -> bool {
    script.steps.iter().any(|byte| TaskStep::decode(*byte) == TaskStep::Take)
}

/// The tasks that bodies spawn. The flag says whether the task runs on work items.
pub const CHILDREN: [(bool, Script); 8] = [
    (false, Script { shape: Shape::Plain, steps: [0x01, 0, 0, 0, 0, 0] }),
    (false, Script { shape: Shape::TryFinally, steps: [0x03, 0, 0, 0x01, 0, 0] }),
    (false, Script { shape: Shape::Plain, steps: [0x46, 0, 0, 0, 0, 0] }),
    (false, Script { shape: Shape::Nested, steps: [0x23, 0, 0x01, 0x22, 0x10, 0] }),
    (true, Script { shape: Shape::Plain, steps: [0x10, 0x01, 0, 0, 0, 0] }),
    (true, Script { shape: Shape::TryFinally, steps: [0x05, 0, 0, 0x11, 0, 0] }),
    (true, Script { shape: Shape::Plain, steps: [0x0B, 0, 0, 0, 0, 0] }),
    (true, Script { shape: Shape::Select, steps: [0x03, 0, 0, 0x46, 0, 0] }),
];

#[cfg(test)]
mod tests {
    use super::{CHILDREN, Shape, Span, TaskStep};

    #[test]
    fn the_parts_of_a_shape_are_all_its_steps() {
        for shape in Shape::ALL {
            let count =
                (0..4).find(|part| *part > 0 && shape.part(*part) == shape.part(part - 1)).unwrap_or(4);
            let parts = (0..count).map(|part| shape.part(part));
            let end = parts.fold(0, |end, (from, to)| {
                assert_eq!(from, end, "{shape:?}");
                to
            });
            assert_eq!(end, 6, "{shape:?}");
        }
    }

    #[test]
    fn a_cleanup_is_missed_where_its_main_has_begun_and_it_has_not_ended() {
        assert_eq!(Shape::TryFinally.missing_cleanup(0), None, "never polled");
        assert_eq!(Shape::TryFinally.missing_cleanup(0b0000_0001), Some(1));
        assert_eq!(Shape::TryFinally.missing_cleanup(0b0010_0011), None);
        assert_eq!(Shape::OnCancel.missing_cleanup(0b0001_0001), None, "the main has ended by itself");
        assert_eq!(Shape::Nested.missing_cleanup(0b0010_0011), Some(3));
        assert_eq!(Shape::Nested.too_early(3, 0b0000_0001), Some(1));
        assert_eq!(Shape::Mixed.too_early(2, 0b0001_0001), None);
    }

    #[test]
    fn children_do_what_their_names_say() {
        let steps: Vec<TaskStep> = CHILDREN.iter().map(|(_, script)| script.step(0)).collect();
        let expected = [
            TaskStep::Yield(0),
            TaskStep::Await(0),
            TaskStep::Sleep(Span::new(2)),
            TaskStep::Await(1),
            TaskStep::Open(0),
            TaskStep::Signal(0),
            TaskStep::Receive,
            TaskStep::Await(0),
        ];
        assert_eq!(steps, expected);
    }
}
