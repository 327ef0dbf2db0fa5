//! What a declaration becomes: the trait that objects implement, the table, the raw interface, and the client's trait.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Path, Type, spanned::Spanned};

use crate::parse::{Fallible, Iid, Interface, Method, Returns, Yield};

/// The names of a declaration.
struct Names {
    implemented: Ident,
    vtbl: Ident,
    raw: Ident,
    client: Ident,
}

impl Names {
    fn of(name: &Ident) -> Self {
        Self {
            implemented: name.clone(),
            vtbl: format_ident!("{name}Vtbl"),
            raw: format_ident!("{name}Raw"),
            client: format_ident!("{name}Client"),
        }
    }
}

pub(crate) fn expand(krate: &TokenStream, interface: &Interface) -> TokenStream {
    let names = Names::of(&interface.name);
    let parts = [
        asserts(krate, interface),
        own_iid_and_base(krate, interface, &names),
        implemented(krate, interface, &names),
        vtbl(krate, interface, &names),
        raw(krate, interface, &names),
        client(krate, interface, &names),
    ];
    quote!(#(#parts)*)
}

/// The base's companion with this suffix, beside it.
fn companion(krate: &TokenStream, interface: &Interface, suffix: &str) -> TokenStream {
    if interface.is_root() {
        let name = format_ident!("IUnknown{suffix}");
        return quote!(#krate::com::#name);
    }
    let mut path: Path = interface.base.clone();
    if let Some(last) = path.segments.last_mut() {
        last.ident = format_ident!("{}{suffix}", last.ident, span = last.ident.span());
    }
    quote!(#path)
}

/// What must hold of the types, each said where the type stands.
fn asserts(krate: &TokenStream, interface: &Interface) -> TokenStream {
    let mut checks = Vec::new();
    for method in &interface.methods {
        for (_, argument) in &method.arguments {
            checks
                .push(quote_spanned!(argument.span()=> #krate::__private::crosses_by_value::<#argument>();));
        }
        match &method.returns {
            Returns::Value(None) => {}
            Returns::Value(Some(value)) => {
                checks.push(quote_spanned!(value.span()=> #krate::__private::crosses_by_value::<#value>();));
            }
            Returns::Status(fallible) => {
                let error = &fallible.error;
                checks.push(quote_spanned!(error.span()=> #krate::__private::becomes_status::<#error>();));
                match &fallible.value {
                    None => {}
                    Some(Yield::Plain(value)) => checks
                        .push(quote_spanned!(value.span()=> #krate::__private::crosses_through_pointer::<#value>();)),
                    Some(Yield::Interface(found)) => checks.push(crosses_as_interface(krate, found)),
                }
            }
            Returns::Operation(operation) => checks.push(match &operation.value {
                Yield::Plain(value) => {
                    quote_spanned!(value.span()=> #krate::__private::crosses_as_result::<#value>();)
                }
                Yield::Interface(found) => crosses_as_interface(krate, found),
            }),
        }
    }
    quote!(const _: () = { #(#checks)* };)
}

/// An IID is one interface's, and the base's table and pointer, which are found by their names, belong together.
fn own_iid_and_base(krate: &TokenStream, interface: &Interface, names: &Names) -> TokenStream {
    let Names { implemented, raw, .. } = names;
    let (base_raw, base_vtbl) = (companion(krate, interface, "Raw"), companion(krate, interface, "Vtbl"));
    let message = format!(
        "`{implemented}`: this IID is another interface's, the base's or one of ntcom's: make a new one"
    );
    let own = quote_spanned! {implemented.span()=>
        const _: () = ::core::assert!(#krate::__private::has_its_own_iid::<#raw>(), #message);
    };
    let together = quote_spanned! {interface.base.span()=>
        const _: fn(&#base_raw) -> *const #base_vtbl = |base| base.vtbl;
    };
    quote!(#own #together)
}

fn crosses_as_interface(krate: &TokenStream, found: &Type) -> TokenStream {
    quote_spanned!(found.span()=> #krate::__private::crosses_as_interface::<#found>();)
}

/// The trait that objects implement.
fn implemented(krate: &TokenStream, interface: &Interface, names: &Names) -> TokenStream {
    let Interface { attributes, visibility, base, .. } = interface;
    let name = &names.implemented;
    let unsafety = interface.has_async().then(|| quote!(unsafe));
    let safety = interface.has_async().then(|| {
        quote! {
            ///
            /// # Safety
            /// The bodies of the async methods are polled and dropped by the executor: at DISPATCH_LEVEL, on any processor. Neither may
            /// touch pageable memory, wait, or do anything else that is not allowed there. (That they are `Send` and `'static`, and that
            /// their blocks are non-paged, the compiler sees to.)
            #[allow(clippy::missing_safety_doc, reason = "it is there, but not for clippy, because a macro writes it")]
        }
    });
    let allocator = interface.has_async().then(|| {
        quote! {
            /// Where the operations' blocks come from.
            type Allocator: #krate::NonPaged + ::core::marker::Send + 'static;
        }
    });
    let methods = interface.methods.iter().map(|method| implemented_method(krate, method, name));
    quote! {
        #(#attributes)*
        #safety
        #visibility #unsafety trait #name: #base {
            #allocator
            #(#methods)*
        }
    }
}

fn implemented_method(krate: &TokenStream, method: &Method, name: &Ident) -> TokenStream {
    let Method { attributes, name: method_name, .. } = method;
    let unsafety = method.is_unsafe.then(|| quote!(unsafe));
    let arguments = method.arguments.iter().map(|(name, found)| quote!(#name: #found));
    let head = quote!(#(#attributes)* #unsafety fn #method_name(&self #(, #arguments)*));
    match &method.returns {
        Returns::Value(None) => quote!(#head;),
        Returns::Value(Some(value)) => quote!(#head -> #value;),
        Returns::Status(fallible) => {
            let output = &fallible.output;
            quote!(#head -> #output;)
        }
        Returns::Operation(operation) if operation.opaque => {
            let output = &operation.output;
            quote!(#head -> impl #krate::AsyncBody<#output, <Self as #name>::Allocator, #krate::NTSTATUS>;)
        }
        Returns::Operation(operation) => {
            let output = &operation.output;
            let future = future_name(method_name);
            let doc = format!("The body of [`{method_name}`](Self::{method_name}).");
            quote! {
                #[doc = #doc]
                type #future: ::core::future::Future<Output = #output> + ::core::marker::Send + 'static;
                #head -> impl #krate::InitBoxTrait<
                    <Self as #name>::#future, <Self as #name>::Allocator, #krate::NTSTATUS
                >;
            }
        }
    }
}

/// `get_status` → `GetStatusFuture`.
fn future_name(method: &Ident) -> Ident {
    let text = method.to_string();
    let words = text.trim_start_matches("r#").split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    });
    format_ident!("{}Future", words.collect::<String>(), span = method.span())
}

/// What a slot returns.
fn slot_result(krate: &TokenStream, method: &Method) -> TokenStream {
    match &method.returns {
        Returns::Value(None) => TokenStream::new(),
        Returns::Value(Some(value)) => quote!(-> #value),
        Returns::Status(_) => quote!(-> #krate::NTSTATUS),
        Returns::Operation(operation) => {
            let value = operation_value(krate, &operation.value);
            quote!(-> *mut #krate::AsyncOperationRaw<#value>)
        }
    }
}

/// What an operation yields, as it crosses.
fn operation_value(krate: &TokenStream, value: &Yield) -> TokenStream {
    match value {
        Yield::Plain(value) => quote!(#value),
        Yield::Interface(found) => quote!(#krate::InterfacePtr<#found>),
    }
}

/// The type of the out-parameter of a method that returns a `Result`, without the pointer to it.
fn out_parameter(fallible: &Fallible) -> Option<TokenStream> {
    fallible.value.as_ref().map(|value| match value {
        Yield::Plain(value) => quote!(#value),
        Yield::Interface(found) => quote!(*mut #found),
    })
}

/// The out-parameter of a method that has one.
fn out_parameter_of(method: &Method) -> Option<TokenStream> {
    match &method.returns {
        Returns::Status(fallible) => out_parameter(fallible),
        Returns::Value(_) | Returns::Operation(_) => None,
    }
}

/// The table, and how it is made for an object.
fn vtbl(krate: &TokenStream, interface: &Interface, names: &Names) -> TokenStream {
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
        #[derive(Clone, Copy)]
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
            pub const fn __has(name: &str) -> bool {
                #krate::__private::contains(&[#(#texts),*], name) || <#base_vtbl>::__has(name)
            }

            /// The table of an object's interface.
            #[doc(hidden)]
            #[allow(
                clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block, unused_unsafe,
                deprecated, clippy::too_many_arguments,
                reason = "written by a macro: a slot's `this` is the object that the table was made for"
            )]
            pub const fn __of<__T: #implemented, __P: #krate::__private::Place<__T>>() -> Self {
                #(#thunks)*
                Self {
                    base: <#base_vtbl>::__of::<__T, __P>(),
                    #(#method_names: ::core::option::Option::Some(#method_names::<__T, __P>),)*
                }
            }
        }

        // SAFETY: the tables are this interface's; their slots find an object of this type from that place.
        unsafe impl<__T: #implemented> #krate::InterfaceOf<__T> for #raw {
            type __Table<__P: #krate::__private::Place<__T>> = #krate::__private::At<Self, __T, __P>;
        }

        // SAFETY: as above.
        unsafe impl<__T: #implemented, __P: #krate::__private::Place<__T>> #krate::__private::InterfaceAt<__T, __P>
            for #raw
        {
            const VTBL: *const ::core::ffi::c_void =
                ::core::ptr::from_ref::<#vtbl>(const { &#vtbl::__of::<__T, __P>() }).cast();
        }
    }
}

/// A slot's function.
fn thunk(krate: &TokenStream, method: &Method, implemented: &Ident) -> TokenStream {
    let name = &method.name;
    let result = slot_result(krate, method);
    let arguments = method.arguments.iter().map(|(name, found)| quote!(#name: #found));
    let values: Vec<_> = method.arguments.iter().map(|(name, _)| name).collect();
    let call = quote!(<__T as #implemented>::#name(__object #(, #values)*));
    let call = if method.is_unsafe { quote!(unsafe { #call }) } else { call };
    if let Returns::Status(fallible) = &method.returns {
        return status_thunk(krate, method, implemented, fallible, &call);
    }
    let answer = match &method.returns {
        Returns::Value(_) | Returns::Status(_) => quote!(__answer),
        Returns::Operation(operation) => {
            let kind = match (&operation.value, operation.fallible) {
                (Yield::Plain(_), false) => quote!(Infallible),
                (Yield::Plain(_), true) => quote!(Fallible),
                (Yield::Interface(_), false) => quote!(Owned),
                (Yield::Interface(_), true) => quote!(FallibleOwned),
            };
            let spawn = if operation.opaque { quote!(spawn_opaque) } else { quote!(spawn_named) };
            quote!(unsafe { #krate::__private::#spawn::<__T, __P, _, _, #krate::__private::#kind<_>, _>(__this, __answer) })
        }
    };
    quote! {
        unsafe extern "system" fn #name<__T: #implemented, __P: #krate::__private::Place<__T>>(
            __this: *mut ::core::ffi::c_void #(, #arguments)*
        ) #result {
            let __object: &__T = unsafe { #krate::__private::object::<__T, __P>(__this) };
            let __answer = #krate::__private::no_unwind(|| #call);
            #answer
        }
    }
}

/// The function of a slot that returns a status.
fn status_thunk(
    krate: &TokenStream,
    method: &Method,
    implemented: &Ident,
    fallible: &Fallible,
    call: &TokenStream,
) -> TokenStream {
    let name = &method.name;
    let arguments = method.arguments.iter().map(|(name, found)| quote!(#name: #found));
    let out = out_parameter(fallible).map(|out| quote!(, __out: *mut #out));
    let answer = match &fallible.value {
        None => quote!(#krate::__private::status(|| #call)),
        Some(Yield::Plain(_)) => quote!(unsafe { #krate::__private::status_and_value(__out, || #call) }),
        Some(Yield::Interface(_)) => {
            quote!(unsafe { #krate::__private::status_and_interface(__out, || #call) })
        }
    };
    quote! {
        unsafe extern "system" fn #name<__T: #implemented, __P: #krate::__private::Place<__T>>(
            __this: *mut ::core::ffi::c_void #(, #arguments)* #out
        ) -> #krate::NTSTATUS {
            let __object: &__T = unsafe { #krate::__private::object::<__T, __P>(__this) };
            #answer
        }
    }
}

/// The interface as clients see it.
fn raw(krate: &TokenStream, interface: &Interface, names: &Names) -> TokenStream {
    let Names { implemented, vtbl, raw, .. } = names;
    let Interface { visibility, iid, iid_type, .. } = interface;
    let base_raw = companion(krate, interface, "Raw");
    let iid = match iid {
        Iid::Value(value) => quote!(#value),
        Iid::Digits(digits) => quote!(#krate::GUID::from_u128(#digits)),
    };
    let doc = format!(
        "An object's interface `{implemented}`: one pointer, to its table. Behind a `ComRc` it has the methods of [`{}`].",
        names.client
    );
    quote! {
        #[doc = #doc]
        #[repr(C)]
        #visibility struct #raw {
            /// The table.
            pub vtbl: *const #vtbl,
        }

        // SAFETY: `repr(C)` with the table's pointer first; the IID is the one that was declared, and the pointer is its bases', too.
        unsafe impl #krate::Interface for #raw {
            const IID: #iid_type = #iid;

            fn answers(iid: &#krate::GUID) -> bool {
                *iid == <Self as #krate::Interface>::IID || <#base_raw as #krate::Interface>::answers(iid)
            }
        }

        // SAFETY: the declaration's promise, about every object that answers for its IID.
        unsafe impl #krate::Queryable for #raw {}

        // SAFETY: the table begins with the base's.
        unsafe impl #krate::Derived for #raw {
            type Base = #base_raw;
        }

        // SAFETY: `repr(C)`, one pointer.
        unsafe impl #krate::AbiType for #raw {}
        // SAFETY: one pointer, without padding.
        unsafe impl #krate::__private::WriteBytes for #raw {
            const WHOLE: ::core::primitive::bool = true;

            unsafe fn write_bytes(&self, out: *mut ::core::primitive::u8) {
                // SAFETY: this function's contract.
                unsafe { #krate::__private::copy_whole(self, out) }
            }
        }
        // SAFETY: objects are `Send` and `Sync`, by IUnknown, and so is every call.
        unsafe impl ::core::marker::Send for #raw {}
        // SAFETY: as above.
        unsafe impl ::core::marker::Sync for #raw {}
    }
}

/// The client's calls.
fn client(krate: &TokenStream, interface: &Interface, names: &Names) -> TokenStream {
    let Names { implemented, vtbl, raw, client } = names;
    let visibility = &interface.visibility;
    let signatures: Vec<_> = interface.methods.iter().map(|method| client_signature(krate, method)).collect();
    let docs = interface.methods.iter().map(|method| client_docs(method, implemented));
    let errors =
        "`STATUS_DRIVER_INTERNAL_ERROR`: the object has no such slot, or breaks the contract otherwise.";
    let duties = interface.methods.iter().map(|method| {
        method.is_unsafe.then(|| {
            quote!(
                ///
                /// # Safety
                /// As the interface's method demands.
            )
        })
    });
    let bodies = interface.methods.iter().map(|method| client_body(krate, method, vtbl));
    let doc = format!("The calls of a client of `{implemented}`: methods of `ComRc<{raw}>`.");
    quote! {
        #[doc = #doc]
        #[allow(clippy::too_many_arguments, reason = "the declared method has as many")]
        #visibility trait #client {
            #(
                #docs
                ///
                /// # Errors
                #[doc = #errors]
                #duties
                #signatures;
            )*
        }

        #[allow(
            clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block, unused_unsafe,
            clippy::not_unsafe_ptr_arg_deref, clippy::too_many_arguments,
            reason = "written by a macro: the object lives while there is a reference, and a slot has its declared type"
        )]
        impl #client for #krate::ComRc<#raw> {
            #(#signatures { #bodies })*
        }
    }
}

/// A method's own documentation, or what can be said without; and what else is said to who calls it.
fn client_docs(method: &Method, implemented: &Ident) -> TokenStream {
    let with = |names: &[&str]| -> Vec<&Attribute> {
        let is_one = |attribute: &&Attribute| names.iter().any(|name| attribute.path().is_ident(name));
        method.attributes.iter().filter(is_one).collect()
    };
    let (docs, others) = (with(&["doc"]), with(&["deprecated", "must_use"]));
    if docs.is_empty() {
        let doc = format!("Calls [`{implemented}::{}`].", method.name);
        quote!(#(#others)* #[doc = #doc])
    } else {
        quote!(#(#others)* #(#docs)*)
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
    quote!(#unsafety fn #name(&self #(, #arguments)*) -> ::core::result::Result<#value, #krate::NTSTATUS>)
}

fn client_body(krate: &TokenStream, method: &Method, vtbl: &Ident) -> TokenStream {
    let name = &method.name;
    let values: Vec<_> = method.arguments.iter().map(|(name, _)| name).collect();
    let slot = quote! {
        let __vtbl: #vtbl = unsafe { #krate::__private::vtbl(self) }?;
        let __slot = __vtbl.#name.ok_or(#krate::NTSTATUS::DRIVER_INTERNAL_ERROR)?;
    };
    let call = quote!(unsafe { __slot(self.as_ptr().cast() #(, #values)*) });
    let call_with = quote!(|__out| unsafe { __slot(self.as_ptr().cast() #(, #values)*, __out) });
    match &method.returns {
        Returns::Value(_) => quote!(#slot ::core::result::Result::Ok(#call)),
        Returns::Status(fallible) => match &fallible.value {
            None => quote!(#slot #krate::__private::checked(#call)),
            Some(Yield::Plain(_)) => quote!(#slot unsafe { #krate::__private::value(#call_with) }),
            Some(Yield::Interface(_)) => quote!(#slot unsafe { #krate::__private::interface(#call_with) }),
        },
        Returns::Operation(_) => quote! {
            #slot
            let __result = #call;
            unsafe { #krate::__private::operation(__result) }
        },
    }
}
