//! The breaches that were found, one of each kind.

use serde::{Deserialize, Serialize};

use crate::{finding::Finding, rule::Rule};

/// A kind of breach that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Found {
    /// The case, or the sequence, that found it first.
    pub by: String,
    /// The breach.
    pub finding: Finding,
    /// The actions before it.
    pub trail: Vec<String>,
    /// The other cases, or sequences, that have found the same breach.
    pub also_by: Vec<String>,
    /// Whether the breach is a known one.
    pub known: bool,
}

impl Found {
    /// Whether a sequence has found it, and not a case.
    #[must_use]
    pub fn is_by_sequence(&self) -> bool {
        self.by.starts_with(SEQUENCE)
    }
}

/// The beginning of a sequence's name.
pub(super) const SEQUENCE: &str = "sequence";

/// A known breach. It is reported, but does not make the library fail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    rule: Rule,
    words: String,
}

impl Known {
    /// Parses the known breaches of a text. A line has the form `[C5] words that its message
    /// contains`. Empty lines and lines that begin with `#` are ignored.
    ///
    /// # Errors
    /// The first line that has another form.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|(number, line)| Self::of_line(line).map_err(|why| format!("line {}: {why}", number + 1)))
            .collect()
    }

    fn of_line(line: &str) -> Result<Self, String> {
        let wanted = "a known breach is \"[C5] words of its message\"";
        let (rule, words) =
            line.strip_prefix('[').and_then(|line| line.split_once(']')).ok_or_else(|| wanted.to_owned())?;
        let words = words.trim();
        if words.is_empty() {
            return Err(format!("no words after [{rule}]; {wanted}"));
        }
        Ok(Self { rule: rule.parse()?, words: Finding::new(Rule::C1, words).kind() })
    }

    pub(super) fn is(&self, finding: &Finding) -> bool {
        self.rule == finding.rule && finding.kind().contains(&self.words)
    }
}

impl core::fmt::Display for Known {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "[{}] {}", self.rule, self.words)
    }
}

/// The subject of a sequence's finding, which is the call or the counter.
pub(super) fn topic(finding: &Finding) -> String {
    finding.kind().split(['(', ';']).next().unwrap_or_default().to_owned()
}

/// Adds findings. Equal findings of cases become one, and so do equal findings of sequences.
pub(super) fn add(all: &mut Vec<Found>, known: &[Known], by: &str, findings: &[Finding], trail: &[String]) {
    let by_sequence = by.starts_with(SEQUENCE);
    for finding in findings {
        let kind = finding.kind();
        let equal = |found: &&mut Found| {
            found.finding.rule == finding.rule
                && found.is_by_sequence() == by_sequence
                && found.finding.kind() == kind
        };
        if let Some(found) = all.iter_mut().find(equal) {
            if found.by != by && !found.also_by.iter().any(|name| name == by) {
                found.also_by.push(by.to_owned());
            }
            continue;
        }
        let is_known = known.iter().any(|known| known.is(finding));
        all.push(Found {
            by: by.to_owned(),
            finding: finding.clone(),
            trail: led_to(finding, trail),
            also_by: Vec::new(),
            known: is_known,
        });
    }
}

/// The actions up to the finding. It has a line of its own unless it is the end of the process.
fn led_to(finding: &Finding, trail: &[String]) -> Vec<String> {
    let line = finding.line();
    let end = trail.iter().position(|other| *other == line).unwrap_or(trail.len());
    trail.iter().take(end).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{Finding, Found, Known, Rule, add};

    fn found(all: &mut Vec<Found>, by: &str, message: &str) {
        add(all, &[], by, &[Finding::new(Rule::C5, message)], &[]);
    }

    #[test]
    fn equal_findings_are_one() {
        let mut all = Vec::new();
        found(&mut all, "a", "operation 1: no value");
        found(&mut all, "b", "operation 2: no value");
        found(&mut all, "b", "operation 3: no value");
        found(&mut all, "b", "operation 3: another value");
        found(&mut all, "sequence 9", "operation 3: no value");
        let names: Vec<_> = all.iter().map(|found| (found.by.as_str(), found.also_by.len())).collect();
        assert_eq!(names, [("a", 1), ("b", 0), ("sequence 9", 0)]);
    }

    #[test]
    fn known_breaches_are_read_and_recognised() {
        let list =
            Known::list("# ours\n\n[C5] get_result leaves operation 4\n[c14] late").unwrap_or_default();
        let finds = |rule, message| list.iter().any(|known| known.is(&Finding::new(rule, message)));
        assert!(finds(Rule::C5, "then get_result leaves operation 77, and"));
        assert!(finds(Rule::C14, "a late handler"));
        assert!(!finds(Rule::C6, "a late handler"));
        for bad in ["C5 get_result", "[C22] x", "[C5]", "[C5]  "] {
            let why = Known::list(&format!("[C1] good\n{bad}")).err().unwrap_or_default();
            assert!(why.starts_with("line 2: "), "{bad}: {why}");
        }
    }
}
