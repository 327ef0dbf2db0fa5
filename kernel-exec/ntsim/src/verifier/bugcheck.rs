//! A bug check as data and as complete text, and the constructors of all of them.

pub(crate) mod access;
pub(crate) mod by_the_driver;
pub(crate) mod dpc_watchdog;
pub(crate) mod driver_verifier;
pub(crate) mod exception;
pub(crate) mod freed_memory;
pub(crate) mod held_mutex;
pub(crate) mod irp;
pub(crate) mod irql_unexpected;
mod numbers;
mod pages;
pub(crate) mod pool;
pub(crate) mod security_check;
pub(crate) mod timer_or_dpc;
pub(crate) mod unload;
pub(crate) mod wait;
pub(crate) mod worker;

extern crate alloc;

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::{Violation, backtrace::Folded, irql::irql_name};

/// A violation. Only the constructors of this folder call this, each of which states a rule.
fn violation(code: u32, parameters: [u64; 4], rule: String) -> Box<Violation> {
    Box::new(Violation { code, parameters, rule })
}

/// A bug check, with which a real machine stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BugCheck {
    /// The stop code, such as 0xC4.
    pub code: u32,
    /// The four parameters. Addresses among them differ from process to process.
    pub parameters: [u64; 4],
    /// The processor that stopped.
    pub processor: usize,
    /// The processor's IRQL at that time.
    pub irql: u8,
    /// The rule that was broken, with the objects concerned.
    pub rule: String,
    /// The running functions of the driver and of the test, innermost first, with their places in
    /// the source if known. It has the Unload routine of a driver that has left something. It is
    /// empty if no code of theirs was running otherwise, as at the end of a run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
}

impl BugCheck {
    /// The code's symbolic name, such as `DRIVER_VERIFIER_DETECTED_VIOLATION`.
    pub fn name(&self) -> &'static str {
        pages::entry(self.code, self.parameters).name
    }

    /// The public page on this code.
    pub fn page(&self) -> String {
        let page = pages::entry(self.code, self.parameters).page;
        alloc::format!("learn.microsoft.com/windows-hardware/drivers/debugger/{page}")
    }
}

impl Display for BugCheck {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "bug check {:#x} {}: {}", self.code, self.name(), self.rule)?;
        writeln!(f, "  processor {} at IRQL {} ({})", self.processor, self.irql, irql_name(self.irql))?;
        let meanings = pages::entry(self.code, self.parameters).parameters;
        for (number, (value, meaning)) in self.parameters.iter().zip(meanings).enumerate() {
            writeln!(f, "  parameter {}: {value:#x} ({meaning})", number + 1)?;
        }
        write!(f, "  see {}{}", self.page(), Folded(&self.backtrace))
    }
}
