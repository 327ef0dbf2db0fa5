//! Tasks that migrate between DPCs and work items. Such a task runs on work items while its body
//! wants PASSIVE_LEVEL.
//!
//! # Why the whole task migrates
//!
//! A child task at PASSIVE_LEVEL would be an allocation that can fail, and would outlive its
//! parent's end `[C8]`. A task that migrates has one poller and one queue entry, as before. The
//! poller counts the parts of the body that want PASSIVE_LEVEL, and the code that queues the task
//! reads the count after the step that obliged it to do so.

use core::ptr::{NonNull, null_mut};

use crate::{
    dpc::{DpcQueue, Settings},
    nt,
    status::NTSTATUS,
    task::{Level, Port, TaskPtr},
    tracker::{Link, default_tracker},
    work_item::ItemQueue,
};

/// The executor's storage in the block of a task that migrates. The task stands in one of the two
/// queues at a time `[T3]`.
#[repr(C)]
pub struct MigratingPort {
    dpcs: DpcQueue,
    items: ItemQueue,
    link: Link,
}

impl MigratingPort {
    /// # Safety
    /// `device` is null, or a device object that the caller keeps referenced until the task has
    /// been launched.
    pub(crate) unsafe fn new_on(settings: Settings, device: nt::PDEVICE_OBJECT) -> Self {
        // SAFETY: the caller keeps the device referenced until the task has been launched.
        let items = unsafe { ItemQueue::for_device(device, settings.budget()) };
        Self { dpcs: DpcQueue::new(settings), items, link: Link::new() }
    }

    /// # Safety
    /// The block of this port is allocated.
    unsafe fn dpcs(port: NonNull<Self>) -> NonNull<DpcQueue> {
        // SAFETY: the field is inside the allocated block; no reference is made [T8].
        let dpcs = unsafe { &raw mut (*port.as_ptr()).dpcs };
        // SAFETY: a field's address is not null.
        unsafe { NonNull::new_unchecked(dpcs) }
    }

    /// # Safety
    /// The block of this port is allocated.
    unsafe fn items(port: NonNull<Self>) -> NonNull<ItemQueue> {
        // SAFETY: the field is inside the allocated block; no reference is made [T8].
        let items = unsafe { &raw mut (*port.as_ptr()).items };
        // SAFETY: a field's address is not null.
        unsafe { NonNull::new_unchecked(items) }
    }
}

// SAFETY: each of the two queues runs the task once for each call that queues it. Such a call is
// made only while the task stands in neither queue. The link is touched only under the tracker's
// lock.
unsafe impl Port for MigratingPort {
    const LEVEL: Level = Level::Migrating;

    /// Makes storage without a device, so that its task is refused.
    fn new() -> Self {
        // SAFETY: null is allowed.
        unsafe { Self::new_on(Settings::DEFAULT, null_mut()) }
    }

    unsafe fn launch(task: TaskPtr, port: NonNull<Self>) -> Result<(), NTSTATUS> {
        // SAFETY: the block is allocated, and no other code has seen it yet.
        let this = unsafe { port.as_ref() };
        // SAFETY: the queue is in the block of this task, and new.
        unsafe { this.dpcs.prepare(task) }?;
        // SAFETY: the queue is in the block of this task, and new.
        unsafe { this.items.acquire(task) }?;
        // SAFETY: the link is the task's own, in no list, and leaves the list in `ended`.
        let tracked = default_tracker(|tracker| unsafe { tracker.insert(&this.link, task) });
        if let Err(refused) = tracked {
            // SAFETY: the item was acquired above, and never queued.
            unsafe { this.items.give_up() };
            return Err(refused);
        }
        // SAFETY: the block is allocated, and no other code has it yet.
        let dpcs = unsafe { Self::dpcs(port) };
        // SAFETY: the task is scheduled from the start, and accepted. A new body has polled nothing
        // that wants PASSIVE_LEVEL.
        unsafe { DpcQueue::schedule(dpcs) };
        Ok(())
    }

    unsafe fn schedule(task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: a step has obliged the caller to queue the task, which it has not queued yet.
        if unsafe { task.wants_passive() } {
            // SAFETY: the queue's reference keeps the block.
            let items = unsafe { Self::items(port) };
            // SAFETY: a step has obliged the caller to queue the task; `launch` acquired the item.
            unsafe { ItemQueue::schedule(items) }
        } else {
            // SAFETY: the queue's reference keeps the block.
            let dpcs = unsafe { Self::dpcs(port) };
            // SAFETY: a step has obliged the caller to queue the task; `launch` prepared the DPCs.
            unsafe { DpcQueue::schedule(dpcs) }
        }
    }

    unsafe fn defer(task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the caller's step has just obliged it to queue the task.
        let stays_at_dispatch = !nt::is_passive() && !unsafe { task.wants_passive() };
        if stays_at_dispatch {
            // SAFETY: the queue's reference keeps the block.
            let dpcs = unsafe { Self::dpcs(port) };
            // SAFETY: the caller must defer the task, in a run of its DPC.
            unsafe { DpcQueue::defer(dpcs) }
        } else {
            // The task migrates, or goes behind the other work items.
            // SAFETY: the caller must queue the task, which is in no queue [T3].
            unsafe { Self::schedule(task, port) }
        }
    }

    unsafe fn ended(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the poller's reference keeps the block.
        let this = unsafe { port.as_ref() };
        // SAFETY: `launch` inserted the link, and it is removed only here.
        default_tracker(|tracker| unsafe { tracker.remove(&this.link) });
        // SAFETY: `launch` acquired the item. It is in no queue, because the task runs [T3].
        unsafe { this.items.give_up() };
    }
}
