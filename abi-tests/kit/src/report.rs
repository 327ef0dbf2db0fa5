//! The reports of a judgement for persons and for programs.

use comfy_table::{Cell, ContentArrangement, Table, presets};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde::{Deserialize, Serialize};

use crate::{
    cases,
    judge::{Found, Judgement, by_rule},
    rule::Rule,
    verdict::Verdict,
};

/// A rule's verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleVerdict {
    /// A case was tried, and no breach was found.
    Pass,
    /// A breach was found.
    Fail,
    /// The library offers no means to test the rule.
    NotOffered,
    /// Each case of the rule met a breach of another rule before it could decide.
    Undecided,
    /// All breaches that were found are known.
    Known,
}

impl RuleVerdict {
    const fn words(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::NotOffered => "not offered",
            Self::Undecided => "undecided",
            Self::Known => "known",
        }
    }
}

/// The report on a rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RuleReport {
    /// The rule.
    pub rule: Rule,
    /// The subject of the rule.
    pub what: String,
    /// The verdict on the rule.
    pub verdict: RuleVerdict,
    /// Number of its cases that passed.
    pub passed: usize,
    /// The breaches that were found.
    pub findings: Vec<Found>,
    /// The cases that the library has no means for, and the members that they need.
    pub not_offered: Vec<(String, String)>,
}

/// The whole report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The name that the library gives itself.
    pub name: String,
    /// The library's path.
    pub library: std::path::PathBuf,
    /// The number of sequences that were run.
    pub sequences: u64,
    /// The generator's seed.
    pub seed: u64,
    /// The cases that were run and are races, so that another run may find something else.
    pub races: Vec<String>,
    /// The report on each rule that was tested.
    pub rules: Vec<RuleReport>,
    /// The known breaches that were not found.
    pub not_met: Vec<String>,
    /// Whether HRESULTs were mapped to the NTSTATUS values for which they stand.
    pub hresults: bool,
    /// Whether only some cases were run.
    pub partial: bool,
}

/// Whether a case is a race.
fn is_race(name: &str) -> bool {
    cases::all().iter().any(|case| case.name == name && case.is_race())
}

impl Report {
    /// Creates the report of a judgement.
    #[must_use]
    pub fn new(judgement: &Judgement) -> Self {
        let found = by_rule(judgement);
        let mut rules = Vec::new();
        for rule in Rule::ALL {
            let of_rule = judgement.cases.iter().filter(|judged| judged.rule == *rule);
            let passed = of_rule.clone().filter(|judged| judged.verdict.keeps(*rule)).count();
            let not_offered: Vec<(String, String)> = of_rule
                .clone()
                .filter_map(|judged| match &judged.verdict {
                    Verdict::NotOffered(what) => Some((judged.case.clone(), what.clone())),
                    Verdict::Passed | Verdict::Failed { .. } => None,
                })
                .collect();
            let findings: Vec<Found> =
                found.get(rule).into_iter().flatten().map(|found| (*found).clone()).collect();
            // A case that a breach of another rule has broken off decides nothing about its own
            // rule.
            let (tried, decided) = (of_rule.clone().count(), passed + not_offered.len());
            let silent = tried == 0 && findings.is_empty();
            if silent {
                continue;
            }
            let verdict = if findings.iter().any(|found| !found.known) {
                RuleVerdict::Fail
            } else if !findings.is_empty() {
                RuleVerdict::Known
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
            not_met: judgement.not_met.clone(),
            hresults: judgement.hresults,
            partial: judgement.partial,
        }
    }

    /// Whether a breach was found that is not known.
    #[must_use]
    pub fn has_findings(&self) -> bool {
        self.rules.iter().any(|rule| rule.verdict == RuleVerdict::Fail)
    }

    /// The report for a person, with each finding and its trail, a table, and a last line.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for rule in &self.rules {
            let new = rule.findings.iter().filter(|found| !found.known);
            // Findings of cases tell the most, and one of a sequence is enough. The JSON file has
            // all.
            let by_cases = new.clone().filter(|found| !found.is_by_sequence()).take(TOLD);
            let shown_ones: Vec<&Found> =
                by_cases.chain(new.clone().find(|found| found.is_by_sequence())).collect();
            for found in &shown_ones {
                text.push_str(&told(found));
            }
            for found in rule.findings.iter().filter(|found| found.known) {
                text.push_str(&format!("KNOWN: {}\n\n", found.finding));
            }
            let left = new.count() - shown_ones.len();
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
        for known in &self.not_met {
            text.push_str(&format!("known, and not found by this run: {known}\n"));
        }
        text.push_str(&format!("{}\n{}\n", self.summary(), self.conclusion()));
        text
    }

    /// Whether the library conforms, and in which respect.
    #[must_use]
    pub fn conclusion(&self) -> String {
        let of = |verdict| {
            let rules = self.rules.iter().filter(move |rule| rule.verdict == verdict);
            rules.map(|rule| rule.rule.to_string()).collect::<Vec<_>>().join(", ")
        };
        let mapping = if self.hresults { " with HRESULT mapping" } else { "" };
        let (failed, known, undecided) =
            (of(RuleVerdict::Fail), of(RuleVerdict::Known), of(RuleVerdict::Undecided));
        if !failed.is_empty() {
            return format!("it does not conform{mapping}: {failed}");
        }
        let (lacks, rest) = (of(RuleVerdict::NotOffered), if known.is_empty() { "" } else { "otherwise " });
        let mut text = match () {
            () if self.partial => format!(
                "nothing {}was found{mapping} by the cases that were asked for",
                if rest.is_empty() { "" } else { "new " }
            ),
            () => format!("it {rest}conforms{mapping}"),
        };
        for (what, rules) in [("known breaches of", known), ("undecided", undecided), ("not offered", lacks)]
        {
            if !rules.is_empty() {
                text.push_str(&format!("; {what}: {rules}"));
            }
        }
        text
    }

    /// The last line of the report.
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

/// The table of the cases, with the members of the library's table that each needs.
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

/// The report as a JUnit file. It has a suite for each rule of each library.
///
/// # Errors
/// The report cannot be written as XML.
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
            // Its findings may be breaches of another rule. The report on that rule lists them,
            // with their trails.
            failed => {
                failure(failed.findings().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            }
        };
        let mut case = TestCase::new(judged.case.clone(), status);
        if is_race(&judged.case) {
            case.set_system_out("a race: another run may say something else");
        }
        suite.add_test_case(case);
    }
    for found in rule.findings.iter().filter(|found| !found.known) {
        let mut failed = failure(found.finding.message.clone());
        failed.set_description(found.trail.join("\n"));
        suite.add_test_case(TestCase::new(format!("found by {}", found.by), failed));
    }
    suite
}

fn distinct(members: &[&str]) -> String {
    let mut distinct: Vec<&str> = members.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct.join("; ")
}

/// The number of kinds of breaches of a rule that are shown, of those found by cases.
const TOLD: usize = 6;
/// The number of lines of a trail's end that are shown.
const SHOWN: usize = 24;

fn told(found: &Found) -> String {
    let Found { by, finding, trail, also_by, .. } = found;
    let others = match also_by.as_slice() {
        [] => String::new(),
        [other] => format!(" and {other}"),
        [other, rest @ ..] => format!(", {other} and {} more", rest.len()),
    };
    let mut text = format!("FOUND by {by}{others}: {finding}\n");
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
