//! The client's side of a declared interface, which is the pointer to the table and the calls.
//!
//! The calls are inherent methods of a pointer type, `ISensorRef`. `ComRc<ISensorRaw>` derefs to
//! it, and it derefs to the base's. `&self` refers to the pointer and never to the object, because
//! a `&ISensorRaw` would have provenance for the pointer to the table alone.
//!
//! `ISensorRef` is transparent over `ComRc<ISensorRaw>`. So safe code gets a `&ISensorRef` from a
//! `ComRc` only, which outlives it. The declaring module, which sees the field, cannot make one
//! from a pointer, and `Send` and `Sync` are those of the `ComRc`.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Attribute, Meta};

use crate::{
    iid::Iid,
    interface::{Names, companion, hygienic, operation_value},
    parse::{Interface, Method, Returns, Yield},
};

/// The raw interface, which clients point to.
pub(crate) fn raw(krate: &TokenStream, interface: &Interface, names: &Names) -> TokenStream {
    let Names { implemented, vtbl, raw, reference } = names;
    let Interface { visibility, iid: Iid { attributes, found, .. }, .. } = interface;
    let base_raw = companion(krate, interface, "Raw");
    let iid = interface.iid.expression(krate);
    let doc = format!(
        "The interface `{implemented}` of an object, which is one pointer to its table. A `ComRc` of it has the methods of [`{reference}`].",
    );
    quote! {
        #[doc = #doc]
        #[repr(C)]
        #visibility struct #raw {
            /// The table.
            pub vtbl: *const #vtbl,
        }

        // SAFETY: the type is `repr(C)` with the table's pointer first. The IID is the declared
        // one, and a pointer to the interface is also one to its bases.
        unsafe impl #krate::Interface for #raw {
            #(#attributes)*
            const IID: #found = #iid;

            fn answers(iid: &#krate::GUID) -> ::core::primitive::bool {
                *iid == <Self as #krate::Interface>::IID || <#base_raw as #krate::Interface>::answers(iid)
            }
        }

        // SAFETY: the declaration promises that every object that answers for its IID has this
        // interface.
        unsafe impl #krate::Queryable for #raw {}

        // SAFETY: the table begins with the base's table.
        unsafe impl #krate::Derived for #raw {
            type Base = #base_raw;
        }

        // SAFETY: the type is `repr(transparent)` over this `ComRc`.
        unsafe impl #krate::com::Callable for #raw {
            type Ref = #reference;
        }

        // SAFETY: the type is `repr(C)` and consists of one pointer.
        unsafe impl #krate::AbiType for #raw {}
        // SAFETY: the type is one pointer, without padding.
        unsafe impl #krate::__private::WriteBytes for #raw {
            const WHOLE: ::core::primitive::bool = true;

            unsafe fn write_bytes(&self, out: *mut ::core::primitive::u8) {
                // SAFETY: the caller has room for one pointer at `out`.
                unsafe { #krate::__private::copy_whole(self, out) }
            }
        }
        // SAFETY: IUnknown requires objects to be `Send` and `Sync`, and so is every call.
        unsafe impl ::core::marker::Send for #raw {}
        // SAFETY: IUnknown requires objects to be `Send` and `Sync`, and so is every call.
        unsafe impl ::core::marker::Sync for #raw {}
    }
}

/// The pointer type with the client's calls.
pub(crate) fn client(krate: &TokenStream, interface: &Interface, names: &Names) -> TokenStream {
    let Names { implemented, vtbl, raw, reference } = names;
    let visibility = &interface.visibility;
    let base_raw = companion(krate, interface, "Raw");
    let signatures = interface.methods.iter().map(|method| client_signature(krate, method));
    let docs = interface.methods.iter().map(|method| client_docs(method, implemented));
    let errors =
        "`STATUS_DRIVER_INTERNAL_ERROR` if the object has no such slot, or breaks the contract otherwise.";
    let duties = interface.methods.iter().map(|method| {
        method.is_unsafe.then(|| {
            quote!(
                ///
                /// # Safety
                /// The caller fulfils the contract of the interface's method.
            )
        })
    });
    let bodies = interface.methods.iter().map(|method| client_body(krate, method, vtbl));
    let doc = format!("A client's calls of `{implemented}`, which `ComRc<{raw}>` derefs to.");
    quote! {
        #[doc = #doc]
        #[repr(transparent)]
        #[allow(dead_code, reason = "the interface may be for clients of another image")]
        #visibility struct #reference(#krate::ComRc<#raw>);

        #[allow(
            clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block, unused_unsafe,
            clippy::not_unsafe_ptr_arg_deref, clippy::too_many_arguments,
            reason = "written by a macro: the object lives while there is a reference, and a slot has its declared type"
        )]
        #[allow(
            dead_code, clippy::should_implement_trait, clippy::wrong_self_convention, clippy::new_ret_no_self,
            clippy::len_without_is_empty, reason = "the declaration names the methods, and a client need not call each"
        )]
        impl #reference {
            #(
                #docs
                ///
                /// # Errors
                #[doc = #errors]
                #duties
                #visibility #signatures { #bodies }
            )*
        }

        impl ::core::ops::Deref for #reference {
            type Target = <#base_raw as #krate::com::Callable>::Ref;

            fn deref(&self) -> &Self::Target {
                #krate::ComRc::<#raw>::base(&self.0)
            }
        }
    }
}

/// A method's own documentation, or a generated line, and the attributes that concern its callers.
fn client_docs(method: &Method, implemented: &Ident) -> TokenStream {
    let with = |names: &[&str]| -> Vec<&Attribute> {
        let is_one = |attribute: &&Attribute| names.iter().any(|name| attribute.path().is_ident(name));
        method.attributes.iter().filter(is_one).collect()
    };
    let (docs, others) = (with(&["doc"]), with(&["deprecated", "must_use", "allow"]));
    // `expect` becomes `allow`, because a lint that the declaration expects need not occur in both
    // places.
    let expected = with(&["expect"]).into_iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) => Some(&list.tokens),
        _ => None,
    });
    let others = quote!(#(#others)* #(#[allow(#expected)])*);
    if docs.is_empty() {
        let doc = format!("Calls [`{implemented}::{}`].", method.name);
        quote!(#others #[doc = #doc])
    } else {
        quote!(#others #(#docs)*)
    }
}

fn client_signature(krate: &TokenStream, method: &Method) -> TokenStream {
    let name = &method.name;
    let unsafety = method.is_unsafe.then(|| quote!(unsafe));
    let arguments = method.arguments.iter().map(|(name, found)| quote!(#name: #found));
    let value = match &method.returns {
        Returns::Value(None) => quote!(()),
        Returns::Value(Some(value)) => quote!(#value),
        Returns::Status(fallible) => match &fallible.value {
            None => quote!(()),
            Some(Yield::Plain(value)) => quote!(#value),
            Some(Yield::Interface(found)) => quote!(#krate::ComRc<#found>),
        },
        Returns::Operation(operation) => {
            let value = operation_value(krate, &operation.value);
            quote!(#krate::ComRc<#krate::AsyncOperationRaw<#value>>)
        }
    };
    hygienic!(#unsafety fn #name(&self #(, #arguments)*) -> ::core::result::Result<#value, #krate::NTSTATUS>)
}

fn client_body(krate: &TokenStream, method: &Method, vtbl: &Ident) -> TokenStream {
    let name = &method.name;
    let values: Vec<_> = method.arguments.iter().map(|(name, _)| name).collect();
    let slot = hygienic! {
        let __vtbl: #vtbl = unsafe { #krate::__private::vtbl(&self.0) }?;
        let __slot = __vtbl.#name.ok_or(#krate::NTSTATUS::DRIVER_INTERNAL_ERROR)?;
    };
    let call = hygienic!(unsafe { __slot(self.0.as_ptr().cast() #(, #values)*) });
    let call_with = hygienic!(|__out| unsafe { __slot(self.0.as_ptr().cast() #(, #values)*, __out) });
    match &method.returns {
        Returns::Value(_) => quote!(#slot ::core::result::Result::Ok(#call)),
        Returns::Status(fallible) => match &fallible.value {
            None => quote!(#slot #krate::__private::checked(#call)),
            Some(Yield::Plain(_)) => {
                hygienic!(#slot unsafe { #krate::__private::value(#call_with) })
            }
            Some(Yield::Interface(_)) => {
                hygienic!(#slot unsafe { #krate::__private::interface(#call_with) })
            }
        },
        Returns::Operation(_) => hygienic! {
            #slot
            let __result = #call;
            unsafe { #krate::__private::operation(__result) }
        },
    }
}
