//! The standard streams, which may be closed or full.
//!
//! `say!` writes a result to the standard output, and `note!` writes a line about the work to the
//! standard error. Neither stops the command, because its work is worth more than the lines about
//! it. After its first error the standard output gets no more lines, and [`exit_code`] reports the
//! error.
use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

/// The exit code of a command that succeeded, but could not write to the standard output.
const UNWRITTEN: u8 = 4;

/// The first error of the standard output.
static ERROR: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes a line to the standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::say(format_args!($($text)*)) };
}

/// Writes a line to the standard error, where that is possible.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::note(format_args!($($text)*)) };
}

/// The function behind `say!`.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let mut error = ERROR.lock().unwrap_or_else(PoisonError::into_inner);
    if error.is_none() {
        *error = writeln!(io::stdout(), "{line}").err();
    }
}

/// The function behind `note!`.
pub(crate) fn note(line: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// The exit code of this program for a command that ends with `code`. A closed pipe, as of
/// `| head`, gets no message.
pub(crate) fn exit_code(code: ExitCode) -> ExitCode {
    let error = ERROR.lock().unwrap_or_else(PoisonError::into_inner).take();
    let error = error.or_else(|| io::stdout().flush().err());
    judge(code, error.as_ref())
}

fn judge(code: ExitCode, error: Option<&io::Error>) -> ExitCode {
    let Some(error) = error else { return code };
    if error.kind() != io::ErrorKind::BrokenPipe {
        note!("error: the standard output cannot be written: {error}");
    }
    // A failure of the command has precedence.
    if code == ExitCode::SUCCESS { ExitCode::from(UNWRITTEN) } else { code }
}

#[cfg(test)]
mod tests {
    use std::{io, process::ExitCode};

    use super::{UNWRITTEN, judge};

    #[test]
    fn an_error_of_the_output_is_an_exit_code_unless_there_is_another() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(judge(ExitCode::SUCCESS, None), ExitCode::SUCCESS);
        assert_eq!(judge(ExitCode::SUCCESS, Some(&closed)), ExitCode::from(UNWRITTEN));
        assert_eq!(judge(ExitCode::FAILURE, Some(&closed)), ExitCode::FAILURE);
    }
}
