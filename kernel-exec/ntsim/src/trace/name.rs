//! Names of objects that do not depend on the process's memory layout.

extern crate alloc;

use alloc::string::String;
use core::{
    fmt::{self, Display, Formatter},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::label::Label;
use crate::kernel::thread::ThreadName;

/// An address, by a name that is the same in every process.
///
/// The text is `null`, `block3`, `block3+0x40`, `pool+0x80`, `thread 1`, `program 0`,
/// `idle thread 0`, `object7`, `0x7f0012345678`, or a label between backquotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Name {
    /// The null pointer.
    Null,
    /// In a block of pool, with the block's number in the order of allocation and the distance from
    /// its start.
    Block {
        /// The block's number.
        number: u32,
        /// Bytes from its start.
        offset: usize,
    },
    /// In pool, but in no block.
    Pool {
        /// Bytes from the arena's start.
        offset: usize,
    },
    /// The address that identifies a thread.
    Thread(ThreadName),
    /// Elsewhere, with a number in the order of first appearance in the trace.
    Object(u32),
    /// Elsewhere, without tracing. The address itself.
    Address(usize),
    /// In an object that a program has named ([`name`](crate::name())), or in a function.
    Labelled {
        /// The label.
        label: Label,
        /// Bytes from the object's start.
        offset: usize,
    },
}

impl Name {
    /// The name of the start of the block or of the labelled object.
    pub(crate) fn without_offset(self) -> Self {
        match self {
            Self::Block { number, .. } => Self::Block { number, offset: 0 },
            Self::Labelled { label, .. } => Self::Labelled { label, offset: 0 },
            other => other,
        }
    }

    /// Whether two names are of one object.
    pub(crate) fn is_of(self, other: Self) -> bool {
        match (self, other) {
            (Self::Block { number: one, .. }, Self::Block { number: other, .. }) => one == other,
            (Self::Labelled { label: one, .. }, Self::Labelled { label: other, .. }) => one == other,
            _ => self == other,
        }
    }
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
            Self::Labelled { label, offset: 0 } => write!(f, "`{label}`"),
            Self::Labelled { label, offset } => write!(f, "`{label}`+{offset:#x}"),
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        alloc::format!("{name}")
    }
}

/// The error for a text that is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseNameError(String);

impl Display for ParseNameError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an object's name", self.0)
    }
}

impl core::error::Error for ParseNameError {}

impl FromStr for Name {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        parse(text).ok_or_else(|| ParseNameError(text.into()))
    }
}

impl TryFrom<String> for Name {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, ParseNameError> {
        text.parse()
    }
}

fn parse(text: &str) -> Option<Name> {
    if text == "null" {
        return Some(Name::Null);
    }
    let hex = |text: &str| usize::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    if let Some(block) = text.strip_prefix("block") {
        let (number, offset) = match block.split_once('+') {
            Some((number, offset)) => (number, hex(offset)?),
            None => (block, 0),
        };
        return Some(Name::Block { number: number.parse().ok()?, offset });
    }
    if let Some((label, offset)) = text.strip_prefix('`').and_then(|text| text.rsplit_once('`')) {
        let offset = if offset.is_empty() { 0 } else { hex(offset.strip_prefix('+')?)? };
        return Some(Name::Labelled { label: Label::new(label), offset });
    }
    if let Some(offset) = text.strip_prefix("pool+") {
        return Some(Name::Pool { offset: hex(offset)? });
    }
    if let Some(number) = text.strip_prefix("object") {
        return Some(Name::Object(number.parse().ok()?));
    }
    let number = |kind: &str| text.strip_prefix(kind)?.parse::<usize>().ok();
    let thread = number("program ")
        .map(ThreadName::Program)
        .or_else(|| number("idle thread ").map(ThreadName::Idle))
        .or_else(|| number("thread ").map(ThreadName::System));
    if let Some(thread) = thread {
        return Some(Name::Thread(thread));
    }
    hex(text).map(Name::Address)
}

#[cfg(test)]
mod tests {
    use super::{Label, Name, ThreadName};

    #[test]
    fn a_name_reads_back() {
        for name in [
            Name::Null,
            Name::Block { number: 3, offset: 0 },
            Name::Block { number: 3, offset: 0x40 },
            Name::Pool { offset: 0 },
            Name::Thread(ThreadName::Program(0)),
            Name::Thread(ThreadName::Idle(63)),
            Name::Thread(ThreadName::System(1)),
            Name::Object(u32::MAX),
            Name::Address(0x7f00_1234_5678),
            Name::Labelled { label: Label::new("queue.lock"), offset: 0 },
            Name::Labelled { label: Label::new("<a as b>::c"), offset: 8 },
        ] {
            assert_eq!(String::from(name).parse(), Ok(name));
        }
        for none in [
            "", "block", "block1+", "block1+4", "object-1", "`lock", "`lock`8", "pool", "thread", "thread x",
            "0xg", "12",
        ] {
            assert!(none.parse::<Name>().is_err(), "{none}");
        }
    }
}
