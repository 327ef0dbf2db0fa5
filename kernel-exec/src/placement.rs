//! Where a task runs: on DPCs, on work items, or on the one and then the other.

use crate::{NTSTATUS, task::Port};

/// Where a task runs, and how: [`TaskBuilder::on`](crate::TaskBuilder::on) and the recipes of `ntcom`
/// take it.
///
/// | placement | body's IRQL | |
/// |---|---|---|
/// | [`OnDpcs`] | DISPATCH_LEVEL | unless something else is said |
/// | `DpcOptions` | DISPATCH_LEVEL | with importance, processor, budget |
/// | `OnWorkItems` | PASSIVE_LEVEL | in work items of a device |
/// | `OnDevice` | DISPATCH_LEVEL, in `passive` PASSIVE_LEVEL | |
///
/// ```
/// fn runs(placement: impl ntcom_exec::Placement) {}
/// runs(ntcom_exec::OnDpcs);
/// ```
pub trait Placement: Send + 'static {
    /// What the executor keeps in the block.
    #[doc(hidden)]
    type Port: Port;

    /// # Errors
    /// The placement's: the spawn fails with it, or the operation ends with it.
    #[doc(hidden)]
    fn port(self) -> Result<Self::Port, NTSTATUS>;
}

/// On DPCs, at DISPATCH_LEVEL.
///
/// ```
/// let everywhere = ntcom_exec::OnDpcs;
/// # let _: ntcom_exec::OnDpcs = everywhere;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OnDpcs;

impl Placement for OnDpcs {
    type Port = crate::DpcPort;

    fn port(self) -> Result<Self::Port, NTSTATUS> {
        Ok(Self::Port::new())
    }
}

#[cfg(kernel)]
pub use on_devices::{OnDevice, OnWorkItems};

#[cfg(kernel)]
mod on_devices {
    use super::Placement;
    use crate::{DpcOptions, NTSTATUS, WorkItemPort, moving::MovingPort, nt};

    impl Placement for DpcOptions {
        type Port = crate::DpcPort;

        fn port(self) -> Result<Self::Port, NTSTATUS> {
            self.dpc_port()
        }
    }

    /// On work items of a device, at PASSIVE_LEVEL.
    ///
    /// The body is polled and dropped in a system worker thread: it may touch pageable memory and,
    /// for a short time, wait; there are few worker threads, and a task that keeps one keeps it from
    /// others (learn.microsoft.com/windows-hardware/drivers/kernel/system-worker-threads). It must be
    /// at PASSIVE_LEVEL again, in the thread that it was called in, wherever it polls another future.
    /// The task belongs to the image's default tracker, and its device object is referenced until it
    /// has ended. Waking it allocates nothing: its work item is in its block.
    ///
    /// ```
    /// # let device = std::ptr::null_mut();
    /// // SAFETY: null is refused.
    /// let refused = unsafe { ntcom_exec::OnWorkItems::of(device) };
    /// # let _: ntcom_exec::OnWorkItems = refused;
    /// ```
    #[derive(Clone, Copy, Debug)]
    pub struct OnWorkItems(nt::PDEVICE_OBJECT);

    // SAFETY: a device may be used in any thread; that it stays is the contract of `of`.
    unsafe impl Send for OnWorkItems {}

    impl OnWorkItems {
        /// Of this device.
        ///
        /// # Safety
        /// `device` is null, or a device object of this driver that is referenced, or not yet deleted, until what is placed has been spawned.
        #[must_use]
        pub const unsafe fn of(device: nt::PDEVICE_OBJECT) -> Self {
            Self(device)
        }
    }

    impl Placement for OnWorkItems {
        type Port = WorkItemPort;

        fn port(self) -> Result<Self::Port, NTSTATUS> {
            // SAFETY: by the contract of `of`.
            Ok(unsafe { WorkItemPort::for_device(self.0) })
        }
    }

    /// On DPCs, and on work items of a device in [`passive`](crate::passive()).
    ///
    /// The device object is referenced until the task has ended.
    ///
    /// ```
    /// # let device = std::ptr::null_mut();
    /// // SAFETY: null is refused.
    /// let refused = unsafe { ntcom_exec::OnDevice::new(ntcom_exec::DpcOptions::new(), device) };
    /// # let _: ntcom_exec::OnDevice = refused;
    /// ```
    #[derive(Clone, Copy, Debug)]
    pub struct OnDevice {
        options: DpcOptions,
        device: nt::PDEVICE_OBJECT,
    }

    // SAFETY: a device may be used in any thread; that it stays is the contract of `new`.
    unsafe impl Send for OnDevice {}

    impl OnDevice {
        /// With these options, and of this device.
        ///
        /// # Safety
        /// As for [`OnWorkItems::of`].
        #[must_use]
        pub const unsafe fn new(options: DpcOptions, device: nt::PDEVICE_OBJECT) -> Self {
            Self { options, device }
        }
    }

    impl Placement for OnDevice {
        type Port = MovingPort;

        fn port(self) -> Result<Self::Port, NTSTATUS> {
            // SAFETY: by the contract of `new`.
            Ok(unsafe { MovingPort::new_on(self.options.settings()?, self.device) })
        }
    }
}
