//! The items that a declaration becomes. They are the trait that objects implement, the table, the
//! raw interface, and the client's pointer type.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Path, Type, spanned::Spanned};

use crate::{
    client, iid,
    parse::{Fallible, Interface, Method, Returns, Yield, future_name},
    table,
};

/// `quote!` for code with local names that do not clash with arguments of the same name.
macro_rules! hygienic {
    ($($tokens:tt)*) => { quote::quote_spanned!(proc_macro2::Span::mixed_site()=> $($tokens)*) };
}
pub(crate) use hygienic;

/// The names of a declaration.
pub(crate) struct Names {
    pub(crate) implemented: Ident,
    pub(crate) vtbl: Ident,
    pub(crate) raw: Ident,
    pub(crate) reference: Ident,
}

impl Names {
    fn of(name: &Ident) -> Self {
        Self {
            implemented: name.clone(),
            vtbl: format_ident!("{name}Vtbl"),
            raw: format_ident!("{name}Raw"),
            reference: format_ident!("{name}Ref"),
        }
    }
}

pub(crate) fn expand(krate: &TokenStream, interface: &Interface) -> TokenStream {
    let names = Names::of(&interface.name);
    let parts = [
        asserts(krate, interface),
        own_iid_and_base(krate, interface, &names),
        claimed_iid(krate, interface, &names),
        implemented(krate, interface, &names),
        table::vtbl(krate, interface, &names),
        client::raw(krate, interface, &names),
        client::client(krate, interface, &names),
    ];
    quote!(#(#parts)*)
}

/// Returns the path of the base's companion with this suffix, beside the base.
pub(crate) fn companion(krate: &TokenStream, interface: &Interface, suffix: &str) -> TokenStream {
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

/// Asserts the requirements on the types, each at the place of the type.
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

/// Asserts that the IID is not the base's or one of ntcom's, and that the base's table and pointer,
/// which are found by their names, belong together.
fn own_iid_and_base(krate: &TokenStream, interface: &Interface, names: &Names) -> TokenStream {
    let Names { implemented, raw, .. } = names;
    let (base_raw, base_vtbl) = (companion(krate, interface, "Raw"), companion(krate, interface, "Vtbl"));
    let message =
        format!("`{implemented}`: this IID belongs to the base or to an interface of ntcom: make a new one");
    let own = quote_spanned! {implemented.span()=>
        const _: () = ::core::assert!(#krate::__private::has_its_own_iid::<#raw>(), #message);
    };
    let together = quote_spanned! {interface.base.span()=>
        const _: fn(&#base_raw) -> *const #base_vtbl = |base| base.vtbl;
    };
    quote!(#own #together)
}

/// Makes the IID this declaration's alone. The linker checks it, or the author has promised it.
fn claimed_iid(krate: &TokenStream, interface: &Interface, names: &Names) -> TokenStream {
    let Names { implemented, raw, .. } = names;
    let promise = interface.iid.promised.map(|keyword| iid::promise(krate, keyword));
    let claim = interface.iid.claimed().map(iid::claim);
    // An expression may look like a GUID and have another value.
    let read = interface.iid.read().map(|(expression, digits)| {
        let message = format!(
            "`{implemented}`: the value of this expression is not the GUID that the macro has read from it"
        );
        quote_spanned! {expression.span()=>
            const _: () = ::core::assert!(#krate::__private::iid_is::<#raw>(#digits), #message);
        }
    });
    quote!(#promise #claim #read)
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
            /// The executor polls and drops the bodies of the async methods at DISPATCH_LEVEL, on
            /// any processor. Neither may touch pageable memory, wait, or do anything else that is
            /// not allowed there. (The compiler checks that the bodies are `Send` and `'static`,
            /// and that their blocks are non-paged.)
            #[allow(clippy::missing_safety_doc, reason = "it is there, but not for clippy, because a macro writes it")]
        }
    });
    let allocator = interface.has_async().then(|| {
        quote! {
            /// The allocator of the operations' blocks.
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

/// Returns the result of a slot.
pub(crate) fn slot_result(krate: &TokenStream, method: &Method) -> TokenStream {
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

/// Returns the type that an operation yields, as it crosses the interface.
pub(crate) fn operation_value(krate: &TokenStream, value: &Yield) -> TokenStream {
    match value {
        Yield::Plain(value) => quote!(#value),
        Yield::Interface(found) => quote!(#krate::InterfacePtr<#found>),
    }
}

/// Returns the type of the out-parameter of a method that returns a `Result`, without the pointer
/// to it.
pub(crate) fn out_parameter(fallible: &Fallible) -> Option<TokenStream> {
    fallible.value.as_ref().map(|value| match value {
        Yield::Plain(value) => quote!(#value),
        Yield::Interface(found) => quote!(*mut #found),
    })
}

/// Returns the type of a method's out-parameter, if it has one.
pub(crate) fn out_parameter_of(method: &Method) -> Option<TokenStream> {
    match &method.returns {
        Returns::Status(fallible) => out_parameter(fallible),
        Returns::Value(_) | Returns::Operation(_) => None,
    }
}
