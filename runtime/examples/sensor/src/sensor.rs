//! The interface that other drivers use, and its object.

use core::time::Duration;

use ntcom::{
    AsyncBody, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS, This, declare_com_interface,
    sync::atomic::{AtomicU32, Ordering},
    try_finally,
};
use ntcom_exec::{sleep, timeout};

/// The number of channels of the hardware.
pub const CHANNELS: u32 = 4;

/// The time limit of a conversion.
const CONVERSION_LIMIT: Duration = Duration::from_millis(100);

declare_com_interface! {
    /// A sensor with several channels.
    pub trait ISensor: IUnknown {
        const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7d02);

        /// The number of channels that have power now.
        fn powered(&self) -> u32;

        /// Converts a channel's voltage. A cancelled operation turns the channel's power off before
        /// it ends.
        #[opaque]
        async fn sample(&self, channel: u32) -> Result<u32, NTSTATUS>;
    }
}

/// The state of the simulated hardware.
#[derive(Default)]
pub(crate) struct Sensor {
    powered: AtomicU32,
}

impl Sensor {
    async fn convert(&self, channel: u32) -> Result<u32, NTSTATUS> {
        self.powered.fetch_add(1, Ordering::Relaxed);
        // A real sensor awaits a `Signal` that the DPC of its interrupt sets.
        timeout(CONVERSION_LIMIT, sleep(Duration::from_millis(1))).await??;
        Ok(channel * 100)
    }

    async fn power_down(&self) {
        self.powered.fetch_sub(1, Ordering::Relaxed);
    }
}

// SAFETY: the bodies touch only resident memory, and never block.
unsafe impl ISensor for Sensor {
    type Allocator = GlobalAllocator;

    fn powered(&self) -> u32 {
        self.powered.load(Ordering::Relaxed)
    }

    fn sample(&self, channel: u32) -> impl AsyncBody<Result<u32, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, move |this: This<Self>| async move {
            if channel >= CHANNELS {
                return Err(NTSTATUS::INVALID_PARAMETER);
            }
            let converted = try_finally(this.convert(channel), this.power_down()).await;
            // `None` means that the body was cancelled, so the operation ends Canceled.
            converted.unwrap_or(Err(NTSTATUS::CANCELLED))
        })
    }
}
