//! Answers of calls.

use crate::{ops::Via, status, value::Bytes};

/// The answer of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status. For AddRef and Release it says whether the returned count is zero.
    pub status: u32,
    /// The contents of the out-parameter.
    pub out: OutValue,
}

/// The contents of an out-parameter after a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutValue {
    /// There is no out-parameter.
    None,
    /// The value from before the call.
    Untouched,
    /// A number.
    Number(u32),
    /// A null pointer.
    Null,
    /// The pointer that this operation has for this interface since its first query.
    Interface(Via),
    /// Another pointer.
    Stranger,
    /// The bytes of a value.
    Bytes(Bytes),
}

/// The result of a step that reached something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Done {
    /// The operation of the step, if it has one.
    pub operation: Option<usize>,
    /// The answer of the call.
    pub answer: Answer,
}

/// The answer of a command that has none.
pub const NOTHING: Answer = Answer { status: status::SUCCESS, out: OutValue::None };
