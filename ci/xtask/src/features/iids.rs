//! Checks that two declarations with one IID in an image do not link, and that the message names
//! the IID.
//!
//! The crates `older` and `newer` declare one IID with different slots, and forbid unsafe code.
//! Each image depends on both and calls neither. The declarations must keep their files in the
//! image, which the linker would otherwise leave out.
use std::path::{Path, PathBuf};

use super::write;
use crate::{
    command::{self, capture},
    interrupt,
    project::Project,
    ui,
};

/// The symbol that every linker must name.
pub(crate) const SYMBOL: &str = "ntcom_one_declaration_per_iid_0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1fc001";

/// An image, and whether it must link.
pub(super) struct Way {
    what: &'static str,
    package: &'static str,
    /// The optimisation at link time. `None` builds the image without optimisations.
    lto: Option<&'static str>,
    links: bool,
}

pub(super) const WAYS: [Way; 7] = [
    Way { what: "one IID, two crates: a plain link", package: "program", lto: None, links: false },
    Way { what: "… optimised", package: "program", lto: Some("off"), links: false },
    Way { what: "… thin LTO", package: "program", lto: Some("thin"), links: false },
    Way { what: "… fat LTO", package: "program", lto: Some("fat"), links: false },
    Way { what: "… a driver's image, fat LTO", package: "image", lto: Some("fat"), links: false },
    Way { what: "one IID, two modules of a crate", package: "modules", lto: None, links: false },
    Way {
        what: "two IIDs, and a promised one; ntcom under another name; edition 2021",
        package: "renamed",
        lto: None,
        links: true,
    },
];

/// Links every image. Returns the number of wrong results.
pub(super) fn run(project: &Project) -> anyhow::Result<usize> {
    let folder = workspace(project)?;
    let mut table = ui::table(&["image", "must", "result"], 3..3);
    let mut wrong = 0;
    for way in &WAYS {
        if interrupt::interrupted() {
            anyhow::bail!("interrupted");
        }
        let mut cargo = command::cargo(project);
        cargo.current_dir(&folder).args(["build", "-p", way.package]);
        if let Some(lto) = way.lto {
            cargo.arg("--release").env("CARGO_PROFILE_RELEASE_LTO", lto);
        }
        cargo.arg("--target-dir").arg(project.path("target/features/build"));
        let captured = capture(&mut cargo, |_| {})?;
        let right = if way.links {
            captured.status.success()
        } else {
            !captured.status.success() && captured.output.contains(SYMBOL)
        };
        if !right {
            wrong += 1;
            say!("{}:\n{}", way.what, captured.output);
        }
        let must = if way.links { "link" } else { "be refused" };
        table.add_row([way.what, must, if right { "does" } else { "DOES NOT" }]);
    }
    say!("{table}");
    Ok(wrong)
}

/// Writes the workspace and returns its folder.
pub(crate) fn workspace(project: &Project) -> anyhow::Result<PathBuf> {
    let folder = project.path("target/features/iids");
    write(project, &folder, &files(project.root()))?;
    Ok(folder)
}

fn files(root: &Path) -> [(&'static str, String); 13] {
    let ntcom = format!("{{ path = \"{}/runtime\" }}", root.display());
    let package = |name: &str, edition: &str, rest: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"{edition}\"\npublish = false\n\n{rest}"
        )
    };
    let both = "[dependencies]\nolder = { path = \"../older\" }\nnewer = { path = \"../newer\" }\n";
    let needs = format!("[dependencies]\nntcom = {ntcom}\n");
    [
        ("Cargo.toml", WORKSPACE.to_owned()),
        ("older/Cargo.toml", package("older", "2024", &needs)),
        (
            "older/src/lib.rs",
            declaration("const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1fc001);"),
        ),
        ("newer/Cargo.toml", package("newer", "2024", &needs)),
        (
            "newer/src/lib.rs",
            declaration("const IID: GUID = \"0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fc001\"; fn more(&self) -> u32;"),
        ),
        ("program/Cargo.toml", package("program", "2024", both)),
        ("program/src/main.rs", "use {newer as _, older as _};\n\nfn main() {}\n".to_owned()),
        (
            "image/Cargo.toml",
            package("image", "2024", &format!("{both}\n[lib]\ncrate-type = [\"cdylib\"]\n")),
        ),
        ("image/src/lib.rs", "use {newer as _, older as _};\n".to_owned()),
        ("modules/Cargo.toml", package("modules", "2024", &needs)),
        ("modules/src/main.rs", MODULES.to_owned()),
        (
            "renamed/Cargo.toml",
            package("renamed", "2021", &format!("[dependencies]\ncom = {}\n", renamed(&ntcom))),
        ),
        ("renamed/src/main.rs", RENAMED.to_owned()),
    ]
}

/// The dependency under another name.
fn renamed(ntcom: &str) -> String {
    ntcom.replacen("{ ", "{ package = \"ntcom\", ", 1)
}

fn declaration(members: &str) -> String {
    format!(
        "#![no_std]\n#![forbid(unsafe_code)]\nuse ntcom::{{GUID, IUnknown}};\n\n\
         pub fn unrelated() -> u32 {{\n    7\n}}\n\n\
         ntcom::declare_com_interface! {{\n    pub trait IThing: IUnknown {{\n        {members}\n        \
         fn thing(&self) -> u32;\n    }}\n}}\n"
    )
}

const WORKSPACE: &str = r#"[workspace]
members = ["older", "newer", "program", "image", "modules", "renamed"]
resolver = "3"

[profile.release]
panic = "abort"
"#;

/// A declared interface, and one that is written by hand.
const MODULES: &str = r#"mod declared {
    ntcom::declare_com_interface! {
        pub trait IThing: ntcom::IUnknown {
            const IID: ntcom::GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fc001";
        }
    }
}

mod by_hand {
    #[repr(C)]
    pub struct IThingRaw {
        vtbl: *const ntcom::IUnknownVtbl,
    }
    // SAFETY: the table is IUnknown's.
    unsafe impl ntcom::Interface for IThingRaw {
        const IID: ntcom::GUID = ntcom::iid!("0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fc001");
    }
}

fn main() {}
"#;

const RENAMED: &str = r#"#![deny(warnings)]
#![allow(dead_code)]
mod claimed {
    #![forbid(unsafe_code)]
    com::declare_com_interface! {
        pub trait IOne: com::IUnknown {
            const IID: com::GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fc002";
            fn one(&self, channel: u32) -> Result<u32, com::NTSTATUS>;
        }
    }
    com::declare_com_interface! {
        pub trait ITwo: IOne {
            const IID: com::GUID = com::GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1fc003);
            fn two(&self) -> u32;
        }
    }
    impl IOne for u32 {
        fn one(&self, channel: u32) -> Result<u32, com::NTSTATUS> {
            com::ensure!(channel < 4, com::NTSTATUS::INVALID_PARAMETER);
            Ok(*self)
        }
    }
    impl ITwo for u32 {
        fn two(&self) -> u32 {
            *self
        }
    }
}

mod promised {
    com::declare_com_interface! {
        pub trait IOne: com::IUnknown {
            // SAFETY: the other declaration of this IID has the same slots.
            unsafe const IID: com::GUID = <super::claimed::IOneRaw as com::Interface>::IID;
            fn one(&self, channel: u32) -> Result<u32, com::NTSTATUS>;
        }
    }
}

fn main() {
    let _object = com::ComObject::<_, claimed::ITwoRaw>::new(5_u32);
}
"#;
