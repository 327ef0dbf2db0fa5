//! Names of objects that do not depend on where the process has its memory.

extern crate alloc;

use core::fmt::{self, Display, Formatter};

use crate::kernel::thread::ThreadName;

/// An address, by a name that is the same in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Name {
    /// The null pointer.
    Null,
    /// In a block of pool: the block's number in the order of allocation, and the distance from its start.
    Block {
        /// The block's number.
        number: u32,
        /// Bytes from its start.
        offset: usize,
    },
    /// In pool, but in no block: the distance from the arena's start.
    Pool {
        /// Bytes from the arena's start.
        offset: usize,
    },
    /// What stands for a thread.
    Thread(ThreadName),
    /// Elsewhere: its number in the order of first appearance in the trace.
    Object(u32),
    /// Elsewhere, and nothing was traced: the address itself.
    Address(usize),
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Block { number, offset: 0 } => write!(f, "block{number}"),
            Self::Block { number, offset } => write!(f, "block{number}+{offset:#x}"),
            Self::Pool { offset } => write!(f, "pool+{offset:#x}"),
            Self::Thread(thread) => thread.fmt(f),
            Self::Object(number) => write!(f, "object{number}"),
            Self::Address(address) => write!(f, "{address:#x}"),
        }
    }
}
