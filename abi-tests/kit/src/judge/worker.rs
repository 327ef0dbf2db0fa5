//! Children, what they say, how they end, and the trail that they leave.

use core::time::Duration;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
};

use anyhow::Context;

use super::CHILD;
use crate::{
    child::{Line, Order},
    rule::Rule,
    run::Verdict,
};

/// So many lines of what a library prints as it dies are kept.
const SAID: usize = 8;

/// How a piece of work ended.
pub(super) enum Ended {
    /// By itself.
    Judged(Verdict, Vec<String>),
    /// The library ended the process, or it had to be ended.
    Died(String, Option<i32>),
}

/// Where children leave their trail, and what they print. Both are removed at the end.
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

    /// What was done, and, at its end, the beginning of what was said on the way out.
    pub(super) fn lines(&self) -> Vec<String> {
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let mut lines: Vec<String> = read(&self.path).lines().map(str::to_owned).collect();
        let said = read(&self.errors);
        let said = said.lines().filter(|line| !line.trim().is_empty()).take(SAID);
        lines.extend(said.map(|line| format!("  the library says: {line}")));
        lines
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.errors);
    }
}

/// A child and what it says.
pub(super) struct Worker {
    child: Child,
    lines: Receiver<Line>,
    wall: Duration,
}

impl Worker {
    pub(super) fn start(
        program: &Path,
        order: &Order,
        trail: &Trail,
        wall: Duration,
    ) -> anyhow::Result<Self> {
        let errors = fs::File::create(&trail.errors)
            .with_context(|| format!("cannot make {}", trail.errors.display()))?;
        let mut child = Command::new(program)
            .arg(CHILD)
            .arg(serde_json::to_string(order)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .env("RUST_BACKTRACE", "0")
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let out = child.stdout.take().context("a child without an output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                // What the library itself prints is none of ours.
                let Ok(line) = line else { break };
                if let Ok(line) = serde_json::from_str(&line)
                    && sender.send(line).is_err()
                {
                    break;
                }
            }
        });
        Ok(Self { child, lines, wall })
    }

    /// The next line; or how the child ended.
    pub(super) fn next(&mut self) -> anyhow::Result<Result<Line, (String, Option<i32>)>> {
        match self.lines.recv_timeout(self.wall) {
            Ok(line) => Ok(Ok(line)),
            Err(RecvTimeoutError::Timeout) => {
                self.child.kill()?;
                self.child.wait()?;
                let seconds = self.wall.as_secs();
                Ok(Err((format!("it hangs: it has not gone on for {seconds} s"), None)))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                Ok(Err((death(status), status.signal())))
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It has mostly ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SIGABRT: i32 = 6;
const SIGXCPU: i32 = 24;

/// How a process ended, in words.
fn death(status: ExitStatus) -> String {
    let names = [
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (SIGABRT, "SIGABRT, an abort"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
    ];
    match (status.signal(), status.code()) {
        (Some(SIGXCPU), _) => "it hangs: it has used up its processor time".to_owned(),
        (Some(signal), _) => {
            let name = names.iter().find(|(number, _)| *number == signal).map(|(_, name)| *name);
            match name {
                Some(name) => format!("it ended the process: {name}"),
                None => format!("it ended the process: signal {signal}"),
            }
        }
        (None, Some(code)) => format!("it ended the process: exit code {code}"),
        (None, None) => "it ended the process".to_owned(),
    }
}

/// Signals by which a process fails fast: abort, and the traps that compilers make of it.
pub(super) fn is_fail_fast(signal: Option<i32>) -> bool {
    matches!(signal, Some(SIGABRT | 4 | 5))
}

/// The rule of the last thing that was done: what a process died of.
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
