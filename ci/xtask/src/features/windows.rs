//! Builds for Windows. A build on the simulated kernel does not name `wdk-sys`, which needs the
//! WDK.
//!
//! `cargo tree` answers that on any machine, because it resolves features and compiles nothing.
use crate::{
    command::{self, capture},
    project::Project,
    ui,
};

const TARGET: &str = "x86_64-pc-windows-gnu";

/// The package that builds on Windows with the WDK only.
const REAL: &str = "wdk-sys";

/// One build.
pub(super) struct Way {
    what: &'static str,
    /// The folder of the workspace under the project's.
    folder: &'static str,
    arguments: &'static [&'static str],
    names_it: bool,
}

pub(super) const WAYS: [Way; 6] = [
    Way {
        what: "ntcom, `async-com` and `sim`",
        folder: ".",
        arguments: &["-p", "ntcom", "--features", "async-com,sim"],
        names_it: false,
    },
    Way {
        what: "ntcom, `async-com-kernel`",
        folder: ".",
        arguments: &["-p", "ntcom", "--features", "async-com-kernel"],
        names_it: true,
    },
    Way { what: "this workspace", folder: ".", arguments: &["--workspace"], names_it: false },
    Way {
        what: "the example driver's tests",
        folder: ".",
        arguments: &["-p", "sensor-driver"],
        names_it: false,
    },
    Way {
        what: "a driver, resolver 3",
        folder: "target/features/3",
        arguments: &["-p", "driver", "-e", "no-dev"],
        names_it: true,
    },
    Way {
        what: "a package on the simulated kernel beside it",
        folder: "target/features/3",
        arguments: &["-p", "other"],
        names_it: false,
    },
];

/// Asks for each. Answers how many are wrong.
pub(super) fn run(project: &Project) -> anyhow::Result<usize> {
    let mut table = ui::table(&["for Windows", REAL, "result"], 3..3);
    let mut wrong = 0;
    for way in &WAYS {
        let mut tree = command::cargo(project);
        tree.current_dir(project.path(way.folder)).args(["tree", "--target", TARGET, "--prefix", "none"]);
        let captured = capture(tree.args(way.arguments), |_| {})?;
        let names_it = captured.output.lines().any(|line| line.starts_with(&format!("{REAL} v")));
        let right = captured.status.success() && names_it == way.names_it;
        if !right {
            wrong += 1;
            say!("{}:\n{}", way.what, captured.output);
        }
        let must = if way.names_it { "is named" } else { "is not named" };
        table.add_row([way.what, must, if right { "so it is" } else { "IT IS NOT SO" }]);
    }
    say!("{table}");
    Ok(wrong)
}
