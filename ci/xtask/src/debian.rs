//! The installation of Debian's packages, where this program may install.
use std::{
    fs::{self, File},
    process::Command,
};

use anyhow::Context;

use crate::{command, problem::Problem, project::Project, tools, ui};

/// The seconds to wait for another installation.
const LOCK_TIMEOUT: &str = "DPkg::Lock::Timeout=120";

/// Installs packages.
///
/// # Errors
/// [`Problem::Unavailable`] when the system is not Debian, the user is not root, or apt-get fails.
/// The message has the command to run by hand.
pub(crate) fn install(project: &Project, packages: &[&str]) -> anyhow::Result<()> {
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    let unavailable =
        |why: &str| Problem::Unavailable(format!("{why}; to install the missing packages: {by_hand}"));
    may_install().map_err(unavailable)?;
    let _lock = wait_for_other_legs(project)?;
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    let mut simulated = apt_get(project, &["--simulate"]);
    let known = simulated.args(&install).output().is_ok_and(|output| output.status.success());
    if !known {
        fetch_list(project).map_err(|error| unavailable(&format!("{error:#}")))?;
    }
    ui::step(&format!("installing {}", packages.join(", ")), &mut apt_get(project, &install))
        .map_err(|error| unavailable(&format!("{error:#}")).into())
}

/// Fetches the list of packages, for packages that must be newer than the list.
///
/// # Errors
/// [`Problem::Unavailable`] when apt-get is missing or fails, or the user is not root.
pub(crate) fn update(project: &Project) -> anyhow::Result<()> {
    let _lock = wait_for_other_legs(project)?;
    fetch_list(project)
}

fn fetch_list(project: &Project) -> anyhow::Result<()> {
    let unavailable = |why: &str| Problem::Unavailable(why.to_owned());
    may_install().map_err(unavailable)?;
    ui::step("updating the list of Debian packages", &mut apt_get(project, &["update"]))
        .map_err(|error| unavailable(&format!("{error:#}")).into())
}

/// Waits until no other leg installs packages. apt-get itself does not wait for the lock of its
/// lists.
fn wait_for_other_legs(project: &Project) -> anyhow::Result<File> {
    let folder = project.path(tools::TOOLS);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = File::create(folder.join("apt.lock")).context("cannot make a lock for apt-get")?;
    file.lock().context("cannot wait for another installation")?;
    Ok(file)
}

/// Checks that this is Debian and that this program may install. The error is the reason.
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
