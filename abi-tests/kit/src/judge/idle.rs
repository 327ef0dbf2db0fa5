//! Decides whether a child still makes progress. A busy machine gives it little time, so the
//! criterion is its processor time and not the clock.

use core::time::Duration;
use std::time::Instant;

/// A child that uses less than this is asleep.
const NOTHING: Duration = Duration::from_millis(2);
/// The longest time that counts between two checks, because the whole machine may have been
/// stopped.
const LONGEST: Duration = Duration::from_millis(250);
/// The allowed delay of the kernel's own limit, in seconds, before a child counts as ignoring it.
const LATE: u64 = 10;

/// How long a child has used no processor time, and how much it has used.
pub(super) struct Idle {
    most: Duration,
    processor: Duration,
    asleep: Duration,
    looked: Instant,
    used: Duration,
    at_begin: Duration,
}

impl Idle {
    pub(super) fn new(most: Duration, processor_seconds: u64) -> Self {
        Self {
            most,
            processor: Duration::from_secs(processor_seconds + LATE),
            asleep: Duration::ZERO,
            looked: Instant::now(),
            used: Duration::ZERO,
            at_begin: Duration::ZERO,
        }
    }

    /// Begins the times of a piece of work.
    pub(super) fn begin(&mut self, child: u32) {
        self.used = processor_time(child).unwrap_or(self.used);
        self.at_begin = self.used;
        self.asleep = Duration::ZERO;
        self.looked = Instant::now();
    }

    /// Why the child counts as hanging, if it does.
    pub(super) fn hangs(&mut self, child: u32) -> Option<String> {
        // A child without a processor time has ended, or is about to.
        let used = processor_time(child)?;
        let step = self.looked.elapsed().min(LONGEST);
        self.looked = Instant::now();
        if used.saturating_sub(self.used) < NOTHING && !waits_for_a_processor(child) {
            self.asleep += step;
        } else {
            self.asleep = Duration::ZERO;
        }
        self.used = used;
        if self.asleep >= self.most {
            return Some(format!("it has used no processor time for {} s", self.most.as_secs()));
        }
        (used.saturating_sub(self.at_begin) >= self.processor)
            .then(|| "it has used up its processor time, and ignores the signal that says so".to_owned())
    }
}

/// Whether a thread of a process could go on if the machine were less busy.
fn waits_for_a_processor(child: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{child}/task")) else { return false };
    threads.flatten().any(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state is behind the name, which may contain anything.
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| matches!(rest.trim_start().chars().next(), Some('R' | 'D')))
    })
}

/// The processor time that a process has used.
fn processor_time(child: u32) -> Option<Duration> {
    let mut clock = 0;
    // SAFETY: `clock` is writable.
    let answer = unsafe { libc::clock_getcpuclockid(child.cast_signed(), &raw mut clock) };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    let read = answer == 0 && unsafe { libc::clock_gettime(clock, &raw mut time) } == 0;
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanoseconds = u32::try_from(time.tv_nsec).ok()?;
    read.then(|| Duration::new(seconds, nanoseconds))
}
