//! The standard streams of a program that goes on if they cannot be written.

use core::fmt;
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// The exit code of a run that is clean when its output could not be written.
const UNWRITTEN: u8 = 4;

/// A stream that is written up to its first error. The program then goes on, because it writes
/// files too, and its exit code tells of the error.
pub(crate) struct Output<W> {
    stream: W,
    error: Option<io::Error>,
}

impl Output<io::BufWriter<io::Stdout>> {
    /// The standard output.
    pub(crate) fn standard() -> Self {
        Self { stream: io::BufWriter::new(io::stdout()), error: None }
    }
}

impl<W: Write> Output<W> {
    /// Writes a line.
    pub(crate) fn line(&mut self, line: impl fmt::Display) {
        if self.error.is_none() {
            self.error = writeln!(self.stream, "{line}").err();
        }
    }

    /// The exit code of the program. An error of the stream does not hide a finding. A closed pipe
    /// gives no message.
    pub(crate) fn end(mut self, found: bool) -> ExitCode {
        let error = self.error.take().or_else(|| self.stream.flush().err());
        if let Some(error) = error.as_ref().filter(|error| error.kind() != io::ErrorKind::BrokenPipe) {
            complain(format_args!("error: the standard output cannot be written: {error}"));
        }
        match error {
            _ if found => ExitCode::FAILURE,
            Some(_) => ExitCode::from(UNWRITTEN),
            None => ExitCode::SUCCESS,
        }
    }
}

/// Writes a line to the standard error, where that is possible.
pub(crate) fn complain(line: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr(), "{line}"));
}
