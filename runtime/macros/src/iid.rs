//! The IID of a declaration. This file has the forms that the macro reads, and the symbol that
//! claims the IID for one declaration.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::{
    Attribute, Error, Expr, ExprArray, ExprCall, ExprLit, ExprPath, ExprRepeat, ExprStruct, Lit, LitStr,
    Member, Token, Type, parse::Parse, parse::ParseStream, spanned::Spanned,
};

/// The advice for an IID that the macro cannot read.
const UNREADABLE: &str = "the macro must read this IID, so that a second declaration with it does not link: write \
    `GUID::from_u128(0x…)`, a `GUID { … }` of literals, or a string; or write `unsafe const IID`, and guarantee that \
    this image has no other interface with this IID";

/// The IID of a declaration.
pub(crate) struct Iid {
    /// The attributes of the constant.
    pub(crate) attributes: Vec<Attribute>,
    /// The type that the declaration gives.
    pub(crate) found: Type,
    /// The value.
    pub(crate) value: Value,
    /// The `unsafe` of `unsafe const IID`, by which the declaration's author promises that no other
    /// interface has the IID.
    pub(crate) promised: Option<Token![unsafe]>,
}

/// The form in which an IID is written.
pub(crate) enum Value {
    /// A string, with its digits as one number.
    Text(u128),
    /// An expression, with the digits that the macro has read from it.
    Read(Expr, u128),
    /// An expression that only the compiler can evaluate.
    Opaque(Expr),
}

impl Iid {
    /// Reads the constant of a declaration.
    pub(crate) fn new(
        attributes: Vec<Attribute>,
        found: Type,
        value: Expr,
        promised: Option<Token![unsafe]>,
    ) -> Result<Self, Error> {
        let value = match ungroup(&value) {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Value::Text(digits_of(text)?),
            other => match read(other) {
                Some(digits) => Value::Read(value, digits),
                None if promised.is_none() => return Err(Error::new(other.span(), UNREADABLE)),
                None => Value::Opaque(value),
            },
        };
        Ok(Self { attributes, found, value, promised })
    }

    /// Returns the value as an expression.
    pub(crate) fn expression(&self, krate: &TokenStream) -> TokenStream {
        match &self.value {
            Value::Text(digits) => quote!(#krate::GUID::from_u128(#digits)),
            Value::Read(value, _) | Value::Opaque(value) => quote!(#value),
        }
    }

    /// Returns the digits that the declaration claims. `None` if its author answers for the IID.
    pub(crate) fn claimed(&self) -> Option<u128> {
        match self.value {
            Value::Text(digits) | Value::Read(_, digits) if self.promised.is_none() => Some(digits),
            _ => None,
        }
    }

    /// Returns the expression from which the claimed digits were read, and the digits.
    pub(crate) fn read(&self) -> Option<(&Expr, u128)> {
        match &self.value {
            Value::Read(value, _) => Some((value, self.claimed()?)),
            Value::Text(_) | Value::Opaque(_) => None,
        }
    }
}

/// Returns an expression without the groups that macros put around it, and without parentheses.
fn ungroup(value: &Expr) -> &Expr {
    match value {
        Expr::Group(group) => ungroup(&group.expr),
        Expr::Paren(paren) => ungroup(&paren.expr),
        other => other,
    }
}

/// Reads the digits of `GUID::from_u128(0x…)` or `GUID { … }`.
fn read(value: &Expr) -> Option<u128> {
    match value {
        Expr::Call(ExprCall { func, args, .. }) => {
            let Expr::Path(ExprPath { qself: None, path, .. }) = ungroup(func) else { return None };
            let last = path.segments.last()?;
            (last.ident == "from_u128" && args.len() == 1).then(|| args.first().and_then(number))?
        }
        Expr::Struct(literal) => fields(literal),
        _ => None,
    }
}

/// Reads the digits of `GUID { data1, data2, data3, data4 }`, with the fields in any order.
fn fields(literal: &ExprStruct) -> Option<u128> {
    if literal.rest.is_some() || literal.fields.len() != 4 {
        return None;
    }
    let field = |name: &str| {
        let is_it = |member: &Member| matches!(member, Member::Named(found) if found == name);
        literal.fields.iter().find(|field| is_it(&field.member)).map(|field| ungroup(&field.expr))
    };
    let [one, two, three] = [("data1", 32), ("data2", 16), ("data3", 16)]
        .map(|(name, bits)| number(field(name)?).filter(|number| number >> bits == 0));
    let bytes: Vec<u128> = match field("data4")? {
        Expr::Array(ExprArray { elems, .. }) => elems.iter().map(number).collect::<Option<_>>()?,
        Expr::Repeat(ExprRepeat { expr, len, .. }) => {
            vec![number(expr)?; usize::try_from(number(len)?).ok().filter(|length| *length == 8)?]
        }
        _ => return None,
    };
    if bytes.len() != 8 || bytes.iter().any(|byte| byte >> 8 != 0) {
        return None;
    }
    let last = bytes.iter().fold(0, |digits, byte| digits << 8 | byte);
    Some(one? << 96 | two? << 80 | three? << 64 | last)
}

/// Reads a literal number.
fn number(value: &Expr) -> Option<u128> {
    match ungroup(value) {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok(),
        Expr::Lit(ExprLit { lit: Lit::Byte(byte), .. }) => Some(byte.value().into()),
        _ => None,
    }
}

/// Reads the digits of `0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d01`, which may be in braces.
fn digits_of(text: &LitStr) -> Result<u128, Error> {
    let found = text.value();
    let bare = found.strip_prefix('{').map_or(Some(found.as_str()), |rest| rest.strip_suffix('}'));
    let groups: Vec<&str> = bare.into_iter().flat_map(|bare| bare.split('-')).collect();
    let right = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let digits = right.then(|| u128::from_str_radix(&groups.concat(), 16).ok()).flatten();
    digits.ok_or_else(|| {
        let message = "an IID as a string is 32 hexadecimal digits in five groups: \
                       \"0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d01\"";
        Error::new(text.span(), message)
    })
}

/// Returns the items that claim an IID. An image does not link if two crates, or two modules, claim
/// the same IID.
///
/// The assembler makes the symbol. An exported static would be an export of the driver's image, and
/// thin LTO drops the second definition of one without a diagnostic. The `#[used]` static stands in
/// the same module, and so in the same object file. It makes rustc have the linker take that file
/// out of its library.
pub(crate) fn claim(digits: u128) -> TokenStream {
    let hex = format!("{digits:032x}");
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default());
    let symbol = format!("ntcom_one_declaration_per_iid_{}", groups.join("_"));
    let (export, label) = (format!(".globl {symbol}"), format!("{symbol}:"));
    quote! {
        const _: () = {
            mod __iid {
                ::core::arch::global_asm!(".data", #export, #label, ".byte 0", ".text");
                #[used]
                static __LINKED: ::core::primitive::u8 = 0;
            }
        };
    }
}

/// The input of `iid!`: `(path of ntcom) "digits"`.
struct Claimed {
    krate: TokenStream,
    text: LitStr,
}

impl Parse for Claimed {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let path;
        syn::parenthesized!(path in input);
        Ok(Self { krate: path.parse()?, text: input.parse()? })
    }
}

/// Expands `ntcom::iid!("…")` to a GUID that is claimed.
pub(crate) fn expand(input: TokenStream) -> Result<TokenStream, Error> {
    let Claimed { krate, text } = syn::parse2(input)?;
    let digits = digits_of(&text)?;
    let claim = claim(digits);
    Ok(quote!({ #claim #krate::GUID::from_u128(#digits) }))
}

/// The attribute that replaces the `unsafe` of `unsafe const` while a declaration is parsed.
const PROMISED: &str = "ntcom_promised";

/// Replaces the `unsafe` of `unsafe const`, which is not Rust, by an attribute of the constant, so
/// that the parser of traits accepts it.
pub(crate) fn mark_promises(item: TokenStream) -> TokenStream {
    let marked = item.into_iter().map(|token| match token {
        TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
            let mut marked = Group::new(body.delimiter(), mark_members(body.stream()));
            marked.set_span(body.span());
            marked.into()
        }
        other => other,
    });
    marked.collect()
}

fn mark_members(body: TokenStream) -> TokenStream {
    let is = |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(found) if found == word);
    let mut tokens = body.into_iter().peekable();
    let mut marked = TokenStream::new();
    while let Some(token) = tokens.next() {
        if is(&token, "unsafe") && tokens.peek().is_some_and(|next| is(next, "const")) {
            let name = Ident::new(PROMISED, token.span());
            marked.extend(quote_spanned!(token.span()=> #[#name]));
        } else if is_mark(&token) {
            // The attribute without the word `unsafe` promises nothing, so it is renamed to an
            // attribute that does not exist.
            let name = Ident::new("ntcom_promised_without_unsafe", token.span());
            marked.extend(quote_spanned!(token.span()=> [#name]));
        } else {
            marked.extend([token]);
        }
    }
    marked
}

/// Whether these are the brackets of an attribute in the declaration with the name of the mark.
fn is_mark(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else { return false };
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Bracket
        && matches!(first, Some(TokenTree::Ident(found)) if found == PROMISED || found == "r#ntcom_promised")
}

/// Removes the mark of `unsafe const` from the attributes.
pub(crate) fn take_promise(attributes: &mut Vec<Attribute>) -> Option<Token![unsafe]> {
    let index = attributes.iter().position(|attribute| attribute.path().is_ident(PROMISED))?;
    Some(Token![unsafe](attributes.remove(index).path().span()))
}

/// Returns a statement that contains the author's `unsafe`, so that `forbid(unsafe_code)` sees it.
pub(crate) fn promise(krate: &TokenStream, keyword: Token![unsafe]) -> TokenStream {
    quote_spanned!(keyword.span=> const _: () = #keyword { #krate::__private::iid_is_its_own() };)
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use quote::{ToTokens as _, quote};
    use syn::{TraitItemConst, parse_quote};

    use super::{Iid, claim, expand, mark_promises, take_promise};

    const DIGITS: u128 = 0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7d01;
    const SYMBOL: &str = "ntcom_one_declaration_per_iid_0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7d01";

    fn claimed(constant: TraitItemConst) -> Result<Option<u128>, String> {
        let (mut attributes, (_, value)) = (constant.attrs, constant.default.unwrap());
        let promised = take_promise(&mut attributes);
        let iid = Iid::new(attributes, constant.ty, value, promised).map_err(|error| error.to_string())?;
        Ok(iid.claimed())
    }

    #[test]
    fn each_form_of_an_iid_is_read_to_the_last_digit() {
        let forms: [TraitItemConst; 7] = [
            parse_quote!(
                const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d01";
            ),
            parse_quote!(
                const IID: GUID = "{0D6A1E7C-7F5C-4D3E-8A55-1F0F0C1F7D01}";
            ),
            parse_quote!(
                const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7d01);
            ),
            parse_quote!(
                const IID: GUID = ::ntcom::GUID::from_u128((0x0d6a1e7c7f5c4d3e8a551f0f0c1f7d01_u128));
            ),
            parse_quote!(
                const IID: GUID = (GUID::from_u128(17830965748205041593864895056066870529));
            ),
            parse_quote!(
                const IID: GUID = GUID {
                    data4: [0x8a, 0x55, 0x1f, 0x0f, 12, 0x1f, b'}', 1],
                    data1: 0x0d6a1e7c,
                    data3: 0x4d3e,
                    data2: 0x7f5c_u16,
                };
            ),
            parse_quote!(
                const IID: GUID = ntcom::GUID {
                    data1: 0x0d6a1e7c_u32,
                    data2: 0x7f5c,
                    data3: 0x4d3e,
                    data4: [0x8a, 0x55, 0x1f, 0xf, 0xc, 0x1f, 0x7d, 1],
                };
            ),
        ];
        for form in forms {
            let text = form.to_token_stream().to_string();
            assert_eq!(claimed(form), Ok(Some(DIGITS)), "{text}");
        }
        let repeated = parse_quote!(
            const IID: GUID = GUID { data1: 1, data2: 2, data3: 3, data4: [4; 8] };
        );
        assert_eq!(claimed(repeated), Ok(Some(0x0000_0001_0002_0003_0404_0404_0404_0404)));
    }

    #[test]
    fn an_iid_that_is_not_read_is_promised() {
        let forms: [TraitItemConst; 6] = [
            parse_quote!(
                const IID: GUID = MINE;
            ),
            parse_quote!(
                const IID: GUID = GUID::from_u128(1 + 1);
            ),
            parse_quote!(
                const IID: GUID = GUID::from_bytes(1);
            ),
            parse_quote!(
                const IID: GUID = GUID { data1: 1, ..MINE };
            ),
            parse_quote!(
                const IID: GUID = GUID { data1: 1, data2: 0x1_0000, data3: 3, data4: [4; 8] };
            ),
            parse_quote!(
                const IID: GUID = GUID { data1: 1, data2: 2, data3: 3, data4: [4; 7] };
            ),
        ];
        for form in forms {
            let text = form.to_token_stream().to_string();
            assert!(claimed(form).unwrap_err().contains("write `unsafe const IID`"), "{text}");
        }
        let marked = mark_promises(quote!({ unsafe const IID: GUID = MINE; }));
        let item: syn::ItemTrait = syn::parse2(quote!(trait IOne #marked)).unwrap();
        let [syn::TraitItem::Const(constant)] = &item.items[..] else { panic!("a constant") };
        assert_eq!(claimed(constant.clone()), Ok(None));
    }

    #[test]
    fn only_the_word_unsafe_promises() {
        for marked in [
            quote!({
                #[ntcom_promised]
                const IID: GUID = MINE;
            }),
            quote!({
                #[r#ntcom_promised]
                const IID: GUID = MINE;
            }),
        ] {
            let marked = mark_promises(marked);
            let item: syn::ItemTrait = syn::parse2(quote!(trait IOne #marked)).unwrap();
            let [syn::TraitItem::Const(constant)] = &item.items[..] else { panic!("a constant") };
            assert!(take_promise(&mut constant.attrs.clone()).is_none());
        }
    }

    /// The assembler's lines. Linkers refuse a second definition of the label.
    fn lines(tokens: TokenStream) -> Vec<String> {
        tokens.to_string().split('"').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn a_claim_defines_a_global_label_that_has_the_whole_iid() {
        let expected = [".data", &format!(".globl {SYMBOL}"), &format!("{SYMBOL}:"), ".byte 0", ".text"]
            .map(str::to_owned);
        assert_eq!(lines(claim(DIGITS)), expected);
        assert_eq!(lines(expand(quote!((ntcom) "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d01")).unwrap()), expected);
        let declared = crate::declare(
            quote!((ntcom) trait IOne: IUnknown { const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d01"; }),
            crate::parse::Build::AtOnce,
        );
        assert!(declared.to_string().contains(&format!("\"{SYMBOL}:\"")), "{declared}");
        let promised = crate::declare(
            quote!((ntcom) trait IOne: IUnknown { unsafe const IID: GUID = MINE; }),
            crate::parse::Build::AtOnce,
        );
        assert!(!promised.to_string().contains("global_asm"), "{promised}");
    }
}
