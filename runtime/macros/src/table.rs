//! The table of a declared interface, and the functions in it.
//!
//! A slot's function finds the object from `this` and calls the method of the declared trait. It
//! hands the answer over as it is, as a status, or as an operation. For an object of type `__T` in
//! which the interface stands at `__P`, the methods
//!
//! ```text
//! fn powered(&self) -> u32;
//! fn limit(&self, channel: u32) -> Result<u32, NTSTATUS>;
//! #[opaque]
//! async fn sample(&self, channel: u32) -> Result<u32, NTSTATUS>;
//! ```
//!
//! of an interface `ISensor` become these functions. A test compares them with the expansion.
//!
//! ```text
//! unsafe extern "system" fn powered<__T: ISensor, __P: ntcom::__private::InterfaceSlot<__T>>(
//!     __this: *mut ::core::ffi::c_void
//! ) -> u32 {
//!     let __object: &__T = unsafe { ntcom::__private::object::<__T, __P>(__this) };
//!     let __answer = ntcom::__private::no_unwind(|| <__T as ISensor>::powered(__object));
//!     __answer
//! }
//!
//! unsafe extern "system" fn limit<__T: ISensor, __P: ntcom::__private::InterfaceSlot<__T>>(
//!     __this: *mut ::core::ffi::c_void,
//!     channel: u32,
//!     __out: *mut u32
//! ) -> ntcom::NTSTATUS {
//!     let __object: &__T = unsafe { ntcom::__private::object::<__T, __P>(__this) };
//!     unsafe {
//!         ntcom::__private::status_and_value(__out, || <__T as ISensor>::limit(__object, channel))
//!     }
//! }
//!
//! unsafe extern "system" fn sample<__T: ISensor, __P: ntcom::__private::InterfaceSlot<__T>>(
//!     __this: *mut ::core::ffi::c_void,
//!     channel: u32
//! ) -> *mut ntcom::AsyncOperationRaw<u32> {
//!     let __object: &__T = unsafe { ntcom::__private::object::<__T, __P>(__this) };
//!     let __answer = ntcom::__private::no_unwind(|| <__T as ISensor>::sample(__object, channel));
//!     unsafe {
//!         ntcom::__private::spawn_opaque::<
//!             __T, __P, _, _, ntcom::__private::Fallible<_>, _
//!         >(__this, __answer)
//!     }
//! }
//! ```

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};

use crate::{
    interface::{Names, companion, hygienic, out_parameter, out_parameter_of, slot_result},
    parse::{Fallible, Interface, Method, Returns, Yield},
};

/// Writes the table, and the code that makes it for an object.
pub(crate) fn vtbl(krate: &TokenStream, interface: &Interface, names: &Names) -> TokenStream {
    let Names { implemented, vtbl, raw, .. } = names;
    let visibility = &interface.visibility;
    let base_vtbl = companion(krate, interface, "Vtbl");
    let slots = interface.methods.iter().map(|method| {
        let name = &method.name;
        let doc = format!("The slot of [`{implemented}::{name}`].");
        let types = method.arguments.iter().map(|(_, found)| found);
        let out = out_parameter_of(method).map(|out| quote!(, *mut #out));
        let result = slot_result(krate, method);
        quote! {
            #[doc = #doc]
            pub #name: ::core::option::Option<
                unsafe extern "system" fn(this: *mut ::core::ffi::c_void #(, #types)* #out) #result
            >,
        }
    });
    let thunks = interface.methods.iter().map(|method| thunk(krate, method, implemented));
    let method_names: Vec<_> = interface.methods.iter().map(|method| &method.name).collect();
    let texts: Vec<_> = method_names.iter().map(|name| name.to_string()).collect();
    let doc = format!("The slots of `{implemented}`.");
    let overloaded = texts.iter().zip(&method_names).map(|(text, name)| {
        let message = format!(
            "`{text}`: a base interface has a method of this name, and an interface has no overloads"
        );
        quote_spanned! {name.span()=>
            const _: () = ::core::assert!(!<#base_vtbl>::__has(#text), #message);
        }
    });
    quote! {
        #[doc = #doc]
        #[repr(C)]
        #[derive(::core::clone::Clone, ::core::marker::Copy)]
        #[allow(non_snake_case, reason = "slots keep the names that they were declared with")]
        #visibility struct #vtbl {
            /// The slots of the base interface.
            pub base: #base_vtbl,
            #(#slots)*
        }

        #(#overloaded)*

        impl #vtbl {
            /// Whether this interface, or one of its bases, has a method of this name.
            #[doc(hidden)]
            #[must_use]
            pub const fn __has(name: &::core::primitive::str) -> ::core::primitive::bool {
                #krate::__private::contains(&[#(#texts),*], name) || <#base_vtbl>::__has(name)
            }

            /// The table of an object's interface.
            #[doc(hidden)]
            #[allow(
                clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block, unused_unsafe,
                deprecated, non_snake_case, clippy::too_many_arguments,
                reason = "written by a macro: a slot's `this` is the object that the table was made for"
            )]
            pub const fn __of<__T: #implemented, __P: #krate::__private::InterfaceSlot<__T>>() -> Self {
                #(#thunks)*
                Self {
                    base: <#base_vtbl>::__of::<__T, __P>(),
                    #(#method_names: ::core::option::Option::Some(#method_names::<__T, __P>),)*
                }
            }
        }

        // SAFETY: the tables are this interface's, and their slots find an object of this type from
        // that place.
        #[allow(deprecated, reason = "the declaration itself may be deprecated")]
        unsafe impl<__T: #implemented> #krate::InterfaceOf<__T> for #raw {
            type __Table<__P: #krate::__private::InterfaceSlot<__T>> = #krate::__private::TableAt<Self, __T, __P>;
        }

        // SAFETY: the table is this interface's, and its slots find an object of this type from
        // that place.
        #[allow(deprecated, reason = "the declaration itself may be deprecated")]
        unsafe impl<__T: #implemented, __P: #krate::__private::InterfaceSlot<__T>> #krate::__private::InterfaceAt<__T, __P>
            for #raw
        {
            const VTBL: *const ::core::ffi::c_void =
                ::core::ptr::from_ref::<#vtbl>(const { &#vtbl::__of::<__T, __P>() }).cast();
        }
    }
}

/// Writes a slot's function.
fn thunk(krate: &TokenStream, method: &Method, implemented: &Ident) -> TokenStream {
    let name = &method.name;
    let result = slot_result(krate, method);
    let arguments = method.arguments.iter().map(|(name, found)| quote!(#name: #found));
    let values: Vec<_> = method.arguments.iter().map(|(name, _)| name).collect();
    let call = hygienic!(<__T as #implemented>::#name(__object #(, #values)*));
    let call = if method.is_unsafe { quote!(unsafe { #call }) } else { call };
    if let Returns::Status(fallible) = &method.returns {
        return status_thunk(krate, method, implemented, fallible, &call);
    }
    let answer = match &method.returns {
        Returns::Value(_) | Returns::Status(_) => hygienic!(__answer),
        Returns::Operation(operation) => {
            let kind = match (&operation.value, operation.fallible) {
                (Yield::Plain(_), false) => quote!(Infallible),
                (Yield::Plain(_), true) => quote!(Fallible),
                (Yield::Interface(_), false) => quote!(Owned),
                (Yield::Interface(_), true) => quote!(FallibleOwned),
            };
            let spawn = if operation.opaque { quote!(spawn_opaque) } else { quote!(spawn_named) };
            hygienic!(unsafe { #krate::__private::#spawn::<__T, __P, _, _, #krate::__private::#kind<_>, _>(__this, __answer) })
        }
    };
    hygienic! {
        unsafe extern "system" fn #name<__T: #implemented, __P: #krate::__private::InterfaceSlot<__T>>(
            __this: *mut ::core::ffi::c_void #(, #arguments)*
        ) #result {
            let __object: &__T = unsafe { #krate::__private::object::<__T, __P>(__this) };
            let __answer = #krate::__private::no_unwind(|| #call);
            #answer
        }
    }
}

/// Writes the function of a slot that returns a status.
fn status_thunk(
    krate: &TokenStream,
    method: &Method,
    implemented: &Ident,
    fallible: &Fallible,
    call: &TokenStream,
) -> TokenStream {
    let name = &method.name;
    let arguments = method.arguments.iter().map(|(name, found)| quote!(#name: #found));
    let out = out_parameter(fallible).map(|out| hygienic!(, __out: *mut #out));
    let answer = match &fallible.value {
        None => quote!(#krate::__private::status(|| #call)),
        Some(Yield::Plain(_)) => {
            hygienic!(unsafe { #krate::__private::status_and_value(__out, || #call) })
        }
        Some(Yield::Interface(_)) => {
            hygienic!(unsafe { #krate::__private::status_and_interface(__out, || #call) })
        }
    };
    hygienic! {
        unsafe extern "system" fn #name<__T: #implemented, __P: #krate::__private::InterfaceSlot<__T>>(
            __this: *mut ::core::ffi::c_void #(, #arguments)* #out
        ) -> #krate::NTSTATUS {
            let __object: &__T = unsafe { #krate::__private::object::<__T, __P>(__this) };
            #answer
        }
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use quote::quote;

    use super::thunk;
    use crate::parse::{self, Build};

    /// Returns the texts between the fences of this module's documentation.
    fn documented() -> Vec<String> {
        let lines = include_str!("table.rs").lines().map_while(|line| line.strip_prefix("//!"));
        let text = lines.collect::<Vec<_>>().join("\n");
        text.split(" ```")
            .skip(1)
            .step_by(2)
            .map(|fenced| fenced.trim_start_matches("text").to_owned())
            .collect()
    }

    fn unspaced(text: &str) -> String {
        text.split_whitespace().collect()
    }

    #[test]
    fn the_functions_of_slots_are_those_of_the_documentation() -> Result<(), Box<dyn core::error::Error>> {
        let [methods, functions] = documented().try_into().map_err(|_| "two texts between fences")?;
        let methods: TokenStream = methods.parse()?;
        let declaration = syn::parse2(quote! {
            trait ISensor: IUnknown {
                const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d01";
                #methods
            }
        })?;
        let interface = parse::interface(declaration, Build::Async)?;
        let made = interface.methods.iter().map(|method| thunk(&quote!(ntcom), method, &interface.name));
        let made = quote!(#(#made)*).to_string();
        assert_eq!(unspaced(&functions), unspaced(&made), "show this expansion in the documentation: {made}");
        Ok(())
    }
}
