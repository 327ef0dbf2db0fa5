//! A driver image with the simulated kernel in it does not build.
use core::ffi::c_void;
use ntcom::NTSTATUS;

unsafe fn entry(_driver: *mut c_void, _registry_path: *const c_void) -> NTSTATUS {
    NTSTATUS::SUCCESS
}

ntcom::driver_entry!(entry);

fn main() {}
