//! `cargo xtask test` runs the legs one after the other, whatever the results of earlier ones.
use std::{env, process::ExitCode, time::Instant};

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

/// Runs the legs.
pub(crate) fn run(project: &Project, only: &[String], list: bool) -> anyhow::Result<ExitCode> {
    let legs = choose(only)?;
    if list {
        let mut table = ui::table(&["leg", "required", "what"], 0..0);
        for leg in legs {
            table.add_row([leg.name, if leg.required { "yes" } else { "no" }, leg.what]);
        }
        say!("{table}");
        return Ok(ExitCode::SUCCESS);
    }
    if only.is_empty() {
        warn_of_a_small_disk(project);
    }
    let ci = env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    let mut table = ui::table(&["leg", "result", "seconds", "note"], 2..3);
    let mut verdicts = Vec::new();
    let mut next = None;
    for (index, leg) in legs.iter().enumerate() {
        let label = format!("[{}/{}] {}", index + 1, legs.len(), leg.name);
        let start = Instant::now();
        let outcome = if interrupt::interrupted() {
            Outcome::Skipped("interrupted".to_owned())
        } else {
            let live = ui::Live::new();
            live.show(&format!("{label} ..."));
            let outcome = one(leg, &Context { project, live: &live, label: &label });
            let (verdict, _) = judge(&outcome, leg.required, ci);
            live.finish(&format!("{label} ... {}, {:.1} s", verdict.name(), start.elapsed().as_secs_f64()));
            outcome
        };
        let (verdict, note) = judge(&outcome, leg.required, ci);
        if let Outcome::Failed { output, repeat, .. } = &outcome {
            note!("{}\nto repeat: {repeat}\n", output.trim_end());
        }
        if verdict == Verdict::Failed {
            next.get_or_insert_with(|| format!("cargo xtask test --only {}", leg.name));
        }
        let seconds = format!("{:.1}", start.elapsed().as_secs_f64());
        table.add_row([leg.name, verdict.name(), &seconds, &note]);
        verdicts.push(verdict);
    }
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
