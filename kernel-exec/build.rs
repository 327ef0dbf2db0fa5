//! Chooses the kernel of this build. It sets `cfg(kernel)` if there is one, and `cfg(kernel =
//! "sim")` or `cfg(kernel = "wdk")` by name.
//!
//! This is the only place that decides it. loom has no kernel; `sim` wins over `wdk`. `wdk` takes
//! effect on Windows only, or where `cargo xtask wdk-check` sets `cfg(wdk_check)`, so that a build
//! of the workspace with all features works everywhere.

use std::env;

fn kernel() -> Option<&'static str> {
    let is_set = |name| env::var_os(name).is_some();
    if is_set("CARGO_CFG_LOOM") {
        None
    } else if is_set("CARGO_FEATURE_SIM") {
        Some("sim")
    } else if is_set("CARGO_FEATURE_WDK") && (is_set("CARGO_CFG_WINDOWS") || is_set("CARGO_CFG_WDK_CHECK")) {
        Some("wdk")
    } else {
        None
    }
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(kernel, values(none(), \"sim\", \"wdk\"))");
    if let Some(kernel) = kernel() {
        println!("cargo::rustc-cfg=kernel");
        println!("cargo::rustc-cfg=kernel=\"{kernel}\"");
    }
}
