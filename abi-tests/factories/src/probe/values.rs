//! Arguments and answers of every width, and the client's functions for them. `c/probe.h` declares
//! the same in C.

use core::ffi::c_void;

/// The arguments of all methods, or their answers.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Debug)]
#[expect(missing_docs, reason = "each is named after its type")]
pub struct Values {
    pub u8: [u8; 2],
    pub i8: [i8; 2],
    pub u16: [u16; 2],
    pub i16: [i16; 2],
    pub u32: [u32; 2],
    pub i32: [i32; 2],
    pub u64: [u64; 2],
    pub i64: [i64; 2],
    pub f32: [f32; 2],
    pub f64: [f64; 2],
    pub pointers: [*mut c_void; 2],
}

impl Values {
    /// Makes values with bytes that identify their place and their set.
    #[must_use]
    pub fn canary(set: u8) -> Self {
        let mut next = set;
        let mut byte = || {
            next = next.wrapping_add(1);
            next
        };
        Self {
            u8: core::array::from_fn(|_| byte()),
            i8: core::array::from_fn(|_| -byte().cast_signed()),
            u16: core::array::from_fn(|_| u16::from_le_bytes(core::array::from_fn(|_| byte()))),
            i16: core::array::from_fn(|_| -i16::from_le_bytes(core::array::from_fn(|_| byte()))),
            u32: core::array::from_fn(|_| u32::from_le_bytes(core::array::from_fn(|_| byte()))),
            i32: core::array::from_fn(|_| -i32::from_le_bytes(core::array::from_fn(|_| byte()))),
            u64: core::array::from_fn(|_| u64::from_le_bytes(core::array::from_fn(|_| byte()))),
            i64: core::array::from_fn(|_| -i64::from_le_bytes(core::array::from_fn(|_| byte()))),
            // These numbers are exact in both widths.
            f32: core::array::from_fn(|_| f32::from(byte()) + 0.25),
            f64: core::array::from_fn(|_| -f64::from(byte()) - 0.125),
            pointers: core::array::from_fn(|_| {
                core::ptr::without_provenance_mut(usize::from_le_bytes(core::array::from_fn(|_| byte())))
            }),
        }
    }

    /// Zeros, before any call.
    pub const NONE: Self = Self {
        u8: [0; 2],
        i8: [0; 2],
        u16: [0; 2],
        i16: [0; 2],
        u32: [0; 2],
        i32: [0; 2],
        u64: [0; 2],
        i64: [0; 2],
        f32: [0.0; 2],
        f64: [0.0; 2],
        pointers: [core::ptr::null_mut(); 2],
    };
}

/// Space for an object with the interface, which checks its arguments.
#[repr(C)]
#[derive(Debug)]
pub struct Place {
    table: *const c_void,
    arguments: *const Values,
    answers: *const Values,
    operation: *mut c_void,
    /// A bit for each slot that was called with the right arguments.
    pub good: u32,
    /// A bit for each slot that was called with other arguments.
    pub bad: u32,
}

impl Place {
    /// Space for an object that must be called with these arguments and answers so. Its async
    /// method returns `operation`.
    #[must_use]
    pub fn new(arguments: &Values, answers: &Values, operation: *mut c_void) -> Self {
        Self { table: core::ptr::null(), arguments, answers, operation, good: 0, bad: 0 }
    }
}

/// Calls every method once, and returns the operation of the async one.
pub type Probes = unsafe extern "C" fn(*mut c_void, *const Values, *mut Values) -> *mut c_void;
/// Makes an object in its place.
pub type Probe = unsafe extern "C" fn(*mut Place) -> *mut c_void;
