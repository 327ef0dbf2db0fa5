//! Tasks on work items: bodies that run at PASSIVE_LEVEL, in a system worker thread.

use core::{
    mem::MaybeUninit,
    ptr::{NonNull, null_mut},
};

use crate::{
    NTSTATUS,
    budget::Budget,
    fail::{FailFast, fail_fast},
    nt,
    sync::{KernelCell, ThreadLink},
    task::{Level, Port, TaskPtr, run_in_thread},
    tracker::{Link, default_tracker},
};

/// Room for an IO_WORKITEM, whose size only the running kernel knows: `launch` compares. The bound is fixed so that a task's block has
/// a size when it is compiled.
#[repr(C, align(16))]
struct Room([MaybeUninit<u8>; 256]);

/// A task's place in the queue of work items.
///
/// Waking queues `item`. It leaves the queue before its routine runs, so it can be queued again meanwhile
/// (learn.microsoft.com/windows-hardware/drivers/kernel/system-worker-threads); that it never stands there twice is the protocol's
/// `[T3]`. A spent budget queues it too, behind the others.
#[repr(C)]
pub(crate) struct ItemQueue {
    item: KernelCell<Room>,
    /// Referenced from `acquire` to `give_up`.
    device: nt::PDEVICE_OBJECT,
    /// Written by `acquire`, then only read.
    task: KernelCell<Option<TaskPtr>>,
    thread: ThreadLink,
    budget: Budget,
}

impl ItemQueue {
    /// # Safety
    /// `device` is null, or a device object that somebody keeps referenced until `acquire` has been called.
    pub(crate) unsafe fn for_device(device: nt::PDEVICE_OBJECT, budget: Budget) -> Self {
        Self {
            item: KernelCell::new(Room([MaybeUninit::uninit(); 256])),
            device,
            task: KernelCell::new(None),
            thread: ThreadLink::new(),
            budget,
        }
    }

    fn item(&self) -> nt::PIO_WORKITEM {
        self.item.get().cast()
    }

    /// Takes what the task will hold: its device.
    ///
    /// # Errors
    /// - `STATUS_INVALID_PARAMETER`: the device is null.
    /// - `STATUS_NOT_SUPPORTED`: this kernel's work items are too large.
    ///
    /// # Safety
    /// This is in the block of `task`, in its final place, and nobody else's yet; the contract of `for_device` is kept.
    pub(crate) unsafe fn acquire(&self, task: TaskPtr) -> Result<(), NTSTATUS> {
        if self.device.is_null() {
            return Err(NTSTATUS::INVALID_PARAMETER);
        }
        // SAFETY: any IRQL.
        let needed = unsafe { nt::IoSizeofWorkItem() } as usize;
        if needed > size_of::<Room>() {
            return Err(NTSTATUS::NOT_SUPPORTED);
        }
        // SAFETY: the launching processor's alone.
        unsafe { self.task.get().write(Some(task)) };
        // SAFETY: any IRQL; a device, and room for the item in non-paged memory.
        unsafe { nt::IoInitializeWorkItem(self.device.cast(), self.item()) };
        // SAFETY: ≤ DISPATCH_LEVEL; a referenced object.
        unsafe { nt::ObfReferenceObject(self.device.cast()) };
        Ok(())
    }

    /// Gives back what `acquire` took.
    ///
    /// # Safety
    /// `acquire` has succeeded, once, and the item is in no queue.
    pub(crate) unsafe fn give_up(&self) {
        // SAFETY: any IRQL; initialised, and in no queue.
        unsafe { nt::IoUninitializeWorkItem(self.item()) };
        // SAFETY: ≤ DISPATCH_LEVEL; the reference of `acquire`.
        unsafe { nt::ObfDereferenceObject(self.device.cast()) };
    }

    /// As [`Port::schedule`]; in a run, as [`Port::defer`]: behind the others, which have their turn.
    ///
    /// # Safety
    /// Acquired; a step obliged the caller to this `[T3]`.
    pub(crate) unsafe fn schedule(queue: NonNull<Self>) {
        let queue = queue.as_ptr();
        // SAFETY: the queue's reference keeps the block until the routine has begun.
        let item = unsafe { &(*queue).item }.get().cast();
        let delayed = nt::_WORK_QUEUE_TYPE::DelayedWorkQueue;
        // SAFETY: ≤ DISPATCH_LEVEL; initialised by `acquire`, resident, in no queue [T3]; the routine wants this.
        unsafe { nt::IoQueueWorkItemEx(item, Some(routine), delayed, queue.cast()) };
    }
}

/// The item's routine: PASSIVE_LEVEL, and the system keeps the device referenced until it has returned.
unsafe extern "C" fn routine(_device: nt::PVOID, context: nt::PVOID, _item: nt::PIO_WORKITEM) {
    let queue: *const ItemQueue = context.cast();
    // SAFETY: `schedule` passed it; the queue's reference keeps the block until the run ends, and nobody touches `this` then.
    let this = unsafe { &*queue };
    // SAFETY: written before the task was ever queued, and never again.
    let Some(task) = (unsafe { this.task.get().read() }) else { fail_fast(FailFast::Protocol) };
    let (thread, budget) = (NonNull::from(&this.thread), this.budget);
    // SAFETY: the item has left its queue: what it held is ours [T3]. The link is in the block, and only a run touches it.
    unsafe { run_in_thread(task, Some(thread), budget) }
}

/// What a task on work items keeps in its block.
#[repr(C)]
pub struct WorkItemPort {
    queue: ItemQueue,
    link: Link,
}

impl WorkItemPort {
    /// The storage of a task for this device.
    ///
    /// # Safety
    /// `device` is null, or a device object that somebody keeps referenced until the task has been launched.
    #[must_use]
    pub unsafe fn for_device(device: nt::PDEVICE_OBJECT) -> Self {
        // SAFETY: by this function's contract.
        let queue = unsafe { ItemQueue::for_device(device, Budget::DEFAULT) };
        Self { queue, link: Link::new() }
    }
}

/// The queue of a port.
fn queue(port: NonNull<WorkItemPort>) -> NonNull<ItemQueue> {
    // At offset 0.
    port.cast()
}

// SAFETY: every queueing below ends in one call of `routine`, which runs the task once; the item is touched by these
// functions and by the kernel while it is queued, never in between; the links only under the locks of their lists.
unsafe impl Port for WorkItemPort {
    const LEVEL: Level = Level::Passive;

    /// For no device: such a task is refused.
    fn new() -> Self {
        // SAFETY: null is allowed.
        unsafe { Self::for_device(null_mut()) }
    }

    unsafe fn launch(task: TaskPtr, port: NonNull<Self>) -> Result<(), NTSTATUS> {
        // SAFETY: allocated: nobody has seen the block yet.
        let this = unsafe { port.as_ref() };
        // SAFETY: in the block of this task, and new.
        unsafe { this.queue.acquire(task) }?;
        // SAFETY: the link is the task's own, in no list, and leaves it in `ended`.
        let tracked = default_tracker(|tracker| unsafe { tracker.insert(&this.link, task) });
        if let Err(refused) = tracked {
            // SAFETY: acquired above, never queued.
            unsafe { this.queue.give_up() };
            return Err(refused);
        }
        // SAFETY: scheduled from the start, and accepted.
        unsafe { ItemQueue::schedule(queue(port)) };
        Ok(())
    }

    unsafe fn schedule(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the caller's duty.
        unsafe { ItemQueue::schedule(queue(port)) }
    }

    unsafe fn defer(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the caller's duty; we are in the routine, so the item has left its queue.
        unsafe { ItemQueue::schedule(queue(port)) }
    }

    unsafe fn ended(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the poller's reference.
        let this = unsafe { port.as_ref() };
        // SAFETY: inserted by `launch`, removed here only.
        default_tracker(|tracker| unsafe { tracker.remove(&this.link) });
        // SAFETY: acquired by `launch`. The item is in no queue: the task runs [T3].
        unsafe { this.queue.give_up() };
    }
}
