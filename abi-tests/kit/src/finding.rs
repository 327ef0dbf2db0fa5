//! Findings of the kit.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::rule::Rule;

/// A breach of a rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The rule that is broken.
    pub rule: Rule,
    /// The event, and what the rule requires.
    pub message: String,
}

impl Finding {
    /// Creates a finding of a breach of this rule.
    #[must_use]
    pub fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self { rule, message: message.into() }
    }

    /// The message without the numbers of operations, objects and schedules, and without the kind
    /// of value. Findings of one rule and one kind are equal.
    #[must_use]
    pub fn kind(&self) -> String {
        let mut kind = String::new();
        for char in self.message.chars() {
            if !char.is_ascii_digit() {
                kind.push(char);
            } else if NUMBERED.iter().any(|word| kind.ends_with(word)) {
                kind.push('#');
            } else if !kind.ends_with('#') {
                kind.push(char);
            }
        }
        VALUES.iter().fold(kind, |kind, value| kind.replace(value, " of a value"))
    }

    /// The line of a trail for this finding.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{MARK}{self}")
    }

    /// Parses a finding's line of a trail.
    #[must_use]
    pub fn of_line(line: &str) -> Option<Self> {
        let (rule, message) = line.strip_prefix(MARK)?.strip_prefix('[')?.split_once("] ")?;
        Some(Self::new(rule.parse::<Rule>().ok()?, message))
    }
}

/// The beginning of a finding's line in a trail.
const MARK: &str = "  FOUND ";
/// The words before a number that does not matter to the breach.
const NUMBERED: [&str; 6] = ["operation ", "object ", "schedule ", "round ", "--seed ", "byte "];
/// Kinds of values. The same breach of several kinds is one finding.
const VALUES: [&str; 6] = [" of Unit", " of U8", " of U64", " of Padded", " of Aligned", " of Page"];

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.rule, self.message)
    }
}

/// The result of a case.
pub type Check = Result<(), Finding>;

/// Records a breach of a rule, unless the condition holds, and goes on.
#[macro_export]
macro_rules! check {
    ($kit:expr, $rule:ident, $condition:expr, $($message:tt)+) => {
        if !$condition {
            $kit.0.breach($crate::rule::Rule::$rule, format!($($message)+));
        }
    };
}

/// Ends the function with a breach of a rule, unless the condition holds. It is for breaches after
/// which the case cannot go on.
#[macro_export]
macro_rules! ensure {
    ($rule:ident, $condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::finding::Finding::new($crate::rule::Rule::$rule, format!($($message)+)));
        }
    };
}

#[cfg(test)]
mod tests {
    use super::Finding;
    use crate::rule::Rule;

    fn kind(message: &str) -> String {
        Finding::new(Rule::C5, message).kind()
    }

    #[test]
    fn findings_that_differ_in_the_number_of_their_operation_are_of_one_kind() {
        assert_eq!(kind("operation 3: it answers 0x103"), "operation #: it answers 0x103");
        assert_eq!(kind("the body of operation 12 holds object 4"), "the body of operation # holds object #");
        assert_eq!(kind("an operation of 4 bytes, operation abc"), "an operation of 4 bytes, operation abc");
        assert_eq!(kind("get_result of U64 leaves"), kind("get_result of Page leaves"));
        assert_ne!(kind("answers 0x103"), kind("answers 0x102"));
    }

    #[test]
    fn the_line_of_a_finding_tells_of_it() {
        let finding = Finding::new(Rule::C14, "the handler of operation 1 [C5] runs twice");
        assert_eq!(Finding::of_line(&finding.line()), Some(finding));
        for other in ["  operation 1: its body is polled", "  FOUND [C99] x", "get_status", "  FOUND "] {
            assert_eq!(Finding::of_line(other), None, "{other}");
        }
    }
}
