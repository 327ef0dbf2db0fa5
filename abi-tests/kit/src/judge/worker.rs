//! Children, with their lines, their ends, and their trails.

use core::time::Duration;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};

use super::{CHILD, Options, Unfit, idle::Idle, sanitizer};
use crate::{
    child::{Line, Order, SILENCED},
    rule::Rule,
    text::shown,
    verdict::Verdict,
};

/// The number of lines of the library's output that are kept, and below it the number of characters
/// of each.
const SAID: usize = 8;
const LINE: usize = 500;
/// The number of bytes of the library's output, and of a trail, that are read.
const READ: u64 = 1 << 22;
/// The time for which the kit waits for a child's next line before it checks that the child exists.
const LOOK: Duration = Duration::from_millis(100);

/// The end of a piece of work.
pub(super) enum Ended {
    /// The work ended by itself.
    Judged(Verdict, Vec<String>),
    /// The library ended the process, or it had to be ended.
    Died(String, Option<i32>),
}

impl Ended {
    /// Whether the work used up all its time.
    pub(super) fn is_hang(&self) -> bool {
        matches!(self, Self::Died(how, _) if how.starts_with(HANGS))
    }
}

/// The beginning of the message of a hang.
const HANGS: &str = "it hangs: ";

/// The files of a child's trail and output. Both are removed at the end.
pub(super) struct Trail {
    pub(super) path: PathBuf,
    errors: PathBuf,
}

impl Trail {
    pub(super) fn new() -> Self {
        let path = |what: &str| {
            let name = format!("ntcom-kit-{}-{:?}.{what}", std::process::id(), thread::current().id());
            std::env::temp_dir().join(name)
        };
        Self { path: path("trail"), errors: path("errors") }
    }

    /// The actions, followed by the beginning of the output.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = read(&self.path).lines().map(str::to_owned).collect();
        lines.extend(self.said());
        lines
    }

    /// The beginning of the library's output.
    pub(super) fn said(&self) -> Vec<String> {
        let said = read(&self.errors);
        let said =
            said.lines().filter(|line| !line.trim().is_empty() && !sanitizer::is_rule(line)).take(SAID);
        said.map(|line| format!("  the library says: {}", shown(line, LINE))).collect()
    }

    /// The report of a sanitizer, if there is one.
    fn report(&self) -> Option<String> {
        sanitizer::report(&read(&self.errors)).map(|line| shown(&line, LINE))
    }
}

/// The beginning of a file. A file that cannot be read is only missing in a report.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let _ = fs::File::open(path).and_then(|file| file.take(READ).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Drop for Trail {
    fn drop(&mut self) {
        // A file may never have been made.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.errors);
    }
}

/// A child with its lines.
pub(super) struct Worker<'a> {
    child: Child,
    lines: Receiver<Line>,
    trail: &'a Trail,
    idle: Idle,
    over: bool,
}

impl<'a> Worker<'a> {
    pub(super) fn start(
        program: &Path,
        order: &Order,
        trail: &'a Trail,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let make = |path: &Path| {
            fs::File::create(path).map_err(|why| Unfit(format!("cannot make {}: {why}", path.display())))
        };
        let errors = make(&trail.errors)?;
        make(&trail.path)?;
        let mut command = Command::new(program);
        if let Some(runtime) = &options.preload {
            command.env("LD_PRELOAD", runtime);
        }
        sanitizer::set_up(&mut command);
        let mut child = command
            .arg(CHILD)
            .arg(serde_json::to_string(order)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .env("RUST_BACKTRACE", "0")
            // The group has all processes that the library starts.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let out = child.stdout.take().context("a child without an output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                let Ok(line) = line else { break };
                if let Ok(line) = serde_json::from_str(&line)
                    && sender.send(line).is_err()
                {
                    break;
                }
            }
        });
        let idle = Idle::new(options.idle, options.processor_seconds);
        Ok(Self { child, lines, trail, idle, over: false })
    }

    /// The next line, or the end of the child.
    pub(super) fn next(&mut self) -> anyhow::Result<Result<Line, (String, Option<i32>)>> {
        self.idle.begin(self.child.id());
        // A process that the library has started may keep the pipe open, and the library may have
        // closed it. So the pipe does not tell whether the child has ended.
        let mut ended: Option<ExitStatus> = None;
        loop {
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => return Ok(Ok(line)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK / 50),
            }
            // No line has come since the child was seen to have ended.
            if let Some(status) = ended {
                let how = match self.trail.report().filter(|_| status.signal() != Some(SIGXCPU)) {
                    Some(report) => format!("it ended the process: {report}"),
                    None => death(status),
                };
                return Ok(Err((how, status.signal())));
            }
            ended = self.child.try_wait()?;
            if ended.is_some() {
                self.end_group();
            }
            if ended.is_none()
                && let Some(why) = self.idle.hangs(self.child.id())
            {
                return Ok(Err((format!("{HANGS}{why}"), None)));
            }
        }
    }
}

impl Worker<'_> {
    /// Ends the child with all processes that the library has started. It does so once, and before
    /// the child's end is collected, because another process may then get its number.
    fn end_group(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group.filter(|_| !core::mem::replace(&mut self.over, true)) {
            // Usually no process is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.end_group();
        let _ = self.child.wait();
    }
}

const SIGABRT: i32 = 6;
const SIGXCPU: i32 = 24;

/// Describes the end of a process.
fn death(status: ExitStatus) -> String {
    let names = [
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (SIGABRT, "SIGABRT, an abort"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (25, "SIGXFSZ, it has written too much"),
    ];
    match (status.signal(), status.code()) {
        (Some(SIGXCPU), _) => format!("{HANGS}it has used up its processor time"),
        (Some(signal), _) => {
            let name = names.iter().find(|(number, _)| *number == signal).map(|(_, name)| *name);
            match name {
                Some(name) => format!("it ended the process: {name}"),
                None => format!("it ended the process: signal {signal}"),
            }
        }
        (None, Some(SILENCED)) => "it has closed files that are not its own".to_owned(),
        (None, Some(code)) => format!("it ended the process: exit code {code}"),
        (None, None) => "it ended the process".to_owned(),
    }
}

/// Whether a process failed fast by this signal. The signals are abort, and the traps that
/// compilers make of it.
pub(super) fn is_fail_fast(signal: Option<i32>) -> bool {
    matches!(signal, Some(SIGABRT | 4 | 5))
}

/// The rule of the last action, which is the one that killed the process.
pub(super) fn rule_of_trail(trail: &[String]) -> Rule {
    let last = trail.iter().rev().find(|line| !line.starts_with(' ')).map_or("", String::as_str);
    let rules: &[(&str, Rule)] = &[
        ("QueryInterface", Rule::C1),
        ("AddRef", Rule::C3),
        ("Release", Rule::C3),
        ("get_status", Rule::C4),
        ("get_result_size", Rule::C16),
        ("get_result", Rule::C5),
        ("get_error", Rule::C16),
        ("cancel of", Rule::C10),
        ("cancel_all", Rule::C10),
        ("set_completed", Rule::C14),
        ("wait", Rule::C15),
        ("spawn", Rule::C11),
        ("advance", Rule::C8),
    ];
    rules.iter().find(|(begin, _)| last.starts_with(begin)).map_or(Rule::C9, |(_, rule)| *rule)
}
