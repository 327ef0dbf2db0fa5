//! The process in which the library under test is run: it says in a pipe what it begins and what came of it, a line of JSON
//! each. If the library ends it, the last line says what had begun.
//!
//! The pipe is what was its standard output, at another place: what the library prints goes where its errors go.

use core::mem::ManuallyDrop;
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};

use crate::{
    cases::{self, Seeds},
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
    /// What the rounds of threads come of.
    pub seeds: Seeds,
    /// HRESULTs are taken for the NTSTATUS values that they stand for.
    pub hresults: bool,
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

/// How a child ends whose pipe the library has closed.
pub const SILENCED: i32 = 113;

/// Where a child speaks.
struct Voice(ManuallyDrop<File>);

impl Voice {
    /// Takes the standard output, and leaves the library the standard error for one.
    fn take() -> std::io::Result<Self> {
        let pipe = rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), PLACE)?;
        rustix::stdio::dup2_stdout(std::io::stderr())?;
        // Never closed here: the library may have done so, and a place that is closed twice is the end of a process of Rust's.
        Ok(Self(ManuallyDrop::new(File::from(pipe))))
    }

    fn say(&self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let mut pipe: &File = &self.0;
        if pipe.write_all(&text).is_err() {
            // Nothing can be said any more but this; nothing of the library's is to run.
            // SAFETY: it may be called at any time.
            unsafe { libc::_exit(SILENCED) };
        }
        Ok(())
    }
}

/// The pipe's place: not one of those that a library counts on to be its own.
const PLACE: i32 = 200;
/// What a child's files may have of bytes.
const LONGEST_FILE: u64 = 256 << 20;

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
    // A library that prints without end fills no disk.
    let maximum = getrlimit(Resource::Fsize).maximum;
    let longest = maximum.map_or(LONGEST_FILE, |maximum| maximum.min(LONGEST_FILE));
    setrlimit(Resource::Fsize, Rlimit { current: Some(longest), maximum })?;
    // Whoever has started it may be stopped while the library hangs.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    world::with(|world| {
        world.hresults.set(order.hresults);
        world.trail.keep_in(&order.trail)
    })?;
    let voice = Voice::take()?;
    let library = match load(&order.library) {
        Ok(library) => library,
        Err(why) => return voice.say(&Line::Refused(why.to_string())),
    };
    voice.say(&Line::Loaded(library.name.clone()))?;
    let limit = order.processor_seconds;
    let whole = match &order.work {
        Work::Cases(names) => {
            let all = cases::all();
            let chosen = names.iter().filter_map(|name| all.iter().find(|case| case.name == name));
            each(
                &voice,
                chosen,
                limit,
                |case| case.name.to_owned(),
                |case| run_case(&library, case, order.seeds),
            )?
        }
        Work::Sequences { seed, corpus: folder, first, end } => {
            let corpus = folder.as_deref().map(corpus).transpose()?.unwrap_or_default();
            let source = Source { corpus, seed: *seed };
            let run = |number: u64| sequence(&library, &source.bytes(number));
            each(&voice, *first..*end, limit, |number| format!("sequence {number}"), run)?
        }
        Work::Bytes(bytes) => {
            each(&voice, [()], limit, |()| "sequence".to_owned(), |()| sequence(&library, bytes))?
        }
    };
    if whole {
        voice.say(&Line::Done)?;
    }
    Ok(())
}

fn sequence(library: &Loaded, bytes: &[u8]) -> Verdict {
    run_sequence(library, bytes)
}

/// Runs pieces of work up to the first that finds something: after that the library is in a state that nobody knows. False: there is more to do.
fn each<T: Clone>(
    voice: &Voice,
    work: impl IntoIterator<Item = T>,
    limit: u64,
    name: impl Fn(T) -> String,
    run: impl Fn(T) -> Verdict,
) -> anyhow::Result<bool> {
    for piece in work {
        world::with(|world| world.trail.clear());
        limit_processor_time(limit)?;
        voice.say(&Line::Begin(name(piece.clone())))?;
        let verdict = run(piece);
        let failed = matches!(verdict, Verdict::Failed { .. });
        let trail = if failed { world::with(|world| world.trail.lines()) } else { Vec::new() };
        voice.say(&Line::End { verdict, trail })?;
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
