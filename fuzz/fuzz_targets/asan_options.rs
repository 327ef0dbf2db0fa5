//! Defaults for AddressSanitizer, which asks the program for them. Fake stacks leak one for each coroutine; a small quarantine is
//! enough, and so is the innermost frame of an allocation, because the blocks of the driver are the simulated pool's, which has a
//! quarantine and a history of its own.

#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const core::ffi::c_char {
    c"detect_stack_use_after_return=0:quarantine_size_mb=16:malloc_context_size=1".as_ptr()
}
