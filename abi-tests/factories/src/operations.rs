//! Operations in every state that a client can meet.

use core::{ffi::c_void, future::pending};

use ntcom::{
    AsyncOperationRaw, AsyncStatus, NTSTATUS, spawn_async_operation_error_raw, spawn_async_operation_raw,
    spawn_async_operation_raw_cancellable,
};

use crate::{
    findings::Expected,
    values::{Aligned, Padded, Value},
};

/// The state of an operation when it is handed out. `abi_state` in C has the same order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It has completed with its value.
    Completed,
    /// It runs until it is cancelled.
    Started,
    /// It was cancelled.
    Canceled,
    /// It failed with an error before it began.
    Failed,
    /// It failed with a warning before it began.
    Warned,
    /// It failed with a status that is not a failure, which becomes STATUS_UNSUCCESSFUL.
    Misnamed,
    /// The constant operation, for which there was no memory.
    Constant,
}

impl State {
    /// All states, in the order of `abi_state`.
    pub const ALL: [Self; 7] = [
        Self::Completed,
        Self::Started,
        Self::Canceled,
        Self::Failed,
        Self::Warned,
        Self::Misnamed,
        Self::Constant,
    ];

    /// The status and the result that an operation in this state must have.
    #[must_use]
    pub fn promised(self) -> (AsyncStatus, NTSTATUS) {
        match self {
            Self::Completed => (AsyncStatus::Completed, NTSTATUS::SUCCESS),
            Self::Started => (AsyncStatus::Started, NTSTATUS::PENDING),
            Self::Canceled => (AsyncStatus::Canceled, NTSTATUS::CANCELLED),
            Self::Failed => (AsyncStatus::Error, ERROR),
            Self::Warned => (AsyncStatus::Error, WARNING),
            Self::Misnamed => (AsyncStatus::Error, NTSTATUS::UNSUCCESSFUL),
            Self::Constant => (AsyncStatus::Error, NTSTATUS::INSUFFICIENT_RESOURCES),
        }
    }
}

const ERROR: NTSTATUS = NTSTATUS::from_u32(0xC000_009D);
const WARNING: NTSTATUS = NTSTATUS::from_u32(0x8000_0011);

/// Makes an operation with one reference, which the caller owns. Call it within a simulated kernel
/// only.
#[must_use]
pub fn spawn<T: Value>(state: State) -> *mut AsyncOperationRaw<T> {
    match state {
        State::Completed => spawn_async_operation_raw(async { T::yielded() }),
        State::Started => spawn_async_operation_raw(pending::<T>()),
        State::Canceled => {
            let (operation, handle) = spawn_async_operation_raw_cancellable(pending::<T>());
            handle.cancel();
            operation
        }
        State::Failed => spawn_async_operation_error_raw(ERROR),
        State::Warned => spawn_async_operation_error_raw(WARNING),
        State::Misnamed => spawn_async_operation_error_raw(NTSTATUS::PENDING),
        State::Constant => {
            ntsim::fail_allocation(0);
            spawn_async_operation_raw(async { T::yielded() })
        }
    }
}

/// The expectations of an operation in this state.
#[must_use]
pub fn expected<T: Value>(state: State) -> Expected {
    const { assert!(T::PARTS.len() == size_of::<T>()) };
    let (status, result) = state.promised();
    Expected {
        value: core::ptr::from_ref(T::GRAFFITI).cast(),
        part: T::PARTS.as_ptr(),
        size: T::PARTS.len() as u32,
        kind: T::KIND,
        status: status as i32,
        result: result.0,
        constant: i32::from(state == State::Constant),
    }
}

/// Makes an operation with its expectations.
type Factory = fn(State) -> (*mut c_void, Expected);

fn factory<T: Value>(state: State) -> (*mut c_void, Expected) {
    (spawn::<T>(state).cast(), expected::<T>(state))
}

/// The kinds in the order of `abi_kind`, with their names in reports.
const KINDS: [(&str, Factory); 7] = [
    ("()", factory::<()>),
    ("u8", factory::<u8>),
    ("u32", factory::<u32>),
    ("u64", factory::<u64>),
    ("Padded", factory::<Padded>),
    ("Aligned", factory::<Aligned>),
    ("[u32; 1024]", factory::<[u32; 1024]>),
];

/// A kind's name and its factory, and a state, from their numbers in C. `None` if there is no such
/// number.
pub(crate) fn numbered(kind: i32, state: i32) -> Option<(&'static str, Factory, State)> {
    let (name, factory) = *KINDS.get(usize::try_from(kind).ok()?)?;
    let state = *State::ALL.get(usize::try_from(state).ok()?)?;
    Some((name, factory, state))
}
