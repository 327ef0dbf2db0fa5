//! Marks, by which programs say what they do.

extern crate alloc;

use alloc::string::String;
use core::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// A program's action on an object of its own that the kernel does not know; see
/// [`mark`](crate::mark).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The kind of action.
    pub kind: MarkKind,
    /// The object. Marks with the same subject belong together.
    pub subject: String,
    /// Further information; may be empty.
    #[serde(default)]
    pub detail: String,
}

/// The kind of a program's action on an object of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MarkKind {
    /// Creates the object.
    Spawn,
    /// Calls the object.
    Call,
    /// Wakes the object, so that it is polled.
    Wake,
    /// Asks the object to end.
    Cancel,
    /// Begins to poll the object.
    PollStart,
    /// Has polled the object.
    PollEnd,
    /// Destroys the object.
    Drop,
    /// The object has ended.
    End,
}

impl Mark {
    /// A mark without detail.
    pub fn new(kind: MarkKind, subject: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), detail: String::new() }
    }

    /// The mark with this detail.
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
            Self::End => "end of",
        }
    }
}

impl Display for Mark {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.subject)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}
