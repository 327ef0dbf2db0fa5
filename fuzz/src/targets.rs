//! The inputs of all targets, by the targets' names.

pub use ntcom_fuzz_model::input::{Input, Malformed, SchedulesInput, VtableInput};

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
    match target {
        VtableInput::TARGET => Some(of::<VtableInput>(data)),
        SchedulesInput::TARGET => Some(of::<SchedulesInput>(data)),
        ExecutorInput::TARGET => Some(of::<ExecutorInput>(data)),
        FaultsInput::TARGET => Some(of::<FaultsInput>(data)),
        ComInput::TARGET => Some(of::<ComInput>(data)),
        ForeignInput::TARGET => Some(of::<ForeignInput>(data)),
        _ => None,
    }
}

/// The bytes of an input of the named target with another schedule. `None` if the schedule does not
/// fit or there is no such target.
#[must_use]
pub fn with_schedule(target: &str, data: &[u8], schedule: &[u8]) -> Option<Vec<u8>> {
    match target {
        SchedulesInput::TARGET => SchedulesInput::with_schedule(data, schedule),
        ExecutorInput::TARGET => ExecutorInput::with_schedule(data, schedule),
        FaultsInput::TARGET => FaultsInput::with_schedule(data, schedule),
        ComInput::TARGET => ComInput::with_schedule(data, schedule),
        ForeignInput::TARGET => ForeignInput::with_schedule(data, schedule),
        _ => None,
    }
}
