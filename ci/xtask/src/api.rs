//! `cargo xtask api` compares the public Rust API with its lists.
//!
//! Each library crate has a list of its public items beside its manifest (`public-api.txt`), for
//! reviews. A change of the API changes that file (`--bless` writes it). Within a release series no
//! line may go (docs/compatibility.md).
use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, bail};
use clap::Args;
use public_api::PublicApi;

use crate::{
    command::{self, capture},
    problem::Problem,
    project::Project,
    ui,
};

/// Options of `cargo xtask api`.
#[derive(Args)]
pub(crate) struct Options {
    /// Writes the lists instead of comparing with them.
    #[arg(long)]
    bless: bool,
}

/// A library crate with a promised API.
struct Library {
    package: &'static str,
    folder: &'static str,
    features: &'static str,
}

const LIBRARIES: [Library; 2] = [
    Library { package: "ntcom", folder: "runtime", features: "async-com-kernel" },
    Library { package: "ntcom-exec", folder: "kernel-exec", features: "sim" },
];

/// The file name of a crate's list.
const LIST: &str = "public-api.txt";

/// Compares or writes the lists.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    let mut table = ui::table(&["crate", "lines", "list"], 1..2);
    let mut failed = false;
    for library in &LIBRARIES {
        let json = document(project, library)?;
        let listed = list(&json)?;
        let file = project.path(library.folder).join(LIST);
        let verdict = if options.bless {
            fs::write(&file, &listed).with_context(|| format!("cannot write {}", file.display()))?;
            "written".to_owned()
        } else {
            let known = fs::read_to_string(&file).unwrap_or_default();
            let (gone, new) = difference(&known, &listed);
            for line in &gone {
                say!("{}: - {line}", library.package);
            }
            for line in &new {
                say!("{}: + {line}", library.package);
            }
            let broken = broken_since_release(project, library, &listed)?;
            for line in &broken {
                say!("{}: gone since the release of this series: {line}", library.package);
            }
            failed |= !(gone.is_empty() && new.is_empty() && broken.is_empty());
            format!("{} gone, {} new", gone.len(), new.len())
        };
        table.add_row([library.package, &listed.lines().count().to_string(), &verdict]);
    }
    say!("{table}");
    if failed {
        say!("next: read the difference, then cargo xtask api --bless");
        return Ok(ExitCode::FAILURE);
    }
    say!("the public API is as listed");
    Ok(ExitCode::SUCCESS)
}

/// rustdoc's JSON of a crate. A stable compiler writes it only with RUSTC_BOOTSTRAP=1.
fn document(project: &Project, library: &Library) -> anyhow::Result<PathBuf> {
    let folder = project.path("target/api");
    let mut doc = command::cargo(project);
    doc.env("RUSTC_BOOTSTRAP", "1").env("RUSTDOCFLAGS", "-Zunstable-options --output-format=json");
    doc.args(["doc", "--no-deps", "--package", library.package, "--features", library.features]);
    doc.arg("--target-dir").arg(&folder);
    let captured = capture(&mut doc, |_| {})?;
    if !captured.status.success() {
        bail!("the documentation of {} does not build:\n{}", library.package, captured.output);
    }
    Ok(folder.join("doc").join(library.package.replace('-', "_")).with_extension("json"))
}

fn list(json: &PathBuf) -> anyhow::Result<String> {
    let api: PublicApi = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_derived_impls(true)
        .omit_auto_trait_impls(false)
        .build()
        .map_err(|error| {
            let version = Command::new("rustc").arg("--version").output().map(|output| output.stdout);
            let version = String::from_utf8_lossy(&version.unwrap_or_default()).trim().to_owned();
            Problem::Unavailable(format!("{version} documents in a format that is not known here: {error}"))
        })?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}

/// The lines that only the first text has, and those that only the second has.
fn difference<'a>(known: &'a str, listed: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
    let missing = |from: &'a str, other: &'a str| {
        from.lines().filter(|line| !other.lines().any(|known| known == *line)).collect()
    };
    (missing(known, listed), missing(listed, known))
}

/// The lines of the last release's list that are missing now, if that release is of the same
/// series.
fn broken_since_release(project: &Project, library: &Library, listed: &str) -> anyhow::Result<Vec<String>> {
    let series = series(env!("CARGO_PKG_VERSION"));
    let mut git = command::at_root(project, "git");
    git.args(["tag", "--list", &format!("v{series}.*"), "--sort=-version:refname"]);
    let tags = git.output().context("cannot run git")?;
    let tags = String::from_utf8_lossy(&tags.stdout).into_owned();
    let Some(tag) = tags.lines().next() else { return Ok(Vec::new()) };
    let mut show = command::at_root(project, "git");
    show.args(["show", &format!("{tag}:{}/{LIST}", library.folder)]);
    let released = show.output().context("cannot run git")?;
    let released = String::from_utf8_lossy(&released.stdout).into_owned();
    Ok(difference(&released, listed).0.into_iter().map(str::to_owned).collect())
}

/// The part of a version that stays the same while nothing breaks: `0.3` of `0.3.1`, `2` of
/// `2.5.0`.
fn series(version: &str) -> &str {
    let parts = if version.starts_with("0.") { 2 } else { 1 };
    let end = version.match_indices('.').nth(parts - 1).map_or(version.len(), |(at, _)| at);
    version.get(..end).unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use super::{difference, series};

    #[test]
    fn a_series_ends_where_something_may_break() {
        assert_eq!(series("0.3.1"), "0.3");
        assert_eq!(series("2.5.0"), "2");
    }

    #[test]
    fn a_difference_is_what_has_gone_and_what_is_new() {
        assert_eq!(difference("a\nb\n", "b\nc\n"), (vec!["a"], vec!["c"]));
    }
}
