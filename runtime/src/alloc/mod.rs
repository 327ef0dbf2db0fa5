//! Initialisers, which build values in their final place, and boxes that may fail.

mod init;
mod kbox;

pub use init::{Init, InitWith, from_pin_init, init_with};
pub use kbox::KBox;
