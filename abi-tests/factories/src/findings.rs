//! The expectations that a client gets, and the finding that it returns. `c/abi.h` declares both in
//! C.

use core::ffi::{CStr, c_char};

/// The state that a client must find.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The value's bytes, if the status is Completed.
    pub value: *const u8,
    /// For each byte, 0 if it is padding.
    pub part: *const u8,
    /// The number of bytes.
    pub size: u32,
    /// The type of the value, as a number of `abi_kind` in C.
    pub kind: i32,
    /// The operation's status.
    pub status: i32,
    /// The status that get_result answers.
    pub result: i32,
    /// Whether this is the constant operation, which needs no memory. Not 0 means yes.
    pub constant: i32,
}

/// The first check of a client that failed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    what: *const c_char,
    file: *const c_char,
    line: i32,
}

impl Finding {
    /// No finding so far.
    pub const NONE: Self = Self { what: core::ptr::null(), file: core::ptr::null(), line: 0 };

    /// The file, line and text of the check that failed, if one did.
    ///
    /// # Safety
    /// A client has filled this finding, or it is `NONE`.
    #[must_use]
    pub unsafe fn text(&self) -> Option<String> {
        if self.line == 0 {
            return None;
        }
        // SAFETY: the client set `file` to a string literal.
        let file = unsafe { CStr::from_ptr(self.file) };
        // SAFETY: the client set `what` to a string literal.
        let what = unsafe { CStr::from_ptr(self.what) };
        Some(format!("{}:{}: {}", file.to_string_lossy(), self.line, what.to_string_lossy()))
    }
}
