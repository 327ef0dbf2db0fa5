//! All targets, by their names.

pub use ntcom_fuzz_model::input::{Input, Malformed, SchedulesInput, VtableInput};

use crate::harness::run::{Report, Runner, Target};
pub use crate::{
    com::input::ComInput,
    executor::input::{ExecutorInput, FaultsInput},
    foreign::input::ForeignInput,
};

/// The targets' names.
pub const TARGETS: [&str; 6] = [
    VtableInput::TARGET,
    SchedulesInput::TARGET,
    ExecutorInput::TARGET,
    FaultsInput::TARGET,
    ComInput::TARGET,
    ForeignInput::TARGET,
];

/// Calls a generic function with the input type of the named target. `None` if there is no such
/// target.
macro_rules! by_name {
    ($target:expr, $function:ident($($argument:expr),*)) => {
        match $target {
            VtableInput::TARGET => Some($function::<VtableInput>($($argument),*)),
            SchedulesInput::TARGET => Some($function::<SchedulesInput>($($argument),*)),
            ExecutorInput::TARGET => Some($function::<ExecutorInput>($($argument),*)),
            FaultsInput::TARGET => Some($function::<FaultsInput>($($argument),*)),
            ComInput::TARGET => Some($function::<ComInput>($($argument),*)),
            ForeignInput::TARGET => Some($function::<ForeignInput>($($argument),*)),
            _ => None,
        }
    };
}

/// Describes an input of the named target by its setting, if it has one, and its steps. `None` if
/// there is no such target.
///
/// # Errors
/// The bytes are not an input of the target.
pub fn describe(target: &str, data: &[u8]) -> Option<Result<(String, Vec<String>), Malformed>> {
    fn of<I: Input>(data: &[u8]) -> Result<(String, Vec<String>), Malformed> {
        let input = I::decode(data)?;
        Ok((input.setting(), input.steps().iter().map(ToString::to_string).collect()))
    }
    by_name!(target, of(data))
}

/// The bytes of an input of the named target with another schedule. `None` if the schedule does not
/// fit or there is no such target.
#[must_use]
pub fn with_schedule(target: &str, data: &[u8], schedule: &[u8]) -> Option<Vec<u8>> {
    fn of<I: Input>(data: &[u8], schedule: &[u8]) -> Option<Vec<u8>> {
        I::with_schedule(data, schedule)
    }
    by_name!(target, of(data, schedule))?
}

/// Decodes and runs an input of the named target. `None` if there is no such target.
///
/// # Errors
/// The bytes are not an input of the target.
pub fn run(runner: &mut Runner, target: &str, data: &[u8], trace: bool) -> Option<Result<Report, Malformed>> {
    fn of<T: Target>(runner: &mut Runner, data: &[u8], trace: bool) -> Result<Report, Malformed> {
        Ok(runner.run(&T::decode(data)?, trace))
    }
    by_name!(target, of(runner, data, trace))
}
