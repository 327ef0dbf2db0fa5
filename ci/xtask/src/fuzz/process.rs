//! Starts one libFuzzer process, reads its output, and stops it.
use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use super::{
    libfuzzer::{self, Message, Progress, Reader},
    stats::{self, Stats},
};

/// The time that a process has to stop after it was asked.
const GRACE: Duration = Duration::from_secs(5);

/// The state of reading the output.
#[derive(Default)]
struct Seen {
    reader: Reader,
    /// The time at which the input of the finding was written.
    found: Option<Instant>,
    /// The error that kept the log from being written.
    unwritten: Option<String>,
}

/// A libFuzzer process that runs or has ended.
pub(crate) struct Process {
    child: Child,
    start: Instant,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
    /// The folder of the run.
    folder: PathBuf,
    stats: PathBuf,
    log: PathBuf,
    ended: Option<(ExitStatus, Instant)>,
    asked_to_stop: Option<Instant>,
    overdue: bool,
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    // A reader that panicked has still read all lines before.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Starts a target. Its output goes to `<folder>/log-<index>.txt`, its counts to
    /// `<folder>/stats-<index>.json`.
    pub(crate) fn start(mut command: Command, folder: &Path, index: u32) -> anyhow::Result<Self> {
        let log = folder.join(format!("log-{index}.txt"));
        let stats = folder.join(format!("stats-{index}.json"));
        if stats.exists() {
            std::fs::remove_file(&stats)?;
        }
        let mut file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command
            .env(stats::VARIABLE, &stats)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().context("cannot run a target")?;
        let stderr = child.stderr.take().context("a target has no stderr")?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|length| length != 0) {
                // A full disk costs the log, but not the finding.
                let written = file.write_all(&line);
                let text = String::from_utf8_lossy(&line);
                let mut seen = lock(&shared);
                if let Err(error) = written {
                    seen.unwritten.get_or_insert(error.to_string());
                }
                seen.reader.line(text.trim_end());
                if seen.reader.artifact.is_some() && seen.found.is_none() {
                    seen.found = Some(Instant::now());
                }
                line.clear();
            }
        });
        let thread = Some(thread);
        let folder = folder.to_owned();
        let (ended, asked_to_stop) = (None, None);
        Ok(Self { child, start, seen, thread, folder, stats, log, ended, asked_to_stop, overdue: false })
    }

    /// Whether the process still runs. A process that was asked to stop and does not is killed.
    pub(crate) fn running(&mut self) -> anyhow::Result<bool> {
        if self.ended.is_some() {
            return Ok(false);
        }
        if self.asked_to_stop.is_some_and(|asked| asked.elapsed() > GRACE) {
            self.child.kill()?;
        }
        let Some(status) = self.child.try_wait()? else { return Ok(true) };
        self.ended = Some((status, Instant::now()));
        if let Some(thread) = self.thread.take() {
            // The pipe has ended with the process, so everything is read.
            let _ = thread.join();
        }
        Ok(false)
    }

    /// Asks the process to stop. libFuzzer then prints its statistics and ends.
    pub(crate) fn stop(&mut self) {
        if self.ended.is_none() && self.asked_to_stop.is_none() {
            self.asked_to_stop = Some(Instant::now());
            if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
                // The process may have ended meanwhile, and the signal then fails.
                let _ = kill_process(pid, Signal::INT);
            }
        }
    }

    /// Stops a process that should have stopped by itself. It hangs, and libFuzzer has not noticed.
    pub(crate) fn give_up(&mut self) {
        self.overdue |= self.ended.is_none() && self.asked_to_stop.is_none();
        self.stop();
    }

    /// Whether the process ran over its time and was stopped.
    pub(crate) fn is_overdue(&self) -> bool {
        self.overdue
    }

    /// The duration of the run.
    pub(crate) fn seconds(&self) -> f64 {
        let end = self.ended.map_or_else(Instant::now, |(_, end)| end);
        end.duration_since(self.start).as_secs_f64()
    }

    /// libFuzzer's last report of progress.
    pub(crate) fn progress(&self) -> Progress {
        lock(&self.seen).reader.progress
    }

    /// The target's own counts.
    pub(crate) fn stats(&self) -> Option<Stats> {
        Stats::read(&self.stats)
    }

    /// The file with all output.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// The input that the process wrote as it stopped, and the seconds until then.
    pub(crate) fn artifact(&self) -> Option<(PathBuf, f64)> {
        let seen = lock(&self.seen);
        let seconds = seen.found?.duration_since(self.start).as_secs_f64();
        Some((self.folder.join(seen.reader.artifact.as_ref()?), seconds))
    }

    /// The error that kept the log or the figures from being written.
    pub(crate) fn unwritten(&self) -> Option<String> {
        let seen = lock(&self.seen);
        seen.unwritten.clone().or_else(|| seen.reader.unwritten.clone())
    }

    /// The reason that the process gave for stopping.
    pub(crate) fn message(&self) -> Option<Message> {
        lock(&self.seen).reader.message().cloned()
    }

    /// The exit status of a process that neither ended well nor was asked to stop. A process that
    /// was given up has not ended well.
    pub(crate) fn failure(&self) -> Option<ExitStatus> {
        let (status, _) = self.ended?;
        let asked = self.asked_to_stop.is_some() || status.code() == Some(libfuzzer::INTERRUPTED);
        (self.overdue || !status.success() && !asked).then_some(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // The process may have ended by itself.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, process::Command};

    use super::Process;

    #[test]
    fn a_log_on_a_full_disk_is_noticed_and_so_are_figures() {
        let folder = std::env::temp_dir().join(format!("xtask-full-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        symlink("/dev/full", folder.join("log-0.txt")).unwrap();
        let unwritten = |line: &str, index| {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("echo '{line}' >&2")]);
            let mut process = Process::start(command, &folder, index).unwrap();
            while process.running().unwrap() {
                std::thread::yield_now();
            }
            process.unwritten()
        };
        assert!(unwritten("a line", 0).unwrap().contains("No space left"));
        assert_eq!(unwritten("a line", 1), None);
        assert_eq!(unwritten("UNWRITTEN figures: disk full", 1).unwrap(), "figures: disk full");
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// A process that never ends by itself, after `end` has ended it.
    fn endless(end: impl FnOnce(&mut Process)) -> Process {
        let folder = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("tail");
        command.args(["-f", "/dev/null"]);
        let mut process = Process::start(command, &folder, 0).unwrap();
        end(&mut process);
        while process.running().unwrap() {
            std::thread::yield_now();
        }
        process
    }

    #[test]
    fn a_process_that_is_given_up_has_failed_and_a_stopped_one_has_not() {
        assert!(endless(Process::stop).failure().is_none());
        let hangs = endless(Process::give_up);
        assert!(hangs.failure().is_some() && hangs.is_overdue());
        let stopped = endless(|process| {
            process.stop();
            process.give_up();
        });
        assert!(stopped.failure().is_none(), "it was on its way");
        std::fs::remove_dir_all(stopped.log().parent().unwrap()).unwrap();
    }
}
