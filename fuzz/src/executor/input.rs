//! The inputs of `executor` and `faults`.

use std::rc::Rc;

use ntcom_fuzz_model::input::{Input, Malformed, records};

use super::ops::{self, ExecutorStep};

/// The settings of a run, among them how the driver is unloaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The number of processors, from one to four.
    pub processors: usize,
    /// Whether Unload comes while tasks are under way. The actors are then threads that it waits
    /// for.
    pub abrupt: bool,
    /// Whether handles, wakers and timers are kept until the drain has returned.
    pub keeps: bool,
    /// Whether the driver drains once and without a limit, if no body resists.
    pub direct: bool,
    /// Whether one allocation in sixteen fails, as the schedule chooses. Only in `faults`.
    pub low: bool,
}

impl Setting {
    fn decode(byte: u8) -> Self {
        let flag = |bit: u8| byte >> bit & 1 == 1;
        Self {
            processors: 1 + usize::from(byte & 3),
            abrupt: flag(2),
            keeps: flag(3),
            direct: flag(4),
            low: flag(5),
        }
    }
}

/// A program of either target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The settings of the run.
    pub setting: Setting,
    /// Whether allocations may fail.
    pub faults: bool,
    /// The actors' steps.
    pub steps: Rc<Vec<ExecutorStep>>,
    /// The schedule, in the format of `ntsim::Schedule::bytes`.
    pub schedule: Vec<u8>,
}

impl Plan {
    fn decode(data: &[u8], magic: &'static [u8], faults: bool) -> Result<Self, Malformed> {
        let (header, records) = records(data, magic, HEADER)?;
        let (steps, schedule) = ops::decode(records, faults);
        let mut setting = Setting::decode(header.get(magic.len()).copied().unwrap_or(0));
        setting.low &= faults;
        Ok(Self { setting, faults, steps: Rc::new(steps), schedule })
    }

    fn describe(&self) -> String {
        format!("{:?}, {} bytes of schedule", self.setting, self.schedule.len())
    }
}

const HEADER: usize = 8;

macro_rules! input {
    ($(#[$doc:meta])* $name:ident, $target:literal, $magic:literal, $faults:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name(
            /// The program.
            pub Plan,
        );

        impl Input for $name {
            type Step = ExecutorStep;
            const TARGET: &'static str = $target;
            const MAGIC: &'static [u8] = $magic;
            const HEADER: usize = HEADER;

            fn decode(data: &[u8]) -> Result<Self, Malformed> {
                Plan::decode(data, Self::MAGIC, $faults).map(Self)
            }

            fn schedule(&self) -> &[u8] {
                &self.0.schedule
            }

            fn steps(&self) -> &[ExecutorStep] {
                &self.0.steps
            }

            fn setting(&self) -> String {
                self.0.describe()
            }
        }
    };
}

input! {
    /// An input of `executor`.
    ExecutorInput, "executor", b"NTE1", false
}
input! {
    /// An input of `faults`, in which allocations may fail.
    FaultsInput, "faults", b"NTF1", true
}

ntcom_fuzz_model::arbitrary_input!(ExecutorInput);
ntcom_fuzz_model::arbitrary_input!(FaultsInput);

#[cfg(test)]
mod tests {
    use ntcom_fuzz_model::input::{Input, Malformed};

    use super::{ExecutorInput, FaultsInput};
    use crate::executor::ops::Op;

    #[test]
    fn every_record_is_an_operation() {
        for head in 0..=255_u8 {
            let mut data = b"NTE1\x03\0\0\0".to_vec();
            data.extend([head, 0x35, 7, 200]);
            let input = ExecutorInput::decode(&data).unwrap();
            assert_eq!(input.0.setting.processors, 4);
            assert!(input.steps().len() == 1 || input.0.schedule.len() == 3, "{head}");
        }
    }

    #[test]
    fn allocations_fail_in_faults_only() {
        let records = [[27, 0, 2, 0]; 3];
        let input = |magic: &[u8]| [magic, b"\xFF\0\0\0", records.as_flattened()].concat();
        let executor = ExecutorInput::decode(&input(b"NTE1")).unwrap();
        assert!(!executor.0.setting.low);
        assert!(executor.steps().iter().all(|step| matches!(step.op, Op::AdvanceTime(_))));
        let faults = FaultsInput::decode(&input(b"NTF1")).unwrap();
        assert!(faults.0.setting.low);
        assert!(faults.steps().iter().all(|step| step.op == Op::FailAllocation(2)));
        assert!(matches!(FaultsInput::decode(&input(b"NTE1")).unwrap_err(), Malformed::Foreign { .. }));
    }
}
