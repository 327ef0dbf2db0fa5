//! The derives of `AbiType`, `AbiValue` and `AsyncValueType`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, Member, Type, spanned::Spanned};

/// The trait that is derived.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// `AbiType`.
    Type,
    /// `AbiValue`.
    Value,
    /// `AsyncValueType`.
    AsyncValue,
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
        let message = "a generic type has no single layout: declare a struct for each use";
        return Err(Error::new(parameter.span(), message));
    }
    let repr = repr(input)?;
    if which == Which::Value && repr != Repr::Transparent {
        let message = "only a `#[repr(transparent)]` struct around a value can be passed by value: \
                       pass a pointer to a struct";
        return Err(Error::new(input.ident.span(), message));
    }
    let krate = crate::krate::path(&input.attrs, input.ident.span())?;
    let parts = Parts { krate: &krate, input, fields };
    Ok(match which {
        Which::Type => {
            let (marker, write, value) =
                (parts.marker("AbiType"), parts.write(true), parts.async_value(true));
            let any_bits = parts.any_bits();
            quote!(#marker #write #value #any_bits)
        }
        Which::Value => parts.abi_value(),
        Which::AsyncValue => {
            let (write, value, checked_bits) =
                (parts.write(false), parts.async_value(false), parts.checked_bits());
            quote!(#write #value #checked_bits)
        }
    })
}

/// The parts of the implementations that a derive writes.
///
/// The written code has no name that the struct's fields could also mean. The fields' types stand
/// where `Self` is the struct, and no item or generic parameter is in scope that the struct did not
/// see.
struct Parts<'a> {
    krate: &'a TokenStream,
    input: &'a DeriveInput,
    fields: &'a Fields,
}

impl Parts<'_> {
    fn types(&self) -> impl Iterator<Item = &Type> {
        self.fields.iter().map(|field| &field.ty)
    }

    /// An `impl` of a trait without members. The checks of the fields' types guarantee its
    /// contract.
    fn marker(&self, name: &str) -> TokenStream {
        let (krate, name) = (self.krate, format_ident!("{name}"));
        let this = &self.input.ident;
        quote! {
            // SAFETY: the struct's `repr` gives it a C layout, and the fields' types are checked to
            // have one, too.
            #[automatically_derived]
            #[allow(deprecated, reason = "the struct, or a field of it, may well be one that others should not use")]
            unsafe impl #krate::#name for #this {}
        }
    }

    /// The `impl` of `AbiValue`, with a check of the field in an `impl`, where `Self` is known.
    fn abi_value(&self) -> TokenStream {
        let (krate, this) = (self.krate, &self.input.ident);
        let checks = self.types().map(|found| quote!(#krate::__private::is_abi_value::<#found>();));
        let marker = self.marker("AbiValue");
        quote! {
            #marker

            #[automatically_derived]
            #[allow(deprecated, reason = "the struct, or a field of it, may well be one that others should not use")]
            impl #krate::__private::FieldsAreValues for #this {
                fn check() {
                    #(#checks)*
                }
            }
        }
    }

    /// The `impl` of `WriteBytes`. It copies the whole struct if the fields fill it. Otherwise it
    /// writes zeros, and then each field.
    fn write(&self, is_abi_type: bool) -> TokenStream {
        let (krate, this) = (self.krate, &self.input.ident);
        let checks = self.types().filter(|_| is_abi_type);
        let checks = checks.map(|found| quote!(#krate::__private::is_abi_type::<#found>();));
        let sizes = self.types().map(|found| {
            quote!((::core::mem::size_of::<#found>(), <#found as #krate::__private::WriteBytes>::WHOLE))
        });
        let writes = self.fields.iter().enumerate().map(|(index, field)| {
            let (found, member) = (&field.ty, field.ident.clone().map_or(Member::from(index), Member::Named));
            quote! {
                unsafe {
                    #krate::__private::write_field::<#found>(&self.#member, __out, ::core::mem::offset_of!(Self, #member))
                };
            }
        });
        quote! {
            // SAFETY: the struct is zeroed before its fields are written, if it has a byte that
            // belongs to no field.
            #[automatically_derived]
            #[allow(deprecated, reason = "the struct, or a field of it, may well be one that others should not use")]
            unsafe impl #krate::__private::WriteBytes for #this {
                const WHOLE: ::core::primitive::bool =
                    #krate::__private::is_whole(::core::mem::size_of::<Self>(), &[#(#sizes),*]);

                unsafe fn write_bytes(&self, __out: *mut ::core::primitive::u8) {
                    #(#checks)*
                    if <Self as #krate::__private::WriteBytes>::WHOLE {
                        return unsafe { #krate::__private::copy_whole::<Self>(self, __out) };
                    }
                    unsafe { #krate::__private::zero::<Self>(__out) };
                    #(#writes)*
                }
            }
        }
    }

    /// The `impl` of `AnyBitPattern`, if the fields' types implement it.
    ///
    /// The compiler checks a bound that names a lifetime where the trait is used, so that a struct
    /// with a pointer compiles, too.
    fn any_bits(&self) -> TokenStream {
        let (krate, this) = (self.krate, &self.input.ident);
        let elements: Vec<_> = self.types().map(element).collect();
        let bounds = quote! {
            where for<'__value> Self: ::core::marker::Copy,
            #(for<'__value> #elements: #krate::__private::AnyBitPattern,)*
        };
        quote! {
            // SAFETY: any bytes are a value of each field, by the bounds, zeros too.
            #[automatically_derived]
            #[allow(deprecated, reason = "the struct, or a field of it, may well be one that others should not use")]
            unsafe impl #krate::__private::Zeroable for #this #bounds {}

            // SAFETY: any bytes are a value of each field, by the bounds.
            #[automatically_derived]
            #[allow(deprecated, reason = "the struct, or a field of it, may well be one that others should not use")]
            unsafe impl #krate::__private::AnyBitPattern for #this #bounds {}
        }
    }

    /// The `impl` of `CheckedBitPattern`, if the fields' types implement it. It checks the bytes of
    /// each.
    fn checked_bits(&self) -> TokenStream {
        let (krate, this) = (self.krate, &self.input.ident);
        let elements: Vec<_> = self.types().map(element).collect();
        let checks = self.fields.iter().enumerate().map(|(index, field)| {
            let (found, member) = (&field.ty, field.ident.clone().map_or(Member::from(index), Member::Named));
            let element = element(found);
            quote! {
                unsafe {
                    #krate::__private::holds::<Self, #element>(
                        __bits,
                        ::core::mem::offset_of!(Self, #member),
                        ::core::mem::size_of::<#found>(),
                    )
                }
            }
        });
        quote! {
            // SAFETY: `BitsOf` has the struct's layout, and each field's bytes are checked.
            #[automatically_derived]
            #[allow(deprecated, reason = "the struct, or a field of it, may well be one that others should not use")]
            unsafe impl #krate::__private::CheckedBitPattern for #this
            where
                for<'__value> Self: ::core::marker::Copy,
                #(for<'__value> #elements: #krate::__private::CheckedBitPattern,)*
            {
                type Bits = #krate::__private::BitsOf<Self>;

                fn is_valid_bit_pattern(__bits: &Self::Bits) -> ::core::primitive::bool {
                    true #(&& #checks)*
                }
            }
        }
    }

    /// The `impl` of `AsyncValueType`.
    ///
    /// An `AbiType` need not be `Copy`, so its `impl` has a bound. The bound names a lifetime,
    /// because the compiler checks such a bound where the trait is used, and one without a lifetime
    /// where it is written.
    fn async_value(&self, is_abi_type: bool) -> TokenStream {
        let (krate, this) = (self.krate, &self.input.ident);
        let bound = is_abi_type.then(|| {
            quote!(where for<'__value> Self: ::core::marker::Copy + ::core::marker::Send + ::core::marker::Sync)
        });
        quote! {
            // SAFETY: `write_bytes` writes every byte.
            #[automatically_derived]
            #[allow(deprecated, reason = "the struct, or a field of it, may well be one that others should not use")]
            unsafe impl #krate::__private::AsyncValueType for #this #bound {
                const __WHOLE: ::core::primitive::bool = <Self as #krate::__private::WriteBytes>::WHOLE;

                unsafe fn write_to(&self, __out: *mut ::core::primitive::u8) {
                    unsafe { <Self as #krate::__private::WriteBytes>::write_bytes(self, __out) }
                }
            }
        }
    }
}

/// The type of an array's elements, or the type itself.
fn element(found: &Type) -> &Type {
    match found {
        Type::Array(array) => element(&array.elem),
        Type::Group(group) => element(&group.elem),
        Type::Paren(paren) => element(&paren.elem),
        found => found,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repr {
    C,
    Transparent,
}

/// Reads the representation, which must be C's.
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
        let message = "this type has no C layout: add `#[repr(C)]`, or \
                       `#[repr(transparent)]` for a struct around one value";
        Error::new(input.ident.span(), message)
    })
}
