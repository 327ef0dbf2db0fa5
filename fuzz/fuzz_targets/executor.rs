//! The `executor` target. It only calls the library.
#![cfg_attr(fuzzing, no_main)]

ntcom_fuzz::fuzz_program!(ExecutorInput);
