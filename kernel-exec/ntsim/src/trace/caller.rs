//! The code that an event comes from.

extern crate alloc;

use alloc::string::String;
use core::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// The code that an event comes from, which is the innermost function of the driver or of the test.
///
/// Events have it where [`Config::callers`](crate::Config::callers) is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The source file's name, and the line.
    pub place: String,
    /// Whether a library stands between that function and the event. It is ntcom's runtime, its
    /// executor, or the `futures` crates.
    #[serde(default)]
    pub by_library: bool,
}

impl Display for Caller {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, if self.by_library { ", by a library" } else { "" })
    }
}
