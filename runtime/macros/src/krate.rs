//! Where ntcom is, for derives: they have no `$crate`.

use proc_macro_crate::{Error as Lookup, FoundCrate, crate_name};
use proc_macro2::TokenStream;
use quote::{ToTokens as _, format_ident, quote};
use syn::{Attribute, Error, Path};

/// The path that the code of a derive uses: what `#[abi_type(crate = path)]` says, or else the name
/// that the package's manifest has for the dependency on ntcom.
pub(crate) fn path(attributes: &[Attribute], span: proc_macro2::Span) -> Result<TokenStream, Error> {
    match told(attributes)? {
        Some(path) => Ok(path.into_token_stream()),
        None => found(span),
    }
}

/// What the attribute says.
fn told(attributes: &[Attribute]) -> Result<Option<Path>, Error> {
    let mut told = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("abi_type")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("`abi_type` knows `crate = path::to::ntcom`, nothing else"));
            }
            if told.is_some() {
                return Err(meta.error("ntcom has one path: leave one `crate = …`"));
            }
            told = Some(meta.value()?.call(Path::parse_mod_style)?);
            Ok(())
        })?;
    }
    Ok(told)
}

/// What the manifest says.
fn found(span: proc_macro2::Span) -> Result<TokenStream, Error> {
    match crate_name("ntcom") {
        Ok(FoundCrate::Name(name)) => {
            let name = format_ident!("{name}");
            Ok(quote!(::#name))
        }
        Err(Lookup::CrateNotFound { .. }) => {
            let message = "this package's Cargo.toml has no dependency on ntcom: say where the code of the derive finds it, \
                           with `#[abi_type(crate = path::to::ntcom)]`";
            Err(Error::new(span, message))
        }
        // ntcom's own tests and examples; a build without Cargo.
        Ok(FoundCrate::Itself) | Err(_) => Ok(quote!(::ntcom)),
    }
}
