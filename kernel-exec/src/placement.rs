//! The placement of an operation of `ntcom` on DPCs, on work items, or on both in turn.

use crate::{status::NTSTATUS, task::Port};

/// The executor of an operation's body, with its options.
///
/// | placement | body's IRQL | |
/// |---|---|---|
/// | [`OnDpcs`] | DISPATCH_LEVEL | the default |
/// | `DpcOptions` | DISPATCH_LEVEL | with importance, processor, budget |
/// | `OnWorkItems` | PASSIVE_LEVEL | in work items of a device |
/// | `Migrating` | DISPATCH_LEVEL, in `passive` PASSIVE_LEVEL | migrates between the two |
///
/// The pool tag of [`DpcOptions`](crate::DpcOptions) has no effect here, because an operation's
/// block comes from the operation's allocator.
///
/// ```
/// fn runs(placement: impl ntcom_exec::Placement) {}
/// runs(ntcom_exec::OnDpcs);
/// ```
pub trait Placement: Send + 'static {
    /// The executor's storage in the block.
    #[doc(hidden)]
    type Port: Port;

    /// Makes the executor's storage.
    ///
    /// # Errors
    /// The status with which the operation ends, if the placement is invalid.
    #[doc(hidden)]
    fn port(self) -> Result<Self::Port, NTSTATUS>;
}

/// The placement on DPCs, at DISPATCH_LEVEL.
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

    /// The placement on work items of a device, at PASSIVE_LEVEL: see
    /// [`spawn_work_item_task`](crate::spawn_work_item_task).
    ///
    /// ```
    /// # let device = std::ptr::null_mut();
    /// // SAFETY: null is refused.
    /// let refused = unsafe { ntcom_exec::OnWorkItems::of(device) };
    /// # let _: ntcom_exec::OnWorkItems = refused;
    /// ```
    #[derive(Clone, Copy, Debug)]
    pub struct OnWorkItems(nt::PDEVICE_OBJECT);

    // SAFETY: a device may be used in any thread; the caller of `of` keeps it alive.
    unsafe impl Send for OnWorkItems {}

    impl OnWorkItems {
        /// Places operations on work items of this device.
        ///
        /// # Safety
        /// `device` is null, or a device object of this driver that is referenced, or not yet
        /// deleted, until the placed operation has been spawned.
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

    /// The placement on DPCs of a task that migrates to work items of a device for the parts of its
    /// body in [`passive`](crate::passive()).
    ///
    /// ```
    /// # let device = std::ptr::null_mut();
    /// // SAFETY: null is refused.
    /// let refused = unsafe { ntcom_exec::Migrating::new(ntcom_exec::DpcOptions::new(), device) };
    /// # let _: ntcom_exec::Migrating = refused;
    /// ```
    #[derive(Clone, Copy, Debug)]
    pub struct Migrating {
        options: DpcOptions,
        device: nt::PDEVICE_OBJECT,
    }

    // SAFETY: a device may be used in any thread; the caller of `new` keeps it alive.
    unsafe impl Send for Migrating {}

    impl Migrating {
        /// Places operations on DPCs with these options, and on work items of this device.
        ///
        /// # Safety
        /// The contract of [`OnWorkItems::of`].
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
