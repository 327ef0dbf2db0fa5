//! The path of ntcom for derives, which have no `$crate`.

use proc_macro_crate::{Error as Lookup, FoundCrate, crate_name};
use proc_macro2::TokenStream;
use quote::{ToTokens as _, format_ident, quote};
use syn::{Attribute, Error, Path};

/// Returns the path that the code of a derive uses. It is the path of `#[abi_type(crate = path)]`,
/// or else the name that the package's manifest gives the dependency on ntcom.
pub(crate) fn path(attributes: &[Attribute], span: proc_macro2::Span) -> Result<TokenStream, Error> {
    match told(attributes)? {
        Some(path) => Ok(path.into_token_stream()),
        None => found(span),
    }
}

/// Returns the path in the attribute.
fn told(attributes: &[Attribute]) -> Result<Option<Path>, Error> {
    let mut told = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("abi_type")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("`abi_type` takes only `crate = path::to::ntcom`"));
            }
            if told.is_some() {
                return Err(meta.error("the path of ntcom is given twice: keep one `crate = …`"));
            }
            told = Some(meta.value()?.call(Path::parse_mod_style)?);
            Ok(())
        })?;
    }
    Ok(told)
}

/// Returns the path from the manifest.
fn found(span: proc_macro2::Span) -> Result<TokenStream, Error> {
    match crate_name("ntcom") {
        Ok(FoundCrate::Name(name)) => {
            let name = format_ident!("{name}");
            Ok(quote!(::#name))
        }
        Err(Lookup::CrateNotFound { .. }) => {
            let message = "this package's Cargo.toml has no dependency on ntcom: name its path \
                           with `#[abi_type(crate = path::to::ntcom)]`";
            Err(Error::new(span, message))
        }
        // This is a test or an example of ntcom's own, or a build without Cargo.
        Ok(FoundCrate::Itself) | Err(_) => Ok(quote!(::ntcom)),
    }
}
