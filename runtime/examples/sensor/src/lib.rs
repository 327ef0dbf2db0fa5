//! A small, complete WDM driver, to start from.
//!
//! | module | content |
//! |---|---|
//! | `driver` | DriverEntry, Unload, the device, its read requests |
//! | `sensor` | the asynchronous COM interface that other drivers use, and its object |
//! | `calibration` | periodic work in the background, with a part at PASSIVE_LEVEL |
//! | `trace` | the driver's logging, to ETW and to a debugger |
//! | `kernel` | the names of the kernel, which is wdk-sys in a driver, and the simulated one in tests |
//!
//! It has no hardware; a conversion takes a millisecond and yields a number. The rest is as in a
//! real driver. No routine blocks except Unload, every failure is a status, and Unload leaves
//! nothing behind. `tests/life.rs` loads it, uses it from several processors, and unloads it, under
//! thousands of schedules, with and without memory.
#![cfg_attr(windows, no_std)]
#![cfg(any(feature = "sim", all(feature = "wdk", any(windows, wdk_check))))]

mod calibration;
pub mod driver;
mod kernel;
pub mod sensor;
pub mod trace;

// `driver_entry!` refuses an image with the simulated kernel in it.
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
