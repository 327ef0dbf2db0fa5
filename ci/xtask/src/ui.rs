//! The output for a person, with progress on stderr and results on stdout.
use std::{
    io::IsTerminal,
    process::Command,
    sync::LazyLock,
    time::{Duration, Instant},
};

use anyhow::bail;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::command;

/// The changing lines of this process, which stand below each other.
static LINES: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Writes a text to the standard error, above the changing lines.
pub(crate) fn above(text: &str) {
    LINES.suspend(|| note!("{text}"));
}

/// A line that changes while something runs. Without a terminal each change is a line of its own.
pub(crate) struct Live {
    bar: Option<ProgressBar>,
}

impl Live {
    /// Begins with an empty line.
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = LINES.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar }
    }

    /// Shows a line.
    pub(crate) fn show(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(line.to_owned()),
            None => note!("{line}"),
        }
    }

    /// Shows a line where there is a terminal. Such lines change too often for a log.
    pub(crate) fn hint(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(line.to_owned());
        }
    }

    /// Removes the changing line and prints this one.
    pub(crate) fn finish(self, line: &str) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        above(line);
    }
}

/// Runs a command as one step of a set-up, and shows how long it takes. Its output is shown only if
/// it fails.
///
/// # Errors
/// The command cannot be run, or it fails. The error has its output and the command that repeats
/// it.
pub(crate) fn step(what: &str, run: &mut Command) -> anyhow::Result<()> {
    let live = Live::new();
    live.show(&format!("{what} ..."));
    let start = Instant::now();
    let captured = command::capture(run, |line| live.hint(&format!("{what}: {}", line.trim())));
    let seconds = start.elapsed().as_secs_f64();
    match captured {
        Ok(captured) if captured.status.success() => {
            live.finish(&format!("{what}: {seconds:.1} s"));
            Ok(())
        }
        Ok(captured) => {
            live.finish(&format!("{what}: failed"));
            bail!(
                "{what} failed ({}):\n{}\nto repeat: {}",
                captured.status,
                captured.output,
                command::shell(run)
            )
        }
        Err(error) => {
            live.finish(&format!("{what}: failed"));
            Err(error)
        }
    }
}

/// A table. The columns in `numbers` are aligned to the right.
pub(crate) fn table(header: &[&str], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(Cell::new));
    for index in numbers {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A number with separators between its thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate as a whole number with separators, or `-` if it is not known.
pub(crate) fn rate(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| count(number.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::{count, rate};

    #[test]
    fn thousands_are_apart() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(rate(Some(1234.6)), "1,235");
        assert_eq!(rate(None), "-");
    }
}
