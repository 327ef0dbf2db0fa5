//! libFuzzer's command line and output.
use std::{ffi::OsString, path::Path};

/// The options of libFuzzer's strategy.
///
/// Inputs have any length from the start, are equally likely, and are not shortened for its own
/// sake. Its defaults cost more time than they save where an execution takes a microsecond for each
/// step.
pub(crate) const STRATEGY: [&str; 3] = ["-len_control=0", "-entropic=0", "-reduce_inputs=0"];

/// The longest input in bytes, for targets that need another limit than [`MAX_LEN`].
const MAX_LENS: &[(&str, u32)] = &[];
/// The longest input in bytes.
const MAX_LEN: u32 = 512;

/// The environment variable that tells a target that its folders are prepared
/// (`fuzz/src/harness/committed.rs`).
pub(crate) const FOLDERS_AS_THEY_ARE: &str = "NTCOM_FUZZ_FOLDERS_AS_THEY_ARE";

/// libFuzzer's exit code after an interruption. A Ctrl-C of the terminal reaches libFuzzer
/// directly.
pub(crate) const INTERRUPTED: i32 = 72;

/// The flags of every use of a target, which limit an input's length, time and memory.
pub(crate) fn limits(target: &str) -> [String; 3] {
    let max_len = MAX_LENS.iter().find(|(name, _)| *name == target).map_or(MAX_LEN, |(_, max_len)| *max_len);
    [format!("-max_len={max_len}"), "-timeout=10".to_owned(), "-rss_limit_mb=2048".to_owned()]
}

/// The flag that sets the folder for findings.
pub(crate) fn artifacts(folder: &Path) -> OsString {
    let mut flag = OsString::from("-artifact_prefix=");
    flag.push(folder);
    flag.push("/");
    flag
}

/// libFuzzer's report of its progress.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Progress {
    /// The number of executions.
    pub(crate) execs: u64,
    /// The number of covered edges.
    pub(crate) coverage: u64,
    /// The number of inputs in memory.
    pub(crate) corpus: u64,
    /// The executions in a second, since the start.
    pub(crate) speed: u64,
}

/// The source of a message, with the most informative first. The smallest source is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Source {
    /// An oracle, which prints `FINDING <oracle>: <message>`.
    Oracle,
    /// A Rust panic.
    Panic,
    /// A sanitizer, which prints `ERROR:`.
    Sanitizer,
    /// libFuzzer, which prints `ERROR:`.
    LibFuzzer,
}

/// The reason that a target gave for stopping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    /// The name of the oracle, which is one of the fuzz crate's, `panic`, `AddressSanitizer`,
    /// `LeakSanitizer`, or `libFuzzer`.
    pub(crate) oracle: String,
    /// The oracle's message.
    pub(crate) text: String,
}

impl Message {
    /// Whether the oracle is a part of the target's program, such as a sanitizer, or libFuzzer with
    /// its limits of time and memory.
    pub(crate) fn needs_the_target(&self) -> bool {
        self.oracle.ends_with("Sanitizer") || self.oracle == "libFuzzer"
    }
}

/// Reads the output of a libFuzzer process, line by line.
#[derive(Default, Debug)]
pub(crate) struct Reader {
    /// The last report of progress.
    pub(crate) progress: Progress,
    /// The name of the input that the process wrote as it stopped.
    pub(crate) artifact: Option<String>,
    /// The error that kept the target from writing its figures.
    pub(crate) unwritten: Option<String>,
    message: Option<(Source, Message)>,
    panicked_at: Option<String>,
}

impl Reader {
    /// The reason that the process gave for stopping.
    pub(crate) fn message(&self) -> Option<&Message> {
        self.message.as_ref().map(|(_, message)| message)
    }

    /// Reads a line.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(place) = self.panicked_at.take() {
            self.say(Source::Panic, "panic", &format!("{line} ({place})"));
        }
        if let Some(progress) = pulse(line, self.progress) {
            self.progress = progress;
        } else if let Some(rest) = line.strip_prefix("stat::number_of_executed_units:") {
            self.progress.execs = rest.trim().parse().unwrap_or(self.progress.execs);
        } else if let Some(rest) = line.trim_start().strip_prefix("FINDING ") {
            let (oracle, text) = rest.split_once(':').unwrap_or(("oracle", rest));
            self.say(Source::Oracle, oracle.trim(), text.trim());
        } else if let Some(place) = panicked_at(line) {
            self.panicked_at = Some(place.to_owned());
        } else if let Some((oracle, text)) = error(line) {
            let source = if oracle == "libFuzzer" { Source::LibFuzzer } else { Source::Sanitizer };
            self.say(source, oracle, text);
        } else if let Some(error) = line.strip_prefix("UNWRITTEN ") {
            self.unwritten.get_or_insert_with(|| error.to_owned());
        } else if let Some(name) = written(line) {
            self.artifact = Some(name.to_owned());
        }
    }

    /// Keeps the first message of the most informative source.
    fn say(&mut self, source: Source, oracle: &str, text: &str) {
        if self.message.as_ref().is_none_or(|(kept, _)| source < *kept) {
            let message = Message { oracle: oracle.to_owned(), text: text.to_owned() };
            self.message = Some((source, message));
        }
    }
}

/// Reads a line such as `#1234 <event> cov: 12 ft: 33 corp: 4/55b ... exec/s: 999`.
fn pulse(line: &str, mut progress: Progress) -> Option<Progress> {
    let mut words = line.strip_prefix('#')?.split_whitespace();
    progress.execs = words.next()?.parse().ok()?;
    // The events are INITED, NEW, REDUCE, pulse, RELOAD and DONE.
    words.next()?;
    while let Some(word) = words.next() {
        match word {
            "cov:" => progress.coverage = words.next()?.parse().ok()?,
            "corp:" => progress.corpus = words.next()?.split('/').next()?.parse().ok()?,
            "exec/s:" => progress.speed = words.next()?.parse().ok()?,
            _ => {}
        }
    }
    Some(progress)
}

/// The place in a line such as `thread '<unnamed>' (12) panicked at src/lib.rs:1:2:`. The next line
/// has the message.
fn panicked_at(line: &str) -> Option<&str> {
    let (thread, place) = line.split_once(" panicked at ")?;
    thread.starts_with("thread '").then(|| place.trim_end_matches(':'))
}

/// The source and text of `==12==ERROR: AddressSanitizer: ...` or `==12== ERROR: libFuzzer: ...`.
fn error(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("==")?;
    let (_, rest) = rest.split_once("ERROR: ")?;
    rest.split_once(": ")
}

/// The file's name in `artifact_prefix='...'; Test unit written to <path>`. A slow unit is not a
/// finding.
fn written(line: &str) -> Option<&str> {
    let (_, path) = line.split_once("Test unit written to ")?;
    let name = path.rsplit('/').next()?;
    let kinds = ["crash-", "leak-", "timeout-", "oom-"];
    kinds.iter().any(|kind| name.starts_with(kind)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::{Progress, Reader, limits};

    fn read(text: &str) -> Reader {
        let mut reader = Reader::default();
        text.lines().for_each(|line| reader.line(line));
        reader
    }

    #[test]
    fn progress_is_that_of_the_last_pulse() {
        let reader = read(
            "INFO: Seed: 1\n\
             #2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 30Mb\n\
             #77\tNEW    cov: 12 ft: 33 corp: 4/55b lim: 4 exec/s: 0 rss: 31Mb L: 2/3 MS: 1 ChangeByte-\n\
             #4096\tpulse  cov: 12 ft: 33 corp: 5/56b lim: 8 exec/s: 2048 rss: 31Mb\n",
        );
        assert_eq!(reader.progress, Progress { execs: 4096, coverage: 12, corpus: 5, speed: 2048 });
        assert_eq!(reader.message(), None);
        assert_eq!(reader.artifact, None);
    }

    #[test]
    fn the_final_statistics_have_the_last_word_on_executions() {
        let reader =
            read("#64\tpulse cov: 1 ft: 1 corp: 1/1b exec/s: 9\nstat::number_of_executed_units: 97\n");
        assert_eq!(reader.progress, Progress { execs: 97, coverage: 1, corpus: 1, speed: 9 });
    }

    #[test]
    fn other_lines_that_begin_alike_are_no_progress() {
        assert_eq!(read("#0 0x55 in main lib.rs:1\n# note\n#\n#x y\n").progress, Progress::default());
        assert_eq!(read("    #1 0x55 in main\n#5\n").progress, Progress::default());
    }

    #[test]
    fn an_oracle_tells_more_than_a_panic_a_sanitizer_and_libfuzzer() {
        let crash = "==9== ERROR: libFuzzer: deadly signal\n\
                     artifact_prefix='target/fuzz/t/'; Test unit written to target/fuzz/t/crash-ab\nBase64: AA==\n";
        let reader = read(crash);
        let message = reader.message().unwrap();
        assert_eq!((message.oracle.as_str(), message.text.as_str()), ("libFuzzer", "deadly signal"));
        assert_eq!(reader.artifact.as_deref(), Some("crash-ab"));

        let panic = format!("thread '<unnamed>' (17) panicked at src/lib.rs:3:5:\nbyte 7\n{crash}");
        let reader = read(&panic);
        let message = reader.message().unwrap();
        assert_eq!((message.oracle.as_str(), message.text.as_str()), ("panic", "byte 7 (src/lib.rs:3:5)"));

        let reader = read(&format!("{panic}FINDING count: 2 references: too many\nFINDING count: later\n"));
        let message = reader.message().unwrap();
        assert_eq!((message.oracle.as_str(), message.text.as_str()), ("count", "2 references: too many"));
    }

    #[test]
    fn a_sanitizer_names_itself() {
        let reader = read("==9==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\nSUMMARY: x\n");
        assert_eq!(reader.message().unwrap().oracle, "AddressSanitizer");
        let reader = read("==9==ERROR: LeakSanitizer: detected memory leaks\n");
        assert_eq!(reader.message().unwrap().text, "detected memory leaks");
    }

    #[test]
    fn what_a_replay_cannot_see_is_told_from_what_it_can() {
        let needs = |text: &str| read(text).message().unwrap().needs_the_target();
        assert!(needs("==9==ERROR: LeakSanitizer: detected memory leaks\n"));
        assert!(needs("==9== ERROR: libFuzzer: timeout after 10 seconds\n"));
        assert!(!needs("==9==ERROR: AddressSanitizer: ABRT on unknown address\nFINDING C8: it is polled\n"));
    }

    #[test]
    fn a_slow_unit_is_no_finding() {
        assert_eq!(read("artifact_prefix='x/'; Test unit written to x/slow-unit-ab\n").artifact, None);
        for kind in ["crash", "leak", "timeout", "oom"] {
            assert!(read(&format!("Test unit written to x/{kind}-ab\n")).artifact.is_some(), "{kind}");
        }
    }

    #[test]
    fn every_target_has_limits() {
        assert_eq!(limits("vtable"), ["-max_len=512", "-timeout=10", "-rss_limit_mb=2048"]);
    }
}
