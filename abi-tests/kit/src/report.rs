//! What a person and what a machine sees of a judgement.

use comfy_table::{Cell, ContentArrangement, Table, presets};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde::{Deserialize, Serialize};

use crate::{
    cases,
    judge::{Found, Judgement, by_rule},
    rule::Rule,
    run::Verdict,
};

/// A rule's verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleVerdict {
    /// Nothing was found against it, and something was tried.
    Pass,
    /// Something was found against it.
    Fail,
    /// The library has no means to tell.
    NotOffered,
    /// Each case of it met a breach of another rule before it could tell.
    Undecided,
}

impl RuleVerdict {
    const fn words(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::NotOffered => "not offered",
            Self::Undecided => "undecided",
        }
    }
}

/// A line of the report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RuleReport {
    /// The rule.
    pub rule: Rule,
    /// What it is about.
    pub what: String,
    /// What is said of it.
    pub verdict: RuleVerdict,
    /// Cases of it that passed.
    pub passed: usize,
    /// What was found against it.
    pub findings: Vec<Found>,
    /// Cases of it that the library has no means for, and what they need.
    pub not_offered: Vec<(String, String)>,
}

/// The whole report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What the library calls itself.
    pub name: String,
    /// Where it is.
    pub library: std::path::PathBuf,
    /// Sequences that were run.
    pub sequences: u64,
    /// What the generator started from.
    pub seed: u64,
    /// Cases that were run and are races: another run may say something else of the library.
    pub races: Vec<String>,
    /// Each rule that was asked about.
    pub rules: Vec<RuleReport>,
}

/// Whether a case is a race.
fn is_race(name: &str) -> bool {
    cases::all().iter().any(|case| case.name == name && case.is_race())
}

impl Report {
    /// Of a judgement.
    #[must_use]
    pub fn new(judgement: &Judgement) -> Self {
        let found = by_rule(judgement);
        let mut rules = Vec::new();
        for rule in Rule::ALL {
            let of_rule = judgement.cases.iter().filter(|judged| judged.rule == *rule);
            let passed = of_rule.clone().filter(|judged| judged.verdict == Verdict::Passed).count();
            let not_offered: Vec<(String, String)> = of_rule
                .clone()
                .filter_map(|judged| match &judged.verdict {
                    Verdict::NotOffered(what) => Some((judged.case.clone(), what.clone())),
                    Verdict::Passed | Verdict::Failed(_) => None,
                })
                .collect();
            let findings: Vec<Found> =
                found.get(rule).into_iter().flatten().map(|found| (*found).clone()).collect();
            // A case that found a breach of another rule says nothing of its own.
            let (tried, decided) = (of_rule.clone().count(), passed + not_offered.len());
            let silent = tried == 0 && findings.is_empty();
            if silent {
                continue;
            }
            let verdict = if !findings.is_empty() {
                RuleVerdict::Fail
            } else if passed > 0 {
                RuleVerdict::Pass
            } else if tried > decided {
                RuleVerdict::Undecided
            } else {
                RuleVerdict::NotOffered
            };
            let what = rule.what().to_owned();
            rules.push(RuleReport { rule: *rule, what, verdict, passed, findings, not_offered });
        }
        let run = judgement.cases.iter().filter(|judged| !matches!(judged.verdict, Verdict::NotOffered(_)));
        Self {
            name: judgement.name.clone(),
            library: judgement.library.clone(),
            sequences: judgement.sequences,
            seed: judgement.seed,
            races: run.filter(|judged| is_race(&judged.case)).map(|judged| judged.case.clone()).collect(),
            rules,
        }
    }

    /// Whether something was found.
    #[must_use]
    pub fn has_findings(&self) -> bool {
        self.rules.iter().any(|rule| rule.verdict == RuleVerdict::Fail)
    }

    /// For a person: each finding with what led there, a table, and a last line.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for rule in &self.rules {
            // The first by a case and the first by a sequence tell most; the JSON file has all.
            let by_sequence = |found: &&Found| found.by.starts_with("sequence");
            let by_case = rule.findings.iter().find(|found| !by_sequence(found));
            let shown_ones: Vec<&Found> =
                by_case.into_iter().chain(rule.findings.iter().find(by_sequence)).collect();
            for found in &shown_ones {
                text.push_str(&told(found));
            }
            let left = rule.findings.len() - shown_ones.len();
            if left > 0 {
                text.push_str(&format!("and {left} more against {}\n\n", rule.rule));
            }
        }
        let mut table = table_of(&["rule", "what", "verdict", "passed", "found", "not offered"]);
        for rule in &self.rules {
            let members: Vec<&str> = rule.not_offered.iter().map(|(_, member)| member.as_str()).collect();
            table.add_row([
                rule.rule.to_string(),
                rule.what.clone(),
                rule.verdict.words().to_owned(),
                rule.passed.to_string(),
                rule.findings.len().to_string(),
                if members.is_empty() {
                    String::new()
                } else {
                    format!("{} ({})", members.len(), distinct(&members))
                },
            ]);
        }
        text.push_str(&format!("{table}\n"));
        if !self.races.is_empty() {
            let races = self.races.join(", ");
            text.push_str(&format!("races, of which another run may say something else: {races}\n"));
        }
        text.push_str(&format!("{}\n", self.summary()));
        text
    }

    /// The last line.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |verdict| self.rules.iter().filter(|rule| rule.verdict == verdict).count();
        format!(
            "{}: {} rules pass, {} fail, {} not offered, {} undecided; {} sequences from seed {}",
            self.name,
            count(RuleVerdict::Pass),
            count(RuleVerdict::Fail),
            count(RuleVerdict::NotOffered),
            count(RuleVerdict::Undecided),
            self.sequences,
            self.seed
        )
    }
}

fn table_of(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().map(Cell::new));
    table
}

/// The cases, with what of the table each needs.
#[must_use]
pub fn list() -> String {
    let mut table = table_of(&["rule", "case", "repeats itself", "needs"]);
    for case in cases::all() {
        let needs: Vec<&str> = case.needs.iter().map(|need| need.member()).collect();
        let repeats = if case.is_race() { "no: a race" } else { "yes" };
        table.add_row([case.rule.to_string(), case.name.to_owned(), repeats.to_owned(), needs.join("; ")]);
    }
    format!("{table}\n")
}

/// As a JUnit file: for each library a suite a rule.
///
/// # Errors
/// It cannot be written as XML.
pub fn junit(judgements: &[Judgement]) -> anyhow::Result<String> {
    let mut whole = quick_junit::Report::new("conformance");
    for judgement in judgements {
        let report = Report::new(judgement);
        for rule in &report.rules {
            whole.add_test_suite(suite(judgement, &report.name, rule));
        }
    }
    Ok(whole.to_string()?)
}

fn suite(judgement: &Judgement, name: &str, rule: &RuleReport) -> TestSuite {
    let failure = |message: String| {
        let mut failed = TestCaseStatus::non_success(NonSuccessKind::Failure);
        failed.set_message(message);
        failed
    };
    let mut suite = TestSuite::new(format!("{name}: {} {}", rule.rule, rule.what));
    for judged in judgement.cases.iter().filter(|judged| judged.rule == rule.rule) {
        let status = match &judged.verdict {
            Verdict::Passed => TestCaseStatus::success(),
            Verdict::NotOffered(what) => {
                let mut skipped = TestCaseStatus::skipped();
                skipped.set_message(format!("not offered: {what}"));
                skipped
            }
            // What it found may be another rule's; it is listed there, with its trail.
            Verdict::Failed(finding) => failure(finding.to_string()),
        };
        let mut case = TestCase::new(judged.case.clone(), status);
        if is_race(&judged.case) {
            case.set_system_out("a race: another run may say something else");
        }
        suite.add_test_case(case);
    }
    for found in &rule.findings {
        let mut failed = failure(found.finding.message.clone());
        failed.set_description(found.trail.join("\n"));
        suite.add_test_case(TestCase::new(format!("found by {}", found.by), failed));
    }
    suite
}

/// What a library says of itself, for a terminal and for files: no control characters but what ends a line, and no more than so many characters.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let control = |char: char| char.is_control() && char != '\n' && char != '\t';
    let mut shown: String =
        text.chars().take(most).map(|char| if control(char) { '\u{FFFD}' } else { char }).collect();
    if text.chars().nth(most).is_some() {
        shown.push_str("...");
    }
    shown
}

fn distinct(members: &[&str]) -> String {
    let mut distinct: Vec<&str> = members.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct.join("; ")
}

/// How many lines of a trail are shown: its end.
const SHOWN: usize = 24;

fn told(found: &Found) -> String {
    let Found { by, finding, trail } = found;
    let mut text = format!("FOUND by {by}: {finding}\n");
    let skipped = trail.len().saturating_sub(SHOWN);
    if skipped > 0 {
        text.push_str(&format!("  ... {skipped} lines before\n"));
    }
    for line in trail.iter().skip(skipped) {
        text.push_str(&format!("  {line}\n"));
    }
    text.push('\n');
    text
}
