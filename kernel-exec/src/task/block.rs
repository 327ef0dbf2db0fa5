//! The block: one allocation for everything a task needs.

use core::{
    alloc::Layout,
    mem::{ManuallyDrop, MaybeUninit, offset_of},
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use super::{
    body::TaskBody,
    header::{Header, Port, TaskPtr, Vtable},
    state::{State, Status},
};
use crate::{Allocator, NTSTATUS, sync::UnsafeCell};

/// First the body, then its value. Only its size and alignment are used: what is in it is reached by a cast.
union Stage<F: TaskBody> {
    _body: ManuallyDrop<F>,
    _value: ManuallyDrop<F::Value>,
}

/// A task with all its types: prefix, body, allocator, executor. The order of the block is in `task/mod.rs`.
///
/// `P` stands at offset 0, so that a pointer to the block is a pointer to the prefix.
#[repr(C)]
pub struct Task<P, F: TaskBody, A, X> {
    prefix: P,
    header: Header,
    port: X,
    allocator: ManuallyDrop<A>,
    /// Every access to the stage goes through this cell. It is beside the stage, not around it, so that a new block is written
    /// field by field and a large stage not at all.
    access: UnsafeCell<()>,
    stage: MaybeUninit<Stage<F>>,
}

/// A new task.
pub struct Spawned<B> {
    /// The block, with the references that were asked for.
    pub block: NonNull<B>,
    /// Why the task never began, if so: it is in state [`Status::Error`] with this status, its body dropped.
    pub refused: Option<NTSTATUS>,
}

impl<P, F, A, X> Task<P, F, A, X>
where
    P: 'static,
    F: TaskBody,
    A: Allocator + Send + 'static,
    X: Port,
{
    const VTABLE: &'static Vtable = &Vtable {
        poll: Self::poll,
        drop_body: Self::drop_body,
        free: Self::free,
        schedule: Self::schedule,
        defer: Self::defer,
        ended: Self::ended,
        level: X::LEVEL,
    };

    /// Allocates a block, builds the body in it, and hands the task to its executor.
    ///
    /// The block starts with `references` references, all the caller's. `init` writes the body to the place it is given; what it has
    /// written when it fails is forgotten. A failure of `init`, or a refusal of the executor, gives a task in state Error with
    /// that status `[C11]`, after `[C7]`.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL. A body that the executor refuses is dropped before this returns, at the caller's IRQL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no block; `init` has not been called.
    ///
    /// # Safety
    /// Where `init` returns Ok it has written an `F` to the place that it was given.
    pub unsafe fn spawn(
        prefix: P,
        allocator: A,
        references: u32,
        init: impl FnOnce(*mut F) -> Result<(), NTSTATUS>,
    ) -> Result<Spawned<Self>, NTSTATUS> {
        // SAFETY: this function's contract.
        unsafe { Self::spawn_on(X::new(), prefix, allocator, references, init) }
    }

    /// As [`spawn`](Self::spawn), on an executor's storage that says more than a new one.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn).
    ///
    /// # Safety
    /// As for [`spawn`](Self::spawn).
    pub unsafe fn spawn_on(
        port: X,
        prefix: P,
        allocator: A,
        references: u32,
        init: impl FnOnce(*mut F) -> Result<(), NTSTATUS>,
    ) -> Result<Spawned<Self>, NTSTATUS> {
        let state = State::scheduled(references);
        let block = Self::allocate(port, prefix, allocator, state, NTSTATUS::SUCCESS)?;
        // SAFETY: just allocated.
        let task = unsafe { Self::task(block) };
        // SAFETY: just allocated and written, and nobody else's.
        let (access, stage) = unsafe { Self::stage(task) };
        let built = access.with_mut(|_| init(stage.cast().as_ptr()));
        let launched = built.and_then(|()| {
            // SAFETY: in its final place, and nobody else's yet.
            let launched = unsafe { X::launch(task, Self::port(task)) };
            launched.inspect_err(|_| {
                // SAFETY: built above, by this function's contract; not launched, so never polled and never dropped.
                unsafe { Self::drop_body(task) }
            })
        });
        match launched {
            Ok(()) => Ok(Spawned { block, refused: None }),
            Err(reason) => {
                let stored = reason.as_failure();
                let header = Header::new(State::ended(Status::Error, references), Self::VTABLE, stored);
                // SAFETY: nobody else has seen the block; the old header owns nothing.
                unsafe { task.0.write(header) };
                Ok(Spawned { block, refused: Some(stored) })
            }
        }
    }

    /// A block in state Error from the start: no body, no executor. The status is kept after `[C7]`.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no block.
    pub fn failed(
        prefix: P,
        allocator: A,
        references: u32,
        status: NTSTATUS,
    ) -> Result<NonNull<Self>, NTSTATUS> {
        let state = State::ended(Status::Error, references);
        Self::allocate(X::new(), prefix, allocator, state, status.as_failure())
    }

    fn allocate(
        port: X,
        prefix: P,
        allocator: A,
        state: State,
        stored: NTSTATUS,
    ) -> Result<NonNull<Self>, NTSTATUS> {
        const {
            assert!(
                A::NON_PAGED,
                "the block of a task may be freed at DISPATCH_LEVEL: its allocator must be NON_PAGED"
            );
            assert!(
                size_of::<Self>() <= A::__ROOM.0,
                "the storage is too small for this future's task: TaskStorage::needed tells its size"
            );
            assert!(
                align_of::<Self>() <= A::__ROOM.1,
                "this future's task wants more alignment than the storage has"
            );
        }
        let layout = Layout::new::<Self>();
        let block = allocator.allocate(layout).ok_or(NTSTATUS::INSUFFICIENT_RESOURCES)?.cast::<Self>();
        let header = Header::new(state, Self::VTABLE, stored);
        // SAFETY: new memory of the block's layout; likewise below. The stage is left as it is.
        unsafe { Self::field(block, offset_of!(Self, prefix)).write(prefix) };
        // SAFETY: as above.
        unsafe { Self::field(block, offset_of!(Self, header)).write(header) };
        // SAFETY: as above.
        unsafe { Self::field(block, offset_of!(Self, port)).write(port) };
        // SAFETY: as above.
        unsafe { Self::field(block, offset_of!(Self, allocator)).write(allocator) };
        // SAFETY: as above.
        unsafe { Self::field(block, offset_of!(Self, access)).write(UnsafeCell::new(())) };
        Ok(block)
    }

    /// The address of a field. `offset` is an `offset_of!` this block.
    fn field<V>(block: NonNull<Self>, offset: usize) -> NonNull<V> {
        // A stage of size zero may stand at the very end.
        debug_assert!(offset <= size_of::<Self>());
        // SAFETY: inside the block, which is one allocation.
        unsafe { block.byte_add(offset) }.cast()
    }

    /// The task in this block.
    ///
    /// # Safety
    /// The block is allocated, and the pointer may be used for all of it `[T8]`.
    #[must_use]
    pub unsafe fn task(block: NonNull<Self>) -> TaskPtr {
        TaskPtr(Self::field(block, offset_of!(Self, header)))
    }

    /// The block of this task.
    fn block(task: TaskPtr) -> NonNull<Self> {
        // SAFETY: the pointer was made by `task` from a pointer to the whole block [T8].
        unsafe { task.0.byte_sub(offset_of!(Self, header)) }.cast()
    }

    fn port(task: TaskPtr) -> NonNull<X> {
        Self::field(Self::block(task), offset_of!(Self, port))
    }

    /// The cell that an allocated task's stage is reached through, and the stage.
    ///
    /// # Safety
    /// The task is allocated for as long as the cell is used.
    unsafe fn stage<'a>(task: TaskPtr) -> (&'a UnsafeCell<()>, NonNull<Stage<F>>) {
        let block = Self::block(task);
        let access = Self::field(block, offset_of!(Self, access));
        // SAFETY: allocated, by this function's contract.
        (unsafe { access.as_ref() }, Self::field(block, offset_of!(Self, stage)))
    }

    /// The value of a Completed task.
    ///
    /// # Safety
    /// The caller has a reference and has seen [`Status::Completed`].
    pub unsafe fn value(block: NonNull<Self>) -> F::Value {
        // SAFETY: the caller's reference.
        let task = unsafe { Self::task(block) };
        // SAFETY: as above.
        let (access, stage) = unsafe { Self::stage(task) };
        // SAFETY: a Completed task's stage holds its value, and nobody writes it any more [T4]; it is `Copy`.
        access.with(|_| unsafe { stage.cast::<F::Value>().read() })
    }

    /// Calls `read` with the value of a Completed task where it lies, for values that are too large
    /// to copy for nothing.
    ///
    /// # Safety
    /// As for [`value`](Self::value).
    pub unsafe fn with_value<R>(block: NonNull<Self>, read: impl FnOnce(&F::Value) -> R) -> R {
        // SAFETY: the caller's reference.
        let task = unsafe { Self::task(block) };
        // SAFETY: the caller's reference keeps the block.
        let (access, stage) = unsafe { Self::stage(task) };
        // SAFETY: a Completed task's stage holds its value, and no code writes it any more [T4].
        access.with(|_| read(unsafe { stage.cast::<F::Value>().as_ref() }))
    }

    unsafe fn poll(task: TaskPtr, context: &mut Context<'_>) -> Poll<Result<(), NTSTATUS>> {
        // SAFETY: the caller is the poller, so the block is allocated [T2].
        let (access, stage) = unsafe { Self::stage(task) };
        let polled = access.with_mut(|_| {
            // SAFETY: the body is built, not dropped, and the poller's alone [T2].
            let body = unsafe { stage.cast::<F>().as_mut() };
            // SAFETY: the body stays where it is until it is dropped.
            unsafe { Pin::new_unchecked(body) }.poll_body(context)
        });
        polled.map(|result| {
            // SAFETY: the caller is the poller, and the body has not been dropped.
            unsafe { Self::drop_body(task) };
            let value = result?;
            // SAFETY: the poller's reference.
            if F::OWNS && unsafe { task.header() }.state.is_unwinding() {
                // The task ends Canceled [C10]: nobody will ask for the value.
                F::discard(value);
                return Ok(());
            }
            // SAFETY: the poller's until the end [T4].
            access.with_mut(|_| unsafe { stage.cast::<F::Value>().write(value) });
            Ok(())
        })
    }

    unsafe fn drop_body(task: TaskPtr) {
        // SAFETY: the caller is the poller, or nobody else has seen the block.
        let (access, stage) = unsafe { Self::stage(task) };
        // SAFETY: the body is built and dropped here only, once.
        access.with_mut(|_| unsafe { stage.cast::<F>().drop_in_place() });
    }

    unsafe fn free(task: TaskPtr) {
        let block = Self::block(task);
        // SAFETY: the block is the caller's alone.
        if F::OWNS && unsafe { task.status() } == Status::Completed {
            // SAFETY: Completed, and nobody else has the block.
            F::discard(unsafe { Self::value(block) });
        }
        // SAFETY: inside the block.
        let allocator = Self::field::<A>(block, offset_of!(Self, allocator));
        // SAFETY: the count is zero, so the block is the caller's alone: the body is gone and a value is `Copy`. It is not
        // used again after the prefix and the allocator have left it.
        let allocator = unsafe { allocator.read() };
        // SAFETY: the prefix stands at offset 0.
        unsafe { block.cast::<P>().drop_in_place() };
        // SAFETY: from this allocator with this layout; not used again.
        unsafe { allocator.free(block.cast(), Layout::new::<Self>()) }
    }

    unsafe fn schedule(task: TaskPtr) {
        // SAFETY: the caller's duty, and this is the port of that task.
        unsafe { X::schedule(task, Self::port(task)) }
    }

    unsafe fn defer(task: TaskPtr) {
        // SAFETY: the caller's duty, and this is the port of that task.
        unsafe { X::defer(task, Self::port(task)) }
    }

    unsafe fn ended(task: TaskPtr) {
        // SAFETY: the caller's duty, and this is the port of that task.
        unsafe { X::ended(task, Self::port(task)) }
    }
}
