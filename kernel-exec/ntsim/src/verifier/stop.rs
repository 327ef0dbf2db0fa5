//! The reasons for which a run ends before its programs do.

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::fmt::{self, Display, Formatter};

use serde::{Deserialize, Deserializer, Serialize};

use super::backtrace::Folded;
use super::{bugcheck::BugCheck, irql::irql_name};
use crate::{kernel::thread::ThreadName, trace::label::intern};

/// An oracle's name.
type Oracle = &'static str;

/// Reads an oracle's name.
fn known_for_ever<'de, D: Deserializer<'de>>(from: D) -> Result<Oracle, D::Error> {
    String::deserialize(from).map(intern)
}

/// The reason for which a run ended early.
///
/// `Debug` prints the same text as `Display`, so that `run(…).unwrap()` in a test is readable.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Stop {
    /// A rule of the kernel was broken.
    BugCheck(BugCheck),
    /// An oracle failed. It is a test's, by [`fail`](crate::fail), or one of ntsim's own.
    Failure {
        /// The oracle, such as `data race`, `aliasing`, `replay`, `not supported`.
        #[serde(deserialize_with = "known_for_ever")]
        oracle: Oracle,
        /// The oracle's observation.
        message: String,
        /// The running functions of the driver and of the test, innermost first. Empty if no code
        /// of theirs was running.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        backtrace: Vec<String>,
    },
    /// The driver or a program panicked.
    ///
    /// A driver's panic stops the machine, so no code unwinds, and `catch_unwind` in a run does not
    /// catch it. A program's panic unwinds out of the run instead in three cases: on hosts other
    /// than x86-64 Linux, in a free run, and after a panic hook has replaced the one that the first
    /// simulation sets.
    Panic {
        /// The panic's message.
        message: String,
        /// The file, line and column of the panic.
        place: Option<String>,
        /// The processor that was running.
        processor: usize,
        /// Its IRQL.
        irql: u8,
        /// The running functions of the driver and of the test, innermost first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        backtrace: Vec<String>,
    },
    /// The run had more preemption points than [`Config::step_limit`](crate::Config::step_limit).
    /// Some processor spins for ever, or the limit is too low.
    StepLimit {
        /// The limit.
        steps: u64,
        /// The processor that was running.
        processor: usize,
        /// Its IRQL.
        irql: u8,
        /// Whether it was in a DPC routine.
        in_dpc: bool,
        /// The running functions of the driver and of the test, innermost first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        backtrace: Vec<String>,
    },
    /// Programs or routines of work items have not returned, and nothing can ever go on, because no
    /// timer is set and no thread is ready.
    Deadlock {
        /// The processors and threads that wait, with the holders of their locks.
        waits: Vec<Wait>,
    },
}

/// A processor that waits for a spin lock, or a thread that waits for objects, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// The processor that waits, or that the thread ran on last.
    pub processor: usize,
    /// The thread. `None` for a processor that waits for a spin lock.
    pub thread: Option<ThreadName>,
    /// The spin lock's name, as in the trace, or the objects with their kinds.
    pub lock: String,
    /// The processor that holds the spin lock.
    pub holder: Option<usize>,
    /// The thread that holds the mutex. With several mutexes, the holder of the first one that is
    /// held.
    pub holding_thread: Option<ThreadName>,
    /// The file and line of the code that waits. Stops have it where
    /// [`Config::callers`](crate::Config::callers) is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl Stop {
    /// A failure of an oracle where no code of the driver runs.
    #[must_use]
    pub fn failure(oracle: &'static str, message: String) -> Self {
        Self::Failure { oracle, message, backtrace: Vec::new() }
    }

    /// The bug check, if the stop is one.
    pub fn bug_check(&self) -> Option<&BugCheck> {
        match self {
            Self::BugCheck(bug_check) => Some(bug_check),
            _ => None,
        }
    }
}

impl Display for Wait {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.thread {
            Some(thread) => write!(f, "{thread} waits for {}", self.lock)?,
            None => write!(f, "processor {} waits for spin lock {}", self.processor, self.lock)?,
        }
        match (self.holder, self.holding_thread) {
            (Some(holder), _) => write!(f, ", which processor {holder} holds")?,
            (None, Some(holder)) => write!(f, ", which {holder} holds")?,
            (None, None) => {}
        }
        self.place.as_ref().map_or(Ok(()), |place| write!(f, "  [{place}]"))
    }
}

impl Display for Stop {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::BugCheck(bug_check) => bug_check.fmt(f),
            Self::Failure { oracle, message, backtrace } => {
                write!(f, "{oracle}: {message}{}", Folded(backtrace))
            }
            Self::Panic { message, place, processor, irql, backtrace } => {
                match place {
                    Some(place) => writeln!(f, "panic at {place}: {message}")?,
                    None => writeln!(f, "panic: {message}")?,
                }
                let irql_name = irql_name(*irql);
                write!(f, "  processor {processor} at IRQL {irql} ({irql_name}){}", Folded(backtrace))
            }
            Self::StepLimit { steps, processor, irql, in_dpc, backtrace } => {
                let place = if *in_dpc { ", in a DPC routine" } else { "" };
                write!(
                    f,
                    "step limit: {steps} preemption points; processor {processor} was at IRQL {irql}{place}{}",
                    Folded(backtrace)
                )
            }
            Self::Deadlock { waits } => {
                write!(f, "deadlock")?;
                for (number, wait) in waits.iter().enumerate() {
                    write!(f, "{} {wait}", if number == 0 { ":" } else { ";" })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl core::error::Error for Stop {}
