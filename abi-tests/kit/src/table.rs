//! The table that a library exports, as `include/ntcom_kit.h` declares it. The crate
//! `ntcom-kit-table` defines it, and `tests/header.rs` compares both.

pub use ntcom_kit_table::{
    Asks, Command, Does, GetTable, Gives, MAY_FAIL, Pause, Program, Recipe, Required, SYMBOL, Stop, TEXT,
    Table, ThreadProgram, VERSION, poll, shape,
};

use crate::text::shown;

/// The text of a run that was stopped, cut to its maximum.
#[must_use]
pub fn reason(stop: &Stop) -> String {
    let bytes: Vec<u8> = stop.text.iter().copied().take_while(|byte| *byte != 0).collect();
    shown(&String::from_utf8_lossy(&bytes), TEXT)
}
