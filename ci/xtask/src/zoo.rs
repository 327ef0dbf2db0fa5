//! `cargo xtask zoo` plants each bug of `ci/zoo/` in a copy of the project, and checks that the
//! suite finds it.
//!
//! A patch begins with `Bug:` and `Found-by:` lines. `Found-by:` names the judge that has to fail:
//!
//! - `corpus` means the committed inputs, run by plain `cargo test`.
//! - `loom` means the loom models.
//! - `abi` means `cargo xtask abi`, which has to report a difference.
//! - `ntsim` means the test of the simulated kernel that the `Test:` line names.
//! - `test PACKAGE [TEST]` means the tests of that package, or the one of that name, where `lib`
//!   names its unit tests.
//!
//! A patch that no longer applies, or a bug that its judge does not find, is a failure. With
//! `--fuzz` the judges are the fuzz targets of a patch's `Target:` line, each started several times
//! from an empty corpus.
//!
//! Several copies are judged side by side (`--jobs`). The bugs are sorted by judge, and the workers
//! take them from both ends, so most judges are built in one copy only.
mod fuzzed;
mod tree;

use std::{
    collections::VecDeque,
    fs,
    path::PathBuf,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context, bail};
use clap::Args;

use tree::Tree;

use crate::{interrupt, lock::Lock, problem::Problem, project::Project, ui};

/// The folders of the patches, for bugs of the driver crates and for bugs of the simulated kernel.
const ZOO: [&str; 2] = ["ci/zoo", "ci/zoo/ntsim"];
/// The folder of the copies and of their builds.
const FOLDER: &str = "target/zoo";

/// A planted bug.
struct Bug {
    patch: PathBuf,
    name: String,
    what: String,
    found_by: String,
    target: Option<String>,
    /// The test file of ntsim that must find it.
    test: Option<String>,
}

/// Options of `cargo xtask zoo`.
#[derive(Args)]
pub(crate) struct Options {
    /// Only bugs with this text in their number.
    filter: Option<String>,
    /// Fuzzes from an empty corpus instead of running the committed inputs. This takes minutes for
    /// each bug.
    #[arg(long)]
    fuzz: bool,
    /// The number of copies that are judged side by side. With `--fuzz` it is always one.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
    /// With `--fuzz`, the number of runs of each target.
    #[arg(long, value_name = "N", default_value_t = 3, requires = "fuzz", value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// With `--fuzz`, the seconds that a target has to find the bug.
    #[arg(long, value_name = "N", default_value_t = 60, requires = "fuzz", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// Plants and hunts the selected bugs.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    let filter = options.filter.as_deref();
    let bugs: Vec<Bug> = bugs(project)?
        .into_iter()
        .filter(|bug| filter.is_none_or(|filter| bug.name.contains(filter)))
        .collect();
    if bugs.is_empty() {
        let message = format!("no bug of {} matches {}", ZOO.join(" or "), filter.unwrap_or("anything"));
        return Err(Problem::Usage(message).into());
    }
    // A second process would plant its bugs in the same copies.
    let _lock = Lock::take(&project.path(FOLDER), "")?;
    if options.fuzz {
        return fuzzed::run(project, &Tree::new(project, 0)?, &bugs, options);
    }
    let results = hunt_all(project, &bugs, options.jobs.into())?;
    let mut table = ui::table(&["bug", "what", "found by", "seconds", "result", "how"], 3..4);
    for Judged { bug, clue, seconds } in &results {
        let (result, how) = clue.as_deref().map_or(("MISSED", ""), |clue| ("found", clue));
        table.add_row([&bug.name, &bug.what, &bug.found_by, &format!("{seconds:.1}"), result, how]);
    }
    say!("{table}");
    let missed = results.iter().filter(|judged| judged.clue.is_none()).count();
    say!("{} of {} planted bugs found", bugs.len() - missed, bugs.len());
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A bug that its judge has seen.
struct Judged<'a> {
    bug: &'a Bug,
    /// The line that gave the bug away, or `None` if the judge passed.
    clue: Option<String>,
    seconds: f64,
}

/// Judges all bugs in `jobs` copies side by side. The results are in the order of the bugs' names.
fn hunt_all<'a>(project: &Project, bugs: &'a [Bug], jobs: usize) -> anyhow::Result<Vec<Judged<'a>>> {
    let mut queue: Vec<&Bug> = bugs.iter().collect();
    queue.sort_by_key(|bug| (&bug.found_by, &bug.test, &bug.name));
    let (queue, total) = (Mutex::new(VecDeque::from(queue)), bugs.len());
    let judged = Mutex::new(Vec::with_capacity(total));
    let work = |number: usize| -> anyhow::Result<()> {
        let tree = Tree::new(project, number)?;
        loop {
            if interrupt::interrupted() {
                bail!("interrupted");
            }
            let next = {
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                if number.is_multiple_of(2) { queue.pop_front() } else { queue.pop_back() }
            };
            let Some(bug) = next else { return Ok(()) };
            let start = Instant::now();
            let clue = tree.hunt(project, bug).inspect_err(|_| {
                // The other workers end after the bug that they have.
                queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
            })?;
            let seconds = start.elapsed().as_secs_f64();
            let result = if clue.is_some() { "found" } else { "MISSED" };
            let mut judged = judged.lock().unwrap_or_else(PoisonError::into_inner);
            judged.push(Judged { bug, clue, seconds });
            note!("[{}/{total}] {} by {}: {result}, {seconds:.1} s", judged.len(), bug.name, bug.found_by);
        }
    };
    let work = &work;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.min(total)).map(|number| scope.spawn(move || work(number))).collect();
        let ends = workers.into_iter().map(|worker| match worker.join() {
            Ok(end) => end,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // Every worker has ended before the first error is returned.
        ends.collect::<Vec<_>>().into_iter().collect::<anyhow::Result<()>>()
    })?;
    let mut judged = judged.into_inner().unwrap_or_else(PoisonError::into_inner);
    judged.sort_by(|one, other| one.bug.name.cmp(&other.bug.name));
    Ok(judged)
}

fn bugs(project: &Project) -> anyhow::Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    let mut entries = Vec::new();
    for folder in ZOO {
        entries.extend(fs::read_dir(project.path(folder)).with_context(|| format!("cannot read {folder}"))?);
    }
    for entry in entries {
        let patch = entry?.path();
        if patch.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let text = fs::read_to_string(&patch).with_context(|| format!("cannot read {}", patch.display()))?;
        let (Some(what), Some(found_by)) = (header(&text, "Bug: "), header(&text, "Found-by: ")) else {
            bail!("{} does not begin with Bug: and Found-by:", patch.display());
        };
        let name = patch.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let optional = |header_name| header(&text, header_name).map(str::to_owned);
        let (target, test) = (optional("Target: "), optional("Test: "));
        bugs.push(Bug { patch, name, what: what.to_owned(), found_by: found_by.to_owned(), target, test });
    }
    bugs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(bugs)
}

/// A line above a patch, without its beginning.
pub(crate) fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().take_while(|line| !line.starts_with("diff ")).find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::header;

    #[test]
    fn a_patch_says_what_it_is_before_it_begins() {
        let text = "Bug: wakes are lost\nFound-by: loom\n\ndiff --git a b\nBug: not this one\n";
        assert_eq!(header(text, "Bug: "), Some("wakes are lost"));
        assert_eq!(header(text, "Found-by: "), Some("loom"));
        assert_eq!(header(text, "Oracle: "), None);
    }
}
