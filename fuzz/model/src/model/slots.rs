//! The answers of an operation's slots, by the rules C1, C2, C4–C7, C14 and C15.

use super::{End, Model};
use crate::{
    answer::{Answer, OutValue},
    ops::{Handler, Iid, Out, Timeout, Via},
    status,
    value::Bytes,
};

impl Model {
    /// Waits for an operation `[C15]`. A wait that is not over at once takes one clock tick, and
    /// everything that is due at the tick happens.
    pub(super) fn wait(&mut self, operation: usize, timeout: Timeout) -> u32 {
        if self.tasks[operation].immortal {
            return status::SUCCESS;
        }
        if timeout != Timeout::Zero {
            if self.raised {
                return status::NOT_SUPPORTED;
            }
            if self.tasks[operation].end.is_none() {
                self.advance_time();
            }
        }
        let ended = self.tasks[operation].end.is_some();
        if ended { status::SUCCESS } else { status::TIMEOUT }
    }

    pub(super) fn result(&self, operation: usize, out: Out) -> Answer {
        let answer = self.outcome(operation);
        let bytes = if answer == status::SUCCESS { Bytes::Value } else { Bytes::Zeroed };
        match out {
            Out::Null => Answer { status: status::INVALID_PARAMETER, out: OutValue::None },
            Out::Given | Out::Misaligned => Answer { status: answer, out: OutValue::Bytes(bytes) },
        }
    }

    pub(super) fn outcome(&self, operation: usize) -> u32 {
        match self.tasks[operation].end {
            None => status::PENDING,
            Some(End::Completed) => status::SUCCESS,
            Some(End::Canceled) => status::CANCELLED,
            Some(End::Error(error)) => error,
        }
    }

    pub(super) fn set_completed(&mut self, operation: usize, handler: Handler) -> u32 {
        let task = &mut self.tasks[operation];
        if handler == Handler::Null {
            return status::INVALID_PARAMETER;
        }
        // The constant operation takes any number of handlers [C11].
        if task.immortal {
            self.tell_handler(operation);
            return status::SUCCESS;
        }
        if task.handler.is_some() {
            return status::INVALID_DEVICE_STATE;
        }
        task.handler = Some(handler);
        if handler == Handler::Releases {
            task.others += 1;
        }
        if task.end.is_some() {
            self.run_handler(operation);
        }
        status::SUCCESS
    }
}

/// The answer of a slot that writes four bytes.
pub(super) fn written(out: Out, number: u32) -> Answer {
    match out {
        Out::Null => Answer { status: status::INVALID_PARAMETER, out: OutValue::Untouched },
        Out::Given | Out::Misaligned => Answer { status: status::SUCCESS, out: OutValue::Number(number) },
    }
}

/// The answer of QueryInterface.
pub(super) fn query(iid: Iid, out: Out) -> Answer {
    let invalid = status::INVALID_PARAMETER;
    if out == Out::Null {
        return Answer { status: invalid, out: OutValue::None };
    }
    let found = |via| Answer { status: status::SUCCESS, out: OutValue::Interface(via) };
    match iid {
        Iid::Null => Answer { status: invalid, out: OutValue::Null },
        Iid::Unsupported => Answer { status: status::NOINTERFACE, out: OutValue::Null },
        // A query for IUnknown always gives the same pointer [C2].
        Iid::Unknown | Iid::Operation => found(Via::Operation),
        Iid::Control => found(Via::Control),
    }
}
