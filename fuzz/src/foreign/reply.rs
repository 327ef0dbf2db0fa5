//! The answers of the other side, as the harness records them.

use ntcom::NTSTATUS;

/// An answer of the other side, with the data that it wrote, if it wrote any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// The answer, and whether it gave a pointer out.
    Query(NTSTATUS, bool),
    Status(NTSTATUS, Option<i32>),
    /// The answer, the value's bytes as a number, and the reference that came with them.
    Result(NTSTATUS, Option<u128>, Gift),
    Cancel(NTSTATUS),
    Error(NTSTATUS, Option<NTSTATUS>),
    SetCompleted(NTSTATUS),
    /// The answer, and the timeout of the call. `None` waits for ever.
    Wait(NTSTATUS, Option<i64>),
    Size(NTSTATUS, Option<u32>),
}

/// The reference that get_result has handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gift {
    /// No interface.
    None,
    /// An interface with a reference.
    Whole,
    /// An interface with a reference that has no table, or lacks a slot of IUnknown.
    Broken,
}

/// The state of a future in awaiting.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Awaited {
    pub(crate) way: Way,
    /// The context with which it registered its handler.
    pub(crate) ticket: Option<usize>,
    /// Whether it has seen the end.
    pub(crate) over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Way {
    #[default]
    Unknown,
    /// Its handler was accepted.
    Told,
    /// It polls the operation by a timer.
    Looks,
}

/// Whether the client's program asks, rather than one of its tasks.
pub(super) fn is_heard() -> bool {
    ntsim::current_processor() == 0 && ntsim::irql() == 0
}
