//! The table that an implementation of async COM exports to the conformance kit. It is
//! `ntcom_kit.h` in Rust, and depends on no other crate. The header, which is below, explains each
//! member.
//!
//! A library is a `cdylib` that fills a [`Table`] and exports it. `abi-tests/kit/foreign` is a
//! small one that does not use `ntcom`. `abi-tests/kit/ours` offers everything that the kit can
//! test.
//!
//! ```
//! use core::ffi::c_void;
//! use ntcom_kit_table::{Program, Recipe, Required, Stop, Table, shape};
//!
//! unsafe extern "C" fn run(program: Program, context: *mut c_void, _stop: *mut Stop) -> i32 {
//!     // SAFETY: the kit passes its program with the program's context.
//!     unsafe { program(context) };
//!     0
//! }
//! # unsafe extern "C" fn advance() {}
//! # unsafe extern "C" fn spawn(_: *const Recipe, _: *mut *mut c_void) -> *mut c_void {
//! #     core::ptr::null_mut()
//! # }
//! # unsafe extern "C" fn spawn_error(_: u32, _: i32) -> *mut c_void { core::ptr::null_mut() }
//! # unsafe extern "C" fn asks(_: *mut c_void) -> i32 { 0 }
//! # unsafe extern "C" fn does(_: *mut c_void) {}
//! # unsafe extern "C" fn gives(it: *mut c_void) -> *mut c_void { it }
//!
//! // A required member that is missing is a compile error.
//! const REQUIRED: Required = Required {
//!     run,
//!     advance,
//!     spawn,
//!     // ... and the others.
//! #   spawn_error,
//! #   task_is_cancelled: asks,
//! #   task_take_cancellation: asks,
//! #   task_wake: does,
//! #   task_waker: gives,
//! #   waker_clone: gives,
//! #   waker_wake: does,
//! #   waker_wake_by_ref: does,
//! #   waker_drop: does,
//! };
//!
//! // A member that is not named is not offered.
//! ntcom_kit_table::export_table!(Table { shapes: shape::PLAIN, ..Table::new(c"mine", REQUIRED) });
//! # assert!(unsafe { (*ntcom_kit()).missing().is_empty() });
//! ```
//!
//! ## The header
//!
//! ```c
#![doc = include_str!("../../include/ntcom_kit.h")]
//! ```

use core::ffi::{CStr, c_char, c_void};

/// The version of the table.
pub const VERSION: u32 = 1;
/// The name of the function that a library exports.
pub const SYMBOL: &str = "ntcom_kit";

/// Shapes of bodies, as bits. The header explains them.
pub mod shape {
    /// One part.
    pub const PLAIN: u32 = 1;
    /// A main and its cleanup, which always runs.
    pub const TRY_FINALLY: u32 = 2;
    /// A main and a cleanup, which runs if the main unwinds.
    pub const ON_CANCEL: u32 = 4;
    /// One `try_finally` inside of the main of another.
    pub const NESTED: u32 = 8;
    /// Two `try_finally` that are polled in turn.
    pub const JOIN: u32 = 16;
}

/// Answers of a body's `poll`.
pub mod poll {
    /// The part has not ended.
    pub const PENDING: i32 = 0;
    /// The part has ended.
    pub const READY: i32 = 1;
    /// The library must raise an exception, or panic.
    pub const RAISE: i32 = 2;
}

/// Flag of a recipe with a `finish` that may answer a failure.
pub const MAY_FAIL: u32 = 1;

/// A body, which is `struct ntcom_kit_recipe` in C.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the header tells what each is")]
pub struct Recipe {
    pub size: u32,
    pub kind: u32,
    pub shape: u32,
    pub flags: u32,
    pub context: *mut c_void,
    pub begin: unsafe extern "C" fn(*mut c_void),
    pub poll: unsafe extern "C" fn(*mut c_void, u32, *mut c_void) -> i32,
    pub guarded: unsafe extern "C" fn(*mut c_void, u32, i32),
    pub finish: unsafe extern "C" fn(*mut c_void, *mut c_void) -> i32,
    pub drop: unsafe extern "C" fn(*mut c_void),
}

/// The size of a [`Stop`]'s text in bytes.
pub const TEXT: usize = 2048;

/// The reason for which a run was stopped, which is `struct ntcom_kit_stop` in C.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the header tells what each is")]
pub struct Stop {
    pub size: u32,
    pub bug_check: u32,
    pub parameter: u64,
    pub text: [u8; TEXT],
}

impl Stop {
    /// No reason yet.
    pub const EMPTY: Self =
        Self { size: size_of::<Self>() as u32, bug_check: 0, parameter: 0, text: [0; TEXT] };
}

/// A program that [`Table::run`] runs.
pub type Program = unsafe extern "C" fn(*mut c_void);
/// A function that lets other threads go on.
pub type Pause = unsafe extern "C" fn();
/// A program of several threads, which is `ntcom_kit_thread` in C.
pub type ThreadProgram = unsafe extern "C" fn(*mut c_void, u32, Pause);
/// A function of one pointer.
pub type Does = unsafe extern "C" fn(*mut c_void);
/// A function of one pointer that gives another.
pub type Gives = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
/// A function that gives a number for a pointer.
pub type Asks = unsafe extern "C" fn(*mut c_void) -> i32;
/// A command.
pub type Command = unsafe extern "C" fn();

macro_rules! table {
    (required { $($required:ident: $required_type:ty,)* } optional { $($optional:ident: $optional_type:ty,)* }) => {
        /// `struct ntcom_kit_table`.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        #[expect(missing_docs, reason = "the header tells what each is")]
        pub struct Table {
            pub size: u32,
            pub version: u32,
            pub name: *const c_char,
            pub shapes: u32,
            pub fails: u32,
            pub raises: u32,
            pub level: u32,
            pub threads: u32,
            pub reserved: u32,
            $(pub $required: Option<$required_type>,)*
            $(pub $optional: Option<$optional_type>,)*
        }

        /// The members that a library must offer.
        #[derive(Clone, Copy, Debug)]
        #[expect(missing_docs, reason = "the header tells what each is")]
        pub struct Required {
            $(pub $required: $required_type,)*
        }

        impl Table {
            /// A table with the required members, and no others.
            #[must_use]
            pub const fn new(name: &'static CStr, required: Required) -> Self {
                let Required { $($required,)* } = required;
                Self { name: name.as_ptr(), $($required: Some($required),)* ..Self::EMPTY }
            }

            /// A table without members.
            pub const EMPTY: Self = Self {
                size: size_of::<Self>() as u32,
                version: VERSION,
                name: core::ptr::null(),
                shapes: shape::PLAIN,
                fails: 0,
                raises: 0,
                level: 0,
                threads: 0,
                reserved: 0,
                $($required: None,)*
                $($optional: None,)*
            };

            /// The required members that are null.
            #[must_use]
            pub fn missing(&self) -> Vec<&'static str> {
                let mut missing = Vec::new();
                $(if self.$required.is_none() { missing.push(stringify!($required)); })*
                missing
            }

            /// Names and offsets of the members, in their order.
            #[must_use]
            pub fn members() -> Vec<(&'static str, usize)> {
                vec![
                    $((stringify!($required), core::mem::offset_of!(Self, $required)),)*
                    $((stringify!($optional), core::mem::offset_of!(Self, $optional)),)*
                ]
            }
        }
    };
}

table! {
    required {
        run: unsafe extern "C" fn(Program, *mut c_void, *mut Stop) -> i32,
        advance: Command,
        spawn: unsafe extern "C" fn(*const Recipe, *mut *mut c_void) -> *mut c_void,
        spawn_error: unsafe extern "C" fn(u32, i32) -> *mut c_void,
        task_is_cancelled: Asks,
        task_take_cancellation: Asks,
        task_wake: Does,
        task_waker: Gives,
        waker_clone: Gives,
        waker_wake: Does,
        waker_wake_by_ref: Does,
        waker_drop: Does,
    }
    optional {
        handle_cancel: Does,
        handle_clone: Gives,
        handle_drop: Does,
        fail_next_allocation: Command,
        live_operations: unsafe extern "C" fn() -> u64,
        allocations: unsafe extern "C" fn() -> u64,
        irql: unsafe extern "C" fn() -> u32,
        exhaust_references: Does,
        object: unsafe extern "C" fn(Does, *mut c_void) -> *mut c_void,
        object_spawn: unsafe extern "C" fn(*mut c_void, *const Recipe) -> *mut c_void,
        close: Command,
        cancel_all: Command,
        drain: Command,
        client_result: unsafe extern "C" fn(*mut c_void, u32, *mut c_void) -> i32,
        client_status: unsafe extern "C" fn(*mut c_void, u32, *mut i32) -> i32,
        client_query: unsafe extern "C" fn(*mut c_void, u32) -> i32,
        spawn_without_executor: unsafe extern "C" fn(*const Recipe) -> *mut c_void,
        at_passive_level: unsafe extern "C" fn(Program, *mut c_void),
        run_at_once: unsafe extern "C" fn(u32, ThreadProgram, *mut c_void, *mut Stop) -> i32,
        run_in_turn: unsafe extern "C" fn(u32, u64, ThreadProgram, *mut c_void, *mut Stop) -> i32,
        yield_with: unsafe extern "C" fn(Option<Pause>),
        spawn_passive: unsafe extern "C" fn(*const Recipe) -> *mut c_void,
        drain_in_body: unsafe extern "C" fn() -> i32,
    }
}

/// The function that a library exports under [`SYMBOL`].
pub type GetTable = unsafe extern "C" fn() -> *const Table;

// SAFETY: a table is never written, and points to a text that lives for ever.
unsafe impl Sync for Table {}

/// Exports a table, which must be a constant expression, by the function that the kit looks for.
#[macro_export]
macro_rules! export_table {
    ($table:expr) => {
        #[unsafe(no_mangle)]
        extern "C" fn ntcom_kit() -> *const $crate::Table {
            static TABLE: $crate::Table = $table;
            &raw const TABLE
        }
    };
}
