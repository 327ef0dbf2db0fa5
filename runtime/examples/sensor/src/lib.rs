//! A small, complete WDM driver: the place to start from.
//!
//! | module | what |
//! |---|---|
//! | `driver` | DriverEntry, Unload, the device, its read requests |
//! | `sensor` | the asynchronous COM interface that other drivers use, and its object |
//! | `calibration` | work in the background, now and then at PASSIVE_LEVEL |
//! | `trace` | what the driver says, to ETW and to a debugger |
//! | `kernel` | which kernel: wdk-sys in a driver, the simulated one in tests |
//!
//! It has no hardware: a conversion takes a millisecond and yields a number. All else is as in a real driver: nothing blocks, every failure is a
//! status, and Unload leaves nothing behind. `tests/life.rs` loads it, uses it from several processors, and unloads it, under thousands of
//! schedules, with and without memory.
#![cfg_attr(windows, no_std)]
#![cfg(any(feature = "sim", all(feature = "wdk", any(windows, wdk_check))))]

mod calibration;
pub mod driver;
mod kernel;
pub mod sensor;
pub mod trace;

// An image with the simulated kernel in it is refused.
#[cfg(not(feature = "sim"))]
ntcom::driver_entry!(driver::entry);

#[cfg(all(windows, not(feature = "sim")))]
#[global_allocator]
static POOL: ntcom::GlobalAllocator = ntcom::GlobalAllocator;

#[cfg(all(windows, not(feature = "sim")))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    ntcom::bug_check_panic(info)
}
