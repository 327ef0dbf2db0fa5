//! Judges the output of a client program.
use std::fmt;

use super::{
    programs::Language,
    wine::{Ended, how},
};

/// The verdict on a program.
pub(super) enum Verdict {
    /// The program found everything as promised.
    Passed {
        /// The number of operations.
        operations: u32,
        /// The number of objects of a declared interface.
        objects: u32,
    },
    /// The program found a difference, or did not end by itself.
    Failed {
        /// The reason, in a few words.
        why: String,
        /// The whole output, and the command that repeats it.
        said: String,
    },
    /// There is no Wine to run it.
    NotRun,
}

impl Verdict {
    /// The verdict on a program in this language. It passes if its output has both lines of success
    /// and no complaint.
    pub(super) fn of(language: Language, ended: &Ended) -> Self {
        let who = language.name();
        let count = |what: &str| {
            let line = |line: &str| {
                let (number, rest) = line.strip_prefix(who)?.strip_prefix(": ")?.split_once(' ')?;
                rest.starts_with(what).then(|| number.parse::<u32>().ok())?
            };
            ended.output.lines().find_map(line).filter(|count| *count != 0)
        };
        let begins = |what: &str| ended.output.lines().find(|line| line.starts_with(what));
        let complaint = begins("FAILED");
        let well = ended.status.is_some_and(|status| status.success()) && complaint.is_none();
        match (count("operations as promised"), count("objects of a declared interface as promised")) {
            (Some(operations), Some(objects)) if well => Self::Passed { operations, objects },
            _ => {
                // A program without a complaint of its own has crashed. Wine's output may say
                // where.
                let crash = || {
                    format!("FAILED: {}", begins("wine: ").map_or_else(|| how(ended.status), str::to_owned))
                };
                let why = complaint.map_or_else(crash, str::to_owned);
                Self::Failed {
                    why,
                    said: format!("{}({})\nto repeat: {}", ended.output, how(ended.status), ended.repeat),
                }
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { operations, objects } => write!(f, "{operations} operations, {objects} objects"),
            Self::Failed { why, .. } => f.write_str(why),
            Self::NotRun => f.write_str("skipped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

    use super::Verdict;
    use crate::windows::{programs::Language, wine::Ended};

    const GOOD: &str =
        "C: 49 operations as promised\r\nC: 2 objects of a declared interface as promised: both\r\n";

    fn verdict(language: Language, code: Option<i32>, output: &str) -> String {
        let status = code.map(|code| ExitStatus::from_raw(code << 8));
        let ended = Ended { status, output: output.to_owned(), repeat: String::new() };
        Verdict::of(language, &ended).to_string()
    }

    #[test]
    fn a_program_passes_with_both_its_lines_and_exit_code_0_only() {
        assert_eq!(verdict(Language::C, Some(0), GOOD), "49 operations, 2 objects");
        let bad = [
            verdict(Language::Cpp, Some(0), GOOD),
            verdict(Language::C, Some(1), GOOD),
            verdict(Language::C, None, GOOD),
            verdict(Language::C, Some(0), ""),
            verdict(Language::C, Some(0), GOOD.lines().next().unwrap()),
            verdict(Language::C, Some(0), &GOOD.replace("49", "0")),
            verdict(Language::C, Some(0), &format!("{GOOD}FAILED: x\n")),
        ];
        for verdict in bad {
            assert!(verdict.starts_with("FAILED"), "{verdict}");
        }
        assert_eq!(verdict(Language::C, Some(1), "FAILED: a check\nwine: x\n"), "FAILED: a check");
        assert_eq!(
            verdict(Language::C, Some(5), "wine: Unhandled page fault\n"),
            "FAILED: wine: Unhandled page fault"
        );
    }
}
