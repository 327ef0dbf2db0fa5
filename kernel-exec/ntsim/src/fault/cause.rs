//! Faults and hangs as data.

extern crate alloc;

use alloc::{string::String, vec::Vec};

/// Addresses below this one are the user's.
pub(super) const USER_END: u64 = 1 << 47;
/// Addresses from this one on are the system's. Those in between are not canonical.
pub(super) const SYSTEM_START: u64 = !0 << 47;

/// The way in which an instruction uses memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Execute,
    /// A read or a write.
    Unknown,
}

impl Access {
    /// The number of this access in the parameters of most bug checks.
    pub(super) const fn number(self) -> u64 {
        match self {
            Self::Read | Self::Unknown => 0,
            Self::Write => 1,
            Self::Execute => 8,
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "written to",
            Self::Execute => "called as a routine",
            Self::Unknown => "dereferenced",
        }
    }
}

/// The cause of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An address was accessed. `present` says that the memory exists, for other kinds of access.
    Memory { address: u64, access: Access, present: bool },
    /// An exception that is not about memory, and its description.
    Exception { code: u32, what: &'static str },
    /// An instruction that ntsim does not simulate.
    Instruction(String),
    /// `int 29h` with this code.
    FastFail(u64),
}

/// A fault of the host.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) cause: Cause,
    /// The address of the instruction.
    pub(crate) code: u64,
    /// The running functions of the driver, innermost first.
    pub(crate) backtrace: Vec<String>,
}

/// The reason why a run makes no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HangKind {
    /// The run spends processor time.
    Spins,
    /// The run waits in the host.
    Waits,
}
