//! Defaults for AddressSanitizer, which asks the program for them. Fake stacks leak one for each coroutine; a small quarantine is
//! enough, because the simulated pool has one of its own.

#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const core::ffi::c_char {
    c"detect_stack_use_after_return=0:quarantine_size_mb=16".as_ptr()
}
