//! The table that a library exports, as `include/ntcom_kit.h` declares it. `tests/header.rs` holds one to the other.

use core::ffi::{c_char, c_void};

use ntcom::NTSTATUS;

use crate::report::shown;

/// The version of the table that this kit judges.
pub const VERSION: u32 = 1;
/// What a library exports.
pub const SYMBOL: &str = "ntcom_kit";

/// Shapes of bodies, as bits: see the header.
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

/// What a body's `poll` answers.
pub mod poll {
    /// The part has not ended.
    pub const PENDING: i32 = 0;
    /// It has.
    pub const READY: i32 = 1;
    /// The library is to raise an exception, or to panic.
    pub const RAISE: i32 = 2;
}

/// The recipe's `finish` may answer a failure.
pub const MAY_FAIL: u32 = 1;

/// A body: `struct ntcom_kit_recipe`.
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
    pub finish: unsafe extern "C" fn(*mut c_void, *mut c_void) -> NTSTATUS,
    pub drop: unsafe extern "C" fn(*mut c_void),
}

/// Bytes of a [`Stop`]'s text.
pub const TEXT: usize = 2048;

/// Why a run was stopped: `struct ntcom_kit_stop`.
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
    /// Nothing yet.
    pub const EMPTY: Self =
        Self { size: size_of::<Self>() as u32, bug_check: 0, parameter: 0, text: [0; TEXT] };

    /// The text, as far as it goes.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.text.iter().copied().take_while(|byte| *byte != 0).collect();
        shown(&String::from_utf8_lossy(&bytes), TEXT)
    }
}

/// A program that [`Table::run`] runs.
pub type Program = unsafe extern "C" fn(*mut c_void);
/// Lets other threads go on.
pub type Pause = unsafe extern "C" fn();
/// What each of several threads runs: `ntcom_kit_thread`.
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

        impl Table {
            /// One without members.
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
        spawn_error: unsafe extern "C" fn(u32, NTSTATUS) -> *mut c_void,
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
        client_result: unsafe extern "C" fn(*mut c_void, u32, *mut c_void) -> NTSTATUS,
        client_status: unsafe extern "C" fn(*mut c_void, u32, *mut i32) -> NTSTATUS,
        client_query: unsafe extern "C" fn(*mut c_void, u32) -> NTSTATUS,
        spawn_without_executor: unsafe extern "C" fn(*const Recipe) -> *mut c_void,
        at_passive_level: unsafe extern "C" fn(Program, *mut c_void),
        run_at_once: unsafe extern "C" fn(u32, ThreadProgram, *mut c_void, *mut Stop) -> i32,
        run_in_turn: unsafe extern "C" fn(u32, u64, ThreadProgram, *mut c_void, *mut Stop) -> i32,
        yield_with: unsafe extern "C" fn(Option<Pause>),
    }
}

/// What a library exports under [`SYMBOL`].
pub type GetTable = unsafe extern "C" fn() -> *const Table;

// SAFETY: it is never written, and points to a text that stays.
unsafe impl Sync for Table {}
