//! Tasks on work items, with bodies that run at PASSIVE_LEVEL in a system worker thread.
//!
//! # Why a block has room for 256 bytes
//!
//! A work item is as large as the running kernel says (`IoSizeofWorkItem`), but a block is as large
//! as the compiler says. So a block has room for 256 bytes, and a spawn compares.

use core::{
    mem::MaybeUninit,
    ptr::{NonNull, null_mut},
};

use crate::{
    budget::Budget,
    fail::{FailFast, fail_fast},
    nt,
    status::NTSTATUS,
    sync::{KernelCell, ThreadLink},
    task::{Level, Port, TaskPtr, run_in_thread},
    tracker::{Link, default_tracker},
};

/// Storage for an IO_WORKITEM.
///
/// Only the running kernel knows its size, so `launch` compares the two. The bound is fixed so that
/// the size of a task's block is known when it is compiled.
#[repr(C, align(16))]
struct ItemStorage([MaybeUninit<u8>; 256]);

/// A task's entry in the queue of work items.
///
/// Waking queues `item`. The item leaves the queue before its routine runs, so it can be queued
/// again meanwhile (learn.microsoft.com/windows-hardware/drivers/kernel/system-worker-threads). The
/// protocol's `[T3]` ensures that it is never queued twice. A spent budget queues it too, behind
/// the others.
#[repr(C)]
pub(crate) struct ItemQueue {
    item: KernelCell<ItemStorage>,
    /// Referenced from `acquire` to `give_up`.
    device: nt::PDEVICE_OBJECT,
    /// Written by `acquire`, then only read.
    task: KernelCell<Option<TaskPtr>>,
    thread: ThreadLink,
    budget: Budget,
}

impl ItemQueue {
    /// # Safety
    /// `device` is null, or a device object that the caller keeps referenced until `acquire` has
    /// been called.
    pub(crate) unsafe fn for_device(device: nt::PDEVICE_OBJECT, budget: Budget) -> Self {
        Self {
            item: KernelCell::new(ItemStorage([MaybeUninit::uninit(); 256])),
            device,
            task: KernelCell::new(None),
            thread: ThreadLink::new(),
            budget,
        }
    }

    fn item(&self) -> nt::PIO_WORKITEM {
        self.item.get().cast()
    }

    /// Takes a reference to the device, and initialises the work item.
    ///
    /// # Errors
    /// - `STATUS_INVALID_PARAMETER`: the device is null.
    /// - `STATUS_NOT_SUPPORTED`: this kernel's work items are too large.
    ///
    /// # Safety
    /// This is in the block of `task`, in its final place, and no other code has it yet. The
    /// contract of `for_device` is kept.
    pub(crate) unsafe fn acquire(&self, task: TaskPtr) -> Result<(), NTSTATUS> {
        if self.device.is_null() {
            return Err(NTSTATUS::INVALID_PARAMETER);
        }
        // SAFETY: any IRQL.
        let needed = unsafe { nt::IoSizeofWorkItem() } as usize;
        if needed > size_of::<ItemStorage>() {
            return Err(NTSTATUS::NOT_SUPPORTED);
        }
        // SAFETY: only the launching processor has the block.
        unsafe { self.task.get().write(Some(task)) };
        // SAFETY: any IRQL; the device is valid, and the storage for the item is large enough and
        // in non-paged memory.
        unsafe { nt::IoInitializeWorkItem(self.device.cast(), self.item()) };
        // SAFETY: ≤ DISPATCH_LEVEL; the caller keeps the device object referenced.
        unsafe { nt::ObfReferenceObject(self.device.cast()) };
        Ok(())
    }

    /// Gives back the reference and the work item that `acquire` took.
    ///
    /// # Safety
    /// `acquire` has succeeded, once, and the item is in no queue.
    pub(crate) unsafe fn give_up(&self) {
        // SAFETY: any IRQL; the item is initialised, and in no queue.
        unsafe { nt::IoUninitializeWorkItem(self.item()) };
        // SAFETY: ≤ DISPATCH_LEVEL; `acquire` took this reference.
        unsafe { nt::ObfDereferenceObject(self.device.cast()) };
    }

    /// Queues the task, as [`Port::schedule`] does. In a run it serves as [`Port::defer`], because
    /// the item goes behind the others, which run first.
    ///
    /// # Safety
    /// `acquire` has succeeded, and a step obliged the caller to queue the task `[T3]`.
    pub(crate) unsafe fn schedule(queue: NonNull<Self>) {
        let queue = queue.as_ptr();
        // SAFETY: the queue's reference keeps the block until the routine has begun.
        let item = unsafe { &(*queue).item }.get().cast();
        let delayed = nt::_WORK_QUEUE_TYPE::DelayedWorkQueue;
        // SAFETY: ≤ DISPATCH_LEVEL; the item was initialised by `acquire`, is resident and in no
        // queue [T3]; the context is the one that the routine expects.
        unsafe { nt::IoQueueWorkItemEx(item, Some(routine), delayed, queue.cast()) };
    }
}

/// Runs the task at PASSIVE_LEVEL. The system keeps the device referenced until this has returned.
unsafe extern "C" fn routine(_device: nt::PVOID, context: nt::PVOID, _item: nt::PIO_WORKITEM) {
    let queue: *const ItemQueue = context.cast();
    // SAFETY: `schedule` passed the pointer; the queue's reference keeps the block until the run
    // ends, and `this` is not used after that.
    let this = unsafe { &*queue };
    // SAFETY: the task was written before it was ever queued, and is never written again.
    let Some(task) = (unsafe { this.task.get().read() }) else { fail_fast(FailFast::Protocol) };
    let (thread, budget) = (NonNull::from(&this.thread), this.budget);
    // SAFETY: the item has left its queue, so the queue's reference is ours [T3]. The link is in
    // the block, and only a run touches it.
    unsafe { run_in_thread(task, Some(thread), budget) }
}

/// The executor's storage in the block of a task on work items.
#[repr(C)]
pub struct WorkItemPort {
    queue: ItemQueue,
    link: Link,
}

impl WorkItemPort {
    /// Makes the storage of a task for this device.
    ///
    /// # Safety
    /// `device` is null, or a device object that the caller keeps referenced until the task has
    /// been launched.
    #[must_use]
    pub unsafe fn for_device(device: nt::PDEVICE_OBJECT) -> Self {
        // SAFETY: the caller keeps the device referenced until the task has been launched.
        let queue = unsafe { ItemQueue::for_device(device, Budget::DEFAULT) };
        Self { queue, link: Link::new() }
    }
}

/// The queue of a port.
fn queue(port: NonNull<WorkItemPort>) -> NonNull<ItemQueue> {
    // The queue is the first field, at offset 0.
    port.cast()
}

// SAFETY: every queueing below ends in one call of `routine`, which runs the task once. The item is
// touched by these functions, and by the kernel while it is queued, never in between. The links are
// touched only under the locks of their lists.
unsafe impl Port for WorkItemPort {
    const LEVEL: Level = Level::Passive;

    /// Makes storage without a device, so that its task is refused.
    fn new() -> Self {
        // SAFETY: null is allowed.
        unsafe { Self::for_device(null_mut()) }
    }

    unsafe fn launch(task: TaskPtr, port: NonNull<Self>) -> Result<(), NTSTATUS> {
        // SAFETY: the block is allocated, and no other code has seen it yet.
        let this = unsafe { port.as_ref() };
        // SAFETY: the queue is in the block of this task, and new.
        unsafe { this.queue.acquire(task) }?;
        // SAFETY: the link is the task's own, in no list, and leaves the list in `ended`.
        let tracked = default_tracker(|tracker| unsafe { tracker.insert(&this.link, task) });
        if let Err(refused) = tracked {
            // SAFETY: the item was acquired above, and never queued.
            unsafe { this.queue.give_up() };
            return Err(refused);
        }
        // SAFETY: the task is scheduled from the start, and accepted, so this queues it once.
        unsafe { ItemQueue::schedule(queue(port)) };
        Ok(())
    }

    unsafe fn schedule(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the caller guarantees that a step obliged it to queue the task.
        unsafe { ItemQueue::schedule(queue(port)) }
    }

    unsafe fn defer(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the caller guarantees that this run must defer the task; this is the item's
        // routine, so the item has left its queue.
        unsafe { ItemQueue::schedule(queue(port)) }
    }

    unsafe fn ended(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the poller's reference keeps the block.
        let this = unsafe { port.as_ref() };
        // SAFETY: `launch` inserted the link, and it is removed only here.
        default_tracker(|tracker| unsafe { tracker.remove(&this.link) });
        // SAFETY: `launch` acquired the item. It is in no queue, because the task runs [T3].
        unsafe { this.queue.give_up() };
    }
}
