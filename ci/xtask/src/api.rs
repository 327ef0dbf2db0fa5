//! `cargo xtask api` compares the public Rust API with its lists, and checks its documentation.
//!
//! Each library crate has a list of its public items beside its manifest (`public-api.txt`), for
//! reviews. A change of the API changes that file (`--bless` writes it). Within a release series no
//! line may go (docs/compatibility.md). Every public item has an example.
use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, bail};
use clap::Args;
use public_api::PublicApi;
use serde_json::Value;

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

/// Compares or writes the lists, and checks the documentation.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<ExitCode> {
    let mut table = ui::table(&["crate", "items", "without example", "list"], 1..3);
    let mut failed = false;
    for library in &LIBRARIES {
        let json = document(project, library)?;
        let listed = list(&json)?;
        let (items, bare) = examples(&json, &listed)?;
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
        for name in &bare {
            say!("{}: {name} has no example", library.package);
        }
        failed |= !bare.is_empty();
        table.add_row([library.package, &items.to_string(), &bare.len().to_string(), &verdict]);
    }
    say!("{table}");
    if failed {
        say!("next: add the examples, read the difference, then cargo xtask api --bless");
        return Ok(ExitCode::FAILURE);
    }
    say!("the public API is as listed, and every item has an example");
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

/// The name of the item in a line of a list.
fn declared(line: &str) -> Option<&str> {
    const KINDS: [&str; 9] = ["struct", "enum", "union", "trait", "fn", "const", "type", "macro", "static"];
    let words = line.split(' ').skip_while(|word| !KINDS.contains(word));
    let path = words.into_iter().find(|word| word.contains("::"))?;
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(path.len());
    path.get(..end)?.trim_end_matches(':').rsplit("::").next()
}

/// The number of listed items that need an example, and the names of those without one. A type's
/// example covers its methods.
fn examples(json: &PathBuf, listed: &str) -> anyhow::Result<(usize, Vec<String>)> {
    const WANT: [&str; 9] =
        ["struct", "enum", "union", "trait", "function", "macro", "constant", "type_alias", "proc_macro"];
    let text = fs::read_to_string(json).with_context(|| format!("cannot read {}", json.display()))?;
    let document: Value = serde_json::from_str(&text).context("rustdoc wrote something else")?;
    let object = |name: &str| document.get(name).and_then(Value::as_object);
    let (Some(index), Some(paths)) = (object("index"), object("paths")) else {
        bail!("rustdoc wrote no index");
    };
    let field = |item: &Value, name: &str| item.get(name).cloned().unwrap_or_default();
    let mut bare = Vec::new();
    let mut items = 0;
    for (id, item) in index {
        // Methods, fields and variants have no path of their own.
        let own =
            paths.get(id).is_some() && field(item, "crate_id") == 0 && field(item, "visibility") == "public";
        if !own || !WANT.iter().any(|kind| field(item, "inner").get(kind).is_some()) {
            continue;
        }
        let name = item.get("name").and_then(Value::as_str).unwrap_or("?");
        if !listed.lines().any(|line| declared(line) == Some(name)) {
            continue;
        }
        items += 1;
        if !item.get("docs").and_then(Value::as_str).is_some_and(|docs| docs.contains("```")) {
            bare.push(name.to_owned());
        }
    }
    bare.sort();
    Ok((items, bare))
}

#[cfg(test)]
mod tests {
    use super::{declared, difference, series};

    #[test]
    fn a_line_declares_the_last_part_of_its_path() {
        assert_eq!(declared("pub struct a::b::C<T>"), Some("C"));
        assert_eq!(declared("pub const unsafe fn a::make(&self) -> b::D"), Some("make"));
        assert_eq!(declared("pub unsafe fn a::make<T>(x: T)"), Some("make"));
        assert_eq!(declared("pub const a::LIMIT: usize"), Some("LIMIT"));
        assert_eq!(declared("impl a::T for b::C"), None);
    }

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
