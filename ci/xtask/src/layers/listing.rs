//! The layers of a source folder as ARCHITECTURE.md lists them.
//!
//! A fenced block that begins with ```` ```text layers of FOLDER ```` has one layer in each line,
//! the highest first. A line names files and folders (with `/` at the end) of that folder.
use anyhow::bail;

/// The layers of one source folder.
pub(super) struct Listing {
    pub(super) source: String,
    /// The highest layer first.
    layers: Vec<Vec<String>>,
}

impl Listing {
    /// The number of the layer that a file stands in; the highest layer is 0. The longest entry
    /// that names the file or one of its folders decides.
    pub(super) fn layer(&self, file: &str) -> anyhow::Result<usize> {
        let mut best: Option<(usize, usize)> = None;
        for (number, layer) in self.layers.iter().enumerate() {
            for entry in layer {
                let named = file == entry || (entry.ends_with('/') && file.starts_with(entry.as_str()));
                if named && best.is_none_or(|(length, _)| entry.len() > length) {
                    best = Some((entry.len(), number));
                }
            }
        }
        match best {
            Some((_, number)) => Ok(number),
            None => bail!("ARCHITECTURE.md names no layer for {}/{file}", self.source),
        }
    }
}

/// Reads the listings of a page.
pub(super) fn read(page: &str) -> anyhow::Result<Vec<Listing>> {
    let mut listings = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(source) = line.strip_prefix("```text layers of ") else { continue };
        let block = lines.by_ref().take_while(|line| !line.starts_with("```"));
        let layers: Vec<Vec<String>> = block
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .filter(|layer: &Vec<String>| !layer.is_empty())
            .collect();
        if layers.is_empty() {
            bail!("ARCHITECTURE.md has an empty list of the layers of {source}");
        }
        listings.push(Listing { source: source.trim().to_owned(), layers });
    }
    Ok(listings)
}

#[cfg(test)]
mod tests {
    use super::read;

    const PAGE: &str =
        "text\n```text layers of a/src\nlib.rs\ntask/ dpc.rs\n\ntask/state.rs sync/\n```\nmore\n";

    #[test]
    fn the_longest_entry_decides() {
        let listings = read(PAGE).unwrap();
        let [listing] = listings.as_slice() else { panic!("one listing") };
        assert_eq!(listing.source, "a/src");
        let layer = |file| listing.layer(file).unwrap();
        assert_eq!(["lib.rs", "task/run.rs", "dpc.rs"].map(layer), [0, 1, 1]);
        assert_eq!(["task/state.rs", "sync/lock.rs"].map(layer), [2, 2]);
        assert!(listing.layer("other.rs").unwrap_err().to_string().contains("a/src/other.rs"));
    }

    #[test]
    fn an_empty_list_is_refused() {
        assert!(read("```text layers of a/src\n```\n").is_err());
        assert!(read("no list").unwrap().is_empty());
    }
}
