//! The trace: events as data, and as text that is the same in every process.

pub(crate) mod event;
pub(crate) mod name;
pub(crate) mod recorder;
pub(crate) mod value;

pub use event::{AtomicOp, Event, What};
pub use name::Name;
pub use recorder::Trace;
pub use value::Value;

pub use crate::kernel::thread::ThreadName;
