//! Work in the background: now and then, and at PASSIVE_LEVEL where it has to be.

use core::time::Duration;

use ntcom::NTSTATUS;
use ntcom_exec::{interval, passive};

/// Until the driver is unloaded, which cancels it, or there is no memory for its timer.
pub(crate) async fn calibrate() {
    let mut period = interval(Duration::from_secs(1)).with_tolerance(Duration::from_millis(100));
    while period.tick().await.is_ok() {
        if passive(store()).await.is_err() {
            return;
        }
    }
}

/// Writes the calibration to where it is kept: a file, the registry. PASSIVE_LEVEL.
async fn store() -> Result<(), NTSTATUS> {
    Ok(())
}
