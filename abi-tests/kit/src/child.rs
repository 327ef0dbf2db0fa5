//! The process in which the library under test runs.
//!
//! It writes to a pipe the beginning and the result of each piece of work, as a line of JSON each.
//! If the library ends the process, the last line tells the piece that had begun.
//!
//! The pipe is the process's original standard output, moved to another descriptor. The library's
//! output goes to the standard error.

use core::mem::ManuallyDrop;
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};

use crate::{
    cases,
    load::{Loaded, load},
    rounds::Seeds,
    run::run_case,
    sequence::{Source, run_sequence},
    verdict::Verdict,
    world,
};

/// The work of a child.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Work {
    /// Cases, by name.
    Cases(Vec<String>),
    /// Sequences, by number.
    Sequences {
        /// The generator's seed.
        seed: u64,
        /// The folder of the corpus.
        corpus: Option<PathBuf>,
        /// The first sequence.
        first: u64,
        /// One after the last sequence.
        end: u64,
    },
    /// One sequence, by its bytes.
    Bytes(Vec<u8>),
}

/// The order for a child, in JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The library.
    pub library: PathBuf,
    /// The file of the trail.
    pub trail: PathBuf,
    /// The limit of processor time for each piece of work, in seconds.
    pub processor_seconds: u64,
    /// The seeds of the rounds of threads.
    pub seeds: Seeds,
    /// Whether HRESULTs are mapped to the NTSTATUS values for which they stand.
    pub hresults: bool,
    /// The work to do.
    pub work: Work,
}

/// A line that a child writes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Line {
    /// The library is loaded, and has this name.
    Loaded(String),
    /// The library cannot be judged, for this reason.
    Refused(String),
    /// This piece of work has begun.
    Begin(String),
    /// The piece of work has ended.
    End {
        /// The verdict on it.
        verdict: Verdict,
        /// The actions, if something was found.
        trail: Vec<String>,
    },
    /// All work has been done.
    Done,
}

/// The exit code of a child after the library has closed its pipe.
pub const SILENCED: i32 = 113;

/// The pipe on which a child writes.
struct ParentPipe(ManuallyDrop<File>);

impl ParentPipe {
    /// Takes the standard output, and gives the library the standard error in its place.
    fn take() -> std::io::Result<Self> {
        let pipe = rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), PLACE)?;
        rustix::stdio::dup2_stdout(std::io::stderr())?;
        // The file is never closed here, because the library may have closed it. Rust aborts a
        // process that closes a descriptor twice.
        Ok(Self(ManuallyDrop::new(File::from(pipe))))
    }

    fn say(&self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let mut pipe: &File = &self.0;
        if pipe.write_all(&text).is_err() {
            // No other line can be written, and none of the library's code may run.
            //
            // SAFETY: `_exit` may be called at any time.
            unsafe { libc::_exit(SILENCED) };
        }
        Ok(())
    }
}

/// The pipe's descriptor. It is not one that a library expects to be its own.
const PLACE: i32 = 200;
/// The largest size of a file that a child writes, in bytes.
const LONGEST_FILE: u64 = 256 << 20;

/// The inputs in a folder, in the order of their names.
///
/// # Errors
/// The folder or a file cannot be read.
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

/// Does an order.
///
/// # Errors
/// The child cannot write its output, or cannot make the trail's file.
pub fn run(order: &Order) -> anyhow::Result<()> {
    // A library that ends this process is a finding, and needs no core file.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum })?;
    // A library that prints without end must not fill the disk.
    let maximum = getrlimit(Resource::Fsize).maximum;
    let longest = maximum.map_or(LONGEST_FILE, |maximum| maximum.min(LONGEST_FILE));
    setrlimit(Resource::Fsize, Rlimit { current: Some(longest), maximum })?;
    // The parent may be stopped while the library hangs.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    world::with(|world| {
        world.hresults.set(order.hresults);
        world.trail.keep_in(&order.trail)
    })?;
    let pipe = ParentPipe::take()?;
    let library = match load(&order.library) {
        Ok(library) => library,
        Err(why) => return pipe.say(&Line::Refused(why.to_string())),
    };
    pipe.say(&Line::Loaded(library.name.clone()))?;
    let limit = order.processor_seconds;
    let whole = match &order.work {
        Work::Cases(names) => {
            let all = cases::all();
            let chosen = names.iter().filter_map(|name| all.iter().find(|case| case.name == name));
            each(
                &pipe,
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
            each(&pipe, *first..*end, limit, |number| format!("sequence {number}"), run)?
        }
        Work::Bytes(bytes) => {
            each(&pipe, [()], limit, |()| "sequence".to_owned(), |()| sequence(&library, bytes))?
        }
    };
    if whole {
        pipe.say(&Line::Done)?;
    }
    Ok(())
}

fn sequence(library: &Loaded, bytes: &[u8]) -> Verdict {
    run_sequence(library, bytes)
}

/// Runs pieces of work until one finds something, because the library's state is unknown after
/// that. Returns false if there is more to do.
fn each<T: Clone>(
    pipe: &ParentPipe,
    work: impl IntoIterator<Item = T>,
    limit: u64,
    name: impl Fn(T) -> String,
    run: impl Fn(T) -> Verdict,
) -> anyhow::Result<bool> {
    for piece in work {
        world::with(|world| world.trail.clear());
        limit_processor_time(limit)?;
        pipe.say(&Line::Begin(name(piece.clone())))?;
        let verdict = run(piece);
        let failed = matches!(verdict, Verdict::Failed { .. });
        let trail = if failed { world::with(|world| world.trail.lines()) } else { Vec::new() };
        pipe.say(&Line::End { verdict, trail })?;
        if failed {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Limits the processor time from now on to this number of seconds, after which SIGXCPU comes. A
/// library that spins is stopped, however slow the machine is.
fn limit_processor_time(seconds: u64) -> anyhow::Result<()> {
    // This calls libc, because valgrind does not show rustix where the vDSO is. A library may be
    // run under valgrind.
    let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `used` is writable.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut used) };
    anyhow::ensure!(answer == 0, "there is no clock of the process's time");
    let used = u64::try_from(used.tv_sec)?;
    let maximum = getrlimit(Resource::Cpu).maximum;
    setrlimit(Resource::Cpu, Rlimit { current: Some(used + 1 + seconds), maximum })?;
    Ok(())
}
