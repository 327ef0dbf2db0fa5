//! The grammar of interfaces, and its errors. An interface is a trait with a base, an IID, and
//! methods.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::format_ident;
use syn::{
    Attribute, Error, FnArg, ItemTrait, Pat, Path, TraitBound, TraitBoundModifier, TraitItem, TraitItemConst,
    TraitItemFn, Type, TypeParamBound, Visibility, parse::Parse, parse::ParseStream, parse::Parser as _,
    spanned::Spanned,
};

use crate::{
    iid::{self, Iid},
    types::{check_type, interface_of, operation, value},
};

/// The macro's input: `(path of ntcom) declaration`.
pub(crate) struct Input {
    pub(crate) krate: TokenStream,
    pub(crate) item: ItemTrait,
}

impl Parse for Input {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let path;
        syn::parenthesized!(path in input);
        let krate = path.parse()?;
        let item = one_trait.parse2(iid::mark_promises(input.parse()?))?;
        Ok(Self { krate, item })
    }
}

fn one_trait(input: ParseStream<'_>) -> syn::Result<ItemTrait> {
    let item = input.parse()?;
    if input.is_empty() {
        Ok(item)
    } else {
        Err(input.error("a `declare_com_interface!` contains one interface"))
    }
}

/// The methods that the build of ntcom offers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// Async methods, and methods that answer at once.
    Async,
    /// Only methods that answer at once.
    AtOnce,
}

/// A declared interface.
pub(crate) struct Interface {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) base: Path,
    pub(crate) iid: Iid,
    pub(crate) methods: Vec<Method>,
}

/// A declared method.
pub(crate) struct Method {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) is_unsafe: bool,
    pub(crate) name: Ident,
    pub(crate) arguments: Vec<(Ident, Type)>,
    pub(crate) returns: Returns,
}

/// The result of a method.
pub(crate) enum Returns {
    /// A value, returned at once. `None` if the method returns nothing.
    Value(Option<Box<Type>>),
    /// A value or an error, returned at once, as a status and a value through a pointer.
    Status(Box<Fallible>),
    /// An operation that yields a value.
    Operation(Box<Operation>),
}

/// A `Result`.
pub(crate) struct Fallible {
    /// The value. `None` for `()`.
    pub(crate) value: Option<Yield>,
    /// The error, which converts to an NTSTATUS.
    pub(crate) error: Type,
    /// The whole `Result`.
    pub(crate) output: Type,
}

/// A value that a method hands out through a pointer, or by an operation.
pub(crate) enum Yield {
    /// A value that is written byte by byte.
    Plain(Type),
    /// `ComRc<I>`, which is a pointer to an interface, with a reference.
    Interface(Type),
}

impl Yield {
    pub(crate) fn of(found: &Type) -> Self {
        match interface_of(found) {
            Some(interface) => Self::Interface(interface.clone()),
            None => Self::Plain(found.clone()),
        }
    }
}

/// The result of an async method.
pub(crate) struct Operation {
    /// The value.
    pub(crate) value: Yield,
    /// The body's output, which is the value or a `Result` of it.
    pub(crate) output: Type,
    pub(crate) fallible: bool,
    /// Whether the future has no name.
    pub(crate) opaque: bool,
}

impl Interface {
    pub(crate) fn has_async(&self) -> bool {
        self.methods.iter().any(|method| matches!(method.returns, Returns::Operation(_)))
    }

    /// Whether the base is IUnknown.
    pub(crate) fn is_root(&self) -> bool {
        self.base.segments.last().is_some_and(|segment| segment.ident == "IUnknown")
    }
}

/// All errors of a declaration, reported together.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    pub(crate) fn say(&mut self, span: Span, message: &str) {
        self.add(Error::new(span, message));
    }
}

/// Reads a declaration.
pub(crate) fn interface(item: ItemTrait, build: Build) -> Result<Interface, Error> {
    let mut errors = Errors::default();
    if let Some(unsafety) = &item.unsafety {
        errors.say(
            unsafety.span,
            "leave `unsafe` out: the macro makes the trait `unsafe` if it has async methods",
        );
    }
    if let Some(auto) = &item.auto_token {
        errors.say(auto.span, "an interface has methods, so it cannot be an `auto` trait");
    }
    if item.ident == "IUnknown" {
        errors.say(
            item.ident.span(),
            "`IUnknown` is every interface's root: give the interface a name of its own",
        );
    }
    if let Some(parameter) = item.generics.params.first() {
        errors.say(parameter.span(), "an interface has one IID and one table, so it cannot be generic");
    }
    if let Some(clause) = &item.generics.where_clause {
        errors.say(clause.span(), "an interface cannot have a `where` clause");
    }
    refuse_cfg(&item.attrs, &mut errors);
    let base = base(&item, &mut errors);
    let mut iid = None;
    let mut found_iid = false;
    let mut methods = Vec::new();
    let (mut names, mut futures) = (HashSet::new(), HashSet::new());
    for member in item.items {
        match member {
            TraitItem::Const(constant) if constant.ident == "IID" => {
                if found_iid {
                    errors.say(constant.ident.span(), "an interface has one IID");
                }
                found_iid = true;
                match constant_iid(constant, &mut errors) {
                    Ok(found) => iid = Some(found),
                    Err(error) => errors.add(error),
                }
            }
            TraitItem::Fn(function) => {
                check_name(&function.sig.ident, &mut names, &mut errors);
                if let (Some(asyncness), Build::AtOnce) = (&function.sig.asyncness, build) {
                    errors.say(asyncness.span, "async methods need the feature `async-com` of ntcom");
                }
                match method(function) {
                    Ok(method) => {
                        check_future_name(&method, &mut futures, &mut errors);
                        methods.push(method);
                    }
                    Err(error) => errors.add(error),
                }
            }
            other => errors.say(other.span(), "an interface has `const IID: GUID` and methods, nothing else"),
        }
    }
    if !found_iid {
        errors.say(
            item.ident.span(),
            "an interface needs an IID of its own: add `const IID: GUID = GUID::from_u128(0x…);`",
        );
    }
    match (errors.0, base, iid) {
        (None, Some(base), Some(iid)) => Ok(Interface {
            attributes: item.attrs,
            visibility: item.vis,
            name: item.ident,
            base,
            iid,
            methods,
        }),
        (Some(error), ..) => Err(error),
        _ => Err(Error::new(item.ident.span(), "an interface needs a base and an IID")),
    }
}

fn constant_iid(mut constant: TraitItemConst, errors: &mut Errors) -> Result<Iid, Error> {
    let promised = iid::take_promise(&mut constant.attrs);
    refuse_cfg(&constant.attrs, errors);
    let Some((_, value)) = constant.default else {
        let message = "the IID needs its value: `const IID: GUID = …;`";
        return Err(Error::new(constant.ident.span(), message));
    };
    Iid::new(constant.attrs, constant.ty, value, promised)
}

fn base(item: &ItemTrait, errors: &mut Errors) -> Option<Path> {
    let mut bounds = item.supertraits.iter();
    match (bounds.next(), bounds.next()) {
        (Some(TypeParamBound::Trait(bound)), None) if is_plain(bound) => return Some(bound.path.clone()),
        (None, _) => errors
            .say(item.ident.span(), "an interface needs a base: `: IUnknown`, or another declared interface"),
        (_, Some(second)) => {
            errors.say(second.span(), "an interface has one base; an object can have several interfaces");
        }
        (Some(other), None) => errors.say(other.span(), "the base is `IUnknown` or a declared interface"),
    }
    None
}

/// Whether a bound has no `?` and no `for<…>`.
fn is_plain(bound: &TraitBound) -> bool {
    bound.lifetimes.is_none() && matches!(bound.modifier, TraitBoundModifier::None)
}

/// Methods that a call on a `ComRc` finds before the interface's. They are its own, and those that
/// the prelude's traits give it.
const OURS: [&str; 9] =
    ["as_ptr", "into_raw", "query", "clone", "clone_from", "drop", "into", "try_into", "to_owned"];

/// Checks a method's name. Overloads are refused, because compilers disagree about their order in a
/// table.
fn check_name(name: &Ident, names: &mut HashSet<String>, errors: &mut Errors) {
    let text = name.to_string();
    if ["QueryInterface", "AddRef", "Release"].contains(&text.as_str()) {
        errors.say(name.span(), "IUnknown has a slot of this name: give the method another one");
    } else if text == "base" {
        errors.say(
            name.span(),
            "the base's slots are the field `base` of the table: give the method another name",
        );
    } else if OURS.contains(&text.trim_start_matches("r#")) {
        let message = format!(
            "`{text}` is a method of `ComRc`, which a client's call finds first: give the method another name"
        );
        errors.say(name.span(), &message);
    } else if !names.insert(text) {
        errors.say(
            name.span(),
            "an interface has no overloads, because compilers order their slots differently: give the method another name",
        );
    }
}

/// Refuses two methods if the implementation would have to name their futures alike.
fn check_future_name(method: &Method, names: &mut HashSet<String>, errors: &mut Errors) {
    let Returns::Operation(operation) = &method.returns else { return };
    let future = future_name(&method.name);
    if !operation.opaque && !names.insert(future.to_string()) {
        let message =
            format!("another method's future has the name `{future}`, too: give the method another name");
        errors.say(method.name.span(), &message);
    }
}

/// Returns the name of a method's future, `get_status` → `GetStatusFuture`.
pub(crate) fn future_name(method: &Ident) -> Ident {
    let text = method.to_string();
    let words = text.trim_start_matches("r#").split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    });
    format_ident!("{}Future", words.collect::<String>(), span = method.span())
}

fn refuse_cfg(attributes: &[Attribute], errors: &mut Errors) {
    for attribute in attributes {
        if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            errors.say(
                attribute.span(),
                "an interface cannot use `cfg`, because its table is the same in every build",
            );
        }
    }
}

/// Refuses attributes of arguments, because the macro writes each argument several times.
fn refuse_attributes(attributes: &[Attribute], errors: &mut Errors) {
    refuse_cfg(attributes, errors);
    for attribute in attributes {
        let path = attribute.path();
        if !path.is_ident("cfg") && !path.is_ident("cfg_attr") {
            errors.say(attribute.span(), "an argument cannot have attributes: put this one on the method");
        }
    }
}

fn method(function: TraitItemFn) -> Result<Method, Error> {
    let mut errors = Errors::default();
    let signature = function.sig;
    if let Some(block) = &function.default {
        errors.say(
            block.span(),
            "a method of an interface has no default body, because each object implements it",
        );
    }
    if !signature.generics.params.is_empty() {
        errors.say(
            signature.generics.span(),
            "a slot is one function, so a method cannot be generic: use fixed types, or a pointer to a struct",
        );
    }
    if let Some(clause) = &signature.generics.where_clause {
        errors.say(clause.span(), "a method of an interface cannot have a `where` clause");
    }
    if let Some(abi) = &signature.abi {
        errors.say(abi.span(), "leave the ABI out: every slot is `extern \"system\"`");
    }
    if let Some(constness) = &signature.constness {
        errors.say(constness.span, "a method of an interface cannot be `const`");
    }
    if let Some(variadic) = &signature.variadic {
        errors.say(variadic.span(), "a slot has a fixed number of arguments");
    }
    refuse_cfg(&function.attrs, &mut errors);
    let mut inputs = signature.inputs.iter();
    receiver(inputs.next(), &signature.ident, &mut errors);
    let arguments = inputs.filter_map(|input| argument(input, &mut errors)).collect();
    let opaque = function.attrs.iter().find(|attribute| attribute.path().is_ident("opaque"));
    let returns = match (signature.asyncness.is_some(), opaque) {
        (true, opaque) => operation(&signature.output, opaque.is_some(), &mut errors),
        (false, opaque) => {
            if let Some(attribute) = opaque {
                errors.say(attribute.span(), "`#[opaque]` is for `async fn`: its future has no name");
            }
            value(&signature.output, &mut errors)
        }
    };
    let attributes = function.attrs.into_iter().filter(|a| !a.path().is_ident("opaque")).collect();
    match errors.0 {
        Some(error) => Err(error),
        None => Ok(Method {
            attributes,
            is_unsafe: signature.unsafety.is_some(),
            name: signature.ident,
            arguments,
            returns,
        }),
    }
}

fn receiver(first: Option<&FnArg>, method: &Ident, errors: &mut Errors) {
    match first {
        Some(FnArg::Receiver(receiver)) => {
            refuse_attributes(&receiver.attrs, errors);
            let by_reference = receiver.reference.is_some() && receiver.colon_token.is_none();
            if !by_reference {
                errors.say(
                    receiver.self_token.span,
                    "the object belongs to all its clients, so a method takes `&self`",
                );
            } else if let Some(mutability) = &receiver.mutability {
                errors.say(
                    mutability.span,
                    "clients call from several processors at once, so a method takes `&self`; keep what changes in a cell or behind a lock",
                );
            } else if let Some((_, Some(lifetime))) = &receiver.reference {
                errors.say(lifetime.span(), "leave the lifetime out: `&self`");
            }
        }
        _ => errors.say(method.span(), "a method of an interface takes `&self` first"),
    }
}

fn argument(input: &FnArg, errors: &mut Errors) -> Option<(Ident, Type)> {
    let FnArg::Typed(typed) = input else {
        errors.say(input.span(), "`self` comes first");
        return None;
    };
    refuse_attributes(&typed.attrs, errors);
    check_type(&typed.ty, errors);
    match typed.pat.as_ref() {
        Pat::Ident(name) if name.by_ref.is_none() && name.mutability.is_none() && name.subpat.is_none() => {
            Some((name.ident.clone(), (*typed.ty).clone()))
        }
        other => {
            errors.say(other.span(), "an argument of a method is a plain name");
            None
        }
    }
}
