//! Problems that have their own exit codes.
use std::{fmt, process::ExitCode};

use crate::interrupt;

/// The exit code of a command that cannot run because a tool is missing and cannot be installed.
pub(crate) const UNAVAILABLE: u8 = 3;

/// A problem other than a failure of the tested code.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The command line or the input is wrong.
    Usage(String),
    /// A tool is missing.
    Unavailable(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Unavailable(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Problem {}

/// The exit code for an error.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Problem>() {
        _ if interrupt::interrupted() => ExitCode::from(interrupt::EXIT_CODE),
        Some(Problem::Usage(_)) => ExitCode::from(2),
        Some(Problem::Unavailable(_)) => ExitCode::from(UNAVAILABLE),
        None => ExitCode::FAILURE,
    }
}
