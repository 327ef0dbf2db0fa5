//! `cargo xtask test` runs the legs, two at a time, whatever the results of earlier ones.
//!
//! One leg often waits for one thread, such as a linker or a test. The other leg then has the rest
//! of the machine.
use std::{
    cell::Cell,
    env, fs,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;

use crate::{interrupt, legs::LEGS, problem::Problem, project::Project, ui};

/// A leg, which checks one thing.
pub(crate) struct Leg {
    /// The name for `--only`.
    pub(crate) name: &'static str,
    /// The thing that it checks.
    pub(crate) what: &'static str,
    /// Whether a skipped leg is a failure where `CI` is `true`.
    pub(crate) required: bool,
    /// Runs the check.
    pub(crate) run: fn(&Context<'_>) -> anyhow::Result<Outcome>,
}

/// The context of a leg.
pub(crate) struct Context<'a> {
    /// The checkout.
    pub(crate) project: &'a Project,
    /// The line that shows the progress.
    pub(crate) live: &'a ui::Live,
    /// The beginning of that line.
    pub(crate) label: &'a str,
    /// The processor time of the commands that have ended.
    pub(crate) processor_time: &'a Cell<Duration>,
}

/// The result of a leg.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The check passed, with a note.
    Passed(String),
    /// The check failed.
    Failed {
        /// A note for the table.
        note: String,
        /// The whole output.
        output: String,
        /// The command that repeats the check.
        repeat: String,
    },
    /// The check could not run, for this reason.
    Skipped(String),
}

/// The way a leg is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// The way a leg is counted, and its note.
fn judge(outcome: &Outcome, required: bool, ci: bool) -> (Verdict, String) {
    match outcome {
        Outcome::Passed(note) => (Verdict::Passed, note.clone()),
        Outcome::Failed { note, .. } => (Verdict::Failed, note.clone()),
        Outcome::Skipped(why) if required && ci => (Verdict::Failed, format!("required, but skipped: {why}")),
        Outcome::Skipped(why) => (Verdict::Skipped, why.clone()),
    }
}

/// The requested legs, or all if none is requested.
fn choose(asked: &[String]) -> anyhow::Result<Vec<&'static Leg>> {
    if let Some(unknown) = asked.iter().find(|name| !LEGS.iter().any(|leg| leg.name == name.as_str())) {
        let list: String = LEGS.iter().map(|leg| format!("\n  {}", leg.name)).collect();
        return Err(Problem::Usage(format!("there is no leg \"{unknown}\"; the legs are:{list}")).into());
    }
    Ok(LEGS.iter().filter(|leg| asked.is_empty() || asked.iter().any(|name| name == leg.name)).collect())
}

/// The last line, with the number of legs of each kind.
fn totals(verdicts: &[Verdict]) -> String {
    let count = |verdict| verdicts.iter().filter(|other| **other == verdict).count();
    let [passed, failed, skipped] = [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(count);
    format!("{passed} passed, {failed} failed, {skipped} skipped")
}

/// The bytes that `target/` has after all legs.
const ROOM: u64 = 16 << 30;

/// Says that the disk may be too small for all legs, because the linker of the leg that fills it
/// only reports a bus error.
fn warn_of_a_small_disk(project: &Project) {
    let Ok(disk) = rustix::fs::statvfs(project.root()) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < ROOM && !project.path("target/zoo").exists() {
        let (free, room) = (free >> 30, ROOM >> 30);
        let root = project.root().display();
        note!("warning: the disk of {root} has {free} GiB free, and all legs need {room} GiB");
    }
}

/// Options of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this leg. May be given several times.
    #[arg(long, value_name = "LEG")]
    only: Vec<String>,
    /// Lists the legs without running them.
    #[arg(long)]
    list: bool,
    /// The number of legs that run side by side.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
}

/// Runs the legs.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    let legs = choose(&options.only)?;
    if options.list {
        let mut table = ui::table(&["leg", "required", "what"], 0..0);
        for leg in legs {
            table.add_row([leg.name, if leg.required { "yes" } else { "no" }, leg.what]);
        }
        say!("{table}");
        return Ok(ExitCode::SUCCESS);
    }
    run_from_a_link(project)?;
    if options.only.is_empty() {
        warn_of_a_small_disk(project);
    }
    let ended = run_all(project, &legs, options.jobs.into());
    let mut table = ui::table(&["leg", "result", "seconds", "CPU", "note"], 2..4);
    for (leg, Ended { verdict, note, seconds, processor_seconds }) in legs.iter().zip(&ended) {
        let [seconds, processor_seconds] = [seconds, processor_seconds].map(|time| format!("{time:.1}"));
        table.add_row([leg.name, verdict.name(), &seconds, &processor_seconds, note]);
    }
    let verdicts: Vec<Verdict> = ended.iter().map(|ended| ended.verdict).collect();
    let failed = legs.iter().zip(&verdicts).find(|(_, verdict)| **verdict == Verdict::Failed);
    let next = failed.map(|(leg, _)| format!("cargo xtask test --only {}", leg.name));
    say!("{table}");
    say!("next: {}", next.unwrap_or_else(|| "cargo xtask fuzz".to_owned()));
    say!("{}", totals(&verdicts));
    Ok(if interrupt::interrupted() {
        ExitCode::from(interrupt::EXIT_CODE)
    } else if verdicts.contains(&Verdict::Failed) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Makes this process run from a second name of its program.
///
/// A leg starts this program again. By its first name that would fail while another leg links the
/// program anew.
fn run_from_a_link(project: &Project) -> anyhow::Result<()> {
    let folder = project.path("target/test");
    let (program, link) = (env::current_exe()?, folder.join("xtask"));
    if link.canonicalize().is_ok_and(|link| link == program) {
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // A name of its own for each process, so that no process ever finds the link missing.
    let fresh = folder.join(format!("xtask-{}", std::process::id()));
    fs::copy(&program, &fresh).with_context(|| format!("cannot copy {}", program.display()))?;
    fs::rename(&fresh, &link).with_context(|| format!("cannot make {}", link.display()))?;
    let error = Command::new(&link).args(env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("cannot run {}", link.display()))
}

/// A leg's end.
struct Ended {
    verdict: Verdict,
    note: String,
    seconds: f64,
    processor_seconds: f64,
}

/// Runs the legs, `jobs` at a time. The results are in the order of the legs.
fn run_all(project: &Project, legs: &[&Leg], jobs: usize) -> Vec<Ended> {
    let ci = env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    let (next, ended) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(legs.len())));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(leg) = legs.get(index) else { return };
            let label = format!("[{}/{}] {}", index + 1, legs.len(), leg.name);
            let end = run_one(project, leg, &label, ci);
            ended.lock().unwrap_or_else(PoisonError::into_inner).push((index, end));
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    ended.sort_by_key(|(index, _)| *index);
    ended.into_iter().map(|(_, end)| end).collect()
}

/// Runs a leg, and shows its end.
fn run_one(project: &Project, leg: &Leg, label: &str, ci: bool) -> Ended {
    let start = Instant::now();
    let processor_time = Cell::new(Duration::ZERO);
    let live = ui::Live::new();
    live.show(&format!("{label} ..."));
    let outcome = if interrupt::interrupted() {
        Outcome::Skipped("interrupted".to_owned())
    } else {
        one(leg, &Context { project, live: &live, label, processor_time: &processor_time })
    };
    let (verdict, note) = judge(&outcome, leg.required, ci);
    let seconds = start.elapsed().as_secs_f64();
    live.finish(&format!("{label} ... {}, {seconds:.1} s", verdict.name()));
    if let Outcome::Failed { output, repeat, .. } = &outcome {
        ui::above(&format!("{}\nto repeat: {repeat}\n", output.trim_end()));
    }
    Ended { verdict, note, seconds, processor_seconds: processor_time.get().as_secs_f64() }
}

/// Runs a leg. An error in running it is a failure of the leg.
fn one(leg: &Leg, context: &Context<'_>) -> Outcome {
    (leg.run)(context).unwrap_or_else(|error| Outcome::Failed {
        note: "could not be run".to_owned(),
        output: format!("{error:#}"),
        repeat: format!("cargo xtask test --only {}", leg.name),
    })
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Verdict, choose, judge, totals};
    use crate::{legs::LEGS, problem::Problem};

    #[test]
    fn a_skipped_required_leg_fails_in_ci_only() {
        let skipped = Outcome::Skipped("no tool".to_owned());
        assert_eq!(judge(&skipped, true, true).0, Verdict::Failed);
        assert_eq!(judge(&skipped, true, false).0, Verdict::Skipped);
        assert_eq!(judge(&skipped, false, true).0, Verdict::Skipped);
        assert_eq!(judge(&Outcome::Passed(String::new()), true, true).0, Verdict::Passed);
    }

    #[test]
    fn the_last_line_counts_legs() {
        let verdicts = [Verdict::Passed, Verdict::Failed, Verdict::Passed, Verdict::Skipped];
        assert_eq!(totals(&verdicts), "2 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn legs_have_names_of_their_own() {
        for (index, leg) in LEGS.iter().enumerate() {
            assert!(LEGS.iter().skip(index + 1).all(|other| other.name != leg.name), "{}", leg.name);
            assert_eq!(choose(&[leg.name.to_owned()]).unwrap().len(), 1);
        }
        let error = choose(&["nope".to_owned()]).map(|_| ()).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Problem::Usage(_))));
    }
}
