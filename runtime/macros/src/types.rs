//! The types in a method's signature. These checks need no layout.

use quote::ToTokens;
use syn::{GenericArgument, PathArguments, ReturnType, Type, spanned::Spanned};

use crate::parse::{Errors, Fallible, Operation, Returns, Yield};

/// Returns a type without the groups that macros put around it, and without parentheses.
pub(crate) fn ungroup(found: &Type) -> &Type {
    match found {
        Type::Group(group) => ungroup(&group.elem),
        Type::Paren(paren) => ungroup(&paren.elem),
        other => other,
    }
}

/// Refuses types by their form, before their layout is known.
pub(crate) fn check_type(found: &Type, errors: &mut Errors) {
    match ungroup(found) {
        Type::Reference(reference) => errors.say(
            reference.span(),
            "a reference cannot cross an interface, because the other side may pass any address: use a raw \
             pointer, and `unsafe fn` if the method follows it",
        ),
        Type::ImplTrait(other) => {
            errors.say(other.span(), "a slot has fixed types, so a method cannot use `impl Trait`")
        }
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

/// Returns the arguments of a type with the name `Result`.
fn result_arguments(found: &Type) -> Option<Vec<&Type>> {
    arguments_of(found, "Result")
}

/// Returns the `I` of a `ComRc<I>`.
pub(crate) fn interface_of(found: &Type) -> Option<&Type> {
    match arguments_of(found, "ComRc").as_deref() {
        Some([interface]) => Some(interface),
        _ => None,
    }
}

fn is_unit(found: &Type) -> bool {
    matches!(ungroup(found), Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// Returns the arguments of a type with this name.
fn arguments_of<'a>(found: &'a Type, name: &str) -> Option<Vec<&'a Type>> {
    let Type::Path(path) = ungroup(found) else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Some(Vec::new()) };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(argument) => Some(argument),
        _ => None,
    });
    Some(types.collect())
}

pub(crate) fn value(output: &ReturnType, errors: &mut Errors) -> Returns {
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
                    "write both types of the `Result`, `Result<T, NTSTATUS>`: the slot returns a status, and writes the value through a pointer",
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

pub(crate) fn operation(output: &ReturnType, opaque: bool, errors: &mut Errors) -> Returns {
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
    let text = ungroup(found).to_token_stream().to_string();
    text == "NTSTATUS" || text.ends_with(":: NTSTATUS")
}
