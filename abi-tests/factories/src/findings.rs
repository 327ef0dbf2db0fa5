//! What a client is told, and what it says: `c/abi.h` says the same in C.

use core::ffi::{CStr, c_char};

/// What a client is to find.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The value's bytes, if the status is Completed.
    pub value: *const u8,
    /// For each of them: 0 if it is padding.
    pub part: *const u8,
    /// How many.
    pub size: u32,
    /// Which type of value: what `abi_kind` calls it in C.
    pub kind: i32,
    /// The operation's status.
    pub status: i32,
    /// What get_result answers.
    pub result: i32,
    /// Not 0: the operation that there is no memory for.
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
    /// None so far.
    pub const NONE: Self = Self { what: core::ptr::null(), file: core::ptr::null(), line: 0 };

    /// File, line and text of the check that failed, if one did.
    ///
    /// # Safety
    /// It was made by one of the clients.
    #[must_use]
    pub unsafe fn text(&self) -> Option<String> {
        if self.line == 0 {
            return None;
        }
        // SAFETY: a literal of the client's.
        let file = unsafe { CStr::from_ptr(self.file) };
        // SAFETY: as above.
        let what = unsafe { CStr::from_ptr(self.what) };
        Some(format!("{}:{}: {}", file.to_string_lossy(), self.line, what.to_string_lossy()))
    }
}
