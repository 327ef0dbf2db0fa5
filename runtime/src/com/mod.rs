//! The COM core: identifiers, `IUnknown`, and the pointer that counts.
//!
//! What is declared here crosses binary interfaces and is frozen once released: a slot, a value or an IID never changes.
//! Every slot is `extern "system"`, and every slot is an `Option`, because a table from the other side may hold a null.

mod abi_type;
mod guid;
pub(crate) mod object;
mod ptr;
pub(crate) mod unknown;

pub use abi_type::{AbiType, AbiValue};
pub use guid::GUID;
pub use object::{ComObject, InterfaceOf, This};
pub use ptr::ComRc;
pub use unknown::{Derived, E_NOINTERFACE, IUnknown, IUnknownRaw, IUnknownVtbl, Interface};
