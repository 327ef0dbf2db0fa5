//! The derives of `AbiType` and `AbiValue`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, spanned::Spanned};

/// Which trait is derived.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// `AbiType`.
    Type,
    /// `AbiValue`.
    Value,
}

pub(crate) fn derive(input: TokenStream, which: Which) -> TokenStream {
    syn::parse2(input).and_then(|input| expand(&input, which)).unwrap_or_else(Error::into_compile_error)
}

fn expand(input: &DeriveInput, which: Which) -> Result<TokenStream, Error> {
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(data) => {
            let message = "an enum cannot cross an interface, because the other side may write any number: \
                           use a `#[repr(transparent)]` struct around an integer, with constants";
            return Err(Error::new(data.enum_token.span, message));
        }
        Data::Union(data) => {
            let message = "a union cannot cross an interface: use a `#[repr(C)]` struct of bytes";
            return Err(Error::new(data.union_token.span, message));
        }
    };
    if let Some(parameter) = input.generics.params.first() {
        let message = "a generic type has no one layout: declare a struct for each use";
        return Err(Error::new(parameter.span(), message));
    }
    let repr = repr(input)?;
    if which == Which::Value && repr != Repr::Transparent {
        let message = "only a `#[repr(transparent)]` struct around a value can be passed by value: \
                       pass a pointer to a struct";
        return Err(Error::new(input.ident.span(), message));
    }
    let name = &input.ident;
    let (bound, asserts) = (bound(which), types(fields));
    Ok(quote! {
        // SAFETY: the layout is C's, by its `repr`, and so are the fields', which is asserted below.
        unsafe impl #bound for #name {}
        const _: () = {
            const fn crosses<T: #bound>() {}
            #(crosses::<#asserts>();)*
        };
    })
}

fn bound(which: Which) -> TokenStream {
    match which {
        Which::Type => quote!(::ntcom::AbiType),
        Which::Value => quote!(::ntcom::AbiValue),
    }
}

fn types(fields: &Fields) -> Vec<&syn::Type> {
    fields.iter().map(|field| &field.ty).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repr {
    C,
    Transparent,
}

/// The representation, which must be C's.
fn repr(input: &DeriveInput) -> Result<Repr, Error> {
    let mut found = None;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("C") {
                found = found.or(Some(Repr::C));
            } else if meta.path.is_ident("transparent") {
                found = Some(Repr::Transparent);
            } else if meta.path.is_ident("packed") {
                return Err(
                    meta.error("a packed struct cannot cross an interface: C compilers disagree on it")
                );
            } else if meta.input.peek(syn::token::Paren) {
                // align(N)
                let _: TokenStream = {
                    let content;
                    syn::parenthesized!(content in meta.input);
                    content.parse()?
                };
            }
            Ok(())
        })?;
    }
    found.ok_or_else(|| {
        let message = "only C has a layout that an interface may rely on: add `#[repr(C)]`, or \
                       `#[repr(transparent)]` for a struct around one value";
        Error::new(input.ident.span(), message)
    })
}
