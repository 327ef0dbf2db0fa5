//! A WDM driver. Its device makes items, and clients wait for them.
//!
//! | module | contents |
//! |---|---|
//! | `driver` | DriverEntry, Unload, the device, its timer and its read requests |
//! | `items` | the interface for other drivers, and the queue behind it |
//! | `lock` | a value under a spin lock |
//! | `kernel` | the kernel's names, from wdk-sys in an image and from ntsim in tests |
//!
//! `tests/life.rs` loads the driver, uses it from several processors, and unloads it, under
//! thousands of schedules.
#![cfg_attr(any(feature = "sim", windows), no_std)]

#[cfg(any(feature = "sim", all(feature = "wdk", windows)))]
pub mod driver;
#[cfg(any(feature = "sim", all(feature = "wdk", windows)))]
pub mod items;
#[cfg(any(feature = "sim", all(feature = "wdk", windows)))]
mod kernel;
#[cfg(any(feature = "sim", all(feature = "wdk", windows)))]
mod lock;

// It refuses a build without a kernel, and one in which another package has turned `sim` on.
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
