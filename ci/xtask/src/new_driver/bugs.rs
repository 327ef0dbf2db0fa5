//! The bugs of `ci/zoo/driver/`, planted in a driver from the template.
//!
//! `cargo test` must report each: with a file and line of the driver in the first twenty lines of
//! the failing test's own output, a line that replays it, and a timeline.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use super::trial::Trial;
use crate::{command::capture, project::Project, zoo};

/// The folder of the patches.
const FOLDER: &str = "ci/zoo/driver";
/// The driver's files with code that may have a bug.
const DRIVERS: [&str; 2] = ["driver", "items"];
/// The lines of a test's output in which the driver's file and line must be.
const FIRST: usize = 20;
/// The beginnings of two lines of a report.
const REPLAY: &str = "to replay it: ";
const TIMELINE: &str = "timeline: ";

/// A bug that was planted.
pub(super) struct Judged {
    pub(super) name: String,
    pub(super) what: String,
    /// The driver's file and line in the report.
    pub(super) place: String,
    /// The test that found it.
    pub(super) test: String,
    /// What is missing in the reports.
    pub(super) wrong: Option<String>,
}

/// The output of a failing test.
struct Failure<'a> {
    test: &'a str,
    lines: Vec<&'a str>,
}

/// Plants each bug, one after the other.
pub(super) fn plant(trial: &Trial<'_>, project: &Project) -> anyhow::Result<Vec<Judged>> {
    let folder = project.path(FOLDER);
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {FOLDER}"))?;
    let patches: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut patches = patches?;
    patches.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    patches.sort();
    patches.iter().map(|patch| judge(trial, patch)).collect()
}

fn judge(trial: &Trial<'_>, patch: &Path) -> anyhow::Result<Judged> {
    let name = patch.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = fs::read_to_string(patch).with_context(|| format!("cannot read {}", patch.display()))?;
    let what = zoo::header(&text, "Bug: ").with_context(|| format!("{name} does not begin with Bug:"))?;
    trial.patch(patch, &[])?;
    let tested = trial.cargo(&["test"])?;
    if tested.output.contains("could not compile") {
        bail!("with {name} the driver does not compile:\n{}", tested.output);
    }
    let mut judged = Judged {
        name,
        what: what.to_owned(),
        place: String::new(),
        test: String::new(),
        wrong: Some("MISSED".to_owned()),
    };
    let mut report = format!("# {}: {}\n$ cargo test\n{}", judged.name, judged.what, tested.output);
    let failures = failures(&tested.output);
    if let Some(first) = failures.first() {
        judged.wrong = failures.iter().find_map(|failure| trial.incomplete(failure));
        if judged.wrong.is_none() {
            judged.wrong = replay(trial, first, &mut report)?;
        }
        judged.place = trial.place_in_first(first).unwrap_or_default().to_owned();
        judged.test = first.test.to_owned();
    }
    trial.patch(patch, &["--reverse"])?;
    let file = trial.reports.join(format!("{}.txt", judged.name));
    fs::write(&file, report).with_context(|| format!("cannot write {}", file.display()))?;
    note!("{}: {}", judged.name, judged.wrong.as_ref().unwrap_or(&judged.place));
    Ok(judged)
}

/// Replays a failure. Returns what is wrong.
fn replay(trial: &Trial<'_>, failure: &Failure<'_>, report: &mut String) -> anyhow::Result<Option<String>> {
    let line = failure.after(REPLAY).unwrap_or_default();
    let replayed = capture(trial.program("sh").args(["-c", line]), |_| {})?;
    report.push_str(&format!("\n$ {line}\n{}", replayed.output));
    let again = failures(&replayed.output);
    let is_same = |again: &Failure<'_>| {
        again.test == failure.test
            && trial.place_in_first(again) == trial.place_in_first(failure)
            && stop_of(again) == stop_of(failure)
    };
    let same = !replayed.status.success() && again.iter().any(is_same);
    Ok((!same).then(|| format!("{}: the line does not replay it", failure.test)))
}

impl<'a> Failure<'a> {
    /// The rest of the line with this beginning.
    fn after(&self, start: &str) -> Option<&'a str> {
        self.lines.iter().find_map(|line| line.strip_prefix(start))
    }
}

impl Trial<'_> {
    fn place_in_first<'a>(&self, failure: &Failure<'a>) -> Option<&'a str> {
        let folder = self.folder.to_string_lossy();
        failure.lines.iter().take(FIRST).find_map(|line| place_in(line, &folder))
    }

    /// What a report lacks.
    fn incomplete(&self, failure: &Failure<'_>) -> Option<String> {
        let timeline = failure.after(TIMELINE).map(|path| self.folder.join(path));
        let lacks = if self.place_in_first(failure).is_none() {
            "a file and line of the driver in the first lines"
        } else if failure.after(REPLAY).is_none() {
            "a line that replays it"
        } else if !timeline.is_some_and(|path| fs::metadata(path).is_ok_and(|file| file.len() > 0)) {
            "a timeline"
        } else {
            return None;
        };
        Some(format!("{} lacks {lacks}", failure.test))
    }
}

/// The first line of a report, which stands behind the one with the panic's place.
fn stop_of<'a>(failure: &Failure<'a>) -> Option<&'a str> {
    let panic = failure.lines.iter().position(|line| line.contains("panicked at "))?;
    failure.lines.get(panic + 1).copied()
}

/// The first file of the driver with a line, such as `src/items.rs:70`, or `items.rs:70` without
/// its folder.
fn place_in<'a>(line: &'a str, folder: &str) -> Option<&'a str> {
    line.split([' ', '(', ')']).find_map(|word| {
        let (path, rest) = word.split_once(".rs:")?;
        let name = path.strip_prefix(folder).unwrap_or(path).trim_start_matches("./");
        let name = name.trim_start_matches('/').strip_prefix("src/").unwrap_or(name);
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let is_place = DRIVERS.contains(&name) && digits > 0;
        word.get(..path.len() + ".rs:".len() + digits).filter(|_| is_place)
    })
}

/// The failing tests' outputs, as cargo prints them.
fn failures(output: &str) -> Vec<Failure<'_>> {
    let mut failures: Vec<Failure<'_>> = Vec::new();
    let mut inside = false;
    for line in output.lines() {
        let name = line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----"));
        if let Some(test) = name {
            failures.push(Failure { test, lines: Vec::new() });
            inside = true;
        } else if line == "failures:" {
            inside = false;
        } else if let Some(failure) = failures.last_mut().filter(|_| inside) {
            failure.lines.push(line);
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::{failures, place_in, stop_of};

    #[test]
    fn a_place_is_a_file_of_the_driver_with_a_line() {
        let place_in = |line| place_in(line, "/tmp/x");
        assert_eq!(place_in("panic at src/items.rs:164:9: lost"), Some("src/items.rs:164"));
        assert_eq!(place_in("  in my_driver::driver::read (driver.rs:7)"), Some("driver.rs:7"));
        assert_eq!(place_in("set at /tmp/x/src/driver.rs:7:5"), Some("/tmp/x/src/driver.rs:7"));
        assert_eq!(place_in("  in life::takes (tests/life.rs:7)"), None);
        assert_eq!(place_in("  in ntsim (/n/kernel-exec/ntsim/src/driver.rs:7)"), None);
        assert_eq!(place_in("src/driver.rs: no line"), None);
    }

    #[test]
    fn each_failing_test_has_its_output() {
        let output = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\n\nthread 'a' (7) panicked at x:1:2:\n0xCE: left\n\
            ---- b stdout ----\nq\n\nfailures:\n    a\n    b\n";
        let failures = failures(output);
        let names: Vec<_> = failures.iter().map(|failure| failure.test).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(failures.first().and_then(stop_of), Some("0xCE: left"));
    }
}
