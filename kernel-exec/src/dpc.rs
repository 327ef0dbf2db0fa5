//! Tasks on DPCs: bodies that run at DISPATCH_LEVEL.

mod options;

use core::ptr::NonNull;

use crate::{
    NTSTATUS,
    budget::Budget,
    fail::{FailFast, fail_fast},
    nt,
    sync::KernelCell,
    task::{Port, TaskPtr, run, run_deferred},
    tracker::{Link, default_tracker},
};

pub use self::options::{DpcOptions, Importance};

/// When a task whose budget is spent goes on: relative, in units of 100 ns. The timer fires at the next clock tick.
const CONTINUE_AFTER: i64 = -1;

// A due time that is not relative has passed already: the timer's DPC would be queued at once, in the drain that is to end.
const _: () = assert!(CONTINUE_AFTER < 0);

/// A task's place in the DPC queues.
///
/// Waking queues `dpc`, on the waker's processor. A spent budget arms `timer`, whose DPC is one of its own: a DPC that a
/// timer uses is not queued by hand (learn.microsoft.com/windows-hardware/drivers/kernel/using-a-customtimerdpc-routine).
#[repr(C)]
pub(crate) struct DpcQueue {
    dpc: KernelCell<nt::KDPC>,
    timer_dpc: KernelCell<nt::KDPC>,
    timer: KernelCell<nt::KTIMER>,
    /// Written by `prepare`, then only read.
    task: KernelCell<Option<TaskPtr>>,
    settings: Settings,
}

/// How the DPCs of a task are queued, and how long they run.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    importance: Importance,
    /// None: the waker's.
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

/// The routine of both DPCs.
unsafe extern "C" fn routine(dpc: *mut nt::KDPC, context: nt::PVOID, _: nt::PVOID, _: nt::PVOID) {
    let queue: *const DpcQueue = context.cast();
    // SAFETY: `initialize` passed it; the queue's reference keeps the block until the run ends, and nobody touches `this` then.
    let this = unsafe { &*queue };
    // SAFETY: written before the task was ever queued, and never again.
    let Some(task) = (unsafe { this.task.get().read() }) else { fail_fast(FailFast::Protocol) };
    let (budget, deferred) = (this.settings.budget, dpc == this.timer_dpc.get());
    let run = if deferred { run_deferred } else { run };
    // SAFETY: the DPC has left its queue: what it held is ours [T3].
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

    /// # Errors
    /// `STATUS_INVALID_PARAMETER`: there is no such processor.
    ///
    /// # Safety
    /// This is in the block of `task`, in its final place in non-paged memory, and nobody else's yet.
    pub(crate) unsafe fn prepare(&self, task: TaskPtr) -> Result<(), NTSTATUS> {
        // SAFETY: the launching processor's alone.
        unsafe { self.task.get().write(Some(task)) };
        // SAFETY: in the block, which is non-paged, and new.
        unsafe { self.initialize(self.dpc.get()) }
    }

    /// # Errors
    /// `STATUS_INVALID_PARAMETER`: there is no such processor.
    ///
    /// # Safety
    /// `dpc` is one of this queue's, which is in its final place in non-paged memory; it is in no queue.
    unsafe fn initialize(&self, dpc: *mut nt::KDPC) -> Result<(), NTSTATUS> {
        let context = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: any IRQL; by this function's contract.
        unsafe { nt::KeInitializeDpc(dpc, Some(routine), context) };
        if self.settings.importance != Importance::Medium {
            // SAFETY: any IRQL; initialised, and in no queue.
            unsafe { nt::KeSetImportanceDpc(dpc, self.settings.importance as i32) };
        }
        let Some(mut processor) = self.settings.processor else { return Ok(()) };
        // SAFETY: any IRQL; as above, and a processor's number.
        let status = unsafe { nt::KeSetTargetProcessorDpcEx(dpc, &raw mut processor) };
        if status == NTSTATUS::SUCCESS.0 { Ok(()) } else { Err(NTSTATUS(status)) }
    }

    /// As [`Port::schedule`].
    ///
    /// # Safety
    /// Prepared; a step obliged the caller to this `[T3]`.
    pub(crate) unsafe fn schedule(queue: NonNull<Self>) {
        let queue = queue.as_ptr();
        // SAFETY: the queue's reference keeps the block until the DPC has begun.
        let dpc = unsafe { &(*queue).dpc }.get();
        // SAFETY: initialised by `prepare`, resident. It is in no queue [T3].
        let inserted = unsafe { nt::KeInsertQueueDpc(dpc, core::ptr::null_mut(), core::ptr::null_mut()) };
        // FALSE: it stood in a queue already, and this wake would be lost.
        if inserted == 0 {
            fail_fast(FailFast::Protocol);
        }
    }

    /// As [`Port::defer`], in a run of its DPC.
    ///
    /// # Safety
    /// As for [`schedule`](Self::schedule).
    pub(crate) unsafe fn defer(queue: NonNull<Self>) {
        // SAFETY: the queue's reference keeps the block until the timer's DPC has begun.
        let this = unsafe { queue.as_ref() };
        let (dpc, timer) = (this.timer_dpc.get(), this.timer.get());
        // SAFETY: neither is queued: the task is scheduled once, by this call [T3].
        if unsafe { this.initialize(dpc) }.is_err() {
            // `prepare` has had the same answer for the same processor.
            fail_fast(FailFast::Processor);
        }
        // SAFETY: as above; ≤ DISPATCH_LEVEL.
        unsafe { nt::KeInitializeTimerEx(timer, nt::_TIMER_TYPE::NotificationTimer) };
        let due = nt::LARGE_INTEGER { QuadPart: CONTINUE_AFTER };
        // SAFETY: both are initialised and resident until the routine runs; one-shot.
        let was_set = unsafe { nt::KeSetTimerEx(timer, due, 0, dpc) };
        if was_set != 0 {
            fail_fast(FailFast::Protocol);
        }
    }
}

/// What a task on DPCs keeps in its block.
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
    // At offset 0.
    port.cast()
}

// SAFETY: every queueing below ends in one call of `routine`, which runs the task once; the DPCs and the timer are
// touched by these functions and by the kernel while they are queued, never in between; the link only under the tracker's lock.
unsafe impl Port for DpcPort {
    fn new() -> Self {
        Self::with(Settings::DEFAULT)
    }

    unsafe fn launch(task: TaskPtr, port: NonNull<Self>) -> Result<(), NTSTATUS> {
        // SAFETY: allocated: nobody has seen the block yet.
        let this = unsafe { port.as_ref() };
        // SAFETY: in the block of this task, and new.
        unsafe { this.queue.prepare(task) }?;
        // SAFETY: the link is the task's own, in no list, and leaves it in `ended`.
        default_tracker(|tracker| unsafe { tracker.insert(&this.link, task) })?;
        // SAFETY: scheduled from the start, and accepted.
        unsafe { DpcQueue::schedule(queue(port)) };
        Ok(())
    }

    unsafe fn schedule(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the caller's duty.
        unsafe { DpcQueue::schedule(queue(port)) }
    }

    unsafe fn defer(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the caller's duty.
        unsafe { DpcQueue::defer(queue(port)) }
    }

    unsafe fn ended(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the poller's reference.
        let this = unsafe { port.as_ref() };
        // SAFETY: inserted by `launch`, removed here only.
        default_tracker(|tracker| unsafe { tracker.remove(&this.link) });
    }
}
