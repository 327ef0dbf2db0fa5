//! The COM core, with identifiers, `IUnknown`, and counted pointers.
//!
//! The items declared here cross binary interfaces and are frozen once released. A slot, a value or
//! an IID never changes. Every slot is `extern "system"`, and every slot is an `Option`, because a
//! table from the other side may hold a null.
//!
//! | file | content | rules |
//! |---|---|---|
//! | `guid`, `abi_type` | identifiers, and the types that may cross | |
//! | `write`, `value` | writing values to a client's memory | C5 |
//! | `bits` | how their bytes are checked | C17 |
//! | `unknown`, `ptr` | `IUnknown`, and the pointer that counts | C1, C3, C17 |
//! | `interfaces` | the interfaces of an object | C2 |
//! | `interface_slot` | the position of each interface, its table, its first three slots | C1–C3 |
//! | `block`, `this`, `object` | the block of an object, its construction, and pointers to it | C3, C19 |
//! | `outcome` | methods that return a `Result` | C17 |
//! | `statics` | objects that are statics | C3, C18 |
//! | `aggregate` | objects that are made of an outer and inner objects | C2 |

mod abi_type;
mod aggregate;
pub(crate) mod bits;
mod block;
mod guid;
pub(crate) mod interface_slot;
mod interfaces;
mod object;
pub(crate) mod outcome;
mod ptr;
pub(crate) mod statics;
mod this;
pub(crate) mod unknown;
pub(crate) mod value;
pub(crate) mod write;

pub use abi_type::{AbiType, AbiValue};
pub use aggregate::{Aggregates, Inner, Outer};
pub use guid::GUID;
pub use interface_slot::InterfaceOf;
pub use interfaces::Interfaces;
pub use object::ComObject;
pub use ptr::ComRc;
pub use statics::ComStatic;
pub use this::This;
pub use unknown::{
    Callable, Derived, E_NOINTERFACE, IUnknown, IUnknownRaw, IUnknownRef, IUnknownVtbl, Interface, Queryable,
};
pub use write::MAX_VALUE_SIZE;
