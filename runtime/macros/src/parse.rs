//! The grammar of interfaces: a trait with a base, an IID, and methods; and what is wrong with one that is none.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, GenericArgument, ItemTrait, Lit, LitInt, Pat, Path,
    PathArguments, ReturnType, TraitItem, TraitItemFn, Type, TypeParamBound, Visibility, parse::Parse,
    parse::ParseStream, spanned::Spanned,
};

/// `(path of ntcom) declaration`.
pub(crate) struct Input {
    pub(crate) krate: TokenStream,
    pub(crate) item: ItemTrait,
}

impl Parse for Input {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let path;
        syn::parenthesized!(path in input);
        let krate = path.parse()?;
        let item = input.parse()?;
        if input.is_empty() {
            Ok(Self { krate, item })
        } else {
            Err(input.error("one interface a `declare_com_interface!`"))
        }
    }
}

/// What the build of ntcom offers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// Async methods too.
    Async,
    /// Methods that answer at once.
    AtOnce,
}

/// A declared interface.
pub(crate) struct Interface {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) base: Path,
    pub(crate) iid: Iid,
    /// What the declaration says that it is.
    pub(crate) iid_type: Type,
    pub(crate) methods: Vec<Method>,
}

/// How the IID is written.
pub(crate) enum Iid {
    /// An expression of type `GUID`.
    Value(Expr),
    /// A string: its digits, as one number.
    Digits(LitInt),
}

/// A declared method.
pub(crate) struct Method {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) is_unsafe: bool,
    pub(crate) name: Ident,
    pub(crate) arguments: Vec<(Ident, Type)>,
    pub(crate) returns: Returns,
}

/// What a method returns.
pub(crate) enum Returns {
    /// A value, at once. None: nothing.
    Value(Option<Box<Type>>),
    /// A value or a reason, at once: a status, and the value through a pointer.
    Status(Box<Fallible>),
    /// An operation for a value.
    Operation(Box<Operation>),
}

/// A `Result`.
pub(crate) struct Fallible {
    /// The value. None: `()`.
    pub(crate) value: Option<Yield>,
    /// What becomes an NTSTATUS.
    pub(crate) error: Type,
    /// The whole.
    pub(crate) output: Type,
}

/// What is handed out through a pointer, or by an operation.
pub(crate) enum Yield {
    /// A value, byte by byte.
    Plain(Type),
    /// `ComRc<I>`: a pointer to an interface, and a reference.
    Interface(Type),
}

impl Yield {
    fn of(found: &Type) -> Self {
        match interface_of(found) {
            Some(interface) => Self::Interface(interface.clone()),
            None => Self::Plain(found.clone()),
        }
    }
}

/// What an async method yields, and how.
pub(crate) struct Operation {
    /// The value.
    pub(crate) value: Yield,
    /// The body's output: the value, or a `Result` of it.
    pub(crate) output: Type,
    pub(crate) fallible: bool,
    /// The future has no name.
    pub(crate) opaque: bool,
}

impl Interface {
    pub(crate) fn has_async(&self) -> bool {
        self.methods.iter().any(|method| matches!(method.returns, Returns::Operation(_)))
    }

    /// Its base is IUnknown.
    pub(crate) fn is_root(&self) -> bool {
        self.base.segments.last().is_some_and(|segment| segment.ident == "IUnknown")
    }
}

/// Everything that is wrong, together.
#[derive(Default)]
struct Errors(Option<Error>);

impl Errors {
    fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn say(&mut self, span: Span, message: &str) {
        self.add(Error::new(span, message));
    }
}

/// Reads a declaration.
pub(crate) fn interface(item: ItemTrait, build: Build) -> Result<Interface, Error> {
    let mut errors = Errors::default();
    if let Some(unsafety) = &item.unsafety {
        errors.say(
            unsafety.span,
            "leave `unsafe` out: the trait is made `unsafe` if it has async methods, for what their bodies promise",
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
    let mut methods = Vec::new();
    let mut names = HashSet::new();
    for member in item.items {
        match member {
            TraitItem::Const(constant) if constant.ident == "IID" => match constant.default {
                Some((_, value)) if iid.is_none() => iid = Some((iid_of(value, &mut errors), constant.ty)),
                Some(_) => errors.say(constant.ident.span(), "an interface has one IID"),
                None => errors.say(constant.ident.span(), "the IID needs its value: `const IID: GUID = …;`"),
            },
            TraitItem::Fn(function) => {
                check_name(&function.sig.ident, &mut names, &mut errors);
                if let (Some(asyncness), Build::AtOnce) = (&function.sig.asyncness, build) {
                    errors.say(asyncness.span, "async methods need the feature `async-com` of ntcom");
                }
                match method(function) {
                    Ok(method) => methods.push(method),
                    Err(error) => errors.add(error),
                }
            }
            other => errors.say(other.span(), "an interface has `const IID: GUID` and methods, nothing else"),
        }
    }
    if iid.is_none() {
        errors.say(
            item.ident.span(),
            "an interface needs an IID of its own: add `const IID: GUID = GUID::from_u128(0x…);`",
        );
    }
    match (errors.0, base, iid) {
        (None, Some(base), Some((iid, iid_type))) => Ok(Interface {
            attributes: item.attrs,
            visibility: item.vis,
            name: item.ident,
            base,
            iid,
            iid_type,
            methods,
        }),
        (Some(error), ..) => Err(error),
        _ => Err(Error::new(item.ident.span(), "an interface needs a base and an IID")),
    }
}

/// An IID that is written as a string is a number.
fn iid_of(value: Expr, errors: &mut Errors) -> Iid {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &value else { return Iid::Value(value) };
    match digits(&text.value()) {
        Some(digits) => Iid::Digits(LitInt::new(&format!("0x{digits}_u128"), text.span())),
        None => {
            errors.say(
                text.span(),
                "an IID as a string is 32 hexadecimal digits in five groups: \"0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d01\"",
            );
            Iid::Value(value)
        }
    }
}

/// The digits of `0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d01`, which may be in braces.
fn digits(text: &str) -> Option<String> {
    let bare = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'))?;
    let groups: Vec<&str> = bare.split('-').collect();
    let right = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
    right.then(|| groups.concat())
}

fn base(item: &ItemTrait, errors: &mut Errors) -> Option<Path> {
    let mut bounds = item.supertraits.iter();
    match (bounds.next(), bounds.next()) {
        (Some(TypeParamBound::Trait(bound)), None) => return Some(bound.path.clone()),
        (None, _) => errors
            .say(item.ident.span(), "an interface needs a base: `: IUnknown`, or another declared interface"),
        (_, Some(second)) => {
            errors.say(second.span(), "an interface has one base; an object can have several interfaces");
        }
        (Some(other), None) => errors.say(other.span(), "the base is `IUnknown` or a declared interface"),
    }
    None
}

/// Compilers disagree about the order of overloads in a table.
fn check_name(name: &Ident, names: &mut HashSet<String>, errors: &mut Errors) {
    let text = name.to_string();
    if ["QueryInterface", "AddRef", "Release"].contains(&text.as_str()) {
        errors.say(name.span(), "IUnknown has a slot of this name: give the method another one");
    } else if !names.insert(text) {
        errors.say(
            name.span(),
            "an interface has no overloads, because compilers order their slots differently: give the method another name",
        );
    }
}

fn refuse_cfg(attributes: &[Attribute], errors: &mut Errors) {
    for attribute in attributes {
        if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            errors.say(attribute.span(), "a table is the same in every build: no `cfg` in an interface");
        }
    }
}

fn method(function: TraitItemFn) -> Result<Method, Error> {
    let mut errors = Errors::default();
    let signature = function.sig;
    if let Some(block) = &function.default {
        errors.say(block.span(), "a slot is implemented by each object: no default body");
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

/// What can be said of a type before its layout is known.
fn check_type(found: &Type, errors: &mut Errors) {
    match found {
        Type::Reference(reference) => errors.say(
            reference.span(),
            "a reference cannot cross an interface, because nobody checks what the other side passes: \
             use a raw pointer, and `unsafe fn` if it is used",
        ),
        Type::ImplTrait(other) => errors.say(other.span(), "a slot has fixed types: no `impl Trait`"),
        Type::TraitObject(other) => {
            errors.say(other.span(), "a trait object has no C layout: pass an interface pointer")
        }
        Type::Slice(other) => {
            errors.say(other.span(), "a slice has no C layout: pass a pointer and a length")
        }
        Type::Tuple(other) if !other.elems.is_empty() => {
            errors.say(
                other.span(),
                "a tuple has no C layout: use a `#[repr(C)]` struct with `#[derive(AbiType)]`",
            );
        }
        _ => {}
    }
}

/// The arguments of a type that is called `Result`.
fn result_arguments(found: &Type) -> Option<Vec<&Type>> {
    arguments_of(found, "Result")
}

/// `I` of a `ComRc<I>`.
fn interface_of(found: &Type) -> Option<&Type> {
    match arguments_of(found, "ComRc").as_deref() {
        Some([interface]) => Some(interface),
        _ => None,
    }
}

fn is_unit(found: &Type) -> bool {
    matches!(found, Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// The arguments of a type of this name.
fn arguments_of<'a>(found: &'a Type, name: &str) -> Option<Vec<&'a Type>> {
    let Type::Path(path) = found else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Some(Vec::new()) };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(argument) => Some(argument),
        _ => None,
    });
    Some(types.collect())
}

fn value(output: &ReturnType, errors: &mut Errors) -> Returns {
    match output {
        ReturnType::Default => Returns::Value(None),
        ReturnType::Type(_, found) => match result_arguments(found).as_deref() {
            Some([value, error]) => {
                check_type(value, errors);
                Returns::Status(Box::new(Fallible {
                    value: (!is_unit(value)).then(|| Yield::of(value)),
                    error: (*error).clone(),
                    output: (**found).clone(),
                }))
            }
            Some(_) => {
                errors.say(
                    found.span(),
                    "say both types of the `Result`, `Result<T, NTSTATUS>`: the slot returns a status, and the value through a pointer",
                );
                Returns::Value(None)
            }
            None => {
                if interface_of(found).is_some() {
                    errors.say(
                        found.span(),
                        "a method hands out an interface pointer with a status: `Result<ComRc<…>, NTSTATUS>`",
                    );
                }
                check_type(found, errors);
                Returns::Value((!is_unit(found)).then(|| found.clone()))
            }
        },
    }
}

fn operation(output: &ReturnType, opaque: bool, errors: &mut Errors) -> Returns {
    let yields =
        |value, output, fallible| Returns::Operation(Box::new(Operation { value, output, fallible, opaque }));
    let unit = || syn::parse_quote!(());
    let output: Type = match output {
        ReturnType::Default => unit(),
        ReturnType::Type(_, found) => (**found).clone(),
    };
    check_type(&output, errors);
    match result_arguments(&output).as_deref() {
        None => yields(Yield::of(&output), output, false),
        Some([value, error]) if is_ntstatus(error) => {
            check_type(value, errors);
            yields(Yield::of(value), output.clone(), true)
        }
        Some(_) => {
            errors.say(output.span(), "the error of an async method is an NTSTATUS: `Result<T, NTSTATUS>`");
            yields(Yield::Plain(unit()), output, true)
        }
    }
}

fn is_ntstatus(found: &Type) -> bool {
    let text = found.to_token_stream().to_string();
    text == "NTSTATUS" || text.ends_with(":: NTSTATUS")
}
