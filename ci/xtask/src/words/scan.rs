//! Reads one file and counts its habits.

/// The most columns of a comment line or a Markdown line.
const COLUMNS: usize = 100;
/// The most lines of a source file.
const LINES: usize = 500;
/// The words that stand where a sentence should name its actor.
const ACTORS: [&str; 7] = ["who", "whose", "whom", "whoever", "nobody", "somebody", "someone"];
/// The headings of a comment with a colon that does not count.
const HEADINGS: [&str; 3] = ["SAFETY:", "IRQL:", "NOTE:"];
/// The ends of a message that says what an object is not.
const NONE: [&str; 3] =
    [concat!(", and ", "is none"), concat!(", and ", "are none"), concat!(", and ", "has none")];

/// A habit that is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Habit {
    /// A line that names no actor.
    Actor,
    /// A line with a colon before a lower-case word.
    Colon,
    /// A line over [`COLUMNS`].
    Wide,
    /// A message that says what an object is not.
    IsNone,
    /// A source file over [`LINES`].
    LongFile,
}

impl Habit {
    /// The habit's name in lists.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Actor => "actor word",
            Self::Colon => "colon",
            Self::Wide => "over 100 columns",
            Self::IsNone => "\"is none\"",
            Self::LongFile => "over 500 lines",
        }
    }
}

/// A line with a habit.
pub(super) struct Finding {
    /// The number of the line, from 1.
    pub(super) line: usize,
    /// The habit.
    pub(super) habit: Habit,
    /// The line.
    pub(super) text: String,
}

/// The counts of a crate, or of all Markdown.
pub(super) struct Counts {
    /// Lines that the percentages are of.
    pub(super) comment_lines: usize,
    actor: usize,
    colon: usize,
    wide: usize,
    is_none: usize,
    long_files: usize,
    /// The most colons, in percent. Markdown has no limit, because its lists need colons.
    colon_limit: Option<f64>,
}

/// The most actor words, in percent of the comment lines.
const ACTOR_LIMIT: f64 = 0.3;

impl Counts {
    /// No lines of Rust yet.
    pub(super) fn of_rust() -> Self {
        Self {
            comment_lines: 0,
            actor: 0,
            colon: 0,
            wide: 0,
            is_none: 0,
            long_files: 0,
            colon_limit: Some(5.0),
        }
    }

    /// No lines of Markdown yet.
    pub(super) fn of_markdown() -> Self {
        Self { colon_limit: None, ..Self::of_rust() }
    }

    fn slot(&mut self, habit: Habit) -> &mut usize {
        match habit {
            Habit::Actor => &mut self.actor,
            Habit::Colon => &mut self.colon,
            Habit::Wide => &mut self.wide,
            Habit::IsNone => &mut self.is_none,
            Habit::LongFile => &mut self.long_files,
        }
    }

    /// How many lines have the habit.
    pub(super) fn of(&self, habit: Habit) -> usize {
        match habit {
            Habit::Actor => self.actor,
            Habit::Colon => self.colon,
            Habit::Wide => self.wide,
            Habit::IsNone => self.is_none,
            Habit::LongFile => self.long_files,
        }
    }

    /// How many of a hundred comment lines have the habit.
    pub(super) fn percent(&self, habit: Habit) -> f64 {
        100.0 * self.of(habit) as f64 / self.comment_lines.max(1) as f64
    }

    /// Whether there are too many lines with the habit.
    pub(super) fn is_over_by(&self, habit: Habit) -> bool {
        match habit {
            Habit::Actor => self.percent(habit) > ACTOR_LIMIT,
            Habit::Colon => self.colon_limit.is_some_and(|limit| self.percent(habit) > limit),
            Habit::Wide | Habit::IsNone | Habit::LongFile => self.of(habit) != 0,
        }
    }

    /// Whether one of the limits is passed.
    pub(super) fn is_over(&self) -> bool {
        [Habit::Actor, Habit::Colon, Habit::Wide, Habit::IsNone, Habit::LongFile]
            .into_iter()
            .any(|habit| self.is_over_by(habit))
    }
}

/// Where counts and findings of a file go.
struct Sink<'a> {
    counts: &'a mut Counts,
    findings: &'a mut Vec<Finding>,
}

impl Sink<'_> {
    fn add(&mut self, line: usize, habit: Habit, text: &str) {
        *self.counts.slot(habit) += 1;
        self.findings.push(Finding { line, habit, text: text.trim().to_owned() });
    }

    /// Counts the words of a line of prose.
    fn prose(&mut self, line: usize, words: &str, text: &str) {
        self.counts.comment_lines += 1;
        let words = without_code(words);
        if has_actor_word(&words) {
            self.add(line, Habit::Actor, text);
        }
        if self.counts.colon_limit.is_some() && joins_by_colon(&words) {
            self.add(line, Habit::Colon, text);
        }
    }

    fn width(&mut self, line: usize, words: &str, text: &str) {
        if text.chars().count() > COLUMNS && !is_table(words) && !has_long_link(text) {
            self.add(line, Habit::Wide, text);
        }
    }
}

/// Counts a Rust file. `in_src` says whether it is source code, which has a limit of lines.
pub(super) fn rust(text: &str, in_src: bool, counts: &mut Counts, findings: &mut Vec<Finding>) {
    let mut sink = Sink { counts, findings };
    let mut fence = false;
    let mut lines = 0;
    for (line, text) in (1..).zip(text.lines()) {
        lines = line;
        let Some(words) = comment(text) else {
            // Where an example depends on a feature, an attribute opens its fence.
            fence = text.contains("doc = \"```") || fence && text.starts_with("#[cfg_attr(");
            if NONE.iter().any(|end| text.contains(end)) {
                sink.add(line, Habit::IsNone, text);
            }
            continue;
        };
        if words.trim_start().starts_with("```") {
            fence = !fence;
        } else if !fence {
            sink.width(line, words, text);
            sink.prose(line, words, text);
        }
    }
    if in_src && lines > LINES {
        sink.add(lines, Habit::LongFile, &format!("{lines} lines"));
    }
}

/// Counts a Markdown file.
pub(super) fn markdown(text: &str, counts: &mut Counts, findings: &mut Vec<Finding>) {
    let mut sink = Sink { counts, findings };
    let mut fence = false;
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim_start().starts_with("```") {
            fence = !fence;
        } else if !fence && !text.trim().is_empty() && !is_link_target(text) {
            sink.width(line, text, text);
            if !is_table(text) {
                sink.prose(line, text, text);
            }
        }
    }
}

/// The words of a line that is only a comment.
fn comment(line: &str) -> Option<&str> {
    let words = line.trim_start().strip_prefix("//")?;
    Some(words.strip_prefix(['/', '!']).unwrap_or(words))
}

/// The line without a heading such as `SAFETY:`, and with each piece of code as one word.
fn without_code(words: &str) -> String {
    let words = words.trim();
    let words = HEADINGS.iter().find_map(|heading| words.strip_prefix(heading)).unwrap_or(words);
    let mut plain = String::new();
    let mut rest = words;
    while let Some((before, after)) = rest.split_once('`') {
        plain.push_str(before);
        let Some((_, after)) = after.split_once('`') else {
            // The code goes on in the next line.
            plain.push('X');
            return plain;
        };
        plain.push('X');
        rest = after;
    }
    plain.push_str(rest);
    plain
}

fn has_actor_word(words: &str) -> bool {
    words
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| ACTORS.iter().any(|actor| word.eq_ignore_ascii_case(actor)))
}

fn joins_by_colon(words: &str) -> bool {
    words.split(": ").skip(1).any(|after| after.starts_with(|c: char| c.is_ascii_lowercase()))
}

fn is_table(words: &str) -> bool {
    words.trim_start().starts_with('|')
}

/// Whether the line has an address or a path that is too long to be moved to a line of its own.
fn has_long_link(line: &str) -> bool {
    line.split_whitespace().any(|word| word.contains("://") || word.contains('/') && word.len() > COLUMNS / 2)
}

/// Whether a line of Markdown is `[name]: address`.
fn is_link_target(line: &str) -> bool {
    line.starts_with('[') && line.contains("]: ")
}

#[cfg(test)]
mod tests {
    use super::{Counts, Finding, Habit, markdown, rust};

    fn habits(text: &str) -> Vec<(usize, Habit)> {
        let mut findings: Vec<Finding> = Vec::new();
        rust(text, true, &mut Counts::of_rust(), &mut findings);
        findings.iter().map(|finding| (finding.line, finding.habit)).collect()
    }

    #[test]
    fn a_line_without_an_actor_is_found_in_comments_only() {
        assert_eq!(habits("/// Woken by Whoever sets it.\nlet who = 1; // who\n"), [(1, Habit::Actor)]);
        assert!(habits("/// `who` and whole\n// no one\n").is_empty());
    }

    #[test]
    fn a_colon_that_joins_sentences_is_found() {
        assert_eq!(habits("// It ends: nothing is left.\n"), [(1, Habit::Colon)]);
        assert_eq!(habits("    // SAFETY: the block lives: it is counted.\n"), [(1, Habit::Colon)]);
        assert!(habits("// SAFETY: the block lives.\n// a: B, `c: d`, e::f\n").is_empty());
    }

    #[test]
    fn code_in_a_fence_is_left_alone() {
        assert!(habits("/// ```\n/// who: nobody\n/// ```\n").is_empty());
        assert_eq!(habits("/// ```\nfn f() {}\n/// who\n"), [(3, Habit::Actor)]);
        let opened = "#[cfg_attr(feature = \"a\", doc = \"```\")]\n/// who\n/// ```\n/// nobody\n";
        assert_eq!(habits(opened), [(4, Habit::Actor)]);
    }

    #[test]
    fn wide_lines_are_found_but_not_links_and_tables() {
        let wide = "x".repeat(98);
        assert_eq!(habits(&format!("// {wide}\n")), [(1, Habit::Wide)]);
        assert!(habits(&format!("// {}\n", "ü".repeat(97))).is_empty());
        assert!(habits(&format!("/// | {wide} |\n/// https://{wide}\n")).is_empty());
    }

    #[test]
    fn messages_say_what_a_thing_is() {
        assert_eq!(habits(concat!("f(\"an IRP was sent, and ", "is none\");\n")), [(1, Habit::IsNone)]);
    }

    #[test]
    fn a_source_file_has_at_most_500_lines() {
        assert!(habits(&"\n".repeat(500)).is_empty());
        assert_eq!(habits(&"\n".repeat(501)), [(501, Habit::LongFile)]);
    }

    #[test]
    fn markdown_has_prose_tables_links_and_fences() {
        let wide = "x".repeat(101);
        let text = format!("who\n{wide}\n| {wide} |\n[a]: {wide}\n```\n{wide}\n```\nsee [it](docs/{wide})\n");
        let (mut counts, mut findings) = (Counts::of_markdown(), Vec::new());
        markdown(&text, &mut counts, &mut findings);
        let found: Vec<_> = findings.iter().map(|finding| (finding.line, finding.habit)).collect();
        assert_eq!(found, [(1, Habit::Actor), (2, Habit::Wide)]);
        assert_eq!(counts.comment_lines, 3);
    }

    #[test]
    fn shares_are_of_the_comment_lines() {
        let mut counts = Counts::of_rust();
        rust(&"// fine\n".repeat(95), true, &mut counts, &mut Vec::new());
        rust(&"// a: b\n".repeat(5), true, &mut counts, &mut Vec::new());
        assert!(!counts.is_over());
        rust("// a: b\n", true, &mut counts, &mut Vec::new());
        assert!(counts.is_over_by(Habit::Colon) && counts.is_over());
    }
}
