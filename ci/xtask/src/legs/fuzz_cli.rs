//! The leg `fuzz-cli` checks how commands react to bad input, odd names, and streams and disks that
//! fail.
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Command, ExitStatus},
};

use anyhow::Context as _;

use crate::{
    command::{at_root, shell, xtask},
    lock::Lock,
    problem::UNAVAILABLE,
    project::Project,
    test::{Context, Outcome},
};

/// The folder of the leg's files.
const FOLDER: &str = "target/fuzz-cli";

/// A use of a command, with its expected exit code and the texts that its output must have.
struct Use {
    command: Command,
    code: u8,
    names: Vec<String>,
}

/// Collects uses of this program's commands.
struct Uses<'a> {
    project: &'a Project,
    uses: Vec<Use>,
}

impl Uses<'_> {
    fn add(&mut self, command: Command, code: u8, names: &[&str]) {
        self.uses.push(Use { command, code, names: names.iter().copied().map(str::to_owned).collect() });
    }

    /// A bad use. The words of `line` are separated by spaces.
    fn bad(&mut self, line: &str, names: &[&str]) -> anyhow::Result<()> {
        let mut command = xtask(self.project)?;
        command.args(line.split(' '));
        self.add(command, 2, names);
        Ok(())
    }

    /// A line of bash. `$0` is this program, and `$1` and so on are the words.
    fn bash(&mut self, line: &str, words: &[&OsStr], code: u8, names: &[&str]) -> anyhow::Result<()> {
        let program = xtask(self.project)?;
        let mut command = at_root(self.project, "bash");
        command.env("CARGO_MANIFEST_DIR", self.project.path("ci/xtask"));
        command.args(["-c", line]).arg(program.get_program()).args(words);
        self.add(command, code, names);
        Ok(())
    }
}

/// Whether a use ended with its exit code and its texts, and without a panic.
fn right(status: ExitStatus, output: &str, code: u8, names: &[String]) -> bool {
    let named = names.iter().all(|name| output.contains(name.as_str()));
    status.code() == Some(code.into()) && named && !output.contains("panicked at")
}

pub(super) fn run(context: &Context<'_>) -> anyhow::Result<Outcome> {
    let project = context.project;
    let targets = project.fuzz_targets()?;
    let target = targets.first().context("there is no fuzz target")?;
    let folder = project.path(FOLDER);
    fs::create_dir_all(&folder)?;
    let mut uses = Uses { project, uses: Vec::new() };
    bad_input(&mut uses, &folder, target, &targets)?;
    // The folder is locked while another process asks for it.
    let _lock = Lock::take(&folder.join("busy"), "")?;
    let holder = format!("in use by process {}, cargo xtask test", std::process::id());
    uses.bad(&format!("fuzz --work {FOLDER}/busy"), &[&holder, "--work target/"])?;
    streams_and_names(&mut uses, &folder, target)?;
    full_disk(&mut uses, &folder, target)?;

    let mut uses = uses.uses;
    for Use { command, code, names } in &mut uses {
        let captured = context.capture(command)?;
        if !right(captured.status, &captured.output, *code, names) {
            return Ok(Outcome::Failed {
                note: format!(
                    "{}, expected exit code {code} and the texts {}",
                    captured.status,
                    names.join(", ")
                ),
                output: captured.output,
                repeat: shell(command),
            });
        }
    }
    Ok(Outcome::Passed(format!("{} uses end as expected", uses.len())))
}

fn bad_input(uses: &mut Uses<'_>, folder: &Path, target: &str, targets: &[String]) -> anyhow::Result<()> {
    let write =
        |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).context("cannot write an input");
    // One input is a cut-off one of the target, or a first byte. The other is unrelated.
    write("truncated", b"N")?;
    write("foreign", b"\x7fELF\x02\x01\x01\0\0\0\0\0")?;
    if let Some(mut shortened) = an_input(&uses.project.path("corpus").join(target))? {
        shortened.pop();
        write("truncated", &shortened)?;
    }
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    uses.bad("fuzz --target nope", &targets)?;
    uses.bad("fuzz --seconds 0", &["--seconds"])?;
    uses.bad("fuzz --seconds 99999999999", &["--seconds"])?;
    uses.bad("fuzz --jobs 0", &["--jobs"])?;
    uses.bad("fuzz --work corpus", &["--work corpus: ", "below target/"])?;
    uses.bad("replay target/fuzz-cli/foreign", &["foreign", "--target"])?;
    uses.bad("replay target/fuzz-cli/foreign --target nope", &[target])?;
    uses.bad("replay -", &["--target"])?;
    uses.bad("conformance target/fuzz-cli/missing.so", &["missing.so"])?;
    uses.bad("conformance --seconds 0", &["--seconds"])?;
    uses.bad("zoo ZZZ", &["ZZZ"])?;
    for name in ["truncated", "foreign", "missing"] {
        uses.bad(&format!("replay target/fuzz-cli/{name} --target {target}"), &[name])?;
    }
    let mut command = xtask(uses.project)?;
    command.env_remove("CARGO").env("PATH", "/nonexistent").arg("fuzz");
    uses.add(command, UNAVAILABLE, &["error: there is no cargo in PATH", "https://rustup.rs"]);
    Ok(())
}

fn streams_and_names(uses: &mut Uses<'_>, folder: &Path, target: &str) -> anyhow::Result<()> {
    let odd = |name: &str| folder.join(OsStr::from_bytes(&[name.as_bytes(), b"\xff"].concat()));
    let (input, pipe, work, summary) = (odd("input-"), folder.join("pipe"), odd("work-"), odd("summary-"));
    let bytes = an_input(&uses.project.path("corpus").join(target))?.context("there is no input")?;
    fs::write(&input, bytes).context("cannot write an input")?;
    drop(fs::remove_file(&pipe));
    drop(fs::remove_file(&summary));
    let target = OsStr::new(target);
    let words = [target, input.as_os_str(), pipe.as_os_str()];

    uses.bash(r#""$0" replay "$2" --target "$1""#, &words, 0, &["clean: "])?;
    uses.bash(r#""$0" replay - --target "$1" < "$2""#, &words, 0, &["clean: "])?;
    uses.bash(
        r#"mkfifo "$3" && { { exec > /dev/null 2>&1; cat "$2" > "$3"; } & } && "$0" replay "$3" --target "$1""#,
        &words,
        0,
        &["clean: "],
    )?;
    let unwritten = "error: the standard output cannot be written: No space left on device";
    uses.bash(r#""$0" replay "$2" --target "$1" > /dev/full"#, &words, 4, &[unwritten])?;
    uses.bash(r#""$0" test --list > /dev/full"#, &[], 4, &[unwritten])?;
    uses.bash(r#""$0" conformance --list > /dev/full"#, &[], 4, &[unwritten])?;
    uses.bash(r#""$0" fuzz --target nope 2> /dev/full"#, &[], 2, &[])?;
    // The reader of the pipe has ended before the command writes.
    uses.bash(r#"exec 3> >(true); wait $!; "$0" test --list >&3"#, &[], 4, &[])?;
    // The command finishes its work although it cannot print the table.
    uses.bash(
        r#""$0" fuzz --target "$1" --seconds 1 --work "$2" --summary "$3" > /dev/full
           code=$?; grep -q '"live_share": 0' "$3" && exit $code"#,
        &[target, work.as_os_str(), summary.as_os_str()],
        4,
        &[unwritten],
    )
}

/// A run in a folder of a quarter of a megabyte, where this process may mount one.
fn full_disk(uses: &mut Uses<'_>, folder: &Path, target: &str) -> anyhow::Result<()> {
    const MOUNT: &str = r#"mount -t tmpfs -o size=256k none "$2""#;
    let small = folder.join("small");
    fs::create_dir_all(&small)?;
    // Only the processes of this line see the mount, and it goes with them.
    let within = |line: &str| format!(r#"exec unshare --mount bash -c '{MOUNT} && {line}' "$0" "$1" "$2""#);
    let words = [OsStr::new(target), small.as_os_str()];
    let possible = Command::new("bash").args(["-c", &within("exit 0"), "bash"]).args(words).output();
    if possible.is_ok_and(|output| output.status.success()) {
        let line = within(r#"exec "$0" fuzz --target "$1" --seconds 2 --empty-corpus --work "$2""#);
        let incomplete =
            "No space left on device (os error 28): inputs, logs and figures of this run are incomplete";
        uses.bash(&line, &words, 1, &["no findings, but the run is incomplete", incomplete])?;
    }
    Ok(())
}

/// The bytes of the first file in a folder.
fn an_input(folder: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(None) };
    let paths = entries.map(|entry| Ok(entry?.path().into())).collect::<anyhow::Result<Vec<OsString>>>()?;
    let first = paths.iter().map(Path::new).filter(|path| path.is_file()).min();
    first.map(|path| fs::read(path).context("cannot read an input")).transpose()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

    use super::right;

    #[test]
    fn a_use_is_right_with_its_exit_code_and_its_words_and_without_a_panic() {
        let right = |code: i32, output| right(ExitStatus::from_raw(code << 8), output, 2, &["x".to_owned()]);
        assert!(right(2, "error: no such file: x"));
        assert!(!right(2, "error"));
        assert!(!right(1, "x"));
        assert!(!right(2, "thread 'main' panicked at x"));
    }
}
