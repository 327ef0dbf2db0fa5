//! The placement of a task on DPCs, on work items, or on both in turn.

use crate::{status::NTSTATUS, task::Port};

/// The place where a task runs, and its options.
///
/// [`TaskBuilder::on`](crate::TaskBuilder::on) and the recipes of `ntcom` take it.
///
/// | placement | body's IRQL | |
/// |---|---|---|
/// | [`OnDpcs`] | DISPATCH_LEVEL | the default |
/// | `DpcOptions` | DISPATCH_LEVEL | with importance, processor, budget |
/// | `OnWorkItems` | PASSIVE_LEVEL | in work items of a device |
/// | `Migrating` | DISPATCH_LEVEL, in `passive` PASSIVE_LEVEL | migrates between the two |
pub trait Placement: Send + 'static {
    /// The executor's storage in the block.
    #[doc(hidden)]
    type Port: Port;

    /// Makes the executor's storage.
    ///
    /// # Errors
    /// If the placement is invalid, the status with which the spawn fails or the operation ends.
    #[doc(hidden)]
    fn port(self) -> Result<Self::Port, NTSTATUS>;
}

/// The placement on DPCs, at DISPATCH_LEVEL.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OnDpcs;

impl Placement for OnDpcs {
    type Port = crate::DpcPort;

    fn port(self) -> Result<Self::Port, NTSTATUS> {
        Ok(Self::Port::new())
    }
}

#[cfg(kernel)]
pub use on_devices::{Migrating, OnWorkItems};

#[cfg(kernel)]
mod on_devices {
    use super::Placement;
    use crate::{dpc::DpcOptions, migrating::MigratingPort, nt, status::NTSTATUS, work_item::WorkItemPort};

    impl Placement for DpcOptions {
        type Port = crate::DpcPort;

        fn port(self) -> Result<Self::Port, NTSTATUS> {
            self.dpc_port()
        }
    }

    /// The placement on work items of a device, at PASSIVE_LEVEL.
    ///
    /// The body is polled and dropped in a system worker thread. It may touch pageable memory and
    /// wait for a short time. There are few worker threads, and a body that keeps one keeps it from
    /// other work (learn.microsoft.com/windows-hardware/drivers/kernel/system-worker-threads).
    /// Wherever the body polls another future, it must be at PASSIVE_LEVEL again, in the thread
    /// that it was called in. The task is in the image's default tracker, and its device object is
    /// referenced until the task has ended. Waking it allocates nothing, because its work item is
    /// in its block.
    #[derive(Clone, Copy, Debug)]
    pub struct OnWorkItems(nt::PDEVICE_OBJECT);

    // SAFETY: a device may be used in any thread; the caller of `of` keeps it alive.
    unsafe impl Send for OnWorkItems {}

    impl OnWorkItems {
        /// Places tasks and operations on work items of this device. IRQL: any.
        ///
        /// # Safety
        /// `device` is null, or a device object of this driver. A device object stays referenced,
        /// or is not deleted, until the placed task or operation has been spawned. A spawn on null
        /// fails with `STATUS_INVALID_PARAMETER`.
        #[must_use]
        pub const unsafe fn of(device: nt::PDEVICE_OBJECT) -> Self {
            Self(device)
        }
    }

    impl Placement for OnWorkItems {
        type Port = WorkItemPort;

        fn port(self) -> Result<Self::Port, NTSTATUS> {
            // SAFETY: the caller of `of` keeps the device referenced until the operation has been
            // spawned.
            Ok(unsafe { WorkItemPort::for_device(self.0) })
        }
    }

    /// The placement of a task that migrates between DPCs and work items of a device.
    ///
    /// The task is on DPCs, except for the parts of its body in [`passive`](crate::passive()).
    ///
    /// The device object is referenced until the task has ended.
    #[derive(Clone, Copy, Debug)]
    pub struct Migrating {
        options: DpcOptions,
        device: nt::PDEVICE_OBJECT,
    }

    // SAFETY: a device may be used in any thread; the caller of `new` keeps it alive.
    unsafe impl Send for Migrating {}

    impl Migrating {
        /// Places tasks and operations on DPCs with these options, and on work items of this
        /// device. IRQL: any.
        ///
        /// # Safety
        /// As for [`OnWorkItems::of`].
        #[must_use]
        pub const unsafe fn new(options: DpcOptions, device: nt::PDEVICE_OBJECT) -> Self {
            Self { options, device }
        }
    }

    impl Placement for Migrating {
        type Port = MigratingPort;

        fn port(self) -> Result<Self::Port, NTSTATUS> {
            // SAFETY: the caller of `new` keeps the device referenced until the operation has been
            // spawned.
            Ok(unsafe { MigratingPort::new_on(self.options.settings()?, self.device) })
        }
    }
}
