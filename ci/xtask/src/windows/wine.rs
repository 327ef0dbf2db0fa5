//! Wine, without a display, in a prefix of its own, and with a time limit.
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::FOLDER;
use crate::{command, debian, project::Project, ui};

/// The Debian package of Wine.
const PACKAGE: &str = "wine64";
/// The command that installs Wine.
pub(super) const BY_HAND: &str = "cargo xtask windows --install";
/// The folders of Wine's programs. Debian's package puts none into PATH.
const FOLDERS: [&str; 3] = ["", "/usr/lib/wine", "/usr/lib/wine64"];
/// The time limit for making the prefix, which takes seconds.
const SET_UP_LIMIT: Duration = Duration::from_secs(180);
/// The time limit for a program, which takes less than a second.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// Wine's programs and version.
pub(super) struct Wine {
    program: PathBuf,
    server: PathBuf,
    version: String,
}

/// The end of a program.
pub(super) struct Ended {
    /// The exit status, or `None` if the program did not end and was killed.
    pub(super) status: Option<ExitStatus>,
    /// The whole output.
    pub(super) output: String,
    /// The command that repeats the run.
    pub(super) repeat: String,
}

/// Installs Wine, unless it is installed.
pub(super) fn install(project: &Project) -> anyhow::Result<()> {
    if Wine::find().is_none() { debian::install(project, &[PACKAGE]) } else { Ok(()) }
}

impl Wine {
    /// Finds an installed Wine.
    pub(super) fn find() -> Option<Self> {
        let version = |path: &Path| {
            let output = Command::new(path).arg("--version").output().ok()?;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            output.status.success().then(|| said.split_whitespace().next().unwrap_or_default().to_owned())
        };
        let (program, version) = ["wine64", "wine"]
            .into_iter()
            .flat_map(|name| FOLDERS.map(|folder| Path::new(folder).join(name)))
            .find_map(|path| version(&path).map(|version| (path, version)))?;
        let servers = FOLDERS.map(|folder| Path::new(folder).join("wineserver"));
        // Wine prints its version to the standard error.
        let works = |path: &PathBuf| Command::new(path).arg("--version").output().is_ok();
        Some(Self { program, server: servers.into_iter().find(works)?, version })
    }

    /// The version, such as `wine-8.0`.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Makes a prefix, or takes the one of an earlier run.
    ///
    /// # Errors
    /// Wine fails, or does not end.
    pub(super) fn begin<'a>(&'a self, project: &'a Project) -> anyhow::Result<Session<'a>> {
        let prefix = project.path(FOLDER).join("wine");
        let session = Session { wine: self, project, prefix };
        // The last step of the set-up writes this file, so a prefix without it is unfinished.
        let ready = session.prefix.join("ready");
        if !ready.exists() {
            if session.prefix.exists() {
                fs::remove_dir_all(&session.prefix).context("cannot remove an unfinished Wine prefix")?;
            }
            fs::create_dir_all(&session.prefix)?;
            let live = ui::Live::new();
            live.show(&format!("setting up {} ...", self.version));
            let mut boot = session.command();
            boot.args(["wineboot", "--init"]);
            let ended = bounded(&mut boot, &session.log("wineboot"), SET_UP_LIMIT)?;
            let well = ended.status.is_some_and(|status| status.success());
            live.finish(&format!("setting up {}: {}", self.version, if well { "done" } else { "failed" }));
            if !well {
                bail!(
                    "Wine cannot be set up ({}):\n{}\nto repeat: {}",
                    how(ended.status),
                    ended.output,
                    ended.repeat
                );
            }
            fs::write(ready, &self.version)?;
        }
        Ok(session)
    }
}

/// A use of Wine. When it is dropped Wine's processes end, and only files are left.
pub(super) struct Session<'a> {
    wine: &'a Wine,
    project: &'a Project,
    prefix: PathBuf,
}

impl Session<'_> {
    fn log(&self, name: &str) -> PathBuf {
        self.project.path(FOLDER).join(format!("{name}.log"))
    }

    /// A command of Wine's, without a display, menus, Mono and Gecko, which Wine would ask for.
    fn command(&self) -> Command {
        let mut command = command::at_root(self.project, &self.wine.program);
        self.settle(&mut command);
        command
    }

    fn settle(&self, command: &mut Command) {
        command.env("WINEPREFIX", &self.prefix).env("WINEARCH", "win64");
        // Messages about crashes are wanted, which begin on the stack of a simulated thread.
        command.env("WINEDEBUG", "-all,err+seh,err+virtual");
        command.env("WINEDLLOVERRIDES", "mscoree,mshtml,winemenubuilder.exe=");
        // With the user's HOME the prefix would have links to the user's folders.
        command.env("HOME", &self.prefix);
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    }

    /// Runs a program.
    ///
    /// # Errors
    /// Wine cannot be started. A failure of the program is in the answer.
    pub(super) fn run(&self, program: &Path) -> anyhow::Result<Ended> {
        let name = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut run = self.command();
        run.arg(program);
        bounded(&mut run, &self.log(&name), RUN_LIMIT)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let mut end = command::at_root(self.project, &self.wine.server);
        self.settle(&mut end);
        // `wineserver -k` fails where no process runs any more, which is fine.
        let _ = end.arg("-k").stdin(Stdio::null()).output();
    }
}

/// A sentence about the end of a program.
pub(super) fn how(status: Option<ExitStatus>) -> String {
    let Some(status) = status else { return "it did not end, and was killed".to_owned() };
    // Linux keeps the lowest byte of an exception's code, such as 5 for STATUS_ACCESS_VIOLATION,
    // 0xC0000005.
    let exception = status.code().is_some_and(|code| code > 1);
    if exception { format!("{status}, the lowest byte of an exception's code") } else { status.to_string() }
}

/// Runs a command with a time limit. Its output goes to a file, because processes that Wine leaves
/// behind would keep a pipe open.
fn bounded(command: &mut Command, log: &Path, limit: Duration) -> anyhow::Result<Ended> {
    let repeat = command::shell(command);
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().with_context(|| format!("cannot run {repeat}"))?;
    let id = Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let status = child.wait();
        // After the time limit the receiver is gone.
        let _ = sender.send(());
        status
    });
    let in_time = receiver.recv_timeout(limit).is_ok();
    if !in_time {
        // The process may have ended just now, and the signal then fails.
        let _ = kill_process(id, Signal::KILL);
    }
    let status = waiter.join().ok().context("the thread that waits for a program has panicked")??;
    let output = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    Ok(Ended { status: in_time.then_some(status), output, repeat })
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command, time::Duration};

    use super::{bounded, how};

    #[test]
    fn what_does_not_end_is_killed_and_what_ends_is_not() {
        let log = env::temp_dir().join(format!("ntcom-xtask-bounded-{}", std::process::id()));
        let mut endless = Command::new("tail");
        let ended = bounded(endless.args(["-f", "/dev/null"]), &log, Duration::ZERO).unwrap();
        assert!(ended.status.is_none() && how(ended.status).contains("killed"));

        let mut short = Command::new("sh");
        let ended =
            bounded(short.args(["-c", "echo out; echo err >&2; exit 3"]), &log, Duration::MAX).unwrap();
        assert_eq!(ended.status.unwrap().code(), Some(3));
        assert_eq!(ended.output, "out\nerr\n");
        std::fs::remove_file(log).unwrap();
    }
}
