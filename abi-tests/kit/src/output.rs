//! The standard streams, which may be closed or full. The kit then goes on, and its exit code tells
//! of it.

use core::fmt;
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

/// The exit code if nothing was found and the standard output could not be written.
const UNWRITTEN: u8 = 4;

/// The standard output's first error.
static ERROR: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes a text to the standard output, up to its first error.
pub fn say(text: impl fmt::Display) {
    let mut error = ERROR.lock().unwrap_or_else(PoisonError::into_inner);
    if error.is_none() {
        *error = write!(io::stdout(), "{text}").err();
    }
}

/// Writes a line to the standard error, if that is possible.
pub fn note(line: impl fmt::Display) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// The exit code of a program that would end with `code`. A closed pipe gives no message, and hides
/// no finding.
pub fn exit_code(code: ExitCode) -> ExitCode {
    let error = ERROR.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(error) = error.or_else(|| io::stdout().flush().err()) else { return code };
    if error.kind() != io::ErrorKind::BrokenPipe {
        note(format_args!("error: the standard output cannot be written: {error}"));
    }
    if code == ExitCode::SUCCESS { ExitCode::from(UNWRITTEN) } else { code }
}
