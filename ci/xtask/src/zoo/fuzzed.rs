//! `cargo xtask zoo --fuzz` has the fuzz targets hunt each planted bug, from an empty corpus,
//! several times.
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::{Bug, Options, Tree};
use crate::{
    command::{self, capture},
    interrupt,
    project::Project,
    ui,
};

/// The folder of the inputs that found bugs, by target and bug.
const FOUND: &str = "target/zoo/found";

/// The parts of a summary of `cargo xtask fuzz --summary` that are read here.
#[derive(Deserialize)]
struct Summary {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    /// The input's path from the root of the copy.
    file: PathBuf,
    oracle: String,
    seconds: f64,
}

/// The runs of one target against one bug.
#[derive(Default)]
struct Hunt {
    /// The seconds of the runs that found it.
    seconds: Vec<f64>,
    oracles: Vec<String>,
}

impl Hunt {
    /// The shortest and the longest time.
    fn times(&self) -> String {
        let shortest = self.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let longest = self.seconds.iter().copied().fold(0.0, f64::max);
        if self.seconds.is_empty() { "-".to_owned() } else { format!("{shortest:.1}–{longest:.1}") }
    }
}

/// Hunts each bug with its targets.
pub(super) fn run(
    project: &Project,
    tree: &Tree,
    bugs: &[Bug],
    options: &Options,
) -> anyhow::Result<ExitCode> {
    let mut table = ui::table(&["bug", "what", "target", "found in", "seconds", "oracles"], 4..5);
    let mut missed = 0;
    for bug in bugs {
        let Some(targets) = &bug.target else {
            note!("{}: no `Target:`, so not for fuzzing (found by: {})", bug.name, bug.found_by);
            continue;
        };
        tree.apply(&bug.patch, &[])?;
        let hunts: anyhow::Result<Vec<_>> = targets
            .split_whitespace()
            .map(|target| Ok((target, hunt(project, tree, bug, target, options)?)))
            .collect();
        tree.apply(&bug.patch, &["--reverse"])?;
        for (target, hunt) in hunts? {
            missed += usize::from(hunt.seconds.len() < options.runs as usize);
            let found = format!("{} of {} runs", hunt.seconds.len(), options.runs);
            table.add_row([&bug.name, &bug.what, target, &found, &hunt.times(), &hunt.oracles.join("; ")]);
        }
    }
    say!("{table}");
    say!(
        "at most {} s a run, from an empty corpus, with AddressSanitizer; inputs: {FOUND}/",
        options.seconds
    );
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn hunt(project: &Project, tree: &Tree, bug: &Bug, target: &str, options: &Options) -> anyhow::Result<Hunt> {
    let tree = &tree.root;
    let file = project.path("target/zoo/summary.json");
    let mut hunt = Hunt::default();
    for run in 1..=options.runs {
        if interrupt::interrupted() {
            bail!("interrupted");
        }
        let live = ui::Live::new();
        let label = format!("{} by {target}, run {run} of {}", bug.name, options.runs);
        live.hint(&label);
        drop(fs::remove_file(&file));
        let mut fuzz = command::xtask(project)?;
        // The copy is a checkout of its own.
        fuzz.current_dir(tree).env("CARGO_MANIFEST_DIR", tree.join("ci/xtask"));
        fuzz.args(["fuzz", "--empty-corpus", "--target", target, "--seconds", &options.seconds.to_string()]);
        fuzz.arg("--summary").arg(&file);
        let captured = capture(&mut fuzz, |line| live.hint(&format!("{label} ... {}", line.trim())))?;
        let text = fs::read_to_string(&file)
            .with_context(|| format!("the fuzzing left no summary:\n{}", captured.output))?;
        let summary: Summary = serde_json::from_str(&text)
            .with_context(|| format!("the fuzzing left no summary:\n{}", captured.output))?;
        let found = summary.targets.into_iter().flat_map(|target| target.findings).next();
        let result = match &found {
            Some(Finding { oracle, seconds, .. }) => format!("{oracle}, {seconds:.1} s"),
            None => "MISSED".to_owned(),
        };
        live.finish(&format!("{label}: {result}"));
        if let Some(Finding { file, oracle, seconds }) = found {
            keep(project, &tree.join(file), &bug.name, target)?;
            hunt.seconds.push(seconds);
            if !hunt.oracles.contains(&oracle) {
                hunt.oracles.push(oracle);
            }
        }
    }
    Ok(hunt)
}

/// Keeps the shortest of the inputs that found a bug, as a candidate for `corpus/regressions/`.
fn keep(project: &Project, input: &Path, bug: &str, target: &str) -> anyhow::Result<()> {
    let kept = project.path(FOUND).join(target).join(bug);
    let size = |file: &Path| fs::metadata(file).map_or(u64::MAX, |metadata| metadata.len());
    if size(input) < size(&kept) {
        fs::create_dir_all(kept.parent().unwrap_or(&kept))?;
        fs::copy(input, &kept).with_context(|| format!("cannot keep {}", input.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Hunt;

    #[test]
    fn the_times_are_a_range_or_nothing() {
        let mut hunt = Hunt::default();
        assert_eq!(hunt.times(), "-");
        hunt.seconds = vec![0.31, 2.0, 1.0];
        assert_eq!(hunt.times(), "0.3–2.0");
    }
}
