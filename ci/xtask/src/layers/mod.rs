//! `cargo xtask layers` finds circles of imports, and imports from a higher layer.
//!
//! The command reads the `use crate::`, `use super::` and `use self::` lines of each crate. It
//! fails on a circle of more than [`CIRCLE`] files, and on an import that runs upward in a source
//! folder for which ARCHITECTURE.md lists the layers. A name that a folder's `mod.rs` exports again
//! counts for the file that defines it, except where the importing file stands in that folder:
//! there the import runs up to `mod.rs`. Imports through `lib.rs` always run upward.
mod graph;
mod listing;

use std::{collections::BTreeSet, fs, path::Path, process::ExitCode};

use anyhow::{Context, bail};

use crate::{command, project::Project, ui};
use graph::Graph;
use listing::Listing;

/// The largest circle of imports that is allowed, in files.
const CIRCLE: usize = 4;
/// The page that lists the layers.
const PAGE: &str = "ARCHITECTURE.md";

/// Checks every crate and prints a table.
pub(crate) fn run(project: &Project) -> anyhow::Result<ExitCode> {
    let page = fs::read_to_string(project.path(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let listings = listing::read(&page)?;
    let sources = sources(project)?;
    if let Some(listing) = listings.iter().find(|listing| !sources.contains(&listing.source)) {
        bail!("{PAGE} lists the layers of {}, which is not a source folder of a crate", listing.source);
    }
    let mut table = ui::table(&["source", "files", "imports", "largest circle", "upward"], 1..5);
    let mut faults = Vec::new();
    for source in &sources {
        let graph = Graph::read(project, source)?;
        let circles = graph.circles();
        let largest = circles.iter().map(BTreeSet::len).max().unwrap_or(0);
        for circle in circles.iter().filter(|circle| circle.len() > CIRCLE) {
            faults.push(format!(
                "{source}: a circle of {} files, where {CIRCLE} are allowed:\n{}",
                circle.len(),
                graph.describe(circle)
            ));
        }
        let listing = listings.iter().find(|listing| listing.source == *source);
        let upward = match listing {
            Some(listing) => {
                let found = upward(&graph, listing)?;
                faults.extend(found.iter().cloned());
                found.len().to_string()
            }
            None => "-".to_owned(),
        };
        let numbers = [graph.files(), graph.imports(), largest].map(|number| number.to_string());
        let [files, imports, largest] = &numbers;
        table.add_row([source, files, imports, largest, &upward]);
    }
    say!("{table}");
    for fault in &faults {
        say!("{fault}");
    }
    say!("{} crates, {} faults", sources.len(), faults.len());
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The imports that run from a lower layer to a higher one.
fn upward(graph: &Graph, listing: &Listing) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for (from, to, name) in graph.edges() {
        let (low, high) = (listing.layer(from)?, listing.layer(to)?);
        if high < low {
            found.push(format!(
                "{source}/{from} imports `{name}` from {to}, which ARCHITECTURE.md lists in a higher layer",
                source = listing.source
            ));
        }
    }
    Ok(found)
}

/// The `src` folder of every package of the checkout, from its root.
fn sources(project: &Project) -> anyhow::Result<Vec<String>> {
    let listed = command::at_root(project, "git")
        .args(["ls-files", "--", "Cargo.toml", "*/Cargo.toml"])
        .output()
        .context("cannot run git")?;
    if !listed.status.success() {
        bail!("git does not list the files of this checkout");
    }
    let manifests = String::from_utf8_lossy(&listed.stdout).into_owned();
    let folders = manifests.lines().filter_map(|manifest| Path::new(manifest).parent());
    let sources = folders.map(|folder| folder.join("src")).filter(|source| project.path(source).is_dir());
    Ok(sources.map(|source| source.display().to_string()).collect())
}
