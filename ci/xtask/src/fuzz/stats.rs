//! The file by which a target reports counts that libFuzzer does not have.
use std::{fs, path::Path};

use serde::Deserialize;

/// The environment variable that names the file. The target replaces the file each second, and as
/// it ends.
pub(crate) const VARIABLE: &str = "NTCOM_FUZZ_STATS";

/// The counts of the file.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize, Debug)]
pub(crate) struct Stats {
    /// The number of executions.
    pub(crate) execs: u64,
    /// The number of performed operations.
    pub(crate) steps: u64,
    /// The number of operations that reached a live object.
    pub(crate) live_steps: u64,
}

impl Stats {
    /// Reads a file, or returns `None` if there is no file.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// The sum of the counts of several processes, or `None` if no process counts.
    pub(crate) fn sum(all: impl Iterator<Item = Option<Self>>) -> Option<Self> {
        all.flatten().reduce(|a, b| Self {
            execs: a.execs.saturating_add(b.execs),
            steps: a.steps.saturating_add(b.steps),
            live_steps: a.live_steps.saturating_add(b.live_steps),
        })
    }

    /// The share of the steps that reached a live object.
    pub(crate) fn live_share(&self) -> Option<f64> {
        (self.steps != 0).then(|| self.live_steps as f64 / self.steps as f64)
    }

    /// The live steps in an execution.
    pub(crate) fn live_steps_per_exec(&self) -> Option<f64> {
        (self.execs != 0).then(|| self.live_steps as f64 / self.execs as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::Stats;

    #[test]
    fn a_target_that_does_not_count_has_no_statistics() {
        assert_eq!(Stats::read(std::path::Path::new("/nonexistent")), None);
        assert_eq!(Stats::sum([None, None].into_iter()), None);
        assert_eq!(Stats::default().live_share(), None);
        assert_eq!(Stats::default().live_steps_per_exec(), None);
    }

    #[test]
    fn the_counts_of_processes_add_up() {
        let one = Stats { execs: 4, steps: 10, live_steps: 6 };
        let sum = Stats::sum([Some(one), None, Some(one)].into_iter()).unwrap();
        assert_eq!(sum, Stats { execs: 8, steps: 20, live_steps: 12 });
        assert_eq!(sum.live_share(), Some(0.6));
        assert_eq!(sum.live_steps_per_exec(), Some(1.5));
    }

    #[test]
    fn the_file_is_json() {
        let text = r#"{"execs":1,"steps":2,"live_steps":3,"more":4}"#;
        assert_eq!(serde_json::from_str::<Stats>(text).unwrap(), Stats { execs: 1, steps: 2, live_steps: 3 });
    }
}
