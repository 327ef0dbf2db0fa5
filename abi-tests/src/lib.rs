//! The binary interface of ntcom, pinned: the tests hold the runtime's types, and `ntcom.h` as C and C++ compilers have it, against the
//! numbers of the contract (docs/abi-contract.md), which are written out by hand and never computed. And operations are used by clients
//! that no Rust compiler built.
//!
//! | test | what |
//! |---|---|
//! | `golden` | `abi.golden` has what the Rust definitions are, and they have what it says |
//! | `layout` | the runtime's tables, values and IIDs |
//! | `header` | the header's, measured by the C and the C++ compiler; 32-bit and other compilers where there are any |
//! | `slots` | every slot, C and C++ calling Rust and Rust calling C and C++, with the platform's calling convention and with Windows's: each argument and each answer says where it belongs |
//! | `client_slots` | the runtime's own client calls the slots that it means |
//! | `declared` | an interface of every width of argument: C and C++ call an object in Rust, Rust calls objects in C and C++ |
//! | `clients` | everything a client may do, done in C and in C++ to operations of ours; the same programs are `cargo xtask windows`'s |
//! | `foreign` | operations that are implemented in C, used from Rust: a good one and broken ones |
//! | `chains` | operations one after the other, in C and in Rust: the stack does not grow with their number |
//! | `documents` | docs/c-clients.md shows the files that are tested, and the slots of the golden file |
//!
//! The library itself is what the C and C++ sides export. `c/abi.h` says the same in C.

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

/// A pointer that points nowhere, each byte of which says whose it is.
#[must_use]
pub fn graffiti(whose: u8) -> *mut c_void {
    let bytes = core::array::from_fn(|index| whose.wrapping_add(index as u8));
    core::ptr::without_provenance_mut(usize::from_le_bytes(bytes))
}

/// Arguments whose bits say where they belong. Nobody follows them.
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

/// A call as it arrived.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Which slot.
    pub slot: u32,
    /// The object.
    pub this: *mut c_void,
    /// The arguments besides it; null where the slot has fewer.
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
    /// None so far.
    pub const NONE: Self = {
        let none = Call { slot: 0, this: core::ptr::null_mut(), arguments: [core::ptr::null_mut(); 2] };
        Self { count: 0, calls: [none; 8] }
    };

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        self.calls.get(..self.count as usize).unwrap_or_default()
    }
}

/// Room for an object that records its calls.
#[repr(C)]
#[derive(Debug)]
pub struct Recorder {
    table: *const c_void,
    record: *mut Record,
}

impl Recorder {
    /// No object yet.
    pub const EMPTY: Self = Self { table: core::ptr::null(), record: core::ptr::null_mut() };
}

/// How a broken operation of `u32` answers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// 0: whole; 1: there is none; 2: no Release; 3: no slots but IUnknown's.
    pub table: i32,
    /// What get_status answers.
    pub status_answer: i32,
    /// Whether it writes anything.
    pub status_is_written: i32,
    /// What it writes.
    pub status: i32,
    /// What get_result answers.
    pub result_answer: i32,
    /// What it writes.
    pub result: u32,
    /// What QueryInterface answers.
    pub query_answer: i32,
    /// What it writes. 0: NULL; 1: the object itself; 2: its control, which has no wait and no get_result_size.
    pub query_gives: i32,
    /// What cancel, get_error and set_completed answer.
    pub control_answer: i32,
}

/// A place for a broken operation.
#[repr(C)]
#[derive(Debug)]
pub struct Broken {
    operation: *const c_void,
    control: *const c_void,
    script: *const Script,
}

impl Broken {
    /// Room for one.
    pub const EMPTY: Self =
        Self { operation: core::ptr::null(), control: core::ptr::null(), script: core::ptr::null() };
}

/// What became of a reading of docs/c-clients.md's C++ example.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Reading {
    /// What `begin` answered.
    pub begun: i32,
    /// The status before it was cancelled, if it was.
    pub before: i32,
    /// The status afterwards.
    pub status: i32,
    /// The value.
    pub value: u32,
}

/// The reading of docs/c-clients.md.
#[repr(C)]
#[derive(Debug)]
pub struct SensorRead {
    operation: *mut c_void,
    control: *mut c_void,
    /// `STATUS_PENDING` until it is over.
    pub status: i32,
    /// If the status is `STATUS_SUCCESS`.
    pub reading: u32,
}

impl SensorRead {
    /// None yet.
    pub const EMPTY: Self =
        Self { operation: core::ptr::null_mut(), control: core::ptr::null_mut(), status: -1, reading: 0 };
}

/// The chain of docs/c-clients.md: operations one after the other.
#[repr(C)]
#[derive(Debug)]
pub struct SensorChain {
    measure: Option<Measure>,
    sensor: *mut c_void,
    operation: *mut c_void,
    turns: AtomicU32,
    left: u32,
    /// Of the readings.
    pub sum: u64,
    /// `STATUS_PENDING` until it is over.
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

/// A client: takes over one reference of an operation, whose value is of the expected type.
pub type Client = unsafe extern "C" fn(*mut c_void, *const Expected, *mut Finding);
/// Calls every slot of an interface once and collects the answers.
pub type Calls = unsafe extern "C" fn(*mut c_void, *const Arguments, *mut u32);
/// Calls a completion handler.
pub type CallsHandler = unsafe extern "C" fn(*mut c_void, *mut c_void, i32);
/// Makes an object that records its calls.
pub type Records = unsafe extern "C" fn(*mut Recorder, *mut Record) -> *mut c_void;
/// Gives a completion handler that records its call in its context, a [`Record`].
pub type Handler = unsafe extern "C" fn() -> *mut c_void;
/// Is told a name and a number.
pub type Sink = unsafe extern "C" fn(*mut c_void, *const c_char, u64);
/// Tells every offset, size and value of the header.
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
