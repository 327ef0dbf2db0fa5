//! The process that judges: it has the library run in children, one after the other, and goes on after each that the library has ended.

use core::time::Duration;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Instant,
};

use anyhow::Context;
use ntcom_fuzz::{
    input::{Input, VtableInput},
    ops::RECORD,
};
use serde::{Deserialize, Serialize};

use crate::{
    cases::{self, Case, Expects},
    child::{Line, Order, Work},
    finding::Finding,
    rule::Rule,
    run::Verdict,
    sequence::Source,
};

/// The argument that makes a child of this program.
pub const CHILD: &str = "--child";

/// The library is none that can be judged: exit code 2.
#[derive(Debug)]
pub struct Unfit(pub String);

impl core::fmt::Display for Unfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Unfit {}

/// How a library is judged.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only these cases; all, and sequences, if empty.
    pub only: Vec<String>,
    /// How many sequences, besides those of the corpus.
    pub sequences: u64,
    /// Sequences for so long instead.
    pub seconds: Option<u64>,
    /// What the generator starts from.
    pub seed: u64,
    /// Inputs of the fuzz target `vtable`.
    pub corpus: Option<PathBuf>,
    /// Looks for shorter sequences that break the same rules.
    pub shorten: bool,
    /// How long a child may say nothing.
    pub wall: Duration,
    /// How much processor time a piece of work may take, in seconds.
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
            shorten: true,
            wall: Duration::from_secs(60),
            processor_seconds: 10,
        }
    }
}

/// After so many sequences that found something no more are run: the library is what it is.
const ENOUGH: usize = 12;
/// So many lines of what a library prints as it dies are kept.
const SAID: usize = 8;
/// How many sequences a child is given at once.
const BATCH: u64 = 2_000;

/// One thing that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Found {
    /// The case, or the sequence.
    pub by: String,
    /// What.
    pub finding: Finding,
    /// What led there.
    pub trail: Vec<String>,
}

/// A case and its verdict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Judged {
    /// The case's rule.
    pub rule: Rule,
    /// Its name.
    pub case: String,
    /// What is said of it.
    pub verdict: Verdict,
}

/// What is said of a library.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Judgement {
    /// What it calls itself.
    pub name: String,
    /// Where it is.
    pub library: PathBuf,
    /// Each case.
    pub cases: Vec<Judged>,
    /// How many sequences were run.
    pub sequences: u64,
    /// What the generator started from.
    pub seed: u64,
    /// What cases and sequences have found.
    pub found: Vec<Found>,
}

impl Judgement {
    /// Whether something was found against a rule.
    #[must_use]
    pub fn fails(&self, rule: Rule) -> bool {
        self.found.iter().any(|found| found.finding.rule == rule)
    }
}

/// How a piece of work ended.
enum Ended {
    /// By itself.
    Judged(Verdict, Vec<String>),
    /// The library ended the process, or it had to be ended.
    Died(String, Option<i32>),
}

/// Where children leave their trail, and what they print. Both are removed at the end.
struct Trail {
    path: PathBuf,
    errors: PathBuf,
}

impl Trail {
    fn new() -> Self {
        let path = |what: &str| {
            let name = format!("ntcom-kit-{}-{:?}.{what}", std::process::id(), thread::current().id());
            std::env::temp_dir().join(name)
        };
        Self { path: path("trail"), errors: path("errors") }
    }

    /// What was done, and, at its end, the beginning of what was said on the way out.
    fn lines(&self) -> Vec<String> {
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let mut lines: Vec<String> = read(&self.path).lines().map(str::to_owned).collect();
        let said = read(&self.errors);
        let said = said.lines().filter(|line| !line.trim().is_empty()).take(SAID);
        lines.extend(said.map(|line| format!("  the library says: {line}")));
        lines
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.errors);
    }
}

/// A child and what it says.
struct Worker {
    child: Child,
    lines: Receiver<Line>,
    wall: Duration,
}

impl Worker {
    fn start(program: &Path, order: &Order, trail: &Trail, wall: Duration) -> anyhow::Result<Self> {
        let errors = fs::File::create(&trail.errors)
            .with_context(|| format!("cannot make {}", trail.errors.display()))?;
        let mut child = Command::new(program)
            .arg(CHILD)
            .arg(serde_json::to_string(order)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .env("RUST_BACKTRACE", "0")
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let out = child.stdout.take().context("a child without an output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                // What the library itself prints is none of ours.
                let Ok(line) = line else { break };
                if let Ok(line) = serde_json::from_str(&line)
                    && sender.send(line).is_err()
                {
                    break;
                }
            }
        });
        Ok(Self { child, lines, wall })
    }

    /// The next line; or how the child ended.
    fn next(&mut self) -> anyhow::Result<Result<Line, (String, Option<i32>)>> {
        match self.lines.recv_timeout(self.wall) {
            Ok(line) => Ok(Ok(line)),
            Err(RecvTimeoutError::Timeout) => {
                self.child.kill()?;
                self.child.wait()?;
                let seconds = self.wall.as_secs();
                Ok(Err((format!("it hangs: it has not gone on for {seconds} s"), None)))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                Ok(Err((death(status), status.signal())))
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It has mostly ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SIGABRT: i32 = 6;
const SIGXCPU: i32 = 24;

/// How a process ended, in words.
fn death(status: ExitStatus) -> String {
    let names = [
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (SIGABRT, "SIGABRT, an abort"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
    ];
    match (status.signal(), status.code()) {
        (Some(SIGXCPU), _) => "it hangs: it has used up its processor time".to_owned(),
        (Some(signal), _) => {
            let name = names.iter().find(|(number, _)| *number == signal).map(|(_, name)| *name);
            match name {
                Some(name) => format!("it ended the process: {name}"),
                None => format!("it ended the process: signal {signal}"),
            }
        }
        (None, Some(code)) => format!("it ended the process: exit code {code}"),
        (None, None) => "it ended the process".to_owned(),
    }
}

/// Signals by which a process fails fast: abort, and the traps that compilers make of it.
fn is_fail_fast(signal: Option<i32>) -> bool {
    matches!(signal, Some(SIGABRT | 4 | 5))
}

/// The rule of the last thing that was done: what a process died of.
fn rule_of_trail(trail: &[String]) -> Rule {
    let last = trail.iter().rev().find(|line| !line.starts_with(' ')).map_or("", String::as_str);
    let rules: &[(&str, Rule)] = &[
        ("QueryInterface", Rule::C1),
        ("AddRef", Rule::C3),
        ("Release", Rule::C3),
        ("get_status", Rule::C4),
        ("get_result_size", Rule::C16),
        ("get_result", Rule::C5),
        ("get_error", Rule::C16),
        ("cancel of", Rule::C10),
        ("cancel_all", Rule::C10),
        ("set_completed", Rule::C14),
        ("wait", Rule::C15),
        ("spawn", Rule::C11),
        ("advance", Rule::C8),
    ];
    rules.iter().find(|(begin, _)| last.starts_with(begin)).map_or(Rule::C9, |(_, rule)| *rule)
}

/// Judges a library with the children of a program: of this one.
#[derive(Debug)]
pub struct Judge<'a> {
    /// The program that is its own child.
    pub program: &'a Path,
    /// The library.
    pub library: &'a Path,
    /// How.
    pub options: &'a Options,
}

impl Judge<'_> {
    fn order(&self, trail: &Trail, work: Work) -> Order {
        Order {
            library: self.library.to_path_buf(),
            trail: trail.path.clone(),
            processor_seconds: self.options.processor_seconds,
            work,
        }
    }

    /// Runs a child to its end. `judged` is told each piece of work that has ended; the name of the library is the answer, and how many
    /// pieces there were.
    fn child(
        &self,
        trail: &Trail,
        work: Work,
        mut judged: impl FnMut(String, Ended),
    ) -> anyhow::Result<(String, u64)> {
        let order = self.order(trail, work);
        let mut worker = Worker::start(self.program, &order, trail, self.options.wall)?;
        let shown = self.library.display();
        let library = match worker.next()? {
            Ok(Line::Loaded(name)) => name,
            Ok(Line::Refused(why)) => return Err(Unfit(format!("{shown} cannot be judged: {why}")).into()),
            Ok(line) => anyhow::bail!("a child began with {line:?}"),
            Err((how, _)) => {
                return Err(Unfit(format!("{shown} cannot be judged: as it was loaded, {how}")).into());
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
                (Ok(line), begun) => anyhow::bail!("a child said {line:?} after {begun:?}"),
            }
        }
    }

    /// Judges.
    ///
    /// # Errors
    /// [`Unfit`]: the library cannot be judged. Or the kit itself cannot work.
    pub fn judge(&self) -> anyhow::Result<Judgement> {
        let mut judgement = Judgement {
            name: String::new(),
            library: self.library.to_path_buf(),
            cases: Vec::new(),
            sequences: 0,
            seed: self.options.seed,
            found: Vec::new(),
        };
        let trail = Trail::new();
        self.cases(&trail, &mut judgement)?;
        if self.options.only.is_empty() {
            self.sequences(&trail, &mut judgement)?;
            if self.options.shorten {
                self.shorten(&trail, &mut judgement)?;
            }
        }
        Ok(judgement)
    }

    fn cases(&self, trail: &Trail, judgement: &mut Judgement) -> anyhow::Result<()> {
        let all = cases::all();
        let mut left: Vec<&Case> = all.iter().filter(|case| self.is_chosen(case)).collect();
        if left.is_empty() {
            let names: Vec<&str> = all.iter().map(|case| case.name).collect();
            return Err(Unfit(format!(
                "there is no case {}; the cases are:\n  {}",
                self.options.only.join(", "),
                names.join("\n  ")
            ))
            .into());
        }
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
                    Ended::Died(how, _) => (Verdict::Failed(Finding::new(case.rule, how)), trail.lines()),
                };
                if let Verdict::Failed(finding) = &verdict {
                    let by = case.name.to_owned();
                    judgement.found.push(Found { by, finding: finding.clone(), trail: lines });
                }
                judgement.cases.push(Judged { rule: case.rule, case: case.name.to_owned(), verdict });
            })?;
            judgement.name = name;
            anyhow::ensure!(left.len() < before, "a child ended before it began");
        }
        Ok(())
    }

    fn is_chosen(&self, case: &Case) -> bool {
        let only = &self.options.only;
        only.is_empty()
            || only.iter().any(|name| case.name == name || case.rule.to_string().eq_ignore_ascii_case(name))
    }

    fn sequences(&self, trail: &Trail, judgement: &mut Judgement) -> anyhow::Result<()> {
        let corpus = match &self.options.corpus {
            Some(folder) => crate::child::corpus(folder)
                .with_context(|| format!("cannot read the corpus in {}", folder.display()))?
                .len() as u64,
            None => 0,
        };
        let start = Instant::now();
        let until = self.options.seconds.map(Duration::from_secs);
        let all = corpus + self.options.sequences;
        let mut next = 0;
        let mut findings = 0;
        loop {
            let over = until.map_or(next >= all, |time| start.elapsed() >= time);
            if over || findings >= ENOUGH {
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
                let Some(found) = self.found_by_sequence(trail, by, ended) else { return };
                findings += 1;
                judgement.found.push(found);
            })?;
            anyhow::ensure!(count > 0, "a child ended before it began");
            next += count;
        }
        judgement.sequences = next;
        Ok(())
    }
}

/// Of how many rules the first sequence is shortened, and for how long each.
const SHORTENED: usize = 4;
const SHORTENING: Duration = Duration::from_secs(10);

impl Judge<'_> {
    /// The first sequence against each rule, without the records that it does not take.
    fn shorten(&self, trail: &Trail, judgement: &mut Judgement) -> anyhow::Result<()> {
        let corpus = self.options.corpus.as_deref().map(crate::child::corpus).transpose()?;
        let source = Source { corpus: corpus.unwrap_or_default(), seed: self.options.seed };
        let mut rules = Vec::new();
        for found in &mut judgement.found {
            let number = found.by.strip_prefix("sequence ").and_then(|number| number.parse().ok());
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
        let mut again = None;
        self.child(trail, Work::Bytes(bytes.to_vec()), |by, ended| {
            again = self.found_by_sequence(trail, by, ended)
        })?;
        Ok(again.filter(|found| found.finding.rule == rule))
    }

    fn found_by_sequence(&self, trail: &Trail, by: String, ended: Ended) -> Option<Found> {
        match ended {
            Ended::Judged(Verdict::Failed(finding), trail) => Some(Found { by, finding, trail }),
            Ended::Judged(..) => None,
            Ended::Died(how, _) => {
                let lines = trail.lines();
                Some(Found { by, finding: Finding::new(rule_of_trail(&lines), how), trail: lines })
            }
        }
    }
}

/// What was found, by rule.
#[must_use]
pub fn by_rule(judgement: &Judgement) -> BTreeMap<Rule, Vec<&Found>> {
    let mut rules: BTreeMap<Rule, Vec<&Found>> = BTreeMap::new();
    for found in &judgement.found {
        rules.entry(found.finding.rule).or_default().push(found);
    }
    rules
}
