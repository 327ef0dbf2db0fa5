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
    let apt_get = |arguments: &[&str]| {
        let mut command = command::at_root(project, "apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", LOCK_TIMEOUT]).args(arguments);
        command
    };
    let exists =
        Command::new("apt-get").arg("--version").output().is_ok_and(|output| output.status.success());
    if !exists {
        return Err(unavailable("there is no apt-get here").into());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(unavailable("only root may install Debian packages").into());
    }
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    let mut simulated = apt_get(&["--simulate"]);
    let known = simulated.args(&install).output().is_ok_and(|output| output.status.success());
    if !known {
        ui::step("updating the list of Debian packages", &mut apt_get(&["update"]))
            .map_err(|error| unavailable(&format!("{error:#}")))?;
    }
    ui::step(&format!("installing {}", packages.join(", ")), &mut apt_get(&install))
        .map_err(|error| unavailable(&format!("{error:#}")).into())
}
