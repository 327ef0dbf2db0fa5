//! Going on at PASSIVE_LEVEL for a while.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    NTSTATUS,
    task::{
        TaskPtr,
        passive::{self, Place},
    },
};

/// Where the future of [`passive`] is.
enum Stage<T> {
    /// Not polled yet.
    New,
    /// Counted by this task, which polls it at PASSIVE_LEVEL.
    Away(TaskPtr),
    /// In a task that is at PASSIVE_LEVEL always.
    Home,
    /// The value is on its way back to DISPATCH_LEVEL.
    Back(T),
    Done,
}

impl<T> Stage<T> {
    /// Is this where the future is to be polled?
    const fn is_at_passive_level(&self, place: Place) -> bool {
        matches!((self, place), (Self::Home, Place::Home) | (Self::Away(_), Place::Away(_)))
    }
}

// SAFETY: the task is only compared, and used in the task that is polling this future; the value is the future's.
unsafe impl<T: Send> Send for Stage<T> {}

pin_project! {
    /// The future of [`passive`].
    ///
    /// ```
    /// use core::future::{Ready, ready};
    /// let passive: ntcom_exec::Passive<Ready<u32>> = ntcom_exec::passive(ready(1));
    /// # drop(passive);
    /// ```
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
            if let Stage::Away(task) = *this.stage {
                passive::end(task);
            }
        }
    }
}

/// Runs a future at PASSIVE_LEVEL, in a work item, and comes back: for a task that was spawned
/// [`OnDevice`](crate::OnDevice). In a task on work items, which is there already, it runs in place.
///
/// The whole task moves: its body is polled at PASSIVE_LEVEL, in a system worker thread, until `future` has ended, and `future` is polled
/// and, once polled, dropped there only. What it returns is handed over at DISPATCH_LEVEL again. Moving allocates nothing: the
/// work item is in the task's block. Cancellation is as anywhere in a task `[C10]`; a body that is dropped meanwhile is dropped at PASSIVE_LEVEL.
///
/// Where a combinator polls others of the same task beside it, they are polled at PASSIVE_LEVEL meanwhile; and if one of them
/// has gone there too, this one's end waits for no other: what follows it begins at PASSIVE_LEVEL. Likewise the cleanup of a
/// [`try_finally`](crate::try_finally) around it begins there when the task is cancelled. Code that needs DISPATCH_LEVEL raises the
/// IRQL itself.
///
/// Once polled, this future must stay in its task: dropping it elsewhere fails fast.
///
/// # Errors
/// Of the future, in its first poll: `STATUS_NOT_SUPPORTED`: it is polled by no task, or by one on DPCs that has no device. `future` has not been
/// polled.
///
/// ```
/// use ntcom_exec::{DpcOptions, OnDevice, TaskBuilder, passive};
/// # use std::ptr::null_mut;
/// # use ntsim::{Config, Schedule, Simulation, ddi, types::FILE_DEVICE_UNKNOWN};
///
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
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
/// let placement = unsafe { OnDevice::new(DpcOptions::new(), device) };
/// TaskBuilder::new().on(placement).spawn(body).unwrap();
/// # // SAFETY: not deleted yet; the task keeps a reference until it has ended.
/// # unsafe { ddi::IoDeleteDevice(device) };
/// # }))]).unwrap();
/// # kernel.unload().unwrap();
/// ```
pub fn passive<F: Future>(future: F) -> Passive<F> {
    Passive { future: Some(future), stage: Stage::New }
}

impl<F: Future> Future for Passive<F> {
    type Output = Result<F::Output, NTSTATUS>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let place = passive::place();
        if matches!(this.stage, Stage::New) {
            *this.stage = match place {
                Place::Home => Stage::Home,
                Place::Away(task) | Place::Dispatch(task) => {
                    passive::begin(task);
                    Stage::Away(task)
                }
                Place::Stuck => {
                    this.future.set(None);
                    *this.stage = Stage::Done;
                    return Poll::Ready(Err(NTSTATUS::NOT_SUPPORTED));
                }
            };
        }
        if this.stage.is_at_passive_level(place) {
            let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
            let Poll::Ready(value) = future.poll(context) else { return Poll::Pending };
            this.future.set(None);
            let before = core::mem::replace(this.stage, Stage::Back(value));
            if let Stage::Away(task) = before {
                passive::end(task);
            }
        }
        // A run at the other level follows this one, on the way there or, unless another part of the body stays, back.
        let on_its_way = match (&*this.stage, place) {
            (Stage::Away(_), _) => true,
            (Stage::Back(_), Place::Away(_)) => !passive::is_wanted(),
            _ => false,
        };
        if on_its_way {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match core::mem::replace(this.stage, Stage::Done) {
            Stage::Back(value) => Poll::Ready(Ok(value)),
            // Polled after Ready: allowed to misbehave, not to run anything twice.
            _ => Poll::Pending,
        }
    }
}
