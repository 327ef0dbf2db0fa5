//! A run of one target, which starts its processes side by side and watches them.
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{
    Sanitizer, corpus,
    libfuzzer::{self, Message},
    process::Process,
    stats::Stats,
    summary::Finding,
    work,
};
use crate::{command, project::Project, ui};

/// The interval between two looks at the processes.
const TICK: Duration = Duration::from_millis(50);
/// The time that a target may exceed its limit by. An input may take ten seconds, and its report
/// some more.
const OVERTIME: Duration = Duration::from_secs(30);

/// The settings that all targets' runs share.
pub(crate) struct Runner<'a> {
    /// The checkout.
    pub(crate) project: &'a Project,
    /// The sanitizer of the binaries.
    pub(crate) sanitizer: Sanitizer,
    /// The number of processes for each target.
    pub(crate) jobs: u32,
    /// The folder of the runs.
    pub(crate) work: PathBuf,
    /// The path of each target's binary.
    pub(crate) binaries: BTreeMap<String, PathBuf>,
    /// Says whether the run must end.
    pub(crate) interrupted: fn() -> bool,
}

/// The results of a run.
pub(crate) struct Run {
    /// The target's name.
    pub(crate) target: String,
    /// The duration of the run.
    pub(crate) seconds: f64,
    /// The executions of all processes.
    pub(crate) execs: u64,
    /// The best coverage of a process.
    pub(crate) coverage: u64,
    /// The number of files in the run's folder of inputs.
    pub(crate) corpus_files: u64,
    /// The target's own counts.
    pub(crate) stats: Option<Stats>,
    /// The findings, at most one for each process.
    pub(crate) findings: Vec<Finding>,
    /// The first failed write, if there was one. Inputs, logs and figures are then incomplete.
    pub(crate) unwritten: Option<String>,
}

impl Run {
    /// Whether the run has a finding, or may have lost one.
    pub(crate) fn has_failed(&self) -> bool {
        !self.findings.is_empty() || self.unwritten.is_some()
    }

    /// The executions in a second, of all processes together.
    pub(crate) fn execs_per_second(&self) -> f64 {
        self.execs as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

impl Runner<'_> {
    /// The command for a target's binary, with its environment, at the root of the checkout.
    pub(crate) fn command(&self, target: &str) -> anyhow::Result<Command> {
        let binary = self.binaries.get(target).with_context(|| format!("{target} is not built"))?;
        let mut command = command::at_root(self.project, binary);
        if self.sanitizer == Sanitizer::Address {
            // AddressSanitizer takes Rust's statics for violations of C++'s one-definition rule.
            // The user's options come last and win.
            let mut options = "detect_odr_violation=0".to_owned();
            if let Ok(more) = env::var("ASAN_OPTIONS") {
                options = format!("{options}:{more}");
            }
            command.env("ASAN_OPTIONS", options);
        }
        Ok(command)
    }

    fn start(&self, target: &str, time: Duration, index: u32) -> anyhow::Result<Process> {
        let folder = corpus::run_folder(&self.work, target);
        let mut command = self.command(target)?;
        // libFuzzer stops when more than this many whole seconds are over, which is one second
        // later than the limit.
        let limit = time.as_secs().saturating_sub(1).max(1);
        command
            .env(libfuzzer::FOLDERS_AS_THEY_ARE, "1")
            .arg(format!("-max_total_time={limit}"))
            .arg(libfuzzer::artifacts(self.project.relative(&folder)))
            .arg("-print_final_stats=1")
            .args(libfuzzer::STRATEGY)
            .args(libfuzzer::limits(target));
        if self.jobs > 1 {
            command.arg("-reload=1");
        }
        command.arg(self.project.relative(&corpus::inputs(&self.work, target)));
        Process::start(command, &folder, index)
    }

    /// Runs a target for this time, from the inputs in its folder.
    pub(crate) fn run(&self, target: &str, time: Duration) -> anyhow::Result<Run> {
        let folder = corpus::run_folder(&self.work, target);
        fs::create_dir_all(&folder)?;
        let live = ui::Live::new();
        let start = Instant::now();
        let mut processes = Vec::new();
        for index in 0..self.jobs {
            processes.push(self.start(target, time, index)?);
        }
        let mut window = Window::default();
        let mut shown = 0;
        loop {
            let mut running = 0;
            for process in &mut processes {
                running += u32::from(process.running()?);
            }
            // When one process has a finding the others stop too. A target is not restarted after a
            // finding.
            let ended_early = processes.iter().any(|process| process.failure().is_some());
            if (self.interrupted)() || ended_early {
                processes.iter_mut().for_each(Process::stop);
            } else if start.elapsed() > time + OVERTIME {
                processes.iter_mut().for_each(Process::give_up);
            }
            if running == 0 {
                break;
            }
            if start.elapsed().as_secs() > shown {
                shown = start.elapsed().as_secs();
                live.show(&window.line(target, shown, time.as_secs(), &processes));
            }
            thread::sleep(TICK);
        }
        let run = self.collect(target, &processes)?;
        live.finish(&format!(
            "{target}: {:.1} s, {} execs, {} exec/s",
            run.seconds,
            ui::count(run.execs),
            ui::rate(Some(run.execs_per_second()))
        ));
        Ok(run)
    }

    fn collect(&self, target: &str, processes: &[Process]) -> anyhow::Result<Run> {
        let progress: Vec<_> = processes.iter().map(Process::progress).collect();
        let findings = processes.iter().filter_map(|process| self.finding(target, process)).collect();
        let folder = corpus::run_folder(&self.work, target);
        let unwritten = processes.iter().find_map(Process::unwritten).or_else(|| work::unwritable(&folder));
        let name = |error| format!("{}: {error}", self.project.relative(&folder).display());
        Ok(Run {
            target: target.to_owned(),
            seconds: processes.iter().map(Process::seconds).fold(0.0, f64::max),
            execs: processes.iter().map(executions).sum(),
            coverage: progress.iter().map(|progress| progress.coverage).max().unwrap_or(0),
            corpus_files: corpus::size(&corpus::inputs(&self.work, target))?,
            stats: Stats::sum(processes.iter().map(Process::stats)),
            findings,
            unwritten: unwritten.map(name),
        })
    }

    /// The finding of a process. A process that failed without writing an input is a finding too,
    /// and its log is the file.
    fn finding(&self, target: &str, process: &Process) -> Option<Finding> {
        let message = process.message();
        // The file is missing if the input could not be written.
        let artifact = process.artifact().filter(|(file, _)| file.is_file());
        if let Some((file, seconds)) = artifact {
            let file = self.project.relative(&file).to_path_buf();
            let replay = replay_command(&file, target);
            let again = self.again(&file, target, message.as_ref());
            return Some(Finding::new(file, message, "no message", seconds, replay).again(again));
        }
        let status = process.failure()?;
        let log = self.project.relative(process.log()).to_path_buf();
        let how = if process.is_overdue() { "hung, and was stopped" } else { "ended" };
        let what = format!("{target} {how} with {status} and left no input; the file is its log");
        Some(Finding::new(log, message, &what, process.seconds(), String::new()))
    }

    /// The command that repeats a finding of a sanitizer or of libFuzzer, which a replay on stable
    /// lacks.
    fn again(&self, file: &Path, target: &str, message: Option<&Message>) -> Option<String> {
        let without = message.is_none_or(|message| !message.needs_the_target());
        let mut command = self.command(target).ok().filter(|_| !without)?;
        Some(command::shell(command.args(libfuzzer::limits(target)).arg(file)))
    }
}

/// The line that replays an input.
fn replay_command(file: &Path, target: &str) -> String {
    format!("cargo xtask replay {} --target {target}", command::quote(file.as_os_str()))
}

/// The executions of a process. libFuzzer reports rarely while it runs, so the target's own count
/// counts if it is higher.
fn executions(process: &Process) -> u64 {
    let counted = process.stats().map_or(0, |stats| stats.execs);
    process.progress().execs.max(counted)
}

/// The counts at their last change, and the rates since the change before.
#[derive(Default)]
struct Window {
    at: f64,
    stats: Stats,
    exec_rate: f64,
    step_rate: f64,
}

impl Window {
    /// A slow target updates its counts less often than they are read. The rates stay until it
    /// does.
    fn move_to(&mut self, at: f64, stats: Stats) {
        if stats.execs == self.stats.execs {
            return;
        }
        let seconds = (at - self.at).max(f64::MIN_POSITIVE);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        self.exec_rate = rate(stats.execs, self.stats.execs);
        self.step_rate = rate(stats.live_steps, self.stats.live_steps);
        self.at = at;
        self.stats = stats;
    }

    fn line(&mut self, target: &str, elapsed: u64, of: u64, processes: &[Process]) -> String {
        let progress: Vec<_> = processes.iter().map(Process::progress).collect();
        let (mut exec_rate, mut step_rate) = (progress.iter().map(|p| p.speed).sum::<u64>() as f64, None);
        // Without counts the rates are libFuzzer's last report, which may be old.
        if let Some(stats) = Stats::sum(processes.iter().map(Process::stats)) {
            self.move_to(processes.iter().map(Process::seconds).fold(0.0, f64::max), stats);
            (exec_rate, step_rate) = (self.exec_rate, Some(self.step_rate));
        }
        let coverage = progress.iter().map(|p| p.coverage).max().unwrap_or(0);
        let corpus = progress.iter().map(|p| p.corpus).max().unwrap_or(0);
        format!(
            "{target}: {elapsed}/{of} s, {} exec/s, {} live steps/s, coverage {coverage}, corpus {corpus}",
            ui::rate(Some(exec_rate).filter(|rate| *rate > 0.0)),
            ui::rate(step_rate)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Stats, Window};

    #[test]
    fn rates_are_those_between_two_counts() {
        let mut window = Window::default();
        let stats = |execs| Stats { execs, steps: 10 * execs, live_steps: 5 * execs };
        window.move_to(1.0, stats(100));
        assert_eq!((window.exec_rate, window.step_rate), (100.0, 500.0));
        window.move_to(2.0, stats(100));
        assert_eq!((window.exec_rate, window.step_rate), (100.0, 500.0));
        window.move_to(3.0, stats(140));
        assert_eq!((window.exec_rate, window.step_rate), (20.0, 100.0));
    }
}
