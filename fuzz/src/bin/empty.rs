//! An empty target that measures the cost of an execution. Speeds are ratios to it.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    core::hint::black_box(data);
});

#[cfg(not(fuzzing))]
fn main() {
    println!("a fuzz target: run it with `cargo xtask fuzz`");
}
