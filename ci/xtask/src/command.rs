//! Starts child processes, captures their output, and shows their command lines.
use std::{
    env,
    ffi::OsStr,
    io::{self, BufRead, BufReader},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context;
use wait4::Wait4;

use crate::project::Project;

/// The cargo that runs this program, at the root of the checkout.
pub(crate) fn cargo(project: &Project) -> Command {
    at_root(project, env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program at the root of the checkout, without the variables that cargo set for xtask's own
/// package.
pub(crate) fn at_root(project: &Project, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(project.root());
    for (name, _) in env::vars_os() {
        let cargo_s = name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if cargo_s {
            command.env_remove(name);
        }
    }
    command
}

/// This program again, at the root of the checkout.
pub(crate) fn xtask(project: &Project) -> anyhow::Result<Command> {
    let program = env::current_exe().context("cannot find this program")?;
    // A leg may have linked the program anew while this process runs.
    let bytes = program.as_os_str().as_bytes();
    let program = OsStr::from_bytes(bytes.strip_suffix(b" (deleted)").unwrap_or(bytes));
    let mut command = at_root(project, program);
    command.env("CARGO_MANIFEST_DIR", project.path("ci/xtask"));
    Ok(command)
}

/// The result of a child process.
pub(crate) struct Captured {
    /// The exit status.
    pub(crate) status: ExitStatus,
    /// Everything that the child printed, both streams in their order.
    pub(crate) output: String,
    /// The processor time of the child and of the processes that it waited for.
    pub(crate) processor_time: Duration,
}

/// Runs a command to its end and keeps its output. `watch` gets every line as it comes.
pub(crate) fn capture(command: &mut Command, mut watch: impl FnMut(&str)) -> anyhow::Result<Captured> {
    let shown = shell(command);
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn();
    // The command still holds the writing ends, without which the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = child.with_context(|| format!("cannot run {shown}"))?;
    let mut output = String::new();
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader);
    while reader.read_until(b'\n', &mut line)? != 0 {
        let text = String::from_utf8_lossy(&line);
        watch(text.trim_end());
        output.push_str(&text);
        line.clear();
    }
    let ended = child.wait4()?;
    let processor_time = ended.rusage.utime + ended.rusage.stime;
    Ok(Captured { status: ended.status, output, processor_time })
}

/// The command as a shell line at the root of the checkout.
pub(crate) fn shell(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        let (Some(name), Some(value)) = (name.to_str(), value.and_then(OsStr::to_str)) else { continue };
        if !name.starts_with("CARGO_MANIFEST_") {
            words.push(format!("{name}={}", quote(value.as_ref())));
        }
    }
    let program = Path::new(command.get_program());
    match program.file_name().and_then(OsStr::to_str) {
        Some("cargo") => words.push("cargo".to_owned()),
        Some("xtask") => words.push("cargo xtask".to_owned()),
        _ => words.push(quote(program.as_os_str())),
    }
    let root = command.get_current_dir();
    words.extend(command.get_args().map(|argument| {
        let path = Path::new(argument);
        let path = root.and_then(|root| path.strip_prefix(root).ok()).unwrap_or(path);
        quote(path.as_os_str())
    }));
    words.join(" ")
}

/// One word of a shell line. A word that is not UTF-8 is written as bash's `$'…'`, which can name
/// every byte.
pub(crate) fn quote(word: &OsStr) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    match word.to_str() {
        Some(word) if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        Some(word) => format!("'{}'", word.replace('\'', r"'\''")),
        None => {
            let byte = |byte: &u8| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
                b' '..=b'~' => char::from(*byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            };
            format!("$'{}'", word.as_encoded_bytes().iter().map(byte).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, process::Command};

    use super::{capture, quote, shell};

    #[test]
    fn a_word_that_is_not_utf8_is_one_that_bash_reads_back() {
        let word = OsStr::from_bytes(b"a'\\ \xffb\n");
        assert_eq!(quote(word), r"$'a\'\\ \xffb\x0a'");
        let read = Command::new("bash").args(["-c", &format!("printf %s {}", quote(word))]).output().unwrap();
        assert_eq!(read.stdout, word.as_bytes());
    }

    #[test]
    fn a_command_is_shown_as_one_line_that_repeats_it() {
        let mut command = Command::new("/opt/rust/bin/cargo");
        command.current_dir("/p").env("RUSTFLAGS", "--cfg loom").args(["test", "/p/target/x", "it's"]);
        assert_eq!(shell(&command), r"RUSTFLAGS='--cfg loom' cargo test target/x 'it'\''s'");
    }

    #[test]
    fn both_streams_are_captured_in_order() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 7"]);
        let mut lines = 0;
        let captured = capture(&mut command, |_| lines += 1).unwrap();
        assert_eq!(captured.output, "one\ntwo\nthree\n");
        assert_eq!(captured.status.code(), Some(7));
        assert_eq!(lines, 3);
    }
}
