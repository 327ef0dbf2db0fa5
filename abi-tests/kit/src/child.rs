//! The process in which the library under test is run: it says on its standard output what it begins and what came of it, a line of JSON
//! each. If the library ends it, the last line says what had begun.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::{
    cases,
    load::{Loaded, load},
    run::{Verdict, run_case},
    sequence::{Source, run_sequence},
    world,
};

/// What is run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Work {
    /// Cases, by name.
    Cases(Vec<String>),
    /// Sequences, by number.
    Sequences {
        /// What the generator starts from.
        seed: u64,
        /// The folder of the corpus.
        corpus: Option<PathBuf>,
        /// The first.
        first: u64,
        /// One after the last.
        end: u64,
    },
    /// One sequence, by its bytes.
    Bytes(Vec<u8>),
}

/// What a child is told, in JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The library.
    pub library: PathBuf,
    /// Where the trail is kept.
    pub trail: PathBuf,
    /// Processor time for each piece of work, in seconds.
    pub processor_seconds: u64,
    /// What schedules of threads come of.
    pub seed: u64,
    /// What is run.
    pub work: Work,
}

/// What a child says, a line each.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Line {
    /// The library is loaded, and calls itself so.
    Loaded(String),
    /// It cannot be judged, because.
    Refused(String),
    /// This has begun.
    Begin(String),
    /// And has ended.
    End {
        /// What is said of it.
        verdict: Verdict,
        /// What was done, if something was found.
        trail: Vec<String>,
    },
    /// Everything has been done.
    Done,
}

fn say(line: &Line) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// The inputs in a folder, in the order of their names.
///
/// # Errors
/// It cannot be read.
pub fn corpus(folder: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let mut inputs = Vec::new();
    for path in paths {
        inputs.push(std::fs::read(path)?);
    }
    Ok(inputs)
}

/// Does what it is told to.
///
/// # Errors
/// Its output cannot be written, or the trail's file not be made.
pub fn run(order: &Order) -> anyhow::Result<()> {
    // A library that ends this process is a finding, not a case for a debugger.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum })?;
    world::with(|world| world.trail.keep_in(&order.trail))?;
    let library = match load(&order.library) {
        Ok(library) => library,
        Err(why) => return say(&Line::Refused(why.to_string())),
    };
    say(&Line::Loaded(library.name.clone()))?;
    let limit = order.processor_seconds;
    let whole = match &order.work {
        Work::Cases(names) => {
            let all = cases::all();
            let chosen = names.iter().filter_map(|name| all.iter().find(|case| case.name == name));
            each(chosen, limit, |case| case.name.to_owned(), |case| run_case(&library, case, order.seed))?
        }
        Work::Sequences { seed, corpus: folder, first, end } => {
            let corpus = folder.as_deref().map(corpus).transpose()?.unwrap_or_default();
            let source = Source { corpus, seed: *seed };
            let run = |number: u64| sequence(&library, &source.bytes(number));
            each(*first..*end, limit, |number| format!("sequence {number}"), run)?
        }
        Work::Bytes(bytes) => each([()], limit, |()| "sequence".to_owned(), |()| sequence(&library, bytes))?,
    };
    if whole {
        say(&Line::Done)?;
    }
    Ok(())
}

fn sequence(library: &Loaded, bytes: &[u8]) -> Verdict {
    run_sequence(library, bytes)
}

/// Runs pieces of work up to the first that finds something: after that the library is in a state that nobody knows. False: there is more to do.
fn each<T: Clone>(
    work: impl IntoIterator<Item = T>,
    limit: u64,
    name: impl Fn(T) -> String,
    run: impl Fn(T) -> Verdict,
) -> anyhow::Result<bool> {
    for piece in work {
        world::with(|world| world.trail.clear());
        limit_processor_time(limit)?;
        say(&Line::Begin(name(piece.clone())))?;
        let verdict = run(piece);
        let failed = matches!(verdict, Verdict::Failed(_));
        let trail = if failed { world::with(|world| world.trail.lines()) } else { Vec::new() };
        say(&Line::End { verdict, trail })?;
        if failed {
            return Ok(false);
        }
    }
    Ok(true)
}

/// From now on so many seconds of processor time, and then SIGXCPU: a library that spins is stopped however slow the machine is.
fn limit_processor_time(seconds: u64) -> anyhow::Result<()> {
    // By libc, because valgrind, which a library may well be run under, does not show rustix where the vDSO is.
    let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the time.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut used) };
    anyhow::ensure!(answer == 0, "there is no clock of the process's time");
    let used = u64::try_from(used.tv_sec)?;
    let maximum = getrlimit(Resource::Cpu).maximum;
    setrlimit(Resource::Cpu, Rlimit { current: Some(used + 1 + seconds), maximum })?;
    Ok(())
}
