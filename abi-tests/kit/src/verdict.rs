//! The verdict on a case or a sequence.

use serde::{Deserialize, Serialize};

use crate::{finding::Finding, rule::Rule};

/// The verdict on a case or a sequence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// The library obeys the rules.
    Passed,
    /// The library breaks rules.
    Failed {
        /// One breach of each kind that was met.
        findings: Vec<Finding>,
        /// Whether the case still came to its end, so that all its checks were done.
        whole: bool,
    },
    /// The library lacks members of the table that the case needs.
    NotOffered(String),
}

impl Verdict {
    /// The breaches that were found.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Failed { findings, .. } => findings,
            Self::Passed | Self::NotOffered(_) => &[],
        }
    }

    /// Whether the case came to its end without a breach of this rule.
    #[must_use]
    pub fn keeps(&self, rule: Rule) -> bool {
        match self {
            Self::Passed => true,
            Self::Failed { findings, whole } => *whole && findings.iter().all(|found| found.rule != rule),
            Self::NotOffered(_) => false,
        }
    }
}
