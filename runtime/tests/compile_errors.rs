//! Each misuse of the macros is a compile error at its place, with advice. The cases are `ui/*.rs`,
//! with the compiler's output beside them.
//!
//! The compiler's output changes a little from release to release, so it is compared under the
//! workspace's `rust-version` only. After a change, run `TRYBUILD=overwrite cargo test -p ntcom
//! --test compile_errors`, and read the difference.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean")]

#[test]
fn misuse_is_a_compile_error_that_says_what_to_write() {
    let version = std::process::Command::new("rustc").arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let pinned = concat!("rustc ", env!("CARGO_PKG_RUST_VERSION"), ".");
    if !version.starts_with(pinned) {
        println!("skipped: compared under {pinned}x only, this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
