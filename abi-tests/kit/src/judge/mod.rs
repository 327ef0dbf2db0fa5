//! The process that judges. It runs the library in children, one after the other, and goes on after
//! each child that the library has ended.

mod found;
mod idle;
mod sanitizer;
mod shorten;
mod worker;

use core::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Instant,
};

use serde::{Deserialize, Serialize};

pub use self::found::{Found, Known};
use self::worker::{Ended, Trail, Worker, is_fail_fast};
use crate::{
    case::{Case, Expects},
    cases,
    child::{Line, Order, Work},
    finding::Finding,
    rounds::Seeds,
    rule::Rule,
    verdict::Verdict,
};

/// The argument that makes a child of this program.
pub const CHILD: &str = "--child";

/// The error of a library that cannot be judged, which gives exit code 2.
#[derive(Debug)]
pub struct Unfit(pub String);

impl core::fmt::Display for Unfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Unfit {}

/// The options of a judgement.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only these cases. If empty, all cases and sequences.
    pub only: Vec<String>,
    /// The number of sequences besides those of the corpus.
    pub sequences: u64,
    /// Runs sequences for this number of seconds instead.
    pub seconds: Option<u64>,
    /// The generator's seed.
    pub seed: u64,
    /// Inputs of the fuzz target `vtable`.
    pub corpus: Option<PathBuf>,
    /// Known breaches.
    pub known: Vec<Known>,
    /// Whether HRESULTs are mapped to the NTSTATUS values for which they stand.
    pub hresults: bool,
    /// The library that children load before anything else. It is the runtime of a sanitizer.
    pub preload: Option<PathBuf>,
    /// The number of sequences with findings after which no more are run.
    pub failing_sequences: usize,
    /// The number of schedules of threads in turn.
    pub schedules: u64,
    /// Whether cases that are races are run too.
    pub races: bool,
    /// Whether to look for shorter sequences that break the same rules.
    pub shorten: bool,
    /// The longest time for which a child may use no processor time.
    pub idle: Duration,
    /// The largest processor time of a piece of work, in seconds.
    pub processor_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            sequences: 2_000,
            seconds: None,
            seed: 1,
            corpus: None,
            known: Vec::new(),
            hresults: false,
            preload: None,
            failing_sequences: FAILING_SEQUENCES,
            schedules: SCHEDULES,
            races: true,
            shorten: true,
            idle: Duration::from_secs(IDLE_SECONDS),
            processor_seconds: 10,
        }
    }
}

/// The default number of schedules of threads in turn.
pub const SCHEDULES: u64 = 150;
/// The default time, in seconds, for which a child may use no processor time.
pub const IDLE_SECONDS: u64 = 5;
/// The default number of sequences with findings after which no more are run. More would tell
/// nothing new of the library.
pub const FAILING_SEQUENCES: usize = 300;
/// The number of calls or counters with unknown breaches after which no more sequences are run.
const KINDS: usize = 12;
/// The number of sequences that hang after which no more are run, because each takes its time.
const HANGS: usize = 3;
/// The number of sequences that a child is given at once.
const BATCH: u64 = 2_000;

/// A case and its verdict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Judged {
    /// The case's rule.
    pub rule: Rule,
    /// Its name.
    pub case: String,
    /// The verdict on the case.
    pub verdict: Verdict,
}

/// The judgement of a library.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Judgement {
    /// The name that the library gives itself.
    pub name: String,
    /// The library's path.
    pub library: PathBuf,
    /// The verdict on each case.
    pub cases: Vec<Judged>,
    /// The number of sequences that were run.
    pub sequences: u64,
    /// The generator's seed.
    pub seed: u64,
    /// The breaches that cases and sequences have found.
    pub found: Vec<Found>,
    /// The known breaches that were not found.
    pub not_met: Vec<String>,
    /// Whether HRESULTs were mapped to the NTSTATUS values for which they stand.
    pub hresults: bool,
    /// Whether only some cases were run.
    pub partial: bool,
}

impl Judgement {
    /// Whether a breach of this rule was found.
    #[must_use]
    pub fn fails(&self, rule: Rule) -> bool {
        self.found.iter().any(|found| found.finding.rule == rule)
    }
}

/// Judges a library with children of this program.
#[derive(Debug)]
pub struct Judge<'a> {
    /// The program, which also runs as its own child.
    pub program: &'a Path,
    /// The library's path.
    pub library: &'a Path,
    /// The options of the judgement.
    pub options: &'a Options,
}

impl Judge<'_> {
    fn order(&self, trail: &Trail, work: Work) -> Order {
        Order {
            library: self.library.to_path_buf(),
            trail: trail.path.clone(),
            processor_seconds: self.options.processor_seconds,
            hresults: self.options.hresults,
            seeds: Seeds { seed: self.options.seed, schedules: self.options.schedules },
            work,
        }
    }

    /// Runs a child to its end. Calls `judged` for each piece of work that has ended. Returns the
    /// library's name, and the number of pieces.
    fn child(
        &self,
        trail: &Trail,
        work: Work,
        mut judged: impl FnMut(String, Ended),
    ) -> anyhow::Result<(String, u64)> {
        let order = self.order(trail, work);
        let mut worker = Worker::start(self.program, &order, trail, self.options)?;
        let shown = self.library.display();
        let library = match worker.next()? {
            Ok(Line::Loaded(name)) => name,
            Ok(Line::Refused(why)) => {
                let what = format!("{shown} cannot be judged: {why}");
                return Err(Unfit(what + &sanitizer::advice(self.library)).into());
            }
            Ok(line) => anyhow::bail!("a child began with {line:?}"),
            Err((how, _)) => {
                let said: String = trail.said().iter().map(|line| format!("\n{line}")).collect();
                let what = format!("{shown} cannot be judged: as it was loaded, {how}{said}");
                return Err(Unfit(what + &sanitizer::advice(self.library)).into());
            }
        };
        let (mut begun, mut count) = (None, 0);
        loop {
            match (worker.next()?, begun.take()) {
                (Ok(Line::Begin(name)), None) => begun = Some(name),
                (Ok(Line::End { verdict, trail }), Some(name)) => {
                    count += 1;
                    judged(name, Ended::Judged(verdict, trail));
                }
                (Ok(Line::Done), None) => return Ok((library, count)),
                (Err((how, signal)), Some(name)) => {
                    count += 1;
                    judged(name, Ended::Died(how, signal));
                    return Ok((library, count));
                }
                (Err(_), None) => return Ok((library, count)),
                // The line that should have come in between can no longer be parsed.
                (Ok(_), Some(name)) => {
                    count += 1;
                    let how = "it has written into files that are not its own";
                    judged(name, Ended::Died(how.to_owned(), None));
                    return Ok((library, count));
                }
                (Ok(line), None) => anyhow::bail!("a child said {line:?}, and nothing had begun"),
            }
        }
    }

    /// Judges the library.
    ///
    /// # Errors
    /// [`Unfit`] if the library cannot be judged. Otherwise the kit itself cannot work.
    pub fn judge(&self) -> anyhow::Result<Judgement> {
        let mut judgement = Judgement {
            name: String::new(),
            library: self.library.to_path_buf(),
            cases: Vec::new(),
            sequences: 0,
            seed: self.options.seed,
            found: Vec::new(),
            not_met: Vec::new(),
            hresults: self.options.hresults,
            partial: !self.options.only.is_empty(),
        };
        let trail = Trail::new();
        self.cases(&trail, &mut judgement)?;
        if self.options.only.is_empty() {
            self.sequences(&trail, &mut judgement)?;
            if self.options.shorten {
                self.shorten(&trail, &mut judgement)?;
            }
        }
        let met = |known: &&Known| judgement.found.iter().any(|found| known.is(&found.finding));
        let not_met = self.options.known.iter().filter(|known| !met(known));
        judgement.not_met = not_met.map(ToString::to_string).collect();
        Ok(judgement)
    }

    fn cases(&self, trail: &Trail, judgement: &mut Judgement) -> anyhow::Result<()> {
        let all = cases::all();
        let unknown: Vec<&str> = self
            .options
            .only
            .iter()
            .map(String::as_str)
            .filter(|name| !all.iter().any(|case| is_called(case, name)))
            .collect();
        if !unknown.is_empty() {
            let names: Vec<&str> = all.iter().map(|case| case.name).collect();
            return Err(Unfit(format!(
                "there is no case {}; the cases are:\n  {}",
                unknown.join(", "),
                names.join("\n  ")
            ))
            .into());
        }
        let mut left: Vec<&Case> = all.iter().filter(|case| self.is_chosen(case)).collect();
        while !left.is_empty() {
            let names = left.iter().map(|case| case.name.to_owned()).collect();
            let before = left.len();
            let (name, _) = self.child(trail, Work::Cases(names), |name, ended| {
                let Some(index) = left.iter().position(|case| case.name == name) else { return };
                let case = left.remove(index);
                let (verdict, lines) = match ended {
                    Ended::Judged(verdict, lines) => (verdict, lines),
                    Ended::Died(_, signal) if case.expects == Expects::FailFast && is_fail_fast(signal) => {
                        (Verdict::Passed, Vec::new())
                    }
                    Ended::Died(how, _) => died(case.rule, how, trail.lines()),
                };
                found::add(&mut judgement.found, &self.options.known, case.name, verdict.findings(), &lines);
                judgement.cases.push(Judged { rule: case.rule, case: case.name.to_owned(), verdict });
            })?;
            judgement.name = name;
            self.has_begun(left.len() < before)?;
        }
        Ok(())
    }

    /// Fails if no piece of work has begun. A library may end its process at any time, from a
    /// thread of its own too.
    fn has_begun(&self, begun: bool) -> anyhow::Result<()> {
        if begun {
            return Ok(());
        }
        let shown = self.library.display();
        Err(Unfit(format!("{shown} cannot be judged: it ends its process before anything has begun")).into())
    }

    fn is_chosen(&self, case: &Case) -> bool {
        let only = &self.options.only;
        if case.is_race() && !self.options.races {
            return false;
        }
        only.is_empty() || only.iter().any(|name| is_called(case, name))
    }

    fn sequences(&self, trail: &Trail, judgement: &mut Judgement) -> anyhow::Result<()> {
        let corpus = match &self.options.corpus {
            Some(folder) => crate::child::corpus(folder)
                .map_err(|why| Unfit(format!("cannot read the corpus in {}: {why}", folder.display())))?
                .len() as u64,
            None => 0,
        };
        let start = Instant::now();
        let until = self.options.seconds.map(Duration::from_secs);
        let all = corpus + self.options.sequences;
        let mut next = 0;
        let (mut failing, mut hangs, mut kinds) = (0, 0, BTreeSet::new());
        loop {
            let over = until.map_or(next >= all, |time| start.elapsed() >= time);
            let enough = failing >= self.options.failing_sequences || kinds.len() >= KINDS || hangs >= HANGS;
            if over || enough {
                break;
            }
            let end = if until.is_some() { next + BATCH } else { all.min(next + BATCH) };
            let work = Work::Sequences {
                seed: self.options.seed,
                corpus: self.options.corpus.clone(),
                first: next,
                end,
            };
            let (_, count) = self.child(trail, work, |by, ended| {
                hangs += usize::from(ended.is_hang());
                let (findings, lines) = self::shorten::findings_of(trail, ended);
                failing += usize::from(!findings.is_empty());
                let is_known = |finding: &Finding| self.options.known.iter().any(|known| known.is(finding));
                let new = findings.iter().filter(|finding| !is_known(finding));
                kinds.extend(new.map(|finding| (finding.rule, found::topic(finding))));
                found::add(&mut judgement.found, &self.options.known, &by, &findings, &lines);
            })?;
            self.has_begun(count > 0)?;
            next += count;
        }
        judgement.sequences = next;
        Ok(())
    }
}

/// The verdict on a case after its process has died, with the findings before that.
fn died(rule: Rule, how: String, lines: Vec<String>) -> (Verdict, Vec<String>) {
    let mut findings = found_before(&lines);
    findings.push(Finding::new(rule, how));
    (Verdict::Failed { findings, whole: false }, lines)
}

/// The findings in a trail.
fn found_before(lines: &[String]) -> Vec<Finding> {
    lines.iter().filter_map(|line| Finding::of_line(line)).collect()
}

/// Whether `--only` with this name selects this case, by its name or its rule.
fn is_called(case: &Case, name: &str) -> bool {
    case.name == name || case.rule.to_string().eq_ignore_ascii_case(name)
}

/// The findings, by rule.
#[must_use]
pub fn by_rule(judgement: &Judgement) -> BTreeMap<Rule, Vec<&Found>> {
    let mut rules: BTreeMap<Rule, Vec<&Found>> = BTreeMap::new();
    for found in &judgement.found {
        rules.entry(found.finding.rule).or_default().push(found);
    }
    rules
}
