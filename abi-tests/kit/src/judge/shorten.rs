//! Shorter sequences that break the same rule.

use core::time::Duration;
use std::time::Instant;

use ntcom_fuzz::{
    input::{Input, VtableInput},
    ops::RECORD,
};

use super::{
    Found, Judge, Judgement, found, found_before,
    worker::{Ended, Trail, rule_of_trail},
};
use crate::{child::Work, finding::Finding, rule::Rule, sequence::Source};

/// Of how many rules the first sequence is shortened, and for how long each.
const SHORTENED: usize = 4;
const SHORTENING: Duration = Duration::from_secs(10);

impl Judge<'_> {
    /// The first sequence against each rule, without the records that it does not take.
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

    /// Whether these bytes break this rule, too.
    fn breaks(&self, trail: &Trail, bytes: &[u8], rule: Rule) -> anyhow::Result<Option<Found>> {
        let mut again = Vec::new();
        self.child(trail, Work::Bytes(bytes.to_vec()), |by, ended| {
            let (findings, lines) = findings_of(trail, ended);
            found::add(&mut again, &self.options.known, &by, &findings, &lines);
        })?;
        Ok(again.into_iter().find(|found| found.finding.rule == rule && !found.known))
    }
}

/// What a sequence has found, and what it did.
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
