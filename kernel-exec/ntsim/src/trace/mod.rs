//! The trace: events as data, and as text that is the same in every process.

pub(crate) mod caller;
pub(crate) mod event;
pub(crate) mod json;
pub(crate) mod label;
pub(crate) mod mark;
pub(crate) mod name;
pub(crate) mod places;
pub(crate) mod record;
pub(crate) mod recorder;
pub(crate) mod sites;
pub(crate) mod timeline;
pub(crate) mod value;

pub use caller::Caller;
pub use event::{AtomicOp, Event, What};
pub use json::ParseTraceError;
pub use label::Label;
pub use mark::{Mark, MarkKind};
pub use name::{Name, ParseNameError};
pub use recorder::Trace;
pub use value::Value;

pub use crate::kernel::thread::ThreadName;
