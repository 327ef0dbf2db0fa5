//! Tests that pin the binary interface of ntcom.
//!
//! They compare the runtime's types, and `ntcom.h` as C and C++ compilers have it, with the numbers
//! of the contract (docs/abi-contract.md). Those numbers are written by hand and never computed.
//! Clients that no Rust compiler built use operations too.
//!
//! - `golden`: `abi.golden` has exactly the lines of the Rust definitions.
//! - `layout`: The runtime's tables, values and IIDs.
//! - `header`: The header's numbers, measured by the C and the C++ compiler, and by 32-bit and
//!   other compilers if there are any.
//! - `slots`: Every slot, with C and C++ calling Rust and Rust calling C and C++. The calls have
//!   the platform's calling convention and that of Windows. Each argument and each answer
//!   identifies itself.
//! - `client_slots`: The slots that the runtime's own client calls.
//! - `declared`: An interface of every width of argument. C and C++ call an object in Rust, and
//!   Rust calls objects in C and C++.
//! - `clients`: Everything that a client may do, done in C and in C++ to operations of ours. `cargo
//!   xtask windows` runs the same programs.
//! - `foreign`: Operations that are implemented in C and used from Rust, a good one and broken
//!   ones.
//! - `chains`: Operations one after the other, in C and in Rust. The stack does not grow with their
//!   number.
//! - `documents`: The page docs/c-clients.md shows the files that are tested, and the slots of the
//!   golden file.
//!
//! The library itself has the declarations of the C and C++ sides. `c/abi.h` has them in C.

use core::{
    ffi::{c_char, c_void},
    sync::atomic::AtomicU32,
};

pub use ntcom_abi_factories::findings::{Expected, Finding};

pub mod probe;

/// The compiler that the C side was built with.
pub const CC: &str = env!("ABI_TESTS_CC");
/// The compiler that the C++ side was built with.
pub const CXX: &str = env!("ABI_TESTS_CXX");

/// A pointer that does not point to anything. Its bytes count up from `whose`, so that it can be
/// recognised.
#[must_use]
pub fn canary(whose: u8) -> *mut c_void {
    let bytes = core::array::from_fn(|index| whose.wrapping_add(index as u8));
    core::ptr::without_provenance_mut(usize::from_le_bytes(bytes))
}

/// Arguments that can be recognised by their bits. No test dereferences them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is named after the parameter")]
pub struct Arguments {
    pub iid: *mut c_void,
    pub interface_out: *mut c_void,
    pub status_out: *mut c_void,
    pub result_out: *mut c_void,
    pub error_out: *mut c_void,
    pub handler: *mut c_void,
    pub context: *mut c_void,
    pub timeout: *mut c_void,
    pub size_out: *mut c_void,
}

/// A call, as it arrived.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// The number of the slot.
    pub slot: u32,
    /// The object.
    pub this: *mut c_void,
    /// The arguments after the object, null where the slot has fewer.
    pub arguments: [*mut c_void; 2],
}

/// The calls of an object, in order.
#[repr(C)]
#[derive(Debug)]
pub struct Record {
    count: u32,
    calls: [Call; 8],
}

impl Record {
    /// No calls so far.
    pub const NONE: Self = {
        let none = Call { slot: 0, this: core::ptr::null_mut(), arguments: [core::ptr::null_mut(); 2] };
        Self { count: 0, calls: [none; 8] }
    };

    /// The calls that have arrived.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        self.calls.get(..self.count as usize).unwrap_or_default()
    }
}

/// Space for an object that records its calls.
#[repr(C)]
#[derive(Debug)]
pub struct Recorder {
    table: *const c_void,
    record: *mut Record,
}

impl Recorder {
    /// Space without an object.
    pub const EMPTY: Self = Self { table: core::ptr::null(), record: core::ptr::null_mut() };
}

/// The answers of a broken operation of `u32`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// The form of the table. 0 is whole, 1 is a null pointer, 2 lacks Release, and 3 has only
    /// IUnknown's slots.
    pub table: i32,
    /// The status that get_status returns.
    pub status_answer: i32,
    /// Whether get_status writes anything.
    pub status_is_written: i32,
    /// The value that get_status writes.
    pub status: i32,
    /// The status that get_result returns.
    pub result_answer: i32,
    /// The value that get_result writes.
    pub result: u32,
    /// The status that QueryInterface returns.
    pub query_answer: i32,
    /// The pointer that QueryInterface writes. 0 is NULL, 1 is the object itself, and 2 is its
    /// control, which has no wait and no get_result_size.
    pub query_gives: i32,
    /// The status that cancel, get_error and set_completed return.
    pub control_answer: i32,
}

/// Space for a broken operation.
#[repr(C)]
#[derive(Debug)]
pub struct Broken {
    operation: *const c_void,
    control: *const c_void,
    script: *const Script,
}

impl Broken {
    /// Space without an operation.
    pub const EMPTY: Self =
        Self { operation: core::ptr::null(), control: core::ptr::null(), script: core::ptr::null() };
}

/// The results of the C++ example of docs/c-clients.md.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The status that `begin` returned.
    pub begun: i32,
    /// The status before it was cancelled, if it was.
    pub before: i32,
    /// The status at the end.
    pub status: i32,
    /// The value at the end.
    pub value: u32,
}

/// The reading of docs/c-clients.md.
#[repr(C)]
#[derive(Debug)]
pub struct SensorRead {
    operation: *mut c_void,
    control: *mut c_void,
    /// The status, which is `STATUS_PENDING` until the reading is over.
    pub status: i32,
    /// The value, if the status is `STATUS_SUCCESS`.
    pub reading: u32,
}

impl SensorRead {
    /// A reading that has not begun.
    pub const EMPTY: Self =
        Self { operation: core::ptr::null_mut(), control: core::ptr::null_mut(), status: -1, reading: 0 };
}

/// The chain of docs/c-clients.md, which does operations one after the other.
#[repr(C)]
#[derive(Debug)]
pub struct SensorChain {
    measure: Option<Measure>,
    sensor: *mut c_void,
    operation: *mut c_void,
    turns: AtomicU32,
    left: u32,
    /// The sum of the readings.
    pub sum: u64,
    /// The status, which is `STATUS_PENDING` until the chain is over.
    pub status: i32,
}

impl SensorChain {
    /// Makes a chain that has not begun.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "for tests")]
    pub const fn new() -> Self {
        let null = core::ptr::null_mut();
        let turns = AtomicU32::new(0);
        Self { measure: None, sensor: null, operation: null, turns, left: 0, sum: 0, status: -1 }
    }
}

/// Begins an operation of a sensor, with one reference.
pub type Measure = unsafe extern "C" fn(sensor: *mut c_void) -> *mut c_void;

/// A client, which takes over one reference of an operation. The operation's value is of the
/// expected type.
pub type Client = unsafe extern "C" fn(*mut c_void, *const Expected, *mut Finding);
/// Calls every slot of an interface once and collects the answers.
pub type Calls = unsafe extern "C" fn(*mut c_void, *const Arguments, *mut u32);
/// Calls a completion handler.
pub type CallsHandler = unsafe extern "C" fn(*mut c_void, *mut c_void, i32);
/// Makes an object that records its calls.
pub type Records = unsafe extern "C" fn(*mut Recorder, *mut Record) -> *mut c_void;
/// Returns a completion handler that records its call in its context, a [`Record`].
pub type Handler = unsafe extern "C" fn() -> *mut c_void;
/// Receives a name and a number.
pub type Sink = unsafe extern "C" fn(*mut c_void, *const c_char, u64);
/// Reports every offset, size and value of the header.
pub type Numbers = unsafe extern "C" fn(Sink, *mut c_void);

#[expect(missing_docs, reason = "c/abi.h says what they do")]
unsafe extern "C" {
    pub fn abi_c_client(operation: *mut c_void, expected: *const Expected, finding: *mut Finding);
    pub fn abi_cpp_client(operation: *mut c_void, expected: *const Expected, finding: *mut Finding);
    pub fn abi_c_program() -> i32;
    pub fn abi_cpp_program() -> i32;
    pub fn abi_c_numbers(sink: Sink, context: *mut c_void);
    pub fn abi_cpp_numbers(sink: Sink, context: *mut c_void);
    pub fn abi_c_operation(alive: *mut i32) -> *mut c_void;
    pub fn abi_c_operation_complete(operation: *mut c_void, value: u32);
    pub fn abi_c_broken(place: *mut Broken, script: *const Script) -> *mut c_void;
    pub fn abi_cpp_example(operation: *mut c_void, cancel: i32, reading: *mut Reading);
    pub fn sensor_read_begin(read: *mut SensorRead, operation: *mut c_void) -> i32;
    pub fn sensor_read_cancel(read: *mut SensorRead);
    pub fn sensor_read_end(read: *mut SensorRead);
    pub fn sensor_chain_begin(chain: *mut SensorChain, measure: Measure, sensor: *mut c_void, count: u32);
}

/// The slots with one calling convention, in C and in C++.
macro_rules! slots {
    ($calls_operation:ident $calls_control:ident $calls_handler:ident
     $records_operation:ident $records_control:ident $handler:ident) => {
        #[expect(missing_docs, reason = "c/abi.h says what they do")]
        unsafe extern "C" {
            pub fn $calls_operation(this: *mut c_void, arguments: *const Arguments, answers: *mut u32);
            pub fn $calls_control(this: *mut c_void, arguments: *const Arguments, answers: *mut u32);
            pub fn $calls_handler(handler: *mut c_void, context: *mut c_void, status: i32);
            pub fn $records_operation(place: *mut Recorder, record: *mut Record) -> *mut c_void;
            pub fn $records_control(place: *mut Recorder, record: *mut Record) -> *mut c_void;
            pub fn $handler() -> *mut c_void;
        }
    };
}

slots!(abi_c_calls_operation abi_c_calls_control abi_c_calls_handler
       abi_c_records_operation abi_c_records_control abi_c_handler);
slots!(abi_cpp_calls_operation abi_cpp_calls_control abi_cpp_calls_handler
       abi_cpp_records_operation abi_cpp_records_control abi_cpp_handler);
#[cfg(target_arch = "x86_64")]
slots!(abi_c_calls_operation_win64 abi_c_calls_control_win64 abi_c_calls_handler_win64
       abi_c_records_operation_win64 abi_c_records_control_win64 abi_c_handler_win64);
#[cfg(target_arch = "x86_64")]
slots!(abi_cpp_calls_operation_win64 abi_cpp_calls_control_win64 abi_cpp_calls_handler_win64
       abi_cpp_records_operation_win64 abi_cpp_records_control_win64 abi_cpp_handler_win64);
