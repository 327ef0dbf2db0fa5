//! Tasks that move: on DPCs, and on work items while their body wants PASSIVE_LEVEL.

use core::ptr::{NonNull, null_mut};

use crate::{
    NTSTATUS,
    dpc::{DpcQueue, Settings},
    nt,
    task::{Level, Port, TaskPtr},
    tracker::{Link, default_tracker},
    work_item::ItemQueue,
};

/// What a task that moves keeps in its block. It stands in one of the two queues at a time `[T3]`.
#[repr(C)]
pub struct MovingPort {
    dpcs: DpcQueue,
    items: ItemQueue,
    link: Link,
}

impl MovingPort {
    /// # Safety
    /// `device` is null, or a device object that somebody keeps referenced until the task has been launched.
    pub(crate) unsafe fn new_on(settings: Settings, device: nt::PDEVICE_OBJECT) -> Self {
        // SAFETY: by this function's contract.
        let items = unsafe { ItemQueue::for_device(device, settings.budget()) };
        Self { dpcs: DpcQueue::new(settings), items, link: Link::new() }
    }

    /// # Safety
    /// The block of this port is allocated.
    unsafe fn dpcs(port: NonNull<Self>) -> NonNull<DpcQueue> {
        // SAFETY: inside the block; no reference is made [T8].
        let dpcs = unsafe { &raw mut (*port.as_ptr()).dpcs };
        // SAFETY: a field's address is not null.
        unsafe { NonNull::new_unchecked(dpcs) }
    }

    /// # Safety
    /// The block of this port is allocated.
    unsafe fn items(port: NonNull<Self>) -> NonNull<ItemQueue> {
        // SAFETY: inside the block; no reference is made [T8].
        let items = unsafe { &raw mut (*port.as_ptr()).items };
        // SAFETY: a field's address is not null.
        unsafe { NonNull::new_unchecked(items) }
    }
}

// SAFETY: each of the two queues runs the task once for each time that it is told to, and is told to only where the task stands in neither;
// the link is touched under the tracker's lock.
unsafe impl Port for MovingPort {
    const LEVEL: Level = Level::Moving;

    /// For no device: such a task is refused.
    fn new() -> Self {
        // SAFETY: null is allowed.
        unsafe { Self::new_on(Settings::DEFAULT, null_mut()) }
    }

    unsafe fn launch(task: TaskPtr, port: NonNull<Self>) -> Result<(), NTSTATUS> {
        // SAFETY: allocated: nobody has seen the block yet.
        let this = unsafe { port.as_ref() };
        // SAFETY: in the block of this task, and new.
        unsafe { this.dpcs.prepare(task) }?;
        // SAFETY: as above.
        unsafe { this.items.acquire(task) }?;
        // SAFETY: the link is the task's own, in no list, and leaves it in `ended`.
        let tracked = default_tracker(|tracker| unsafe { tracker.insert(&this.link, task) });
        if let Err(refused) = tracked {
            // SAFETY: acquired above, never queued.
            unsafe { this.items.give_up() };
            return Err(refused);
        }
        // SAFETY: the block is nobody else's yet.
        let dpcs = unsafe { Self::dpcs(port) };
        // SAFETY: scheduled from the start, and accepted: a new body has polled nothing that wants PASSIVE_LEVEL.
        unsafe { DpcQueue::schedule(dpcs) };
        Ok(())
    }

    unsafe fn schedule(task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: a step has obliged the caller to queue it.
        if unsafe { task.wants_passive() } {
            // SAFETY: the queue's reference.
            let items = unsafe { Self::items(port) };
            // SAFETY: the caller's duty; acquired by `launch`.
            unsafe { ItemQueue::schedule(items) }
        } else {
            // SAFETY: the queue's reference.
            let dpcs = unsafe { Self::dpcs(port) };
            // SAFETY: the caller's duty; prepared by `launch`.
            unsafe { DpcQueue::schedule(dpcs) }
        }
    }

    unsafe fn defer(task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the caller's step has just obliged it to queue the task.
        let stays_at_dispatch = !nt::is_passive() && !unsafe { task.wants_passive() };
        if stays_at_dispatch {
            // SAFETY: the queue's reference.
            let dpcs = unsafe { Self::dpcs(port) };
            // SAFETY: the caller's duty, in a run of its DPC.
            unsafe { DpcQueue::defer(dpcs) }
        } else {
            // It moves, or goes behind the other work items.
            // SAFETY: the caller's duty.
            unsafe { Self::schedule(task, port) }
        }
    }

    unsafe fn ended(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the poller's reference.
        let this = unsafe { port.as_ref() };
        // SAFETY: inserted by `launch`, removed here only.
        default_tracker(|tracker| unsafe { tracker.remove(&this.link) });
        // SAFETY: acquired by `launch`. The item is in no queue: the task runs [T3].
        unsafe { this.items.give_up() };
    }
}
