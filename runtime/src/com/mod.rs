//! The COM core: identifiers, `IUnknown`, and the pointer that counts.
//!
//! What is declared here crosses binary interfaces and is frozen once released: a slot, a value or an IID never changes.
//! Every slot is `extern "system"`, and every slot is an `Option`, because a table from the other side may hold a null.

mod guid;
mod ptr;
mod unknown;

pub use guid::GUID;
pub use ptr::ComRc;
pub use unknown::{E_NOINTERFACE, IUnknownRaw, IUnknownVtbl, Interface};
