//! Default options for AddressSanitizer, which asks the program for them. With
//! stack-use-after-return detection each coroutine would leak its fake stack. A small quarantine
//! and the innermost frame of an allocation are enough, because the driver's blocks come from the
//! simulated pool. That pool has its own quarantine and history.

#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const core::ffi::c_char {
    c"detect_stack_use_after_return=0:quarantine_size_mb=16:malloc_context_size=1".as_ptr()
}
