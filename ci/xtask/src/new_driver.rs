//! `cargo xtask new-driver` makes a driver's package outside of this checkout.
//!
//! It copies the package of `ci/template/driver/`, which is a valid package itself, and puts the
//! new package's own names into it: its name, where ntcom is, and an IID.
pub(crate) mod bugs;
mod source;
pub(crate) mod trial;

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    path::{self, Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;

use self::source::Source;
use crate::{command, problem::Problem, project::Project};

/// The template, a package of its own.
pub(crate) const TEMPLATE: &str = "ci/template/driver";
/// The template's name, as a package and as a crate.
const NAME: [&str; 2] = ["my-driver", "my_driver"];
/// The template's IID.
const IID: &str = "0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7e01";
/// Names that a driver's dependency has, or that cargo or Rust keeps for itself.
const TAKEN: [&str; 10] =
    ["alloc", "core", "ntcom", "ntcom_exec", "ntsim", "proc_macro", "std", "test", "wdk_build", "wdk_sys"];

/// How to make a driver.
#[derive(Args)]
pub(crate) struct Options {
    /// The folder of the new package, which must not exist or be empty.
    path: PathBuf,
    /// The package's name; by default that of the folder.
    #[arg(long)]
    name: Option<String>,
    /// The checkout of ntcom to depend on; by default this one.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["git", "rev"])]
    ntcom: Option<PathBuf>,
    /// The git repository of ntcom to depend on.
    #[arg(long, value_name = "URL", requires = "rev")]
    git: Option<String>,
    /// The revision in that repository.
    #[arg(long, value_name = "REV", requires = "git")]
    rev: Option<String>,
}

/// Makes a driver, and says what to do next.
pub(crate) fn run(project: &Project, options: Options) -> anyhow::Result<ExitCode> {
    let folder = resolved(&options.path)?;
    let name = match options.name {
        Some(name) => name,
        None => folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let source = match (options.git, options.rev) {
        (Some(url), Some(revision)) => Source::Git { url, revision },
        _ => Source::checkout(options.ntcom.as_deref().unwrap_or(project.root()))?,
    };
    let files = make(project, &folder, &name, &source)?;
    say!("made {name} in {}, with ntcom from {source}:", folder.display());
    for file in files {
        say!("  {}", file.display());
    }
    say!("next:\n  cd {}\n  cargo test", command::quote(options.path.as_os_str()));
    Ok(ExitCode::SUCCESS)
}

/// Makes a driver. Returns its files.
pub(crate) fn make(
    project: &Project,
    folder: &Path,
    name: &str,
    source: &Source,
) -> anyhow::Result<Vec<PathBuf>> {
    check_name(name)?;
    check_folder(project, folder)?;
    let template = project.path(TEMPLATE);
    let files = files_of(&template)?;
    let iid = new_iid();
    for file in &files {
        let read = template.join(file);
        let text = fs::read_to_string(&read).with_context(|| format!("cannot read {}", read.display()))?;
        let text = source.put_into(&text).replace(NAME[0], name).replace(NAME[1], &crate_name(name));
        write(&folder.join(file), &text.replace(IID, &iid))?;
    }
    // The versions of all dependencies with which ntcom is tested.
    if let Some(lock) = source.lock_file(project) {
        let text = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        write(&folder.join("Cargo.lock"), &text)?;
    }
    Ok(files)
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// The absolute path of a folder that need not exist, without links and `..` in the part that does.
fn resolved(path: &Path) -> anyhow::Result<PathBuf> {
    let absolute = path::absolute(path).with_context(|| format!("{} is no path", path.display()))?;
    let found = absolute.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    Ok(match found {
        Some((part, real)) => {
            let rest = absolute.strip_prefix(part).unwrap_or(Path::new(""));
            // An empty rest would leave a separator at the end.
            real.join(rest).components().collect()
        }
        None => absolute,
    })
}

/// The name of a package's crate.
fn crate_name(name: &str) -> String {
    name.replace('-', "_")
}

/// Checks that cargo and Rust take the name.
fn check_name(name: &str) -> Result<(), Problem> {
    let crate_name = crate_name(name);
    let wrong = |why: &str| {
        Err(Problem::Usage(format!(
            "\"{name}\" cannot be a driver's name: {why}; give another one by --name, such as my-driver"
        )))
    };
    if !name.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        return wrong("it does not begin with a letter from a to z");
    }
    if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)) {
        return wrong("it has other characters than letters from a to z, digits, - and _");
    }
    if syn::parse_str::<syn::Ident>(&crate_name).is_err() {
        return wrong("it is a keyword of Rust");
    }
    if TAKEN.contains(&crate_name.as_str()) {
        return wrong("a crate that the driver uses has this name");
    }
    Ok(())
}

/// Checks that the folder can be made, and is outside of this checkout.
fn check_folder(project: &Project, folder: &Path) -> anyhow::Result<()> {
    let place = folder.display();
    let root = resolved(project.root())?;
    if folder.starts_with(&root) {
        let root = root.display();
        let message =
            format!("{place} is in the checkout of ntcom ({root}); a driver's folder is outside of it");
        return Err(Problem::Usage(message).into());
    }
    match fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            let message = format!("{place} is not empty; name a folder that does not exist yet");
            Err(Problem::Usage(message).into())
        }
        Err(_) if folder.exists() => {
            let message = format!("{place} is not a folder; name one that does not exist yet");
            Err(Problem::Usage(message).into())
        }
        _ => Ok(()),
    }
}

/// The files of a folder, in the order of their names. Leaves out what cargo makes in the template.
fn files_of(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(inner) = folders.pop() {
        let entries = fs::read_dir(folder.join(&inner))
            .with_context(|| format!("cannot read {}", folder.join(&inner).display()))?;
        for entry in entries {
            let entry = entry?;
            let path = inner.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
        let made_by_cargo = |path: &PathBuf| path == Path::new("target") || path == Path::new("Cargo.lock");
        files.retain(|path| !made_by_cargo(path));
        folders.retain(|path| !made_by_cargo(path));
    }
    files.sort();
    Ok(files)
}

/// A random IID, as version 4 of RFC 9562 has it, in the form of the template's.
fn new_iid() -> String {
    // The keys of this state are random.
    let half = |number: u8| u128::from(RandomState::new().hash_one(number));
    let random = half(0) << 64 | half(1);
    let (version, variant) = (0xF << 76, 0x3 << 62);
    let iid = random & !version & !variant | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{iid:032x}");
    let mut text = String::from("0x");
    for (place, digit) in digits.chars().enumerate() {
        if [8, 12, 16, 20].contains(&place) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{IID, NAME, Source, TEMPLATE, check_folder, check_name, files_of, make, new_iid, resolved};
    use crate::project::Project;

    #[test]
    fn a_name_is_one_that_cargo_and_rust_take() {
        for name in ["my-driver", "a", "Sensor_2"] {
            check_name(name).unwrap();
        }
        for (name, why) in [
            ("", "begin"),
            ("2nd", "begin"),
            ("-x", "begin"),
            ("a b", "characters"),
            ("größe", "characters"),
            ("a.b", "characters"),
            ("fn", "keyword"),
            ("Self", "keyword"),
            ("ntcom-exec", "has this name"),
            ("test", "has this name"),
        ] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("--name"), "{name}: {error}");
        }
    }

    #[test]
    fn iids_are_random_and_of_version_4() {
        let (one, other) = (new_iid(), new_iid());
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[16..17]), (IID.len(), "4"), "{one}");
        assert!("89ab".contains(&one[21..22]), "{one}");
    }

    #[test]
    fn a_driver_has_its_own_names_everywhere() {
        let project = Project::find();
        let folder = std::env::temp_dir().join(format!("ntcom-xtask-new-driver-{}", std::process::id()));
        let source = Source::checkout(project.root()).unwrap();
        let files = make(&project, &folder, "disk-cache", &source).unwrap();
        assert_eq!(files, files_of(&project.path(TEMPLATE)).unwrap());
        let mut texts = String::new();
        for file in &files {
            texts += &fs::read_to_string(folder.join(file)).unwrap();
        }
        let root = format!("path = \"{}/runtime\"", project.root().display());
        assert!(texts.contains("name = \"disk-cache\"") && texts.contains("use disk_cache::"));
        assert!(texts.contains(&root) && folder.join("Cargo.lock").exists());
        for stale in [NAME[0], NAME[1], IID, "../../.."] {
            assert!(!texts.contains(stale), "{stale} is left");
        }
        let again = make(&project, &folder, "disk-cache", &source).unwrap_err().to_string();
        assert!(again.contains("is not empty"), "{again}");
        let inside = make(&project, &project.path("target/a"), "a", &source).unwrap_err().to_string();
        assert!(inside.contains("outside"), "{inside}");
        let file = folder.join("README.md");
        let file = make(&project, &file, "a", &source).unwrap_err().to_string();
        assert!(file.contains("is not a folder"), "{file}");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_beside_the_checkout_is_outside_of_it() {
        let project = Project::find();
        let beside = resolved(&project.path("../no-such-folder/a")).unwrap();
        assert!(!beside.starts_with(project.root()), "{}", beside.display());
        check_folder(&project, &beside).unwrap();
        let inside = resolved(&project.path("ci/../no-such-folder")).unwrap();
        assert!(check_folder(&project, &inside).is_err(), "{}", inside.display());
    }

    #[test]
    fn ntcom_may_come_from_git() {
        let project = Project::find();
        let source = Source::Git { url: "https://example.org/n.git".to_owned(), revision: "abc".to_owned() };
        let manifest = fs::read_to_string(project.path(TEMPLATE).join("Cargo.toml")).unwrap();
        let manifest = source.put_into(&manifest);
        let wanted =
            "ntcom = { git = \"https://example.org/n.git\", rev = \"abc\", features = [\"async-com\"] }";
        assert!(manifest.contains(wanted), "{manifest}");
        assert!(!manifest.contains("../../.."), "{manifest}");
        let wrong = Source::checkout(Path::new("/")).unwrap_err().to_string();
        assert!(wrong.contains("is not a checkout of ntcom"), "{wrong}");
    }
}
