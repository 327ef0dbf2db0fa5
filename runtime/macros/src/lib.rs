//! The procedural macros of ntcom. Use them through that crate, which documents them.
//!
//! | file | content |
//! |---|---|
//! | `parse` | the grammar of interfaces, and the errors in a declaration |
//! | `iid` | the IID of a declaration, and the symbol that claims it |
//! | `types` | the types in a method's signature |
//! | `interface` | the trait that objects implement, and the assertions |
//! | `table` | the table, and its functions, with an expansion |
//! | `client` | the interface pointer, and the calls of clients |
//! | `abi_type` | the derives of `AbiType`, `AbiValue` and `AsyncValueType` |
//! | `krate` | the path of ntcom for the derives |

mod abi_type;
mod client;
mod iid;
mod interface;
mod krate;
mod parse;
mod table;
mod types;

use proc_macro::TokenStream;

/// The expansion of `ntcom::declare_com_interface!`. The input is the path of that crate in
/// parentheses, and the declaration.
#[proc_macro]
pub fn declare_com_interface(input: TokenStream) -> TokenStream {
    declare(input.into(), parse::Build::Async).into()
}

/// The expansion of `ntcom::declare_com_interface!` in a build of ntcom without its feature
/// `async-com`.
#[proc_macro]
pub fn declare_com_interface_at_once(input: TokenStream) -> TokenStream {
    declare(input.into(), parse::Build::AtOnce).into()
}

fn declare(input: proc_macro2::TokenStream, build: parse::Build) -> proc_macro2::TokenStream {
    let declared = syn::parse2(input).and_then(|parse::Input { krate, item }| {
        parse::interface(item, build).map(|interface| interface::expand(&krate, &interface))
    });
    declared.unwrap_or_else(syn::Error::into_compile_error)
}

/// The expansion of `ntcom::iid!`. The input is the path of that crate in parentheses, and a
/// string.
#[proc_macro]
pub fn iid(input: TokenStream) -> TokenStream {
    iid::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Derives `ntcom::AbiType` for a `repr(C)` or `repr(transparent)` struct of such types.
#[proc_macro_derive(AbiType, attributes(abi_type))]
pub fn derive_abi_type(input: TokenStream) -> TokenStream {
    abi_type::derive(input.into(), abi_type::Which::Type).into()
}

/// Derives `ntcom::AbiValue` for a `repr(transparent)` struct around such a value.
#[proc_macro_derive(AbiValue, attributes(abi_type))]
pub fn derive_abi_value(input: TokenStream) -> TokenStream {
    abi_type::derive(input.into(), abi_type::Which::Value).into()
}

/// Derives `ntcom::AsyncValueType` for a `repr(C)` struct that is not an `AbiType`, with fields
/// that can be written byte by byte.
#[proc_macro_derive(AsyncValueType, attributes(abi_type))]
pub fn derive_async_value_type(input: TokenStream) -> TokenStream {
    abi_type::derive(input.into(), abi_type::Which::AsyncValue).into()
}
