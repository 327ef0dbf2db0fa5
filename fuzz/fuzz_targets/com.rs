//! The `com` target. It only calls the library.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod glue {
    use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
    use ntcom_fuzz::{
        harness::{committed, libfuzzer},
        targets::ComInput,
    };
    use ntcom_fuzz_model::mutate::mutate;

    fuzz_target!(init: committed::start::<ComInput>(), |input: ComInput| libfuzzer::run(&input));

    fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
        mutate::<ComInput>(data, size, max_size, seed, fuzzer_mutate)
    });
}

#[cfg(fuzzing)]
#[path = "asan_options.rs"]
mod asan_options;

#[cfg(not(fuzzing))]
fn main() {
    println!("a fuzz target: run it with `cargo xtask fuzz --target com`");
}
