//! The *reach* check, which follows references from the functions of the driver crates.
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use anyhow::Context;
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionKind, SymbolKind,
    read::archive::ArchiveFile,
};

use super::{
    SIMULATOR,
    symbols::{demangled, forbidden},
};

/// The crates with the functions that paths begin at.
const CRATES: [&str; 3] = ["alloc_probe", "ntcom", "ntcom_exec"];
/// The prefix of the probe's functions, which have names without mangling.
const PROBES: &str = "probe_";

/// A section of an object file, or a name that no object file defines. The compiler gives each
/// function and each static a section of its own.
#[derive(Default, Debug)]
struct Node {
    archive: String,
    name: String,
    /// The linker's name for it.
    symbol: String,
    code: bool,
    references: BTreeSet<usize>,
}

/// The sections of all object files and their references.
#[derive(Default, Debug)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    objects: BTreeMap<String, u64>,
}

/// A path from a function of the driver to an infallible allocation.
#[derive(Debug)]
pub(crate) struct Path {
    /// The archive that it begins in.
    pub(crate) archive: String,
    /// The names along the path.
    pub(crate) steps: Vec<String>,
}

/// The totals of an archive.
pub(crate) struct Part {
    /// The number of object files.
    pub(crate) objects: u64,
    /// The number of functions that paths begin at.
    pub(crate) roots: u64,
}

/// The crate that a demangled path belongs to. A method belongs to the crate of its type.
fn crate_of(name: &str) -> &str {
    // The glue that drops a type belongs to the type.
    let name = name.strip_prefix("core::ptr::drop_in_place::<").unwrap_or(name);
    let name = name.trim_start_matches(['<', '&', '*', '(', '[']);
    let name = ["mut ", "const "].iter().find_map(|word| name.strip_prefix(word)).unwrap_or(name);
    name.split("::").next().unwrap_or(name)
}

impl Node {
    fn is_root(&self) -> bool {
        self.code && (CRATES.contains(&crate_of(&self.name)) || self.name.starts_with(PROBES))
    }

    fn is_forbidden(&self) -> bool {
        forbidden(&self.symbol)
    }
}

impl Graph {
    /// Reads all object files of these archives.
    pub(crate) fn read(archives: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<Self> {
        let mut graph = Self::default();
        let mut builder = Builder::default();
        for (archive, data) in archives {
            let members = ArchiveFile::parse(data.as_slice())?;
            for member in members.members() {
                let member = member?;
                if member.name().ends_with(b".o") {
                    let object = object::File::parse(member.data(data.as_slice())?);
                    let object = object
                        .with_context(|| format!("{archive} has a member that is not an object file"))?;
                    builder.add(&mut graph, archive, &object)?;
                    *graph.objects.entry(archive.clone()).or_default() += 1;
                }
            }
        }
        builder.resolve(&mut graph);
        Ok(graph)
    }

    /// The totals of an archive.
    pub(crate) fn part(&self, archive: &str) -> Part {
        let roots = self.nodes.iter().filter(|node| node.archive == archive && node.is_root()).count();
        Part { objects: self.objects.get(archive).copied().unwrap_or(0), roots: roots as u64 }
    }

    /// The shortest path to each infallible allocation that is reached without passing through the
    /// simulator.
    pub(crate) fn paths_to_forbidden(&self) -> Vec<Path> {
        let mut from: BTreeMap<usize, Option<usize>> = BTreeMap::new();
        let mut queue = VecDeque::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if node.is_root() {
                from.insert(index, None);
                queue.push_back(index);
            }
        }
        let mut paths = Vec::new();
        while let Some(index) = queue.pop_front() {
            let Some(node) = self.nodes.get(index) else { continue };
            if node.is_forbidden() {
                paths.push(self.path(&from, index));
                continue;
            }
            for &next in &node.references {
                let cut = self.nodes.get(next).is_none_or(|node| crate_of(&node.name) == SIMULATOR);
                if !cut && !from.contains_key(&next) {
                    from.insert(next, Some(index));
                    queue.push_back(next);
                }
            }
        }
        paths
    }

    fn path(&self, from: &BTreeMap<usize, Option<usize>>, end: usize) -> Path {
        let mut path = Path { archive: String::new(), steps: Vec::new() };
        let mut at = Some(end);
        while let Some(node) = at.and_then(|index| self.nodes.get(index)) {
            path.archive.clone_from(&node.archive);
            path.steps.push(node.name.clone());
            at = at.and_then(|index| from.get(&index).copied().flatten());
        }
        path.steps.reverse();
        path
    }
}

/// The state while object files are read.
#[derive(Default)]
struct Builder {
    /// The sections that other object files can name.
    defined: BTreeMap<String, usize>,
    /// References from a section to a name.
    named: Vec<(usize, String)>,
}

impl Builder {
    fn add(&mut self, graph: &mut Graph, archive: &str, object: &object::File<'_>) -> anyhow::Result<()> {
        let mut nodes = HashMap::new();
        for section in object.sections() {
            let code = section.kind() == SectionKind::Text;
            let debug =
                section.name().is_ok_and(|name| name.starts_with(".debug") || name.starts_with(".eh_frame"));
            if !debug {
                nodes.insert(section.index(), graph.nodes.len());
                let name = section.name().unwrap_or_default().to_owned();
                graph.nodes.push(Node { archive: archive.to_owned(), name, code, ..Node::default() });
            }
        }
        for symbol in object.symbols() {
            let node = symbol.section_index().and_then(|section| nodes.get(&section)).copied();
            let (Some(index), Ok(name)) = (node, symbol.name()) else { continue };
            if name.is_empty() || !matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data) {
                continue;
            }
            if let Some(node) = graph.nodes.get_mut(index) {
                name.clone_into(&mut node.symbol);
                node.name = demangled(name);
            }
            if symbol.is_global() {
                self.defined.insert(name.to_owned(), index);
            }
        }
        for section in object.sections() {
            let Some(&from) = nodes.get(&section.index()) else { continue };
            for (_, relocation) in section.relocations() {
                let target = match relocation.target() {
                    RelocationTarget::Symbol(index) => object.symbol_by_index(index)?,
                    _ => continue,
                };
                match target.section_index().and_then(|section| nodes.get(&section)) {
                    Some(&to) => {
                        if let Some(node) = graph.nodes.get_mut(from) {
                            node.references.insert(to);
                        }
                    }
                    None => self.named.push((from, target.name()?.to_owned())),
                }
            }
        }
        Ok(())
    }

    /// Turns references by name into references by index. An undefined name becomes a node without
    /// references.
    fn resolve(mut self, graph: &mut Graph) {
        for (from, name) in self.named {
            let to = *self.defined.entry(name).or_insert_with_key(|name| {
                graph.nodes.push(Node { name: demangled(name), symbol: name.clone(), ..Node::default() });
                graph.nodes.len() - 1
            });
            if let Some(node) = graph.nodes.get_mut(from) {
                node.references.insert(to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Graph, Node, crate_of};

    fn graph(nodes: &[(&str, &[usize])]) -> Graph {
        let node = |(name, references): &(&str, &[usize])| Node {
            archive: "a".to_owned(),
            name: (*name).to_owned(),
            symbol: (*name).to_owned(),
            code: true,
            references: references.iter().copied().collect(),
        };
        Graph { nodes: nodes.iter().map(node).collect(), ..Graph::default() }
    }

    #[test]
    fn a_path_through_other_crates_is_found_and_told() {
        let graph = graph(&[
            ("ntcom_exec::dpc::run", &[1]),
            ("core::x", &[2, 0]),
            ("alloc::alloc::handle_alloc_error", &[]),
        ]);
        let paths = graph.paths_to_forbidden();
        assert_eq!(paths.len(), 1);
        assert_eq!(paths[0].steps, ["ntcom_exec::dpc::run", "core::x", "alloc::alloc::handle_alloc_error"]);
    }

    #[test]
    fn a_path_through_the_simulator_is_the_simulators() {
        let graph = graph(&[
            ("probe_x", &[1]),
            ("<ntsim::K as Drop>::drop", &[2]),
            ("alloc::vec::f", &[]),
            ("other", &[2]),
        ]);
        assert!(graph.paths_to_forbidden().is_empty());
        assert_eq!(graph.part("a").roots, 1);
    }

    #[test]
    fn a_method_is_of_the_crate_of_its_type() {
        assert_eq!(crate_of("ntcom_exec::dpc::run::<ntsim::X>"), "ntcom_exec");
        assert_eq!(crate_of("<ntsim::sync::AtomicUsize>::load"), "ntsim");
        assert_eq!(crate_of("<ntcom::com::ComRc<T> as core::clone::Clone>::clone"), "ntcom");
        assert_eq!(crate_of("core::ptr::drop_in_place::<ntsim::Kernel>"), "ntsim");
        assert_eq!(crate_of("<*mut ntcom::A as X>::y"), "ntcom");
        assert_eq!(crate_of("memcpy"), "memcpy");
    }
}
