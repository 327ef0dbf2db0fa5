//! Prepares the link of the image, with the WDK's libraries and the options of a driver.
//!
//! Tests need none of it, so they also run where there is no WDK.

#[cfg(all(windows, feature = "wdk"))]
fn main() -> Result<(), wdk_build::ConfigError> {
    wdk_build::configure_wdk_binary_build()
}

#[cfg(not(all(windows, feature = "wdk")))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
