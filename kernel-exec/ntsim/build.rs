//! Says how much more stack a build uses than an optimised one: `NTSIM_STACK_MULTIPLE`.
//!
//! Code that is not optimised has a stack slot for each value and each move of it.

fn main() {
    let optimised = std::env::var("OPT_LEVEL").is_ok_and(|level| level != "0");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=NTSIM_STACK_MULTIPLE={}", if optimised { 1 } else { 8 });
}
