//! The committed corpus, for a target that plain cargo-fuzz runs.
//!
//! libFuzzer writes new inputs into the first folder of its command line. `cargo +nightly fuzz run
//! vtable` passes `fuzz/corpus/vtable`, which git ignores and which is empty in a new checkout. The
//! target fills that folder with the committed inputs. A committed folder in that place would fill
//! with inputs that were never chosen, so the target refuses it and prints the line to use. `cargo
//! xtask fuzz` prepares the folders itself, and switches this off by [`VARIABLE`].

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

use ntcom_fuzz_model::input::Input;

/// The environment variable that, set to anything, leaves every folder as it is.
pub const VARIABLE: &str = "NTCOM_FUZZ_FOLDERS_AS_THEY_ARE";

/// The checkout that the target was built from. If the target runs where that checkout is gone, it
/// leaves every folder as it is.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Prepares the first folder of this process's command line. Exits with code 2 if that folder is
/// committed.
pub fn start<I: Input>() {
    if env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(checkout) = Path::new(CHECKOUT).canonicalize() else { return };
    let folders = Folders { target: I::TARGET, checkout };
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match folders.prepare(&arguments) {
        Ok(None) => {}
        Ok(Some(said)) => eprintln!("{}: {said}", I::TARGET),
        Err(refused) => {
            eprintln!("error: {refused}");
            std::process::exit(2);
        }
    }
}

/// Where the folders of a target are.
struct Folders {
    target: &'static str,
    /// The root of the checkout, without symbolic links.
    checkout: PathBuf,
}

impl Folders {
    /// Fills the first folder if it is empty, and says so. Returns an error if the folder is
    /// committed. The error contains the line to use instead.
    fn prepare(&self, arguments: &[OsString]) -> Result<Option<String>, String> {
        let Some(line) = Line::of(arguments).filter(Line::fuzzes) else { return Ok(None) };
        let first = Path::new(line.folders[0]);
        if !first.exists() && std::path::absolute(first).is_ok_and(|first| self.is_own(&first)) {
            // The documented line names this folder, and libFuzzer requires it to exist.
            drop(fs::create_dir_all(first));
        }
        if !first.is_dir() {
            return Ok(None);
        }
        if self.is_committed(first) {
            return if line.writes() { Err(self.refusal(&line)) } else { Ok(None) };
        }
        let seeded = line.folders.iter().skip(1).any(|folder| self.is_committed(Path::new(folder)));
        if seeded || !is_empty(first) {
            return Ok(None);
        }
        let taken = self.take_in(first);
        Ok(taken
            .map(|count| format!("{} was empty and has the {count} committed inputs now", first.display())))
    }

    /// Whether this is the folder that cargo-fuzz passes by default.
    fn is_own(&self, folder: &Path) -> bool {
        // Neither the folder nor its parent need exist yet, so the names are compared.
        let own = Path::new("fuzz/corpus").join(self.target);
        folder.ends_with(&own)
            && folder.ancestors().nth(3).and_then(|root| root.canonicalize().ok()).as_ref()
                == Some(&self.checkout)
    }

    fn is_committed(&self, folder: &Path) -> bool {
        folder.canonicalize().is_ok_and(|folder| folder.starts_with(self.checkout.join("corpus")))
    }

    fn refusal(&self, line: &Line<'_>) -> String {
        let own = self.checkout.join("fuzz/corpus").join(self.target);
        let here = env::current_dir().and_then(|here| here.canonicalize());
        let own = here.ok().and_then(|here| own.strip_prefix(here).ok()).unwrap_or(&own);
        let words =
            |list: &[&OsStr]| list.iter().map(|word| format!(" {}", word.display())).collect::<String>();
        let flags = if line.flags.is_empty() { String::new() } else { format!(" --{}", words(&line.flags)) };
        format!(
            "{first}: this folder is committed, and libFuzzer writes new inputs into the first folder that it is given. \
             Put one that git ignores before it:\n  cargo +nightly fuzz run {target} {own}{folders}{flags}",
            first = line.folders[0].display(),
            target = self.target,
            own = own.display(),
            folders = words(&line.folders),
        )
    }

    /// Copies the committed inputs and the regressions of the target. Returns their number, or
    /// `None` if there are none.
    fn take_in(&self, folder: &Path) -> Option<usize> {
        let corpus = self.checkout.join("corpus");
        let regressions = corpus.join("regressions").join(self.target);
        let mut count = 0;
        for (prefix, from) in [("", corpus.join(self.target)), ("regression-", regressions)] {
            match copy_files(&from, folder, prefix) {
                Ok(copied) => count += copied,
                // The run is as good with fewer inputs to begin with.
                Err(error) => eprintln!("{}: cannot copy its inputs: {error}", from.display()),
            }
        }
        (count > 0).then_some(count)
    }
}

/// The parts of libFuzzer's command line that matter here.
struct Line<'a> {
    /// Paths of files or folders.
    folders: Vec<&'a OsStr>,
    /// Flags, without the one that cargo-fuzz always passes.
    flags: Vec<&'a OsStr>,
}

impl<'a> Line<'a> {
    /// Parses the line. Returns `None` if it names no file or folder.
    fn of(arguments: &'a [OsString]) -> Option<Self> {
        let is_flag = |word: &&OsStr| word.as_encoded_bytes().starts_with(b"-");
        let (mut flags, folders): (Vec<_>, Vec<_>) =
            arguments.iter().map(OsString::as_os_str).partition(is_flag);
        flags.retain(|flag| !flag.as_encoded_bytes().starts_with(b"-artifact_prefix="));
        (!folders.is_empty()).then_some(Self { folders, flags })
    }

    fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag.as_encoded_bytes().starts_with(name.as_bytes()))
    }

    /// Whether libFuzzer fuzzes from these folders. A merge is meant to write into its first
    /// folder. The processes of a merge and of `-fork` have folders of their own.
    fn fuzzes(&self) -> bool {
        !["-merge", "-set_cover_merge", "-features_dir"].iter().any(|name| self.has(name))
    }

    /// Whether libFuzzer may write into the first folder. It does not with `-runs=0`, which only
    /// runs the inputs that are there.
    fn writes(&self) -> bool {
        !self.flags.iter().any(|flag| *flag == "-runs=0")
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Copies the files of a folder and returns their number. A missing folder counts as empty.
fn copy_files(from: &Path, to: &Path, prefix: &str) -> io::Result<usize> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut count = 0;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let mut name = OsString::from(prefix);
            name.push(entry.file_name());
            fs::copy(entry.path(), to.join(name))?;
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, fs, path::PathBuf};

    use super::{Folders, is_empty};

    /// Creates a checkout with two inputs, a regression, and empty folders `fuzz/` and `mine/`.
    fn checkout(test: &str) -> Folders {
        let checkout = std::env::temp_dir().join(format!("ntcom-committed-{test}-{}", std::process::id()));
        drop(fs::remove_dir_all(&checkout));
        for folder in ["corpus/vtable", "corpus/regressions/vtable", "fuzz", "mine"] {
            fs::create_dir_all(checkout.join(folder)).unwrap();
        }
        for file in ["corpus/vtable/one", "corpus/vtable/two", "corpus/regressions/vtable/Z05"] {
            fs::write(checkout.join(file), file).unwrap();
        }
        Folders { target: "vtable", checkout: checkout.canonicalize().unwrap() }
    }

    /// The target's answer to a command line. Its words without `-` are paths in the checkout.
    fn prepare(folders: &Folders, line: &str) -> Result<Option<String>, String> {
        let word = |word: &str| -> OsString {
            if word.starts_with('-') { word.into() } else { folders.checkout.join(word).into() }
        };
        folders.prepare(&line.split(' ').map(word).collect::<Vec<_>>())
    }

    fn files(folders: &Folders, folder: &str) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(folders.checkout.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into())
            .collect();
        files.sort();
        files
    }

    #[test]
    fn an_empty_first_folder_gets_the_committed_inputs() {
        let folders = checkout("empty");
        let said = prepare(&folders, "-artifact_prefix=x/ mine").unwrap().unwrap();
        assert!(said.contains("the 3 committed inputs"), "{said}");
        assert_eq!(files(&folders, "mine"), ["one", "regression-Z05", "two"].map(PathBuf::from));
        // A folder that is no longer empty stays as it is.
        fs::remove_file(folders.checkout.join("mine/one")).unwrap();
        assert_eq!(prepare(&folders, "mine"), Ok(None));
        assert_eq!(files(&folders, "mine").len(), 2);
        fs::remove_dir_all(folders.checkout).unwrap();
    }

    #[test]
    fn the_documented_line_works_where_the_first_folder_is_not_there_yet() {
        let folders = checkout("line");
        assert_eq!(prepare(&folders, "fuzz/corpus/vtable corpus/vtable -runs=9"), Ok(None));
        assert!(files(&folders, "fuzz/corpus/vtable").is_empty(), "libFuzzer reads the second folder anyway");
        assert_eq!(prepare(&folders, "elsewhere corpus/vtable"), Ok(None));
        assert!(!folders.checkout.join("elsewhere").exists());
        fs::remove_dir_all(folders.checkout).unwrap();
    }

    #[test]
    fn a_committed_first_folder_is_refused_with_the_line_to_use() {
        let folders = checkout("refused");
        let corpus = folders.checkout.join("corpus/vtable");
        let refused = prepare(&folders, "-artifact_prefix=x/ corpus/vtable -runs=4000").unwrap_err();
        let own = folders.checkout.join("fuzz/corpus/vtable");
        let line =
            format!("cargo +nightly fuzz run vtable {} {} -- -runs=4000", own.display(), corpus.display());
        assert!(refused.ends_with(&line), "{refused}");
        for other in ["corpus", "corpus/regressions/vtable", "mine/../corpus/vtable"] {
            assert!(prepare(&folders, other).is_err(), "{other}");
        }
        assert_eq!(files(&folders, "corpus/vtable").len(), 2);
        fs::remove_dir_all(folders.checkout).unwrap();
    }

    #[test]
    fn files_merges_and_the_processes_of_a_fork_are_left_alone() {
        let folders = checkout("alone");
        let lines = [
            "corpus/vtable/one",
            "corpus/vtable -runs=0",
            "-merge=1 mine corpus/vtable",
            "-set_cover_merge=1 corpus/vtable mine",
            "-merge_control_file=x -merge_inner=1 mine corpus/vtable",
            "-features_dir=x mine",
            "missing",
            "-help=1",
        ];
        for line in lines {
            assert_eq!(prepare(&folders, line), Ok(None), "{line}");
            assert!(is_empty(&folders.checkout.join("mine")), "{line}");
        }
        fs::remove_dir_all(folders.checkout).unwrap();
    }

    #[test]
    fn a_checkout_without_a_corpus_says_nothing() {
        let folders = checkout("gone");
        fs::remove_dir_all(folders.checkout.join("corpus")).unwrap();
        assert_eq!(prepare(&folders, "mine"), Ok(None));
        fs::remove_dir_all(folders.checkout).unwrap();
    }
}
