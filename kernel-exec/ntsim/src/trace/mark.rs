//! What programs say of themselves: marks.

extern crate alloc;

use alloc::string::String;
use core::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// Something that a program does to a thing of its own, which the kernel does not know: see [`mark`](crate::mark).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// What it does.
    pub kind: MarkKind,
    /// To what: marks of one subject belong together.
    pub subject: String,
    /// More about it; may be empty.
    #[serde(default)]
    pub detail: String,
}

/// What a program does to a thing of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MarkKind {
    /// Makes it.
    Spawn,
    /// Calls it.
    Call,
    /// Wakes it: it is to be polled.
    Wake,
    /// Asks it to end.
    Cancel,
    /// Begins to poll it.
    PollStart,
    /// Has polled it.
    PollEnd,
    /// Destroys it.
    Drop,
}

impl Mark {
    /// A mark without more about it.
    pub fn new(kind: MarkKind, subject: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), detail: String::new() }
    }

    /// The mark with more about it.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }
}

impl MarkKind {
    fn name(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::Call => "call",
            Self::Wake => "wake",
            Self::Cancel => "cancel",
            Self::PollStart => "poll starts:",
            Self::PollEnd => "poll ends:",
            Self::Drop => "drop",
        }
    }
}

impl Display for Mark {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.subject)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}
