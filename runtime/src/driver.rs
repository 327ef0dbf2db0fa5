//! `driver_entry!`, which makes the entry point of a driver image.

/// Makes a function the entry point of a driver image, `DriverEntry`.
///
/// The function is `unsafe fn(driver: *mut D, registry_path: *const R) -> NTSTATUS` for the
/// driver's own types of the two objects (`wdk_sys::DRIVER_OBJECT` and `wdk_sys::UNICODE_STRING`).
/// It runs at PASSIVE_LEVEL. If it fails, the image is freed without Unload. A panic in it fails
/// fast.
///
/// An image that contains the simulated kernel does not compile. The feature `sim` brings the
/// simulated kernel in, and any package of a build can switch that on for all:
///
/// ```compile_fail
/// unsafe fn entry(driver: *mut core::ffi::c_void, path: *const core::ffi::c_void) -> ntcom::NTSTATUS {
///     ntcom::NTSTATUS::SUCCESS
/// }
/// ntcom::driver_entry!(entry); // in this documentation's tests the simulated kernel is there
/// ```
///
/// An image without any kernel does not compile, either, because it could spawn no task. That is a
/// build without the feature `async-com-kernel` or `wdk`, or for another system than Windows. A
/// package with a feature `sim` for its tests declares the entry point under
/// `#[cfg(not(feature = "sim"))]`.
#[macro_export]
macro_rules! driver_entry {
    ($entry:path) => {
        $crate::__private::with_a_kernel! {
            const _: () =
                ::core::assert!(!$crate::__private::SIMULATED, "{}", $crate::__private::SIMULATED_IMAGE);

            /// The entry point of this image.
            ///
            /// # Safety
            /// Only the system calls it, as `DriverEntry`.
            #[unsafe(export_name = "DriverEntry")]
            pub unsafe extern "system" fn __driver_entry(
                driver: *mut ::core::ffi::c_void,
                registry_path: *const ::core::ffi::c_void,
            ) -> $crate::NTSTATUS {
                // This stands outside of the `unsafe` block, because a path may be one that safe
                // code must not name, such as a `static mut`.
                let entry = $entry;
                // SAFETY: the system passes these pointers.
                unsafe { $crate::__private::enter(entry, driver, registry_path) }
            }
        }
    };
}
