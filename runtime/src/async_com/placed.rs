//! The executor of an operation, which its placement names. In a build without a kernel it is one
//! that refuses every operation `[C21]`.

use ntcom_exec::{NTSTATUS, Placement, Port};

/// A placement, with its executor in this build.
pub(super) trait Placed: Placement {
    /// The executor's part of the operation's block.
    type Executor: Port;

    /// # Errors
    /// The reason why the placement is invalid.
    fn executor(self) -> Result<Self::Executor, NTSTATUS>;
}

#[cfg(any(feature = "async-com-kernel", feature = "sim"))]
impl<P: Placement> Placed for P {
    type Executor = P::Port;

    fn executor(self) -> Result<P::Port, NTSTATUS> {
        self.port()
    }
}

#[cfg(not(any(feature = "async-com-kernel", feature = "sim")))]
impl<P: Placement> Placed for P {
    type Executor = ntcom_exec::NoExecutor;

    fn executor(self) -> Result<Self::Executor, NTSTATUS> {
        Ok(Self::Executor::new())
    }
}
