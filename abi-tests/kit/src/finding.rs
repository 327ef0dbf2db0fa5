//! What the kit finds.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::rule::Rule;

/// A breach of a rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// What happened, and what the rule says.
    pub message: String,
}

impl Finding {
    /// A breach of this rule.
    #[must_use]
    pub fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self { rule, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.rule, self.message)
    }
}

/// What a case says.
pub type Check = Result<(), Finding>;

/// Ends the function with a breach of a rule, unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($rule:ident, $condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::finding::Finding::new($crate::rule::Rule::$rule, format!($($message)+)));
        }
    };
}
