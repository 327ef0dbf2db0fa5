//! The block of a task, which holds everything that the task needs in one allocation.

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
use crate::{alloc::Allocator, nt::TaskStep, status::NTSTATUS, sync::UnsafeCell};

/// Storage for the body, and later for its value. Only its size and alignment are used, because the
/// contents are reached by a cast.
union Stage<F: TaskBody> {
    _body: ManuallyDrop<F>,
    _value: ManuallyDrop<F::Value>,
}

/// A task with all its types, which are prefix, body, allocator and executor. The order of the
/// block is in `task/mod.rs`.
///
/// `P` stands at offset 0, so a pointer to the block is a pointer to the prefix.
#[repr(C)]
pub struct Task<P, F: TaskBody, A, X> {
    prefix: P,
    header: Header,
    port: X,
    allocator: ManuallyDrop<A>,
    /// The cell for every access to the stage. It stands beside the stage, not around it, so that a
    /// new block is written field by field and a large stage not at all.
    access: UnsafeCell<()>,
    stage: MaybeUninit<Stage<F>>,
}

/// A new task, with its references.
pub struct Spawned<B> {
    /// The block, with the references that were asked for.
    pub block: NonNull<B>,
    /// The reason why the task never began, if it did not. Such a task is in state
    /// [`Status::Error`] with this status, and its body is dropped.
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
    /// The block starts with `references` references, all the caller's. `init` writes the body to
    /// the place that it is given. If `init` fails, anything that it has written is forgotten. A
    /// failure of `init`, or a refusal of the executor, gives a task in state Error with that
    /// status `[C11]`, converted as `[C7]` says.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL. A body that the executor refuses is dropped before this returns, at
    /// the caller's IRQL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: the allocator gave no block, and `init` has not been
    /// called.
    ///
    /// # Safety
    /// When `init` returns Ok, it has written an `F` to the place that it was given.
    pub unsafe fn spawn(
        prefix: P,
        allocator: A,
        references: u32,
        init: impl FnOnce(*mut F) -> Result<(), NTSTATUS>,
    ) -> Result<Spawned<Self>, NTSTATUS> {
        // SAFETY: this function has the same contract as `spawn_on`.
        unsafe { Self::spawn_on(X::new(), prefix, allocator, references, init) }
    }

    /// Spawns a task as [`spawn`](Self::spawn) does, with the executor's storage `port` from the
    /// caller.
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
        // SAFETY: the block was just allocated.
        let task = unsafe { Self::task(block) };
        // SAFETY: the block was just allocated and written, and no other code has it.
        let (access, stage) = unsafe { Self::stage(task) };
        let built = access.with_mut(|_| init(stage.cast().as_ptr()));
        task.mark(TaskStep::Spawn, "");
        let launched = built.and_then(|()| {
            // SAFETY: the block is in its final place, and no other code has it yet.
            let launched = unsafe { X::launch(task, Self::port(task)) };
            launched.inspect_err(|_| {
                // SAFETY: `init` built the body above; it was not launched, so it was never polled
                // and never dropped.
                unsafe { Self::drop_body(task) }
            })
        });
        match launched {
            Ok(()) => Ok(Spawned { block, refused: None }),
            Err(reason) => {
                task.mark(TaskStep::End, "refused");
                let stored = reason.as_failure();
                let header = Header::new(State::ended(Status::Error, references), Self::VTABLE, stored);
                // SAFETY: no other code has seen the block; the old header owns nothing.
                unsafe { task.0.write(header) };
                Ok(Spawned { block, refused: Some(stored) })
            }
        }
    }

    /// Makes a block in state Error from the start, with no body and no executor. The status is
    /// converted as `[C7]` says.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: the allocator gave no block.
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
        // SAFETY: new memory of the block's layout, and the field is inside it. The stage is left
        // unwritten.
        unsafe { Self::field(block, offset_of!(Self, prefix)).write(prefix) };
        // SAFETY: new memory of the block's layout, and the field is inside it.
        unsafe { Self::field(block, offset_of!(Self, header)).write(header) };
        // SAFETY: new memory of the block's layout, and the field is inside it.
        unsafe { Self::field(block, offset_of!(Self, port)).write(port) };
        // SAFETY: new memory of the block's layout, and the field is inside it.
        unsafe { Self::field(block, offset_of!(Self, allocator)).write(allocator) };
        // SAFETY: new memory of the block's layout, and the field is inside it.
        unsafe { Self::field(block, offset_of!(Self, access)).write(UnsafeCell::new(())) };
        Ok(block)
    }

    /// Returns the address of a field. `offset` is the result of an `offset_of!` of this block.
    fn field<V>(block: NonNull<Self>, offset: usize) -> NonNull<V> {
        // A stage of size zero may stand at the very end.
        debug_assert!(offset <= size_of::<Self>());
        // SAFETY: the offset is inside the block, which is one allocation.
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

    /// The prefix of the block in which a body is built, for the `init` of a spawn.
    ///
    /// # Safety
    /// `body` is the place that a spawn of this type gave to its `init`.
    pub(crate) unsafe fn prefix_of(body: NonNull<F>) -> NonNull<P> {
        // SAFETY: the place was made from the address of the whole block [T8], in which the prefix
        // stands at offset 0.
        unsafe { body.byte_sub(offset_of!(Self, stage)) }.cast()
    }

    /// The block of a task.
    fn block(task: TaskPtr) -> NonNull<Self> {
        // SAFETY: the pointer was made by `task` from a pointer to the whole block [T8].
        unsafe { task.0.byte_sub(offset_of!(Self, header)) }.cast()
    }

    fn port(task: TaskPtr) -> NonNull<X> {
        Self::field(Self::block(task), offset_of!(Self, port))
    }

    /// Returns the stage of an allocated task, and the cell through which it is accessed.
    ///
    /// # Safety
    /// The task is allocated for as long as the cell is used.
    unsafe fn stage<'a>(task: TaskPtr) -> (&'a UnsafeCell<()>, NonNull<Stage<F>>) {
        let block = Self::block(task);
        let access = Self::field(block, offset_of!(Self, access));
        // SAFETY: the caller keeps the task allocated while it uses the cell.
        (unsafe { access.as_ref() }, Self::field(block, offset_of!(Self, stage)))
    }

    /// The value of a Completed task.
    ///
    /// # Safety
    /// The caller has a reference and has seen [`Status::Completed`].
    pub unsafe fn value(block: NonNull<Self>) -> F::Value {
        // SAFETY: the caller's reference keeps the block.
        let task = unsafe { Self::task(block) };
        // SAFETY: the caller's reference keeps the block.
        let (access, stage) = unsafe { Self::stage(task) };
        // SAFETY: a Completed task's stage holds its value, and no code writes it any more [T4]; it
        // is `Copy`.
        access.with(|_| unsafe { stage.cast::<F::Value>().read() })
    }

    /// Calls `read` with the value of a Completed task where it lies, to avoid a copy of a large
    /// value.
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
            // SAFETY: the body stays in the block until it is dropped.
            unsafe { Pin::new_unchecked(body) }.poll_body(context)
        });
        polled.map(|result| {
            // SAFETY: the caller is the poller [T2], and the body has not been dropped.
            unsafe { Self::drop_body(task) };
            let value = result?;
            // SAFETY: the poller's reference keeps the block.
            if F::OWNS && unsafe { task.header() }.state.is_unwinding() {
                // The task ends Canceled [C10], so no client will ask for the value.
                F::discard(value);
                return Ok(());
            }
            // SAFETY: the stage is the poller's until the end [T4].
            access.with_mut(|_| unsafe { stage.cast::<F::Value>().write(value) });
            Ok(())
        })
    }

    unsafe fn drop_body(task: TaskPtr) {
        // SAFETY: the caller is the poller, or no other code has seen the block.
        let (access, stage) = unsafe { Self::stage(task) };
        // SAFETY: the body is built, and this is the only place that drops it, once.
        access.with_mut(|_| unsafe { stage.cast::<F>().drop_in_place() });
    }

    unsafe fn free(task: TaskPtr) {
        let block = Self::block(task);
        // SAFETY: the count is zero, so the block is the caller's alone.
        if F::OWNS && unsafe { task.status() } == Status::Completed {
            // SAFETY: the task is Completed, and no other code has the block.
            F::discard(unsafe { Self::value(block) });
        }
        let allocator = Self::field::<A>(block, offset_of!(Self, allocator));
        // SAFETY: the count is zero, so the block is the caller's alone. The body is gone, and a
        // value is `Copy`. The block is not used again after the prefix and the allocator have left
        // it.
        let allocator = unsafe { allocator.read() };
        // SAFETY: the prefix stands at offset 0 and is dropped only here.
        unsafe { block.cast::<P>().drop_in_place() };
        // SAFETY: the block came from this allocator with this layout, and is not used again.
        unsafe { allocator.free(block.cast(), Layout::new::<Self>()) }
    }

    unsafe fn schedule(task: TaskPtr) {
        // SAFETY: a step obliged the caller to queue the task, and this is the port of that task.
        unsafe { X::schedule(task, Self::port(task)) }
    }

    unsafe fn defer(task: TaskPtr) {
        // SAFETY: the caller's run owes this call, and this is the port of that task.
        unsafe { X::defer(task, Self::port(task)) }
    }

    unsafe fn ended(task: TaskPtr) {
        // SAFETY: the caller is the poller at the end of the task, and this is the port of that
        // task.
        unsafe { X::ended(task, Self::port(task)) }
    }
}
