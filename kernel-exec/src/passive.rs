//! A part of a body that runs at PASSIVE_LEVEL, in a task that migrates there and back.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    status::NTSTATUS,
    task::{
        TaskPtr,
        passive::{self, RunLevel},
    },
};

/// The state of the future of [`passive`].
enum Stage<T> {
    /// Not polled yet.
    New,
    /// Counted by this task, which polls the future at PASSIVE_LEVEL.
    Migrated(TaskPtr),
    /// In a task that is always at PASSIVE_LEVEL.
    InPlace,
    /// The value is on its way back to DISPATCH_LEVEL.
    Returning(T),
    Done,
}

impl<T> Stage<T> {
    /// Tells whether the future may be polled at this level.
    const fn is_at_passive_level(&self, run_level: RunLevel) -> bool {
        matches!(
            (self, run_level),
            (Self::InPlace, RunLevel::AlwaysPassive) | (Self::Migrated(_), RunLevel::Migrated(_))
        )
    }
}

// SAFETY: the task is only compared, or used inside the task that is polling this future; the value
// is the future's.
unsafe impl<T: Send> Send for Stage<T> {}

pin_project! {
    /// The future of [`passive`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Passive<F: Future> {
        #[pin]
        future: Option<F>,
        stage: Stage<F::Output>,
    }

    impl<F: Future> PinnedDrop for Passive<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.future.set(None);
            if let Stage::Migrated(task) = *this.stage {
                passive::end(task);
            }
        }
    }
}

/// Runs a future at PASSIVE_LEVEL, in a work item, and then lets the task migrate back.
///
/// It is for a task that was spawned with the placement [`Migrating`](crate::Migrating). In a task
/// on work items, which is at PASSIVE_LEVEL already, the future runs in place.
///
/// The whole task migrates. Its body is polled at PASSIVE_LEVEL, in a system worker thread, until
/// `future` has ended. `future` is polled there only, and once polled, dropped there only. Its
/// value is handed over at DISPATCH_LEVEL again. Migrating allocates nothing, because the work item
/// is in the task's block. Cancellation is the same as anywhere in a task `[C10]`; a body that is
/// dropped meanwhile is dropped at PASSIVE_LEVEL.
///
/// Where a combinator polls other futures of the same task beside this one, they are polled at
/// PASSIVE_LEVEL meanwhile. If one of them has migrated there too, this future does not wait for it
/// at its end, so the code after this future begins at PASSIVE_LEVEL. Likewise, when the task is
/// cancelled, the cleanup of a [`try_finally`](crate::try_finally) around this future begins at
/// PASSIVE_LEVEL. Code that needs DISPATCH_LEVEL raises the IRQL itself.
///
/// Once polled, this future must stay in its task, because dropping it elsewhere fails fast.
///
/// # Errors
/// The future returns `STATUS_NOT_SUPPORTED` in its first poll, if it is polled by no task, or by a
/// task on DPCs that has no device. `future` has not been polled then.
///
/// ```
/// use ntcom_exec::{DpcOptions, Migrating, TaskBuilder, passive};
/// # use std::ptr::null_mut;
/// # use ntsim::{Config, Schedule, Simulation, ddi, types::FILE_DEVICE_UNKNOWN};
///
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// # let (driver, mut device) = (ntsim::driver_object(), null_mut());
/// # // SAFETY: the arguments are valid.
/// # unsafe { ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &mut device) };
/// let body = async {
///     assert_eq!(ntsim::irql(), 2);
///     let length = passive(async {
///         assert_eq!(ntsim::irql(), 0); // read a file, touch pageable memory, …
///         42
///     });
///     assert_eq!(length.await, Ok(42));
///     assert_eq!(ntsim::irql(), 2);
/// };
/// // SAFETY: the driver's device, which is deleted below.
/// let placement = unsafe { Migrating::new(DpcOptions::new(), device) };
/// TaskBuilder::new().on(placement).spawn(body).unwrap();
/// # // SAFETY: not deleted yet; the task keeps a reference until it has ended.
/// # unsafe { ddi::IoDeleteDevice(device) };
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
pub fn passive<F: Future>(future: F) -> Passive<F> {
    Passive { future: Some(future), stage: Stage::New }
}

impl<F: Future> Future for Passive<F> {
    type Output = Result<F::Output, NTSTATUS>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let run_level = passive::run_level();
        if matches!(this.stage, Stage::New) {
            *this.stage = match run_level {
                RunLevel::AlwaysPassive => Stage::InPlace,
                RunLevel::Migrated(task) | RunLevel::Dispatch(task) => {
                    passive::begin(task);
                    Stage::Migrated(task)
                }
                RunLevel::CannotMigrate => {
                    this.future.set(None);
                    *this.stage = Stage::Done;
                    return Poll::Ready(Err(NTSTATUS::NOT_SUPPORTED));
                }
            };
        }
        if this.stage.is_at_passive_level(run_level) {
            let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
            let Poll::Ready(value) = future.poll(context) else { return Poll::Pending };
            this.future.set(None);
            let before = core::mem::replace(this.stage, Stage::Returning(value));
            if let Stage::Migrated(task) = before {
                passive::end(task);
            }
        }
        // The next run is at the other level, on the way there, or on the way back unless another
        // part of the body stays.
        let on_its_way = match (&*this.stage, run_level) {
            (Stage::Migrated(_), _) => true,
            (Stage::Returning(_), RunLevel::Migrated(_)) => !passive::is_wanted(),
            _ => false,
        };
        if on_its_way {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match core::mem::replace(this.stage, Stage::Done) {
            Stage::Returning(value) => Poll::Ready(Ok(value)),
            // The future was polled after Ready. It may misbehave then, but it runs nothing twice.
            _ => Poll::Pending,
        }
    }
}
