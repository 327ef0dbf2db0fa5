//! The COM core: identifiers, `IUnknown`, and the pointer that counts.
//!
//! What is declared here crosses binary interfaces and is frozen once released: a slot, a value or an IID never changes.
//! Every slot is `extern "system"`, and every slot is an `Option`, because a table from the other side may hold a null.

//!
//! | file | what | rules |
//! |---|---|---|
//! | `guid`, `abi_type` | identifiers, and what may cross | |
//! | `write`, `value` | how values are written to a client's memory | C5 |
//! | `bits` | how their bytes are checked | C17 |
//! | `unknown`, `ptr` | `IUnknown`, and the pointer that counts | C1, C3, C17 |
//! | `interfaces` | which interfaces an object has | C2 |
//! | `place` | where each stands, its table, its first three slots | C1–C3 |
//! | `block`, `this`, `object` | the block of an object, and how it is made and reached | C3, C19 |
//! | `outcome` | methods that return a `Result` | C17 |
//! | `statics` | objects that are statics | C3, C18 |
//! | `aggregate` | objects that are made of others | C2 |

mod abi_type;
mod aggregate;
pub(crate) mod bits;
mod block;
mod guid;
mod interfaces;
mod object;
pub(crate) mod outcome;
pub(crate) mod place;
mod ptr;
pub(crate) mod statics;
mod this;
pub(crate) mod unknown;
pub(crate) mod value;
pub(crate) mod write;

pub use abi_type::{AbiType, AbiValue};
pub use aggregate::{Aggregates, Inner, Outer};
pub use guid::GUID;
pub use interfaces::Interfaces;
pub use object::ComObject;
pub use place::InterfaceOf;
pub use ptr::ComRc;
pub use statics::ComStatic;
pub use this::This;
pub use unknown::{Derived, E_NOINTERFACE, IUnknown, IUnknownRaw, IUnknownVtbl, Interface, Queryable};
pub use write::MAX_VALUE_SIZE;
