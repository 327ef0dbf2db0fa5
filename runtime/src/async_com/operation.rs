//! Our operation, which is one block with two interfaces.
//!
//! The slots are thin. They check pointers and call the safe methods of [`Operation`], which is a
//! client's view of the task behind `this`.

use core::{ffi::c_void, future::Future, marker::PhantomData, mem::offset_of, ptr::NonNull};

use ntcom_exec::{
    Allocator, CancelHandle, GlobalAllocator, Infallible, NTSTATUS, OnDpcs, Port, Status, Task, TaskBody,
    TaskPtr,
};

use super::{
    AsyncValueType,
    abi::{AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl},
    immortal,
    placed::Placed,
    status::{AsyncStatus, RawAsyncStatus},
};
use crate::com::{
    GUID, IUnknownRaw, IUnknownVtbl, Interface,
    unknown::{answer_query, visible_count},
    write::fits_a_stack,
};

/// The head of every operation's block, which holds its interfaces.
#[repr(C)]
pub(super) struct Head<T> {
    pub(super) operation: AsyncOperationRaw<T>,
    pub(super) control: AsyncControlRaw,
}

/// The offset of the second interface in the block.
pub(super) const CONTROL: usize = offset_of!(Head<u64>, control);

type Block<B, A, X> = Task<Head<<B as TaskBody>::Value>, B, A, X>;

/// The operation that runs a future `F` for a value `T`, in one block from `A`.
///
/// The block holds the interfaces, the state, the executor's storage and the body; the value takes
/// the body's place. Clients have interface pointers to it, so this type only names the
/// instantiation. [`SpawnOperation`](super::SpawnOperation) and the spawning functions make it.
pub struct AsyncOperationTask<T, F, A = GlobalAllocator>(PhantomData<(T, F, A)>);

impl<T, F, A> AsyncOperationTask<T, F, A>
where
    T: AsyncValueType,
    F: Future<Output = T> + Send + 'static,
    A: Allocator + Send + 'static,
{
    /// Makes an operation that failed before it began. IRQL: ≤ DISPATCH_LEVEL.
    pub(super) fn failed_raw(allocator: A, status: NTSTATUS) -> *mut AsyncOperationRaw<T> {
        OperationTask::<Infallible<F>, A, <OnDpcs as Placed>::Executor>::failed_raw(allocator, status)
    }
}

/// The operation that runs a body of any kind.
pub(super) struct OperationTask<B, A, X>(PhantomData<(B, A, X)>);

impl<B, A, X> OperationTask<B, A, X>
where
    B: TaskBody<Value: AsyncValueType>,
    A: Allocator + Send + 'static,
    X: Port,
{
    const OPERATION: &'static AsyncOperationVtbl<B::Value> = {
        fits_a_stack::<B::Value>();
        &AsyncOperationVtbl {
            base: unknown_slots::<Self, 0>(),
            get_status: Some(Self::get_status),
            get_result: Some(Self::get_result),
        }
    };

    const CONTROL: &'static AsyncControlVtbl = &super::control::slots::<Self>();

    const HEAD: Head<B::Value> = Head {
        operation: AsyncOperationRaw { vtbl: Self::OPERATION },
        control: AsyncControlRaw { vtbl: Self::CONTROL },
    };

    /// Spawns an operation with one reference, which is the caller's. The pointer is never null.
    ///
    /// # Safety
    /// If `init` returns Ok, it has written a `B` to the place that it was given.
    pub(super) unsafe fn spawn_raw(
        placement: impl Placed<Executor = X>,
        allocator: A,
        init: impl FnOnce(*mut B) -> Result<(), NTSTATUS>,
    ) -> *mut AsyncOperationRaw<B::Value> {
        let executor = match placement.executor() {
            Ok(executor) => executor,
            Err(refused) => return Self::failed_raw(allocator, refused),
        };
        // SAFETY: `init` writes a `B` before it returns Ok, as the caller promises.
        unsafe { Self::spawn(executor, allocator, 1, init) }.map_or_else(immortal::raw, |(raw, _)| raw)
    }

    /// Spawns an operation as [`spawn_raw`](Self::spawn_raw) does, with a handle that cancels it.
    ///
    /// # Safety
    /// If `init` returns Ok, it has written a `B` to the place that it was given.
    pub(super) unsafe fn spawn_raw_cancellable(
        placement: impl Placed<Executor = X>,
        allocator: A,
        init: impl FnOnce(*mut B) -> Result<(), NTSTATUS>,
    ) -> (*mut AsyncOperationRaw<B::Value>, CancelHandle) {
        let executor = match placement.executor() {
            Ok(executor) => executor,
            Err(refused) => return (Self::failed_raw(allocator, refused), CancelHandle::inert()),
        };
        // SAFETY: `init` writes a `B` before it returns Ok, as the caller promises.
        match unsafe { Self::spawn(executor, allocator, 2, init) } {
            // SAFETY: the second of the two references that were asked for.
            Some((raw, task)) => (raw, unsafe { CancelHandle::from_reference(task) }),
            None => (immortal::raw(), CancelHandle::inert()),
        }
    }

    fn failed_raw(allocator: A, status: NTSTATUS) -> *mut AsyncOperationRaw<B::Value> {
        Block::<B, A, X>::failed(Self::HEAD, allocator, 1, status)
            .map_or_else(|_| immortal::raw(), |block| block.as_ptr().cast())
    }

    /// Spawns an operation with this many references. Returns `None` if there is no memory for the
    /// block.
    ///
    /// # Safety
    /// If `init` returns Ok, it has written a `B` to the place that it was given.
    unsafe fn spawn(
        executor: X,
        allocator: A,
        references: u32,
        init: impl FnOnce(*mut B) -> Result<(), NTSTATUS>,
    ) -> Option<(*mut AsyncOperationRaw<B::Value>, TaskPtr)> {
        // SAFETY: `init` writes a `B` before it returns Ok, as the caller promises.
        let spawned =
            unsafe { Block::<B, A, X>::spawn_on(executor, Self::HEAD, allocator, references, init) }.ok()?;
        // SAFETY: the references that were asked for keep the block.
        let task = unsafe { Block::<B, A, X>::task(spawned.block) };
        Some((spawned.block.as_ptr().cast(), task))
    }

    /// Returns the operation behind a client's pointer.
    ///
    /// # Safety
    /// `this` is the first interface of an operation of this type, and the caller holds a reference
    /// while it uses the result.
    unsafe fn from_this<'a>(this: *mut c_void) -> Operation<'a> {
        // SAFETY: interface pointers are not null.
        let block = unsafe { NonNull::new_unchecked(this) }.cast::<Block<B, A, X>>();
        // SAFETY: the caller's reference keeps the block.
        let task = unsafe { Block::<B, A, X>::task(block) };
        Operation { block: block.cast(), task, _borrow: PhantomData }
    }

    unsafe extern "system" fn get_status(this: *mut c_void, out: *mut RawAsyncStatus) -> NTSTATUS {
        if out.is_null() {
            return NTSTATUS::INVALID_PARAMETER;
        }
        // SAFETY: `this` is this interface, to which the client holds a reference.
        let operation = unsafe { Self::from_this(this) };
        // SAFETY: not null; a client's `out` is writable, and needs no alignment.
        unsafe { out.write_unaligned(AsyncStatus::from(operation.status()).into()) };
        NTSTATUS::SUCCESS
    }

    unsafe extern "system" fn get_result(this: *mut c_void, out: *mut B::Value) -> NTSTATUS {
        if out.is_null() {
            return NTSTATUS::INVALID_PARAMETER;
        }
        // SAFETY: `this` is this interface, to which the client holds a reference.
        let operation = unsafe { Self::from_this(this) };
        let status = operation.outcome();
        if status == NTSTATUS::SUCCESS {
            // SAFETY: this is the block of `this`, and Completed has been seen. `out` is not null,
            // and a client's is writable.
            unsafe { Self::hand_out(operation.block.cast(), out.cast()) };
        } else {
            // SAFETY: not null; a client's `out` is writable, and needs no alignment.
            unsafe { out.cast::<u8>().write_bytes(0, size_of::<B::Value>()) };
        }
        status
    }

    /// Writes every byte of the value out of the block. A copy of its padding would show the client
    /// the earlier contents of the stacks that the value has passed over `[C5]`.
    ///
    /// # Safety
    /// The caller has a reference and has seen Completed; `out` is writable for a value.
    unsafe fn hand_out(block: NonNull<Block<B, A, X>>, out: *mut u8) {
        if B::OWNS {
            // SAFETY: the caller holds a reference and has seen Completed.
            let value = unsafe { Block::<B, A, X>::value(block) };
            B::share(&value);
            // SAFETY: the caller's `out` is writable for a value.
            unsafe { value.write_to(out) };
        } else {
            let write = |value: &B::Value| {
                // SAFETY: the caller's `out` is writable for a value.
                unsafe { value.write_to(out) };
            };
            // SAFETY: the caller holds a reference and has seen Completed. The value is written
            // from where it lies, without a copy on the stack.
            unsafe { Block::<B, A, X>::with_value(block, write) };
        }
    }
}

/// An operation, for the slots that do not depend on the value's type.
pub(super) trait Object {
    /// Returns the operation behind a client's pointer.
    ///
    /// # Safety
    /// `this` is the first interface of an operation of this type, and the caller holds a reference
    /// while it uses the result.
    unsafe fn operation<'a>(this: *mut c_void) -> Operation<'a>;
    /// The size of the value in bytes, if it fits the interface.
    const VALUE_SIZE: Option<u32>;
}

impl<B, A, X> Object for OperationTask<B, A, X>
where
    B: TaskBody<Value: AsyncValueType>,
    A: Allocator + Send + 'static,
    X: Port,
{
    const VALUE_SIZE: Option<u32> =
        if size_of::<B::Value>() <= u32::MAX as usize { Some(size_of::<B::Value>() as u32) } else { None };

    unsafe fn operation<'a>(this: *mut c_void) -> Operation<'a> {
        // SAFETY: `this` is the first interface, to which the caller holds a reference.
        unsafe { Self::from_this(this) }
    }
}

/// A client's view of an operation, without the types of value and body.
#[derive(Clone, Copy)]
pub(super) struct Operation<'a> {
    /// The block, which is the first interface.
    block: NonNull<c_void>,
    task: TaskPtr,
    /// The client's reference.
    _borrow: PhantomData<&'a ()>,
}

impl Operation<'_> {
    pub(super) fn status(self) -> Status {
        // SAFETY: the client's reference keeps the block alive.
        unsafe { self.task.status() }
    }

    /// Returns the answer of `get_result`, which is `STATUS_PENDING`, `STATUS_SUCCESS`, or the
    /// stored status.
    pub(super) fn outcome(self) -> NTSTATUS {
        match self.status() {
            Status::Started => NTSTATUS::PENDING,
            Status::Completed => NTSTATUS::SUCCESS,
            // SAFETY: the client's reference keeps the block alive; the end has been seen.
            Status::Canceled | Status::Error => unsafe { self.task.stored_status() },
        }
    }

    pub(super) fn cancel(self) {
        // SAFETY: the client's reference keeps the block alive.
        unsafe { self.task.cancel() }
    }

    pub(super) fn task(self) -> TaskPtr {
        self.task
    }

    /// Returns the interface with this IID, AddRef'd.
    fn query(self, iid: GUID) -> Option<*mut c_void> {
        let offset = interface_offset(iid)?;
        self.add_ref();
        // SAFETY: the offset lies within the block's head.
        Some(unsafe { self.block.byte_add(offset) }.as_ptr())
    }

    fn add_ref(self) -> u32 {
        // SAFETY: the client's reference keeps the block alive.
        visible_count(unsafe { self.task.add_reference() })
    }
}

/// Returns the offset of an interface in the block. IUnknown is always the first interface `[C2]`.
pub(super) fn interface_offset(iid: GUID) -> Option<usize> {
    match iid {
        IUnknownRaw::IID | <AsyncOperationRaw<()>>::IID => Some(0),
        AsyncControlRaw::IID => Some(CONTROL),
        _ => None,
    }
}

/// Returns the first three slots of the interface at this offset of the block.
pub(super) const fn unknown_slots<O: Object, const OFFSET: usize>() -> IUnknownVtbl {
    IUnknownVtbl {
        QueryInterface: Some(query_interface::<O, OFFSET>),
        AddRef: Some(add_ref::<O, OFFSET>),
        Release: Some(release::<O, OFFSET>),
    }
}

/// Returns the operation with the interface `this` at this offset.
///
/// # Safety
/// `this` is that interface of an operation `O`, and the caller holds a reference while it uses the
/// result.
pub(super) unsafe fn adjust<'a, O: Object, const OFFSET: usize>(this: *mut c_void) -> Operation<'a> {
    // SAFETY: the interface stands at this offset of the block.
    let first = unsafe { this.byte_sub(OFFSET) };
    // SAFETY: `first` is the first interface, to which the caller holds a reference.
    unsafe { O::operation(first) }
}

unsafe extern "system" fn query_interface<O: Object, const OFFSET: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    // SAFETY: `this` is the interface at this offset, to which the client holds a reference.
    let operation = unsafe { adjust::<O, OFFSET>(this) };
    // SAFETY: a client's `iid` is null or readable, and its `out` null or writable [C1].
    unsafe { answer_query(iid, out, |iid| operation.query(iid)) }
}

unsafe extern "system" fn add_ref<O: Object, const OFFSET: usize>(this: *mut c_void) -> u32 {
    // SAFETY: `this` is the interface at this offset, to which the client holds a reference.
    unsafe { adjust::<O, OFFSET>(this) }.add_ref()
}

unsafe extern "system" fn release<O: Object, const OFFSET: usize>(this: *mut c_void) -> u32 {
    // SAFETY: `this` is the interface at this offset, to which the client holds a reference. The
    // view is not used once that reference is given up.
    let task = unsafe { adjust::<O, OFFSET>(this) }.task();
    // SAFETY: the client gives up its reference.
    visible_count(unsafe { task.release() })
}
