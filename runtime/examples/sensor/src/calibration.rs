//! Periodic work in the background, which goes to PASSIVE_LEVEL where it must.

use core::time::Duration;

use ntcom::NTSTATUS;
use ntcom_exec::{interval, passive};

/// Calibrates once a second, until Unload cancels it, or there is no memory for its timer.
pub(crate) async fn calibrate() {
    let mut period = interval(Duration::from_secs(1)).with_tolerance(Duration::from_millis(100));
    while period.tick().await.is_ok() {
        if passive(store()).await.is_err() {
            return;
        }
    }
}

/// Writes the calibration to a file or the registry. PASSIVE_LEVEL.
async fn store() -> Result<(), NTSTATUS> {
    Ok(())
}
