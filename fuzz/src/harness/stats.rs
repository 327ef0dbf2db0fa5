//! Statistics of a fuzz run for a watcher. They are executions and steps, written to a file about
//! once a second.

use core::cell::{Cell, RefCell};
use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    time::Instant,
};

use super::run::Report;

/// The environment variable with the file's path.
pub const VARIABLE: &str = "NTCOM_FUZZ_STATS";

/// The number of executions between two looks at the clock.
const LOOK: u64 = 1024;

struct Stats {
    file: Option<PathBuf>,
    written: Instant,
    execs: u64,
    steps: u64,
    live_steps: u64,
    /// Whether an error of the file has been reported.
    told: Cell<bool>,
}

impl Stats {
    fn new() -> Self {
        let file = std::env::var_os(VARIABLE).map(PathBuf::from);
        Self { file, written: Instant::now(), execs: 0, steps: 0, live_steps: 0, told: Cell::new(false) }
    }

    fn write(&self) {
        let Some(file) = &self.file else { return };
        let Self { execs, steps, live_steps, .. } = self;
        let text = format!("{{\"execs\":{execs},\"steps\":{steps},\"live_steps\":{live_steps}}}\n");
        // The file is written beside and renamed, so that a reader sees it whole. The watcher finds
        // an error in the log, and shows older numbers.
        let beside = file.with_extension("new");
        if let Err(error) = fs::write(&beside, text).and_then(|()| fs::rename(&beside, file))
            && !self.told.replace(true)
        {
            drop(writeln!(io::stderr(), "UNWRITTEN {}: {error}", file.display()));
        }
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        self.write();
    }
}

thread_local! {
    static STATS: RefCell<Stats> = RefCell::new(Stats::new());
}

/// Counts a run.
pub fn count(report: &Report) {
    STATS.with_borrow_mut(|stats| {
        stats.execs += 1;
        stats.steps += report.steps;
        stats.live_steps += report.live;
        if stats.execs.is_multiple_of(LOOK) && stats.written.elapsed().as_millis() >= 900 {
            stats.write();
            stats.written = Instant::now();
        }
    });
}

/// Writes the numbers now, before the process ends.
pub fn flush() {
    STATS.with_borrow(Stats::write);
}
