//! Operations that are implemented in C, from the header alone, and used from Rust. One keeps the
//! contract. Others break it, which the client must survive `[C17]`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{
    ffi::c_void,
    sync::atomic::{AtomicI32, Ordering::SeqCst},
};

use ntcom::{
    AsyncControlRaw, AsyncOperationRaw, AsyncStatus, ComRc, IUnknownRaw, NTSTATUS, RawAsyncStatus,
    com::E_NOINTERFACE,
};
use ntcom_abi_tests::{
    Broken, Client, Expected, Finding, Script, abi_c_broken, abi_c_client, abi_c_operation,
    abi_c_operation_complete, abi_cpp_client,
};

/// A Started operation, and whether it still exists.
fn operation() -> (ComRc<AsyncOperationRaw<u32>>, Box<AtomicI32>) {
    let alive = Box::new(AtomicI32::new(0));
    // SAFETY: `alive` outlives the operation, because the tests hold both.
    let raw = unsafe { abi_c_operation(alive.as_ptr()) };
    // SAFETY: `raw` is an operation of `u32` with one reference.
    let operation = unsafe { ComRc::from_raw(raw.cast()) }.unwrap();
    (operation, alive)
}

#[test]
fn an_operation_in_c_is_pending_and_completes() {
    let (operation, alive) = operation();
    assert_eq!(operation.status(), Ok(AsyncStatus::Started));
    assert_eq!(operation.result(), Err(NTSTATUS::PENDING));
    // SAFETY: the operation is alive and has not ended.
    unsafe { abi_c_operation_complete(operation.as_ptr().cast(), 0x4443_4241) };
    assert_eq!(operation.status(), Ok(AsyncStatus::Completed));
    assert_eq!(operation.result(), Ok(0x4443_4241));
    drop(operation);
    assert_eq!(alive.load(SeqCst), 0);
}

#[test]
fn an_operation_in_c_has_one_identity_and_counts() {
    let (operation, alive) = operation();
    let control: ComRc<AsyncControlRaw> = operation.control().unwrap();
    let unknown: ComRc<IUnknownRaw> = control.query().unwrap();
    assert_eq!(unknown.as_ptr().cast(), operation.as_ptr());
    drop(operation.clone());
    drop(operation);
    drop(unknown);
    assert_eq!(alive.load(SeqCst), 1, "the control is a reference");
    drop(control);
    assert_eq!(alive.load(SeqCst), 0);
}

#[test]
fn an_operation_in_c_is_cancelled_and_says_so() {
    static HEARD: AtomicI32 = AtomicI32::new(-1);
    unsafe extern "system" fn heard(context: *mut c_void, status: RawAsyncStatus) {
        assert_eq!(context.addr(), 0x7170);
        assert_eq!(HEARD.swap(status.0, SeqCst), -1, "once");
    }
    let (operation, alive) = operation();
    let control = operation.control().unwrap();
    assert_eq!(control.error(), Ok(NTSTATUS::PENDING));
    assert_eq!(control.result_size(), Ok(4));
    let context = core::ptr::without_provenance_mut(0x7170);
    // SAFETY: the handler may be called with anything.
    let set = || unsafe { control.set_completed(heard, context) };
    assert_eq!(set(), Ok(()));
    assert_eq!(set(), Err(NTSTATUS::INVALID_DEVICE_STATE));
    assert_eq!(control.cancel(), Ok(()));
    assert_eq!(HEARD.load(SeqCst), AsyncStatus::Canceled as i32);
    assert_eq!(operation.result(), Err(NTSTATUS::CANCELLED));
    assert_eq!(control.error(), Ok(NTSTATUS::CANCELLED));
    drop((operation, control));
    assert_eq!(alive.load(SeqCst), 0);
}

/// C calls C and C++ calls C. The clients find the same in this operation as in one of ours.
#[test]
fn clients_in_c_and_cpp_find_an_operation_in_c_as_promised() {
    for client in [abi_c_client as Client, abi_cpp_client] {
        for value in [None, Some(0x4443_4241_u32)] {
            let (operation, alive) = operation();
            if let Some(value) = value {
                // SAFETY: the operation is alive and has not ended.
                unsafe { abi_c_operation_complete(operation.as_ptr().cast(), value) };
            }
            let (status, result) = if value.is_some() {
                (AsyncStatus::Completed, NTSTATUS::SUCCESS)
            } else {
                (AsyncStatus::Started, NTSTATUS::PENDING)
            };
            static ALL: [u8; 4] = [1; 4];
            let bytes = value.unwrap_or(0).to_le_bytes();
            let expected = Expected {
                value: bytes.as_ptr(),
                part: ALL.as_ptr(),
                size: 4,
                kind: 2,
                status: status as i32,
                result: result.0,
                constant: 0,
            };
            let mut finding = Finding::NONE;
            // SAFETY: the client takes over the one reference.
            unsafe { client(operation.into_raw().cast(), &raw const expected, &raw mut finding) };
            // SAFETY: a client has filled the finding.
            assert_eq!(unsafe { finding.text() }, None);
            assert_eq!(alive.load(SeqCst), 0);
        }
    }
}

const FAILED: i32 = NTSTATUS::INVALID_PARAMETER.0;
const BREACH: NTSTATUS = NTSTATUS::DRIVER_INTERNAL_ERROR;

/// A Completed operation that keeps the contract as far as it has slots. It has one interface.
const GOOD: Script = Script {
    table: 0,
    status_answer: 0,
    status_is_written: 1,
    status: 1,
    result_answer: 0,
    result: 0x4443_4241,
    query_answer: E_NOINTERFACE.0,
    query_gives: 0,
    control_answer: 0,
};

/// Makes an operation with this script, and tests the client of it.
fn with(script: &Script, test: impl FnOnce(Result<ComRc<AsyncOperationRaw<u32>>, NTSTATUS>)) {
    let mut place = Broken::EMPTY;
    // SAFETY: `place` and `script` outlive the operation.
    let raw = unsafe { abi_c_broken(&raw mut place, script) };
    // SAFETY: the operation does not count references, so any number may be given up.
    test(unsafe { ComRc::from_raw(raw.cast()) });
}

#[test]
fn a_table_with_holes_is_an_error() {
    with(&GOOD, |operation| assert_eq!(operation.unwrap().result(), Ok(0x4443_4241)));
    with(&Script { table: 1, ..GOOD }, |operation| assert_eq!(operation.unwrap_err(), BREACH));
    with(&Script { table: 2, ..GOOD }, |operation| assert_eq!(operation.unwrap_err(), BREACH));
    with(&Script { table: 3, ..GOOD }, |operation| {
        let operation = operation.unwrap();
        assert_eq!(operation.status(), Err(BREACH));
        assert_eq!(operation.result(), Err(BREACH));
    });
}

#[test]
fn a_status_that_is_none_is_an_error() {
    for status in [-1, 4, 7, i32::MIN, i32::MAX] {
        with(&Script { status, ..GOOD }, |operation| {
            let operation = operation.unwrap();
            assert_eq!(operation.status(), Err(BREACH), "{status}");
            assert_eq!(operation.result(), Err(BREACH), "{status}");
        });
    }
    with(&Script { status_is_written: 0, ..GOOD }, |operation| {
        assert_eq!(operation.unwrap().status(), Err(BREACH), "nothing was written");
    });
    with(&Script { status_answer: NTSTATUS::PENDING.0, ..GOOD }, |operation| {
        assert_eq!(operation.unwrap().status(), Err(BREACH), "a success code that is not STATUS_SUCCESS");
    });
    with(&Script { status_answer: FAILED, ..GOOD }, |operation| {
        assert_eq!(operation.unwrap().status(), Err(NTSTATUS(FAILED)), "a failure is passed on unchanged");
    });
}

#[test]
fn a_result_that_contradicts_the_status_is_an_error() {
    let [started, completed, canceled, error] = [0, 1, 2, 3];
    for (status, result_answer, expected) in [
        (completed, NTSTATUS::PENDING.0, BREACH),
        (completed, NTSTATUS::TIMEOUT.0, BREACH),
        (completed, FAILED, BREACH),
        (canceled, NTSTATUS::SUCCESS.0, BREACH),
        (canceled, NTSTATUS::PENDING.0, BREACH),
        (error, NTSTATUS::SUCCESS.0, BREACH),
        (error, NTSTATUS::TIMEOUT.0, BREACH),
        (started, NTSTATUS::TIMEOUT.0, BREACH),
        (started, NTSTATUS::PENDING.0, NTSTATUS::PENDING),
        (error, FAILED, NTSTATUS(FAILED)),
    ] {
        with(&Script { status, result_answer, ..GOOD }, |operation| {
            assert_eq!(operation.unwrap().result(), Err(expected), "status {status}, {result_answer:#x}");
        });
    }
}

#[test]
fn a_query_that_breaks_its_word_is_an_error() {
    with(&GOOD, |operation| {
        assert_eq!(operation.unwrap().control().unwrap_err(), NTSTATUS::NOINTERFACE, "E_NOINTERFACE");
    });
    with(&Script { query_answer: 0, query_gives: 0, ..GOOD }, |operation| {
        assert_eq!(operation.unwrap().control().unwrap_err(), BREACH, "success with a null pointer");
    });
    with(&Script { query_answer: FAILED, query_gives: 1, ..GOOD }, |operation| {
        let answer = operation.unwrap().control();
        assert_eq!(answer.unwrap_err(), NTSTATUS(FAILED), "the pointer of a failed query is ignored");
    });
}

#[test]
fn a_control_that_breaks_its_word_is_an_error() {
    unsafe extern "system" fn never(_context: *mut c_void, _status: RawAsyncStatus) {}
    let controlled = Script { query_answer: 0, query_gives: 2, ..GOOD };
    with(&Script { control_answer: NTSTATUS::PENDING.0, ..controlled }, |operation| {
        let control = operation.unwrap().control().unwrap();
        assert_eq!(control.cancel(), Err(BREACH));
        assert_eq!(control.error(), Err(BREACH));
        assert_eq!(control.result_size(), Err(BREACH), "the slot is null");
        // SAFETY: the handler may be called with anything.
        assert_eq!(unsafe { control.set_completed(never, core::ptr::null_mut()) }, Err(BREACH));
    });
    with(&Script { control_answer: FAILED, ..controlled }, |operation| {
        assert_eq!(operation.unwrap().control().unwrap().cancel(), Err(NTSTATUS(FAILED)));
    });
}
