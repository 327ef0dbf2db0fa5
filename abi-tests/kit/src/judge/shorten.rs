//! Shorter sequences that break the same rule.

use core::time::Duration;
use std::time::Instant;

use ntcom_fuzz_model::{
    input::{Input, VtableInput},
    limits::RECORD,
};

use super::{
    Found, Judge, Judgement, found, found_before,
    worker::{Ended, Trail, rule_of_trail},
};
use crate::{child::Work, finding::Finding, rule::Rule, sequence::Source};

/// The number of rules for which a sequence is shortened, and below it the time for each.
const SHORTENED: usize = 4;
const SHORTENING: Duration = Duration::from_secs(10);

impl Judge<'_> {
    /// Shortens the first sequence against each rule, by removing records that the breach does not
    /// need.
    pub(super) fn shorten(&self, trail: &Trail, judgement: &mut Judgement) -> anyhow::Result<()> {
        let corpus = self.options.corpus.as_deref().map(crate::child::corpus).transpose()?;
        let source = Source { corpus: corpus.unwrap_or_default(), seed: self.options.seed };
        let mut rules = Vec::new();
        for found in &mut judgement.found {
            let number = found.by.strip_prefix("sequence ").and_then(|number| number.parse().ok());
            let number = number.filter(|_| !found.known);
            let rule = found.finding.rule;
            let Some(number) = number.filter(|_| !rules.contains(&rule) && rules.len() < SHORTENED) else {
                continue;
            };
            rules.push(rule);
            let until = Instant::now() + SHORTENING;
            let mut bytes = source.bytes(number);
            let mut length = (bytes.len() - VtableInput::HEADER) / RECORD / 2;
            while length > 0 {
                let mut at = VtableInput::HEADER;
                while at + length * RECORD <= bytes.len() && Instant::now() < until {
                    let mut shorter = bytes.clone();
                    shorter.drain(at..at + length * RECORD);
                    match self.breaks(trail, &shorter, rule)? {
                        Some(again) => {
                            bytes = shorter;
                            found.finding = again.finding;
                            found.trail = again.trail;
                        }
                        None => at += length * RECORD,
                    }
                }
                length /= 2;
            }
        }
        Ok(())
    }

    /// The finding of this rule in a run of these bytes, if they break it too.
    fn breaks(&self, trail: &Trail, bytes: &[u8], rule: Rule) -> anyhow::Result<Option<Found>> {
        let mut again = Vec::new();
        self.child(trail, Work::Bytes(bytes.to_vec()), |by, ended| {
            let (findings, lines) = findings_of(trail, ended);
            found::add(&mut again, &self.options.known, &by, &findings, &lines);
        })?;
        Ok(again.into_iter().find(|found| found.finding.rule == rule && !found.known))
    }
}

/// The findings of a sequence, and its actions.
pub(super) fn findings_of(trail: &Trail, ended: Ended) -> (Vec<Finding>, Vec<String>) {
    match ended {
        Ended::Judged(verdict, lines) => (verdict.findings().to_vec(), lines),
        Ended::Died(how, _) => {
            let lines = trail.lines();
            let mut findings = found_before(&lines);
            findings.push(Finding::new(rule_of_trail(&lines), how));
            (findings, lines)
        }
    }
}
