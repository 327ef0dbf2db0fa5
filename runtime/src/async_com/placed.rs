//! Which executor an operation gets: its placement's, or in a build without one that which refuses `[C21]`.

use ntcom_exec::{NTSTATUS, Placement, Port};

/// A placement, as this build sees it.
pub(super) trait Placed: Placement {
    /// What runs the operation.
    type Executor: Port;

    /// # Errors
    /// The placement's.
    fn executor(self) -> Result<Self::Executor, NTSTATUS>;
}

#[cfg(feature = "async-com-kernel")]
impl<P: Placement> Placed for P {
    type Executor = P::Port;

    fn executor(self) -> Result<P::Port, NTSTATUS> {
        self.port()
    }
}

#[cfg(not(feature = "async-com-kernel"))]
impl<P: Placement> Placed for P {
    type Executor = ntcom_exec::NoExecutor;

    fn executor(self) -> Result<Self::Executor, NTSTATUS> {
        Ok(Self::Executor::new())
    }
}
