//! Tasks on DPCs, with bodies that run at DISPATCH_LEVEL.
//!
//! # Why a timer continues a task
//!
//! A DPC that queues itself again runs again in the same drain of the queue. So a timer continues a
//! task with a spent poll budget. The timer has a DPC of its own, because a DPC that a timer uses
//! is never queued by hand.

mod options;

use core::ptr::NonNull;

use crate::{
    budget::Budget,
    fail::{FailFast, fail_fast},
    nt,
    status::NTSTATUS,
    sync::KernelCell,
    task::{Port, TaskPtr, run, run_deferred},
    tracker::{Link, default_tracker},
};

pub use self::options::{DpcOptions, Importance};

/// The delay until a task with a spent budget continues. It is relative, in units of 100 ns, and
/// the timer fires at the next clock tick.
const CONTINUE_AFTER: i64 = -1;

// An absolute due time would have passed already, so the timer's DPC would be queued at once, in
// the drain that must end.
const _: () = assert!(CONTINUE_AFTER < 0);

/// A task's entry in the DPC queues.
///
/// Waking queues `dpc`, on the waker's processor. A spent budget arms `timer`, which has a DPC of
/// its own, because a DPC that a timer uses is not queued by hand
/// (learn.microsoft.com/windows-hardware/drivers/kernel/using-a-customtimerdpc-routine).
#[repr(C)]
pub(crate) struct DpcQueue {
    dpc: KernelCell<nt::KDPC>,
    timer_dpc: KernelCell<nt::KDPC>,
    timer: KernelCell<nt::KTIMER>,
    /// Written by `prepare`, then only read.
    task: KernelCell<Option<TaskPtr>>,
    settings: Settings,
}

/// The options of a task's DPCs, and the budget of its runs.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    importance: Importance,
    /// The target processor, or `None` for the waker's.
    processor: Option<nt::PROCESSOR_NUMBER>,
    budget: Budget,
}

impl Settings {
    pub(crate) const DEFAULT: Self =
        Self { importance: Importance::Medium, processor: None, budget: Budget::DEFAULT };

    pub(crate) const fn budget(self) -> Budget {
        self.budget
    }
}

/// Runs the task. Both DPCs of the task have this routine.
unsafe extern "C" fn routine(dpc: *mut nt::KDPC, context: nt::PVOID, _: nt::PVOID, _: nt::PVOID) {
    let queue: *const DpcQueue = context.cast();
    // SAFETY: `initialize` passed the pointer; the queue's reference keeps the block until the run
    // ends, and `this` is not used after that.
    let this = unsafe { &*queue };
    // SAFETY: the task was written before it was ever queued, and is never written again.
    let Some(task) = (unsafe { this.task.get().read() }) else { fail_fast(FailFast::Protocol) };
    let (budget, deferred) = (this.settings.budget, dpc == this.timer_dpc.get());
    let run = if deferred { run_deferred } else { run };
    // SAFETY: the DPC has left its queue, so the queue's reference is ours [T3].
    unsafe { run(task, budget) }
}

impl DpcQueue {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            dpc: KernelCell::default(),
            timer_dpc: KernelCell::default(),
            timer: KernelCell::default(),
            task: KernelCell::new(None),
            settings,
        }
    }

    /// Initialises the DPC and stores the task.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER`: the processor in the settings does not exist.
    ///
    /// # Safety
    /// This is in the block of `task`, in its final place in non-paged memory, and no other code
    /// has it yet.
    pub(crate) unsafe fn prepare(&self, task: TaskPtr) -> Result<(), NTSTATUS> {
        // SAFETY: only the launching processor has the block.
        unsafe { self.task.get().write(Some(task)) };
        // SAFETY: the DPC is in the block, which is new and in non-paged memory.
        unsafe { self.initialize(self.dpc.get()) }
    }

    /// Initialises one of the two DPCs with the settings.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER`: the processor in the settings does not exist.
    ///
    /// # Safety
    /// `dpc` is one of this queue's DPCs and is in no queue. The queue is in its final place in
    /// non-paged memory.
    unsafe fn initialize(&self, dpc: *mut nt::KDPC) -> Result<(), NTSTATUS> {
        let context = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: any IRQL; the caller guarantees that the DPC is in place and in no queue.
        unsafe { nt::KeInitializeDpc(dpc, Some(routine), context) };
        if self.settings.importance != Importance::Medium {
            // SAFETY: any IRQL; the DPC is initialised, and in no queue.
            unsafe { nt::KeSetImportanceDpc(dpc, self.settings.importance as i32) };
        }
        let Some(mut processor) = self.settings.processor else { return Ok(()) };
        // SAFETY: any IRQL; the DPC is initialised and in no queue, and the argument is a
        // processor's number.
        let status = unsafe { nt::KeSetTargetProcessorDpcEx(dpc, &raw mut processor) };
        if status == NTSTATUS::SUCCESS.0 { Ok(()) } else { Err(NTSTATUS(status)) }
    }

    /// Queues the task, as [`Port::schedule`] does.
    ///
    /// # Safety
    /// The queue is prepared, and a step obliged the caller to queue the task `[T3]`.
    pub(crate) unsafe fn schedule(queue: NonNull<Self>) {
        let queue = queue.as_ptr();
        // SAFETY: the queue's reference keeps the block until the DPC has begun.
        let dpc = unsafe { &(*queue).dpc }.get();
        // SAFETY: the DPC was initialised by `prepare` and is resident. It is in no queue [T3].
        let inserted = unsafe { nt::KeInsertQueueDpc(dpc, core::ptr::null_mut(), core::ptr::null_mut()) };
        // FALSE means that the DPC was in a queue already, so this wake would be lost.
        if inserted == 0 {
            fail_fast(FailFast::Protocol);
        }
    }

    /// Arms the timer, as [`Port::defer`] requires, in a run of the task's DPC.
    ///
    /// # Safety
    /// As for [`schedule`](Self::schedule).
    pub(crate) unsafe fn defer(queue: NonNull<Self>) {
        // SAFETY: the queue's reference keeps the block until the timer's DPC has begun.
        let this = unsafe { queue.as_ref() };
        let (dpc, timer) = (this.timer_dpc.get(), this.timer.get());
        // SAFETY: neither DPC is queued, because the task is scheduled once, by this call [T3].
        if unsafe { this.initialize(dpc) }.is_err() {
            // `prepare` has already succeeded with the same processor.
            fail_fast(FailFast::Processor);
        }
        // SAFETY: the timer is in no queue [T3]; ≤ DISPATCH_LEVEL.
        unsafe { nt::KeInitializeTimerEx(timer, nt::_TIMER_TYPE::NotificationTimer) };
        let due = nt::LARGE_INTEGER { QuadPart: CONTINUE_AFTER };
        // SAFETY: timer and DPC are initialised and resident until the routine runs; the timer is
        // one-shot.
        let was_set = unsafe { nt::KeSetTimerEx(timer, due, 0, dpc) };
        if was_set != 0 {
            fail_fast(FailFast::Protocol);
        }
    }
}

/// The executor's storage in the block of a task on DPCs.
#[repr(C)]
pub struct DpcPort {
    queue: DpcQueue,
    link: Link,
}

impl DpcPort {
    fn with(settings: Settings) -> Self {
        Self { queue: DpcQueue::new(settings), link: Link::new() }
    }
}

/// The queue of a port.
fn queue(port: NonNull<DpcPort>) -> NonNull<DpcQueue> {
    // The queue is the first field, at offset 0.
    port.cast()
}

// SAFETY: every queueing below ends in one call of `routine`, which runs the task once. The DPCs
// and the timer are touched by these functions, and by the kernel while they are queued, never in
// between. The link is touched only under the tracker's lock.
unsafe impl Port for DpcPort {
    fn new() -> Self {
        Self::with(Settings::DEFAULT)
    }

    unsafe fn launch(task: TaskPtr, port: NonNull<Self>) -> Result<(), NTSTATUS> {
        // SAFETY: the block is allocated, and no other code has seen it yet.
        let this = unsafe { port.as_ref() };
        // SAFETY: the queue is in the block of this task, and new.
        unsafe { this.queue.prepare(task) }?;
        // SAFETY: the link is the task's own, in no list, and leaves the list in `ended`.
        default_tracker(|tracker| unsafe { tracker.insert(&this.link, task) })?;
        // SAFETY: the task is scheduled from the start, and accepted, so this queues it once.
        unsafe { DpcQueue::schedule(queue(port)) };
        Ok(())
    }

    unsafe fn schedule(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the caller guarantees that a step obliged it to queue the task.
        unsafe { DpcQueue::schedule(queue(port)) }
    }

    unsafe fn defer(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the caller guarantees that this run must defer the task.
        unsafe { DpcQueue::defer(queue(port)) }
    }

    unsafe fn ended(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the poller's reference keeps the block.
        let this = unsafe { port.as_ref() };
        // SAFETY: `launch` inserted the link, and it is removed only here.
        default_tracker(|tracker| unsafe { tracker.remove(&this.link) });
    }
}
