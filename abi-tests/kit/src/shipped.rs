//! The implementations that come with the kit. They are ours, one in C, some that others might have
//! written, and the one in C with one breach at a time.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context, bail};
use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::{
    cases,
    judge::{Judge, Judgement, Options},
    output::{note, say},
    report::{Report, junit},
    rule::Rule,
};

/// A breach that `c/broken.c` has, and a rule under which the kit must find it.
#[derive(Clone, Copy, Debug)]
pub struct Plant {
    /// Its name in C.
    pub name: &'static str,
    /// The rule.
    pub rule: Rule,
    /// Whether several threads are needed to see it.
    pub races: bool,
}

const fn plant(rule: Rule, name: &'static str) -> Plant {
    Plant { name, rule, races: false }
}

const fn race(rule: Rule, name: &'static str) -> Plant {
    Plant { name, rule, races: true }
}

/// All breaches.
pub const PLANTS: &[Plant] = &[
    plant(Rule::C1, "QUERY_LEAVES_OUT"),
    plant(Rule::C1, "QUERY_ADDS_NO_REFERENCE"),
    plant(Rule::C1, "QUERY_KNOWS_EVERYTHING"),
    plant(Rule::C1, "QUERY_LOOKS_AT_HALF"),
    plant(Rule::C2, "CONTROL_IS_IUNKNOWN"),
    plant(Rule::C2, "INTERFACE_LOST_AT_THE_END"),
    plant(Rule::C2, "CONTROL_LOST_AT_THE_END"),
    plant(Rule::C3, "RELEASE_NEVER_ZERO"),
    plant(Rule::C3, "RELEASE_ZERO_TOO_EARLY"),
    plant(Rule::C3, "BLOCK_LEAKED"),
    plant(Rule::C3, "COUNT_WRAPS"),
    race(Rule::C3, "COUNT_RACES"),
    race(Rule::C3, "COUNT_WITHOUT_LOCK"),
    plant(Rule::C4, "STATUS_CRASHES_ON_NULL"),
    plant(Rule::C4, "STATUS_IS_WIDE"),
    plant(Rule::C4, "STATUS_OF_FOUR"),
    plant(Rule::C5, "RESULT_NOT_ZEROED"),
    plant(Rule::C5, "RESULT_WITH_PADDING"),
    plant(Rule::C5, "RESULT_ONCE"),
    plant(Rule::C5, "RESULT_OF_NULL_FAILS"),
    plant(Rule::C5, "RESULT_OF_ERROR_IS_SUCCESS"),
    race(Rule::C5, "RESULT_RACES"),
    plant(Rule::C6, "LATE_CANCEL_WINS"),
    plant(Rule::C7, "SUCCESS_STORED"),
    plant(Rule::C7, "CANCELED_STORES_FAILURE"),
    plant(Rule::C8, "VISIBLE_BEFORE_DROP"),
    plant(Rule::C8, "DROPPED_TWICE"),
    plant(Rule::C8, "POLLED_AFTER_READY"),
    plant(Rule::C8, "POLLED_FOR_NOTHING"),
    race(Rule::C8, "WAKE_LOST_DURING_POLL"),
    plant(Rule::C9, "RELEASE_RUNS_BODY"),
    plant(Rule::C9, "RELEASE_CANCELS"),
    plant(Rule::C9, "ABANDONED_LOST"),
    plant(Rule::C9, "HANDLE_LEAKS"),
    plant(Rule::C9, "HANDLE_DROP_CANCELS"),
    plant(Rule::C10, "CANCEL_LOST_WHEN_IDLE"),
    plant(Rule::C10, "CANCEL_FAILS_AFTER_END"),
    plant(Rule::C10, "CANCEL_SKIPS_CLEANUP"),
    plant(Rule::C10, "CANCEL_SPINS"),
    plant(Rule::C10, "CANCEL_SLEEPS"),
    plant(Rule::C10, "REQUEST_NOT_TAKEN"),
    plant(Rule::C10, "CANCEL_ALL_LOST"),
    plant(Rule::C10, "OUTER_CLEANUP_LOST"),
    plant(Rule::C10, "JOIN_IS_ITS_FIRST"),
    plant(Rule::C11, "NULL_WITHOUT_MEMORY"),
    plant(Rule::C11, "CONSTANT_COUNTS"),
    plant(Rule::C11, "SPAWN_ERROR_IS_NULL"),
    plant(Rule::C12, "RAISE_IGNORED"),
    plant(Rule::C13, "RESULT_ALLOCATES"),
    plant(Rule::C13, "WAKE_ALLOCATES"),
    plant(Rule::C13, "BODIES_AT_PASSIVE_LEVEL"),
    plant(Rule::C14, "HANDLER_TWICE"),
    plant(Rule::C14, "LATE_HANDLER_LOST"),
    plant(Rule::C14, "SECOND_HANDLER_REPLACES"),
    plant(Rule::C14, "USED_AFTER_LATE_HANDLER"),
    plant(Rule::C14, "READ_AFTER_LATE_HANDLER"),
    race(Rule::C14, "HANDLERS_RACE"),
    race(Rule::C14, "HANDLER_RACES_END"),
    plant(Rule::C15, "WAIT_SAYS_SUCCESS"),
    plant(Rule::C15, "WAIT_WAITS_ANYWHERE"),
    plant(Rule::C15, "WAIT_IGNORES_THE_END"),
    plant(Rule::C15, "WAIT_LEAVES_REFERENCE"),
    plant(Rule::C15, "OWN_WAIT_HANGS"),
    plant(Rule::C15, "OWN_WAIT_TIMES_OUT"),
    plant(Rule::C15, "BODIES_NEVER_WAIT"),
    plant(Rule::C16, "ERROR_OF_PENDING_IS_SUCCESS"),
    plant(Rule::C16, "SIZE_ROUNDED"),
    plant(Rule::C17, "CLIENT_TAKES_PENDING_FOR_SUCCESS"),
    plant(Rule::C17, "CLIENT_BELIEVES_STATUSES"),
    plant(Rule::C17, "CLIENT_IGNORES_SIZES"),
    plant(Rule::C17, "CLIENT_FOLLOWS_NULL"),
    plant(Rule::C17, "CLIENT_LOSES_VALUE"),
    plant(Rule::C17, "CLIENT_PASSES_HRESULTS"),
    plant(Rule::C18, "CLOSE_ACCEPTS"),
    plant(Rule::C18, "CLOSE_CANCELS"),
    plant(Rule::C18, "DRAIN_RETURNS_EARLY"),
    plant(Rule::C18, "DRAIN_IN_BODY_RETURNS"),
    plant(Rule::C19, "OBJECT_KEPT"),
    plant(Rule::C19, "OBJECT_NOT_HELD"),
    plant(Rule::C20, "FAILURE_IS_CANCELED"),
    plant(Rule::C21, "NO_EXECUTOR_IS_UNSUCCESSFUL"),
];

/// The folder of the kit in the checkout that this program was built from.
fn kit() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compiles a library from a C file, as an implementer would, into this folder.
///
/// # Errors
/// There is no C compiler (`CC`, or `cc`), or it does not accept the file.
pub fn compile(source: &Path, defines: &[String], library: &Path) -> anyhow::Result<()> {
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(&compiler);
    command
        .args(["-std=c11", "-D_DEFAULT_SOURCE", "-shared", "-fPIC", "-fvisibility=hidden", "-O1", "-pthread"])
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(kit().join("../../runtime/include"))
        .arg("-I")
        .arg(kit().join("include"))
        .args(defines.iter().map(|define| format!("-D{define}")))
        .arg(source)
        .arg("-o")
        .arg(library);
    let output = command
        .output()
        .with_context(|| format!("cannot run the C compiler {}", compiler.to_string_lossy()))?;
    if !output.status.success() {
        bail!("{} is not accepted:\n{}", source.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// The C implementation without a breach, compiled into this folder.
///
/// # Errors
/// The errors of [`compile`].
pub fn correct(folder: &Path) -> anyhow::Result<PathBuf> {
    let library = folder.join("correct.so");
    compile(&kit().join("c/correct.c"), &[], &library)?;
    Ok(library)
}

/// The C implementation with this breach, compiled into this folder.
///
/// # Errors
/// The errors of [`compile`].
pub fn broken(folder: &Path, plant: &str) -> anyhow::Result<PathBuf> {
    let library = folder.join(format!("broken-{}.so", plant.to_ascii_lowercase()));
    compile(&kit().join("c/broken.c"), &[format!("PLANT={plant}")], &library)?;
    Ok(library)
}

/// Implementations in C that choose differently where the contract leaves a choice, and whether
/// they speak HRESULT.
pub const FOREIGN: &[(&str, bool)] = &[("WITHOUT_CONTROL", false), ("APART", false), ("HRESULTS", true)];

/// Compiles an implementation of `c/foreign.c`.
///
/// # Errors
/// The errors of [`compile`].
pub fn foreign(folder: &Path, which: &str) -> anyhow::Result<PathBuf> {
    let library = folder.join(format!("foreign-{}.so", which.to_ascii_lowercase()));
    compile(&kit().join("c/foreign.c"), &[format!("FOREIGN={which}")], &library)?;
    Ok(library)
}

/// The result of one of the implementations.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Outcome {
    library: String,
    /// The rule of the breach that must be found, or `None` if nothing may be found.
    expected: Option<Rule>,
    by_cases: usize,
    by_sequences: usize,
    as_expected: bool,
}

fn outcome(judgement: &Judgement, library: &str, expected: Option<Rule>) -> Outcome {
    let against = |by_sequence| {
        let found = judgement.found.iter().filter(|found| found.is_by_sequence() == by_sequence);
        found.filter(|found| expected.is_none_or(|rule| found.finding.rule == rule)).count()
    };
    let (by_cases, by_sequences) = (against(false), against(true));
    let as_expected = match expected {
        Some(_) => by_cases + by_sequences > 0,
        None => judgement.found.is_empty(),
    };
    Outcome { library: library.to_owned(), expected, by_cases, by_sequences, as_expected }
}

/// Judges all implementations that come with the kit.
///
/// # Errors
/// An implementation cannot be built or judged, or a file cannot be written.
pub fn judge_all(
    program: &Path,
    options: &Options,
    json: Option<&Path>,
    junit_file: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let folder = program.parent().context("this program is in no folder")?.join("ntcom-kit-libraries");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let judge = |library: &Path, options: &Options| Judge { program, library, options }.judge();
    let (mut outcomes, mut judgements, mut failed) = (Vec::new(), Vec::new(), BTreeSet::new());
    // Further sequences find in ours and in the plain one only what those of the corpus find. The
    // other implementations test the choices that the contract leaves.
    let few = Options { sequences: options.sequences.min(300), ..options.clone() };
    let mut good = vec![
        (program.with_file_name("libntcom_kit_ours.so"), options.clone()),
        (correct(&folder)?, options.clone()),
        (program.with_file_name("libntcom_kit_foreign.so"), few.clone()),
    ];
    for (which, hresults) in FOREIGN {
        good.push((foreign(&folder, which)?, Options { hresults: *hresults, ..few.clone() }));
    }
    for (library, options) in good {
        let judgement = judge(&library, &options)?;
        let report = Report::new(&judgement);
        note(report.summary());
        if report.has_findings() {
            say(report.text());
        }
        outcomes.push(outcome(&judgement, &judgement.name, None));
        judgements.push(judgement);
    }
    // The corpus is enough for a library with one breach, and hangs get short limits.
    let short =
        Options { sequences: 0, seconds: None, shorten: false, failing_sequences: 12, ..options.clone() };
    for judged in plants(program, &folder, &short)? {
        let (plant, judgement) = judged;
        failed.extend(
            judgement.found.iter().flat_map(|found| found.also_by.iter().chain([&found.by])).cloned(),
        );
        let outcome = outcome(&judgement, plant.name, Some(plant.rule));
        if !outcome.as_expected {
            say(Report::new(&judgement).text());
        }
        outcomes.push(outcome);
    }
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&outcomes)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = junit_file {
        fs::write(path, junit(&judgements)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(conclude(&outcomes, &idle(&failed)))
}

/// The number of attempts to find a breach that only threads see.
const ROUNDS_OF_RACES: u64 = 3;

/// Judges each broken library, several at a time.
fn plants(program: &Path, folder: &Path, options: &Options) -> anyhow::Result<Vec<(Plant, Judgement)>> {
    let next = AtomicUsize::new(0);
    let worker = || -> anyhow::Result<Vec<(usize, Judgement)>> {
        let mut judged = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(plant) = PLANTS.get(index) else { return Ok(judged) };
            let options = match plant.name {
                "CANCEL_SPINS" | "CANCEL_SLEEPS" => hanging(options, "cancel_is_a_request"),
                "OWN_WAIT_HANGS" => hanging(options, "a_body_waits_for_its_own_operation"),
                _ if plant.races => options.clone(),
                // A breach that one thread also sees needs no race and no particular schedule.
                _ => Options { races: false, schedules: 20, ..options.clone() },
            };
            let library = broken(folder, plant.name)?;
            let judge = |options: &Options| Judge { program, library: &library, options }.judge();
            let mut judgement = judge(&options)?;
            // A race may not happen in a run.
            for seed in 1..if plant.races { ROUNDS_OF_RACES } else { 1 } {
                if !judgement.fails(plant.rule) {
                    judgement = judge(&Options { seed: options.seed + seed, ..options.clone() })?;
                }
            }
            let found = if judgement.fails(plant.rule) { "found" } else { "NOT FOUND" };
            note(format_args!("{}: {found}", plant.name));
            judged.push((index, judgement));
        }
    };
    let count = thread::available_parallelism().map_or(1, usize::from);
    let mut judged = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            let part = worker.join().map_err(|_| anyhow::anyhow!("a thread that judges has panicked"))?;
            judged.extend(part?);
        }
        anyhow::Ok(())
    })?;
    judged.sort_by_key(|(index, _)| *index);
    Ok(judged.into_iter().map(|(index, judgement)| (PLANTS[index], judgement)).collect())
}

/// The cases that no planted breach has failed. Such a case may not be able to fail.
fn idle(failed: &BTreeSet<String>) -> Vec<&'static str> {
    let names = cases::all().into_iter().map(|case| case.name);
    names.filter(|name| !failed.contains(*name)).collect()
}

/// The options for a library that hangs. It hangs in each case that makes the call, so one case is
/// enough.
fn hanging(options: &Options, case: &str) -> Options {
    Options {
        only: vec![case.to_owned()],
        idle: core::time::Duration::from_secs(1),
        processor_seconds: 1,
        ..options.clone()
    }
}

fn conclude(outcomes: &[Outcome], idle: &[&str]) -> ExitCode {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["implementation", "breaks", "found by cases", "by sequences", "result"].map(Cell::new));
    for outcome in outcomes {
        table.add_row([
            outcome.library.clone(),
            outcome.expected.map_or_else(|| "nothing".to_owned(), |rule| rule.to_string()),
            outcome.by_cases.to_string(),
            outcome.by_sequences.to_string(),
            if outcome.as_expected { "ok" } else { "WRONG" }.to_owned(),
        ]);
    }
    say(format_args!("{table}\n"));
    let planted = outcomes.iter().filter(|outcome| outcome.expected.is_some());
    let found = planted.clone().filter(|outcome| outcome.as_expected).count();
    let good = outcomes.iter().filter(|outcome| outcome.expected.is_none() && outcome.as_expected).count();
    let (all_planted, all_good) = (planted.count(), outcomes.iter().filter(|o| o.expected.is_none()).count());
    if !idle.is_empty() {
        say(format_args!("cases that no planted breach has failed: {}\n", idle.join(", ")));
    }
    say(format_args!(
        "{good} of {all_good} good implementations pass, {found} of {all_planted} planted breaches are found\n"
    ));
    let whole = idle.is_empty() && outcomes.iter().all(|outcome| outcome.as_expected);
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
