//! `cargo xtask features` tries the features in a workspace as a driver author has it.
//!
//! The driver's package uses `driver_entry!` and tests itself on the simulated kernel. Another
//! package of the workspace switches the simulated kernel on for itself. Cargo unifies features in
//! one build, so the command line decides which kernel the image gets. Every wrong command must be
//! refused with the message that says what to do. The right commands leave the simulated kernel
//! out, so on this system, which is not Windows, they must be refused for want of a kernel. (`cargo
//! xtask wdk-check` checks an image with the real one.)
//!
//! The linker must refuse two declarations with one IID in an image, and name the IID ([`iids`]).
pub(crate) mod iids;
mod windows;

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context;

use crate::{
    command::{self, capture},
    interrupt,
    project::Project,
    ui,
};

/// The right end of a build.
enum End {
    Builds,
    /// The compiler refuses it, with this message.
    Refused(&'static str),
}

/// The message about an image with the simulated kernel in it.
const SIMULATED: End = End::Refused("this driver image contains the simulated kernel");
/// The message about an image for another system than Windows, with no kernel at all.
const NO_KERNEL: End = End::Refused("this driver image has no kernel");

/// A command that builds, and how it must end.
struct Way {
    what: &'static str,
    resolver: &'static str,
    arguments: &'static [&'static str],
    end: End,
}

const WAYS: [Way; 6] = [
    Way { what: "the driver alone", resolver: "3", arguments: &["check", "-p", "driver"], end: NO_KERNEL },
    Way {
        what: "the driver alone, resolver 2",
        resolver: "2",
        arguments: &["check", "-p", "driver"],
        end: NO_KERNEL,
    },
    Way {
        what: "resolver 1, which unifies with the tests' dependencies",
        resolver: "1",
        arguments: &["check", "-p", "driver"],
        end: SIMULATED,
    },
    Way {
        what: "the whole workspace at once",
        resolver: "3",
        arguments: &["check", "--workspace"],
        end: SIMULATED,
    },
    Way {
        what: "the driver with the feature sim",
        resolver: "3",
        arguments: &["check", "-p", "driver", "--features", "ntcom/sim"],
        end: SIMULATED,
    },
    Way {
        what: "the other package, on the simulated kernel",
        resolver: "3",
        arguments: &["check", "-p", "other"],
        end: End::Builds,
    },
];

/// Tries every command.
pub(crate) fn run(project: &Project) -> anyhow::Result<ExitCode> {
    let mut table = ui::table(&["way to build", "must", "result"], 3..3);
    let mut wrong = 0;
    for way in &WAYS {
        if interrupt::interrupted() {
            anyhow::bail!("interrupted");
        }
        let folder = project.path("target/features").join(way.resolver);
        workspace(project, &folder, way.resolver)?;
        let mut cargo = command::cargo(project);
        cargo
            .current_dir(&folder)
            .args(way.arguments)
            .arg("--target-dir")
            .arg(project.path("target/features/build"));
        let captured = capture(&mut cargo, |_| {})?;
        let built = captured.status.success();
        let (right, must) = match way.end {
            End::Builds => (built, "build"),
            End::Refused(message) => (!built && captured.output.contains(message), "be refused"),
        };
        if !right {
            wrong += 1;
            say!("{}:\n{}", way.what, captured.output);
        }
        table.add_row([way.what, must, if right { "does" } else { "DOES NOT" }]);
    }
    say!("{table}");
    wrong += usize::from(!without_an_executor(project)?);
    wrong += windows::run(project)?;
    wrong += iids::run(project)?;
    let all = WAYS.len() + 1 + windows::WAYS.len() + iids::WAYS.len();
    say!("{} of {all} builds end as they must", all - wrong);
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks `[C21]`. With `async-com` alone, declared async methods compile and their operations
/// fail. The test has a build of its own, because the workspace's has an executor.
fn without_an_executor(project: &Project) -> anyhow::Result<bool> {
    let mut test = command::cargo(project);
    test.args(["test", "--package", "ntcom", "--features", "async-com", "--test", "no_executor"]);
    test.arg("--target-dir").arg(project.path("target/alone"));
    let captured = capture(&mut test, |_| {})?;
    let right = captured.status.success() && !captured.output.contains(" 0 passed");
    if !right {
        say!("{}", captured.output);
    }
    Ok(right)
}

/// Writes the files of the workspace.
fn workspace(project: &Project, folder: &Path, resolver: &str) -> anyhow::Result<()> {
    let root = project.root().display();
    let package = |name: &str, rest: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n{rest}"
        )
    };
    let ntcom =
        |features: &str| format!("ntcom = {{ path = \"{root}/runtime\", features = [{features}] }}\n");
    let files = [
        (
            "Cargo.toml",
            format!("[workspace]\nmembers = [\"driver\", \"other\"]\nresolver = \"{resolver}\"\n"),
        ),
        (
            "driver/Cargo.toml",
            package(
                "driver",
                &format!(
                    "[dependencies]\n{}\n[dev-dependencies]\n{}",
                    ntcom("\"async-com-kernel\""),
                    ntcom("\"async-com\", \"sim\"")
                ),
            ),
        ),
        ("driver/src/lib.rs", DRIVER.to_owned()),
        (
            "other/Cargo.toml",
            package("other", &format!("[dependencies]\n{}", ntcom("\"async-com\", \"sim\""))),
        ),
        ("other/src/lib.rs", "//! Runs on the simulated kernel.\npub use ntcom::GUID;\n".to_owned()),
    ];
    write(project, folder, &files)
}

/// Writes the files of a workspace that are not there yet, and the `Cargo.lock` of the checkout.
pub(crate) fn write(project: &Project, folder: &Path, files: &[(&str, String)]) -> anyhow::Result<()> {
    for (name, text) in files {
        let file = folder.join(name);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        if fs::read_to_string(&file).is_ok_and(|old| old == *text) {
            continue;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let lock = folder.join("Cargo.lock");
    if !lock.exists() {
        fs::copy(project.path("Cargo.lock"), &lock).context("cannot copy Cargo.lock")?;
    }
    Ok(())
}

/// A driver's image with an entry point, an interface and an object.
const DRIVER: &str = r#"#![no_std]
use core::ffi::c_void;
use ntcom::{
    AsyncBody, ComObject, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS, declare_com_interface, pin_init,
};

declare_com_interface! {
    pub trait ISensor: IUnknown {
        const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7c01);
        #[opaque]
        async fn sample(&self, channel: u32) -> u32;
    }
}

struct Sensor;

// SAFETY: the body touches nothing.
unsafe impl ISensor for Sensor {
    type Allocator = GlobalAllocator;
    fn sample(&self, channel: u32) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(async move { channel }))
    }
}

unsafe fn entry(_driver: *mut c_void, _registry_path: *const c_void) -> NTSTATUS {
    match ComObject::<_, ISensorRaw>::new(Sensor) {
        Ok(_sensor) => NTSTATUS::SUCCESS,
        Err(status) => status,
    }
}

ntcom::driver_entry!(entry);
"#;
