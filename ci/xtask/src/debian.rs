//! Debian's packages: installed where this program may.
use std::process::Command;

use crate::{command, problem::Problem, project::Project, ui};

/// How long another installation is waited for, in seconds.
const LOCK_TIMEOUT: &str = "DPkg::Lock::Timeout=120";

/// Installs packages.
///
/// # Errors
/// [`Problem::Unavailable`] when that is not possible: not Debian, not root, or apt-get fails. It says what to do by hand.
pub(crate) fn install(project: &Project, packages: &[&str]) -> anyhow::Result<()> {
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    let unavailable =
        |why: &str| Problem::Unavailable(format!("{why}; to install what is missing: {by_hand}"));
    may_install().map_err(unavailable)?;
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    let mut simulated = apt_get(project, &["--simulate"]);
    let known = simulated.args(&install).output().is_ok_and(|output| output.status.success());
    if !known {
        update(project).map_err(|error| unavailable(&format!("{error:#}")))?;
    }
    ui::step(&format!("installing {}", packages.join(", ")), &mut apt_get(project, &install))
        .map_err(|error| unavailable(&format!("{error:#}")).into())
}

/// Fetches the list of packages: for packages of which an old version is not enough.
///
/// # Errors
/// [`Problem::Unavailable`] as above.
pub(crate) fn update(project: &Project) -> anyhow::Result<()> {
    let unavailable = |why: &str| Problem::Unavailable(why.to_owned());
    may_install().map_err(unavailable)?;
    ui::step("updating the list of Debian packages", &mut apt_get(project, &["update"]))
        .map_err(|error| unavailable(&format!("{error:#}")).into())
}

/// Whether this is Debian, and this program may install; else why not.
fn may_install() -> Result<(), &'static str> {
    let exists =
        Command::new("apt-get").arg("--version").output().is_ok_and(|output| output.status.success());
    if !exists {
        return Err("there is no apt-get here");
    }
    if !rustix::process::geteuid().is_root() {
        return Err("only root may install Debian packages");
    }
    Ok(())
}

fn apt_get(project: &Project, arguments: &[&str]) -> Command {
    let mut command = command::at_root(project, "apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", LOCK_TIMEOUT]).args(arguments);
    command
}
