//! Sets `NTSIM_STACK_MULTIPLE`, the factor by which a build uses more stack than an optimised one.
//!
//! Code that is not optimised has a stack slot for each value and each move of it.

fn main() {
    let optimised = std::env::var("OPT_LEVEL").is_ok_and(|level| level != "0");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=NTSIM_STACK_MULTIPLE={}", if optimised { 1 } else { 8 });
}
