//! The imports of a crate's files, read from its `use` items.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, bail};
use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};
use syn::{
    Attribute, Item, ItemMod, ItemUse, Meta, UseTree,
    punctuated::Punctuated,
    visit::{self, Visit},
};

use crate::{command, project::Project};

/// The path of a module or a name, from the crate's root.
type Way = Vec<String>;

/// A name of a `use` item, with the module that has the item.
struct Import {
    /// The module that the item stands in.
    inside: Way,
    /// `crate`, `super`, `self`, or a child module, and the steps behind it.
    steps: Way,
    /// The name that the importing module has it by.
    name: String,
}

/// The files of a crate and the imports between them.
pub(super) struct Graph {
    /// The file of each module, from the source folder.
    modules: BTreeMap<Way, String>,
    /// One imported name for each pair of an importing and a defining file.
    edges: BTreeMap<(String, String), String>,
}

impl Graph {
    /// Reads every tracked file of a source folder but the files of tests.
    pub(super) fn read(project: &Project, source: &str) -> anyhow::Result<Self> {
        let listed = command::at_root(project, "git")
            .args(["ls-files", "--", source])
            .output()
            .context("cannot run git")?;
        if !listed.status.success() {
            bail!("git does not list the files of {source}");
        }
        let mut texts = BTreeMap::new();
        for name in String::from_utf8_lossy(&listed.stdout).lines() {
            let file = Path::new(name);
            if file.extension().is_none_or(|extension| extension != "rs") || !project.path(file).exists() {
                continue;
            }
            let text =
                fs::read_to_string(project.path(file)).with_context(|| format!("cannot read {name}"))?;
            let file = name.strip_prefix(source).unwrap_or(name).trim_start_matches('/').to_owned();
            texts.insert(file, text);
        }
        Self::parse(&texts).with_context(|| format!("cannot read the imports of {source}"))
    }

    /// Parses the files of a crate. `texts` has each file's name, from the source folder, and its
    /// text.
    fn parse(texts: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut modules: BTreeMap<Way, String> =
            texts.keys().map(|file| (module(file), file.clone())).collect();
        let mut imports = Vec::new();
        let mut tests = BTreeSet::new();
        for (file, text) in texts {
            let parsed = syn::parse_file(text).with_context(|| file.clone())?;
            let mut reader = Reader { inside: module(file), imports: Vec::new(), tests: BTreeSet::new() };
            reader.visit_file(&parsed);
            imports.extend(reader.imports);
            tests.extend(reader.tests);
        }
        modules.retain(|way, _| !tests.iter().any(|test| way.starts_with(test)));
        let mut graph = Self { modules, edges: BTreeMap::new() };
        graph.connect(&imports);
        Ok(graph)
    }

    /// Makes an edge of each import that leads to another file.
    fn connect(&mut self, imports: &[Import]) {
        // The names that a module exports again, each with its path.
        let mut exported: BTreeMap<(Way, String), Way> = BTreeMap::new();
        for import in imports {
            let way = absolute(&import.inside, &import.steps);
            exported.insert((import.inside.clone(), import.name.clone()), way);
        }
        for import in imports {
            let first = import.steps.first().map(String::as_str);
            if !matches!(first, Some("crate" | "super" | "self")) {
                continue;
            }
            let Some(from) = self.file_of(&import.inside) else { continue };
            let way = absolute(&import.inside, &import.steps);
            let to = self.definer(&import.inside, way, &exported);
            if from != to {
                self.edges.entry((from, to)).or_insert_with(|| import.steps.join("::"));
            }
        }
    }

    /// The file that defines the name at `way`, followed through what folders export again. An
    /// ancestor of the importing module is not looked through.
    fn definer(&self, inside: &[String], mut way: Way, exported: &BTreeMap<(Way, String), Way>) -> String {
        let mut file = String::new();
        // A name that leads to itself ends the search.
        for _ in 0..8 {
            let depth = (0..=way.len())
                .rev()
                .find(|depth| way.get(..*depth).is_some_and(|module| self.modules.contains_key(module)));
            let Some(module) = depth.and_then(|depth| way.get(..depth)) else { break };
            file = self.modules.get(module).cloned().unwrap_or_default();
            let Some(name) = way.get(module.len()).cloned() else { break };
            if inside.starts_with(module) {
                break;
            }
            match exported.get(&(module.to_vec(), name)) {
                Some(next) if *next != way => way.clone_from(next),
                _ => break,
            }
        }
        file
    }

    /// The file of a module, or of the nearest one around it that has a file.
    fn file_of(&self, way: &[String]) -> Option<String> {
        let module = (0..=way.len()).rev().find_map(|depth| self.modules.get(way.get(..depth)?));
        // A module of tests has no file here, and the file around it does not import for it.
        let own = self.modules.keys().any(|known| known == way);
        module.filter(|_| own).cloned()
    }

    /// The number of files.
    pub(super) fn files(&self) -> usize {
        self.modules.len()
    }

    /// The number of pairs of files with an import from the first to the second.
    pub(super) fn imports(&self) -> usize {
        self.edges.len()
    }

    /// Each pair of an importing and a defining file, with one imported name.
    pub(super) fn edges(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.edges.iter().map(|((from, to), name)| (from.as_str(), to.as_str(), name.as_str()))
    }

    /// The circles, which are sets of at least two files that reach each other.
    pub(super) fn circles(&self) -> Vec<BTreeSet<String>> {
        let graph: DiGraphMap<&str, ()> = self.edges().map(|(from, to, _)| (from, to)).collect();
        let parts = tarjan_scc(&graph).into_iter().filter(|part| part.len() > 1);
        parts.map(|part| part.into_iter().map(str::to_owned).collect()).collect()
    }

    /// The imports inside a circle, a line each.
    pub(super) fn describe(&self, circle: &BTreeSet<String>) -> String {
        let inside = self.edges().filter(|(from, to, _)| circle.contains(*from) && circle.contains(*to));
        inside.map(|(from, to, name)| format!("  {from} -> {to} ({name})\n")).collect()
    }
}

/// The module that a file is.
fn module(file: &str) -> Way {
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let mut way: Way = stem.split('/').map(str::to_owned).collect();
    if matches!(way.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        way.pop();
    }
    way
}

/// A path of a `use` item, from the crate's root.
fn absolute(inside: &[String], steps: &[String]) -> Way {
    let mut way = inside.to_vec();
    for step in steps {
        match step.as_str() {
            "crate" => way.clear(),
            "self" => {}
            "super" => drop(way.pop()),
            name => way.push(name.to_owned()),
        }
    }
    way
}

/// Collects the `use` items of a file.
struct Reader {
    inside: Way,
    imports: Vec<Import>,
    /// The modules that only tests have.
    tests: BTreeSet<Way>,
}

impl Reader {
    fn tree(&mut self, tree: &UseTree, steps: &mut Way) {
        let mut import = |steps: Way, name: String, inside: &Way| {
            self.imports.push(Import { inside: inside.clone(), steps, name });
        };
        match tree {
            UseTree::Path(path) => {
                steps.push(path.ident.to_string());
                self.tree(&path.tree, steps);
                steps.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, steps)),
            UseTree::Glob(_) => import(steps.clone(), "*".to_owned(), &self.inside),
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                let mut steps = steps.clone();
                let known =
                    if name == "self" { steps.last().cloned().unwrap_or_default() } else { name.clone() };
                if name != "self" {
                    steps.push(name);
                }
                import(steps, known, &self.inside);
            }
            UseTree::Rename(rename) => {
                let mut steps = steps.clone();
                steps.push(rename.ident.to_string());
                import(steps, rename.rename.to_string(), &self.inside);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if attributes.iter().all(outside_tests) {
            visit::visit_item(self, item);
        } else if let Item::Mod(item) = item {
            let mut way = self.inside.clone();
            way.push(item.ident.to_string());
            self.tests.insert(way);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_some() {
            self.inside.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.inside.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(&item.tree, &mut Vec::new());
    }
}

/// Whether an attribute lets its item be in a build that runs no tests.
fn outside_tests(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return true };
    !list.path.is_ident("cfg") || list.parse_args::<Meta>().map_or(true, |meta| possible(&meta))
}

/// Whether a `cfg` condition can hold without `test`.
fn possible(meta: &Meta) -> bool {
    match meta {
        Meta::Path(path) => !path.is_ident("test"),
        Meta::NameValue(_) => true,
        Meta::List(list) => {
            let parts = list.parse_args_with(Punctuated::<Meta, syn::Token![,]>::parse_terminated);
            let Ok(parts) = parts else { return true };
            if list.path.is_ident("all") {
                parts.iter().all(possible)
            } else if list.path.is_ident("any") {
                parts.iter().any(possible)
            } else {
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Graph;

    fn graph(files: &[(&str, &str)]) -> Graph {
        Graph::parse(&files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
            .unwrap()
    }

    fn edges(graph: &Graph) -> Vec<(&str, &str)> {
        graph.edges().map(|(from, to, _)| (from, to)).collect()
    }

    #[test]
    fn a_folder_is_looked_through_to_the_file_that_defines_a_name() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::X;"),
            ("a/mod.rs", "mod x; pub use x::X;"),
            ("a/x.rs", "pub struct X;"),
            ("b.rs", "use crate::a::X;"),
        ];
        assert_eq!(edges(&graph(&files)), [("b.rs", "a/x.rs")]);
    }

    #[test]
    fn an_import_through_an_ancestor_runs_up_to_it() {
        let files = [
            ("lib.rs", "mod a; pub use a::X;"),
            ("a/mod.rs", "mod x; mod y; pub use x::X;"),
            ("a/x.rs", "pub struct X;"),
            ("a/y.rs", "use crate::X; use super::X as Y;"),
        ];
        assert_eq!(edges(&graph(&files)), [("a/y.rs", "a/mod.rs"), ("a/y.rs", "lib.rs")]);
    }

    #[test]
    fn circles_are_found_and_tests_are_left_out() {
        let files = [
            ("a.rs", "use crate::{b::B, c}; pub struct A; #[cfg(test)] mod t { use super::super::d::D; }"),
            ("b.rs", "fn f() { use super::c::C; }"),
            ("c.rs", "use crate::a::A; #[cfg(all(test, loom))] mod tests;"),
            ("c/tests.rs", "use crate::d::D;"),
            ("d.rs", ""),
        ];
        let graph = graph(&files);
        let circles = graph.circles();
        assert_eq!(circles.len(), 1);
        assert!(circles.iter().flatten().eq(["a.rs", "b.rs", "c.rs"]));
        assert!(edges(&graph).iter().all(|(_, to)| *to != "d.rs"));
    }
}
