//! The place from which a driver takes ntcom.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{problem::Problem, project::Project};

/// The packages that the template names by a path, and their folders in a checkout.
const PACKAGES: [&str; 3] = ["runtime", "kernel-exec/ntsim", "kernel-exec"];
/// The way from the template to the root of the checkout.
const UP: &str = "../../..";

/// The place from which a driver takes ntcom.
#[derive(Debug)]
pub(crate) enum Source {
    /// A checkout, by its absolute path.
    Checkout(PathBuf),
    /// A revision of a git repository.
    Git { url: String, revision: String },
}

impl Source {
    /// A checkout.
    ///
    /// # Errors
    /// ntcom's packages are not there.
    pub(crate) fn checkout(path: &Path) -> anyhow::Result<Self> {
        let missing = PACKAGES.iter().find(|folder| !path.join(folder).join("Cargo.toml").is_file());
        if let Some(folder) = missing {
            let path = path.display();
            let message = format!("{path} is not a checkout of ntcom: {path}/{folder}/Cargo.toml is missing");
            return Err(Problem::Usage(message).into());
        }
        Ok(Self::Checkout(path.canonicalize()?))
    }

    /// A file of the template, with this source in the place of the paths.
    pub(super) fn put_into(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for folder in PACKAGES {
            let here = format!("path = \"{UP}/{folder}\"");
            let there = match self {
                // A JSON string is a string of TOML, too.
                Self::Checkout(root) => format!("path = {}", quoted(&root.join(folder).to_string_lossy())),
                Self::Git { url, revision } => format!("git = {}, rev = {}", quoted(url), quoted(revision)),
            };
            text = text.replace(&here, &there);
        }
        text
    }

    /// The lock file of this source, or, for a repository, of the checkout that makes the driver.
    pub(super) fn lock_file(&self, project: &Project) -> Option<PathBuf> {
        let root = match self {
            Self::Checkout(root) => root,
            Self::Git { .. } => project.root(),
        };
        Some(root.join("Cargo.lock")).filter(|file| file.is_file())
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkout(root) => write!(f, "{}", root.display()),
            Self::Git { url, revision } => write!(f, "{url} at {revision}"),
        }
    }
}
