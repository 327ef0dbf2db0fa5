//! The side channel to whoever watches a fuzz run: executions and steps, in a file, about once a second.

use core::cell::RefCell;
use std::{fs, path::PathBuf, time::Instant};

use crate::run::Report;

/// The environment variable with the file's path.
pub const VARIABLE: &str = "NTCOM_FUZZ_STATS";

/// How many executions go by between two looks at the clock.
const LOOK: u64 = 1024;

struct Stats {
    file: Option<PathBuf>,
    written: Instant,
    execs: u64,
    steps: u64,
    live_steps: u64,
}

impl Stats {
    fn new() -> Self {
        let file = std::env::var_os(VARIABLE).map(PathBuf::from);
        Self { file, written: Instant::now(), execs: 0, steps: 0, live_steps: 0 }
    }

    fn write(&self) {
        let Some(file) = &self.file else { return };
        let Self { execs, steps, live_steps, .. } = self;
        let text = format!("{{\"execs\":{execs},\"steps\":{steps},\"live_steps\":{live_steps}}}\n");
        // Whole or not at all: written beside it and renamed. Who watches does without a number that cannot be written.
        let beside = file.with_extension("new");
        if fs::write(&beside, text).is_ok() {
            let _renamed = fs::rename(&beside, file);
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

/// Writes the numbers now: before the process goes down.
pub fn flush() {
    STATS.with_borrow(Stats::write);
}
