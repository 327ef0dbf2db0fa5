//! The report of a run, which is a table, the findings with the lines that replay them, and a file
//! for other programs.
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Serialize, Serializer};

use super::{libfuzzer::Message, monitor::Run};
use crate::{problem::Problem, ui};

/// An input that made a target stop.
#[derive(Clone, Serialize, Debug)]
pub(crate) struct Finding {
    /// The input's path from the root of the checkout. JSON has no bytes, so the part of a name
    /// that is not UTF-8 is replaced.
    #[serde(serialize_with = "lossily")]
    file: PathBuf,
    /// The name of the oracle.
    oracle: String,
    /// The oracle's message.
    message: String,
    /// The seconds until the finding.
    seconds: f64,
    /// The command that replays the input, or empty if there is no input.
    replay: String,
    /// The command that repeats the finding under its sanitizer, where a replay would be clean.
    #[serde(skip)]
    again: Option<String>,
}

fn lossily<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

impl Finding {
    /// A finding with the target's message, or with `otherwise` where it gave none.
    pub(crate) fn new(
        file: PathBuf,
        message: Option<Message>,
        otherwise: &str,
        seconds: f64,
        replay: String,
    ) -> Self {
        let (oracle, message) = match message {
            Some(message) if replay.is_empty() => (message.oracle, format!("{} ({otherwise})", message.text)),
            Some(message) => (message.oracle, message.text),
            None => ("exit".to_owned(), otherwise.to_owned()),
        };
        Self { file, oracle, message, seconds, replay, again: None }
    }

    /// Adds the command that repeats the finding under its sanitizer.
    pub(crate) fn again(self, again: Option<String>) -> Self {
        Self { again, ..self }
    }
}

/// The results of one target.
#[derive(Serialize, Debug)]
pub(crate) struct TargetSummary {
    name: String,
    seconds: f64,
    execs: u64,
    execs_per_second: f64,
    /// Live steps in a second; null if the target does not count.
    steps_per_second: Option<f64>,
    steps_per_empty_exec: Option<f64>,
    live_share: Option<f64>,
    coverage: u64,
    corpus_files: u64,
    findings: Vec<Finding>,
}

impl TargetSummary {
    /// Summarises a run.
    pub(crate) fn new(run: &Run, empty_execs_per_second: f64) -> Self {
        // A target that crashed has written fewer counts than libFuzzer. The ratio of its counts is
        // still right.
        let steps_per_exec = run.stats.and_then(|stats| stats.live_steps_per_exec());
        let steps_per_second = steps_per_exec.map(|steps| steps * run.execs_per_second());
        let relative = |steps: f64| (empty_execs_per_second > 0.0).then(|| steps / empty_execs_per_second);
        Self {
            name: run.target.clone(),
            seconds: run.seconds,
            execs: run.execs,
            execs_per_second: run.execs_per_second(),
            steps_per_second,
            steps_per_empty_exec: steps_per_second.and_then(relative),
            live_share: run.stats.and_then(|stats| stats.live_share()),
            coverage: run.coverage,
            corpus_files: run.corpus_files,
            findings: run.findings.clone(),
        }
    }
}

/// The results of all targets.
#[derive(Serialize, Debug)]
pub(crate) struct Summary {
    /// The speed of a target that does nothing, in executions a second.
    pub(crate) empty_execs_per_second: f64,
    /// The sanitizer of the build.
    pub(crate) sanitizer: &'static str,
    /// The results of each target.
    pub(crate) targets: Vec<TargetSummary>,
}

/// Checks before the run that the summary can be written after it.
pub(crate) fn check(file: &Path) -> anyhow::Result<()> {
    let opened = fs::OpenOptions::new().append(true).create(true).open(file);
    opened.map(drop).map_err(|error| Problem::Usage(format!("{}: {error}", file.display())).into())
}

/// A ratio, or `-` where there is none.
fn ratio(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"))
}

/// A share in percent, or `-` where there is none.
fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

impl Summary {
    /// Prints the table.
    pub(crate) fn print(&self) {
        let header = [
            "target",
            "seconds",
            "execs",
            "exec/s",
            "live steps/s",
            "live steps per empty exec",
            "live share",
            "coverage",
            "corpus files",
            "findings",
        ];
        let mut table = ui::table(&header, 1..header.len());
        for target in &self.targets {
            table.add_row([
                target.name.clone(),
                format!("{:.1}", target.seconds),
                ui::count(target.execs),
                ui::rate(Some(target.execs_per_second)),
                ui::rate(target.steps_per_second),
                ratio(target.steps_per_empty_exec),
                percent(target.live_share),
                ui::count(target.coverage),
                ui::count(target.corpus_files),
                target.findings.len().to_string(),
            ]);
        }
        say!("{table}");
        let speed = ui::rate(Some(self.empty_execs_per_second));
        say!("empty: {speed} exec/s, sanitizer: {}", self.sanitizer);
    }

    /// Writes the file.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// Prints the findings, each with the line that replays it.
pub(crate) fn print_findings(runs: &[Run]) {
    for run in runs {
        for finding in &run.findings {
            say!("");
            say!("FOUND by {} after {:.1} s: {}", run.target, finding.seconds, finding.file.display());
            say!("  {}: {}", finding.oracle, finding.message);
            if !finding.replay.is_empty() {
                say!("  {}", finding.replay);
            }
            if let Some(again) = &finding.again {
                say!("  under the same sanitizer and limits, without which a replay may be clean: {again}");
            }
        }
    }
    let findings: usize = runs.iter().map(|run| run.findings.len()).sum();
    let unwritten: Vec<&String> = runs.iter().filter_map(|run| run.unwritten.as_ref()).collect();
    match findings {
        0 if !unwritten.is_empty() => say!("no findings, but the run is incomplete"),
        0 => say!("no findings"),
        1 => say!("\n1 finding"),
        _ => say!("\n{findings} findings"),
    }
    for error in unwritten {
        note!(
            "error: {error}: inputs, logs and figures of this run are incomplete; make room there, or name another folder by --work, \
             and run it again"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

    use serde_json::json;

    use super::{Finding, Summary, TargetSummary};
    use crate::fuzz::{libfuzzer::Message, monitor::Run, stats::Stats};

    fn run() -> Run {
        let message = Message { oracle: "count".to_owned(), text: "two".to_owned() };
        let file = PathBuf::from("target/fuzz/vtable/crash-ab");
        Run {
            target: "vtable".to_owned(),
            seconds: 2.0,
            execs: 1000,
            coverage: 7,
            corpus_files: 3,
            stats: Some(Stats { execs: 500, steps: 4000, live_steps: 3000 }),
            findings: vec![Finding::new(file, Some(message), "", 1.5, "cargo xtask replay x".to_owned())],
            unwritten: None,
        }
    }

    #[test]
    fn the_file_has_the_documented_shape() {
        let targets = vec![TargetSummary::new(&run(), 1000.0)];
        let summary = Summary { empty_execs_per_second: 1000.0, sanitizer: "address", targets };
        let expected = json!({
            "empty_execs_per_second": 1000.0,
            "sanitizer": "address",
            "targets": [{
                "name": "vtable",
                "seconds": 2.0,
                "execs": 1000,
                "execs_per_second": 500.0,
                "steps_per_second": 3000.0,
                "steps_per_empty_exec": 3.0,
                "live_share": 0.75,
                "coverage": 7,
                "corpus_files": 3,
                "findings": [{
                    "file": "target/fuzz/vtable/crash-ab",
                    "oracle": "count",
                    "message": "two",
                    "seconds": 1.5,
                    "replay": "cargo xtask replay x"
                }]
            }]
        });
        assert_eq!(serde_json::to_value(&summary).unwrap(), expected);
    }

    #[test]
    fn a_name_that_is_not_utf8_costs_no_summary() {
        let file = PathBuf::from(OsStr::from_bytes(b"runs-\xff/crash"));
        let value = serde_json::to_value(Finding::new(file, None, "x", 1.0, String::new())).unwrap();
        assert_eq!(value["file"], json!("runs-\u{fffd}/crash"));
    }

    #[test]
    fn what_is_not_known_is_null() {
        let run = Run { stats: None, ..run() };
        let value = serde_json::to_value(TargetSummary::new(&run, 0.0)).unwrap();
        assert_eq!(value["steps_per_second"], json!(null));
        assert_eq!(value["steps_per_empty_exec"], json!(null));
        assert_eq!(value["live_share"], json!(null));
    }
}
