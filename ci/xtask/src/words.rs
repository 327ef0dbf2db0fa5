//! `cargo xtask words` counts habits that make comments and Markdown hard to read, looks for
//! spelling mistakes, and checks the Markdown's form.
//!
//! | count | limit |
//! | --- | --- |
//! | comment lines with words such as `nobody`, which hide the actor of a sentence | 0.3 % |
//! | comment lines with a colon before a lower-case word, which joins two sentences | 5 % |
//! | lines of comments or Markdown over 100 columns | 0 |
//! | messages that say "and is none" | 0 |
//! | source files over 500 lines | 0 |
//!
//! Spelling is checked by `typos` (`typos.toml` has the field's words), Markdown by `PyMarkdown`
//! (`pymarkdown.json`). Both come from PyPI where they are not installed ([`tools`]).
mod scan;
mod tools;

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;

use self::scan::{Counts, Finding, Habit};
use crate::{command, project::Project, ui};

/// The rows of the table and the folder of each. The first that fits a file has it.
const AREAS: [(&str, &str); 7] = [
    ("ntcom", "runtime/"),
    ("ntsim", "kernel-exec/ntsim/"),
    ("ntcom-exec", "kernel-exec/"),
    ("ntcom-fuzz", "fuzz/"),
    ("ntcom-kit", "abi-tests/kit/"),
    ("xtask", "ci/xtask/"),
    ("template", "ci/template/"),
];
/// The row of every Markdown file of the checkout.
const MARKDOWN: &str = "Markdown";
/// How many files the table of the worst has at most.
const WORST: usize = 10;

/// How to count.
#[derive(Args)]
pub(crate) struct Options {
    /// Prints the file and line of each finding, and leaves out the checks of spelling and
    /// Markdown.
    #[arg(long)]
    list: bool,
}

/// A row of the table.
struct Area {
    name: &'static str,
    counts: Counts,
}

/// A file with its findings.
struct File {
    name: String,
    findings: Vec<Finding>,
}

/// Counts, and checks spelling and form.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    let (areas, files) = count(project)?;
    if options.list {
        for file in &files {
            for finding in &file.findings {
                say!("{}:{}: {}: {}", file.name, finding.line, finding.habit.name(), finding.text);
            }
        }
    }
    let mut failed: Vec<&str> = Vec::new();
    failed.extend(areas.iter().filter(|area| area.counts.is_over()).map(|area| area.name));
    say!("{}", table(&areas));
    if !failed.is_empty() {
        say!("{}", worst(files));
        say!("`cargo xtask words --list` prints the file and line of each finding");
    }
    if !options.list {
        match tools::check(project) {
            Ok(found) => failed.extend(found),
            // A count over its limit is a failure, whether or not the tools are there.
            Err(error) if !failed.is_empty() => note!("{error:#}"),
            Err(error) => return Err(error),
        }
    }
    if !failed.is_empty() {
        say!("over a limit or with mistakes: {}", failed.join(", "));
        return Ok(ExitCode::FAILURE);
    }
    let lines: usize = areas.iter().map(|area| area.counts.comment_lines).sum();
    say!("{} lines of comments and Markdown are within the limits", ui::count(lines as u64));
    Ok(ExitCode::SUCCESS)
}

/// The rows, and the files that have findings.
fn count(project: &Project) -> anyhow::Result<(Vec<Area>, Vec<File>)> {
    let mut areas: Vec<Area> = AREAS
        .iter()
        .map(|(name, _)| Area { name, counts: Counts::of_rust() })
        .chain([Area { name: MARKDOWN, counts: Counts::of_markdown() }])
        .collect();
    let mut files = Vec::new();
    for name in tracked(project)? {
        let Some(area) = area_of(&name).and_then(|area| areas.iter_mut().find(|row| row.name == area)) else {
            continue;
        };
        // A file that was deleted, but not yet from git's index, has no lines.
        let Ok(bytes) = fs::read(project.path(OsStr::from_bytes(name.as_bytes()))) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let mut findings = Vec::new();
        if area.name == MARKDOWN {
            scan::markdown(&text, &mut area.counts, &mut findings);
        } else {
            let in_src = Path::new(&name).components().any(|part| part.as_os_str() == "src");
            scan::rust(&text, in_src, &mut area.counts, &mut findings);
        }
        if !findings.is_empty() {
            files.push(File { name, findings });
        }
    }
    Ok((areas, files))
}

/// The files that git tracks.
fn tracked(project: &Project) -> anyhow::Result<Vec<String>> {
    let listed =
        command::at_root(project, "git").args(["ls-files", "-z"]).output().context("cannot run git")?;
    if !listed.status.success() {
        bail!("git does not list the files of this checkout");
    }
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// The row that a file belongs to.
fn area_of(file: &str) -> Option<&'static str> {
    match Path::new(file).extension()?.to_str()? {
        "md" => Some(MARKDOWN),
        "rs" => AREAS.iter().find(|(_, folder)| file.starts_with(folder)).map(|(name, _)| *name),
        _ => None,
    }
}

fn table(areas: &[Area]) -> comfy_table::Table {
    let header = [
        "crate",
        "comment lines",
        "actor words",
        "colons",
        "over 100 columns",
        "\"is none\"",
        "over 500 lines",
    ];
    let mut table = ui::table(&header, 1..7);
    for Area { name, counts } in areas {
        let share = |habit: Habit| {
            let mark = if counts.is_over_by(habit) { " !" } else { "" };
            format!("{} ({:.2} %){mark}", counts.of(habit), counts.percent(habit))
        };
        let whole = |habit: Habit| {
            let mark = if counts.is_over_by(habit) { " !" } else { "" };
            format!("{}{mark}", counts.of(habit))
        };
        table.add_row([
            (*name).to_owned(),
            counts.comment_lines.to_string(),
            share(Habit::Actor),
            share(Habit::Colon),
            whole(Habit::Wide),
            whole(Habit::IsNone),
            whole(Habit::LongFile),
        ]);
    }
    table.add_row(["limit", "", "0.3 %", "5 %, not in Markdown", "0", "0", "0"]);
    table
}

/// The files with the most findings.
fn worst(mut files: Vec<File>) -> comfy_table::Table {
    files.sort_by_key(|file| std::cmp::Reverse(file.findings.len()));
    let mut table = ui::table(&["file", "findings"], 1..2);
    for file in files.into_iter().take(WORST) {
        table.add_row([file.name, file.findings.len().to_string()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{MARKDOWN, area_of, tracked};
    use crate::project::Project;

    #[test]
    fn a_file_belongs_to_the_innermost_crate() {
        assert_eq!(area_of("kernel-exec/ntsim/src/lib.rs"), Some("ntsim"));
        assert_eq!(area_of("kernel-exec/src/lib.rs"), Some("ntcom-exec"));
        assert_eq!(area_of("runtime/README.md"), Some(MARKDOWN));
        assert_eq!(area_of("runtime/include/ntcom.h"), None);
        assert_eq!(area_of("abi-tests/src/lib.rs"), None);
    }

    #[test]
    fn the_checkout_has_files_in_every_row() {
        let files = tracked(&Project::find()).unwrap();
        for (name, _) in super::AREAS {
            assert!(files.iter().any(|file| area_of(file) == Some(name)), "{name}");
        }
    }
}
